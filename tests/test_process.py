"""The forward process, its grids and its random times."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad

from helpers import seeded, within, worst_sigmas
from on_a_line import double
from scoredrift import Estimate, OrnsteinUhlenbeck
from scoredrift.process import StepTimes, log_uniform_times, random_times, scale, uniform_times, variance

TIMES = [0.0, 0.02, 0.5, 1.0, 4.0]


@pytest.mark.parametrize("t", TIMES)
def test_scale_and_variance_are_those_of_the_module_head(t):
    assert float(scale(t)) == pytest.approx(math.exp(-t / 2), rel=1e-14)
    assert float(variance(t)) == pytest.approx(1 - math.exp(-t), rel=1e-13)


def test_variance_keeps_its_digits_at_tiny_times():
    assert float(variance(1e-12)) == pytest.approx(1e-12 - 0.5e-24, rel=1e-15, abs=0)


@pytest.mark.parametrize("s", TIMES)
@pytest.mark.parametrize("t", TIMES)
def test_scale_and_variance_form_a_semigroup(s, t):
    assert float(scale(s) * scale(t)) == pytest.approx(float(scale(s + t)), rel=1e-14)
    composed = scale(t) ** 2 * variance(s) + variance(t)
    assert float(composed) == pytest.approx(float(variance(s + t)), rel=1e-13)


@pytest.mark.parametrize("route", [[0.3, 1.7], [0.3, 0.4, 1.7], [0.3, 0.9, 1.6, 1.7]])
def test_diffusing_by_any_route_gives_the_same_moments(route):
    g, ou = seeded(1), OrnsteinUhlenbeck()
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    x = start.expand(40_000, 2)
    for before, after in pairwise(route):
        x = ou.diffuse(x, before, after, generator=g)
    mean = math.exp(-0.7) * start
    spread = (1 - math.exp(-1.4)) * torch.eye(2, dtype=torch.float64)
    assert worst_sigmas(x, mean) < 5
    centred = x - mean
    assert worst_sigmas(centred[:, :, None] * centred[:, None, :], spread) < 5


def test_each_row_diffuses_by_its_own_times():
    ou = OrnsteinUhlenbeck()
    x = torch.randn(3, 2, generator=seeded(0), dtype=torch.float64)
    t_from = torch.tensor([0.0, 0.1, 2.0], dtype=torch.float64)
    t_to = torch.tensor([0.0, 3.0, 2.5], dtype=torch.float64)
    together = ou.diffuse(x, t_from, t_to, generator=seeded(7))
    for row in range(3):
        alone = ou.diffuse(x, float(t_from[row]), float(t_to[row]), generator=seeded(7))
        torch.testing.assert_close(together[row], alone[row], rtol=1e-14, atol=0)


def test_rows_with_their_own_times_have_the_moments_of_those_times():
    ou, n = OrnsteinUhlenbeck(), 20_000
    t = torch.tensor([0.05, 1.0, 4.0], dtype=torch.float64).repeat(n)
    x = torch.full((3 * n, 1), 2.0, dtype=torch.float64)
    y = ou.diffuse(x, 0.0, t, generator=seeded(2)).reshape(n, 3)
    mean = 2 * torch.exp(-t[:3] / 2)
    assert worst_sigmas(y, mean) < 5
    assert worst_sigmas((y - mean) ** 2, 1 - torch.exp(-t[:3])) < 5


@pytest.mark.parametrize("steps", [1, 2, 7, 500])
def test_uniform_grid_has_equal_differences_and_exact_ends(steps):
    grid = OrnsteinUhlenbeck(0.03, 3.3).uniform_grid(steps)
    assert grid.shape == (steps + 1,)
    assert (float(grid[0]), float(grid[-1])) == (3.3, 0.03)
    torch.testing.assert_close(-grid.diff(), torch.full_like(grid[1:], 3.27 / steps), rtol=1e-11, atol=0)


@pytest.mark.parametrize("steps", [1, 2, 7, 500])
def test_geometric_grid_has_equal_ratios_and_exact_ends(steps):
    grid = OrnsteinUhlenbeck(0.03, 3.3).geometric_grid(steps)
    assert grid.shape == (steps + 1,)
    assert (float(grid[0]), float(grid[-1])) == (3.3, 0.03)
    ratio = (0.03 / 3.3) ** (1 / steps)
    torch.testing.assert_close(grid[1:] / grid[:-1], torch.full_like(grid[1:], ratio), rtol=1e-11, atol=0)


@pytest.mark.parametrize("sampler", [uniform_times, log_uniform_times])
@pytest.mark.parametrize(
    "f",
    [torch.ones_like, lambda t: t, lambda t: 1 / t, lambda t: torch.exp(-3 * t)],
    ids=["1", "t", "1/t", "exp"],
)
def test_weighted_random_times_integrate(sampler, f):
    ou = OrnsteinUhlenbeck()
    t, weight = random_times(sampler, ou, 100_000, generator=seeded(3))
    assert bool((t >= ou.t_min).all() & (t <= ou.t_max).all())
    exact, _ = quad(lambda s: float(f(torch.tensor(s, dtype=torch.float64))), ou.t_min, ou.t_max)
    assert within(Estimate.from_samples(weight * f(t)), exact)


def test_log_uniform_times_integrate_one_over_t_without_variance():
    t, weight = random_times(log_uniform_times, OrnsteinUhlenbeck(), 50, generator=seeded(4))
    torch.testing.assert_close(weight / t, torch.full_like(t, math.log(200)), rtol=1e-13, atol=0)


@pytest.mark.parametrize("sampler", [uniform_times, log_uniform_times])
def test_stratified_uniform_numbers_give_stratified_times(sampler):
    ou, k = OrnsteinUhlenbeck(), 400
    u = (torch.arange(k) + torch.rand(k, generator=seeded(5), dtype=torch.float64)) / k
    t, weight = sampler(ou, u.reshape(20, 20))
    assert t.shape == weight.shape == (20, 20)
    assert bool((t.flatten().diff() > 0).all())
    exact, _ = quad(lambda s: math.exp(-3 * s), ou.t_min, ou.t_max)
    assert float((weight * torch.exp(-3 * t)).mean()) == pytest.approx(exact, rel=3e-3)


OU = OrnsteinUhlenbeck()
EDGES = double([0.02, 0.1, 0.3, 1.5, 4.0])
STEPS = StepTimes(EDGES, double([0.4, 0.1, 0.3, 0.2]))
MIDDLES = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000


@pytest.mark.parametrize("f", [torch.ones_like, lambda t: 1 / t, torch.sin], ids=["1", "1/t", "sin"])
def test_weighted_means_over_step_times_are_integrals(f):
    """At equally spaced quantiles, so without randomness."""
    t, weight = STEPS(OU, MIDDLES)
    integral, _ = quad(lambda s: float(f(double(s))), OU.t_min, OU.t_max)
    assert float((weight * f(t)).mean()) == pytest.approx(integral, rel=1e-6)


def test_step_times_fall_into_the_intervals_by_their_shares():
    t, weight = STEPS(OU, MIDDLES.reshape(400, 500))
    counts = [float(((t >= low) & (t < high)).double().mean()) for low, high in pairwise(EDGES)]
    assert counts == pytest.approx(STEPS.shares.tolist(), abs=1e-5)
    assert t.shape == weight.shape == (400, 500)
    assert bool((t.flatten().diff() > 0).all())
    ends, _ = STEPS(OU, double([0.0, 0.4, 0.5, 0.8, 1.0]))
    assert ends.tolist() == pytest.approx(EDGES.tolist(), rel=1e-12)


def test_step_times_stay_between_the_ends():
    rounded = StepTimes(double([0.5 - 1e-9, 1.0, 3.0 + 1e-9]), double([0.5, 0.5]))
    t, _ = rounded(OrnsteinUhlenbeck(0.5, 3.0), double([0.0, 1.0]))
    assert t.tolist() == [0.5, 3.0]
    with pytest.raises(ValueError, match="edges = from 0 to 9: run them over"):  # its weights would be for 9
        StepTimes(double([0.0, 1.0, 9.0]), double([0.5, 0.5]))(OrnsteinUhlenbeck(0.5, 3.0), double([0.5]))
