"""Designs that a pilot run finds: what they save, and where they look."""

import pytest
import torch

from helpers import seeded, within
from on_a_line import ERRORS, OU, Counting, Q, double, truth
from scoredrift import ConstantField, Flow, FunctionScore, Gaussian, LinearField
from scoredrift.observability import PILOT_COST, PairDesign, by_pairs, pilot, plan

FREE = PairDesign(antithetic=True, divergence_free=True)
each_error = pytest.mark.parametrize("name", ERRORS)


def effort(name, design, seed, n=8000):
    """Standard error of the visible part times the root of the evaluations, the pilot's among them."""
    found = by_pairs(ERRORS[name], n, generator=seeded(seed), design=design)
    return found.visible.stderr * found.evaluations**0.5


GAINS = {"push": 0.3, "oscillating push": 0.02, "stretch": 0.45, "wave": 0.15, "blur": 0.65}


@each_error
def test_a_plan_saves_effort(name):
    """Each as much as was measured, and half of it more; with the pilot it still pays on most."""
    even = effort(name, PairDesign(), 9)
    planned = plan(ERRORS[name], generator=seeded(7))
    assert effort(name, planned, 8) < GAINS[name] * even
    assert effort(name, None, 10) < 1.15 * even


@pytest.mark.parametrize(("name", "gain"), [("push", 0.62), ("stretch", 0.7), ("blur", 0.75)])
def test_a_plan_without_divergences_saves_effort_too(name, gain):
    design = plan(ERRORS[name], generator=seeded(11), divergence_free=True)
    assert effort(name, design, 9) < gain * effort(name, FREE, 9)


def test_a_plan_without_divergences_asks_for_none():
    error = Counting(ERRORS["wave"])
    design = plan(error, generator=seeded(11), divergence_free=True)
    assert design.divergence_free
    assert design.antithetic
    assert design.control is None
    found = by_pairs(error, 5000, generator=seeded(12), design=design)
    assert error.divergences == 0
    assert within(found.eta, truth("wave").eta)


@pytest.mark.parametrize(
    ("field", "antithetic"),
    [(ConstantField(double([1.0])), False), (LinearField(double([[0.4]])), True)],
    ids=["push", "stretch"],
)
def test_the_control_of_a_plan_takes_noise_away(field, antithetic):
    """On N(0, 1): β = √v leaves no noise of a push, nor of a stretch once both signs are drawn."""
    law = Gaussian(double([0.0]), double([[1.0]]))
    design = plan(Flow(law, OU).inject(field), generator=seeded(14))
    t = double([0.05, 0.3, 1.0, 3.0])
    assert design.antithetic is antithetic
    assert design.control(t).tolist() == pytest.approx((-torch.expm1(0.02 - t)).sqrt().tolist(), rel=0.1)
    assert float(design.times.shares.sum()) == pytest.approx(1, abs=1e-12)
    assert bool((design.times.shares > 0).all())


@pytest.mark.parametrize(("strata", "futures"), [(1, 2), (1, 8), (4, 2), (4, 4)])
def test_the_predicted_variance_is_that_of_gaussians(strata, futures):
    """Simulated: u ~ N(0, 1) in equal parts over the strata, noise N(0, 4) in each draw."""
    g, n = seeded(18), 200_000
    parts = torch.randn(n, 1, 1, generator=g).double() / strata
    draws = parts + 2 * torch.randn(n, strata, futures, generator=g).double()
    seen = draws.mean(2).sum(1).square() - draws.var(2).sum(1) / futures
    loss, shares = pilot._predict(draws[..., :2], strata, futures)
    assert float(seen.var()) == pytest.approx(loss, rel=0.04)
    assert shares.tolist() == pytest.approx([1 / strata] * strata, rel=0.01)


def test_a_plan_samples_more_where_the_error_is():
    late = Flow(Q, OU).inject(FunctionScore(lambda x, t: (t > 1).reshape(-1, 1) * torch.sin(2 * x)))
    design = plan(late, generator=seeded(15))
    t, _ = design.times(OU, (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)
    assert float((t > 0.9).double().mean()) > 0.8
    assert float(t.min()) < 0.03  # but leaves no time out


def test_the_pilot_has_the_points_that_it_was_given():
    error = Counting(ERRORS["wave"])
    plan(error, generator=seeded(19), points=30)
    assert error.values == 30 * PILOT_COST
    found = by_pairs(error, 100, generator=seeded(20), pilot=30)
    assert found.evaluations == error.values - 30 * PILOT_COST
    with pytest.raises(ValueError, match="points = 19: pass an integer ≥ 20"):
        plan(error, generator=seeded(19), points=19)


def test_plans_follow_the_seed():
    one, same, other = (plan(ERRORS["wave"], generator=seeded(k)) for k in (16, 16, 17))
    assert torch.equal(one.times.shares, same.times.shares)
    assert not torch.equal(one.times.shares, other.times.shares)
