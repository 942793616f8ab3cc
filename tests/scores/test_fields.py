"""Fields to inject, and probed divergences, against autograd and linear algebra."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from helpers import jacobian_trace, mixtures, points, random_mixture, repeatable, seeded, within
from scoredrift import (
    ConstantField,
    Estimate,
    Flow,
    FunctionScore,
    Gaussian,
    LinearField,
    OrnsteinUhlenbeck,
    ProbedScore,
    RotationalField,
    ScaledField,
    SumScore,
    check_divergence,
)
from scoredrift.scores import split_linear

OU = OrnsteinUhlenbeck()
EXACT = Flow(random_mixture(1, dim=3), OU)
X = points(0, 6, 3)
EYE = torch.eye(3).double()
EACH_ROW = torch.tensor([0.02, 0.1, 0.4, 1.0, 2.5, 4.0], dtype=torch.float64)
TIMES = [0.02, 0.7, torch.tensor(3.0, dtype=torch.float64), EACH_ROW]


def matrix(seed, dim=3):
    return torch.randn(dim, dim, generator=seeded(seed), dtype=torch.float64)


def spin(seed, dim=3):
    return matrix(seed, dim) - matrix(seed, dim).T


def wave(t):
    return torch.cos(6 * t) / t


def zoo():
    constant, linear = ConstantField(torch.tensor([0.5, -1.0, 0.2]).double()), LinearField(matrix(2))
    rotational = RotationalField(spin(3), EXACT)
    return {
        "constant": constant,
        "linear": linear,
        "rotational": rotational,
        "scaled by a number": ScaledField(-0.7, linear),
        "scaled in time": ScaledField(wave, linear),
        "oscillating push": ScaledField(wave, constant),
        "sum": SumScore(ScaledField(wave, linear), SumScore(ScaledField(2.0, rotational), constant)),
        "sum with a score": SumScore(EXACT, ScaledField(wave, linear)),
    }


each_field = pytest.mark.parametrize("field", zoo().values(), ids=zoo())
each_time = pytest.mark.parametrize("t", TIMES, ids=["t0", "float", "tensor", "one a row"])


@each_field
@each_time
def test_divergence_is_the_trace_of_the_jacobian(field, t):
    assert_close(field.divergence(X, t), FunctionScore(field, constant=True).divergence(X, t))
    assert_close(field.divergence(X, t), jacobian_trace(lambda y: field(y, t), X))


@each_field
@each_time
def test_value_and_divergence_are_those_of_the_separate_calls(field, t):
    value, divergence = field.value_and_divergence(X, t)
    assert_close(value, field(X, t), rtol=0, atol=0)
    assert_close(divergence, field.divergence(X, t), rtol=0, atol=0)


@each_time
def test_values_row_by_row(t):
    """Against matrix products of one row at a time."""
    fields = zoo()
    c, W, J = fields["constant"].value, matrix(2), spin(3)
    times = torch.as_tensor(t, dtype=torch.float64).expand(6)
    for i, when in enumerate(times):
        x, factor = X[i], torch.cos(6 * when) / when
        turned = J @ EXACT(X[i : i + 1], when)[0]
        for name, value in {
            "constant": c,
            "linear": W @ x,
            "rotational": turned,
            "scaled by a number": -0.7 * W @ x,
            "scaled in time": factor * (W @ x),
            "oscillating push": factor * c,
            "sum": factor * (W @ x) + 2 * turned + c,
        }.items():
            assert_close(fields[name](X, t)[i], value)


@repeatable
@given(q=mixtures(), seed=st.integers(0, 100), t=st.sampled_from([0.02, 0.5, 3.0]))
def test_no_density_flows_with_a_rotated_score(q, seed, t):
    """∇·(q_t J s*) = 0, the divergence taken of the whole flux by autograd."""
    score, x = Flow(q, OU), q.diffuse(t).sample(5, generator=seeded(seed))
    field = RotationalField(spin(seed, q.dim), score)

    def flux(y):
        return score.log_density(y, t).exp()[:, None] * field(y, t)

    assert_close(jacobian_trace(flux, x), torch.zeros(5).double(), rtol=0, atol=1e-10)


@repeatable
@given(seed=st.integers(0, 10**6), dim=st.integers(1, 5))
def test_a_linear_field_splits_into_a_gradient_and_a_rotation(seed, dim):
    W, root = matrix(seed, dim), matrix(seed + 1, dim)
    covariance = root @ root.T + 0.1 * torch.eye(dim)
    S, R = split_linear(W, covariance)
    assert_close(S, S.T)
    assert_close(R @ covariance, -(R @ covariance).T, rtol=0, atol=1e-9)
    assert_close(S + R, W)
    assert abs(float((S @ covariance @ R.T).trace())) < 1e-9  # E[S x · R x] under N(0, Σ)
    again = split_linear(S, covariance)
    assert_close(again.gradient, S, rtol=1e-7, atol=1e-9)
    assert_close(again.rotational, torch.zeros_like(S), rtol=0, atol=1e-8)


def test_under_the_standard_normal_the_gradient_is_the_symmetric_part():
    W = matrix(4)
    assert_close(split_linear(W, EYE).gradient, (W + W.T) / 2)
    assert_close(split_linear(W, 7 * EYE).rotational, (W - W.T) / 2)


def test_the_rotational_part_is_invisible_and_the_gradient_is_not():
    """𝒜 e at points, for e = R (x − μ) and e = S (x − μ), on a Gaussian with three axes."""
    mean, root, t = points(8, 1, 3)[0], matrix(9), 0.3
    covariance = root @ root.T + 0.1 * torch.eye(3)
    still = Flow(Gaussian(mean, covariance), OU)
    now, centre = math.exp(-t) * covariance + (1 - math.exp(-t)) * EYE, math.exp(-t / 2) * mean
    S, R = split_linear(matrix(5), now)
    seen, unseen = (
        still.inject(SumScore(LinearField(part), ConstantField(-part @ centre))).at(X, t).stein
        for part in (S, R)
    )
    assert float(unseen.abs().max()) < 1e-8 < float(seen.abs().min())


def turned(x, t):
    """A field whose Jacobian is neither diagonal nor symmetric, and changes with x and t."""
    return torch.sin(x @ matrix(6).T) + t.reshape(-1, 1) * x.roll(1, dims=1)


def probed(probes, seed=0, rows=20_000, normal=False):
    """Estimates at one point, each with its own probes, and the Jacobian there."""
    x = X[1:2].expand(rows, -1)
    field = ProbedScore(turned, probes, seeded(seed), normal=normal)
    jacobian = torch.autograd.functional.jacobian(lambda y: turned(y[None], torch.tensor(0.5))[0], X[1])
    return field.divergence(x, 0.5), jacobian


@pytest.mark.parametrize("probes", [1, 2, 5])
def test_probed_divergence_has_the_trace_as_mean_and_the_variance_of_signs(probes):
    """Var z·Jz = Σ_{j<k} (J_jk + J_kj)² for signs z, and the mean of R has a share 1/R of it."""
    draws, jacobian = probed(probes)
    variance = float(torch.triu(jacobian + jacobian.T, 1).square().sum()) / probes
    assert variance * probes > 0.5
    assert within(Estimate.from_samples(draws), float(jacobian.trace()))
    assert within(Estimate.from_samples((draws - jacobian.trace()).square()), variance)


def test_normal_probes_have_the_diagonal_in_their_variance():
    """Var z·Jz = 2 ‖S‖² for z ~ N(0, I), with S = (J + Jᵀ)/2."""
    draws, jacobian = probed(2, seed=11, normal=True)
    variance = 2 * float((0.5 * (jacobian + jacobian.T)).square().sum()) / 2
    assert within(Estimate.from_samples(draws), float(jacobian.trace()))
    assert within(Estimate.from_samples((draws - jacobian.trace()).square()), variance)


class Undivided(ProbedScore):
    """A sum over probes where a mean is meant."""

    def value_and_divergence(self, x, t):
        value, trace = super().value_and_divergence(x, t)
        return value, self.probes * trace


@pytest.mark.parametrize("normal", [False, True])
def test_a_sum_over_probes_is_not_taken_for_a_mean(normal):
    for probes in (1, 4):
        check_divergence(ProbedScore(turned, probes, seeded(12), normal=normal), X, EACH_ROW, calls=100)
    wrong = Undivided(turned, 4, seeded(12), normal=normal)
    with pytest.raises(ValueError, match=r"divide by the number of probes"):
        check_divergence(wrong, X, EACH_ROW, calls=100)
    wide = torch.ones(2, 300, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"divide by the number of probes"):
        check_divergence(Undivided(lambda x, t: torch.sin(x), 2, seeded(13)), wide, 1.0, calls=5)


def test_probes_are_new_in_each_call_and_follow_the_generator():
    field, twin = (ProbedScore(turned, 1, seeded(3)) for _ in range(2))
    first, second = (field.divergence(X, 0.5) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, twin.divergence(X, 0.5))
    assert torch.equal(second, twin.value_and_divergence(X, 0.5)[1])


def test_probes_of_different_rows_are_independent():
    draws, jacobian = probed(1, seed=4)
    one, other = (draws - jacobian.trace()).reshape(-1, 2).T
    assert within(Estimate.from_samples(one * other), 0.0)


def test_probed_divergence_is_exact_for_diagonal_jacobians_and_for_constants():
    cubic = ProbedScore(lambda x, t: x**3 * t.reshape(-1, 1), 1, seeded(5))
    assert_close(cubic.divergence(X, EACH_ROW), 3 * EACH_ROW * X.square().sum(1))
    constant = ProbedScore(lambda x, t: torch.ones_like(x), 3, seeded(6), constant=True)
    assert torch.equal(constant.divergence(X, 1.0), torch.zeros(6).double())


def test_probed_score_has_the_values_of_its_function():
    field = ProbedScore(turned, 2, seeded(7))
    assert_close(field(X, EACH_ROW), turned(X, EACH_ROW))
    value, divergence = field.value_and_divergence(X, EACH_ROW)
    assert_close(value, turned(X, EACH_ROW))
    assert not value.requires_grad
    assert not divergence.requires_grad


NAN = float("nan")
REFUSED = [
    ("value.shape = [1, 3]", "[d]", lambda: ConstantField(torch.ones(1, 3))),
    ("value = 1 of 3 entries", "remove", lambda: ConstantField(torch.tensor([1.0, NAN, 0.0]))),
    ("x.shape = [6, 3]", "[n, 2]", lambda: ConstantField(torch.ones(2).double())(X, 1.0)),
    ("matrix.shape = [3]", "[d, d]", lambda: LinearField(torch.ones(3))),
    ("matrix.shape = [2, 3]", "square", lambda: LinearField(torch.ones(2, 3))),
    ("matrix = list", "torch.Tensor", lambda: LinearField([[1.0]])),
    ("matrix = 9 of 9 entries", "remove", lambda: LinearField(NAN * EYE)),
    ("x.shape = [6, 3]", "[n, 2]", lambda: LinearField(EYE[:2, :2])(X, 1.0)),
    ("x.dtype = torch.float64", "convert", lambda: LinearField(torch.eye(3)).divergence(X, 1.0)),
    ("matrix = not antisymmetric", "(A − Aᵀ)/2", lambda: RotationalField(EYE, EXACT)),
    ("matrix = not antisymmetric", "exactly", lambda: RotationalField(spin(0) + 1e-9 * EYE, EXACT)),
    ("matrix.shape = [1, 3]", "square", lambda: RotationalField(torch.zeros(1, 3), EXACT)),
    ("t = 9.0", "[0.02, 4.0]", lambda: RotationalField(spin(0), EXACT)(X, 9.0)),
    ("x.shape = [6, 2]", "[n, 3]", lambda: ScaledField(2.0, LinearField(EYE))(X[:, :2], 1.0)),
    ("matrix.shape = [2, 3]", "square", lambda: split_linear(torch.ones(2, 3), EYE)),
    ("covariance.shape = [3]", "[d, d]", lambda: split_linear(EYE, EYE[0])),
    ("covariance.shape = [3, 3]", "[n, 2]", lambda: split_linear(EYE[:2, :2], EYE)),
    ("covariance.dtype = torch.float32", "convert", lambda: split_linear(EYE, torch.eye(3))),
    ("covariance = smallest eigenvalue -1", "positive", lambda: split_linear(EYE, -EYE)),
    ("covariance = smallest eigenvalue 0", "positive", lambda: split_linear(EYE, 0 * EYE)),
    (
        "covariance = smallest eigenvalue -2",
        "positive",
        lambda: split_linear(EYE, EYE - torch.diag(3 * EYE[1])),
    ),
    ("probes = 0", "≥ 1", lambda: ProbedScore(turned, 0, seeded(0))),
    ("probes = 1.5", "integer", lambda: ProbedScore(turned, 1.5, seeded(0))),
    ("generator = 7", "manual_seed", lambda: ProbedScore(turned, 1, 7).divergence(X, 1.0)),
    ("x.shape = [3]", "batch of points", lambda: ProbedScore(turned, 1, seeded(0)).divergence(X[0], 1.0)),
    (
        "function(x, t).shape = [6]",
        "[6, 3]",
        lambda: ProbedScore(lambda x, t: x[:, 0], 1, seeded(0)).divergence(X, 1.0),
    ),
]


@pytest.mark.parametrize(
    ("begins", "remedy", "call"), REFUSED, ids=[f"{row[0]}, {row[1]}" for row in REFUSED]
)
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]
