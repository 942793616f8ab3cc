"""Networks as ordinary arguments: modules, and in what precision and mode they are called."""

import math

import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch.testing import assert_close

from helpers import jacobian_trace, points, seeded, within
from scoredrift import (
    Ancestral,
    EulerMaruyama,
    ExponentialIntegrator,
    Flow,
    FunctionScore,
    Gaussian,
    HeunFlow,
    LinearField,
    OrnsteinUhlenbeck,
    ProbedScore,
    RotationalField,
    check_divergence,
    simulate,
)
from scoredrift.observability import by_pairs, by_regression, by_trajectories, in_closed_form
from scoredrift.paths import Energy, LogRatio, Martingale, held_energy, ideal_energy
from scoredrift.scores import split_linear
from small_networks import Mlp, Shrink

OU = OrnsteinUhlenbeck()
L = OU.duration
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
EXACT = Flow(NORMAL, OU)
X = points(0, 6, 2)
GRID = OU.uniform_grid(5)


@pytest.fixture
def mlp():
    return Mlp().eval()


# A module is a function


def test_a_module_is_a_score_with_an_exact_divergence():
    network = Mlp(dtype=torch.float64).eval()
    score, t = FunctionScore(network), torch.linspace(0.1, 3, 6).double()
    assert_close(score(X, t), network(X, t))
    assert_close(score.divergence(X, t), jacobian_trace(lambda y: network(y, t), X))
    check_divergence(score, X, t)
    assert_close(score.divergence(X, 0.5), score.divergence(X, torch.full((6,), 0.5).double()))


@pytest.mark.parametrize("training", [True, False])
def test_a_module_is_left_as_it_was(training):
    network = Mlp().train(training)
    held = {name: p.clone() for name, p in network.named_parameters()}
    network.last.weight.grad = torch.ones_like(network.last.weight)
    by_pairs(EXACT.error(ProbedScore(network, 1, seeded(0))), 20, generator=seeded(1))
    assert network.training is training
    assert network.dropout.training is training
    assert torch.equal(network.last.weight.grad, torch.ones_like(network.last.weight))
    assert network.first.weight.grad is None
    assert all(torch.equal(p, held[name]) for name, p in network.named_parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_values_of_a_module_can_be_differentiated():
    """So that it can be trained through the same object."""
    network = Shrink()
    FunctionScore(network)(X, 0.5).sum().backward()
    assert_close(network.slope.grad, X.sum().float())


VALUES = [EulerMaruyama(), ExponentialIntegrator(), Ancestral(), HeunFlow()]


@pytest.mark.parametrize("step", VALUES, ids=lambda step: type(step).__name__)
def test_a_module_alone_is_simulated_as_a_score(mlp, step):
    bare, wrapped = (simulate(s, X, GRID, step, generator=seeded(2)) for s in (mlp, FunctionScore(mlp)))
    assert bare.dtype == torch.float64
    assert torch.equal(bare, wrapped)


def test_a_module_alone_is_a_field_where_values_suffice(mlp):
    error, score = FunctionScore(mlp), EXACT
    both = (mlp, error)
    for energy in (
        lambda e: ideal_energy(EXACT.inject(e), 50, generator=seeded(3)),
        lambda e: held_energy(EXACT.error(e), GRID, EulerMaruyama(), 50, generator=seeded(3)),
    ):
        assert energy(both[0]).value == energy(both[1]).value > 0
    for functional in (Energy, Martingale, LogRatio):
        seen = [functional(e) for e in both]
        simulate(score, X, GRID, EulerMaruyama(), generator=seeded(4), functionals=seen)
        assert torch.equal(seen[0].values, seen[1].values)
    assert torch.equal(EXACT.error(mlp)(X, 1.0), error(X, 1.0) - EXACT(X, 1.0))


# Precisions


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("x", [X, X.float()], ids=["double points", "single points"])
def test_a_network_is_called_in_its_own_precision(dtype, x):
    network = Mlp(dtype=dtype).eval()
    for t in (0.02, torch.full((6,), 0.02)):
        value, divergence = FunctionScore(network).value_and_divergence(x, t)
        assert value.dtype == divergence.dtype == x.dtype
    clock = torch.float64 if dtype == torch.float64 else torch.float32
    assert {(a, b) for a, b, _ in network.seen} == {(dtype, clock)}
    assert {len(shape) for *_, shape in network.seen} == {1}
    wanted = network(x.to(dtype), torch.full((6,), 0.02).to(clock))
    assert torch.equal(value, wanted.to(x.dtype))


def test_times_of_a_double_network_are_not_rounded_to_the_points():
    seen = []

    class Clock(Shrink):
        def forward(self, x, t):
            seen.append(t)
            return super().forward(x, t)

    FunctionScore(Clock(torch.float64))(X.float(), 0.02)
    assert float(seen[0][0]) == 0.02


def test_a_stated_precision_is_used_for_any_function():
    seen = []

    def function(x, t):
        seen.append((x.dtype, t.dtype))
        return -x

    for dtype in (torch.float32, torch.bfloat16):
        for score in (FunctionScore(function, dtype), ProbedScore(function, 1, seeded(0), dtype)):
            assert score.value_and_divergence(X, 0.5)[1].dtype == torch.float64
        assert set(seen) == {(dtype, torch.float32)}
        seen.clear()


def test_networks_of_several_precisions_say_which_they_take():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).double())
    with pytest.raises(ValueError, match=r"network in torch.float32, torch.float64: say which"):
        FunctionScore(network)(X, 1.0)
    with pytest.raises(ValueError, match=r"dtype = torch.int64: pass a floating one"):
        FunctionScore(network, torch.int64)


