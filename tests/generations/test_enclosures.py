"""Intervals hold exact results, and floors proved in them agree with those proved without rounding."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoredrift.generations import (
    Intervals,
    Surd,
    certify_floor,
    floor_potential,
    quadratic_ceilings,
    room_below_zero,
    sharp_floor_constant,
    uniform_excess,
)

NUMBERS = st.fractions(-3, 3, max_denominator=10**9)


def holds(found, exact):
    return Fraction(float(found.low[0])) <= exact <= Fraction(float(found.high[0]))


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS)
def test_operations_hold_the_exact_result(a, b, c):
    one, two, three = (Intervals.around([each]) for each in (a, b, c))
    assert holds(one, a)
    assert holds(-one, -a)
    assert holds(one + two, a + b)
    assert holds((one - two) * three, (a - b) * c)
    found = one / three
    if c == 0:
        assert np.isinf(found.high[0])
    else:
        assert holds(found, a / c)
        assert found.high[0] - found.low[0] <= 1e-14 * abs(float(a / c)) + 1e-300
    through = one / (two - two)
    assert np.isinf([through.low[0], through.high[0]]).all()


def test_wide_intervals_take_the_worst_corner():
    wide = Intervals(np.array([-2.0]), np.array([3.0]))
    found = wide * wide
    assert -6.0000001 < found.low[0] <= -6
    assert 9 <= found.high[0] < 9.0000001
    positive = Intervals(np.array([0.5]), np.array([2.0]))
    quotient = wide / positive
    assert quotient.low[0] <= -4
    assert quotient.high[0] >= 6


def test_a_root_is_held():
    for root in (2, 3, 5, 1234577):
        held = Intervals.around([Surd(Fraction(1, 3), Fraction(-2, 7), Fraction(root))])
        exact = Surd(Fraction(1, 3), Fraction(-2, 7), Fraction(root))
        assert Fraction(float(held.low[0])) <= exact
        assert exact <= Fraction(float(held.high[0]))


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.none() | st.fractions(0, 4, max_denominator=1000))
def test_a_ceiling_is_above_the_quadratic_and_close_to_it(a, b, c, low, width):
    high = None if width is None else low + width
    held = [Intervals.around([each]) for each in (a, b, c, low, 0 if high is None else high)]
    found = float(quadratic_ceilings(*held, [high is None])[0])
    if np.isinf(found):  # none was found: only where a may be zero, or no ceiling is
        assert abs(a) < 1e-12 or (high is None and a > 0)
        return
    # A quadratic shifted down to its ceiling is nowhere positive; shifted further, it is so with room.
    assert room_below_zero(a, b, c - Fraction(found), low, high) is not None
    if abs(a) > 1e-3:
        short = room_below_zero(a, b, c - Fraction(found) + Fraction(1, 10**6), low, high)
        assert short is None


@pytest.mark.parametrize("alpha", ["0.02", "0.05", "0.1", "0.3", "0.5", "0.9", "0.99"])
def test_both_arithmetics_prove_the_same_floor(alpha):
    potential = floor_potential(alpha, "1e-4", nodes=24)
    exact = certify_floor(alpha, "1e-4", potential)
    held = certify_floor(alpha, "1e-4", potential, exact=False)
    assert held.constant == exact.constant
    assert 0 < held.margin <= exact.margin * (1 + 1e-6)
    assert held.margin == pytest.approx(exact.margin, rel=1e-3, abs=1e-9)
    assert held.inner_margin == pytest.approx(exact.inner_margin, rel=1e-3, abs=1e-9)


def test_intervals_refuse_what_is_false_and_what_they_cannot_tell():
    for excess in (0, "-1e-6", "-1e-3"):
        with pytest.raises(ValueError, match=r"potential = .* not proved in intervals"):
            certify_floor("0.3", excess, exact=False)
    with pytest.raises(ValueError, match="not proved in intervals"):
        certify_floor("0.5", "1e-4", floor_potential("0.3", "1e-4"), exact=False)


def test_a_potential_that_fails_around_zero_alone_is_refused():
    good = floor_potential("0.5", "1e-4", nodes=24)
    inside = (good.inside, good.inside + 1)
    lifted = [v if i in inside else v + Fraction("0.2") for i, v in enumerate(good.values)]
    with pytest.raises(ValueError, match=r"curvature = .* not proved in intervals"):
        certify_floor("0.5", "1e-4", replace(good, values=tuple(lifted)), exact=False)
    for factor in (Fraction(1, 3), Fraction(2)):
        values = list(good.values)
        values[inside[0]] = values[inside[1]] = factor * good.values[inside[0]]
        wrong = replace(good, curvature=factor * good.curvature, values=tuple(values))
        with pytest.raises(ValueError, match=r"curvature = .* not proved in intervals"):
            certify_floor("0.5", "1e-4", wrong, exact=False)


@settings(max_examples=40, deadline=None)
@given(index=st.integers(0, 23).filter(lambda i: i not in (11, 12)), size=st.floats(-6, 0), up=st.booleans())
def test_intervals_accept_nothing_that_exact_numbers_refuse(index, size, up):
    potential = floor_potential("0.5", "0.05", nodes=12)
    values = list(potential.values)
    values[index] = values[index] + Fraction(10**size) * (1 if up else -1)
    changed = replace(potential, values=tuple(values))
    try:
        certify_floor("0.5", "0.05", changed, exact=False)
    except ValueError:
        return
    certify_floor("0.5", "0.05", changed)


def test_one_floor_for_all_fresh_fractions():
    """Proofs at 420 α, and λ between them: the excess is below 1e-4 from α = 0.02 to 1."""
    shares = [f"{share:.5f}" for share in np.geomspace(0.02, 1, 421)[:-1]]
    proofs = [certify_floor(share, "1e-6", exact=False) for share in shares]
    excess = uniform_excess(proofs)
    assert excess < 1e-4
    alphas, lambdas = (
        [float(each) for each in row] + [1.0]
        for row in ([p.alpha for p in proofs], [p.constant for p in proofs])
    )
    for alpha in np.random.default_rng(3).uniform(0.02, 1, 2000):
        chord = np.interp(alpha, alphas, lambdas)  # what the proofs next to it give together
        assert chord <= (1 + excess) * sharp_floor_constant(float(alpha)) * (1 + 1e-12)
