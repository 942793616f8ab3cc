"""Arrays of intervals, rounded outwards: what is computed with them encloses what is meant.

    [a, b] ∘ [c, d] ⊆ [↓min(a∘c, a∘d, b∘c, b∘d), ↑max(a∘c, …)]

Floating-point operations round to the nearest number, so that the exact result lies between the neighbours
of the one that was found: ``nextafter`` downwards and upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from scoredrift.generations.surds import Exact, Surd


@dataclass(frozen=True, eq=False, slots=True)
class Intervals:
    """Closed intervals [low, high], one for each entry of an array, with +, −, · and / rounded outwards.

    Args:
        low: lower ends.
        high: upper ends, of the same shape.

    >>> third = Intervals.around([Fraction(1, 3)])
    >>> one = third + third + third
    >>> bool(one.low[0] < 1 < one.high[0]), bool(one.high[0] - one.low[0] < 1e-14)
    (True, True)
    """

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def around(cls, numbers: Iterable[Exact | Surd]) -> Intervals:
        """Narrow intervals that hold exact numbers.

        Args:
            numbers: any exact numbers.

        Returns:
            One interval for each.

        >>> held = Intervals.around([Surd(0, 1, Fraction(2))])
        >>> bool(held.low[0] ** 2 < 2 < held.high[0] ** 2)
        True
        """
        ends = [(-_above(-number), _above(number)) for number in numbers]
        low, high = (np.array([float(end) for end in side]) for side in zip(*ends, strict=True))
        return _outward(low, high)

    def __getitem__(self, where: Any) -> Intervals:
        return Intervals(self.low[where], self.high[where])

    def __neg__(self) -> Intervals:
        return Intervals(-self.high, -self.low)

    def __add__(self, other: Intervals) -> Intervals:
        return _outward(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Intervals) -> Intervals:
        return self + -other

    def __mul__(self, other: Intervals) -> Intervals:
        return self._ends(np.multiply, other)

    def __truediv__(self, other: Intervals) -> Intervals:
        """Of intervals that do not hold 0; where one does, the quotient is anything."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = self._ends(np.divide, other)
        through = ~((other.low > 0) | (other.high < 0))
        return Intervals(np.where(through, -np.inf, found.low), np.where(through, np.inf, found.high))

    def _ends(self, operation: Callable[..., np.ndarray], other: Intervals) -> Intervals:
        found = [operation(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        return _outward(np.minimum.reduce(found), np.maximum.reduce(found))


def _outward(low: np.ndarray, high: np.ndarray) -> Intervals:
    return Intervals(np.nextafter(low, -np.inf), np.nextafter(high, np.inf))


def _above(number: Exact | Surd) -> Fraction:
    """The number, or one that is larger by next to nothing."""
    return number.above() if isinstance(number, Surd) else Fraction(number)
