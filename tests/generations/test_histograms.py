"""Retrained histograms: the exact chain of counts, the law of the draws, their mean divergence."""

import math
import re
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import repeatable, seeded, within, worst_sigmas
from scoredrift import Estimate
from scoredrift.generations import decompose, histogram_divergence, histogram_recursion

NAN = math.nan


def double(values):
    return torch.tensor(values, dtype=torch.float64)


UNEVEN = double([0.45, 0.3, 0.15, 0.07, 0.03])


def recursion(data=UNEVEN, draws=30, *, alpha=0.3, generations=4, runs=2000, seed=0):
    return histogram_recursion(
        data, draws, alpha=alpha, generations=generations, runs=runs, generator=seeded(seed)
    )


def divergences(path, data):
    """Of every generation and run, [N + 1, runs]."""
    return ((path - data) ** 2 / data).sum(-1)


def by_enumeration(data, draws, alpha, generations):
    """E D_0, …, E D_N from the probabilities of all counts: a Markov chain, generation by generation."""
    cells = len(data)
    counts = np.array([c for c in product(range(draws + 1), repeat=cells) if sum(c) == draws])
    ways = np.array([math.factorial(draws) / math.prod(map(math.factorial, c)) for c in counts])

    def multinomial(law):
        return ways * np.prod(law**counts, axis=1)

    sizes = ((counts / draws - data) ** 2 / data).sum(1)
    after = np.array([multinomial(alpha * data + (1 - alpha) * count / draws) for count in counts])
    laws = [multinomial(data)]
    for _ in range(generations):
        laws.append(laws[-1] @ after)
    assert all(law.sum() == pytest.approx(1.0) for law in laws)
    return [float(law @ sizes) for law in laws]


# The expectation


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0])
@pytest.mark.parametrize(
    ("data", "draws"),
    [([0.5, 0.5], 1), ([0.9, 0.1], 12), ([0.2, 0.5, 0.3], 7), ([0.05, 0.15, 0.6, 0.2], 5), ([1.0], 3)],
)
def test_the_mean_over_all_possible_counts_is_the_formula(data, draws, alpha):
    expected = by_enumeration(np.array(data), draws, alpha, 6)
    found = [histogram_divergence(len(data), draws, alpha=alpha, generation=i) for i in range(7)]
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-13)


@repeatable
@given(
    cells=st.integers(1, 1000),
    draws=st.integers(1, 10**6),
    alpha=st.floats(0.01, 1.0),
    generation=st.integers(0, 300),
)
def test_it_solves_its_recursion_and_ends_at_its_limit(cells, draws, alpha, generation):
    before, after, end = (
        histogram_divergence(cells, draws, alpha=alpha, generation=i)
        for i in (generation, generation + 1, 10_000)
    )
    forcing = (cells - 1) / draws
    assert after == pytest.approx((1 - alpha) ** 2 * (1 - 1 / draws) * before + forcing, rel=1e-9)
    assert end == pytest.approx((cells - 1) / (draws - (draws - 1) * (1 - alpha) ** 2), rel=1e-9)
    assert before <= after * (1 + 1e-12) <= end * (1 + 1e-9)


def test_without_fresh_data_worth_mentioning_it_grows_by_the_same_amount_each_time():
    found = [histogram_divergence(11, 10**18, alpha=1e-18, generation=i) for i in (0, 1, 9)]
    assert found == pytest.approx([1e-17, 2e-17, 1e-16])


def test_with_fresh_data_alone_nothing_accumulates():
    assert histogram_divergence(11, 50, alpha=1.0, generation=0) == pytest.approx(0.2)
    assert histogram_divergence(11, 50, alpha=1.0, generation=7) == pytest.approx(0.2)


# The draws


@pytest.mark.parametrize(
    ("data", "draws", "alpha"),
    [
        (UNEVEN, 30, 0.3),
        (UNEVEN, 5, 0.1),
        (torch.full((40,), 0.025, dtype=torch.float64), 200, 0.5),
        (double([0.99, 0.01]), 10, 0.05),
    ],
)
def test_the_mean_divergence_of_the_draws_is_the_formula(data, draws, alpha):
    path = recursion(data, draws, alpha=alpha, runs=3000)
    for i, sizes in enumerate(divergences(path, data)):
        expected = histogram_divergence(len(data), draws, alpha=alpha, generation=i)
        assert within(Estimate.from_samples(sizes), expected)


def test_each_row_holds_the_frequencies_of_its_draws():
    path = recursion(draws=30, generations=4, runs=7)
    assert path.shape == (5, 7, 5)
    assert path.dtype == torch.float64
    torch.testing.assert_close(path.sum(-1), torch.ones(5, 7).double())
    torch.testing.assert_close(30 * path, (30 * path).round(), rtol=0, atol=1e-12)
    assert (path >= 0).all()
    assert recursion(generations=0, runs=1).shape == (1, 1, 5)


@pytest.mark.parametrize("draws", [1, 6])
def test_a_generation_is_multinomial_around_what_it_was_trained_on(draws):
    """Given the generation before, counts have mean n q and covariance n (diag q − q qᵀ)."""
    alpha = 0.4
    path = recursion(draws=draws, alpha=alpha, generations=3, runs=4000, seed=3)
    trained_on = torch.cat([UNEVEN.expand(1, 4000, -1), alpha * UNEVEN + (1 - alpha) * path[:-1]])
    for found, q in zip(path, trained_on, strict=True):
        residual = found - q
        assert worst_sigmas(residual, torch.zeros(5)) < 5
        spread = (torch.diag_embed(q) - q[:, :, None] * q[:, None]) / draws
        assert worst_sigmas(residual[:, :, None] * residual[:, None] - spread, torch.zeros(5, 5)) < 5
        # Nor do errors know anything of what was there before.
        for j, k in product(range(5), repeat=2):
            assert within(Estimate.from_samples(residual[:, j] * q[:, k]), 0.0)


