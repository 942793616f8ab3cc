"""Functionals start afresh with each simulation, or are refused."""

import math

import pytest
import torch
from torch.testing import assert_close

from helpers import points, seeded
from scoredrift import (
    ConstantField,
    EulerMaruyama,
    Flow,
    Gaussian,
    HeunFlow,
    OrnsteinUhlenbeck,
    Trajectory,
    mixture_of_three,
    simulate,
)
from scoredrift.paths import Energy, LogRatio, Martingale, Step

OU = OrnsteinUhlenbeck()
L = OU.duration
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
EXACT = Flow(NORMAL, OU)
X = points(0, 6, 2)
W = torch.tensor([[0.5, -1.0], [0.3, 0.2]], dtype=torch.float64)


PUSH = ConstantField(W[0])
GRID = OU.uniform_grid(5)


def refusal(call, begins, remedy):
    with pytest.raises(ValueError, match=" = ") as caught:
        call()
    assert str(caught.value).startswith(begins)
    assert remedy in str(caught.value).partition(": ")[2]


def run(functionals, n=4, step=None, seed=0):
    start = points(seed, n, 2)
    step = EulerMaruyama() if step is None else step
    return simulate(EXACT, start, GRID, step, generator=seeded(seed), functionals=functionals)


@pytest.mark.parametrize("second", [4, 1, 7])
def test_functionals_start_afresh_with_each_simulation(second):
    """Energy of a constant error: ‖c‖² L on every path, and not twice that."""
    used = [Energy(PUSH), Martingale(PUSH), LogRatio(PUSH), Trajectory()]
    fresh = [Energy(PUSH), Martingale(PUSH), LogRatio(PUSH), Trajectory()]
    run(used)
    run(used, second, seed=1)
    run(fresh, second, seed=1)
    assert_close(used[0].values, (W[0].square().sum() * L).expand(second))
    assert_close(used[2].energies, (W[0].square().sum() * L).expand(second))
    assert used[3].states.shape == (6, second, 2)
    for one, other in zip(used[:3], fresh[:3], strict=True):
        assert torch.equal(one.values, other.values)
    assert torch.equal(used[3].states, fresh[3].states)


def test_functionals_start_afresh_after_a_simulation_that_failed():
    energy = Energy(PUSH)
    exploding = lambda x, t: x * (math.inf if t < 2 else 1.0)  # noqa: E731
    with pytest.raises(ValueError, match="NaN or infinite"):
        simulate(exploding, X, GRID, EulerMaruyama(), generator=seeded(0), functionals=[energy])
    run([energy])
    assert_close(energy.values, (W[0].square().sum() * L).expand(4))


def test_functionals_that_cannot_start_afresh_are_refused():
    class Old:
        def record(self, step):
            pass

    refusal(lambda: run([Old()]), "functionals = Old without begin", "give it begin(integrator)")
    energy = Energy(PUSH)
    refusal(lambda: run([energy, energy]), "functionals = the same object twice", "once")


@pytest.mark.parametrize("functional", [Energy, Martingale, LogRatio])
def test_steps_of_another_number_of_paths_are_refused(functional):
    record, one = functional(PUSH), X[:1]
    record.record(Step(X, 1.0, 0.5, X, X))
    refusal(lambda: record.record(Step(one, 0.5, 0.2, one, one)), "step.x.shape = [1, d]", "6 paths")


def test_states_of_another_number_of_paths_are_refused():
    path, one = Trajectory(), X[:1]
    path.record(Step(X, 1.0, 0.5, X, X))
    refusal(lambda: path.record(Step(one, 0.5, 0.2, one, one)), "step.x_next.shape = [1, 2]", "[6, 2]")


@pytest.mark.parametrize("functional", [Martingale, LogRatio])
def test_functionals_of_the_noise_refuse_methods_without_noise(functional):
    refusal(lambda: run([functional(PUSH)], step=HeunFlow()), "integrator = HeunFlow", "EulerMaruyama()")
    run([Energy(PUSH), Trajectory()], step=HeunFlow())


@pytest.mark.parametrize("functional", [Energy, Martingale, LogRatio])
def test_a_score_is_not_taken_for_an_error(functional):
    flow = Flow(mixture_of_three(), OU)
    with pytest.raises(ValueError, match=r"error = Flow.*: a score is no error: pass flow.error\(model\)"):
        functional(flow)
    functional(flow.error(flow))
