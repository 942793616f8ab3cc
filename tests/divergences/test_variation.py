"""Total variation: against closed forms and quadrature, its linearity, and what it is bounded by."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import density_on, gaussian, line, mixtures, repeatable, seeded, within
from scoredrift import Estimate, GaussianMixture
from scoredrift.divergences import (
    pinsker,
    total_variation,
    total_variation_on_nodes,
)

NODES = line(-60, 60, 24_001)


def normal_tail(x):
    return 0.5 * math.erfc(x / math.sqrt(2))


def of_variances(v):
    """TV of N(0, v) from N(0, 1), v > 1: the densities cross at ±x with x² = v log v/(v − 1)."""
    x = math.sqrt(v * math.log(v) / (v - 1))
    return 2 * (normal_tail(x / math.sqrt(v)) - normal_tail(x))


CASES = {
    "a shift": (gaussian([1.3], 1.0), gaussian([0.0], 1.0), math.erf(0.65 / math.sqrt(2))),
    "a small shift": (gaussian([1e-4], 1.0), gaussian([0.0], 1.0), math.erf(5e-5 / math.sqrt(2))),
    "χ² infinite": (gaussian([0.0], 9.0), gaussian([0.0], 1.0), of_variances(9.0)),
    "hardly any overlap": (gaussian([20.0], 1.0), gaussian([0.0], 1.0), 1.0),
}
each_case = pytest.mark.parametrize("name", CASES)


@each_case
def test_closed_forms(name):
    p, q, wanted = CASES[name]
    found = total_variation(p, q, 20_000, generator=seeded(1))
    assert within(found, wanted)
    assert found.stderr < 0.02 * wanted + 1.001 / 20_000
    on_nodes = total_variation_on_nodes(density_on(p, NODES), density_on(q, NODES), NODES)
    assert on_nodes == pytest.approx(wanted, rel=1e-4)


def test_in_several_dimensions_only_the_shift_counts():
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 7, dtype=torch.float64)
    p, q = GaussianMixture(one, zero + 0.3, one), GaussianMixture(one, zero, one)
    wanted = math.erf(0.3 * math.sqrt(7) / math.sqrt(8))
    assert within(total_variation(p, q, 20_000, generator=seeded(2)), wanted)


def test_on_a_plane():
    p, q = (density_on(gaussian([m], 1.0), NODES[10_000:14_001:8]) for m in (0.4, 0.0))
    product = total_variation_on_nodes(p[:, None] * p, q[:, None] * q, NODES[10_000:14_001:8])
    assert product == pytest.approx(math.erf(0.4 * math.sqrt(2) / math.sqrt(8)), rel=1e-3)


@repeatable
@given(mixtures(1), mixtures(1), st.floats(0.01, 1))
def test_it_is_linear_under_refresh_and_below_pinsker(p, q, alpha):
    f, g = density_on(p, NODES), density_on(q, NODES)
    apart = total_variation_on_nodes(f, g, NODES)
    assert total_variation_on_nodes(g, f, NODES) == apart
    mixed = total_variation_on_nodes(alpha * g + (1 - alpha) * f, g, NODES)
    assert mixed == pytest.approx((1 - alpha) * apart, rel=1e-9, abs=1e-12)
    f, g = f.clamp(min=1e-300), g.clamp(min=1e-300)
    for one, other in ((f, g), (g, f)):
        nats = max(float((one * (one / other).log()).sum()) * 0.005, 0.0)
        assert apart <= pinsker(nats).value + 1e-6


def test_densities_may_vanish():
    x = line(-2, 3, 5001)
    p, q = (((x > a) & (x < a + 1)).double() for a in (-0.0005, 0.4995))
    assert total_variation_on_nodes(p, q, x) == pytest.approx(0.5)


def test_what_is_cut_off_is_refused():
    x = line(-0.5, 0.5, 201)
    narrow, wide = (density_on(gaussian([0.0], v), x) for v in (0.01, 4.0))
    wide = wide / (wide.sum() * 0.005)
    with pytest.raises(ValueError, match="at the border"):
        total_variation_on_nodes(narrow, wide, x)


def test_pinsker_takes_the_smaller_and_carries_the_error():
    for kl in (1e-6, 0.3, 1.5, 1.7, 5.0, 800.0):
        two = math.sqrt(kl / 2), math.sqrt(1 - math.exp(-kl))
        assert pinsker(kl).value == pytest.approx(min(two))
        slope = (pinsker(kl * 1.001).value - pinsker(kl * 0.999).value) / (0.002 * kl)
        assert pinsker(Estimate(kl, 0.01 * kl)).stderr == pytest.approx(
            0.01 * kl * slope, rel=1e-3, abs=1e-12
        )


@pytest.mark.parametrize("bad", [-0.1, math.nan, Estimate(-0.1, 0.01)])
def test_pinsker_refuses(bad):
    with pytest.raises(ValueError, match="value"):
        pinsker(bad)
