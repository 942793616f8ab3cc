"""Fields and functionals where a wrong number could pass for a right one."""

import math

import pytest
import torch
from torch.testing import assert_close

from helpers import jacobian_trace, points, seeded, within
from scoredrift import (
    Ancestral,
    ConstantField,
    EulerMaruyama,
    ExponentialIntegrator,
    Flow,
    FunctionScore,
    Gaussian,
    HeunFlow,
    InjectedField,
    KernelDensity,
    OrnsteinUhlenbeck,
    ProbedScore,
    RotationalField,
    ScaledField,
    ScoreDifference,
    SumScore,
    check_divergence,
    simulate,
)
from scoredrift.laws import Evaluation
from scoredrift.observability import (
    PairDesign,
    by_pairs,
    chi2_by_futures,
    marginal_ratio,
    plan,
    response,
)
from scoredrift.paths import evolve_density, held_energy
from scoredrift.process import RandomTimes
from scoredrift.scores import ErrorEvaluation, Field

OU = OrnsteinUhlenbeck()
L = OU.duration
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
EXACT = Flow(NORMAL, OU)
X = points(0, 6, 2)
SPIN = torch.tensor([[0.0, 2.0], [-2.0, 0.0]], dtype=torch.float64)
W = torch.tensor([[0.5, -1.0], [0.3, 0.2]], dtype=torch.float64)


def refusal(call, begins, remedy):
    with pytest.raises(ValueError, match=" = ") as caught:
        call()
    assert str(caught.value).startswith(begins)
    assert remedy in str(caught.value).partition(": ")[2]


# A divergence that the graph does not show


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


CUT = {
    "no_grad": torch.no_grad()(shrink),
    "inference mode": torch.inference_mode()(shrink),
    "detached": lambda x, t: shrink(x.detach(), t),
    "detached result": lambda x, t: shrink(x, t).detach(),
    "numpy": lambda x, t: torch.from_numpy(-0.95 * x.detach().numpy()),
    "numpy without detach": lambda x, t: torch.from_numpy(-0.95 * x.numpy()),
    "network of a detached point": lambda x, t: NET(x.detach(), t),
    "network in no_grad": torch.no_grad()(NET),
    # The graph reaches x, but not by all ways: a denoiser in no_grad, a term detached.
    "denoiser in no_grad": lambda x, t: torch.no_grad()(lambda y: 0.05 * y)(x) - x,
    "denoiser in inference mode": lambda x, t: torch.inference_mode()(lambda y: 0.05 * y)(x) - x,
    "a term detached": lambda x, t: -0.5 * x - 0.45 * x.detach(),
    "multiplied by an inference tensor": lambda x, t: torch.inference_mode()(torch.ones_like)(x) * x,
    "graph that is not the function": lambda x, t: x + (shrink(x, t) - x).detach(),
}
each_cut = pytest.mark.parametrize("function", CUT.values(), ids=CUT)


@each_cut
@pytest.mark.parametrize(
    "wrap", [FunctionScore, lambda f: ProbedScore(f, 2, seeded(0))], ids=["exact", "probed"]
)
def test_a_divergence_that_the_graph_does_not_show_is_refused(function, wrap):
    score = wrap(function)
    for call in (
        lambda: score.divergence(X, 1.0),
        lambda: score.value_and_divergence(X, torch.ones(6).double()),
        lambda: check_divergence(score, X, 1.0),
        lambda: by_pairs(EXACT.error(score), 10, generator=seeded(0)),
    ):
        refusal(call, "function(x, t) = ", "ConstantField(c)")


@each_cut
def test_a_claimed_divergence_is_not_checked_against_a_graph_that_is_cut(function):
    class Claimed(Field):
        def value_and_divergence(self, x, t):
            return function(x, t), torch.zeros(len(x)).double()

    refusal(lambda: check_divergence(Claimed(), X, 1.0), "function(x, t) = ", "record a graph")


@pytest.mark.parametrize("function", [CUT["no_grad"], CUT["numpy"]])
def test_values_need_no_graph(function):
    """Nor does a design without divergences, η = 2 (1 − e^{−L})²/L for e = 0.05 x on N(0, I)."""
    score, design = FunctionScore(function), PairDesign(antithetic=True, divergence_free=True)
    assert_close(score(X, 1.0), -0.95 * X)
    found = by_pairs(EXACT.error(score), 8000, generator=seeded(1), design=design)
    assert found.eta.stderr < 0.05
    assert within(found.eta, 2 * (1 - math.exp(-L)) ** 2 / L)


