"""Fields from one method, their sums and multiples, and how they look."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from helpers import gaussian, jacobian_trace, points, random_mixture, seeded
from scoredrift import (
    ConstantField,
    Flow,
    FunctionScore,
    Gaussian,
    LinearField,
    OrnsteinUhlenbeck,
    RotationalField,
    ScaledField,
    check_divergence,
)
from scoredrift.observability import PairDesign, by_pairs, plan
from scoredrift.scores import Field

OU = OrnsteinUhlenbeck()
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
EXACT = Flow(NORMAL, OU)
X = points(0, 6, 2)
SPIN = torch.tensor([[0.0, 2.0], [-2.0, 0.0]], dtype=torch.float64)
W = torch.tensor([[0.5, -1.0], [0.3, 0.2]], dtype=torch.float64)


PUSH = ConstantField(W[0])


class Net(torch.nn.Module):
    """−0.95 x and a bias: what it learned is known, and its parameters want gradients."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2).double()
        torch.nn.init.zeros_(self.linear.bias)
        with torch.no_grad():
            self.linear.weight.copy_(-0.95 * torch.eye(2))

    def forward(self, x, t):
        return self.linear(x)


NET = Net()


def shrink(x, t):
    return -0.95 * x


class Swirl(Field):
    """A field from one method: e = (x_2², x_1 x_2) t."""

    def value_and_divergence(self, x, t):
        t = torch.as_tensor(t, dtype=x.dtype)
        value = torch.stack([x[:, 1] ** 2, x[:, 0] * x[:, 1]], 1) * t.reshape(-1, 1)
        return value, x[:, 0] * t


class Plain:
    """The three methods and nothing else."""

    def __call__(self, x, t):
        return x @ W.T

    def divergence(self, x, t):
        return W.trace().expand(len(x))

    def value_and_divergence(self, x, t):
        return self(x, t), self.divergence(x, t)


TIMES = [0.7, torch.linspace(0.1, 3.0, 6, dtype=torch.float64)]


@pytest.mark.parametrize("t", TIMES, ids=["one", "a row"])
def test_one_method_makes_a_field(t):
    swirl = Swirl()
    assert_close(swirl(X, t), swirl.value_and_divergence(X, t)[0])
    assert_close(swirl.divergence(X, t), jacobian_trace(lambda y: swirl(y, t), X))
    check_divergence(swirl, X, t)


@pytest.mark.parametrize("t", TIMES, ids=["one", "a row"])
def test_fields_add_and_are_multiplied_by_numbers(t):
    swirl, plain, spin = Swirl(), Plain(), RotationalField(SPIN, EXACT)
    a, b, c, s = swirl(X, t), plain(X, t), PUSH(X, t), spin(X, t)
    for field, value in {
        PUSH + 0.3 * spin: c + 0.3 * s,
        -swirl: -a,
        swirl - PUSH: a - c,
        swirl * 2: 2 * a,
        swirl / 4: a / 4,
        np.float64(1.5) * swirl: 1.5 * a,
        np.float32(1.5) * swirl: 1.5 * a,
        np.int64(3) * swirl: 3 * a,
        np.array(3.0) * swirl: 3 * a,
        torch.tensor(3.0) * swirl: 3 * a,
        swirl + plain: a + b,
        plain + swirl: a + b,
        plain - swirl: b - a,
        swirl - plain: a - b,
        2 * (EXACT - (swirl + PUSH) / 2): 2 * EXACT(X, t) - a - c,
    }.items():
        assert_close(field(X, t), value)
        assert_close(field.divergence(X, t), jacobian_trace(lambda y, field=field: field(y, t), X))


@pytest.mark.parametrize("other", ["2", None, torch.ones(2), [1.0], 1 + 1j])
def test_what_is_no_number_is_no_factor(other):
    with pytest.raises(TypeError):
        PUSH * other
    with pytest.raises(TypeError):
        PUSH + other


def test_a_plain_class_with_three_methods_is_a_score():
    error = EXACT.error(Plain())
    assert_close(error.at(X, 1.0).divergence, (W.trace() + 2).expand(6))
    assert_close(EXACT.inject(Plain()).at(X, 1.0).value, X @ W.T)


def test_a_function_in_place_of_a_score_is_refused_where_its_divergence_is_wanted():
    for call in (
        lambda: EXACT.error(shrink).at(X, 1.0),
        lambda: EXACT.inject(NET).at(X, 1.0),
        lambda: (PUSH + shrink).divergence(X, 1.0),
    ):
        with pytest.raises(
            ValueError, match=r" = (function|Net): it has no divergence: wrap it, FunctionScore"
        ):
            call()


# What a reader sees


def test_fields_are_short_to_read():
    large = Gaussian(torch.zeros(500), torch.eye(500))
    for field, shown in {
        ConstantField(torch.ones(3)): "ConstantField(tensor[3])",
        LinearField(torch.eye(100)): "LinearField(tensor[100, 100])",
        FunctionScore(shrink): "FunctionScore(shrink)",
        FunctionScore(NET, torch.float32): "FunctionScore(Net, torch.float32)",
        ScaledField(torch.cos, PUSH): "ScaledField(cos, ConstantField(tensor[2]))",
        0.5 * PUSH: "ScaledField(0.5, ConstantField(tensor[2]))",
        Swirl(): "Swirl()",
    }.items():
        assert repr(field) == shown
    assert len(repr(Flow(large, OU))) < 200
    assert len(repr(sum([PUSH] * 50, PUSH))) < 200


def test_fields_compare_without_an_error():
    pairs = [
        lambda: ConstantField(torch.ones(3)),
        lambda: LinearField(torch.eye(3)),
        lambda: Flow(random_mixture(0), OU),
        lambda: EXACT.error(Flow(gaussian([0.0, 0.0], 1.0), OU)),
        lambda: RotationalField(SPIN, EXACT),
    ]
    for make in pairs:
        one, other = make(), make()
        assert one == one
        assert one != other
        assert len({one, other, one}) == 2
    assert PairDesign() == PairDesign()
    designs = [plan(EXACT.inject(PUSH), generator=seeded(0)) for _ in range(2)]
    assert designs[0] != designs[1]
    assert len(repr(designs[0])) < 250


@pytest.mark.parametrize("t", [1, np.int64(1), np.float32(1), np.array(1.0), np.array(1), torch.tensor(1)])
def test_times_of_any_kind_of_number(t):
    for field in (EXACT, Swirl(), FunctionScore(shrink), ScaledField(torch.cos, PUSH), NETWORK):
        assert torch.equal(field(X, t), field(X, 1.0))
    assert torch.equal(FunctionScore(shrink).divergence(X, t), FunctionScore(shrink).divergence(X, 1.0))


NETWORK = FunctionScore(NET)


def test_times_in_an_array_of_numpy():
    x, t = points(1, 40, 2), np.linspace(0.1, 3.0, 40)
    for score in (NETWORK, FunctionScore(lambda x, t: x**2 * t[:, None])):
        for part, wanted in zip(
            score.value_and_divergence(x, t), score.value_and_divergence(x, torch.from_numpy(t)), strict=True
        ):
            assert torch.equal(part, wanted)


def test_counts_of_numpy():
    assert OU.uniform_grid(np.int64(3)).shape == (4,)
    found = by_pairs(EXACT.inject(PUSH), np.int64(10), generator=seeded(0))
    assert found.evaluations > 0
