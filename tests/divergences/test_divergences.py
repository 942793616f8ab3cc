"""Divergences, against closed forms for Gaussians and against each other for mixtures."""

import math
import re

import pytest
import torch
from hypothesis import given

from helpers import (
    density_on,
    gaussian,
    line,
    mixtures,
    normal_density,
    random_mixture,
    repeatable,
    seeded,
    within,
)
from scoredrift import GaussianMixture, mixture_of_five
from scoredrift.divergences import chi2, chi2_on_nodes, kl, kl_on_nodes

NAN, INF = math.nan, math.inf


def gaussian_kl(shift_squared, v, w, dim):
    """KL(N(m, vI) ‖ N(m', wI)) with ‖m − m'‖² = shift_squared."""
    return 0.5 * (dim * (v / w - 1 - math.log(v / w)) + shift_squared / w)


gaussians = pytest.mark.parametrize(("shift", "v", "w"), [(1.0, 1.0, 1.0), (0.0, 0.5, 0.9), (-1.0, 1.5, 0.8)])


@gaussians
@pytest.mark.parametrize("dim", [1, 3])
def test_kl_by_monte_carlo_agrees_with_the_gaussian_formula(shift, v, w, dim):
    p, q = gaussian([0.0] * dim, v), gaussian([shift] * dim, w)
    estimate = kl(p, q, 40_000, generator=seeded(0))
    assert within(estimate, gaussian_kl(dim * shift**2, v, w, dim))


@gaussians
def test_kl_on_nodes_agrees_with_the_gaussian_formula(shift, v, w):
    x = line()
    on_nodes = kl_on_nodes(normal_density(x, 0.0, v), normal_density(x, shift, w), x)
    assert on_nodes == pytest.approx(gaussian_kl(shift**2, v, w, 1), rel=1e-9)


@pytest.mark.parametrize("shift", [1e-1, 1e-3, 1e-5])
def test_kl_of_close_laws_keeps_its_relative_error(shift):
    p, q = gaussian([0.0], 1.0), gaussian([shift], 1.0)
    estimate = kl(p, q, 10_000, generator=seeded(1))
    assert within(estimate, 0.5 * shift**2)
    assert estimate.stderr < 0.03 * estimate.value


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kl_of_mixtures_is_the_same_by_quadrature_and_by_monte_carlo(seed):
    p, q, x = random_mixture(seed, dim=1), random_mixture(seed + 10, dim=1), line()
    on_nodes = kl_on_nodes(density_on(p, x), density_on(q, x), x)
    assert within(kl(p, q, 40_000, generator=seeded(seed)), on_nodes)


def test_kl_of_a_law_from_itself_is_zero():
    p, x = random_mixture(3, dim=1), line()
    assert kl(p, p, 100, generator=seeded(0)).value == 0
    assert kl_on_nodes(density_on(p, x), density_on(p, x), x) == 0


def test_kl_on_nodes_allows_points_that_the_first_law_never_visits():
    x = torch.arange(5.0).double()
    p, q = (
        torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).double(),
        torch.tensor([0.0, 0.25, 0.5, 0.25, 0.0]).double(),
    )
    assert kl_on_nodes(p, q, x) == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match=r"∞ at 2 nodes: q has underflowed there: .* KL is infinite"):
        kl_on_nodes(q, p, x)


@repeatable
@given(p=mixtures(max_dim=1), q=mixtures(max_dim=1))
def test_diffusion_brings_laws_together(p, q):
    x = line()
    apart = [
        kl_on_nodes(density_on(p.diffuse(t), x), density_on(q.diffuse(t), x), x) for t in (0.0, 0.3, 2.0)
    ]
    assert apart[0] >= apart[1] >= apart[2] >= 0


def test_kl_on_nodes_is_of_second_order_in_the_difference_whatever_the_mass():
    x, wave = line(), 1e-3 * torch.sin(line())
    p = density_on(random_mixture(4, dim=1), x)
    chi_square = float(torch.trapezoid(p * wave**2, x))
    assert kl_on_nodes(p, p * (1 + wave), x) == pytest.approx(chi_square / 2, rel=2e-3)