MODES = {"plain": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("function", [shrink, NET], ids=["function", "network"])
def test_observability_of_a_shrunk_score_whatever_the_mode_of_the_caller(function, mode):
    with mode():
        error = EXACT.error(FunctionScore(function))
        found = by_pairs(error, 8000, generator=seeded(2))
    assert found.eta.stderr < 0.05
    assert within(found.eta, 2 * (1 - math.exp(-L)) ** 2 / L)
    assert within(found.energy, 0.05**2 * 2 * L)


def ones(x, t):
    return torch.ones_like(x)


def test_functions_that_do_not_depend_on_x_are_declared():
    for wrap in (FunctionScore, lambda f, **more: ProbedScore(f, 1, seeded(0), **more)):
        refusal(lambda wrap=wrap: wrap(ones).divergence(X, 1.0), "function(x, t) = no graph", "constant=True")
        assert_close(wrap(ones, constant=True).divergence(X, 1.0), torch.zeros(6).double())
    for field in (
        ConstantField(W[0]),
        ScaledField(torch.cos, ConstantField(W[0])),
        ConstantField(W[0]) + EXACT,
    ):
        check_divergence(field, X, 1.0)


@each_cut
def test_functions_that_depend_on_x_are_not_believed_to_be_constant(function):
    score = FunctionScore(function, constant=True)
    refusal(lambda: score.divergence(X, 1.0), "function(x, t) = ", "record a graph")


def test_a_bias_alone_has_divergence_zero_if_it_is_declared():
    bias = torch.ones(2, dtype=torch.float64, requires_grad=True)
    field = FunctionScore(lambda x, t: bias.expand_as(x), constant=True)
    assert_close(field.divergence(X, 1.0), torch.zeros(6).double())
    refusal(lambda: FunctionScore(field.function).divergence(X, 1.0), "function(x, t) = no graph", "declare")
    assert bias.grad is None


HARD = {
    "kinks": lambda x, t: x.abs() - torch.relu(3 * x.flip(1)),
    "steps in x": lambda x, t: x + torch.sign(x) + torch.round(x),
    "steps in time": lambda x, t: torch.where(t.reshape(-1, 1) > 2, x**2, x),
    "flat in places": lambda x, t: torch.relu(x - 100),
    "large": lambda x, t: 1e8 + 1e-3 * x,
    "steep": lambda x, t: -1e6 * x,
    "narrow peaks": Flow(KernelDensity(points(3, 40, 2), 0.02), OrnsteinUhlenbeck(1e-6, 4.0)),
    "rough": lambda x, t: torch.sin(1e5 * x),
    "single precision inside": lambda x, t: torch.sin(x.float()).double(),
    "half precision inside": lambda x, t: torch.sin(x.bfloat16()).double(),
    "cut in one coordinate, where it is constant": lambda x, t: torch.stack(
        [x[:, 0] ** 2, 0 * t + x[:, 1] * 0], 1
    ),
}


@pytest.mark.parametrize("function", HARD.values(), ids=HARD)
@pytest.mark.parametrize("n", [1, 6, 200])
def test_true_graphs_are_believed_though_differences_are_rough(function, n):
    x = points(4, n, 2)
    wanted = jacobian_trace(lambda y: function(y, torch.tensor(0.5).double()), x)
    assert_close(FunctionScore(function).divergence(x, 0.5), wanted)


@pytest.mark.parametrize("name", ["kinks", "steps in x", "steps in time", "large", "steep", "rough"])
def test_true_graphs_are_believed_in_single_precision(name):
    x = points(4, 200, 2).float()
    wanted = jacobian_trace(lambda y: HARD[name](y, torch.tensor(0.5)), x)
    assert_close(FunctionScore(HARD[name]).divergence(x, 0.5), wanted)


def test_a_rotated_score_that_is_no_gradient_has_the_divergence_that_it_has():
    """∇·(J A x) = tr(J A), which is zero for symmetric A only."""
    field = RotationalField(SPIN, FunctionScore(lambda x, t: x @ W.T))
    assert abs(float((SPIN @ W).trace())) > 1
    assert_close(field.divergence(X, 1.0), (SPIN @ W).trace().expand(6))
    check_divergence(field, X, 1.0)


# Divergences and values of wrong shape


PUSH = ConstantField(W[0])
GRID = OU.uniform_grid(5)


def run(functionals, n=4, step=None, seed=0):
    start = points(seed, n, 2)
    step = EulerMaruyama() if step is None else step
    return simulate(EXACT, start, GRID, step, generator=seeded(seed), functionals=functionals)


class Column:
    """A field of one's own that keeps a dimension too many."""

    def __init__(self, field=PUSH):
        self.field = field

    def __call__(self, x, t):
        return self.field(x, t)

    def divergence(self, x, t):
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x, t):
        value, divergence = self.field.value_and_divergence(x, t)
        return value, divergence[:, None]


