"""Flows: draws and marginals against the closed form of mixtures; errors carry law and process along."""

import re

import pytest
import torch

from helpers import gaussian, random_mixture, seeded, worst_sigmas
from scoredrift import Flow, FunctionScore, OrnsteinUhlenbeck, mixture_of_three
from scoredrift.observability import by_pairs, in_closed_form, marginal_ratio
from scoredrift.paths import EulerMaruyama, held_energy, ideal_energy, learned_energy
from scoredrift.scores import ConstantField, ScoreDifference, flow_of, learned_flow_of

OU = OrnsteinUhlenbeck()
FLOW = Flow(mixture_of_three(), OU)
PUSH = ConstantField(torch.ones(1, dtype=torch.float64))
SHRINK = FunctionScore(lambda x, t: -x)


@pytest.mark.parametrize("t", [None, 0.02, 0.5, 4.0])
def test_a_flow_draws_from_its_marginals(t):
    law = FLOW.marginal(t)
    x = FLOW.sample(40_000, t, generator=seeded(1))
    assert worst_sigmas(x, law.mean()) < 5
    assert worst_sigmas((x - law.mean()) ** 2, law.covariance().diagonal()) < 5
    wanted = mixture_of_three().diffuse(0.02 if t is None else t)
    torch.testing.assert_close(law.log_density(x[:50]), wanted.log_density(x[:50]))


def test_each_point_of_a_flow_can_have_its_own_time():
    times = torch.tensor([0.02, 4.0], dtype=torch.float64).repeat(20_000)
    x = FLOW.sample(40_000, times, generator=seeded(2))
    for k, t in enumerate((0.02, 4.0)):
        assert worst_sigmas(x[k::2], FLOW.marginal(t).mean()) < 5


def test_errors_are_against_the_flow_that_made_them():
    other = Flow(mixture_of_three().blur(0.1), OU)
    error, injected = FLOW.error(other), FLOW.inject(PUSH)
    assert flow_of(error) is flow_of(injected) is FLOW
    assert learned_flow_of(error) is other
    x = FLOW.sample(20, generator=seeded(3))
    torch.testing.assert_close(error(x, 0.5), other(x, 0.5) - FLOW(x, 0.5))
    torch.testing.assert_close(injected.learned(x, 0.5), FLOW(x, 0.5) + 1)


REFUSED = [
    (
        "error = ConstantField: the law of the points is not known",
        lambda: ideal_energy(PUSH, 9, generator=seeded(0)),
    ),
    (
        "error = one against FunctionScore",
        lambda: by_pairs(ScoreDifference(FLOW, SHRINK), 9, generator=seeded(0)),
    ),
    (
        "error = one against FunctionScore",
        lambda: marginal_ratio(
            ScoreDifference(FLOW, SHRINK), torch.zeros(1, 1).double(), OU.uniform_grid(3), generator=seeded(0)
        ),
    ),
    ("error.learned = FunctionScore", lambda: learned_energy(FLOW.error(SHRINK), 9, generator=seeded(0))),
    (
        "learned.process = OrnsteinUhlenbeck(t_min=0.1",
        lambda: FLOW.error(Flow(FLOW.law, OrnsteinUhlenbeck(0.1))),
    ),
    ("learned.dim = 2", lambda: FLOW.error(Flow(random_mixture(0), OU))),
    (
        "error.learned.process",
        lambda: learned_flow_of(ScoreDifference(Flow(FLOW.law, OrnsteinUhlenbeck(0.1)), FLOW)),
    ),
    ("error.exact.law = GaussianMixture(3", lambda: in_closed_form(FLOW.inject(PUSH))),
    (
        "error = ConstantField",
        lambda: held_energy(PUSH, OU.uniform_grid(3), EulerMaruyama(), 9, generator=seeded(0)),
    ),
    ("t = 0.01", lambda: FLOW.marginal(0.01)),
    ("t = 5.0", lambda: FLOW.marginal(5.0)),
    ("n = 0", lambda: FLOW.sample(0, generator=seeded(0))),
    ("t_to = 5.0", lambda: FLOW.sample(3, 5.0, generator=seeded(0))),
]


@pytest.mark.parametrize(("begins", "call"), REFUSED, ids=[begins for begins, _ in REFUSED])
def test_what_does_not_belong_together_is_refused(begins, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)):
        call()


def test_a_mixture_of_one_is_a_gaussian_in_closed_form():
    one = Flow(gaussian([0.3, -0.1], 2.0), OU)
    push = ConstantField(torch.tensor([0.5, 0.1], dtype=torch.float64))
    found, drawn = in_closed_form(one.inject(push)), by_pairs(one.inject(push), 4000, generator=seeded(4))
    assert abs(drawn.eta.sigmas_from(found.eta)) < 5
