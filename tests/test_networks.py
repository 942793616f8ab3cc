"""Networks as ordinary arguments: modules, precisions, images, and no gradients that nobody asked for."""

import math
import weakref

import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch.testing import assert_close

from helpers import jacobian_trace, points, seeded, within
from scoredrift import (
    Ancestral,
    EulerMaruyama,
    ExponentialIntegrator,
    FlowScore,
    FunctionScore,
    Gaussian,
    HeunFlow,
    InjectedError,
    LinearField,
    OrnsteinUhlenbeck,
    ProbedScore,
    RotationalField,
    ScoreError,
    Trajectory,
    check_divergence,
    exact_paths,
    simulate,
)
from scoredrift.fields import split_linear
from scoredrift.girsanov import Energy, LogRatio, Martingale, held_energy, ideal_energy, learned_energy
from scoredrift.marginal_ratio import chi2_by_futures, marginal_ratio
from scoredrift.networks import Images
from scoredrift.observability import by_pairs, by_regression, by_trajectories, in_closed_form, plan, response
from scoredrift.simulate import evolve_density

OU = OrnsteinUhlenbeck()
L = OU.duration
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
EXACT = FlowScore(NORMAL, OU)
X = points(0, 6, 2)
GRID = OU.uniform_grid(5)


class Mlp(torch.nn.Module):
    """A small network that takes its times as a column."""

    def __init__(self, width=32, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(3, width, dtype=dtype)
        self.dropout = torch.nn.Dropout(0.5)
        self.last = torch.nn.Linear(width, 2, dtype=dtype)
        self.seen = []

    def forward(self, x, t):
        self.seen.append((x.dtype, t.dtype, tuple(t.shape)))
        hidden = self.first(torch.cat([x, t[:, None].to(x.dtype)], 1))
        return self.last(self.dropout(torch.nn.functional.silu(hidden)))


class Shrink(torch.nn.Module):
    """s = −0.95 x, on N(0, I) an error of 0.05 x: η = 2 (1 − e^{−L})²/L and ε*² = 0.0025 d L."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(-0.95, dtype=dtype))

    def forward(self, x, t):
        return self.slope * x


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
    by_pairs(ScoreError(ProbedScore(network, 1, seeded(0)), EXACT), NORMAL, OU, 20, generator=seeded(1))
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
        lambda e: ideal_energy(e, NORMAL, OU, 50, generator=seeded(3)),
        lambda e: held_energy(e, score, NORMAL, OU, GRID, EulerMaruyama(), 50, generator=seeded(3)),
    ):
        assert energy(both[0]).value == energy(both[1]).value > 0
    for functional in (Energy, Martingale, LogRatio):
        seen = [functional(e) for e in both]
        simulate(score, X, GRID, EulerMaruyama(), generator=seeded(4), functionals=seen)
        assert torch.equal(seen[0].values, seen[1].values)
    assert torch.equal(ScoreError(mlp, EXACT)(X, 1.0), error(X, 1.0) - EXACT(X, 1.0))


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
    error = ScoreError(FunctionScore(Shrink(dtype)), EXACT)
    found = by_pairs(error, NORMAL, OU, 8000, generator=seeded(5))
    assert found.eta.stderr < 0.05
    assert within(found.eta, 2 * (1 - math.exp(-L)) ** 2 / L)
    assert within(found.energy, 0.0025 * 2 * L)


def test_regression_and_trajectories_take_a_network():
    """Both have the bias of their grid, of first order in its step: a tenth at most."""
    error, grid = ScoreError(FunctionScore(Shrink()), EXACT), OU.geometric_grid(60)
    squares = SquareRegression()
    routes = (
        by_regression(error, NORMAL, OU, 4000, grid=grid, generator=seeded(6), regressor=squares),
        by_trajectories(error, NORMAL, OU, 4000, grid=grid, generator=seeded(7)),
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
    error = InjectedError(LinearField(W), FlowScore(law, OU))

    def all_numbers():
        values = [part for field in fields for part in field.value_and_divergence(x, 0.5)]
        found = by_pairs(error, law, OU, 20, generator=seeded(8))
        ends = simulate(lambda x, t: x @ W - x, x, GRID, EulerMaruyama(), generator=seeded(9))
        closed = in_closed_form(error, law, OU).eta.value
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


# Without gradients


def greedy(network):
    """Calls of a network that count how many results of earlier ones are still held by a graph."""
    held, alive = [], []

    def score(x, t):
        alive.append(sum(ref() is not None for ref in held))
        hidden = torch.sin(network(x.float(), torch.full((len(x),), float(t))))
        held.append(weakref.ref(hidden))
        return (hidden**2).to(x.dtype)

    return score, alive


def test_a_simulation_keeps_no_graph(mlp):
    score, alive = greedy(mlp)
    energy, path = Energy(mlp), Trajectory()
    start = X.clone().requires_grad_(True)
    ends = simulate(
        score, start, OU.uniform_grid(20), EulerMaruyama(), generator=seeded(11), functionals=[energy, path]
    )
    assert len(alive) == 20
    assert max(alive) == 0
    assert not any(tensor.requires_grad for tensor in (ends, energy.values, path.states))
    assert torch.is_grad_enabled()


def memory_of(call):
    """Bytes that a call allocates and does not free until its end, at the worst moment."""
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as seen:
        call()
    now = most = 0
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def test_the_memory_of_a_simulation_does_not_grow_with_its_steps():
    network, x = Mlp(256).eval(), points(1, 1000, 2).float()
    one, many = (
        memory_of(lambda k=k: simulate(network, x, OU.uniform_grid(k), EulerMaruyama(), generator=seeded(12)))
        for k in (2, 20)
    )
    assert 4 * 256 * 1000 < one < 20 * 4 * 256 * 1000  # a few layers of hidden units
    assert many < 1.2 * one


ERROR = ScoreError(FunctionScore(Mlp().eval()), EXACT)
LINE = torch.linspace(-8, 8, 161, dtype=torch.float64)
DENSITY = torch.exp(-(LINE**2) / 2) / (2 * torch.pi) ** 0.5


class Learned(torch.nn.Module):
    """A law with parameters that want gradients, and what its scores are."""

    dim, dtype, device = 2, torch.float64, torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(2).double())

    def sample(self, n, *, generator):
        return self.mean + NORMAL.sample(n, generator=generator)

    def log_density(self, x):
        return self.at(x).log_density

    def at(self, x, t=0.0):
        return NORMAL.at(x - self.mean, t)


OUTPUTS = {
    "exact_paths": lambda law: exact_paths(law, OU, GRID, 5, generator=seeded(0)),
    "response": lambda law: response(ERROR, OU, X.clone().requires_grad_(True), generator=seeded(0)),
    "marginal_ratio": lambda law: marginal_ratio(
        ERROR, OU, X.clone().requires_grad_(True), GRID, generator=seeded(0)
    ),
    "evolve_density": lambda law: evolve_density(
        lambda x, t: Learned().mean[:1] - x, DENSITY, LINE, GRID, EulerMaruyama()
    ),
    "functional": lambda law: simulate(FlowScore(law, OU), X, GRID, EulerMaruyama(), generator=seeded(0)),
}


@pytest.mark.parametrize("call", OUTPUTS.values(), ids=OUTPUTS)
def test_results_carry_no_graph(call):
    result = call(Learned())
    assert not result.requires_grad
    assert result.grad_fn is None


EDGES = {
    "ideal_energy": lambda e, q: ideal_energy(e, q, OU, 50, generator=seeded(0)),
    "learned_energy": lambda e, q: learned_energy(e, q, OU, 50, generator=seeded(0)),
    "held_energy": lambda e, q: held_energy(
        e.learned, e.exact, q, OU, GRID, EulerMaruyama(), 50, generator=seeded(0)
    ),
    "by_pairs": lambda e, q: by_pairs(e, q, OU, 50, generator=seeded(0)),
    "plan": lambda e, q: plan(e, q, OU, generator=seeded(0)),
    "by_regression": lambda e, q: by_regression(
        e, q, OU, 50, grid=GRID, generator=seeded(0), regressor=LinearRegression()
    ),
    "by_trajectories": lambda e, q: by_trajectories(e, q, OU, 50, grid=GRID, generator=seeded(0)),
    "chi2_by_futures": lambda e, q: chi2_by_futures(
        e, q, OU, 100, OU.geometric_grid(30), generator=seeded(0)
    ),
}


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("estimate", EDGES.values(), ids=EDGES)
@pytest.mark.filterwarnings("error")
def test_estimators_take_networks_and_learned_laws_in_any_mode(estimate, mode):
    learned = Shrink()
    law = Learned()
    with mode():
        found = estimate(ScoreError(FunctionScore(learned), FlowScore(law, OU)), law)
    still = estimate(ScoreError(FunctionScore(learned), EXACT), NORMAL)
    assert repr(found).split("seconds")[0] == repr(still).split("seconds")[0]
    assert learned.slope.grad is None
    assert law.mean.grad is None


# Images


SHAPE = (3, 8, 8)


class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.net = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images, t):
        assert images.shape[1:] == SHAPE
        assert t.shape == images.shape[:1]
        return torch.tanh(self.net(images)) * t[:, None, None, None]


def test_a_network_of_images_is_a_score_of_points():
    network, x = Convolution(), points(2, 5, 192)
    adapted = Images(network, SHAPE)
    t = torch.linspace(0.1, 2, 5)
    for when in (0.5, t):
        wanted = network(x.float().reshape(5, *SHAPE), torch.as_tensor(when).expand(5)).reshape(5, -1)
        assert_close(FunctionScore(adapted)(x, when), wanted.double())
        value, trace = ProbedScore(adapted, 2, seeded(0)).value_and_divergence(x, when)
        assert_close(value, wanted.double())
        assert trace.shape == (5,)
    exact = FunctionScore(adapted).divergence(x[:2], 0.5)
    wanted = jacobian_trace(lambda y: adapted(y, torch.tensor(0.5)), x[:2].float())
    assert_close(exact, wanted.double(), rtol=1e-4, atol=1e-5)


def test_images_are_simulated_in_double_precision_by_a_network_in_single():
    adapted = Images(Convolution(), SHAPE)
    ends = simulate(adapted, points(3, 4, 192), GRID, EulerMaruyama(), generator=seeded(0))
    assert ends.dtype == torch.float64
    images = adapted.to_images(ends)
    assert images.shape == (4, *SHAPE)
    assert torch.equal(adapted.to_points(images), ends)
    assert torch.equal(images[1, 2, 3], ends[1, 2 * 64 + 3 * 8 : 2 * 64 + 4 * 8])


def test_images_in_another_memory_format_are_the_same_points():
    adapted, images = Images(Convolution(), SHAPE), torch.rand(4, *SHAPE, generator=seeded(0))
    assert torch.equal(
        adapted.to_points(images.to(memory_format=torch.channels_last)), adapted.to_points(images)
    )


def test_the_adapter_leaves_a_module_as_it_was():
    network = Convolution().eval()
    Images(network, SHAPE)
    assert not network.training
    assert Images(lambda images, t: -images, SHAPE).dim == 192


class Output:
    sample = torch.zeros(5, *SHAPE)


IMAGE = Images(lambda images, t: images, SHAPE)
REFUSED = [
    ("points.shape = [5, 10]", "[n, 192]", lambda: IMAGE(torch.zeros(5, 10), 1.0)),
    ("points.shape = [5, 3, 8, 8]", "[n, 192]", lambda: IMAGE.to_images(torch.zeros(5, *SHAPE))),
    ("images.shape = [5, 192]", "[n, 3, 8, 8]", lambda: IMAGE.to_points(torch.zeros(5, 192))),
    ("images.shape = [5, 8, 8, 3]", "[n, 3, 8, 8]", lambda: IMAGE.to_points(torch.zeros(5, 8, 8, 3))),
    ("images.shape = list", "[n, 3, 8, 8]", lambda: IMAGE.to_points([1.0])),
    ("shape = 0", "≥ 1", lambda: Images(torch.nn.Identity(), (3, 0, 8))),
    ("shape = 2.5", "integer", lambda: Images(torch.nn.Identity(), (3, 2.5))),
    (
        "network(images, t).shape = [5, 1, 8, 8]",
        "[5, 3, 8, 8]",
        lambda: FunctionScore(Images(lambda images, t: images[:, :1], SHAPE))(torch.zeros(5, 192), 1.0),
    ),
    (
        "network(images, t) = Output",
        ".sample",
        lambda: FunctionScore(Images(lambda images, t: Output(), SHAPE))(torch.zeros(5, 192), 1.0),
    ),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_images_that_do_not_fit_are_refused(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]
