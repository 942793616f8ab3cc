"""Gradient share by two fits: against closed forms, Poisson's equation, and what observability allows."""

import math

import numpy as np
import pytest
import torch

from helpers import random_mixture, seeded
from on_a_line import ERRORS
from scoredrift import Flow, FunctionScore, Gaussian, LinearField, OrnsteinUhlenbeck, mixture_of_five
from scoredrift.observability import (
    Polynomials,
    RadialFunctions,
    Together,
    by_pairs,
    split_by_potentials,
    split_in_plane,
)
from scoredrift.process import log_uniform_times, random_times
from scoredrift.scores import RotationalField, split_linear

OU = OrnsteinUhlenbeck()
LAW = random_mixture(1)
FLOW = Flow(LAW, OU)
SPIN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
NODES = torch.linspace(-9.0, 9.0, 121, dtype=torch.float64)
WHOLE = torch.tensor([0.02, 4.0], dtype=torch.float64)


def slope(x, t):
    """∇φ₀ of φ₀ = sin x cos ½y."""
    a, b = x[:, 0], 0.5 * x[:, 1]
    return torch.stack([a.cos() * b.cos(), -0.5 * a.sin() * b.sin()], 1)


def swirl(x, t):
    a, b = x[:, 0] + t, x[:, 1]
    return torch.stack([(2 * b).sin() + 0.3 * a, (a * b / 4).cos()], 1)


KNOWN = FLOW.inject(FunctionScore(slope) + 0.5 * RotationalField(SPIN, FLOW))
SWIRL = FLOW.inject(FunctionScore(lambda x, t: swirl(x, t.reshape(-1) if t.ndim else t)))


def at(t):
    """A level so thin that it is one time."""
    return torch.tensor([t, t * (1 + 1e-4)], dtype=torch.float64)


@pytest.mark.parametrize(
    "basis", [Polynomials(4), RadialFunctions(60), Together((Polynomials(2), RadialFunctions(40)))]
)
def test_gradients_of_bases(basis):
    made = basis(LAW.sample(200, generator=seeded(0)))
    x = torch.randn(6, 2, generator=seeded(1), dtype=torch.float64)
    value, gradient = made(x)
    jacobian = torch.autograd.functional.jacobian(lambda y: made(y)[0], x)  # [n, J, n, d]
    assert torch.allclose(torch.einsum("njnd->njd", jacobian), gradient, atol=1e-12)
    assert value.shape == gradient.shape[:2]


def test_polynomials_are_all_of_their_degree():
    value, _ = Polynomials(3)(torch.randn(9, 4, generator=seeded(0)))(torch.ones(2, 4))
    assert value.shape[1] == math.comb(4 + 3, 3)


@pytest.mark.parametrize("error", [KNOWN, SWIRL], ids=["manufactured", "swirl"])
@pytest.mark.parametrize("t", [0.02, 0.5, 2.0])
def test_two_fits_enclose_the_share_that_poisson_finds(error, t):
    share = split_in_plane(error, NODES, t).share
    found = split_by_potentials(error, RadialFunctions(80), 4000, at(t), generator=seeded(2))
    assert found.least.sigmas_from(share) < 5
    assert found.most.sigmas_from(share) > -5
    assert found.most.value - found.least.value < 0.06
    assert found.energy.total.value / float(at(t).diff()) == pytest.approx(
        split_in_plane(error, NODES, t).gradient + split_in_plane(error, NODES, t).rotational, rel=0.2
    )


