"""Bias and noise apart, the best fresh fraction, and the budget that a drift needs."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from helpers import seeded, within
from scoredrift import Estimate
from scoredrift.generations import best_fraction, bias_and_noise, fresh_points_needed

BIAS = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)
SPREAD = 0.4


def linear(alpha, generations, runs, seed, *, own=0.0):
    """Sizes D, B, D' of the last step of δ' = (1 − α)(1 − own) δ + b + noise, one for each run."""
    g = seeded(seed)
    delta = torch.zeros(runs, 3, dtype=torch.float64)
    for _ in range(generations + 2):
        noise = SPREAD * torch.randn(runs, 3, generator=g, dtype=torch.float64)
        before, delta = delta, (1 - own) * (1 - alpha) * delta + BIAS + noise
    sizes = before, delta - (1 - alpha) * before, delta
    return [one.square().sum(1) for one in sizes]


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("generation", [0, 1, 7])
def test_parts_of_a_linear_learner_in_any_generation(alpha, generation):
    found = bias_and_noise(*linear(alpha, generation, 20_000, 1), alpha=alpha, generation=generation)
    assert within(found.bias, float(BIAS @ BIAS))
    assert within(found.noise, 3 * SPREAD**2)


@pytest.mark.parametrize("alpha", [0.2, 0.7])
def test_parts_in_the_steady_state_with_and_without_the_next_generation(alpha):
    before, forcing, after = linear(alpha, 60, 20_000, 2)
    for found in (
        bias_and_noise(before, forcing, after, alpha=alpha),
        bias_and_noise(before, forcing, alpha=alpha),
    ):
        assert within(found.bias, float(BIAS @ BIAS))
        assert within(found.noise, 3 * SPREAD**2)


def test_standard_errors_are_those_of_repetitions():
    found = [bias_and_noise(*linear(0.3, 4, 100, 100 + k), alpha=0.3, generation=4) for k in range(300)]
    for part, exact in (("bias", float(BIAS @ BIAS)), ("noise", 3 * SPREAD**2)):
        scores = torch.tensor([getattr(one, part).sigmas_from(exact) for one in found])
        assert 0.85 < float(scores.std()) < 1.15


def test_errors_of_independent_estimates():
    d, b, after = Estimate(2.0, 0.3), Estimate(0.5, 0.02), Estimate(2.5, 0.1)
    alpha, keep = 0.4, 0.6
    scale = alpha / (2 * keep * (1 - keep**3))
    found = bias_and_noise(d, b, after, alpha=alpha, generation=2)
    assert found.bias.value == pytest.approx(scale * (2.5 - keep**2 * 2.0 - 0.5))
    assert found.bias.stderr == pytest.approx(scale * math.hypot(0.1, keep**2 * 0.3, 0.02))
    assert found.noise.value == pytest.approx(0.5 - found.bias.value)
    assert found.noise.stderr == pytest.approx(
        math.hypot(scale * 0.1, scale * keep**2 * 0.3, (1 + scale) * 0.02)
    )
    late = bias_and_noise(d, b, alpha=alpha)
    scale = alpha / (2 * keep)
    assert late.bias.stderr == pytest.approx(scale * math.hypot(alpha * (2 - alpha) * 0.3, 0.02))


def test_negative_parts_are_left_as_they_are():
    found = bias_and_noise(0.1, 1.0, alpha=0.5)
    assert found.bias.value == pytest.approx(0.25 * (0.75 * 0.1 - 1.0) / 0.5)
    assert found.bias.value < 0


def test_what_comes_out_if_the_learner_forgets_by_itself():
    alpha, own = 0.3, 0.1
    after_all = 1 - (1 - own) * (1 - alpha)  # α'
    mean, scatter = 0.14 / after_all**2, 0.48 / (after_all * (2 - after_all))
    drift = mean + scatter
    forcing = drift + (1 - alpha) ** 2 * drift - 2 * (1 - alpha) * ((1 - after_all) * scatter + mean)
    found = bias_and_noise(drift, forcing, alpha=alpha).bias.value
    assert found == pytest.approx(alpha**2 * (mean - (after_all - alpha) * scatter / alpha))


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((1.0, 1.0), {"alpha": 1.0}, "alpha"),
        ((1.0, 1.0), {"alpha": 0.0}, "alpha"),
        ((1.0, 1.0), {"alpha": 0.5, "generation": 3}, "after"),
        ((1.0, 1.0, 1.0), {"alpha": 0.5, "generation": -1}, "generation"),
        ((1.0, math.inf), {"alpha": 0.5}, "forcing"),
        ((torch.ones(3), torch.ones(2)), {"alpha": 0.5}, "forcing"),
        ((torch.ones(3), 1.0), {"alpha": 0.5}, "forcing"),
    ],
)
def test_refusals_of_parts(arguments, options, name):
    with pytest.raises(ValueError, match=name):
        bias_and_noise(*arguments, **options)


positive = st.floats(1e-9, 1e3)


def drift(alpha, bias, m, fresh):
    return bias / alpha**2 + m / (fresh * (2 - alpha))


@given(bias=positive, m=st.floats(1e-2, 1e4), fresh=st.floats(1, 1e7))
def test_best_fraction_is_where_a_search_finds_it(bias, m, fresh):
    best = best_fraction(bias, m, fresh)
    alpha = best.alpha.value
    assert 0 < alpha <= 1
    assert best.drift.value == pytest.approx(drift(alpha, bias, m, fresh))
    assert best.all_fresh.value == pytest.approx(bias + m / fresh)
    found = minimize_scalar(
        lambda log: math.log(drift(math.exp(log), bias, m, fresh)), bounds=(math.log(alpha) - 3, 0.0)
    )
    assert best.drift.value <= math.exp(found.fun) * (1 + 1e-12)
    if alpha < 1:
        assert alpha**3 == pytest.approx(2 * fresh * bias / m * (2 - alpha) ** 2, rel=1e-9)


def test_errors_of_the_best_fraction_are_differences():
    bias, m, fresh, step = 2e-4, 20.0, 500, 1e-6
    for which in (0, 1):
        errors = [0.0, 0.0]
        errors[which] = step * (bias, m)[which]
        best = best_fraction(Estimate(bias, errors[0]), Estimate(m, errors[1]), fresh)
        moved = best_fraction(bias + errors[0], m + errors[1], fresh)
        for name in ("alpha", "drift", "all_fresh"):
            one, other = getattr(best, name), getattr(moved, name)
            assert one.stderr == pytest.approx(abs(other.value - one.value), rel=1e-4)


@pytest.mark.parametrize("theta", [0.02, 0.3, 0.45, 0.5, 0.55, 0.8])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.45])
def test_two_standard_errors_of_the_best_fraction_cover_two_of_theta(theta, share):
    """Also where the estimate of θ lies beyond ½ and the truth does not."""
    known = best_fraction(theta, 1.0, 1.0).alpha.value
    for sigmas in (-1.99, -1.0, -0.3, 0.0, 0.5, 1.0, 1.99):
        estimate = theta / (1 + sigmas * share)  # the truth lies ``sigmas`` above it
        if estimate > 0:
            found = best_fraction(Estimate(estimate, share * estimate), 1.0, 1.0).alpha
            assert abs(found.value - known) <= max(abs(sigmas), 2) * found.stderr + 1e-12


def test_one_without_an_error_is_said_only_two_standard_errors_beyond_the_boundary():
    assert best_fraction(Estimate(0.49999, 0.1), 1, 1).alpha.stderr > 0.02
    assert best_fraction(Estimate(0.69, 0.1), 1, 1).alpha.stderr > 0
    assert best_fraction(Estimate(0.71, 0.1), 1, 1).alpha == Estimate(1.0)
    below = best_fraction(Estimate(0.5, 0.1), Estimate(1.0, 0.01), 1).alpha
    lost = 1 - best_fraction(0.5 * (1 - 2 * math.hypot(0.2, 0.01)), 1, 1).alpha.value
    assert below.stderr == pytest.approx(0.5 * lost)
    assert best_fraction(Estimate(0.5, 0.3), 1, 1).alpha == Estimate(1.0, 0.5)  # θ may be zero


def test_no_synthetic_data_where_bias_is_half_of_the_noise():
    assert best_fraction(0.0100001, 2, 100).alpha == Estimate(1.0)
    assert best_fraction(0.0099999, 2, 100).alpha.value == pytest.approx(1, abs=1e-4)
    assert best_fraction(Fraction(1, 64), 2, 64).alpha.value == 1


@given(bias=positive, m=st.floats(1e-2, 1e4), times=st.floats(1.001, 1e6))
def test_budget_that_a_drift_needs(bias, m, times):
    needed = fresh_points_needed(bias * times, bias=bias, parameters=m)
    assert best_fraction(bias, m, needed).drift.value == pytest.approx(bias * times, rel=1e-9)


def test_budget_by_a_search():
    def excess(log_fresh):
        return best_fraction(1e-3, 20, math.exp(log_fresh)).drift.value - 0.05

    for wanted in (0.05, 2.7e-3):  # with synthetic data, and where fresh data alone are best
        sought = math.exp(brentq(lambda x, y=wanted: excess(x) + 0.05 - y, 0, 20))
        found = fresh_points_needed(wanted, bias=1e-3, parameters=20)
        assert found == pytest.approx(sought)
    assert fresh_points_needed(1e-3, bias=1e-3, parameters=20) == math.inf
    assert fresh_points_needed(1e200, bias=1e-200, parameters=2.0) == pytest.approx(1e-200, abs=0)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan, Estimate(-0.1, 0.2)])
def test_refusals_of_the_best_fraction(wrong):
    with pytest.raises(ValueError, match="bias"):
        best_fraction(wrong, 1.0, 1.0)
    with pytest.raises(ValueError, match="parameters"):
        best_fraction(1.0, wrong, 1.0)
