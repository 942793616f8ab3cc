"""How the futures of a point are drawn: times, controls, batches, costs, and what results are made of."""

import math

import pytest
import torch

from helpers import seeded, within
from on_a_line import ERRORS, OU, Counting, Q, double, truth
from scoredrift import (
    ConstantField,
    Estimate,
    Flow,
    FunctionScore,
    Gaussian,
    OrnsteinUhlenbeck,
)
from scoredrift.observability import (
    Observability,
    PairDesign,
    StepFunction,
    batches,
    by_pairs,
    draw_futures,
    plan,
    response,
)
from scoredrift.process import StepTimes
from scoredrift.scores import ErrorEvaluation

EDGES = double([0.02, 0.1, 0.3, 1.5, 4.0])
TIMES = StepTimes(EDGES, double([0.4, 0.1, 0.3, 0.2]))
PUSH = ERRORS["push"]
each_error = pytest.mark.parametrize("name", ERRORS)


def test_a_step_function_has_one_value_between_edges():
    step = StepFunction(EDGES, double([1.0, 2.0, 3.0, 4.0]))
    t = double([[0.02, 0.09, 0.11], [0.29, 0.31, 1.4], [1.6, 3.9, 4.0]])
    assert step(t).tolist() == [[1, 1, 2], [2, 3, 3], [4, 4, 4]]
    assert step(t.T).tolist() == step(t).T.tolist()
    assert step(double([0.0, 5.0])).tolist() == [1, 4]


def test_points_at_t0_have_the_law_of_t0():
    early = OrnsteinUhlenbeck(0.5, 4.0)
    x, law = Flow(Q, early).sample(50_000, generator=seeded(0))[:, 0], Q.diffuse(0.5)
    assert within(Estimate.from_samples(x), float(law.mean()))
    assert within(Estimate.from_samples((x - law.mean()).square()), float(law.covariance()))


