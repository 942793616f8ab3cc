"""The best bound that a reference gives, against projections by quadrature on the line."""

import math

import numpy as np
import pytest
import torch

from helpers import seeded
from on_a_line import OU, flow
from scoredrift import Estimate, Flow, FunctionScore, mixture_of_three
from scoredrift.observability import energy_bound, loss_difference_by_level
from scoredrift.scores import ConstantField

Q = mixture_of_three()
EXACT = Flow(Q, OU)
EDGES = OU.geometric_grid(6).flip(0)
POINTS = Q.sample(3000, generator=seeded(1))


def wave(x, t):
    return np.sin(2 * x + t)


def other(x, t):
    return 3 * np.cos(1.5 * x - t)


def field(formula):
    return FunctionScore(lambda x, t: torch.from_numpy(formula(x.numpy(), t.reshape(-1, 1).numpy())))


def quadrature(first, second, times=40):
    """Energy of e and its projection on e − e' in each level."""
    x = np.linspace(-12, 12, 1601)
    energy, projection = [], []
    for low, high in zip(EDGES[:-1].tolist(), EDGES[1:].tolist(), strict=True):
        span, sums = math.log(high / low), np.zeros(3)
        for place, share in zip(*np.polynomial.legendre.leggauss(times), strict=True):
            t = low * math.exp(span * (place + 1) / 2)
            q = share * span / 2 * t * (x[1] - x[0]) * flow(Q, x, t)[0]
            e, gap = first(x, t), first(x, t) - second(x, t)
            sums += q @ e**2, q @ (e * gap), q @ gap**2
        energy.append(sums[0])
        projection.append(sums[1] ** 2 / sums[2])
    return energy, projection


@pytest.mark.parametrize(("size", "worse"), [(1.0, 1.0), (1.0, 0.2), (0.3, 1.0)])
def test_the_bound_is_the_projection_on_the_difference(size, worse):
    first, second = lambda x, t: size * wave(x, t), lambda x, t: worse * other(x, t)
    energy, wanted = quadrature(first, second)
    found = energy_bound(EXACT + field(first), EXACT + field(second), POINTS, EDGES, generator=seeded(2))
    assert abs(found.total.sigmas_from(sum(wanted))) < 5
    assert all(abs(one.sigmas_from(right)) < 5 for one, right in zip(found.levels, wanted, strict=True))
    assert found.total.sigmas_from(sum(energy)) < 5


def test_a_worse_reference_says_something_where_the_plain_difference_says_nothing():
    learned, reference = EXACT + field(wave), EXACT + field(other)
    best = energy_bound(learned, reference, POINTS, EDGES, generator=seeded(3)).total
    plain = loss_difference_by_level(learned, reference, POINTS, EDGES, generator=seeded(3)).total
    assert plain.sigmas_from(0.0) < -5
    assert best.sigmas_from(0.0) > 5


def test_an_error_along_the_difference_is_seen_whole():
    push = ConstantField(torch.ones(1, dtype=torch.float64))
    found = energy_bound(EXACT + 0.5 * push, EXACT + (-2.0) * push, POINTS, EDGES, generator=seeded(4))
    assert abs(found.total.sigmas_from(0.25 * OU.duration)) < 5


def test_nothing_is_claimed_of_a_good_score():
    """The mean over many small samples is below zero, where the plain ratio of means squared would be above."""
    found = [
        energy_bound(
            EXACT, EXACT + field(wave), Q.sample(40, generator=seeded(i)), EDGES, generator=seeded(400 + i)
        ).total.value
        for i in range(200)
    ]
    assert Estimate.from_samples(torch.tensor(found)).sigmas_from(0.0) < 5


def test_a_score_against_itself_has_no_bound():
    found = energy_bound(EXACT, EXACT, POINTS[:100], EDGES, generator=seeded(5))
    assert found.total == Estimate(0.0)


def test_refusals():
    with pytest.raises(ValueError, match=r"points.shape = \[3, 1\]: pass 4 or more points"):
        energy_bound(EXACT, EXACT, POINTS[:3], EDGES, generator=seeded(0))
    with pytest.raises(ValueError, match="design = 'best'"):
        energy_bound(EXACT, EXACT, POINTS, EDGES, generator=seeded(0), design="best")
