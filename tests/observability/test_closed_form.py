"""Observability of affine errors on a Gaussian, against known values and the definition of u."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad, quad_vec

from helpers import points, seeded, within
from scoredrift import (
    ConstantField,
    Flow,
    FunctionScore,
    Gaussian,
    LinearField,
    OrnsteinUhlenbeck,
    RotationalField,
    ScaledField,
    SumScore,
)
from scoredrift.observability import by_pairs, in_closed_form

PROCESSES = [OrnsteinUhlenbeck(), OrnsteinUhlenbeck(1e-4, 8.0)]
each_process = pytest.mark.parametrize("process", PROCESSES, ids=["paper", "long"])
PUSH = ConstantField(torch.ones(3).double())
SPIN = torch.tensor([[0.0, 2.0, 0.0], [-2.0, 0.0, 1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)


def normal(dim=3):
    return Gaussian(torch.zeros(dim).double(), torch.eye(dim).double())


def closed(field, process, law=None, nodes=60):
    law = normal() if law is None else law
    return in_closed_form(Flow(law, process).inject(field), nodes=nodes)


def agrees(found, energy, eta):
    assert found.energy.value == pytest.approx(energy, rel=1e-9)
    assert found.eta.value == pytest.approx(eta, rel=1e-9, abs=1e-14)
    assert found.visible.value == pytest.approx(eta * energy, rel=1e-9, abs=1e-13)


@each_process
def test_known_values_on_the_standard_normal(process):
    L, c = process.duration, torch.tensor([0.3, -1.0, 2.0]).double()
    agrees(closed(ConstantField(c), process), float(c @ c) * L, 4 * (1 - math.exp(-L / 2)) ** 2 / L)
    agrees(
        closed(LinearField(0.7 * torch.eye(3).double()), process),
        3 * 0.49 * L,
        2 * (1 - math.exp(-L)) ** 2 / L,
    )
    agrees(closed(LinearField(SPIN), process), 10 * L, 0.0)


@each_process
@pytest.mark.parametrize(
    "xi", [lambda t: torch.cos(9 * t), lambda t: 1 / t, lambda t: 1 + t], ids=["cos 9t", "1/t", "1 + t"]
)
def test_an_error_of_time_alone_meets_the_response_kernel(process, xi):
    """η = (∫ ξ(t) e^{−(t−t0)/2} dt)² / ∫ ξ² dt."""

    def number(t):
        return float(xi(torch.tensor(t, dtype=torch.float64)))

    ends, fine = (process.t_min, process.t_max), {"limit": 500, "epsabs": 1e-12, "epsrel": 1e-11}
    shown, _ = quad(lambda t: number(t) * math.exp(-(t - process.t_min) / 2), *ends, **fine)
    energy, _ = quad(lambda t: number(t) ** 2, *ends, **fine)
    found = closed(ScaledField(xi, ConstantField(torch.ones(1).double())), process, normal(1), nodes=200)
    agrees(found, energy, shown**2 / energy)


def test_an_oscillating_push_is_hidden_and_a_rotated_score_invisible():
    process = PROCESSES[0]
    slow, fast = (
        closed(ScaledField(lambda t, w=w: torch.cos(w * t), PUSH), process, nodes=200) for w in (1.0, 40.0)
    )
    assert fast.eta.value < 0.01 < slow.eta.value
    law = random_gaussian(0, 3)
    turned = RotationalField(SPIN, Flow(law, process))
    found = closed(turned, process, law)
    assert found.energy.value > 1
    assert found.eta.value < 1e-25


def random_gaussian(seed, dim):
    root = torch.randn(dim, dim, generator=seeded(seed), dtype=torch.float64)
    return Gaussian(points(seed + 1, 1, dim)[0], root @ root.T + 0.1 * torch.eye(dim).double())


def affine_field(seed, dim):
    """e(x, t) = (cos 2t A + B/(1 + t)) x + e^{−t} c, and its matrix and offset in numpy."""
    g = np.random.default_rng(seed)
    A, B, c = g.normal(size=(dim, dim)), g.normal(size=(dim, dim)), g.normal(size=dim)
    fields = [LinearField(torch.tensor(A)), LinearField(torch.tensor(B)), ConstantField(torch.tensor(c))]
    factors = [lambda t: torch.cos(2 * t), lambda t: 1 / (1 + t), lambda t: torch.exp(-t)]
    first, second, third = (ScaledField(*pair) for pair in zip(factors, fields, strict=True))
    return (
        SumScore(SumScore(first, second), third),
        lambda t: (math.cos(2 * t) * A + B / (1 + t), math.exp(-t) * c),
    )


def product_nodes(dim, count):
    """Nodes and weights of E f(ξ), ξ ~ N(0, I), exact for polynomials of degree 2 count − 1."""
    xi, share = np.polynomial.hermite_e.hermegauss(count)
    axes = np.meshgrid(*[xi] * dim, indexing="ij")
    shares = np.meshgrid(*[share / share.sum()] * dim, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], 1), np.prod(shares, 0).ravel()


@pytest.mark.parametrize(("seed", "dim"), [(0, 1), (1, 1), (2, 2), (3, 2)])
def test_affine_errors_on_any_gaussian_by_the_definition_of_u(seed, dim):
    """u at quadrature nodes of X_{t0}, by adaptive quadrature over t of the mean of 𝒜e over ξ."""
    process, law, (field, parts) = PROCESSES[0], random_gaussian(seed, dim), affine_field(seed, dim)
    mean, covariance = law.mean.numpy(), law.covariance.numpy()
    xi, share = product_nodes(dim, 3)

    def marginal(t):
        return math.exp(-t / 2) * mean, math.exp(-t) * covariance + (1 - math.exp(-t)) * np.eye(dim)

    centre, spread = marginal(process.t_min)
    x, mass = product_nodes(dim, 4)
    x = centre + x @ np.linalg.cholesky(spread).T

    def shown(t):
        (W, c), (m, C), gap = parts(t), marginal(t), t - process.t_min
        ahead = math.exp(-gap / 2) * x[:, None] + math.sqrt(1 - math.exp(-gap)) * xi
        along = (ahead @ W.T + c) * ((m - ahead) @ np.linalg.inv(C))
        return np.trace(W) + along.sum(2) @ share

    def size(t):
        (W, c), (m, C) = parts(t), marginal(t)
        ahead = m + xi @ np.linalg.cholesky(C).T
        return float(((ahead @ W.T + c) ** 2).sum(1) @ share)

    u = -quad_vec(shown, process.t_min, process.t_max, epsabs=1e-12)[0]
    energy, _ = quad(size, process.t_min, process.t_max, epsabs=1e-12)
    assert float(mass @ u) == pytest.approx(0.0, abs=1e-8)
    agrees(closed(field, process, law), energy, float(mass @ u**2) / energy)


@pytest.mark.parametrize("seed", [4, 5])
def test_affine_errors_on_any_gaussian_by_pairs(seed):
    process, law = OrnsteinUhlenbeck(0.1, 3.0), random_gaussian(seed, 3)
    error = Flow(law, process).inject(affine_field(seed, 3)[0])
    truth = in_closed_form(error)
    found = by_pairs(error, 20_000, generator=seeded(seed))
    assert found.eta.stderr < 0.05
    for one, other in zip(found_parts(found), found_parts(truth), strict=True):
        assert within(one, other)


def found_parts(found):
    return found.energy, found.visible, found.eta


def test_more_nodes_change_nothing_and_are_counted():
    law, process = random_gaussian(6, 3), PROCESSES[0]
    few, many = (closed(affine_field(6, 3)[0], process, law, nodes=k) for k in (40, 80))
    assert few.eta.value == pytest.approx(many.eta.value, rel=1e-12)
    assert (few.evaluations, many.evaluations) == (79 * 5, 159 * 5)
    assert [part.stderr for part in found_parts(many)] == [0, 0, 0]


def test_half_the_error_has_a_quarter_of_the_energy_and_the_same_observability():
    law, process, field = random_gaussian(7, 2), PROCESSES[1], affine_field(7, 2)[0]
    whole, half = (closed(ScaledField(c, field), process, law) for c in (1.0, 0.5))
    agrees(half, whole.energy.value / 4, whole.eta.value)


def test_no_error_has_observability_zero_and_says_so():
    found = closed(ConstantField(torch.zeros(3).double()), PROCESSES[0])
    assert (found.energy.value, found.visible.value, found.eta.value) == (0, 0, 0)
    assert "0 by convention" in found.note
    assert "0 by convention" in str(found)
    assert closed(PUSH, PROCESSES[0]).note == ""


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("mean", [0.0, 1.0, 2.0, 3.0])
@pytest.mark.parametrize(
    "curve", [torch.sin, torch.square, lambda x: x + 1e-6 * x**3], ids=["sin", "square", "nearly"]
)
def test_errors_that_are_not_affine_are_refused(curve, mean, dim):
    law = Gaussian(torch.full((dim,), mean).double(), torch.eye(dim).double())
    with pytest.raises(ValueError, match=r"error = not affine in x at t = 0\.02.*: use by_pairs"):
        closed(FunctionScore(lambda x, t: curve(x)), PROCESSES[0], law)


def test_an_error_that_bends_late_is_refused_at_its_time():
    late = FunctionScore(lambda x, t: torch.where(t > 2, x**2, x))
    with pytest.raises(ValueError, match=r"error = not affine in x at t = [23]\."):
        closed(late, PROCESSES[0])


@pytest.mark.parametrize(
    ("begins", "call"),
    [
        (
            "nodes = 1: pass an integer ≥ 2",
            lambda: closed(PUSH, PROCESSES[0], nodes=1),
        ),
        (
            "nodes = 20: one node less gives η ε*² = ",
            lambda: closed(ScaledField(lambda t: torch.cos(40 * t), PUSH), PROCESSES[0], nodes=20),
        ),
        (
            "error(x, t) = 15 of 15 entries",
            lambda: closed(FunctionScore(lambda x, t: x / 0 * 0), PROCESSES[0]),
        ),
        ("x.shape = [5, 3]", lambda: closed(ConstantField(torch.ones(2).double()), PROCESSES[0])),
    ],
)
def test_bad_input_is_refused_by_name(begins, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
