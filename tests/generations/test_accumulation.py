"""Accumulation of errors: identities on random laws, bounds on random recursions, steady states by iteration."""

import math
import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import density_on, line, mixtures, repeatable, seeded
from scoredrift.divergences import chi2_on_nodes
from scoredrift.generations import (
    contributions,
    decompose,
    discounted,
    divergence_floor,
    gram,
    half_life,
    paper_floor,
    refreshed,
    steady_state,
    steps,
)

INF, NAN = math.inf, math.nan
alphas = st.floats(0.02, 1.0)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def random_law(g, cells, sharpness=1.0):
    return torch.softmax(sharpness * torch.randn(cells, generator=g, dtype=torch.float64), 0)


def random_path(seed, cells, generations, alpha):
    """Data and models of a recursion whose learner distorts what it is shown at random."""
    g = seeded(seed)
    data, models = random_law(g, cells), [random_law(g, cells)]
    for _ in range(generations):
        trained_on = alpha * data + (1 - alpha) * models[-1]
        distorted = trained_on * torch.exp(0.5 * torch.randn(cells, generator=g, dtype=torch.float64))
        models.append(distorted / distorted.sum())
    return data, models


def paths(generations=6):
    return st.tuples(st.integers(0, 10**6), st.integers(2, 12), st.just(generations), alphas)


def steps_of(data, models, alpha):
    return [decompose(data, before, after, alpha=alpha) for before, after in pairwise(models)]


# Identities


@repeatable
@given(seed=st.integers(0, 10**6), cells=st.integers(2, 40), alpha=alphas)
def test_fresh_data_shrink_the_divergence_by_the_square(seed, cells, alpha):
    g = seeded(seed)
    p, model = random_law(g, cells), random_law(g, cells)
    mixed = alpha * p + (1 - alpha) * model
    before, after = (float(((law - p) ** 2 / p).sum()) for law in (model, mixed))
    assert refreshed(before, alpha) == pytest.approx(after, rel=1e-12, abs=1e-15)


@repeatable
@given(law=mixtures(max_dim=1), wider=st.floats(0.05, 0.2), alpha=alphas)
def test_the_same_holds_for_densities(law, wider, alpha):
    nodes = line()
    p, model = density_on(law.blur(1.0), nodes), density_on(law.blur(1.0).blur(wider), nodes)
    mixed = alpha * p + (1 - alpha) * model
    whole = chi2_on_nodes(model, p, nodes)
    assert refreshed(whole, alpha) == pytest.approx(chi2_on_nodes(mixed, p, nodes), rel=1e-9)


@repeatable
@given(path=paths())
def test_the_recursion_is_exact_and_its_terms_are_what_they_are_called(path):
    data, models = random_path(*path)
    alpha = path[3]
    for step, (before, after) in zip(steps_of(data, models, alpha), pairwise(models), strict=True):
        q = alpha * data + (1 - alpha) * before
        rho = after / q - 1
        assert step.after == pytest.approx(
            (1 - alpha) ** 2 * step.before + step.forcing + 2 * (1 - alpha) * step.cross, rel=1e-10, abs=1e-14
        )
        assert step.forcing == pytest.approx(float(q @ (q / data * rho**2)), rel=1e-10)
        assert step.innovation == pytest.approx(float(q @ rho**2), rel=1e-10)
        assert step.before == pytest.approx(float(data @ (before / data - 1) ** 2), rel=1e-10)
        assert -1 - 1e-12 <= step.coherence <= 1 + 1e-12


@repeatable
@given(path=paths())
def test_contributions_add_up_to_the_divergence(path):
    data, models = random_path(*path)
    found = contributions(gram(data, models), alpha=path[3])
    last = float(data @ (models[-1] / data - 1) ** 2)
    assert found.total == pytest.approx(last, rel=1e-12)
    assert float(found.exact.sum()) + found.start == pytest.approx(last, rel=1e-10)
    forcings = double([step.forcing for step in steps_of(data, models, path[3])])
    discounts = (1 - path[3]) ** torch.arange(len(forcings) - 1, -1, -1).double()
    torch.testing.assert_close(found.squares, discounts**2 * forcings, rtol=1e-9, atol=1e-13)
    roots = discounts * forcings.sqrt()
    torch.testing.assert_close(found.amplitude, roots, rtol=1e-9, atol=1e-13)


