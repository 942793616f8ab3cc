"""Integrators and simulated laws, against closed forms and against exact draws."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from helpers import (
    affine_law,
    density_on,
    gaussian,
    line,
    needs_cuda,
    normal_density,
    random_mixture,
    seeded,
    worst_sigmas,
)
from scoredrift import (
    Ancestral,
    EulerMaruyama,
    ExponentialIntegrator,
    Flow,
    GaussianMixture,
    HeunFlow,
    OrnsteinUhlenbeck,
    Trajectory,
    exact_paths,
    simulate,
)
from scoredrift.paths import evolve_density
from scoredrift.process import scale, variance

OU = OrnsteinUhlenbeck(0.1, 3.0)
MEAN, VARIANCE = 1.5, 0.36
STEPS = [20, 40, 80, 160, 320]
TARGET = gaussian([MEAN], VARIANCE)
STOCHASTIC = [EulerMaruyama(), ExponentialIntegrator(), Ancestral()]
EVERY = [*STOCHASTIC, HeunFlow()]
by_name = {"ids": lambda integrator: type(integrator).__name__}


def law_at(t):
    law = TARGET.diffuse(t)
    return float(law.means), float(law.variances)


def remaining_displacement(integrator):
    """δ(t0)/δ(T) for the mean a m + δ of the reverse process of N(m, w² I), in closed form.

    δ' = (½ − 1/V) δ for the SDE and half of (1 − 1/V) δ for the flow, V = 1 + b e^{−t}, b = w² − 1.
    """
    b = VARIANCE - 1
    narrowing = (math.exp(OU.t_min) + b) / (math.exp(OU.t_max) + b)
    power = 0.5 if isinstance(integrator, HeunFlow) else 1.0
    return math.exp(OU.duration / 2) * narrowing**power


@cache
def errors_at_the_end(integrator, steps):
    """Errors of mean and variance, from the exact law at T with its mean displaced by one."""
    (mean_T, variance_T), (mean_0, variance_0) = law_at(OU.t_max), law_at(OU.t_min)
    grid = OU.uniform_grid(steps)
    mean, var = affine_law(integrator, Flow(TARGET, OU), mean_T + 1, variance_T, grid)
    return abs(mean - mean_0 - remaining_displacement(integrator)), abs(var - variance_0)


def observed_order(errors):
    """Minus the slope of log error against log K, on the finest grids."""
    finest = slice(-3, None)
    return -np.polyfit(np.log(STEPS[finest]), np.log(errors[finest]), 1)[0]


@pytest.mark.parametrize(
    ("integrator", "order"), [(EulerMaruyama(), 1), (ExponentialIntegrator(), 1), (HeunFlow(), 2)]
)
def test_error_of_the_mean_falls_with_the_order_of_the_integrator(integrator, order):
    errors = [errors_at_the_end(integrator, k)[0] for k in STEPS]
    assert observed_order(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    ("integrator", "order"),
    [(EulerMaruyama(), 1), (ExponentialIntegrator(), 1), (Ancestral(), 1), (HeunFlow(), 2)],
)
def test_error_of_the_variance_falls_with_the_order_of_the_integrator(integrator, order):
    errors = [errors_at_the_end(integrator, k)[1] for k in STEPS]
    assert observed_order(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("steps", STEPS)
def test_ancestral_means_are_exact(steps):
    """The bridge to the posterior mean of the datum has the exact conditional mean."""
    assert errors_at_the_end(Ancestral(), steps)[0] < 1e-12


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_exponential_integrator_is_exact_without_a_score(steps):
    law = affine_law(ExponentialIntegrator(), lambda x, t: 0 * x, 0.8, 0.5, OU.uniform_grid(steps))
    growth = math.exp(OU.duration)
    assert law == pytest.approx((0.8 * growth**0.5, 0.5 * growth + growth - 1), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_ancestral_is_exact_for_a_single_datum(steps):
    def score(x, t):
        return (scale(t) * MEAN - x) / variance(t)

    grid = OU.uniform_grid(steps)
    law = affine_law(Ancestral(), score, MEAN * math.exp(-1.5), 1 - math.exp(-3.0), grid)
    assert law == pytest.approx((MEAN * math.exp(-0.05), 1 - math.exp(-0.1)), rel=1e-12)


def test_exact_paths_have_the_joint_moments_of_the_forward_process():
    q, grid = random_mixture(1), torch.tensor([3.0, 1.0, 0.4, 0.0], dtype=torch.float64)
    paths = exact_paths(Flow(q, OU), grid, 40_000, generator=seeded(0))
    for i, t in enumerate(grid.tolist()):
        now, then = q.diffuse(t), paths[i]
        assert worst_sigmas(then, now.mean()) < 5
        second = now.covariance() + now.mean().outer(now.mean())
        for j, later in enumerate(grid[: i + 1].tolist()):  # noise first: earlier rows, later times
            product = then[:, :, None] * paths[j][:, None, :]
            assert worst_sigmas(product, math.exp((t - later) / 2) * second) < 5


@pytest.fixture(scope="module")
def plane():
    """A law in the plane, its reverse process from the exact start, and direct draws at t0."""
    q = GaussianMixture(
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        torch.tensor([[0.0, 2.0], [1.5, -1.0], [-2.0, -0.5]], dtype=torch.float64),
        torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64),
    )
    draws = q.diffuse(OU.t_min).sample(8000, generator=seeded(100))

    def smallest_p_value(integrator):
        start, g = q.diffuse(OU.t_max).sample(8000, generator=seeded(101)), seeded(102)
        ends = simulate(Flow(q, OU), start, OU.geometric_grid(200), integrator, generator=g)
        views = [lambda x: x[:, 0], lambda x: x[:, 1], lambda x: x.sum(1), lambda x: x.norm(dim=1)]
        return min(ks_2samp(view(ends).numpy(), view(draws).numpy()).pvalue for view in views)

    return smallest_p_value


@pytest.mark.parametrize("integrator", EVERY, **by_name)
def test_simulating_with_the_exact_score_reproduces_the_law(plane, integrator):
    assert plane(integrator) > 1e-6


def test_the_check_of_the_law_goes_red_for_a_wrong_sign(plane):
    class WrongSign(EulerMaruyama):
        def step(self, score, x, t, t_next, noise):
            return super().step(score, x, t, t_next, noise) - (t - t_next) * x

    assert plane(WrongSign()) < 1e-20


@pytest.mark.parametrize("integrator", EVERY, **by_name)
def test_simulation_repeats_to_the_bit_for_a_seed(integrator):
    q = random_mixture(2)

    def run(seed):
        g = seeded(seed)
        x = q.sample(50, generator=g)
        return simulate(Flow(q, OU), x, OU.uniform_grid(10), integrator, generator=g)

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))


def test_exact_paths_repeat_to_the_bit_for_a_seed():
    q = random_mixture(2)
    first, again, other = (
        exact_paths(Flow(q, OU), OU.uniform_grid(5), 50, generator=seeded(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_functionals_see_every_step_in_order():
    class Diary:
        def begin(self, integrator):
            self.steps = []

        def record(self, step):
            self.steps.append(step)

    score, grid, diary, path = Flow(TARGET, OU), OU.geometric_grid(6), Diary(), Trajectory()
    x = torch.zeros(4, 1, dtype=torch.float64)
    end = simulate(score, x, grid, EulerMaruyama(), generator=seeded(0), functionals=[diary, path])
    assert [step.t for step in diary.steps] == grid[:-1].tolist()
    assert [step.t_next for step in diary.steps] == grid[1:].tolist()
    for i, (before, t, t_next, noise, after) in enumerate(diary.steps):
        assert torch.equal(EulerMaruyama().step(score, before, t, t_next, noise), after)
        assert torch.equal(before, path.states[i])
        assert torch.equal(after, path.states[i + 1])
    assert torch.equal(path.states[0], x)
    assert torch.equal(path.states[-1], end)


@pytest.mark.parametrize("integrator", STOCHASTIC, **by_name)
def test_evolved_density_is_the_gaussian_of_the_exact_recursion(integrator):
    score, grid, nodes = Flow(TARGET, OU), OU.uniform_grid(40), line(-8, 8, 641)
    mean, var = law_at(OU.t_max)
    evolved = evolve_density(score, normal_density(nodes, mean, var), nodes, grid, integrator)
    expected = normal_density(nodes, *affine_law(integrator, score, mean, var, grid))
    torch.testing.assert_close(evolved, expected, rtol=0, atol=1e-10)
    assert float(torch.trapezoid(evolved, nodes)) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("integrator", STOCHASTIC, **by_name)
def test_evolved_density_has_the_moments_of_simulated_samples(integrator):
    q, grid, nodes = random_mixture(3, dim=1), OU.uniform_grid(12), line(count=561)
    evolved = evolve_density(Flow(q, OU), density_on(q.diffuse(OU.t_max), nodes), nodes, grid, integrator)
    g = seeded(5)
    start = q.diffuse(OU.t_max).sample(20_000, generator=g)
    x = simulate(Flow(q, OU), start, grid, integrator, generator=g)
    powers = torch.arange(1, 5)
    moments = torch.trapezoid(evolved * nodes ** powers[:, None], nodes)
    assert worst_sigmas(x**powers, moments) < 5


def test_a_path_that_leaves_the_numbers_is_reported_with_its_time():
    def broken(x, t):
        return x * math.nan if t < 1.0 else -x

    grid = torch.tensor([3.0, 2.0, 0.75, 0.5], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"x = NaN or infinite after the step from t = 0\.75 to 0\.5"):
        simulate(broken, torch.zeros(2, 1), grid, EulerMaruyama(), generator=seeded(0))


@needs_cuda
def test_simulation_on_cuda_has_the_moments_of_the_exact_recursion():
    there, grid = TARGET.to(device="cuda"), OU.uniform_grid(40)
    x = there.diffuse(OU.t_max).sample(40_000, generator=seeded(0, "cuda"))
    end = simulate(Flow(there, OU), x, grid, EulerMaruyama(), generator=seeded(1, "cuda")).cpu()
    mean, var = affine_law(EulerMaruyama(), Flow(TARGET, OU), *law_at(OU.t_max), grid)
    assert worst_sigmas(end, torch.tensor([mean])) < 5
    assert worst_sigmas((end - mean) ** 2, torch.tensor([var])) < 5
