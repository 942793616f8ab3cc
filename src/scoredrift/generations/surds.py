"""Exact numbers a + b √r with rational a, b and a rational r > 0: a field, whose signs are decided by squares.

    sign(a + b √r) = sign a, if a and b do not differ in sign, else sign a · sign(a² − b² r).

No step rounds, so that ``<=`` between two such numbers is a theorem.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from scoredrift import _checks

Exact = int | Fraction


@dataclass(frozen=True, eq=False, slots=True)
class Surd:
    """The number a + b √r. Numbers that meet must have the same r.

    Args:
        a: rational part.
        b: factor of the root.
        r: what the root is taken of, r > 0.

    Raises:
        ValueError: two numbers with different r meet.

    >>> golden = Surd(Fraction(1, 2), Fraction(1, 2), Fraction(5))
    >>> golden * golden - golden <= 1, golden * golden - golden < 1
    (True, False)
    """

    a: Exact
    b: Exact
    r: Fraction

    def _same(self, other: Surd) -> None:
        if self.r is not other.r and self.r != other.r:
            _checks.refuse("r", other.r, f"numbers of one field have the same r, here {self.r}")

    def __add__(self, other: Exact | Surd) -> Surd:
        if isinstance(other, Surd):
            self._same(other)
            return Surd(self.a + other.a, self.b + other.b, self.r)
        return Surd(self.a + other, self.b, self.r)

    def __mul__(self, other: Exact | Surd) -> Surd:
        if isinstance(other, Surd):
            self._same(other)
            rational = self.a * other.a + self.b * other.b * self.r
            return Surd(rational, self.a * other.b + self.b * other.a, self.r)
        return Surd(self.a * other, self.b * other, self.r)

    def __neg__(self) -> Surd:
        return Surd(-self.a, -self.b, self.r)

    def __sub__(self, other: Exact | Surd) -> Surd:
        return self + (-other)

    def __rsub__(self, other: Exact) -> Surd:
        return -self + other

    def __truediv__(self, other: Exact) -> Surd:
        return self * (1 / Fraction(other))

    __radd__ = __add__
    __rmul__ = __mul__
    __hash__ = None  # type: ignore[assignment]

    def above(self, bits: int = 64) -> Fraction:
        """A rational number that is not smaller, and larger by at most 2^−bits |b|."""
        scaled = math.isqrt(self.r.numerator * self.r.denominator * 4**bits)
        root = Fraction(scaled + (self.b > 0), self.r.denominator * 2**bits)
        return self.a + self.b * root

    def sign(self) -> int:
        """−1, 0 or 1, exactly."""
        first, second = _sign(self.a), _sign(self.b)
        if first * second >= 0:
            return first or second
        return first * _sign(self.a * self.a - self.b * self.b * self.r)

    def __eq__(self, other: object) -> bool:
        return (self - other).sign() == 0 if isinstance(other, Surd | int | Fraction) else NotImplemented

    def __lt__(self, other: Exact | Surd) -> bool:
        return (self - other).sign() < 0

    def __le__(self, other: Exact | Surd) -> bool:
        return (self - other).sign() <= 0

    def __gt__(self, other: Exact | Surd) -> bool:
        return (self - other).sign() > 0

    def __ge__(self, other: Exact | Surd) -> bool:
        return (self - other).sign() >= 0

    def __float__(self) -> float:
        return float(self.a) + float(self.b) * math.sqrt(self.r)


def room_below_zero(
    a: Exact | Surd, b: Exact | Surd, c: Exact | Surd, low: Fraction, high: Fraction | None
) -> float | None:
    """How far ay² + by + c stays below 0 for low ≤ y ≤ high, rounded; None if it does not stay there.

    The quadratic is ≤ 0 if it is at both ends and, where it has its maximum between them, a < 0 and
    2a low + b > 0 > 2a high + b, also b² ≤ 4ac. With an end at ∞ only a < 0 is let pass.

    Args:
        a: coefficient of y², exact.
        b: coefficient of y, exact.
        c: constant, exact.
        low: left end.
        high: right end; None for ∞.

    Returns:
        Minus the largest value, or None. Which of the two is decided without rounding.

    >>> room_below_zero(-1, 2, -2, Fraction(0), None), room_below_zero(-1, 3, -2, Fraction(0), Fraction(2))
    (1.0, None)
    """
    if high is None and a >= 0:
        return None
    values = [(a * y + b) * y + c for y in (low, high) if y is not None]
    if any(value > 0 for value in values):
        return None
    room = min(0.0 - float(value) for value in values)
    if a < 0 and 2 * a * low + b > 0 and (high is None or 2 * a * high + b < 0):
        above = b * b - 4 * (a * c)
        if above > 0:
            return None
        room = min(room, 0.0 + float(above) / (4 * float(a)))
    return room


def _sign(value: Exact) -> int:
    return (value > 0) - (value < 0)
