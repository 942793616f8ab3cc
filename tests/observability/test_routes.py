"""Observability by trajectories and by regression, against quadrature and exact sums over a grid."""

import math
from itertools import pairwise

import pytest
import torch
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from helpers import affine_law, gaussian, seeded, within
from on_a_line import ERRORS, OU, Q, double, truth
from scoredrift import (
    Ancestral,
    ConstantField,
    EulerMaruyama,
    Flow,
    FunctionScore,
    HeunFlow,
    LinearField,
    ScaledField,
)
from scoredrift.observability import by_regression, by_trajectories
from scoredrift.paths import Energy, LogRatio, Martingale, Step
from scoredrift.process import OrnsteinUhlenbeck

each_error = pytest.mark.parametrize("name", ERRORS)
NORMAL = gaussian([0.0, 0.0], 1.0)
C = double([0.6, -0.8])


def trajectories(name, steps, n=5000, seed=0):
    return by_trajectories(ERRORS[name], n, grid=OU.uniform_grid(steps), generator=seeded(seed))


def regression(error, n, grid, seed=0, **options):
    return by_regression(error, n, grid=grid, generator=seeded(seed), **options)


def ou_sums(factor, process, grid):
    """η and ε*² of the sums over a grid, exactly, for e = factor(t) c on N(0, I), ‖c‖ = 1.

    The state at t given x at t0 has mean a x, so E[ΔB̄ | x] = (a_k − a_{k+1} (1 − ½ Δ)) x for a step
    from t_{k+1} down to t_k, where the score is −x.
    """
    shown = energy = 0.0
    for later, t in pairwise(grid.tolist()):
        a, a_later = (math.exp(-0.5 * (s - process.t_min)) for s in (t, later))
        shown += factor(later) * (a - a_later * (1 - 0.5 * (later - t)))
        energy += factor(later) ** 2 * (later - t)
    return shown**2 / energy, energy


@pytest.mark.parametrize("process", [OU, OrnsteinUhlenbeck(0.5, 2.0)], ids=["paper", "short"])
@pytest.mark.parametrize("steps", [1, 5, 40])
@pytest.mark.parametrize(
    "factor", [lambda t: 1.0 + 0 * t, lambda t: 1 / (1 + t)], ids=["push", "fading push"]
)
def test_on_any_grid_trajectories_have_the_sums_over_it(factor, steps, process):
    grid = process.geometric_grid(steps)
    error = Flow(NORMAL, process).inject(ScaledField(factor, ConstantField(C)))
    found = by_trajectories(error, 8000, grid=grid, generator=seeded(steps))
    eta, energy = ou_sums(factor, process, grid)
    assert found.energy.value == pytest.approx(energy, rel=1e-9)
    assert within(found.eta, eta)
    assert within(found.visible, eta * energy)


def test_both_trajectories_count_for_the_energy():
    """e = x on N(0, I), one step: ε*² = ‖X_T‖² L for each, and the two are nearly independent."""
    error, L = Flow(NORMAL, OU).inject(LinearField(torch.eye(2).double())), OU.duration
    found = by_trajectories(error, 4000, grid=OU.uniform_grid(1), generator=seeded(1))
    assert within(found.energy, 2 * L)
    assert found.energy.stderr == pytest.approx(L * math.sqrt(2 / 4000), rel=0.1)


def test_simulated_paths_start_from_the_law_at_the_horizon():
    """e = x, one step: ε*² = E X_T² L, with X_0 ~ N(0, 4)."""
    wide, short = gaussian([0.0], 4.0), OrnsteinUhlenbeck(0.02, 1.0)
    error = Flow(wide, short).inject(LinearField(double([[1.0]])))
    grid, line = short.uniform_grid(1), LinearRegression()
    found = by_regression(error, 4000, grid=grid, generator=seeded(2), regressor=line)
    assert within(found.energy, (1 + 3 * math.exp(-1)) * 0.98)


@each_error
def test_trajectories_agree_with_quadrature_once_the_step_is_extrapolated(name):
    """The bias is of first order, so 2 η(K = 40) − η(K = 20) has lost it, up to the second order."""
    coarse, fine = trajectories(name, 20, seed=1), trajectories(name, 40, seed=2)
    assert within(2 * fine.eta - coarse.eta, truth(name).eta)


def test_half_the_step_has_half_the_bias():
    """On the wave, where the bias of 12 steps is ten standard errors."""
    gaps = [trajectories("wave", k, n=25_000, seed=k).eta - truth("wave").eta for k in (12, 24)]
    assert abs(gaps[0].value) > 8 * gaps[0].stderr
    assert gaps[1].value / gaps[0].value == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("name", ["oscillating push", "wave", "blur"])
