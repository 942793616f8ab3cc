"""Forecasts of the drift of pictures: against linear recursions, the pilot, and what was stored before the run."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import t as student

from helpers import seeded
from scoredrift.datasets import middles
from scoredrift.experiments import digits_pictures, respread, spread_forecast, stored
from scoredrift.generations import FreshFraction, bias_of_repeats, forecast, response_forecast


def test_variances_that_respond_linearly_are_forecast_exactly():
    g = seeded(1)
    axes = torch.linalg.qr(torch.randn(5, 5, generator=g, dtype=torch.float64)).Q
    response = axes @ torch.diag(torch.tensor([1.5, 0.4, 0, 0, 0]).double()) @ axes.T
    bias = axes[:, 0] * 0.2 + axes[:, 1] * 0.1

    def path(alpha, generations):
        found = [1 + bias]
        for _ in range(generations):
            found.append(1 + bias + (1 - alpha) * response @ (found[-1] - 1))
        return torch.stack(found)

    pilot = path(0.5, 2)[None]
    for alpha in (0.3, 0.9, 1.0):
        said = spread_forecast(pilot, before=0.5, alpha=alpha, generations=6)
        torch.testing.assert_close(said, path(alpha, 6).clamp(min=0), rtol=1e-9, atol=1e-9)


def test_images_have_the_variances_that_they_are_to_have():
    world = digits_pictures()
    wanted = torch.linspace(0.3, 1.2, 20).double()
    images = world.law.images
    made = respread(images, world, wanted, generator=seeded(2))
    before, after = (world.code.encode(middles(x)).double() for x in (images, made))
    ratio = after.var(0) / before.var(0)
    # Levels that would be below black or above white are cut off, which takes some of the variance.
    assert ((ratio / wanted).log().abs() < 0.25).all()
    torch.testing.assert_close(respread(images, world, wanted, generator=seeded(2)), made, rtol=0, atol=0)


def test_without_a_change_the_images_are_those_of_the_code():
    world = digits_pictures()
    images = world.law.images
    made = respread(images, world, torch.ones(20), generator=seeded(3))
    kept = world.decoded(world.code.encode(middles(images)))
    assert float((made.float() - kept.float()).abs().max()) <= 1  # rounding


@pytest.mark.parametrize(
    "spread",
    [torch.ones(19), torch.full((20,), -0.1), torch.full((20,), math.nan), torch.full((20,), math.inf)],
)
def test_no_variances_are_refused(spread):
    world = digits_pictures()
    with pytest.raises(ValueError, match=r"^spread = .*: pass 20 finite variances"):
        respread(world.law.images, world, spread, generator=seeded(4))


def test_the_stored_forecasts_are_those_of_the_stored_pilot():
    """What was committed before the run: two of the three need no images to be computed again."""
    pilot, said = stored("fashion-pilot", "medium"), stored("fashion-forecast", "medium")
    delta = pilot.at("deviation", alpha=0.5)
    added = delta[:, 1:] - 0.5 * delta[:, :-1]
    quantile = student.ppf(0.9, len(delta) - 1)
    for alpha in said.axes["alpha"]:
        constant = said.at("constant", alpha=alpha, run=0)
        mine = forecast(bias_of_repeats(added), alpha=alpha, generations=10)
        assert constant[:, 0].tolist() == pytest.approx([one.value for one in mine], rel=1e-4)
        features = said.at("features", alpha=alpha, run=0)
        full, less = (
            response_forecast(some, before=0.5, regime=FreshFraction(alpha), generations=10)
            for some in (delta, delta[:, :-1])
        )
        for (value, low, high), one, other in zip(features.tolist(), full, less, strict=True):
            width = quantile * math.hypot(one.stderr / one.value, math.log(one.value / other.value))
            assert value == pytest.approx(one.value, rel=1e-3)
            assert math.log(high / value) == pytest.approx(width, rel=1e-2, abs=1e-3)
            assert math.log(value / low) == pytest.approx(width, rel=1e-2, abs=1e-3)
    at_pilot = said.at("components", alpha=0.5, run=0)[2, 0]
    assert float(at_pilot) == pytest.approx(float(delta[:, 2].square().sum(1).mean()), rel=1e-4)