def test_linear_errors_on_a_gaussian_have_known_parts():
    """Three dimensions, Σ ≠ I, where the Lyapunov equation gives both parts; Polynomials(2) contain them."""
    law = Gaussian(torch.zeros(3).double(), torch.diag(torch.tensor([0.5, 1.0, 2.0]).double()))
    matrix = torch.tensor([[1.0, 2.0, 0.0], [-1.0, 0.5, 1.0], [0.3, 0.0, -1.0]], dtype=torch.float64)
    flow, t = Flow(law, OU), 0.7
    covariance = math.exp(-t) * law.covariance + (1 - math.exp(-t)) * torch.eye(3).double()
    parts = split_linear(matrix, covariance)
    sizes = [float(torch.trace(m @ covariance @ m.T)) for m in (parts.gradient, parts.rotational)]
    error = flow.inject(LinearField(matrix))
    found = split_by_potentials(error, Polynomials(2), 4000, at(t), generator=seeded(3))
    share, width = sizes[0] / sum(sizes), float(at(t).diff())
    for estimate in (found.least, found.most):
        assert abs(estimate.sigmas_from(share)) < 5
        assert estimate.stderr < 0.01
    assert abs((found.gradient.total / width).sigmas_from(sizes[0])) < 5
    assert abs((found.rotational.total / width).sigmas_from(sizes[1])) < 5
    x = torch.randn(20, 3, generator=seeded(4), dtype=torch.float64)
    learned = found.potentials[0].gradient(x)
    assert torch.allclose(learned, x @ parts.gradient.T, atol=0.2)


@pytest.mark.parametrize("name", ["push", "stretch", "wave", "blur"])
def test_on_the_line_every_error_is_a_gradient(name):
    edges = torch.tensor([0.02, 0.05, 0.15, 0.4, 1.0, 2.0, 3.0, 4.0])
    basis = Together((Polynomials(2), RadialFunctions(40)))
    found = split_by_potentials(ERRORS[name], basis, 4000, edges, generator=seeded(5))
    assert found.most.value == 1.0
    assert 0.9 < found.least.value < 1 + 5 * found.least.stderr + 1e-12
    assert found.rotational.total.value == 0.0


def test_an_error_that_changes_within_a_level_needs_more_levels():
    """cos 3t: one potential for each level shows what the mean over the level leaves."""
    shares = [
        split_by_potentials(
            ERRORS["oscillating push"], Polynomials(1), 400, edges, generator=seeded(5)
        ).least.value
        for edges in (torch.tensor([0.02, 4.0]), OU.uniform_grid(40).flip(0))
    ]
    assert shares[0] < 0.1
    assert 0.95 < shares[1] < 1


def test_a_rotation_has_no_gradient_part():
    found = split_by_potentials(
        FLOW.inject(RotationalField(SPIN, FLOW)), Polynomials(4), 3000, WHOLE, generator=seeded(6)
    )
    assert abs(found.least.value) < 0.02
    assert found.most.value < 1e-9


def test_few_points_make_no_share_too_large():
    """A fit judged on its own points would claim J/n of a rotation, here 60/150, for a gradient."""
    error = FLOW.inject(RotationalField(SPIN, FLOW))
    found = split_by_potentials(error, RadialFunctions(60, reach=2.0), 150, at(0.5), generator=seeded(7))
    assert found.least.sigmas_from(0.0) < 5
    assert found.least.value < 0.05


def test_no_fit_claims_more_than_the_energy():
    """2 ∇φ·e − ‖∇φ‖² ≤ ‖e‖² at every point, however bad the coefficients."""
    for seed in range(20):
        found = split_by_potentials(ERRORS["push"], RadialFunctions(12), 14, at(0.1), generator=seeded(seed))
        assert found.least.value <= 1


def test_the_right_side_knows_the_error_through_the_stein_operator_only():
    """E[∇ψ·e] = −E[ψ 𝒜e], function by function."""
    n = 20_000
    t, _ = random_times(log_uniform_times, OU, n, generator=seeded(8))
    x = FLOW.sample(n, t, generator=seeded(9))
    value, gradient = RadialFunctions(12)(x)(x)
    found = KNOWN.at(x, t)
    gap = torch.einsum("njd,nd->nj", gradient, found.value) + value * found.stein[:, None]
    assert bool((gap.mean(0).abs() < 5 * gap.std(0) / math.sqrt(n)).all())


def test_observability_is_at_most_the_gradient_share():
    eta = by_pairs(KNOWN, 3000, generator=seeded(10)).eta
    found = split_by_potentials(
        KNOWN, RadialFunctions(60), 2000, OU.geometric_grid(6).flip(0), generator=seeded(11)
    )
    assert eta.sigmas_from(found.most) < 5
    assert len(found.potentials) == len(found.energy.levels) == 6
    assert found.least.value > 0.3
    assert found.most.value < 0.5


