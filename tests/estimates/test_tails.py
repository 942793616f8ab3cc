"""Tails, against samples of known tails and against maximum likelihood."""

import math
import re
from dataclasses import replace

import pytest
import torch
from scipy.stats import genpareto

from helpers import seeded, within
from scoredrift import Estimate
from scoredrift.estimates import tail_shape

NAN, INF = math.nan, math.inf
SHAPES = [-0.3, 0.0, 0.3, 0.5, 0.7, 1.0]


def uniform(n, seed=0):
    return torch.rand(n, generator=seeded(seed), dtype=torch.float64)


def pareto(k, n, seed=0):
    """Generalised Pareto draws by the inverse of their distribution function."""
    u = uniform(n, seed)
    return -torch.log(u) if k == 0 else torch.expm1(-k * torch.log(u)) / k


def likeliest_shape(draws, size):
    """Maximum-likelihood shape of the ``size`` largest draws."""
    largest = draws.sort().values[-size - 1 :]
    return genpareto.fit((largest[1:] - largest[0]).numpy(), floc=0)[0]


@pytest.mark.parametrize("k", SHAPES)
def test_the_shape_of_generalised_pareto_draws_is_found(k):
    shapes = torch.tensor([tail_shape(pareto(k, 4000, seed)) for seed in range(100)])
    assert abs(float(shapes.mean()) - k) < 0.03
    # An efficient estimator has the error (1 + k)/√M, here with M = 189.
    assert float(shapes.std()) < 1.4 * (1 + k) / math.sqrt(189)


@pytest.mark.parametrize("k", SHAPES)
def test_the_shape_is_close_to_that_of_maximum_likelihood(k):
    draws = pareto(k, 4000)
    assert tail_shape(draws) == pytest.approx(likeliest_shape(draws, 189), abs=0.04)


@pytest.mark.parametrize(
    ("k", "n", "arviz"),
    [
        (-0.3, 150, -0.23627362650),
        (0.6, 150, 0.57338772463),
        (-0.3, 1000, -0.27331529880),
        (0.6, 1000, 0.59211417407),
    ],
)
def test_the_shape_is_that_of_arviz(k, n, arviz):
    """Reference: ``_gpdfit`` of ArviZ 0.20.0 on the same excesses, less its prior of ten draws at k = 1/2."""
    u = (torch.arange(1, n + 1, dtype=torch.float64) - 0.5) / n
    assert tail_shape(torch.expm1(-k * torch.log(u)) / k) == pytest.approx(arviz, abs=1e-9)


@pytest.mark.parametrize(("n", "size"), [(150, 30), (4000, 189)])
def test_the_tail_is_a_fifth_of_the_draws_or_three_times_their_root(n, size):
    draws = pareto(0.3, n).sort().values
    shape = tail_shape(draws)
    # Only the tail and its threshold, the next largest draw, have a say.
    for place, matters in ((-size, True), (-size - 1, True), (-size - 2, False)):
        moved = draws.clone()
        moved[place] *= 1 - 1e-6
        assert (abs(tail_shape(moved) - shape) > 1e-12) == matters


@pytest.mark.parametrize("k", [0.0, 0.7])
def test_both_tails_count_and_units_do_not(k):
    draws = pareto(k, 4000)
    shape = tail_shape(draws)
    for changed in (-draws, 3.0 * draws - 20.0, 1e300 * draws / draws.max(), 1e-300 * draws):
        assert tail_shape(changed) == pytest.approx(shape, abs=1e-6)
    # The largest numbers there are, with a distance between them that is not one.
    assert tail_shape(1.7e308 * (2 * draws / draws.max() - 1)) == pytest.approx(shape, abs=1e-6)
    # A light tail on the other side hides nothing.
    light = torch.randn(4000, generator=seeded(1), dtype=torch.float64)
    assert tail_shape(torch.cat([-draws, light.abs()])) > shape - 0.1


def test_familiar_laws_are_judged_as_their_moments_are():
    n = 20_000
    normal = torch.randn(n, generator=seeded(0), dtype=torch.float64)
    cauchy = torch.tan(torch.pi * (uniform(n) - 0.5)).abs()
    for draws in (normal, normal.square(), uniform(n), normal.exp()):
        assert Estimate.from_samples(draws, check_tail=True).trusted
    # The power 1.5 of a Cauchy variable has no mean; the power 0.7 has one, and no variance.
    assert not Estimate.from_samples(cauchy**1.5, check_tail=True).finite
    root = Estimate.from_samples(cauchy**0.7, check_tail=True)
    assert root.finite
    assert not root.trusted