def gaussian_chi2(shift_squared, v, w, dim):
    """χ²(N(m, vI) ‖ N(m', wI)) with ‖m − m'‖² = shift_squared, for v < 2w."""
    return (w / math.sqrt(v * (2 * w - v))) ** dim * math.exp(shift_squared / (2 * w - v)) - 1


def product(density):
    return density[:, None] * density


close = pytest.mark.parametrize(
    ("shift", "v", "w"), [(0.7, 1.0, 1.0), (0.0, 0.5, 0.9), (-0.5, 1.0, 0.8), (0.4, 0.4, 1.0)]
)


@close
@pytest.mark.parametrize("dim", [1, 3])
def test_chi2_by_monte_carlo_agrees_with_the_gaussian_formula(shift, v, w, dim):
    p, q = gaussian([0.0] * dim, v), gaussian([shift] * dim, w)
    checked = chi2(p, q, 40_000, generator=seeded(0))
    assert within(checked, gaussian_chi2(dim * shift**2, v, w, dim))
    assert checked.stderr < 0.05 * checked.value


@close
def test_chi2_on_nodes_agrees_with_the_gaussian_formula(shift, v, w):
    x = line()
    p, q = normal_density(x, 0.0, v), normal_density(x, shift, w)
    assert chi2_on_nodes(p, q, x) == pytest.approx(gaussian_chi2(shift**2, v, w, 1), rel=1e-9)


@close
def test_sums_over_a_product_grid_agree_with_the_gaussian_formulas(shift, v, w):
    x = line(-9, 9, 361)
    p, q = product(normal_density(x, 0.0, v)), product(normal_density(x, shift, w))
    assert chi2_on_nodes(p, q, x) == pytest.approx(gaussian_chi2(2 * shift**2, v, w, 2), rel=1e-9)
    assert kl_on_nodes(p, q, x) == pytest.approx(gaussian_kl(2 * shift**2, v, w, 2), rel=1e-9)


