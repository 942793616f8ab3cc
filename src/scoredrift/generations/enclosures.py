"""The conditions of the sharp floor (``certificates``) in intervals, all nodes and pieces at once.

Each says that a quadratic in y is at most 0 on a piece [low, high]. It is at most the larger of its values
at the ends and, unless it is monotone or convex there, of its maximum c − b²/(4a). Computed in intervals
that is an upper bound, and where it is ≤ 0 the condition is proved. Equality cannot be, so λ has to exceed
λ(α) a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from scoredrift.generations.floor_potentials import FloorPotential
from scoredrift.generations.intervals import Intervals
from scoredrift.generations.surds import Exact, Surd


def quadratic_ceilings(
    a: Intervals, b: Intervals, c: Intervals, low: Intervals, high: Intervals, endless: Sequence[bool]
) -> np.ndarray:
    """Upper bounds of ay² + by + c for low ≤ y ≤ high, or for low ≤ y where a piece has no end.

    Args:
        a: coefficients of y², shape ``[…, pieces]``.
        b: coefficients of y, likewise.
        c: constants, likewise.
        low: left ends, shape ``[pieces]``.
        high: right ends, likewise; not looked at where there is no end.
        endless: whether a piece has no end, one for each.

    Returns:
        Bounds, shape ``[…, pieces]``; ∞ where none was found.

    Source: ours.

    >>> one = Intervals.around([1])
    >>> two = Intervals.around([2])
    >>> float(quadratic_ceilings(-one, two, -two, one - one, two, [True])[0]).__round__(12)  # −(y − 1)² − 1
    -1.0
    """
    without = np.array(endless)
    at_low, at_high = ((a * y + b) * y + c for y in (low, high))
    ends = np.maximum(at_low.high, np.where(without, -np.inf, at_high.high))
    falls = ((a + a) * low + b).high <= 0
    rises = (((a + a) * high + b).low >= 0) & ~without
    concave, convex = a.high < 0, (a.low >= 0) & ~without
    four = a + a + a + a
    peak = np.where(concave, (c - b * b / four).high, np.inf)
    return np.where(convex | (concave & (falls | rises)), ends, np.maximum(ends, peak))


def _enclosed_gaps(potential: FloorPotential, beta: Fraction, lam: Surd) -> tuple[np.ndarray, bool, int]:
    """Lower bounds of Γ − 𝒯Γ at the nodes but ±x_0, whether (∗∗) holds on [−x_0, x_0], and how many quadratics.

    ``potential`` has the form that ``certify_floor`` asks for.
    """
    g, keep = potential, _one(beta)
    one, most, nodes, values = _one(1), _one(lam), Intervals.around(g.nodes), Intervals.around(g.values)
    low, high = nodes, Intervals(np.append(nodes.low[1:], np.inf), np.append(nodes.high[1:], np.inf))
    rise = (values[1:] - values[:-1]) / (nodes[1:] - nodes[:-1])
    s, k = _joined(rise, _one(g.slope)), _one(0)
    u = values - s * low
    number = len(g.nodes)
    inner = np.arange(number) == g.inside  # the piece γx²
    s, u = (Intervals(np.where(inner, 0, each.low), np.where(inner, 0, each.high)) for each in (s, u))
    curved = _one(g.curvature)
    k = Intervals(np.where(inner, curved.low, 0.0), np.where(inner, curved.high, 0.0))
    last = [i == number - 1 for i in range(number)]
    finite = Intervals(np.where(last, 0.0, high.low), np.where(last, 0.0, high.high))

    def above(x: Intervals, value: Intervals) -> np.ndarray:
        """Upper bounds of f(x, y) + Γ(y) − λy² − value, shape [points, pieces]."""
        t = keep * x[:, None]
        m = one / (one + t)
        a, b = m + k - most, s - _one(2) * t * m
        return quadratic_ceilings(a, b, t * t * m + u - value[:, None], low, finite, last)

    outside = [i for i in range(number) if i not in (g.inside, g.inside + 1)]
    gaps = -above(nodes[outside], values[outside]).max(1)
    d = _one(g.nodes[g.inside + 1])
    rest = one - keep * d - keep * keep / curved  # 1/C
    ceiling = most - one / rest
    holds = bool(rest.low[0] > 0 and curved.high[0] <= ceiling.low[0])
    zero = Intervals(np.zeros(number), np.zeros(number))
    first = quadratic_ceilings(zero - ceiling, s, u, low, finite, last) <= 0
    at_d = Intervals(np.array([-d.high[0], d.low[0]]), np.array([-d.low[0], d.high[0]]))
    second = (above(at_d, Intervals(np.zeros(2), np.zeros(2))) <= 0).all(0)
    holds = holds and bool((first | second | inner).all())
    return gaps, holds, (len(outside) + 3) * number


def _one(number: Exact | Surd) -> Intervals:
    return Intervals.around([number])


def _joined(first: Intervals, second: Intervals) -> Intervals:
    return Intervals(np.append(first.low, second.low), np.append(first.high, second.high))