@repeatable
@given(path=paths())
def test_scalar_products_tell_the_same_as_the_laws(path):
    data, models = random_path(*path)
    told = steps(gram(data, models), alpha=path[3])
    for step, known in zip(told, steps_of(data, models, path[3]), strict=True):
        for name in ("before", "after", "forcing", "cross", "coherence"):
            assert getattr(step, name) == pytest.approx(getattr(known, name), rel=1e-7, abs=1e-12)
        assert math.isnan(step.innovation)


# Bounds


@repeatable
@given(path=paths(12))
def test_no_recursion_exceeds_the_amplitude_bound(path):
    data, models = random_path(*path)
    steps = steps_of(data, models, path[3])
    forcings = [step.forcing for step in steps]
    bounds = discounted(steps[0].before, forcings, alpha=path[3], coherence=1.0)
    for step, bound in zip(steps, bounds, strict=True):
        assert step.after <= bound * (1 + 1e-12)
    coherences = [step.coherence for step in steps]
    upper = discounted(steps[0].before, forcings, alpha=path[3], coherence=min(max(0.0, *coherences), 1.0))
    assert all(step.after <= bound * (1 + 1e-9) for step, bound in zip(steps, upper, strict=True))
    if min(coherences) >= 0:
        lower = discounted(steps[0].before, forcings, alpha=path[3], coherence=min(coherences))
        assert all(step.after >= bound * (1 - 1e-9) for step, bound in zip(steps, lower, strict=True))


@repeatable
@given(path=paths(12))
def test_an_innovation_leaves_its_mark_in_this_generation_or_the_last(path):
    """B ≥ α I, and D' + (1 − α)² D ≥ ½ α I; the sharper √D' + (1 − α) √D ≥ √(α I)."""
    data, models = random_path(*path)
    alpha = path[3]
    for step in steps_of(data, models, alpha):
        floor_here = alpha * step.innovation
        assert step.forcing >= floor_here * (1 - 1e-12)
        assert step.after + (1 - alpha) ** 2 * step.before >= 0.5 * floor_here * (1 - 1e-12)
        root = math.sqrt(step.after) + (1 - alpha) * math.sqrt(step.before)
        assert root >= math.sqrt(floor_here) * (1 - 1e-12)


def moving_along(direction, sizes):
    """Laws with δ = size · direction on equal cells."""
    p = torch.full_like(direction, 1 / len(direction))
    return p, [p * (1 + size * direction) for size in sizes]


def test_errors_that_repeat_the_deviation_attain_the_bound():
    alpha, sizes = 0.3, [0.0]
    for _ in range(8):
        sizes.append((1 - alpha) * sizes[-1] + 0.05)
    data, models = moving_along(double([1.0, -1.0, 1.0, -1.0]), sizes)
    steps = steps_of(data, models, alpha)
    assert all(step.coherence == pytest.approx(1.0) for step in steps[1:])
    bounds = discounted(0.0, [step.forcing for step in steps], alpha=alpha, coherence=1.0)
    assert [step.after for step in steps] == pytest.approx(bounds, rel=1e-9)
    roots = [math.sqrt(step.forcing) for step in steps]
    series = sum((1 - alpha) ** (len(roots) - 1 - i) * root for i, root in enumerate(roots))
    assert bounds[-1] == pytest.approx(series**2)


def test_errors_in_new_directions_follow_the_energy_discount():
    alpha, p = 0.3, torch.full((8,), 0.125, dtype=torch.float64)
    waves = torch.tensor([[(-1) ** (k >> bit & 1) for k in range(8)] for bit in range(3)]).double()
    delta, models = torch.zeros(8).double(), [p]
    for wave in waves:
        delta = (1 - alpha) * delta + 0.2 * wave
        models.append(p * (1 + delta))
    steps = steps_of(p, models, alpha)
    assert all(abs(step.coherence) < 1e-9 for step in steps)
    expected = discounted(0.0, [step.forcing for step in steps], alpha=alpha, coherence=0.0)
    series = sum((1 - alpha) ** (2 * (len(steps) - 1 - i)) * step.forcing for i, step in enumerate(steps))
    assert expected[-1] == pytest.approx(series)
    assert [step.after for step in steps] == pytest.approx(expected, rel=1e-12)
    found = contributions(gram(p, models), alpha=alpha)
    torch.testing.assert_close(found.exact, found.squares)