def test_half_networks_that_cannot_take_times_in_single_precision_are_told():
    class Careless(Mlp):
        def forward(self, x, t):
            return self.first(torch.cat([x, t[:, None]], 1))[:, :2]

    for dtype in (torch.bfloat16, torch.float16):
        with pytest.raises(
            ValueError, match=r"t.dtype = float32, beside x in torch.*float16.*: times come in"
        ):
            FunctionScore(Careless(dtype=dtype))(X, 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_observability_of_a_network_beside_a_law_in_double_precision(dtype):
    error = EXACT.error(FunctionScore(Shrink(dtype)))
    found = by_pairs(error, 8000, generator=seeded(5))
    assert found.eta.stderr < 0.05
    assert within(found.eta, 2 * (1 - math.exp(-L)) ** 2 / L)
    assert within(found.energy, 0.0025 * 2 * L)


def test_regression_and_trajectories_take_a_network():
    """Both have the bias of their grid, of first order in its step: a tenth at most."""
    error, grid = EXACT.error(FunctionScore(Shrink())), OU.geometric_grid(60)
    squares = SquareRegression()
    routes = (
        by_regression(error, 4000, grid=grid, generator=seeded(6), regressor=squares),
        by_trajectories(error, 4000, grid=grid, generator=seeded(7)),
    )
    for found in routes:
        assert within(found.energy, 0.0025 * 2 * L)
        assert abs(found.eta.value - 2 * (1 - math.exp(-L)) ** 2 / L) < 5 * found.eta.stderr + 0.05
        assert found.eta.stderr < 0.1


class SquareRegression(LinearRegression):
    """Regression on the squares, of which u = ∫ (…) is a linear function here."""

    def fit(self, X, y):
        return super().fit(X**2, y)

    def predict(self, X):
        return super().predict(X**2)


# Autocast, inference mode, torch.func


SPREAD = torch.tensor([[1.0, 0.3], [0.3, 0.7]])


def test_autocast_outside_does_not_lower_the_precision():
    """Matrix products would run in bfloat16, and be off by half a percent, in float32's name."""
    x, W = X.float(), torch.tensor([[0.31, -1.07], [0.33, 0.29]])
    spin, network = W - W.T, Mlp().eval()
    law = Gaussian(torch.zeros(2), torch.eye(2))
    fields = [
        LinearField(W),
        RotationalField(spin, FunctionScore(lambda x, t: x @ W)),
        FunctionScore(network),
        FunctionScore(lambda x, t: x @ W),
        ProbedScore(lambda x, t: x @ torch.diag(W[0]), 1, seeded(0)),
    ]
    error = Flow(law, OU).inject(LinearField(W))

    def all_numbers():
        values = [part for field in fields for part in field.value_and_divergence(x, 0.5)]
        found = by_pairs(error, 20, generator=seeded(8))
        ends = simulate(lambda x, t: x @ W - x, x, GRID, EulerMaruyama(), generator=seeded(9))
        closed = in_closed_form(error).eta.value
        moments = [found.eta.value, found.energy.value, closed]
        return [*values, ends, *split_linear(W, SPREAD), torch.tensor(moments)]

    plain = all_numbers()
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ W).dtype == torch.bfloat16
        cast = all_numbers()
        assert torch.is_autocast_enabled("cpu")
    for one, other in zip(plain, cast, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_a_network_that_wants_autocast_says_so_itself():
    class Cast(Mlp):
        def forward(self, x, t):
            with torch.autocast("cpu", torch.bfloat16):
                return super().forward(x, t)

    plain, cast = FunctionScore(Mlp().eval()), FunctionScore(Cast().eval())
    assert cast(X, 0.5).dtype == torch.float64
    assert 0 < float((plain(X, 0.5) - cast(X, 0.5)).detach().abs().max()) < 0.02


def test_points_made_in_inference_mode_are_taken(mlp):
    score = FunctionScore(mlp)
    with torch.inference_mode():
        x, t = X.clone(), torch.full((6,), 0.5).double()
        inside = score.divergence(x, t)
    assert torch.equal(inside, score.divergence(X, 0.5))
    assert torch.equal(score.divergence(x, t), inside)


def test_a_network_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        network = Mlp()
    with pytest.raises(ValueError, match=r"function\(x, t\) = Inference tensors.*unknown"):
        FunctionScore(network).divergence(X, 0.5)


def test_functions_may_use_torch_func_inside():
    """A score as the gradient of a log-density of one's own."""

    def log_density(x):
        return -0.25 * (x**4).sum()

    score = FunctionScore(lambda x, t: torch.func.vmap(torch.func.grad(log_density))(x))
    assert_close(score(X, 1.0), -(X**3))
    assert_close(score.divergence(X, 1.0), -3 * X.square().sum(1))
    check_divergence(score, X, 1.0)


def test_functions_may_differentiate_inside_an_estimator():
    def score(x, t):
        with torch.enable_grad():
            y = x.detach().requires_grad_(True)
            return torch.autograd.grad(-0.5 * y.square().sum(), y)[0]

    ends, wanted = (
        simulate(s, X, GRID, EulerMaruyama(), generator=seeded(10)) for s in (score, lambda x, t: -x)
    )
    assert_close(ends, wanted)


def test_divergences_inside_a_transform_of_torch_func_are_refused():
    score = FunctionScore(lambda x, t: x**3)
    for call in (
        lambda: torch.func.grad(lambda x: score.divergence(x, 1.0).sum())(X),
        lambda: torch.func.jacrev(lambda x: score.value_and_divergence(x, 1.0)[0])(X),
    ):
        with pytest.raises(ValueError, match=r"x = a tensor of a torch.func transform"):
            call()
    gradient = torch.func.grad(lambda x: score(x, 1.0).sum())(X)
    assert_close(gradient, 3 * X**2)
