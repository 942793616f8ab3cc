"""The sharp floor: exact proofs, what they must refuse, and searches that share no code with them."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from helpers import seeded
from scoredrift.generations import (
    Surd,
    certify_floor,
    decompose,
    divergence_floor,
    floor_potential,
    room_below_zero,
    sharp_floor_constant,
    uniform_excess,
)

ALPHAS = ("0.02", "0.05", "0.1", "0.3", "0.5", "0.9", "0.99")


def two_cells(alpha):
    """λ(α) and y of the two cells, as an eigenvalue."""
    beta = 1 - alpha
    off = beta / alpha + beta / 2
    values, vectors = np.linalg.eigh([[1 + beta**2 / alpha, off], [off, 1 / alpha]])
    return values[-1], vectors[1, -1] / vectors[0, -1]


def excess_of_gain(x, y, alpha, lam, potential):
    """(f(x, y) − λx² − ψ(x) + ψ(y))/(1 + x² + y²) with ψ from the numbers in the potential alone."""
    d, beta = float(potential.nodes[potential.inside + 1]), 1 - alpha
    nodes = np.array([float(node) for node in potential.nodes])
    values = np.array([float(value) for value in potential.values])

    def psi(at):
        far = values[-1] + float(potential.slope) * (at - nodes[-1])
        g = np.where(at > nodes[-1], far, np.interp(at, nodes, values))
        return np.where(abs(at) < d, float(potential.curvature) * at**2, g) - lam * at**2

    gain = (y - beta * x) ** 2 / (1 + beta * x)
    return (gain - lam * x**2 - psi(x) + psi(y)) / (1 + x**2 + y**2)


@pytest.fixture(scope="module")
def half():
    return floor_potential("0.5", nodes=24)


# The constant


@pytest.mark.parametrize("alpha", [1e-3, *map(float, ALPHAS), 0.9999])
def test_the_constant_is_the_largest_quotient_of_the_two_cells(alpha):
    lam = sharp_floor_constant(alpha)
    assert lam == pytest.approx(two_cells(alpha)[0], rel=1e-12)
    assert 1 / lam >= divergence_floor(1.0, alpha=alpha) * (1 - 1e-12)
    assert lam * alpha >= (2 - alpha) * (1 - 1e-12)


def test_all_fresh_has_the_constant_one():
    assert sharp_floor_constant(1) == 1


@pytest.mark.parametrize("alpha", [0, 1.5, -0.1, math.nan, "half"])
def test_a_share_outside_its_range_is_refused(alpha):
    for function in (sharp_floor_constant, certify_floor, floor_potential):
        with pytest.raises(ValueError, match="alpha = "):
            function(alpha)


# The proofs


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_sharp_floor_is_proved_without_excess(alpha):
    certificate = certify_floor(alpha)
    assert certificate.alpha == Fraction(alpha)
    assert float(certificate.constant) == pytest.approx(two_cells(float(alpha))[0], rel=1e-12)
    assert certificate.margin == 0  # no λ below would do
    assert certificate.inner_margin > 0
    assert certificate.checks > len(certificate.potential.nodes) ** 2 - 200


def test_an_excess_leaves_a_margin_everywhere():
    certificate = certify_floor(0.3, "1e-4")
    assert certificate.margin > 0
    assert float(certificate.constant) == pytest.approx(1.0001 * sharp_floor_constant(0.3), rel=1e-12)


@pytest.mark.parametrize("alpha", ["0.02", "0.3", "0.99"])
def test_a_search_finds_no_violation(alpha):
    share = float(alpha)
    lam, y_cell = two_cells(share)
    potential = floor_potential(alpha)
    rng = np.random.default_rng(5)
    special = [-1, 0, y_cell, *(float(node) for node in potential.nodes)]
    near = np.concatenate(
        [special, *(np.array(special) + s for s in (-1e-4, 1e-4)), rng.uniform(-1, 3, 1200)]
    )
    far = np.concatenate([np.geomspace(1, 1e4, 200), -1 + np.geomspace(1e-9, 1, 100)])
    points = np.maximum(np.concatenate([near, far]), -1)
    x, y = np.meshgrid(points, points, indexing="ij")
    found = excess_of_gain(x, y, share, lam, potential)
    tolerance = 1e-12 * (lam + 1 / share)
    assert found.max() <= tolerance
    # And with intent, from the worst of them and from the cells.
    worst = np.argsort(found, axis=None)[:: -(found.size // 30)][:25]
    starts = [(x.flat[i], y.flat[i]) for i in worst] + [(-1, y_cell), (y_cell, -1), (0.01, -0.01)]

    def loss(at):
        return -float(excess_of_gain(*np.maximum(at, -1), share, lam, potential))

    best = max(-minimize(loss, start, method="Nelder-Mead").fun for start in starts)
    assert best <= tolerance
    assert best > -1e-6 * lam  # the search is good enough to come close to equality


@pytest.mark.parametrize("alpha", ["0.05", "0.5", "0.9"])
def test_one_generation_of_any_learner_obeys_the_potential(alpha):
    """I ≤ λD + E_p ψ(δ) − E_p ψ(δ'), for laws at random and with cells that are all but empty."""
    share, potential, generator = float(alpha), floor_potential(alpha), seeded(3)
    lam = sharp_floor_constant(share)
    for _ in range(150):
        sharpness = 4 * torch.rand(3, 1, generator=generator, dtype=torch.float64)
        laws = torch.softmax(sharpness * torch.randn(3, 6, generator=generator, dtype=torch.float64), 1)
        data, model, new = laws
        step = decompose(data, model, new, alpha=share)
        before, after = (
            float((data * torch.as_tensor(potential(law / data - 1))).sum()) - lam * drift
            for law, drift in ((model, step.before), (new, step.after))
        )
        assert step.innovation <= (lam * step.before + before - after) * (1 + 1e-9) + 1e-12


def test_nothing_below_the_constant_can_be_proved():
    for alpha in (0.05, 0.5, 0.95):
        with pytest.raises(ValueError, match=r"Γ\(.*node .*: too low"):
            certify_floor(alpha, "-1e-3")
        # Whatever ψ is, it cancels over the cycle −1 → y → −1, and what is left is positive.
        lam, y = two_cells(alpha)
        beta = 1 - alpha
        cycle = (y + beta) ** 2 / alpha + 1 + beta * y - (1 - 1e-3) * lam * (1 + y * y)
        assert cycle > 0


def test_the_two_cells_attain_the_constant():
    rare = 1e-9
    for alpha in map(float, ALPHAS):
        y = two_cells(alpha)[1]
        laws = rare * torch.tensor([[1, 1], [0, 1 + y], [1 + y, 0]], dtype=torch.float64)
        laws = torch.cat([laws, 1 - laws.sum(1, keepdim=True)], 1)
        step = decompose(*laws, alpha=alpha)
        assert step.after == pytest.approx(step.before, rel=1e-9)
        assert step.innovation / step.before == pytest.approx(sharp_floor_constant(alpha), rel=1e-6)


# What is refused


def changed(potential, index, *, value=0, node=0):
    values, nodes = list(potential.values), list(potential.nodes)
    values[index] = values[index] + Fraction(value)
    nodes[index] = nodes[index] + Fraction(node)
    return replace(potential, values=tuple(values), nodes=tuple(nodes))


@pytest.mark.parametrize("index", [0, 3, 12, 20, 27, 36, 44, 47])
def test_a_node_that_is_too_low_is_named(half, index):
    wrong = changed(half, index, value="-1/50")
    with pytest.raises(ValueError, match=rf"Γ\({float(half.nodes[index]):.6g}\) = .*node {index}\): too low"):
        certify_floor("0.5", 0, wrong)


@pytest.mark.parametrize("index", [0, 3, 12, 20, 27, 36, 44, 47])
def test_a_node_that_is_too_high_is_refused(half, index):
    with pytest.raises(ValueError, match=r"Γ\(.*node .*: too (low|high)"):
        certify_floor("0.5", 0, changed(half, index, value="1/2"))


def test_the_smallest_step_at_the_cells_is_refused(half):
    for value in ("1e-30", "-1e-30"):
        for index in (0, -1):
            with pytest.raises(ValueError, match="too low"):
                certify_floor("0.5", 0, changed(half, index, value=value))


def test_a_wrong_slope_curvature_or_node_is_refused(half):
    with pytest.raises(ValueError, match="slope = 499/1000"):
        certify_floor("0.5", 0, replace(half, slope=Fraction("0.499")))
    with pytest.raises(ValueError, match=r"Γ\(-1\) = .*too low.*beyond 0.9"):
        certify_floor("0.5", 0, replace(half, slope=Fraction("0.501")))
    for factor in (Fraction(1, 3), Fraction(2)):
        d = half.nodes[half.inside + 1]
        values = list(half.values)
        curvature = factor * half.curvature
        values[half.inside] = values[half.inside + 1] = curvature * d * d
        with pytest.raises(ValueError, match=r"curvature = .*near 0"):
            certify_floor("0.5", 0, replace(half, curvature=curvature, values=tuple(values)))
        with pytest.raises(ValueError, match=r"values\[23\].*γx² at ±x_0"):
            certify_floor("0.5", 0, replace(half, curvature=curvature))
    with pytest.raises(ValueError, match="too low"):
        certify_floor("0.5", 0, changed(half, 5, node="-1/50"))


def test_a_potential_that_is_too_high_for_the_piece_around_zero_is_refused(half):
    """Lifted outside [−x_0, x_0] alone it passes at all nodes, and fails between ±x_0."""
    inside = (half.inside, half.inside + 1)
    lifted = [v if i in inside else v + Fraction("0.2") for i, v in enumerate(half.values)]
    wrong = replace(half, values=tuple(lifted))
    lam = sharp_floor_constant(0.5)
    assert excess_of_gain(np.array(0.05), np.array(-1.0), 0.5, lam, wrong) > 0.01
    with pytest.raises(ValueError, match=r"Γ\(-1\) = .*node 0\): too high for Γ near 0"):
        certify_floor("0.5", 0, wrong)


def test_what_has_not_the_form_of_the_theorem_is_refused(half):
    d = half.inside
    for wrong, told in (
        (changed(half, 0, node="1/100"), "begin at −1"),
        (changed(half, 3, node="1/2"), "increase"),
        (changed(half, d, node="1/100"), "let it be −x_0"),
        (replace(half, values=half.values[1:]), "one value for each node"),
        (replace(half, inside=0), "both sides"),
        (replace(half, values=(1.5, *half.values[1:])), "exact numbers"),
        (floor_potential("0.4", nodes=24), "same r"),
    ):
        with pytest.raises(ValueError, match=told):
            certify_floor("0.5", 0, wrong)


@settings(max_examples=20, deadline=None)
@given(
    index=st.integers(0, 23).filter(lambda i: i not in (11, 12)),
    size=st.floats(-6, 0),
    sign=st.sampled_from([-1, 1]),
)
def test_what_a_search_refutes_is_never_certified(index, size, sign):
    potential = floor_potential("0.5", "0.05", nodes=12)
    changed_one = changed(potential, index, value=Fraction(sign * 10**size))
    lam = 1.05 * sharp_floor_constant(0.5)
    points = np.concatenate([np.linspace(-1, 3, 400), [float(node) for node in potential.nodes], [10, 1e3]])
    x, y = np.meshgrid(points, points, indexing="ij")
    refuted = excess_of_gain(x, y, 0.5, lam, changed_one).max() > 1e-9
    try:
        certify_floor("0.5", "0.05", changed_one)
    except ValueError:
        return
    assert not refuted


# All fresh fractions at once


def test_potentials_serve_between_their_fractions():
    certificates = [certify_floor(alpha, 0, floor_potential(alpha, nodes=32)) for alpha in ("0.4", "0.5")]
    excess = uniform_excess(certificates)
    for theta in (0.25, 0.5, 0.75):
        alpha = 0.4 * theta + 0.5 * (1 - theta)
        lam = sharp_floor_constant(0.4) * theta + sharp_floor_constant(0.5) * (1 - theta)
        assert lam <= (1 + excess) * sharp_floor_constant(alpha)
        points = np.concatenate([np.linspace(-1, 3, 801), np.geomspace(3, 1e4, 60)])
        x, y = np.meshgrid(points, points, indexing="ij")
        # ψ at α is θ ψ_0 + (1 − θ) ψ_1: the sum of the two inequalities, with the f of α.
        found = sum(
            weight * excess_of_gain(x, y, alpha, sharp_floor_constant(each), certificate.potential)
            for weight, each, certificate in zip((theta, 1 - theta), (0.4, 0.5), certificates, strict=True)
        )
        assert found.max() <= 1e-12


@pytest.mark.parametrize("alpha", [0.5, 0.9, 0.99])
def test_the_excess_bounds_the_chord_to_one(alpha):
    excess = uniform_excess([certify_floor(alpha)])
    theta = np.linspace(0, 1, 2001)[:-1]
    between = [theta_ * alpha + 1 - theta_ for theta_ in theta]
    chord = theta * sharp_floor_constant(alpha) + 1 - theta
    ratio = max(c / sharp_floor_constant(b) for c, b in zip(chord, between, strict=True)) - 1
    assert ratio <= excess <= 3 * ratio


def test_no_certificates_prove_nothing():
    with pytest.raises(ValueError, match="certificates = none"):
        uniform_excess([])


# The field


@settings(deadline=None)
@given(st.tuples(*(st.fractions(-3, 3, max_denominator=50) for _ in range(4))), st.integers(2, 30))
def test_surds_are_a_field_with_exact_signs(numbers, root):
    a, b, c, d = numbers
    first, second = Surd(a, b, Fraction(root)), Surd(c, d, Fraction(root))
    for found, wanted in (
        (first + second, float(first) + float(second)),
        (first - second, float(first) - float(second)),
        (first * second, float(first) * float(second)),
        (1 - first, 1 - float(first)),
        (first / 3, float(first) / 3),
    ):
        assert float(found) == pytest.approx(wanted, abs=1e-12)
    if abs(float(first) - float(second)) > 1e-9:
        assert (first < second) == (float(first) < float(second))
        assert (first >= second) == (float(first) >= float(second))
    assert first == first + 0
    assert first.above(40) >= first
    assert first.above(40) <= first + abs(b) * Fraction(1, 2**40)


@settings(deadline=None)
@given(st.tuples(*(st.fractions(-3, 3, max_denominator=9) for _ in range(4))), st.none() | st.fractions(0, 4))
def test_room_below_zero_is_what_a_grid_shows(numbers, width):
    a, b, c, low = numbers
    room = room_below_zero(a, b, c, low, None if width is None else low + width)
    y = float(low) + np.linspace(0, 1, 4001) * (100 if width is None else float(width))
    largest = ((float(a) * y + float(b)) * y + float(c)).max()
    if room is None:
        assert largest > -1e-3 or (width is None and a >= 0)
    else:
        assert room >= 0
        assert largest == pytest.approx(-room, abs=1e-2 if width is None else 1e-4)


def test_a_sign_needs_no_rounding():
    """Convergents of √2 come closer than floats can tell, from either side."""
    p, q = 1, 1
    for k in range(60):
        assert (Surd(p, -q, Fraction(2)) > 0) == (k % 2 == 1)
        p, q = p + 2 * q, p + q
    assert Surd(2, -1, Fraction(4)) == 0
