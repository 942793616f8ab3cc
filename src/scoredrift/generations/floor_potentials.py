"""The constant λ(α) of the sharp floor, and candidates for the potential that proves it.

Two ever rarer cells that are emptied and refilled by turns, to the level 1 + y, have

    I/D = [(y + β)²/α + 1 + βy]/(1 + y²),        β = 1 − α,

and λ(α) is the largest value of this quotient. Module ``certificates`` proves limsup D ≥ liminf I/λ(α) by
functions Γ of the following form, which are found here in floating point and are not trusted there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from scoredrift import _checks
from scoredrift.generations.surds import Exact, Surd

_STEPS = 3000  # of value iteration; about a hundred do
_MARGIN = 1e-5  # of the inequality at x, over (λ − 1) x², that the search leaves
_OFFSET = Fraction(7, 20)  # Γ = β (x − 7/20) from x_1 on; for every α there is room on both sides
_LAST = Fraction(9, 10)  # X


def sharp_floor_constant(alpha: float | str | Fraction) -> float:
    """λ(α), the least λ for which limsup D ≥ liminf I/λ can hold for every learner.

        λ(α) = ½ [1 + (1 + β²)/α + β √(1 + (1 + 2/α)²)],        β = 1 − α.

    It is the largest value of [(y + β)²/α + 1 + βy]/(1 + y²), the I/D of two ever rarer cells that are
    emptied and refilled by turns, to the level 1 + y.

    Args:
        alpha: fresh fraction α in (0, 1].

    Returns:
        λ(α), without unit; between 1 and (2 − α)²/α.

    Raises:
        ValueError: α outside (0, 1].

    Source: ours, chapter “Errors that persist”.

    >>> sharp_floor_constant(1.0), round(sharp_floor_constant(0.5), 6)
    (1.0, 3.024755)
    """
    return float(_exact_constant(_share_of(alpha, one=True)))


@dataclass(frozen=True, eq=False)
class FloorPotential:
    """Γ = γx² between the two nodes ±x_0, affine between other nodes and beyond the last; ψ = Γ − λx².

    Args:
        curvature: γ > 0.
        nodes: −1 < … < −x_0 < x_0 < … < x_1, exact.
        values: Γ at the nodes, exact.
        slope: of Γ beyond x_1.
        inside: index of the node −x_0.

    >>> g = floor_potential(0.5)
    >>> [round(float(g(x)), 3) for x in (-1, 0, 1)]
    [1.85, 0.0, 0.325]
    """

    curvature: Fraction
    nodes: tuple[Fraction, ...]
    values: tuple[Exact | Surd, ...]
    slope: Fraction
    inside: int

    def __repr__(self) -> str:
        x0, x1 = float(self.nodes[self.inside + 1]), float(self.nodes[-1])
        return f"FloorPotential({len(self.nodes)} nodes, x_0={x0:.4g}, x_1={x1:.4g})"

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Γ(x), rounded."""
        x = np.asarray(x, dtype=float)
        nodes, values = ([float(each) for each in row] for row in (self.nodes, self.values))
        affine = np.interp(x, nodes, values) + float(self.slope) * np.maximum(x - nodes[-1], 0.0)
        return np.where(np.abs(x) <= nodes[self.inside + 1], float(self.curvature) * x * x, affine)