def test_regression_does_not_exceed_the_truth(name):
    """By more than noise and the bias of the grid, which is below 0.05 at 40 geometric steps."""
    found = regression(ERRORS[name], 4000, OU.geometric_grid(40), seed=3, folds=3)
    assert -0.15 < found.eta.value - truth(name).eta < 5 * found.eta.stderr + 0.05
    assert within(found.energy, truth(name).energy) or found.energy.value == pytest.approx(
        truth(name).energy, rel=0.1
    )


@pytest.mark.parametrize("integrator", [None, EulerMaruyama()], ids=["default", "EulerMaruyama"])
def test_linear_regression_has_the_covariance_of_the_simulated_chain(integrator):
    """Under Euler–Maruyama M and Y_{t0} are Gaussian with covariance r c, Y_{t0} has variance s².

    By Girsanov for the chain, r is its response to a unit push; so η = r²/(s² L).
    """
    grid = OU.uniform_grid(30)
    r, variance = affine_law(EulerMaruyama(), lambda x, t: 1 - x, 0.0, 1.0, grid)
    error = Flow(NORMAL, OU).inject(ConstantField(C))
    found = regression(error, 20_000, grid, regressor=LinearRegression(), integrator=integrator)
    assert found.energy.value == pytest.approx(OU.duration, rel=1e-9)
    assert within(found.eta, r**2 / variance / OU.duration)
    assert found.eta.stderr < 0.01


def test_the_integrator_is_the_one_that_was_asked_for():
    """One step from N(0, 1): Ancestral keeps the variance v(Δ), Euler–Maruyama has Δ, and M = c √Δ ξ."""
    grid, law = double([4.0, 0.02]), gaussian([0.0], 1.0)
    error = Flow(law, OU).inject(ConstantField(double([1.0])))
    L = OU.duration
    for integrator in (EulerMaruyama(), Ancestral()):
        spread, kick = affine_law(integrator, lambda x, t: -x, 0.0, 1.0, grid)[1], double([[1.0]])
        noise = float(integrator.step(lambda x, t: -x, 0 * kick, 4.0, 0.02, kick))
        found = regression(error, 20_000, grid, regressor=LinearRegression(), integrator=integrator)
        assert within(found.eta, L * noise**2 / spread / L)


@pytest.mark.parametrize("name", ["push", "stretch", "blur"])
def test_a_straight_line_sees_its_share_of_u(name):
    """η falls to cov(u, x)²/(Var x ε*²), whatever the share of u that bends."""
    line, grid = truth(name), OU.geometric_grid(100)
    found = regression(ERRORS[name], 4000, grid, seed=4, regressor=LinearRegression()).eta
    x = line.nodes - line.mass @ line.nodes
    share = float((line.mass @ (x * line.u)) ** 2 / (line.mass @ x**2)) / line.energy
    assert abs(found.value - share) < 5 * found.stderr + 0.02


def test_trees_see_what_a_line_does_not_and_a_constant_sees_nothing():
    grid = OU.geometric_grid(40)
    blind, straight, trees = (
        regression(ERRORS["stretch"], 4000, grid, seed=4, regressor=regressor, folds=3).eta.value
        for regressor in (DummyRegressor(), LinearRegression(), None)
    )
    assert abs(blind) < 0.01
    assert straight + 0.1 < trees


def test_a_regressor_that_memorizes_gains_nothing():
    """In the sample it would fit M itself, with η = 1."""
    tree = DecisionTreeRegressor(random_state=0)
    assert regression(ERRORS["wave"], 2000, OU.uniform_grid(20), regressor=tree).eta.value < 0


def test_folds_are_taken_in_the_order_of_the_draws():
    """A regressor that is fitted on n (F − 1)/F points, F times."""
    sizes = []

    class Spy(LinearRegression):
        def fit(self, x, y):
            sizes.append(len(x))
            return super().fit(x, y)

    for folds in (2, 4):
        regression(ERRORS["push"], 40, OU.uniform_grid(3), folds=folds, regressor=Spy())
    assert sizes == [20, 20, 30, 30, 30, 30]


@pytest.mark.parametrize("batch", [33, 10_000])
def test_batches_of_trajectories_estimate_the_same(batch):
    error, grid = Flow(NORMAL, OU).inject(ConstantField(C)), OU.uniform_grid(4)
    found = by_trajectories(error, 601, grid=grid, generator=seeded(5), batch=batch)
    assert within(found.eta, ou_sums(lambda t: 1.0, OU, grid)[0])


def test_evaluations_are_those_of_the_error():
    """And no more points are evaluated together than the batch allows."""
    seen = []

    def push(x, t):
        seen.append(len(x))
        return torch.ones_like(x)

    error, grid = Flow(NORMAL, OU).inject(FunctionScore(push)), OU.uniform_grid(6)
    found = by_trajectories(error, 50, grid=grid, generator=seeded(6), batch=32)
    assert found.evaluations == sum(seen) == 600
    assert max(seen) == 32
    assert found.seconds > 0
    seen.clear()
    assert regression(error, 50, grid).evaluations == sum(seen) == 300