class RawError:
    """An error of one's own, its divergence a column."""

    exact = learned = EXACT

    def __call__(self, x, t):
        return PUSH(x, t)

    def at(self, x, t):
        value, divergence = Column().value_and_divergence(x, t)
        return ErrorEvaluation(value, divergence, EXACT(x, t))


class ColumnLaw:
    """A law of one's own, the same."""

    def at(self, x, t=0.0):
        found = NORMAL.at(x, t)
        return Evaluation(found.log_density, found.score, found.score_divergence[:, None])


class ColumnField(Field):
    def value_and_divergence(self, x, t):
        return Column().value_and_divergence(x, t)


FEW, G = OU.uniform_grid(3), lambda: seeded(0)
COLUMNS = {
    "by_pairs": lambda: by_pairs(RawError(), 10, generator=G()),
    "by_pairs, planned": lambda: by_pairs(RawError(), 10, generator=G(), design=PairDesign()),
    "plan": lambda: plan(RawError(), generator=G()),
    "response": lambda: response(RawError(), X, generator=G()),
    "marginal_ratio": lambda: marginal_ratio(RawError(), X, FEW, generator=G()),
    "chi2_by_futures": lambda: chi2_by_futures(RawError(), 100, FEW, generator=G()),
    "stein": lambda: RawError().at(X, 1.0).stein,
    "injected": lambda: EXACT.inject(Column()).at(X, 1.0),
    "injected, divergence": lambda: EXACT.inject(Column()).divergence(X, 1.0),
    "learned": lambda: EXACT.error(Column()).at(X, 1.0),
    "learned, divergence": lambda: EXACT.error(Column()).divergence(X, 1.0),
    "exact": lambda: ScoreDifference(EXACT, Column()).at(X, 1.0),
    "exact, divergence": lambda: ScoreDifference(EXACT, Column()).divergence(X, 1.0),
    "sum": lambda: SumScore(EXACT, Column()).divergence(X, 1.0),
    "sum of two": lambda: SumScore(Column(), Column()).value_and_divergence(X, 1.0),
    "scaled": lambda: ScaledField(2.0, Column()).divergence(X, 1.0),
    "flow": lambda: Flow(ColumnLaw(), OU).divergence(X, 1.0),
    "derived": lambda: ColumnField().divergence(X, 1.0),
    "check": lambda: check_divergence(Column(), X, 1.0),
}


@pytest.mark.parametrize("call", COLUMNS.values(), ids=COLUMNS)
def test_divergences_in_columns_are_refused(call):
    with pytest.raises(ValueError, match=r"divergence.*shape = \[\d+, 1\]: return one number for each point"):
        call()


def flat(x, t):
    return x[:, :1]


def crooked(x, t):
    return torch.ones(len(x), 1, dtype=x.dtype)