def test_the_errors_are_incoherent_and_the_forcing_is_what_it_should_be():
    alpha, draws = 0.3, 20
    path = recursion(draws=draws, alpha=alpha, generations=3, runs=500, seed=4)
    pairs = [decompose(UNEVEN, path[2, k], path[3, k], alpha=alpha) for k in range(500)]
    assert within(Estimate.from_samples(double([step.cross for step in pairs])), 0.0)
    kept = (1 - alpha) ** 2 * double([step.before for step in pairs])
    forcing = double([step.forcing for step in pairs])
    # E B = (1/n) (K − 1 − (1 − α)² E D)
    assert within(Estimate.from_samples(forcing - (4 - kept) / draws), 0.0)


def test_runs_have_nothing_to_do_with_each_other():
    sizes = divergences(recursion(runs=4000, generations=2, seed=5), UNEVEN)[-1]
    gaps = sizes - sizes.mean()
    for lag in (1, 2, 2000):
        assert within(Estimate.from_samples(gaps[lag:] * gaps[:-lag]), 0.0)


def test_with_fresh_data_alone_generations_have_nothing_to_do_with_each_other():
    path = recursion(alpha=1.0, generations=2, runs=3000, seed=6) - UNEVEN
    for one, other in ((0, 1), (1, 2)):
        products = path[one][:, :, None] * path[other][:, None]
        assert worst_sigmas(products, torch.zeros(5, 5)) < 5
    for sizes in divergences(path + UNEVEN, UNEVEN):
        assert within(Estimate.from_samples(sizes), 4 / 30)


def test_with_little_fresh_data_a_generation_stays_close_to_the_one_before():
    path = recursion(draws=10**5, alpha=0.01, generations=1, runs=5)
    assert float((path[1] - path[0]).abs().max()) < 0.01
    lost = histogram_recursion(UNEVEN, 1, alpha=1e-9, generations=20, runs=50, generator=seeded(7))
    assert (lost == lost[0]).all()  # one draw, repeated for ever
    assert len(lost[0].argmax(1).unique()) > 1


def test_the_seed_decides_everything():
    first, again, other = (recursion(runs=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    g = seeded(1)
    calls = [histogram_recursion(UNEVEN, 30, alpha=0.3, generations=4, runs=3, generator=g) for _ in range(2)]
    assert torch.equal(calls[0], first)
    assert not torch.equal(calls[1], first)
    longer = recursion(runs=3, generations=6, seed=1)
    assert torch.equal(longer[:5], first)


def test_cells_without_data_stay_empty_and_do_not_count():
    data = double([0.0, 0.6, 0.0, 0.3, 0.1, 0.0])
    kept = data > 0
    path = recursion(data, alpha=0.2, runs=2000, seed=8)
    assert (path[:, :, ~kept] == 0).all()
    for i, sizes in enumerate(divergences(path[:, :, kept], data[kept])):
        assert within(Estimate.from_samples(sizes), histogram_divergence(3, 30, alpha=0.2, generation=i))


def test_a_single_cell_is_always_right():
    assert (recursion(double([1.0]), runs=4) == 1).all()
    assert histogram_divergence(1, 10, alpha=0.5, generation=3) == 0


# Bad input

P = double([0.5, 0.5])


def run(data=P, draws=5, *, alpha=0.5, generations=1, runs=1, generator=None):
    return histogram_recursion(
        data, draws, alpha=alpha, generations=generations, runs=runs, generator=generator or seeded(0)
    )


def expected(cells=3, draws=5, *, alpha=0.5, generation=1):
    return histogram_divergence(cells, draws, alpha=alpha, generation=generation)


REFUSED = [
    ("data = list", lambda: run([0.5, 0.5])),
    ("data = sum 0.9, least 0.4", lambda: run(double([0.5, 0.4]))),
    ("data = sum 1, least -0.5", lambda: run(double([1.5, -0.5]))),
    ("data = 1 of 2 entries are NaN", lambda: run(double([NAN, 1.0]))),
    ("data.shape = [1, 2]", lambda: run(P[None])),
    ("data.shape = [0]", lambda: run(P[:0])),
    ("data.dtype = torch.int64", lambda: run(torch.tensor([1, 0]))),
    ("draws = 0", lambda: run(draws=0)),
    ("draws = 2.0", lambda: run(draws=2.0)),
    ("alpha = 0.0", lambda: run(alpha=0.0)),
    ("alpha = 1.1", lambda: run(alpha=1.1)),
    ("alpha = nan", lambda: run(alpha=NAN)),
    ("generations = -1", lambda: run(generations=-1)),
    ("generations = 1.5", lambda: run(generations=1.5)),
    ("runs = 0", lambda: run(runs=0)),
    ("runs = True", lambda: run(runs=True)),
    ("generator = 3", lambda: run(generator=3)),
    ("cells = 0", lambda: expected(cells=0)),
    ("cells = 2.0", lambda: expected(cells=2.0)),
    ("draws = 0", lambda: expected(draws=0)),
    ("alpha = 0.0", lambda: expected(alpha=0.0)),
    ("alpha = -0.1", lambda: expected(alpha=-0.1)),
    ("alpha = 1.1", lambda: expected(alpha=1.1)),
    ("generation = -1", lambda: expected(generation=-1)),
    ("generation = 1.0", lambda: expected(generation=1.0)),
]


@pytest.mark.parametrize(("begins", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused_by_name_and_value(begins, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)):
        call()
