"""Bounded divergences, against quadrature, closed limits, and each other."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import density_on, gaussian, line, mixtures, repeatable, seeded, within
from scoredrift import GaussianMixture
from scoredrift.divergences import chi2_finite, good_set_chi2, midpoint_chi2, total_variation


def double(values):
    return torch.tensor(values, dtype=torch.float64)


NODES = line(-60, 60, 24_001)
SPACING = 0.005
WIDE, NORMAL = gaussian([0.0], 9.0), gaussian([0.0], 1.0)


def on_grid(p, q, cap=math.inf):
    """χ²(P‖M), χ² on the good set and P outside it, by a rectangle sum."""
    f, g = density_on(p, NODES), density_on(q, NODES).clamp(min=1e-300)
    good = f <= cap * g
    midpoint = 0.5 * float(((f - g) ** 2 / (f + g)).sum()) * SPACING
    chi2 = float(((f - g) ** 2 / g)[good].sum()) * SPACING
    return midpoint, chi2, float(f[~good].sum()) * SPACING


PAIRS = {
    "wide against narrow": (WIDE, NORMAL),
    "narrow against wide": (NORMAL, WIDE),
    "shifted": (gaussian([0.7], 1.0), NORMAL),
    "far apart": (gaussian([4.0], 1.0), NORMAL),
}
each_pair = pytest.mark.parametrize("name", PAIRS)


@each_pair
def test_the_midpoint_divergence_is_that_of_the_densities(name):
    p, q = PAIRS[name]
    found = midpoint_chi2(p, q, 20_000, generator=seeded(1))
    assert within(found, on_grid(p, q)[0])
    assert within(midpoint_chi2(q, p, 20_000, generator=seeded(2)), on_grid(p, q)[0])


@each_pair
@pytest.mark.parametrize("cap", [1.5, 10, 1000])
def test_the_good_set_is_that_of_the_densities(name, cap):
    p, q = PAIRS[name]
    found = good_set_chi2(p, q, 40_000, cap=cap, generator=seeded(3))
    _, chi2, outside = on_grid(p, q, cap)
    assert within(found.outside, outside) or outside < 1e-12
    assert within(found.chi2, chi2)


@repeatable
@given(p=mixtures(), seed=st.integers(0, 99), cap=st.floats(1.1, 200))
def test_they_stay_within_their_bounds(p, seed, cap):
    q = p.blur(0.3)
    midpoint = midpoint_chi2(q, p, 200, generator=seeded(seed))
    assert 0 <= midpoint.value <= 1
    good = good_set_chi2(q, p, 200, cap=cap, generator=seeded(seed))
    assert 0 <= good.chi2.value <= 2 * max(1, cap)
    assert 0 <= good.outside.value <= 1


def test_equal_laws_are_at_distance_zero_and_disjoint_ones_at_one():
    assert midpoint_chi2(NORMAL, NORMAL, 100, generator=seeded(0)).value == 0
    assert good_set_chi2(NORMAL, NORMAL, 100, cap=2.0, generator=seeded(0)).chi2.value == 0
    apart = midpoint_chi2(gaussian([100.0], 1.0), NORMAL, 100, generator=seeded(0))
    assert apart.value == pytest.approx(1.0)


def test_close_laws_have_a_quarter_of_chi_square():
    shift = 0.05
    near = midpoint_chi2(gaussian([shift], 1.0), NORMAL, 200_000, generator=seeded(4))
    assert within(near, 0.25 * math.expm1(shift**2))


def test_a_high_cap_gives_the_whole_of_a_finite_chi_square():
    found = good_set_chi2(gaussian([0.7], 1.0), NORMAL, 100_000, cap=1e5, generator=seeded(5))
    assert within(found.chi2, math.expm1(0.49))
    assert found.outside.value == 0


def test_the_good_part_of_an_infinite_chi_square_grows_with_the_cap():
    parts = [good_set_chi2(WIDE, NORMAL, 50_000, cap=cap, generator=seeded(6)) for cap in (10, 300, 1e4)]
    values = [part.chi2.value for part in parts]
    assert values[1] > 10 * values[0]
    assert values[2] > 10 * values[1]
    assert parts[0].outside.value > parts[2].outside.value > 0


# When hardly any draw meets the difference

CORNER, OTHER = (NORMAL.blend(gaussian([mean], 1.0), 0.999) for mean in (10.0, -10.0))
RARE = {  # laws, TV, χ²(P‖M)
    "one law has a corner": (CORNER, NORMAL, 1e-3, 5e-4),
    "each has its own": (CORNER, OTHER, 1e-3, 1e-3),
    "hardly any overlap": (gaussian([7.0], 1.0), NORMAL, math.erf(3.5 / math.sqrt(2)), None),
}


@pytest.mark.parametrize("name", RARE)
def test_errors_know_of_what_no_draw_met(name):
    p, q, apart, middle = RARE[name]
    for seed in range(60):
        found = total_variation(p, q, 200, generator=seeded(seed))
        assert within(found, apart)
        if middle:
            assert within(midpoint_chi2(p, q, 200, generator=seeded(seed)), middle)
    good = good_set_chi2(CORNER, NORMAL, 200, cap=10.0, generator=seeded(0))
    assert good.outside.value == 0
    assert within(good.outside, 1e-3)


@pytest.mark.parametrize("divergence", [total_variation, midpoint_chi2])
def test_ordinary_errors_are_those_of_repetitions(divergence):
    p = gaussian([1.0], 1.0)
    found = [divergence(p, NORMAL, 2000, generator=seeded(k)) for k in range(300)]
    spread = torch.tensor([one.value for one in found]).std()
    stated = torch.tensor([one.stderr for one in found]).mean()
    assert 0.87 < float(stated / spread) < 1.16


# When χ² is infinite


def mixture(means, variances):
    count = len(means)
    return GaussianMixture(torch.full((count,), 1 / count).double(), double(means), double(variances))


TWO = mixture([[-1.0], [1.0]], [0.5, 0.5])
SQUARE = mixture([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], [0.5] * 4)


@pytest.mark.parametrize(
    ("p", "q", "finite"),
    [
        (mixture([[0.3], [5.0]], [0.99, 0.2]), TWO, True),
        (mixture([[0.3], [5.0]], [1.01, 0.2]), TWO, False),
        # At twice the variance the means decide.
        (mixture([[0.0]], [1.0]), TWO, True),
        (mixture([[0.999]], [1.0]), TWO, True),
        (mixture([[1.0]], [1.0]), TWO, False),
        (mixture([[-1.5]], [1.0]), TWO, False),
        (mixture([[0.0], [1.5]], [1.0, 1.0]), TWO, False),
        (mixture([[0.0], [1.5]], [1.0, 0.9]), TWO, True),
        (mixture([[0.5, -0.5]], [1.0]), SQUARE, True),
        (mixture([[1.0, 0.0]], [1.0]), SQUARE, False),
        (mixture([[0.0, 0.0]], [1.0]), mixture([[-1.0, 0.0], [1.0, 0.0]], [0.5, 0.5]), False),
        # A corner of Q counts only if it is one of its widest.
        (mixture([[0.5]], [1.0]), mixture([[-1.0], [1.0]], [0.5, 0.4]), False),
    ],
)
def test_the_widest_components_decide(p, q, finite):
    found = chi2_finite(p, q)
    assert found.finite is finite
    assert "variance" in found.reason


@pytest.mark.parametrize(("mean", "finite"), [(0.0, True), (0.6, True), (1.0, False), (1.2, False)])
def test_quadrature_agrees_at_twice_the_variance(mean, finite):
    """∫ p²/q over ever longer intervals settles, or goes on growing."""
    p = mixture([[mean]], [1.0])
    x = torch.linspace(0, 36, 72_001, dtype=torch.float64)[:, None]
    terms = (2 * p.log_density(x) - TWO.log_density(x)).exp() * 0.0005
    near, far = float(terms[:36_000].sum()), float(terms.sum())
    assert (far - near < 1e-3 * near) is finite
    assert chi2_finite(p, TWO).finite is finite


@repeatable
@given(q=mixtures(), p=mixtures(), alpha=st.floats(1e-6, 0.99))
def test_a_weight_however_small_does_not_change_the_verdict(q, p, alpha):
    if p.dim != q.dim:
        return
    wide = q.blur(2 * float(q.variances.max()) ** 0.5)
    assert not chi2_finite(wide, q).finite
    assert not chi2_finite(wide.blend(q, alpha), q).finite
    assert chi2_finite(q, q).finite


class Half:
    """Uniform on [0, 1] or on [½, 1½]: densities with zeros."""

    def __init__(self, start):
        self.start = start

    def sample(self, n, *, generator):
        return self.start + torch.rand(n, 1, generator=generator, dtype=torch.float64)

    def log_density(self, x):
        inside = (x[:, 0] >= self.start) & (x[:, 0] <= self.start + 1)
        return torch.where(inside, 0.0, -math.inf).double()


def test_zeros_of_the_densities_are_allowed():
    """Half of each law is where the other is not: χ²(P‖M) = ½ (½ + ½) = ½; p/q is 1 on the good set, or 0."""
    assert within(midpoint_chi2(Half(0.0), Half(0.5), 4000, generator=seeded(7)), 0.5)
    good = good_set_chi2(Half(0.0), Half(0.5), 4000, cap=2.0, generator=seeded(8))
    assert within(good.chi2, 0.5)  # where p = 0 and q = 1
    assert within(good.outside, 0.5)


class Broken(Half):
    def log_density(self, x):
        return torch.full((len(x),), math.nan, dtype=torch.float64)


REFUSED = [
    ("n = 1", lambda: midpoint_chi2(WIDE, NORMAL, 1, generator=seeded(0))),
    ("generator = 3", lambda: midpoint_chi2(WIDE, NORMAL, 10, generator=3)),
    ("log p/q = NaN at 10 of 10", lambda: midpoint_chi2(Broken(0.0), NORMAL, 10, generator=seeded(0))),
    ("q.means.shape = [4, 2]", lambda: chi2_finite(TWO, SQUARE)),
    ("cap = 1.0", lambda: good_set_chi2(WIDE, NORMAL, 100, cap=1.0, generator=seeded(0))),
    ("cap = 101", lambda: good_set_chi2(WIDE, NORMAL, 100, cap=101, generator=seeded(0))),
    ("n = 1", lambda: good_set_chi2(WIDE, NORMAL, 1, cap=2.0, generator=seeded(0))),
]


@pytest.mark.parametrize(("begins", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused_by_name(begins, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)):
        call()
