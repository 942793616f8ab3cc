"""Score energies and the martingale, against closed forms, quadrature and the literal route."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad, solve_ivp

from helpers import density_on, gaussian, line, random_mixture, seeded, within
from scoredrift import (
    Ancestral,
    ConstantField,
    Estimate,
    EulerMaruyama,
    ExponentialIntegrator,
    Flow,
    FunctionScore,
    KernelDensity,
    OrnsteinUhlenbeck,
    Trajectory,
    mixture_of_five,
    simulate,
)
from scoredrift.divergences import kl, kl_on_nodes
from scoredrift.paths import (
    Energy,
    Martingale,
    energy_times,
    evolve_density,
    held_energy,
    ideal_energy,
    learned_energy,
)
from scoredrift.process import log_uniform_times, uniform_times

OU = OrnsteinUhlenbeck()
each_integrator = pytest.mark.parametrize(
    "integrator",
    [EulerMaruyama(), ExponentialIntegrator(), Ancestral()],
    ids=["EulerMaruyama", "ExponentialIntegrator", "Ancestral"],
)
samplers = pytest.mark.parametrize("times", [uniform_times, log_uniform_times])


def flow(law):
    return Flow(law, OU)


def blur_error(law, bandwidth):
    return flow(law).error(flow(law.blur(bandwidth)))


@pytest.mark.parametrize("learned", [False, True])
def test_planned_times_are_where_the_energy_is(learned):
    """N(0, 1) for N(0, 4): e = x (1 − 1/s) with s = 4a² + v, and E‖e‖² = (1 − 1/s)² s on learned paths."""
    error = flow(gaussian([0.0], 1.0)).error(flow(gaussian([0.0], 4.0)))
    times = energy_times(error, generator=seeded(0), points=20_000, learned=learned)

    def square(t):
        s = 4 * math.exp(-t) - math.expm1(-t)
        return (1 - 1 / s) ** 2 * (s if learned else 1.0)

    edges = times.edges.tolist()
    parts = [quad(square, low, high)[0] for low, high in pairwise(edges)]
    wanted = [(part / sum(parts) + 0.1 / len(parts)) / 1.1 for part in parts]
    assert edges == pytest.approx(OU.geometric_grid(len(parts)).flip(0).tolist())
    assert times.shares.tolist() == pytest.approx(wanted, rel=0.06)  # five standard errors of 20 000 χ₁²


@pytest.mark.parametrize("energy", [ideal_energy, learned_energy])
def test_planned_times_take_fewer_draws_for_the_same_energy(energy):
    error = flow(mixture_of_five()).error(
        flow(KernelDensity(mixture_of_five().sample(500, generator=seeded(0)), 0.1))
    )
    plain = energy(error, 20_000, generator=seeded(1))
    times = energy_times(error, generator=seeded(2), learned=energy is learned_energy)
    planned = energy(error, 20_000, generator=seeded(3), times=times)
    assert within(planned - plain, 0.0)
    assert planned.stderr < 0.6 * plain.stderr


def test_times_planned_for_no_error_are_even():
    same = flow(random_mixture(0))
    assert energy_times(same.error(same), generator=seeded(0)).shares.tolist() == pytest.approx([1 / 24] * 24)


@samplers
def test_energy_of_a_constant_error_is_its_square_times_the_duration(times):
    push = flow(random_mixture(0)).inject(ConstantField(torch.tensor([0.3, -0.4], dtype=torch.float64)))
    energy = ideal_energy(push, 10_000, generator=seeded(0), times=times)
    assert within(energy, 0.25 * OU.duration)


@samplers
@pytest.mark.parametrize("dim", [1, 4])
def test_energy_of_a_linear_error_on_the_standard_normal(times, dim):
    error = flow(gaussian([0.0] * dim, 1.0)).inject(FunctionScore(lambda x, t: 0.7 * x))
    energy = ideal_energy(error, 40_000, generator=seeded(1), times=times)
    assert within(energy, 0.49 * dim * OU.duration)


@samplers
def test_energy_of_an_error_that_depends_on_time_and_place(times):
    """e = x/t on N(0, 4): E‖X_t‖² = 1 + 3 e^{−t}, integrated by quadrature."""
    error = flow(gaussian([0.0], 4.0)).inject(FunctionScore(lambda x, t: x / t[:, None]))
    energy = ideal_energy(error, 200_000, generator=seeded(2), times=times)
    exact, _ = quad(lambda t: (1 + 3 * math.exp(-t)) / t**2, OU.t_min, OU.t_max)
    assert within(energy, exact)


def test_energy_by_random_times_is_the_energy_along_simulated_paths():
    q = random_mixture(3)
    error = blur_error(q, 0.5)

    def along_paths(steps, seed):
        g, energy = seeded(seed), Energy(error)
        x = q.diffuse(OU.t_max).sample(5000, generator=g)
        grid = OU.uniform_grid(steps)
        simulate(error.exact, x, grid, EulerMaruyama(), generator=g, functionals=[energy])
        return energy.estimate()

    coarse, fine = along_paths(40, 4), along_paths(80, 5)
    ideal = ideal_energy(error, 40_000, generator=seeded(6))
    # The bias of the step is of first order: the refinement removes it, 2 E_{2K} − E_K.
    assert within(2 * fine - coarse, ideal)
    assert not within(coarse, ideal)


@pytest.mark.parametrize("bandwidth", [0.3, 1.0])
def test_for_consistent_scores_half_the_energy_is_the_divergence_gained(bandwidth):
    """KL(q_t0 ‖ p̂_t0) = ½ ε*² + KL(q_T ‖ p̂_T) when ŝ is the score flow of p̂."""
    q, nodes = random_mixture(4, dim=1), line()
    blurred = q.blur(bandwidth)
    near, far = (
        kl_on_nodes(density_on(q.diffuse(t), nodes), density_on(blurred.diffuse(t), nodes), nodes)
        for t in (OU.t_min, OU.t_max)
    )
    energy = ideal_energy(blur_error(q, bandwidth), 40_000, generator=seeded(7))
    assert within(0.5 * energy, near - far)


def test_for_consistent_scores_the_identity_holds_in_ten_dimensions():
    q = random_mixture(5, components=5, dim=10)
    g = seeded(8)
    near, far = (kl(q.diffuse(t), q.blur(0.6).diffuse(t), 40_000, generator=g) for t in (OU.t_min, OU.t_max))
    energy = ideal_energy(blur_error(q, 0.6), 40_000, generator=seeded(9))
    assert within(0.5 * energy + far, near)


@each_integrator
def test_a_step_solves_the_reverse_process_with_its_held_drift(integrator):
    """For a fixed start x the held drift is affine in the state: its mean and variance are ODEs."""
    t, t_next, x = 1.0, 0.4, torch.tensor([[0.7]], dtype=torch.float64)
    held_at, pull = torch.tensor([t], dtype=torch.float64), torch.tensor([[-1.3]], dtype=torch.float64)

    def drift(state, elapsed):
        now = held_at - elapsed
        return float(integrator.held_drift(torch.full_like(x, state), now, x, held_at, pull))

    def moments(elapsed, state):
        slope = drift(1.0, elapsed) - drift(0.0, elapsed)
        return [drift(state[0], elapsed), 2 * slope * state[1] + 1]

    solved = solve_ivp(moments, (0, t - t_next), [float(x), 0.0], rtol=1e-10, atol=1e-12).y[:, -1]
    still, moved = (integrator.step(lambda x, t: pull, x, t, t_next, xi) for xi in (0 * x, x / x))
    assert [float(still), float(moved - still) ** 2] == pytest.approx(solved.tolist(), rel=1e-7)


# E‖b̂ − b‖² at time t for s = −x in one dimension, with the drift held since the grid time `held`.
# From E(X_held − X_t)² = 2(1 − e^{−(held−t)/2}) and the drift errors ½ (X_t − X_held), twice that,
# and a (a_held X_held − a X_t)/v.
HELD_ON_STANDARD_NORMAL = {
    EulerMaruyama(): lambda t, held: 0.5 * (1 - math.exp(-(held - t) / 2)),
    ExponentialIntegrator(): lambda t, held: 2 * (1 - math.exp(-(held - t) / 2)),
    Ancestral(): lambda t, held: math.exp(-t) * (math.exp(-t) - math.exp(-held)) / (1 - math.exp(-t)) ** 2,
}


def held_on_the_standard_normal(integrator, grid):
    price = HELD_ON_STANDARD_NORMAL[integrator]
    return sum(quad(price, end, start, args=(start,))[0] for start, end in pairwise(grid.tolist()))


@samplers
@each_integrator
@pytest.mark.parametrize("grid", [OU.uniform_grid(15), OU.geometric_grid(25)], ids=["uniform", "geometric"])
def test_held_energy_of_the_steps_on_the_standard_normal(integrator, grid, times):
    score = flow(gaussian([0.0, 0.0], 1.0))
    energy = held_energy(score.error(score), grid, integrator, 40_000, generator=seeded(10), times=times)
    assert within(energy, 2 * held_on_the_standard_normal(integrator, grid))


def test_held_energy_adds_the_score_error_where_it_is_independent_of_the_steps():
    exact, grid, step = flow(gaussian([0.0], 1.0)), OU.uniform_grid(15), EulerMaruyama()
    push = ConstantField(torch.tensor([0.6], dtype=torch.float64))
    energy = held_energy(exact.inject(push), grid, step, 40_000, generator=seeded(11))
    assert within(energy, held_on_the_standard_normal(step, grid) + 0.36 * OU.duration)


@each_integrator
def test_half_the_held_energy_bounds_the_divergence_of_the_endpoint(integrator):
    """Data processing; the divergence is by quadrature, from the exact start q_T."""
    q, nodes = random_mixture(6, dim=1), line(count=701)
    score = flow(q)
    start = density_on(q.diffuse(OU.t_max), nodes)
    # Stopping this early keeps the noise of the smallest step wider than the nodes.
    stop = OrnsteinUhlenbeck(0.2, OU.t_max)
    grid = stop.geometric_grid(40)
    evolved = evolve_density(score, start, nodes, grid, integrator)
    endpoint = kl_on_nodes(density_on(q.diffuse(0.2), nodes), evolved, nodes)
    early = Flow(q, stop)
    energy = held_energy(early.error(early), grid, integrator, 20_000, generator=seeded(12))
    assert endpoint > 1e-6
    assert 0.5 * (energy.value - 5 * energy.stderr) >= endpoint


def bounded(x, t):
    return 0.4 * torch.tanh(x.roll(1, dims=1) + t)


@pytest.fixture(scope="module")
def ideal_run():
    """Energy and martingale of a small bounded error along paths of the exact score."""
    q, g = random_mixture(7), seeded(13)
    energy, martingale = Energy(bounded), Martingale(bounded)
    x = q.diffuse(OU.t_max).sample(20_000, generator=g)
    grid = OU.geometric_grid(50)
    simulate(flow(q), x, grid, EulerMaruyama(), generator=g, functionals=[energy, martingale])
    return energy, martingale


def test_the_likelihood_ratio_has_mean_one(ideal_run):
    energy, martingale = ideal_run
    log_ratio = martingale.values - 0.5 * energy.values
    assert float(log_ratio.std()) > 0.3
    assert within(Estimate.from_samples(torch.exp(log_ratio)), 1.0)


def test_the_martingale_has_mean_zero_and_the_energy_as_variance(ideal_run):
    energy, martingale = ideal_run
    assert within(Estimate.from_samples(martingale.values), 0.0)
    assert within(Estimate.from_samples(martingale.values**2 - energy.values), 0.0)


def test_functionals_sum_over_the_starts_of_the_steps():
    """Ito's sums, from the states alone: the increments of the noise are what the drift leaves over."""
    q, grid, path = random_mixture(8), OU.geometric_grid(12), Trajectory()
    energy, martingale = Energy(bounded), Martingale(bounded)
    x, score = q.sample(5, generator=seeded(14)), flow(q)
    watchers = [energy, martingale, path]
    simulate(score, x, grid, EulerMaruyama(), generator=seeded(15), functionals=watchers)
    energies, martingales = torch.zeros(2, 5, dtype=torch.float64)
    for k, (t, t_next) in enumerate(pairwise(grid.tolist())):
        now, gap = path.states[k], t - t_next
        increment = path.states[k + 1] - now - (0.5 * now + score(now, t)) * gap
        energies += bounded(now, t).square().sum(1) * gap
        martingales += (bounded(now, t) * increment).sum(1)
    torch.testing.assert_close(energy.values, energies)
    torch.testing.assert_close(martingale.values, martingales)