def test_same_seed_same_numbers():
    one, same, other = (trajectories("push", 5, n=50, seed=k) for k in (7, 7, 8))
    assert (one.eta, one.energy, one.visible) == (same.eta, same.energy, same.visible)
    assert one.eta != other.eta
    grid = OU.uniform_grid(5)
    line = LinearRegression()
    first, again, third = (
        regression(ERRORS["push"], 50, grid, seed=k, regressor=line).eta for k in (7, 7, 8)
    )
    assert first == again != third


def test_single_precision_says_the_same():
    law = Q.to(dtype=torch.float32)
    error = Flow(law, OU).inject(LinearField(torch.tensor([[0.3]])))
    coarse, fine = (
        by_trajectories(error, 8000, grid=OU.uniform_grid(k), generator=seeded(k)) for k in (20, 40)
    )
    assert within(2 * fine.eta - coarse.eta, truth("stretch").eta)
    fitted = regression(error, 2000, OU.uniform_grid(40), folds=2)
    assert -0.25 < fitted.eta.value - truth("stretch").eta < 5 * fitted.eta.stderr + 0.05


def test_no_error_has_observability_zero_and_says_so():
    error, grid = Flow(NORMAL, OU).inject(ConstantField(0 * C)), OU.uniform_grid(3)
    for found in (
        by_trajectories(error, 20, grid=grid, generator=seeded(9)),
        regression(error, 20, grid),
    ):
        assert (found.energy.value, found.eta.value, found.eta.stderr) == (0, 0, 0)
        assert "0 by convention" in found.note


def field(function):
    return Flow(NORMAL, OU).inject(FunctionScore(function))


class Thin:
    """An error with one number for each point, which would be spread over the coordinates."""

    exact = learned = Flow(NORMAL, OU)

    def __call__(self, x, t):
        return x[:, :1]


GRID = OU.uniform_grid(4)
RIGHT = Flow(NORMAL, OU).inject(ConstantField(C))
BY = {"trajectories": by_trajectories, "regression": by_regression}


@pytest.mark.parametrize("route", BY.values(), ids=BY)
@pytest.mark.parametrize(
    ("begins", "remedy", "changes"),
    [
        ("n = 1", "integer ≥", {"n": 1}),
        ("n = 20.0", "integer ≥", {"n": 20.0}),
        ("generator = 7", "manual_seed", {"generator": 7}),
        ("grid = [1.0, 2.0]", "decreasing", {"grid": double([1.0, 2.0])}),
        ("grid = [1.0]", "K + 1 ≥ 2", {"grid": double([1.0])}),
        ("error(x, t).shape = ", "one vector for each point", {"error": Thin()}),
        ("x.shape = ", "[n, 1]", {"error": Flow(NORMAL, OU).inject(ConstantField(C[:1]))}),
    ],
)
def test_bad_input_is_refused_by_name_value_and_remedy(route, begins, remedy, changes):
    given = {"error": RIGHT, "n": 20, "grid": GRID, "generator": seeded(0)} | changes
    with pytest.raises(ValueError, match=" = ") as refusal:
        route(**given)
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]


@pytest.mark.parametrize("route", BY.values(), ids=BY)
def test_an_error_that_is_not_a_number_is_refused(route):
    with pytest.raises(ValueError, match="NaN"):
        route(field(lambda x, t: x / 0 * 0), 20, grid=GRID, generator=seeded(0))


def test_what_only_one_route_can_get_wrong():
    with pytest.raises(ValueError, match="folds = 1: pass an integer ≥ 2"):
        regression(RIGHT, 20, GRID, folds=1)
    with pytest.raises(ValueError, match="n = 9: pass an integer ≥ 10"):
        regression(RIGHT, 9, GRID)
    with pytest.raises(ValueError, match="batch = 0: pass an integer ≥ 1"):
        by_trajectories(RIGHT, 20, grid=GRID, generator=seeded(0), batch=0)


@pytest.mark.parametrize("route", [by_trajectories, by_regression])
@pytest.mark.parametrize("ends", [(3.0, 0.02), (4.0, 1.0)])
def test_a_grid_that_does_not_run_from_the_horizon_to_the_stop_is_refused(route, ends):
    grid = double([ends[0], 2.0, ends[1]])
    with pytest.raises(ValueError, match=r"grid = from .* run it from T = 4.0 to t0 = 0.02"):
        route(ERRORS["push"], 100, grid=grid, generator=seeded(0))


def test_regression_wants_a_method_for_the_stochastic_equation():
    with pytest.raises(ValueError, match="integrator = HeunFlow: pass a method for the reverse SDE"):
        regression(ERRORS["push"], 100, OU.uniform_grid(4), integrator=HeunFlow())


@pytest.mark.parametrize("functional", [Energy, Martingale, LogRatio])
def test_an_error_of_one_column_is_not_stretched_over_two(functional):
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"error\(x, t\).shape = \[3, 1\]"):
        functional(lambda x, t: x[:, :1]).record(Step(x, 1.0, 0.5, x, x))