def test_an_error_can_undo_the_past():
    data, models = moving_along(double([1.0, -1.0]), [0.0, 0.4, 0.0])
    step = steps_of(data, models, 0.5)[1]
    assert step.coherence == pytest.approx(-1.0)
    assert step.after == 0


@pytest.mark.parametrize("alpha", [0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("coherence", [-1.0, -0.3, 0.0, 0.7, 1.0])
def test_the_steady_state_is_where_the_recursion_stays(alpha, coherence):
    divergence, forcing = 0.0, 0.2
    for _ in range(2000):
        cross = coherence * math.sqrt(divergence * forcing)
        divergence = (1 - alpha) ** 2 * divergence + forcing + 2 * (1 - alpha) * cross
    assert steady_state(forcing, alpha=alpha, coherence=coherence) == pytest.approx(divergence, rel=1e-9)


def test_its_ends_are_the_two_discount_laws():
    for alpha in (0.1, 0.5, 0.9):
        long = [0.3] * 3000
        coherent, incoherent = (steady_state(0.3, alpha=alpha, coherence=c) for c in (1.0, 0.0))
        assert coherent == pytest.approx(discounted(7.0, long, alpha=alpha, coherence=1.0)[-1])
        assert incoherent == pytest.approx(discounted(7.0, long, alpha=alpha, coherence=0.0)[-1])
        assert coherent / incoherent == pytest.approx((2 - alpha) / alpha)


def test_half_of_an_amplitude_is_forgotten_after_a_half_life():
    for alpha in (0.01, 0.1, 0.5, 0.9):
        assert (1 - alpha) ** half_life(alpha) == pytest.approx(0.5)
    assert half_life(1.0) == 0


@repeatable
@given(alpha=alphas, eta=st.floats(0, 1), energy=st.floats(0, 10))
def test_our_floor_is_never_below_the_papers(alpha, eta, energy):
    """The paper's with innovations of η f/8, as its Proposition 3.3 gives them for small errors."""
    assert divergence_floor(eta * energy / 8, alpha=alpha) >= paper_floor(eta, energy, alpha=alpha) * (
        1 - 1e-12
    )


@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.9])
def test_two_rare_cells_that_empty_by_turns_come_within_a_factor_of_the_floor(alpha):
    """δ = ∓1 in the two cells and −δ in the next generation: D = α I/(2 − α), the floor times 2 − α."""
    rare = 1e-7
    data = double([rare, rare, 1 - 2 * rare])
    models = [double([0.0, 2 * rare, 1 - 2 * rare]), double([2 * rare, 0.0, 1 - 2 * rare])] * 3
    for step in steps_of(data, models, alpha):
        assert step.coherence == pytest.approx(-1.0)
        assert step.after == pytest.approx(step.before)
        assert step.after == pytest.approx(alpha * step.innovation / (2 - alpha), rel=1e-5)
        assert step.after == pytest.approx(
            (2 - alpha) * divergence_floor(step.innovation, alpha=alpha), rel=1e-5
        )


def test_a_single_generation_can_attain_the_inequality_behind_the_floor():
    """An empty cell is refilled to −(1 − α) δ: √D' + (1 − α) √D = 2 (1 − α) √r, and so is √(α I)."""
    alpha, rare = 0.3, 1e-7
    data = double([rare, 1 - rare])
    before, after = (double([share * rare, 1 - share * rare]) for share in (0.0, 2 - alpha))
    step = decompose(data, before, after, alpha=alpha)
    root = math.sqrt(step.after) + (1 - alpha) * math.sqrt(step.before)
    assert root == pytest.approx(math.sqrt(alpha * step.innovation), rel=1e-5)
    quotient = (step.after + (1 - alpha) ** 2 * step.before) / (0.5 * alpha * step.innovation)
    assert quotient == pytest.approx(1.0, rel=1e-5)