def test_draws_that_are_bounded_as_far_as_they_show_have_no_tail():
    assert tail_shape(torch.full((200,), 3.3)) == -INF
    assert tail_shape(torch.zeros(200)) == -INF
    assert tail_shape((uniform(4000) < 0.3).double()) == -INF
    # Few values and many ties.
    assert tail_shape(torch.poisson(torch.full((5000,), 0.2), generator=seeded(0))) < 0.5


@pytest.mark.parametrize("ones", range(5, 130))
def test_equal_draws_in_the_tail_give_a_number(ones):
    draws = torch.zeros(20_000, dtype=torch.float64)
    draws[:ones] = 1.0
    assert -INF < tail_shape(draws) < 0


def test_a_mean_that_rests_on_a_few_draws_is_not_trusted():
    draws = torch.zeros(10_000, dtype=torch.float64)
    draws[:4] = 1.0
    checked = Estimate.from_samples(draws, check_tail=True)
    assert checked.tail == INF
    assert not checked.trusted
    assert str(checked).endswith("(not trusted: the mean rests on fewer than 5 draws)")


def test_excesses_over_the_whole_range_of_numbers_have_a_shape():
    draws = torch.zeros(20_000, dtype=torch.float64)
    draws[:400], draws[400:420] = 1e-310, 1.0
    assert 1 < tail_shape(draws) < INF


def test_ties_at_the_threshold_do_not_hide_the_tail():
    draws = pareto(0.7, 4000)
    assert tail_shape(draws.floor()) == pytest.approx(tail_shape(draws), abs=0.1)


def test_the_estimate_is_that_of_the_draws():
    draws = pareto(0.3, 10_000)
    checked = Estimate.from_samples(draws, check_tail=True)
    assert replace(checked, tail=None) == Estimate.from_samples(draws)
    assert within(checked, 1 / 0.7)
    assert checked.tail == tail_shape(draws)
    assert tail_shape(draws.float()) == pytest.approx(checked.tail, abs=1e-3)


@pytest.mark.parametrize(
    ("tail", "trusted", "finite", "words"),
    [
        (-INF, True, True, ""),
        (0.49, True, True, ""),
        (0.5, False, True, " (not trusted: the tail k̂ = 0.50 says that the variance is infinite)"),
        (0.99, False, True, " (not trusted: the tail k̂ = 0.99 says that the variance is infinite)"),
        (1.0, False, False, " (not trusted: the tail k̂ = 1.00 says that the mean is infinite)"),
    ],
)
def test_the_verdict_follows_the_moments(tail, trusted, finite, words):
    checked = Estimate(2.1, 0.4, tail)
    assert (checked.trusted, checked.finite) == (trusted, finite)
    assert str(checked) == "2.10 ± 0.40" + words


REFUSED = [
    ("tail = nan", "tail_shape", lambda: Estimate(1.0, tail=NAN)),
    ("draws.shape = [99]", "at least 100", lambda: tail_shape(torch.rand(99))),
    ("draws.shape = [100, 1]", "shape [n]", lambda: tail_shape(torch.rand(100, 1))),
    ("draws.dtype = torch.int64", "double", lambda: tail_shape(torch.arange(200))),
    ("draws = 1 of 200 entries are NaN", "remove", lambda: tail_shape(torch.tensor([NAN] + [1.0] * 199))),
    ("draws = list", "torch.Tensor", lambda: tail_shape([1.0] * 200)),
    ("draws.shape = [50]", "at least 100", lambda: Estimate.from_samples(torch.rand(50), check_tail=True)),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[case[0] for case in REFUSED])
def test_bad_input_is_refused_by_name_and_with_a_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)) as caught:
        call()
    assert remedy in str(caught.value)


def test_the_edge_of_a_crowd_is_no_tail():
    """A plateau on which many draws lie, and a few half as far out again: bounded, whatever the fit says."""
    g = seeded(1)
    slope = torch.rand(18_000, generator=g, dtype=torch.float64)
    plateau = 1 + 1e-3 * torch.rand(2000, generator=g, dtype=torch.float64)
    beyond = 1.5 + 0.1 * torch.rand(25, generator=g, dtype=torch.float64)
    checked = Estimate.from_samples(torch.cat([slope, plateau, beyond]), check_tail=True)
    assert checked.tail == -math.inf
    assert checked.trusted
    # Far out, the same few are a tail.
    assert tail_shape(torch.cat([slope, plateau, 100 * beyond])) > 0.5
