"""The least fresh fraction and changing schedules: against closed forms, recursions of points, and bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import seeded
from scoredrift import Estimate
from scoredrift.generations import (
    BiasAndNoise,
    FreshFraction,
    forecast,
    fresh_fraction_needed,
    gaussian_fit,
    recurse,
    scheduled_drift,
)
from scoredrift.laws import Gaussian


def parts(bias, noise, *errors):
    one, two = errors or (0.0, 0.0)
    return BiasAndNoise(Estimate(bias, one), Estimate(noise, two))


@settings(deadline=None, max_examples=200)
@given(st.floats(1e-8, 1.0), st.floats(0.0, 1.0), st.floats(1e-6, 1.0))
def test_the_fraction_leaves_the_drift(scale, share, alpha):
    """Forwards and back, whatever the parts."""
    bias, noise = scale * share, scale * (1 - share)
    drift = bias / alpha**2 + noise / (alpha * (2 - alpha))
    if math.isfinite(drift) and drift > bias + noise:
        assert fresh_fraction_needed(parts(bias, noise), drift).value == pytest.approx(alpha, rel=1e-6)


def test_bias_alone_and_noise_alone_in_closed_form():
    assert fresh_fraction_needed(parts(0.01, 0.0), 1.0).value == pytest.approx(0.1)
    wanted = 1 - math.sqrt(1 - 0.01 / 0.05)
    assert fresh_fraction_needed(parts(0.0, 0.01), 0.05).value == pytest.approx(wanted)
    assert fresh_fraction_needed(parts(0.0, 0.0), 0.05) == Estimate(0.0, 0.0)
    assert fresh_fraction_needed(parts(-0.01, 0.02), 0.02).value == pytest.approx(1)


def test_the_error_is_that_of_the_parts():
    """Against the fractions for parts that are off by their errors."""
    at = fresh_fraction_needed(parts(0.01, 0.02, 1e-5, 2e-5), 0.2)
    off = fresh_fraction_needed(parts(0.01 + 1e-5, 0.02 + 2e-5), 0.2)
    assert at.stderr == pytest.approx(off.value - at.value, rel=1e-2)


def test_where_the_drift_is_flat_an_error_of_the_noise_leaves_the_fraction_unknown():
    assert fresh_fraction_needed(parts(0.0, 0.05, 0.0, 0.01), 0.05) == Estimate(1.0, math.inf)
    assert fresh_fraction_needed(parts(0.0, 0.05), 0.05) == Estimate(1.0, 0.0)


def test_a_constant_schedule_is_the_forecast():
    found = parts(0.01, 0.02, 0.001, 0.002)
    for one, two in zip(
        scheduled_drift(found, [0.3] * 8), forecast(found, alpha=0.3, generations=8), strict=True
    ):
        assert one.value == pytest.approx(two.value)
        assert one.stderr == pytest.approx(two.stderr)


def test_a_schedule_of_fractions_and_sizes_against_gaussians():
    """Means of fitted Gaussians are exact: no bias, noise σ²/n; fractions and sizes change from one to the next."""
    fractions, sizes = [0.2, 0.6, 0.1, 1.0, 0.3], [1.0, 0.5, 2.0, 1.0, 0.25, 4.0]
    n, runs, dim = 200, 400, 4
    drifts = torch.zeros(len(sizes), runs, dtype=torch.float64)
    for run in range(runs):
        g, mean = seeded(run), torch.zeros(dim, dtype=torch.float64)
        for i, (alpha, size) in enumerate(zip([1.0, *fractions], sizes, strict=True)):
            mean = (1 - alpha) * mean + torch.randn(dim, generator=g, dtype=torch.float64) / math.sqrt(
                n * size
            )
            drifts[i, run] = mean.square().sum()
    said = scheduled_drift(parts(0.0, dim / n), fractions, sizes)
    for one, measured in zip(said, drifts, strict=True):
        assert abs(Estimate.from_samples(measured).sigmas_from(one.value)) < 5


def test_the_least_fraction_holds_in_a_recursion_it_was_not_made_for():
    """Fitted Gaussians, whose means drift by sampling alone: the mean of D in the long run is what was asked for."""
    law, n = Gaussian(torch.zeros(3).double(), torch.eye(3).double()), 300
    alpha = fresh_fraction_needed(parts(0.0, 3 / n), 0.03).value
    drifts = []
    for run in range(24):
        history = recurse(
            gaussian_fit,
            law,
            regime=FreshFraction(alpha),
            generations=40,
            size=n,
            seed=(1, run),
            measure=lambda one: {"drift": one.model.mean.square().sum()},
        )
        drifts.append(history["drift"][20:].mean())
    measured = Estimate.from_samples(torch.stack(drifts).double())
    assert abs(measured.sigmas_from(0.03)) < 5


@pytest.mark.parametrize("drift", [0.0, -1.0, math.nan, math.inf])
def test_bad_drifts_are_refused(drift):
    with pytest.raises(ValueError, match=r"^drift = "):
        fresh_fraction_needed(parts(0.01, 0.01), drift)


def test_what_no_fraction_reaches_is_refused():
    with pytest.raises(ValueError, match=r"^drift = 0.02: fresh data alone leave 0.03"):
        fresh_fraction_needed(parts(0.01, 0.02), 0.02)


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        (r"fractions\[1\]", {"fractions": [0.5, 0.0]}),
        (r"fractions\[0\]", {"fractions": [1.5]}),
        ("sizes", {"fractions": [0.5], "sizes": [1.0]}),
        (r"sizes\[1\]", {"fractions": [0.5], "sizes": [1.0, 0.0]}),
    ],
)
def test_bad_schedules_are_refused(named, arguments):
    with pytest.raises(ValueError, match=f"^{named} = "):
        scheduled_drift(parts(0.01, 0.01), **arguments)
