"""Observability by pairs, against quadrature on a line, and the zoo of errors in several dimensions."""

import math

import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from torch.testing import assert_close

from helpers import random_mixture, seeded, within, worst_sigmas
from on_a_line import ERRORS, EXACT, FORMULAS, OU, Q, double, seen, truth
from scoredrift import (
    Ancestral,
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
    simulate,
)
from scoredrift.observability import (
    PairDesign,
    StepFunction,
    by_pairs,
    by_regression,
    by_trajectories,
    in_closed_form,
    plan,
    response,
)
from scoredrift.process import uniform_times

CONTROL = StepFunction(double([0.02, 0.1, 0.5, 4.0]), double([0.4, 0.9, 1.1]))
DESIGNS = {
    "planned": None,
    "default": PairDesign(),
    "antithetic": PairDesign(antithetic=True),
    "divergence-free": PairDesign(antithetic=True, divergence_free=True),
    "one stratum, three futures": PairDesign(uniform_times, 1, 3),
    "seven strata, four futures": PairDesign(strata=7, futures=4, antithetic=True),
    "control": PairDesign(control=CONTROL),
    "antithetic control": PairDesign(antithetic=True, control=CONTROL),
}
each_error = pytest.mark.parametrize("name", ERRORS)
each_design = pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)


@each_error
def test_quadrature_has_converged_and_u_has_mean_zero(name):
    line = truth(name)
    assert float(line.mass.sum()) == pytest.approx(1, abs=1e-9)
    assert float(line.mass @ line.u) == pytest.approx(0, abs=1e-8)
    if name == "wave":
        finer = seen(FORMULAS[name], times=48)
        assert finer[-1] == pytest.approx(line.energy, rel=1e-7)
        assert finer.visible == pytest.approx(line.visible, rel=1e-7)


@each_error
@each_design
def test_pairs_agree_with_quadrature(name, design):
    found, line = by_pairs(ERRORS[name], 4000, generator=seeded(1), design=design), truth(name)
    assert within(found.energy, line.energy)
    assert within(found.visible, line.visible)
    assert within(found.eta, line.eta)


@each_error
def test_a_planned_estimate_is_precise(name):
    found = by_pairs(ERRORS[name], 8000, generator=seeded(2))
    assert found.eta.stderr < 0.08
    assert within(found.eta, truth(name).eta)


@each_error
@each_design
def test_the_response_at_a_point_agrees_with_quadrature(name, design):
    line = truth(name)
    if design is None:
        design = plan(ERRORS[name], generator=seeded(3))
    for k in (95, 122, 150):  # x = −1.875, 0.15, 2.25
        x = torch.full((3000, 1), float(line.nodes[k])).double()
        draws = response(ERRORS[name], x, generator=seeded(k), design=design)
        assert within(Estimate.from_samples(draws), float(line.u[k]))


def test_the_response_keeps_the_order_of_the_points_across_batches():
    line = truth("push")
    x = torch.as_tensor(line.nodes[60:181:4])[:, None].repeat(60, 1)
    draws = response(ERRORS["push"], x, generator=seeded(4), batch=100)
    assert worst_sigmas(draws.reshape(60, 31), torch.as_tensor(line.u[60:181:4])) < 5


# Several dimensions

Q3 = random_mixture(2, dim=3)
EXACT3 = Flow(Q3, OU)
SPIN = double([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.5], [0.0, -0.5, 0.0]])
W = double([[0.2, 0.3, 0.0], [-0.1, 0.1, 0.2], [0.0, -0.3, -0.2]])
PUSH = ConstantField(double([0.3, -0.4, 0.2]))
ZOO = {
    "push and rotation": EXACT3.inject(SumScore(PUSH, ScaledField(0.3, RotationalField(SPIN, EXACT3)))),
    "linear": EXACT3.inject(LinearField(W)),
    "oscillating": EXACT3.inject(ScaledField(lambda t: torch.cos(3 * t), PUSH)),
    "blur": EXACT3.error(Flow(Q3.blur(0.5), OU)),
}


@pytest.mark.parametrize("error", ZOO.values(), ids=ZOO)
def test_three_routes_agree_in_three_dimensions(error):
    """The grids' bias of first order is taken out of the trajectories, and allowed for in the regression."""
    found = by_pairs(error, 4000, generator=seeded(5))
    coarse, fine = (
        by_trajectories(error, 3000, grid=OU.geometric_grid(k), generator=seeded(k)) for k in (16, 32)
    )
    assert within(2 * fine.eta - coarse.eta, found.eta)
    bias = 2 * abs(fine.eta.value - coarse.eta.value)
    quadratic = make_pipeline(PolynomialFeatures(2), LinearRegression())
    fitted = by_regression(error, 3000, grid=OU.geometric_grid(32), generator=seeded(6), regressor=quadratic)
    above = fitted.eta - found.eta
    assert -0.5 < above.value < 5 * above.stderr + bias


