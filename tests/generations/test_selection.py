"""Selection as a regime: what is kept, against truncated laws, and that nothing is claimed which is not known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import truncnorm

from helpers import seeded
from scoredrift import Estimate, Gaussian, recurse
from scoredrift.generations import Selected, gaussian_fit, response_forecast

UNIT = Gaussian(torch.zeros(1).double(), torch.eye(1).double())


def near(x):
    return -x.square().sum(1)


def test_what_is_kept_is_the_truncated_law():
    """Of a normal the tenth that is nearest to its mean: |x| below a quantile, with the variance of what is cut off."""
    g = seeded(0)
    drawn = torch.randn(200_000, 1, generator=g, dtype=torch.float64)
    edge = float(truncnorm.ppf(0.55, -math.inf, math.inf))
    training = Selected(1e-9, near, kept=0.1).training_set(lambda n: drawn[:n], drawn, None, generator=g)
    assert len(training) == len(drawn)
    assert float(training.abs().max()) == pytest.approx(edge, rel=0.02)
    wanted = float(truncnorm.var(-edge, edge))
    best = training.unique()
    assert abs(len(best) - 20_000) < 20  # nearly all of them are drawn again
    assert abs(Estimate.from_samples(best.square()).sigmas_from(wanted)) < 5


def test_fresh_points_are_not_selected():
    g = seeded(1)
    drawn = torch.randn(10_000, 1, generator=g, dtype=torch.float64)
    training = Selected(0.3, near, kept=0.05).training_set(
        lambda n: torch.full((n, 1), 99.0).double(), drawn, None, generator=g
    )
    fresh = float((training == 99).double().mean())
    assert abs(fresh - 0.3) < 5 * math.sqrt(0.21 / 10_000)


@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_a_loop_ends_at_the_fixed_point_of_its_variance(kept):
    """v' = α + (1−α) s v for Gaussians that are fitted, with s the variance of what is kept of a unit normal."""
    alpha = 0.5
    edge = float(truncnorm.ppf(0.5 + kept / 2, -math.inf, math.inf)) if kept < 1 else math.inf
    shrink = float(truncnorm.var(-edge, edge)) if kept < 1 else 1.0
    ends = []
    for run in range(20):
        found = recurse(
            gaussian_fit,
            UNIT,
            regime=Selected(alpha, near, kept=kept),
            generations=8,
            size=4_000,
            seed=(3, run),
            measure=lambda generation: {"v": generation.drawn.var()},
        )
        ends.append(float(found["v"][-1]))
    assert abs(Estimate.from_samples(torch.tensor(ends)).sigmas_from(alpha / (1 - (1 - alpha) * shrink))) < 5


def test_what_is_not_known_is_not_told():
    regime = Selected(0.5, near, kept=0.5)
    with pytest.raises(ValueError, match="has no formula"):
        regime.training_law(UNIT, UNIT, None, 0)
    with pytest.raises(ValueError, match="no share"):
        response_forecast(torch.rand(3, 2, 3), before=0.5, regime=regime, generations=2)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"kept": 0.0}, "kept"),
        ({"kept": 1.5}, "kept"),
        ({"quality": 3}, "quality"),
    ],
)
def test_bad_settings_are_refused(arguments, what):
    with pytest.raises(ValueError, match=f"^{what} = "):
        Selected(**({"alpha": 0.5, "quality": near, "kept": 0.5} | arguments))


@pytest.mark.parametrize("quality", [lambda x: x, lambda x: x[:, 0] * math.nan, lambda x: 1.0])
def test_a_quality_that_is_none_is_refused(quality):
    with pytest.raises(ValueError, match=r"^quality\(x\) = "):
        Selected(0.5, quality, kept=0.5).training_set(lambda n: DRAWN[:n], DRAWN, None, generator=seeded(0))


DRAWN = torch.randn(20, 1, generator=seeded(2))