def test_a_grid_in_two_dimensions_knows_its_axes():
    x = line(-9, 9, 361)
    p, q = gaussian([1.0, 0.0], 1.0), gaussian([0.0, 0.5], 1.0)
    grids = [torch.exp(law.log_density(torch.cartesian_prod(x, x))).reshape(361, 361) for law in (p, q)]
    assert chi2_on_nodes(*grids, x) == pytest.approx(math.exp(1.25) - 1, rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_chi2_of_mixtures_is_the_same_by_quadrature_and_by_monte_carlo(seed):
    p, x = random_mixture(seed, dim=1), line()
    q = p.blend(random_mixture(seed + 10, dim=1), 0.3).blur(0.3)
    on_nodes = chi2_on_nodes(density_on(p, x), density_on(q, x), x)
    assert within(chi2(p, q, 40_000, generator=seeded(seed)), on_nodes)
    # Any proposal that covers both laws will do.
    wide = chi2(p, q, 40_000, generator=seeded(seed), proposal=gaussian([0.0], 9.0))
    assert within(wide, on_nodes)


@pytest.mark.parametrize("shift", [1e-1, 1e-4, 1e-8])
def test_chi2_of_close_laws_keeps_its_relative_error(shift):
    p, q = gaussian([0.0], 1.0), gaussian([shift], 1.0)
    checked = chi2(p, q, 10_000, generator=seeded(1))
    # At 1e-8 the log-densities carry eight digits of their difference.
    assert within(checked, math.expm1(shift**2))
    assert checked.stderr < 0.03 * checked.value


def test_kl_stays_finite_and_honest_where_either_ratio_has_heavy_tails():
    narrow, wide = gaussian([0.0] * 5, 0.2), gaussian([0.0] * 5, 3.0)
    for p, q, v, w in ((narrow, wide, 0.2, 3.0), (wide, narrow, 3.0, 0.2)):
        estimate = kl(p, q, 40_000, generator=seeded(2))
        assert within(estimate, gaussian_kl(0.0, v, w, 5))
        assert estimate.stderr < 0.03 * estimate.value


def test_chi2_on_nodes_of_close_laws_is_twice_kl():
    x, wave = line(), 1e-4 * torch.sin(line())
    p = density_on(random_mixture(4, dim=1), x)
    assert chi2_on_nodes(p * (1 + wave), p, x) == pytest.approx(float(torch.trapezoid(p * wave**2, x)))


def test_chi2_of_a_law_from_itself_is_zero():
    p, x = random_mixture(3, dim=1), line()
    checked = chi2(p, p, 100, generator=seeded(0))
    assert checked.value == 0
    assert checked.trusted
    assert chi2_on_nodes(density_on(p, x), density_on(p, x), x) == 0


def test_chi2_of_a_kde_generation_needs_a_wide_proposal():
    """In R^10 the blur of one generation makes p²/q far wider than p: the draws of P and Q never see it."""
    data = mixture_of_five()
    p, q = data.blur(0.6).diffuse(0.02), data.diffuse(0.02)
    v, s = float(p.variances[0]), float(q.variances[0])
    # The mixtures are products of a plane, where there are five components, and eight equal directions.
    x = line(-45, 45, 451)
    plane = torch.cartesian_prod(x, x)
    log_p, log_q = (
        GaussianMixture(law.weights, law.means[:, :2], law.variances).log_density(plane) for law in (p, q)
    )
    in_plane = float(torch.exp(2 * log_p - log_q).sum()) * 0.2**2
    exact = in_plane * (1 + gaussian_chi2(0.0, v, s, 8)) - 1

    wide = GaussianMixture(p.weights, p.means, torch.full_like(p.variances, 1 / (2 / v - 1 / s)))
    good = chi2(p, q, 20_000, generator=seeded(0), proposal=wide)
    assert within(good, exact)
    assert good.stderr < 0.02 * good.value
    assert good.trusted

    default = chi2(p, q, 20_000, generator=seeded(0))
    assert not default.trusted
    assert not within(default, exact)  # a hundred times too small, with a small error


def test_chi2_far_apart_overflows_to_infinity_with_the_reason():
    checked = chi2(gaussian([0.0], 1.0), gaussian([60.0], 1.0), 100, generator=seeded(0))
    assert checked.value == INF
    assert not checked.finite
    assert str(checked) == "inf (not trusted: a draw exceeds the range of numbers)"


class Uniform:
    """The uniform law on [low, high], whose density vanishes outside."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def sample(self, n, *, generator):
        return self.low + (self.high - self.low) * torch.rand(n, 1, generator=generator).double()

    def log_density(self, x):
        inside = (x[:, 0] >= self.low) & (x[:, 0] <= self.high)
        return torch.where(inside, -math.log(self.high - self.low), -INF).double()


def test_chi2_knows_densities_that_vanish():
    inner, outer, wide = Uniform(0, 1), Uniform(-1, 1), Uniform(-3, 3)
    assert within(chi2(inner, outer, 4000, generator=seeded(0)), 1.0)
    # Points where both densities vanish count, as zeros.
    assert within(chi2(inner, outer, 4000, generator=seeded(0), proposal=wide), 1.0)
    assert chi2(outer, inner, 4000, generator=seeded(0)).value == INF


class Tilted(Uniform):
    """The uniform law on [0, 1] with its halves e^{±tilt} times as dense."""

    def __init__(self, tilt):
        super().__init__(0, 1)
        self.tilt = tilt

    def log_density(self, x):
        return torch.where(x[:, 0] < 0.5, self.tilt, -self.tilt).double()


def test_chi2_sees_a_difference_far_below_rounding():
    checked = chi2(Tilted(1e-20), Uniform(0, 1), 100, generator=seeded(0))
    assert checked.value == pytest.approx(1e-40, rel=1e-6, abs=0)


@pytest.mark.parametrize("v", [2.0, 2.5])
def test_chi2_on_nodes_refuses_a_divergence_that_is_infinite(v):
    x = line()
    p, q = normal_density(x, 0.0, v), normal_density(x, 0.0, 1.0)
    with pytest.raises(ValueError, match="χ² is infinite"):
        chi2_on_nodes(p, q, x)
    with pytest.raises(ValueError, match="χ² is infinite"):
        chi2_on_nodes(product(p), product(q), x)


@pytest.mark.parametrize("heavy_axis", [0, 1])
def test_chi2_on_a_grid_looks_at_all_its_borders(heavy_axis):
    x = line()
    heavy, light = normal_density(x, 0.0, 2.5), normal_density(x, 0.0, 1.0)
    p = heavy[:, None] * light
    with pytest.raises(ValueError, match="χ² is infinite"):
        chi2_on_nodes(p if heavy_axis == 0 else p.T, product(light), x)


@pytest.mark.parametrize(("low", "high", "enough"), [(-12, 12, True), (-7, 12, False), (-12, 7, False)])
def test_chi2_on_nodes_refuses_nodes_that_end_inside_the_integrand(low, high, enough):
    # p²/q is a Gaussian of variance 9 here.
    x = line(low, high, 401)
    p, q = normal_density(x, 0.0, 1.8), normal_density(x, 0.0, 1.0)
    if enough:
        assert chi2_on_nodes(p, q, x) == pytest.approx(gaussian_chi2(0, 1.8, 1.0, 1), rel=1e-3)
    else:
        with pytest.raises(ValueError, match="at the border: let the nodes reach farther"):
            chi2_on_nodes(p, q, x)


def test_chi2_on_nodes_survives_squares_that_underflow():
    x = line(-30, 30, 1201)
    p, q = normal_density(x, 0.0, 0.9), normal_density(x, 0.0, 1.0)
    tiny = 1e-170  # a law on the scale of 1e170
    assert chi2_on_nodes(tiny * p, tiny * q, x / tiny) == pytest.approx(chi2_on_nodes(p, q, x))


LINE, NODES = gaussian([0.0], 1.0), line(-8, 8, 161)
NORMAL = normal_density(NODES, 0.0, 1.0)
GENERATOR = seeded(0)


class Broken:
    """The standard normal law, with a log-density that is wrong at every draw."""

    def __init__(self, wrong):
        self.wrong = wrong

    def sample(self, n, *, generator):
        return LINE.sample(n, generator=generator)

    def log_density(self, x):
        return torch.full((len(x),), self.wrong, dtype=torch.float64)


def on_nodes(p=NORMAL, q=NORMAL, nodes=NODES):
    return chi2_on_nodes(p, q, nodes)


def sampled(p=LINE, q=LINE, n=100, generator=GENERATOR, proposal=None):
    return chi2(p, q, n, generator=generator, proposal=proposal)


REFUSED = [
    ("n = 99", "≥ 100", lambda: sampled(n=99)),
    ("n = 1000.0", "integer", lambda: sampled(n=1000.0)),
    ("generator = None", "manual_seed", lambda: sampled(generator=None)),
    ("p.log_density = no density at 100", "numbers", lambda: sampled(p=Broken(NAN))),
    ("q.log_density = no density at 100", "numbers", lambda: sampled(q=Broken(INF))),
    ("proposal.log_density = no density at 100", "−∞", lambda: sampled(proposal=Broken(-INF))),
    ("q.sample(n).shape = [", "[n, 2]", lambda: sampled(p=gaussian([0.0, 0.0], 1.0))),
    ("q.sample(n).dtype = torch.float32", "torch.float64", lambda: sampled(q=LINE.to(dtype=torch.float32))),
    ("nodes = unequal", "linspace", lambda: on_nodes(nodes=NODES.square())),
    ("p.shape = [160]", "[161] or [161, 161]", lambda: on_nodes(p=NORMAL[1:])),
    ("p.shape = [161, 161, 161]", "[161] or [161, 161]", lambda: on_nodes(p=NORMAL.expand(161, 161, 161))),
    ("q.shape = [161, 160]", "[161] or [161, 161]", lambda: on_nodes(q=product(NORMAL)[:, 1:])),
    ("q.shape = [161, 161]", "on one grid", lambda: on_nodes(q=product(NORMAL))),
    ("q.shape = [161]", "p has", lambda: kl_on_nodes(product(NORMAL), NORMAL, NODES)),
    ("q = -", "≥ 0", lambda: on_nodes(q=NORMAL - 0.1)),
    ("p.dtype = torch.float32", "torch.float64", lambda: on_nodes(p=NORMAL.float())),
    ("p/q = ∞ at 40 nodes", "less far", lambda: on_nodes(q=torch.where(NODES.abs() > 6.01, 0.0, NORMAL))),
    ("q = mass 0 on", "cover both", lambda: on_nodes(q=torch.zeros_like(NORMAL))),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[case[0] for case in REFUSED])
def test_bad_input_is_refused_by_name_and_with_a_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)) as caught:
        call()
    assert remedy in str(caught.value)