@pytest.mark.parametrize(("n", "cost", "batch"), [(10, 3, 9), (10, 3, 2), (7, 1, 7), (1, 8, 100), (9, 2, 6)])
def test_batches_cover_the_points_and_keep_the_bound(n, cost, batch):
    sizes = list(batches(n, cost, batch))
    assert sum(sizes) == n
    assert max(sizes) * cost <= max(batch, cost)
    assert len(sizes) == math.ceil(n / max(1, batch // cost))


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("strata", [1, 4])
def test_draws_have_the_response_as_sum_and_are_independent_given_the_point(strata, antithetic):
    """From one point: sums over strata have mean u, and draws of different futures no covariance."""
    line, design = truth("push"), PairDesign(strata=strata, futures=2, antithetic=antithetic)
    x = torch.full((20_000, 1), float(line.nodes[140])).double()
    found = draw_futures(ERRORS["push"], x, design, seeded(1))
    draws = found.draws.mean(-1)
    assert within(Estimate.from_samples(draws.mean(2).sum(1)), float(line.u[140]))
    centred = draws - draws.mean(0)
    assert within(Estimate.from_samples(centred[:, 0, 0] * centred[:, 0, 1]), 0.0)
    assert within(Estimate.from_samples(centred[:, 0, 0] * centred[:, -1, 1]), 0.0)
    assert (found.draws.shape[-1], design.cost) == ((2, 4 * strata) if antithetic else (1, 2 * strata))


@each_error
def test_levers_have_mean_zero_at_every_point(name):
    """E[e·ξ − √v ∇·e | x] = 0, interval by interval and for each sign."""
    design = PairDesign(strata=3, futures=2, antithetic=True)
    x = torch.full((10_000, 1), 0.7, dtype=torch.float64)
    lever = draw_futures(ERRORS[name], x, design, seeded(2)).lever
    for k in range(3):
        for sign in range(2):
            assert within(Estimate.from_samples(lever[:, k, 0, sign]), 0.0)


def test_each_stratum_looks_at_its_own_times():
    seen = []

    def remember(x, t):
        seen.append(t)
        return torch.ones_like(x)

    field = FunctionScore(remember, constant=True)
    error, design = Flow(Q, OU).inject(field), PairDesign(TIMES, 5, 3)
    draw_futures(error, torch.zeros(100, 1).double(), design, seeded(3))
    times = next(t for t in seen if len(t) == 1500).reshape(100, 5, 3)
    edges, _ = TIMES(OU, torch.linspace(0, 1, 6, dtype=torch.float64))
    for k in range(5):
        assert float(edges[k]) <= float(times[:, k].min())
        assert float(times[:, k].max()) <= float(edges[k + 1])


# What it costs


DESIGNS = {
    "planned": None,
    "default": PairDesign(),
    "plain antithetic": PairDesign(antithetic=True),
    "three strata": PairDesign(strata=3, futures=4),
    "divergence-free": PairDesign(antithetic=True, divergence_free=True),
}
each_design = pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)


@each_design
@pytest.mark.parametrize("batch", [200, 65_536])
def test_the_cost_is_what_the_error_sees(design, batch):
    error = Counting(ERRORS["wave"])
    found = by_pairs(error, 333, generator=seeded(4), design=design, batch=batch)
    assert found.evaluations == error.values
    assert error.most <= batch
    assert found.seconds > 0
    if design is not None:
        assert found.evaluations == 333 * design.cost
        assert error.most > 0.8 * min(batch, 333 * design.cost)
        assert error.divergences == (0 if design.divergence_free else error.values)


def test_the_response_keeps_the_bound_too():
    error = Counting(ERRORS["wave"])
    response(error, torch.zeros(50, 1).double(), generator=seeded(5), batch=100)
    assert (error.values, error.most) == (400, 96)


@each_design
def test_small_batches_estimate_the_same(design):
    found = by_pairs(ERRORS["push"], 2000, generator=seeded(6), design=design, batch=333)
    assert within(found.eta, truth("push").eta)
    assert within(found.energy, truth("push").energy)


def test_for_a_push_the_two_signs_of_the_noise_make_the_divergence_free_form_the_plain_one():
    """e·ξ/√v has the opposite sign in the other one of the two, and cancels."""
    plain, free = (
        by_pairs(PUSH, 50, generator=seeded(13), design=DESIGNS[name])
        for name in ("plain antithetic", "divergence-free")
    )
    assert free.visible.value == pytest.approx(plain.visible.value, rel=1e-10)
    assert free.eta.stderr == pytest.approx(plain.eta.stderr, rel=1e-10)


# Results


def test_a_ratio_has_the_delta_methods_error():
    """Against the formula with variances and covariance, instead of residuals."""
    energy = torch.rand(500, generator=seeded(18), dtype=torch.float64) + 0.5
    visible = 0.4 * energy + 0.2 * torch.randn(500, generator=seeded(19), dtype=torch.float64)
    found = Observability.from_draws(energy, visible, evaluations=3, seconds=0.5)
    (ee, ev), (_, vv) = torch.cov(torch.stack([energy, visible])).tolist()
    e, v = float(energy.mean()), float(visible.mean())
    variance = (vv / e**2 - 2 * v * ev / e**3 + v**2 * ee / e**4) / 500
    assert found.eta.value == pytest.approx(v / e, rel=1e-12)
    assert found.eta.stderr == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert found.energy == Estimate.from_samples(energy)
    assert found.visible == Estimate.from_samples(visible)
    assert (found.evaluations, found.seconds, found.note) == (3, 0.5, "")


@each_design
def test_no_error_has_observability_zero_and_says_so(design):
    nothing = Flow(Q, OU).inject(ConstantField(double([0.0])))
    found = by_pairs(nothing, 50, generator=seeded(20), design=design)
    assert (found.energy.value, found.visible.value, found.eta.value, found.eta.stderr) == (0, 0, 0, 0)
    assert "0 by convention" in found.note
    assert "0 by convention" in str(found)


class Spoilt:
    """The push, with something done to its value or its divergence."""

    exact = learned = Flow(Q, OU)

    def __init__(self, value=lambda e: e, divergence=lambda d: d):
        self.value, self.spoil = value, divergence

    def __call__(self, x, t):
        return self.value(torch.ones_like(x))

    def at(self, x, t):
        return ErrorEvaluation(self(x, t), self.spoil(torch.zeros(len(x)).double()), self.exact(x, t))


NAN = float("nan")
FLOW2 = Flow(Gaussian(torch.zeros(2).double(), torch.eye(2).double()), OU)
FREE = DESIGNS["divergence-free"]
ORIGIN = torch.zeros(5, 1).double()


def pairs(error=PUSH, n=20, generator=None, **options):
    return by_pairs(error, n, generator=generator or seeded(0), **options)


def answer(x=ORIGIN, generator=None, **options):
    return response(PUSH, x, generator=generator or seeded(0), **options)


REFUSED = [
    ("strata = 0", "≥ 1", lambda: PairDesign(strata=0)),
    ("futures = 1", "≥ 2", lambda: PairDesign(futures=1)),
    ("futures = 2.0", "integer", lambda: PairDesign(futures=2.0)),
    ("antithetic = False", "antithetic=True", lambda: PairDesign(divergence_free=True)),
    ("n = 1", "≥ 2", lambda: pairs(n=1)),
    ("n = 20.5", "integer", lambda: pairs(n=20.5)),
    ("batch = 0", "≥ 1", lambda: pairs(batch=0)),
    ("generator = 7", "manual_seed", lambda: pairs(generator=7)),
    ("generator = 7", "manual_seed", lambda: plan(PUSH, generator=7)),
    ("x.shape = ", "[n, 1]", lambda: pairs(FLOW2.inject(ConstantField(double([1.0]))), design=PairDesign())),
    ("error(x, t) = 160 of 160", "NaN", lambda: pairs(Spoilt(lambda e: e * NAN), design=PairDesign())),
    ("error(x, t) = ", "NaN", lambda: pairs(Spoilt(lambda e: e * NAN))),
    ("error(x, t) = ", "NaN", lambda: pairs(Spoilt(lambda e: e * NAN), design=FREE)),
    (
        "error.divergence(x, t) = 160 of 160",
        "",
        lambda: pairs(Spoilt(divergence=lambda d: d / 0), design=PairDesign()),
    ),
    (
        "error(x, t).shape = [160, 2]",
        "[160, 1]",
        lambda: pairs(Spoilt(lambda e: e.repeat(1, 2)), design=PairDesign()),
    ),
    ("error(x, t).shape = [160]", "[160, 1]", lambda: pairs(Spoilt(lambda e: e[:, 0]), design=PairDesign())),
    ("x.shape = [5]", "batch of points", lambda: answer(torch.zeros(5).double())),
    ("x = 1 of 1 entries", "remove", lambda: answer(double([[NAN]]))),
    ("generator = None", "torch.Generator", lambda: response(PUSH, double([[0.0]]), generator=None)),
    ("batch = -1", "≥ 1", lambda: answer(batch=-1)),
    (
        "visible.shape = [3]",
        "[2]",
        lambda: Observability.from_draws(torch.ones(2), torch.ones(3), evaluations=0, seconds=0.0),
    ),
    (
        "samples = 1 of 2",
        "remove",
        lambda: Observability.from_draws(torch.ones(2), torch.tensor([NAN, 1.0]), evaluations=0, seconds=0.0),
    ),
]


@pytest.mark.parametrize(
    ("begins", "remedy", "call"), REFUSED, ids=[f"{row[0]}, {row[1]}" for row in REFUSED]
)
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value)