def floor_potential(
    alpha: float | str | Fraction, excess: float | str | Fraction = 0, *, nodes: int = 40
) -> FloorPotential:
    """A candidate Γ by value iteration in floating point, Γ ← max(Γ, 𝒯Γ + margin), rounded to dyadic values.

    Without an excess the two cells leave no choice at their y > 1: Γ(y) − Γ(−1) = 1 + βy − λ. That line is
    put in from x_1 = 9/10 on, and also Γ(−1) = λ − 1 − 7β/20, about the middle of what is possible, and
    γ = λβ/(1 + β), which allows the widest [−x_0, x_0]. The rest is the least Γ. An excess is shared by the two
    steps from one cell to the other.

    Args:
        alpha: fresh fraction α in (0, 1).
        excess: λ/λ(α) − 1.
        nodes: on each side of 0, at least 8; thirty or so do, more for α close to 1.

    Returns:
        Γ, good or not: ``certify_floor`` tells.

    Raises:
        ValueError: α outside (0, 1), fewer nodes.

    >>> floor_potential(0.5)
    FloorPotential(80 nodes, x_0=0.1, x_1=0.9)
    """
    share, over = _share_of(alpha), _rational("excess", excess)
    count, keep = _checks.count("nodes", nodes, least=8), 1 - share
    constant = _exact_constant(share) * (1 + over)
    lam, beta, half = float(constant), float(keep), over * _dyadic(float(constant), 20) / 2
    curvature = _dyadic(lam * beta / (1 + beta), 30)
    widest = (1 - (1 + beta) ** 2 / lam) / beta
    x0 = _dyadic(min(widest / 5, 0.1), 20)
    left = [_dyadic(x, 20) for x in np.geomspace(1, float(x0), count)]
    right = [_dyadic(x, 20) for x in np.geomspace(float(x0), float(_LAST), count)]
    xs = (*(-x for x in left), *right[:-1], _LAST)
    first, last = constant - 1 - keep * _OFFSET - half, keep * (_LAST - _OFFSET)
    x = np.array([float(node) for node in xs])
    value = beta**2 * x**2 / (1 + beta * x)
    fixed = [0, count - 1, count, -1]
    value[fixed] = float(first), *2 * [float(curvature * x0 * x0)], float(last)
    push = _MARGIN * (lam - 1) * x**2
    for _ in range(_STEPS):
        better = np.maximum(value, _best(x, value, float(curvature), beta, lam, count) + push)
        better[fixed] = value[fixed]
        if np.max(better - value) < 1e-13 * lam:
            break
        value = better
    found: list[Exact | Surd] = [_dyadic(float(each), 48) for each in value]
    found[0], found[-1] = first, last
    found[count - 1] = found[count] = curvature * x0 * x0
    return FloorPotential(curvature, xs, tuple(found), keep, count - 1)


def _best(
    x: np.ndarray, value: np.ndarray, curvature: float, beta: float, lam: float, count: int
) -> np.ndarray:
    """𝒯Γ at the nodes, in floating point."""
    low, high = x[:-1], x[1:]
    s = np.diff(value) / np.diff(x)
    u, k = value[:-1] - s * low, np.zeros_like(s)
    s[count - 1], u[count - 1], k[count - 1] = 0.0, 0.0, curvature
    s, u, k = np.append(s, beta), np.append(u, value[-1] - beta * x[-1]), np.append(k, 0.0)
    low, high = x, np.append(high, 1e6)
    m, t = 1 / (1 + beta * x[:, None]), beta * x[:, None]
    a, b, c = m + k - lam, s - 2 * t * m, t * t * m + u
    peak = np.clip(-b / np.where(a < 0, 2 * a, -1.0), low, high)
    return np.max([((a * y + b) * y + c).max(1) for y in (low, peak)], axis=0)


def _exact_constant(alpha: Fraction) -> Surd:
    """λ(α), exactly."""
    beta = 1 - alpha
    return Surd((1 + (1 + beta**2) / alpha) / 2, beta / 2, 1 + (1 + 2 / alpha) ** 2)


def _rational(name: str, value: float | str | Fraction) -> Fraction:
    """The number that a decimal string, or a float as it is printed, stands for."""
    try:
        return Fraction(value if isinstance(value, int | Fraction) else str(value))
    except ValueError:
        _checks.refuse(name, repr(value), "pass a finite number, a decimal string or a Fraction")


def _share_of(alpha: float | str | Fraction, *, one: bool = False) -> Fraction:
    """The fresh fraction, exactly, if it is in (0, 1), or in (0, 1] where ``one`` says so."""
    share = _rational("alpha", alpha)
    if not (0 < share < 1 or (one and share == 1)):
        _checks.refuse("alpha", alpha, f"pass a number in (0, 1{']' if one else ')'}")
    return share


def _best_refill(alpha: Fraction) -> float:
    """The y > 1 at which the quotient is λ(α), rounded; its limit for α → 1."""
    beta, lam = float(1 - alpha), float(_exact_constant(alpha))
    if beta == 0:
        return (1 + math.sqrt(10)) / 3
    return (lam - 1 - beta**2 / float(alpha)) / (beta / float(alpha) + beta / 2)


def _dyadic(value: float, bits: int) -> Fraction:
    """A multiple of 2^−bits nearby."""
    return Fraction(round(value * 2**bits), 2**bits)
