"""Score errors: their parts against separate evaluations, the Stein operator, the check of divergences."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from helpers import jacobian_trace, points, random_mixture, seeded, within
from scoredrift import (
    ConstantField,
    Estimate,
    Flow,
    FunctionScore,
    Gaussian,
    KernelDensity,
    LinearField,
    OrnsteinUhlenbeck,
    RotationalField,
    ScaledField,
    SumScore,
    check_divergence,
)

OU = OrnsteinUhlenbeck()
Q = random_mixture(1)
EXACT = Flow(Q, OU)
X = points(0, 7, 2)
W = torch.tensor([[0.4, -1.0], [0.3, 0.2]], dtype=torch.float64)
SPIN = torch.tensor([[0.0, 2.0], [-2.0, 0.0]], dtype=torch.float64)
TIMES = [0.02, 0.5, torch.linspace(0.02, 4.0, 7, dtype=torch.float64)]


def wavy(x, t):
    return torch.sin(x) + torch.cos(t).reshape(-1, 1) * x.roll(1, dims=1) ** 2


def push(t):
    return torch.sin(3 * t)


def errors():
    injected = {
        "push": ScaledField(push, ConstantField(W[0])),
        "linear": LinearField(W),
        "rotation": RotationalField(SPIN, EXACT),
        "wavy": FunctionScore(wavy),
    }
    learned = {"blur": Flow(Q.blur(0.5), OU), "learned wave": SumScore(EXACT, FunctionScore(wavy))}
    return {name: EXACT.inject(field) for name, field in injected.items()} | {
        name: EXACT.error(score) for name, score in learned.items()
    }


each_error = pytest.mark.parametrize("error", errors().values(), ids=errors())
each_time = pytest.mark.parametrize("t", TIMES, ids=["t0", "float", "one a row"])


@each_error
@each_time
def test_parts_are_those_of_separate_evaluations(error, t):
    value, divergence, exact = error.at(X, t)
    assert_close(value, error(X, t))
    assert_close(divergence, error.divergence(X, t))
    assert_close(divergence, jacobian_trace(lambda y: error(y, t), X))
    assert_close(exact, EXACT(X, t))
    assert_close(error.exact(X, t), EXACT(X, t))


@each_error
@each_time
def test_learned_is_exact_and_error(error, t):
    assert_close(error.learned(X, t), EXACT(X, t) + error(X, t))
    assert_close(error.learned.divergence(X, t), jacobian_trace(lambda y: error.learned(y, t), X))


def test_the_two_kinds_of_error_say_the_same():
    field = LinearField(W)
    injected, difference = EXACT.inject(field), EXACT.error(SumScore(EXACT, field))
    for one, other in zip(injected.at(X, 0.5), difference.at(X, 0.5), strict=True):
        assert_close(one, other)


@each_error
@pytest.mark.parametrize("t", [0.02, 0.5, 3.0])
def test_stein_operator_is_the_divergence_of_the_flux_over_the_density(error, t):
    x = Q.diffuse(t).sample(20, generator=seeded(1))

    def flux(y):
        return EXACT.log_density(y, t).exp()[:, None] * error(y, t)

    divided = jacobian_trace(flux, x) / EXACT.log_density(x, t).exp()
    assert_close(error.at(x, t).stein, divided, rtol=1e-8, atol=1e-8)


@each_error
@pytest.mark.parametrize("t", [0.02, 0.5, 3.0])
def test_stein_operator_has_mean_zero_under_the_exact_law(error, t):
    stein = error.at(Q.diffuse(t).sample(40_000, generator=seeded(2)), t).stein
    assert within(Estimate.from_samples(stein), 0.0) or float(stein.abs().max()) < 1e-9


@dataclass(frozen=True)
class Claimed:
    """A field with whatever divergence somebody wrote down for it."""

    field: Any
    claim: Any

    def __call__(self, x, t):
        return self.field(x, t)

    def divergence(self, x, t):
        return self.claim(self.field.divergence(x, t))


RIGHT = {
    "flow of a mixture": EXACT,
    "flow of a Gaussian": Flow(Gaussian(W[0], torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()), OU),
    "flow of a kernel density": Flow(KernelDensity(points(3, 40, 2), 0.5), OU),
    "linear": LinearField(W),
    "rotation": RotationalField(SPIN, EXACT),
    "wave": FunctionScore(wavy),
    "score error": errors()["blur"],
    "injected error": errors()["push"],
}


@pytest.mark.parametrize("field", RIGHT.values(), ids=RIGHT)
@each_time
def test_right_divergences_pass(field, t):
    check_divergence(field, X, t)


def test_right_divergences_pass_in_single_precision():
    """The flow near t0 has a divergence of a hundred, and roundings to match."""
    single = Flow(Q.to(dtype=torch.float32), OU)
    check_divergence(single, X.float(), 0.02)
    check_divergence(Flow(KernelDensity(points(3, 40, 2).float(), 0.5), OU), X.float(), 0.02)


SPOILT = {
    "coefficient": lambda right: 1.001 * right,
    "sign": lambda right: -right,
    "ninth digit": lambda right: right * (1 + 1e-9),
    "one point": lambda right: right + torch.eye(7).double()[4],
}


@pytest.mark.parametrize("claim", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("field", [EXACT, LinearField(W)], ids=["flow", "linear"])
def test_wrong_divergences_are_refused_with_both_numbers(field, claim):
    with pytest.raises(ValueError, match=r"field.divergence\(x\[\d\], t\) = ") as refusal:
        check_divergence(Claimed(field, claim), X, 0.5)
    message = str(refusal.value)
    row = int(message.partition("x[")[2][0])
    right = field.divergence(X, 0.5)
    assert f"= {float(claim(right)[row]):.6g}: " in message
    assert f"the trace of the Jacobian is {float(right[row]):.6g}" in message
    assert "FunctionScore(field)" in message
    assert row == int((claim(right) - right).abs().argmax())


def test_a_dropped_divergence_is_refused():
    with pytest.raises(ValueError, match=r"= 0: the trace of the Jacobian is 0\.6"):
        check_divergence(Claimed(LinearField(W), lambda right: 0 * right), X, 0.5)


def test_the_tolerance_is_relative_to_the_largest_divergence():
    off = Claimed(FunctionScore(lambda x, t: 50 * x**3), lambda right: right + 3e-3)
    largest = float((150 * X**2).sum(1).max())
    assert largest > 1e3
    check_divergence(off, X, 0.5, tolerance=4e-3 / (1 + largest))
    with pytest.raises(ValueError, match="the trace of the Jacobian"):
        check_divergence(off, X, 0.5, tolerance=2e-3 / (1 + largest))
    check_divergence(Claimed(LinearField(0 * W), lambda right: right + 1e-3), X, 0.5, tolerance=2e-3)


REFUSED = [
    ("field.divergence(x, t) = 7 of 7 entries are NaN", "remove", lambda right: right * float("nan")),
    ("field.divergence(x, t) = 1 of 7 entries", "remove", lambda right: right / (torch.arange(7) != 2)),
    ("field.divergence(x, t).shape = [7, 1]", "one number for each point, [7]", lambda right: right[:, None]),
    ("field.divergence(x, t).shape = []", "[7]", lambda right: right[0]),
    ("field.divergence(x, t).shape = [6]", "[7]", lambda right: right[1:]),
    ("field.divergence(x, t).dtype = torch.int64", "double", lambda right: right.long()),
]


@pytest.mark.parametrize(("begins", "remedy", "claim"), REFUSED, ids=[row[0] for row in REFUSED])
def test_divergences_that_are_no_numbers_for_points_are_refused(begins, remedy, claim):
    with pytest.raises(ValueError, match=" = ") as refusal:
        check_divergence(Claimed(LinearField(W), claim), X, 0.5)
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]


def test_points_that_are_no_batch_are_refused():
    with pytest.raises(ValueError, match=r"x.shape = \[2\]: pass a batch of points"):
        check_divergence(EXACT, X[0], 0.5)


def test_a_jacobian_that_is_not_finite_is_refused():
    """√|x| has none at 0, whatever is claimed for it."""
    root = FunctionScore(lambda x, t: x.abs().sqrt())
    with pytest.raises(ValueError, match="= 0: the trace of the Jacobian is nan"):
        check_divergence(Claimed(root, torch.zeros_like), 0 * X, 0.5)