def test_probes_in_place_of_a_divergence_leave_the_estimate_unbiased():
    def swirl(x, t):
        return torch.sin(x.roll(1, dims=1)) + x @ W.T

    exact = by_pairs(EXACT3.inject(FunctionScore(swirl)), 10_000, generator=seeded(7))
    field = ProbedScore(swirl, 1, seeded(8))
    probed = by_pairs(EXACT3.inject(field), 10_000, generator=seeded(9), design=PairDesign(antithetic=True))
    assert within(probed.eta, exact.eta)


@pytest.mark.parametrize("design", [None, PairDesign(), PairDesign(antithetic=True, strata=2)])
def test_a_rotated_score_has_observability_zero(design):
    error = EXACT3.inject(RotationalField(SPIN, EXACT3))
    found = by_pairs(error, 500, generator=seeded(10), design=design)
    assert found.energy.value > 3
    assert abs(found.eta.value) < 1e-12
    assert found.note == ""


def test_a_rotated_score_leaves_the_generated_law_and_a_push_of_a_hundredth_of_its_energy_does_not():
    error = EXACT3.inject(RotationalField(SPIN, EXACT3))
    energy = by_pairs(error, 500, generator=seeded(11)).energy.value
    c = double([math.sqrt(0.01 * energy / OU.duration), 0.0, 0.0])
    scores = {"exact": EXACT3, "turned": error.learned, "pushed": SumScore(EXACT3, ConstantField(c))}
    moments = {}
    for seed, (name, score) in enumerate(scores.items()):
        g = seeded(12 + seed)
        start = Q3.diffuse(OU.t_max).sample(6000, generator=g)
        x = simulate(score, start, OU.geometric_grid(100), Ancestral(), generator=g)
        moments[name] = torch.cat([x, (x[:, :, None] * x[:, None, :]).flatten(1), torch.cos(x)], 1)

    def furthest(name):
        return max(
            abs((Estimate.from_samples(one) - Estimate.from_samples(other)).sigmas_from(0.0))
            for one, other in zip(moments[name].T, moments["exact"].T, strict=True)
        )

    assert furthest("turned") < 5 < furthest("pushed")


# Standard errors

AFFINE = SumScore(LinearField(double([[0.3, 0.5], [-0.2, 0.1]])), ConstantField(double([0.8, -0.5])))


def test_intervals_cover_the_truth_as_often_as_they_say():
    """400 repetitions; 95 % less what skewness takes at 150 points: between 91 % and 98 %."""
    process = OrnsteinUhlenbeck(0.1, 2.0)
    law = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    error = Flow(law, process).inject(AFFINE)
    truth_of = in_closed_form(error)
    design, g = PairDesign(strata=2, futures=2, antithetic=True), seeded(15)
    covered = {"energy": 0, "visible": 0, "eta": 0}
    for _ in range(400):
        found = by_pairs(error, 150, generator=g, design=design)
        for part in covered:
            covered[part] += abs(getattr(found, part).sigmas_from(getattr(truth_of, part))) < 1.96
    assert all(0.91 * 400 <= times <= 0.98 * 400 for times in covered.values()), covered


def test_the_ratio_is_as_precise_as_its_standard_error_says():
    """The spread of η over repetitions, against the mean of what the delta method claims."""
    g, design = seeded(16), PairDesign(strata=4, futures=2, antithetic=True)
    found = [by_pairs(ERRORS["push"], 400, generator=g, design=design).eta for _ in range(150)]
    values = torch.tensor([one.value for one in found])
    claimed = float(torch.tensor([one.stderr for one in found]).mean())
    assert float(values.std()) == pytest.approx(claimed, rel=0.25)
    assert within(Estimate.from_samples(values), truth("push").eta)


def test_same_seed_same_numbers():
    one, same, other = (by_pairs(ERRORS["wave"], 200, generator=seeded(k)) for k in (17, 17, 18))
    assert (one.eta, one.energy, one.visible) == (same.eta, same.energy, same.visible)
    assert one.eta != other.eta


@each_design
def test_single_precision_says_the_same(design):
    law = Q.to(dtype=torch.float32)
    error = Flow(law, OU).inject(LinearField(torch.tensor([[0.3]])))
    found, line = by_pairs(error, 5000, generator=seeded(19), design=design), truth("stretch")
    assert within(found.energy, line.energy)
    assert within(found.eta, line.eta)
    draws = response(error, torch.zeros(500, 1), generator=seeded(20), design=design)
    assert draws.dtype == torch.float64
    assert within(Estimate.from_samples(draws), float(line.u[120]))


def test_the_exact_score_of_the_cases_is_that_of_the_quadrature():
    x = torch.linspace(-5, 5, 11).double()[:, None]
    for t in (0.02, 1.0):
        for name in ERRORS:
            expected = torch.as_tensor(FORMULAS[name](x[:, 0].numpy(), t))
            assert_close(ERRORS[name](x, t)[:, 0], expected)
    assert EXACT.law is Q