# Infinite divergences and bad input


def test_mass_without_data_is_infinite_and_says_so():
    data, model, after = double([0.5, 0.5, 0.0]), double([0.4, 0.5, 0.1]), double([0.5, 0.4, 0.1])
    step = decompose(data, model, after, alpha=0.5)
    assert (step.before, step.after, step.forcing) == (INF, INF, INF)
    assert step.reason == "a model has mass in 1 cells where the data have none"
    assert math.isnan(step.coherence)
    assert math.isfinite(step.innovation)  # q has mass there
    fresh = decompose(data, data, after, alpha=0.5)
    assert (fresh.before, fresh.after, fresh.innovation) == (0.0, INF, INF)


def test_infinite_divergences_stay_infinite_unless_the_data_are_fresh():
    assert refreshed(INF, alpha=0.5) == INF
    assert refreshed(INF, alpha=1.0) == 0
    assert discounted(INF, [1.0], alpha=0.5, coherence=1.0) == [INF]
    assert discounted(INF, [0.0], alpha=0.5, coherence=1.0) == [INF]
    assert discounted(INF, [1.0, INF], alpha=1.0, coherence=1.0) == [1.0, INF]
    assert discounted(1.0, [INF, 1.0], alpha=0.5, coherence=0.0) == [INF, INF]


P = double([0.5, 0.5])
REFUSED = [
    ("alpha = 0.0", lambda: refreshed(1.0, alpha=0.0)),
    ("alpha = 1.5", lambda: half_life(1.5)),
    ("alpha = nan", lambda: decompose(P, P, P, alpha=NAN)),
    ("divergence = -1.0", lambda: refreshed(-1.0, alpha=0.5)),
    ("divergence = nan", lambda: refreshed(NAN, alpha=0.5)),
    ("start = -1.0", lambda: discounted(-1.0, [1.0], alpha=0.5, coherence=0.0)),
    ("forcings = nan", lambda: discounted(0.0, [1.0, NAN], alpha=0.5, coherence=0.0)),
    ("forcings = -0.1", lambda: discounted(0.0, [-0.1], alpha=0.5, coherence=0.0)),
    ("coherence = -0.1", lambda: discounted(0.0, [1.0], alpha=0.5, coherence=-0.1)),
    ("coherence = 1.1", lambda: steady_state(1.0, alpha=0.5, coherence=1.1)),
    ("forcing = inf", lambda: steady_state(INF, alpha=0.5, coherence=0.0)),
    ("innovation = -1.0", lambda: divergence_floor(-1.0, alpha=0.5)),
    ("eta = 1.2", lambda: paper_floor(1.2, 1.0, alpha=0.5)),
    ("energy = -1.0", lambda: paper_floor(0.5, -1.0, alpha=0.5)),
    ("model.shape = [3]", lambda: decompose(P, torch.ones(3).double() / 3, P, alpha=0.5)),
    ("next_model = sum 0.9", lambda: decompose(P, P, 0.9 * P, alpha=0.5)),
    ("data = sum 1, least -0.5", lambda: decompose(double([1.5, -0.5]), P, P, alpha=0.5)),
    ("model = 1 of 2 entries are NaN", lambda: decompose(P, double([NAN, 1.0]), P, alpha=0.5)),
    ("models = none", lambda: gram(P, [])),
    ("models[1].shape = [1]", lambda: gram(P, [P, double([1.0])])),
    ("data = zero in 1 cells", lambda: gram(double([1.0, 0.0]), [P, P])),
    ("products.shape = [1, 1]", lambda: contributions(gram(P, [P]), alpha=0.5)),
    ("products.shape = [2, 3]", lambda: contributions(torch.ones(2, 3), alpha=0.5)),
    ("products = not symmetric, by 1", lambda: contributions(double([[1, 1], [0, 1]]), alpha=0.5)),
    ("products = 2 of 4 entries", lambda: contributions(double([[1, INF], [INF, 1]]), alpha=0.5)),
    ("alpha = 0.0", lambda: contributions(torch.eye(2), alpha=0.0)),
]


@pytest.mark.parametrize(("begins", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused_by_name_value_and_remedy(begins, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)):
        call()