LINE = torch.linspace(-8, 8, 161, dtype=torch.float64)
DENSITY = torch.exp(-(LINE**2) / 2) / (2 * torch.pi) ** 0.5
VALUES = {
    "learned": lambda: EXACT.error(flat)(X, 1.0),
    "exact": lambda: ScoreDifference(EXACT, flat)(X, 1.0),
    "injected": lambda: EXACT.inject(flat)(X, 1.0),
    "sum": lambda: SumScore(EXACT, flat)(X, 1.0),
    "scaled": lambda: ScaledField(2.0, flat)(X, 1.0),
    "rotated": lambda: RotationalField(SPIN, flat)(X, 1.0),
    "EulerMaruyama": lambda: EulerMaruyama().step(flat, X, 1.0, 0.5, X),
    "ExponentialIntegrator": lambda: ExponentialIntegrator().step(flat, X, 1.0, 0.5, X),
    "Ancestral": lambda: Ancestral().step(flat, X, 1.0, 0.5, X),
    "HeunFlow": lambda: HeunFlow().step(flat, X, 1.0, 0.5, X),
    "evolve_density": lambda: evolve_density(lambda x, t: x[:, 0], DENSITY, LINE, FEW, EulerMaruyama()),
    "exact, evaluated": lambda: InjectedField(PUSH, crooked).at(X, 1.0),
    "stein": lambda: ErrorEvaluation(X, X[:, 0], X[:, :1]).stein,
}


@pytest.mark.parametrize("call", VALUES.values(), ids=VALUES)
def test_values_of_wrong_shape_are_refused(call):
    with pytest.raises(ValueError, match=r"shape = \[\d+(, 1)?\]: return one vector for each point"):
        call()


def test_values_that_are_no_tensors_are_refused():
    score = FunctionScore(lambda x, t: x.numpy())
    refusal(lambda: score(X, 1.0), "function(x, t) = ndarray", "torch.Tensor")
    refusal(
        lambda: FunctionScore(lambda x, t: x + 1j)(X, 1.0), "function(x, t).dtype = torch.complex", "real"
    )


class Crooked(EulerMaruyama):
    """A method of one's own, its results too narrow."""

    def step(self, score, x, t, t_next, noise):
        return super().step(score, x, t, t_next, noise)[:, :1]

    def held_drift(self, x, t, x_held, t_held, score_held):
        return score_held[:, :1]


def test_methods_that_return_another_shape_are_refused():
    refusal(lambda: run([], step=Crooked()), "integrator.step(…).shape = [4, 1]", "[4, 2]")
    priced = lambda: held_energy(EXACT.error(EXACT), FEW, Crooked(), 5, generator=G())  # noqa: E731
    refusal(priced, "integrator.held_drift(…).shape = [5, 1]", "[5, 2]")


def test_times_of_wrong_shape_are_refused():
    first = PairDesign(lambda process, u: RandomTimes(u[0] + 1, u), antithetic=True)
    error = EXACT.inject(PUSH)
    refusal(
        lambda: response(error, X, generator=G(), design=first),
        "design.times(process, u).t.shape",
        "[6, 4, 2]",
    )
    for t in (torch.ones(5), torch.ones(6, 1)):
        refusal(lambda t=t: FunctionScore(shrink)(X, t), "t.shape = ", "one for each of the 6 points")
    for t in (math.nan, -1.0):
        refusal(lambda t=t: FunctionScore(shrink)(X, t), "t = ", "[0.0, inf]")


# Scaled fields


SCALED = [
    ("factor = nan", "finite", lambda: ScaledField(math.nan, PUSH)),
    ("factor = -inf", "finite", lambda: -math.inf * PUSH),
    ("factor = '2'", "real number", lambda: ScaledField("2", PUSH)),
    ("factor = nan", "finite", lambda: ScaledField(torch.tensor(math.nan), PUSH)),
    ("factor(t).shape = [6, 1]", "[6]", lambda: ScaledField(lambda t: t[:, None], PUSH)(X, torch.ones(6))),
    ("factor(t).shape = []", "[6]", lambda: ScaledField(lambda t: t.sum(), PUSH)(X, torch.ones(6))),
    ("factor(t).shape = [1]", "[]", lambda: ScaledField(lambda t: t.reshape(1), PUSH).divergence(X, 1.0)),
    ("factor(t).shape = float", "numbers", lambda: ScaledField(lambda t: 0.5, PUSH)(X, 1.0)),
    ("factor(t) = NaN", "correct", lambda: ScaledField(torch.log, PUSH)(X, 0.0)),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), SCALED, ids=[row[0] for row in SCALED])
def test_bad_factors_are_refused(begins, remedy, call):
    refusal(call, begins, remedy)
