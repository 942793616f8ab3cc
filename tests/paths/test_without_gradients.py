"""Simulators and estimators keep no graph and give no gradients, whatever networks they are given."""

import weakref

import pytest
import torch
from sklearn.linear_model import LinearRegression

from helpers import points, seeded
from scoredrift import (
    EulerMaruyama,
    Flow,
    FunctionScore,
    Gaussian,
    OrnsteinUhlenbeck,
    Trajectory,
    exact_paths,
    simulate,
)
from scoredrift.observability import (
    by_pairs,
    by_regression,
    by_trajectories,
    chi2_by_futures,
    marginal_ratio,
    plan,
    response,
)
from scoredrift.paths import Energy, evolve_density, held_energy, ideal_energy, learned_energy
from small_networks import Mlp, Shrink

OU = OrnsteinUhlenbeck()
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
EXACT = Flow(NORMAL, OU)
X = points(0, 6, 2)
GRID = OU.uniform_grid(5)


@pytest.fixture
def mlp():
    return Mlp().eval()


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


ERROR = EXACT.error(FunctionScore(Mlp().eval()))
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
    "exact_paths": lambda law: exact_paths(Flow(law, OU), GRID, 5, generator=seeded(0)),
    "response": lambda law: response(ERROR, X.clone().requires_grad_(True), generator=seeded(0)),
    "marginal_ratio": lambda law: marginal_ratio(
        ERROR, X.clone().requires_grad_(True), GRID, generator=seeded(0)
    ),
    "evolve_density": lambda law: evolve_density(
        lambda x, t: Learned().mean[:1] - x, DENSITY, LINE, GRID, EulerMaruyama()
    ),
    "functional": lambda law: simulate(Flow(law, OU), X, GRID, EulerMaruyama(), generator=seeded(0)),
}


@pytest.mark.parametrize("call", OUTPUTS.values(), ids=OUTPUTS)
def test_results_carry_no_graph(call):
    result = call(Learned())
    assert not result.requires_grad
    assert result.grad_fn is None


EDGES = {
    "ideal_energy": lambda e, q: ideal_energy(e, 50, generator=seeded(0)),
    "learned_energy": lambda e, q: learned_energy(EXACT.error(Flow(q, OU)), 50, generator=seeded(0)),
    "held_energy": lambda e, q: held_energy(e, GRID, EulerMaruyama(), 50, generator=seeded(0)),
    "by_pairs": lambda e, q: by_pairs(e, 50, generator=seeded(0)),
    "plan": lambda e, q: plan(e, generator=seeded(0)),
    "by_regression": lambda e, q: by_regression(
        e, 50, grid=GRID, generator=seeded(0), regressor=LinearRegression()
    ),
    "by_trajectories": lambda e, q: by_trajectories(e, 50, grid=GRID, generator=seeded(0)),
    "chi2_by_futures": lambda e, q: chi2_by_futures(e, 100, OU.geometric_grid(30), generator=seeded(0)),
}


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("estimate", EDGES.values(), ids=EDGES)
@pytest.mark.filterwarnings("error")
def test_estimators_take_networks_and_learned_laws_in_any_mode(estimate, mode):
    learned = Shrink()
    law = Learned()
    with mode():
        found = estimate(Flow(law, OU).error(FunctionScore(learned)), law)
    still = estimate(EXACT.error(FunctionScore(learned)), NORMAL)
    assert repr(found).split("seconds")[0] == repr(still).split("seconds")[0]
    assert learned.slope.grad is None
    assert law.mean.grad is None
