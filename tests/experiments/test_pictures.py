"""What is kept of a generation of pictures: against draws of Gaussians, and in a small recursion of digits."""

from __future__ import annotations

import math

import pytest
import torch

from helpers import seeded
from scoredrift.experiments import digits_pictures, in_features, run_codes, run_pixels, through_code

SMALL = {"width": 32, "steps": 60, "sampler": 8, "size": 700, "generations": 1, "pictures": 3}
HERE = {"seed": 3, "device": "cpu", "progress": False}


def gaussians(n=400_000):
    """Data N(0, I) through a linear map, and a sample that is off by a known Gaussian in the whitened view."""
    mix = torch.tensor([[2.0, 0.3], [-1.0, 0.7]], dtype=torch.float64)
    x, y = (torch.randn(n, 2, generator=seeded(s), dtype=torch.float64) for s in (1, 2))
    spread, shift = torch.tensor([1.2, 0.6]).double(), torch.tensor([0.4, -0.3]).double()
    return x @ mix, (spread * y + shift) @ mix, spread, shift


def test_the_divergences_of_gaussians_are_those_of_their_moments():
    data, drawn, spread, shift = gaussians()
    found = in_features(data, drawn)
    c = spread.square()
    kl = 0.5 * float((c + shift.square() - 1 - c.log()).sum())
    weight = (shift.square() / (2 - c)).sum() - 0.5 * (c * (2 - c)).log().sum()
    assert float(found["deviation"].square().sum()) == pytest.approx(0.25, rel=0.02)
    assert found["gaussian_kl"] == pytest.approx(kl, rel=0.02)
    assert found["gaussian_chi2"] == pytest.approx(math.expm1(float(weight)), rel=0.03)
    assert found["chance"] == pytest.approx(float(c.sum()) / len(drawn), rel=0.02)


def test_chi2_by_quadrature():
    """∫ p̂²/p − 1 on the line, for a Gaussian that is off in mean and variance."""
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    c, d = 1.3, 0.5
    log_ratio = -((x - d) ** 2) / c - math.log(c) + x.square() / 2 - 0.5 * math.log(2 * math.pi)
    wanted = float(log_ratio.exp().sum() * (x[1] - x[0])) - 1
    z = torch.randn(2_000_000, 1, generator=seeded(3), dtype=torch.float64)
    drawn = math.sqrt(c) * torch.randn(2_000_000, 1, generator=seeded(4), dtype=torch.float64) + d
    assert in_features(z, drawn)["gaussian_chi2"] == pytest.approx(wanted, rel=0.02)


def test_chi2_of_a_sample_that_is_too_wide_is_infinite():
    z = torch.randn(2_000, 1, generator=seeded(5), dtype=torch.float64)
    assert in_features(z, 2 * z)["gaussian_chi2"] == math.inf


def test_a_recursion_of_codes_keeps_numbers_and_pictures_and_goes_on(tmp_path):
    world = digits_pictures()
    whole = run_codes(SMALL, alpha=0.5, run=0, folder=None, pictures=world, **HERE)
    run_codes(SMALL | {"generations": 0}, alpha=0.5, run=0, folder=tmp_path, pictures=world, **HERE)
    again = run_codes(SMALL, alpha=0.5, run=0, folder=tmp_path, pictures=world, **HERE)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole.keys())  # noqa: SIM118
    assert whole["pictures"].shape == (2, 3, 8, 8)
    assert torch.allclose(whole["classes"].sum(1), torch.ones(2))
    assert bool((whole["recall"][:, 0] <= 1).all())
    assert bool((whole["frechet"] > 0).all())


def test_runs_at_different_fractions_have_nothing_in_common():
    one, other = (
        run_codes(SMALL | {"generations": 0}, alpha=a, run=0, folder=None, pictures=digits_pictures(), **HERE)
        for a in (0.5, 0.9)
    )
    assert not torch.equal(one.drawn, other.drawn)


def test_a_recursion_of_pixels_keeps_bytes():
    small = {"channels": (8, 16), "steps": 4, "batch": 16, "rate": 1e-3, "sampler": 3, "size": 700}
    found = run_pixels(
        small | {"generations": 0, "pictures": 3},
        alpha=0.5,
        run=0,
        folder=None,
        pictures=digits_pictures(),
        **HERE,
    )
    assert found["pictures"].dtype == torch.uint8
    middle = 128 * (found.drawn + 1)
    assert bool(((middle >= 0) & (middle < 256)).all())


def test_a_code_is_its_own_when_it_is_looked_through_twice():
    world = digits_pictures()
    once = through_code(world)
    again = world.decoded(world.code.encode((once.flatten(1).float() + 0.5) / 128 - 1))
    assert float((once.int() - again.int()).abs().float().mean()) < 4  # cutting at black is not undone


def test_a_ridge_is_added_to_both_covariances():
    """Against the formula with covariances written out, on few points in many features."""
    x, y = (torch.randn(40, 6, generator=seeded(s), dtype=torch.float64) for s in (6, 7))
    x, y = x * torch.arange(1, 7), 1.2 * y * torch.arange(1, 7) + 0.5
    for ridge in (0.0, 0.1, 2.0):
        found = in_features(x, y, ridge=ridge)
        one, two = (torch.cov(z.T) for z in (x, y))
        added = ridge * one.trace() / 6 * torch.eye(6, dtype=torch.float64)
        one, two, gap = one + added, two + added, y.mean(0) - x.mean(0)
        inner = torch.linalg.solve(one, two)
        kl = 0.5 * float(inner.trace() + gap @ torch.linalg.solve(one, gap) - 6 - inner.logdet())
        assert found["gaussian_kl"] == pytest.approx(kl, rel=1e-9)
        size = float(found["deviation"].square().sum())
        assert size == pytest.approx(float(gap @ torch.linalg.solve(one, gap)), rel=1e-5)


def test_features_that_depend_on_each_other_need_a_ridge():
    x = torch.randn(5, 8, generator=seeded(8), dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^data = 5 points: .*pass a ridge"):
        in_features(x, x)
    assert in_features(x, x, ridge=0.1)["gaussian_kl"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match=r"^ridge = "):
        in_features(x, x, ridge=-1)