def test_float32():
    law = random_mixture(1).to(dtype=torch.float32)
    error = Flow(law, OU).inject(FunctionScore(slope))
    found = split_by_potentials(error, RadialFunctions(60), 2000, at(0.5), generator=seeded(12))
    assert found.least.value > 0.95


def test_poisson_converges_with_the_square_of_the_distance():
    """To e = ∇φ₀ + ½ J s*, whose parts are known; sums over a fine grid give their energies."""
    t = 0.3
    fine = torch.linspace(-9.0, 9.0, 721, dtype=torch.float64)
    x = torch.cartesian_prod(fine, fine)
    mass = FLOW.log_density(x, t).exp() * float(fine[1] - fine[0]) ** 2
    wanted = float(mass @ slope(x, t).square().sum(1)), 0.25 * float(mass @ FLOW(x, t).square().sum(1))
    gaps = []
    for m in (46, 91, 181):
        nodes = torch.linspace(-9.0, 9.0, m, dtype=torch.float64)
        found = split_in_plane(KNOWN, nodes, t)
        gaps.append([found.gradient - wanted[0], found.rotational - wanted[1]])
        phi = torch.sin(nodes)[:, None] * torch.cos(0.5 * nodes)[None, :]
        density = FLOW.log_density(torch.cartesian_prod(nodes, nodes), t).exp().reshape(m, m)
        phi = phi - (density * phi).sum() / density.sum()
        gaps[-1].append(float(((density * (found.potential - phi) ** 2).sum() / density.sum()).sqrt()))
    orders = np.log2(np.abs(np.array(gaps)[:-1] / np.array(gaps)[1:]))
    assert (np.abs(orders - 2) < 0.25).all(), orders
    assert np.abs(gaps[-1]).max() < 1e-3


def test_poisson_with_peaks_far_apart():
    """Where next to nothing lies between them, the potential is still found."""
    flow = Flow(mixture_of_five(2), OU)
    error = flow.inject(FunctionScore(slope) + 0.5 * RotationalField(SPIN, flow))
    nodes = torch.linspace(-7.0, 7.0, 181, dtype=torch.float64)
    found = split_in_plane(error, nodes, 0.02)
    x = torch.cartesian_prod(nodes, nodes)
    mass = flow.log_density(x, 0.02).exp() * float(nodes[1] - nodes[0]) ** 2
    assert found.gradient == pytest.approx(float(mass @ slope(x, 0.02).square().sum(1)), rel=0.01)
    assert found.rotational == pytest.approx(0.25 * float(mass @ flow(x, 0.02).square().sum(1)), rel=0.01)


def test_refusals():
    with pytest.raises(ValueError, match=r"nodes = with 0\.\d+ of the law: .*wider"):
        split_in_plane(KNOWN, torch.linspace(-2.0, 2.0, 41, dtype=torch.float64), 0.5)
    with pytest.raises(ValueError, match=r"error.exact.dim = 1: .*in the plane"):
        split_in_plane(ERRORS["push"], NODES, 0.5)
    with pytest.raises(ValueError, match=r"n = 50: there are 80 fields to fit"):
        split_by_potentials(
            KNOWN,
            lambda x: RadialFunctions(80)(x.repeat(2, 1) + torch.randn(2 * len(x), 2)),
            50,
            WHOLE,
            generator=seeded(0),
        )
    with pytest.raises(ValueError, match=r"count = 80: there are 50 points"):
        split_by_potentials(KNOWN, RadialFunctions(80), 50, WHOLE, generator=seeded(0))
    with pytest.raises(ValueError, match=r"basis\(x\) = \[50, 4\] and"):
        split_by_potentials(KNOWN, lambda x: lambda y: (y.repeat(1, 2), y), 50, WHOLE, generator=seeded(0))
    with pytest.raises(ValueError, match="denominator = 0"):
        split_by_potentials(FLOW.error(FLOW), Polynomials(1), 50, WHOLE, generator=seeded(0))
