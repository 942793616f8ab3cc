"""Divergences, against closed forms for Gaussians and against each other for mixtures."""

import math

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
from scoredrift.divergences import kl, kl_close, kl_on_nodes


def gaussian_kl(shift_squared, v, w, dim):
    """KL(N(m, vI) ‖ N(m', wI)) with ‖m − m'‖² = shift_squared."""
    return 0.5 * (dim * (v / w - 1 - math.log(v / w)) + shift_squared / w)


gaussians = pytest.mark.parametrize(("shift", "v", "w"), [(1.0, 1.0, 1.0), (0.0, 0.5, 0.9), (-1.0, 1.5, 0.8)])


@gaussians
@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("estimator", [kl, kl_close])
def test_kl_by_monte_carlo_agrees_with_the_gaussian_formula(estimator, shift, v, w, dim):
    p, q = gaussian([0.0] * dim, v), gaussian([shift] * dim, w)
    estimate = estimator(p, q, 40_000, generator=seeded(0))
    assert within(estimate, gaussian_kl(dim * shift**2, v, w, dim))


@gaussians
def test_kl_on_nodes_agrees_with_the_gaussian_formula(shift, v, w):
    x = line()
    on_nodes = kl_on_nodes(normal_density(x, 0.0, v), normal_density(x, shift, w), x)
    assert on_nodes == pytest.approx(gaussian_kl(shift**2, v, w, 1), rel=1e-9)


@pytest.mark.parametrize("shift", [1e-1, 1e-3, 1e-5])
def test_kl_of_close_laws_keeps_its_relative_error(shift):
    p, q = gaussian([0.0], 1.0), gaussian([shift], 1.0)
    estimate = kl_close(p, q, 10_000, generator=seeded(1))
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
    x = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    p, q = torch.tensor([0.0, 1.0, 0.0]).double(), torch.tensor([0.25, 0.5, 0.25]).double()
    assert kl_on_nodes(p, q, x) == pytest.approx(math.log(2))
    assert kl_on_nodes(q, p, x) == math.inf


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
