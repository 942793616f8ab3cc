"""The sharp floor, limsup D ≥ liminf I/λ(α): potentials, and their verification in exact arithmetic.

With β = 1 − α and deviations x, y ≥ −1 of two generations in a row, in one point, the innovation is

    f(x, y) = (y − βx)²/(1 + βx) = y'²/x' − 2y' + x',        y' = 1 + y,  x' = 1 + βx ≥ α.

The floor I/λ follows from a ψ with |ψ| ≤ C (1 + x²) and f(x, y) ≤ λx² + ψ(x) − ψ(y) (page “The best
floor, proved”). Put ψ = Γ − λx². Then the inequality says that for all x ≥ −1

    𝒯Γ(x) = sup_{y ≥ −1} [f(x, y) + Γ(y) − λy²] ≤ Γ(x).                                             (∗)

Take Γ(x) = γx² on [−x_0, x_0], affine between the nodes −1 < … < −x_0 < x_0 < … < x_1, of slope ≥ β
beyond x_1. **Theorem.** (∗) holds for all x if it holds at the nodes and if, with 1/C = 1 − βx_0 − β²/γ,

    γ ≤ λ − C, and on each piece outside [−x_0, x_0]  Γ(y) ≤ (λ − C) y²  or  f(±x_0, y) + Γ(y) ≤ λy².  (∗∗)

*Proof.* y'²/x' is convex in x', so f(·, y) is convex, and so is 𝒯Γ, a supremum of such functions. Where Γ
is affine, 𝒯Γ ≤ Γ at both ends of a piece suffices. Beyond x_1, ∂f/∂x = β (1 − y'²/x'²) ≤ β, so that 𝒯Γ
grows by no more than Γ. Let |x| ≤ x_0, so x' ≥ 1 − βx_0. For the first kind of y, and those in [−x_0, x_0],

    f(x, y) + Γ(y) − λy² ≤ (y − βx)²/x' − Cy² ≤ β²x²/(x' − 1/C) ≤ γx² = Γ(x).

For the second kind f(·, y) + Γ(y) − λy² is ≤ 0 at ±x_0, hence between them, where Γ ≥ 0.  ∎

On each piece (∗) and (∗∗) say that a quadratic in y is ≤ 0: its values at the ends are, and its maximum,
if it lies between. With rational α, nodes and values all this happens in the field of √(1 + (1 + 2/α)²),
which holds λ(α), and is decided there without rounding (``Surd``). So λ(α) itself can be certified. A λ that
is larger by a little can be certified a hundred times faster, in intervals (``enclosures``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from scoredrift import _checks
from scoredrift.generations.enclosures import _enclosed_gaps
from scoredrift.generations.floor_potentials import (
    FloorPotential,
    _best_refill,
    _exact_constant,
    _rational,
    _share_of,
    floor_potential,
)
from scoredrift.generations.surds import Exact, Surd, room_below_zero


@dataclass(frozen=True, eq=False)
class FloorCertificate:
    """What ``certify_floor`` has proved: limsup D ≥ liminf I/λ for every learner with fresh fraction α.

    Args:
        alpha: α, exact.
        excess: λ/λ(α) − 1, exact.
        constant: λ, exact.
        potential: the Γ of the proof.
        checks: how many quadratics on a piece were examined.
        margin: least Γ(x) − 𝒯Γ(x) over nodes but ±x_0, rounded, or a number below it where the proof is by
            intervals. It is 0 if λ = λ(α), and cannot be more.
        inner_margin: the same without the nodes −1 and x_1, near which the two cells move.

    >>> certify_floor("0.1").potential
    FloorPotential(80 nodes, x_0=0.1, x_1=0.9)
    """

    alpha: Fraction
    excess: Fraction
    constant: Surd
    potential: FloorPotential
    checks: int
    margin: float
    inner_margin: float

    def __repr__(self) -> str:
        numbers = f"alpha={float(self.alpha)}, excess={float(self.excess)}, λ={float(self.constant):.6f}"
        margins = f"margin={self.margin:.2g}, inner_margin={self.inner_margin:.2g}"
        return f"FloorCertificate({numbers}, checks={self.checks}, {margins})"


def certify_floor(
    alpha: float | str | Fraction,
    excess: float | str | Fraction = 0,
    potential: FloorPotential | None = None,
    *,
    exact: bool = True,
) -> FloorCertificate:
    """Prove limsup D ≥ liminf I/λ, λ = (1 + excess) λ(α), for this α, without rounding or in intervals.

    Args:
        alpha: fresh fraction α in (0, 1); a float stands for the decimal number that it prints.
        excess: λ/λ(α) − 1, likewise. There is no proof for a negative one.
        potential: Γ; ``floor_potential(alpha, excess)`` if None. It is not trusted.
        exact: compute without rounding, in a second; else in floating point, with all results rounded
            outwards, in ten milliseconds. That is as much of a proof, and needs an excess of 1e-6 or so.

    Returns:
        The certificate.

    Raises:
        ValueError: α outside (0, 1), or a potential that fails, with the node where.

    Source: ours; see the top of this module.

    >>> certify_floor(0.5)
    FloorCertificate(alpha=0.5, excess=0.0, λ=3.024755, checks=6321, margin=0, inner_margin=...)
    >>> certify_floor(0.5, "1e-5", exact=False)
    FloorCertificate(alpha=0.5, excess=1e-05, λ=3.024785, checks=6480, margin=2.3e-07, inner_margin=...)
    """
    share, over = _share_of(alpha), _rational("excess", excess)
    lam = _exact_constant(share) * (1 + over)
    potential = floor_potential(alpha, excess) if potential is None else potential
    proof = _Proof(potential, 1 - share, lam)
    gaps = proof.gaps() if exact else proof.enclosed()
    return FloorCertificate(share, over, lam, potential, proof.checks, min(gaps), min(gaps[1:-1]))


def uniform_excess(certificates: Sequence[FloorCertificate]) -> float:
    """ε such that limsup D ≥ liminf I/((1 + ε) λ(α)) for all α from the least certified one to 1.

    f is convex in β. Hence potentials of two α serve between them, in convex combination, and prove

        λ = θ λ_0 + (1 − θ) λ_1        at        β = θ β_0 + (1 − θ) β_1.

    At α = 1 the proof is ψ = −x², λ = 1. As λ(α) is convex in β, too, it is above its tangents.

    Args:
        certificates: of one or more α, in any order.

    Returns:
        ε, rounded upwards.

    Raises:
        ValueError: no certificate.

    Source: ours.

    >>> round(uniform_excess([certify_floor(alpha) for alpha in (0.7, 0.9)]), 3)
    0.051
    >>> fractions = [f"{0.02 * 50 ** (k / 50):.4f}" for k in range(50)]
    >>> round(uniform_excess([certify_floor(alpha, "1e-5", exact=False) for alpha in fractions]), 4)
    0.0058
    """
    if not certificates:
        _checks.refuse("certificates", "none", "pass at least one")
    ends = {each.alpha: each.constant.above() for each in certificates} | {Fraction(1): Fraction(1)}
    found = Fraction(0)
    for (alpha, lam), (other, lower) in pairwise(sorted(ends.items())):
        beta, end = 1 - alpha, 1 - other
        (start, rise), (stop, fall) = (_tangent(share) for share in (alpha, other))
        # The chord over the larger of two tangents is largest at an end or where they cross.
        cross = (stop - start + rise * beta - fall * end) / (rise - fall)
        chord = lower + (lam - lower) * (cross - end) / (beta - end)
        quotients = [lam / start, lower / stop, chord / (start + rise * (cross - beta))]
        found = max(found, *(quotient - 1 for quotient in quotients))
    return math.nextafter(float(found), math.inf)


def _tangent(alpha: Fraction) -> tuple[Fraction, Fraction]:
    """Value and slope in β of a line below λ(α): the quotient of the two cells with a rational y."""
    beta, y = 1 - alpha, Fraction(_best_refill(alpha))
    value = (y + beta) ** 2 / alpha + 1 + beta * y
    slope = 2 * (y + beta) / alpha + (y + beta) ** 2 / alpha**2 + y
    return value / (1 + y * y), slope / (1 + y * y)


@dataclass(frozen=True)
class _Piece:
    """Γ(y) = ky² + sy + u for low ≤ y ≤ high; None stands for ∞."""

    low: Fraction
    high: Fraction | None
    k: Exact
    s: Exact | Surd
    u: Exact | Surd

    def __str__(self) -> str:
        if self.high is None:
            return f"beyond {float(self.low):.6g}"
        return f"between {float(self.low):.6g} and {float(self.high):.6g}"


class _Proof:
    """The checks of the theorem, in the field of √(1 + (1 + 2/α)²)."""

    def __init__(self, potential: FloorPotential, beta: Fraction, lam: Surd) -> None:
        self.potential, self.beta, self.lam = potential, beta, lam
        self.checks = 0
        self.form()
        self.pieces = tuple(self.cut())

    def form(self) -> None:
        """Refuse what is not a Γ of the theorem."""
        g = self.potential
        exact = [g.curvature, g.slope, *g.nodes, *g.values]
        if not all(isinstance(v, int | Fraction | Surd) for v in exact):
            _checks.refuse("potential", g, "give curvature, slope, nodes and values as exact numbers")
        if len(g.nodes) != len(g.values) or not 1 <= g.inside < len(g.nodes) - 2:
            _checks.refuse(
                "potential", g, "give one value for each node, and nodes on both sides of [−x_0, x_0]"
            )
        for i, (low, high) in enumerate(pairwise(g.nodes)):
            if low >= high:
                _checks.refuse(f"nodes[{i + 1}]", high, "let the nodes increase")
        if g.nodes[0] != -1:
            _checks.refuse("nodes[0]", g.nodes[0], "let the nodes begin at −1")
        x0 = g.nodes[g.inside + 1]
        if g.nodes[g.inside] != -x0:
            _checks.refuse(f"nodes[{g.inside}]", g.nodes[g.inside], f"let it be −x_0 = {-x0}")
        for i in (g.inside, g.inside + 1):
            if g.values[i] != g.curvature * x0 * x0:
                _checks.refuse(f"values[{i}]", float(g.values[i]), "let Γ be γx² at ±x_0")
        if g.slope < self.beta:
            _checks.refuse("slope", g.slope, f"let it be at least β = {self.beta}, or 𝒯Γ outgrows Γ")

    def gaps(self) -> list[float]:
        """Show 𝒯Γ ≤ Γ without rounding; return Γ − 𝒯Γ at the nodes but ±x_0, rounded."""
        self.between()
        inside = (self.potential.inside, self.potential.inside + 1)
        return [self.at_node(i) for i in range(len(self.potential.nodes)) if i not in inside]

    def enclosed(self) -> list[float]:
        """The same in intervals; return lower bounds."""
        gaps, holds, self.checks = _enclosed_gaps(self.potential, self.beta, self.lam)
        remedy = "not proved in intervals; pass a larger excess, or exact=True to see where it fails"
        if not holds:
            _checks.refuse("curvature", f"{float(self.potential.curvature):.9g}", remedy)
        if not gaps.min() >= 0:
            _checks.refuse("potential", f"Γ − 𝒯Γ ≥ {gaps.min():.2g} at the nodes", remedy)
        return [float(gap) for gap in gaps]

    def cut(self) -> Iterator[_Piece]:
        """The pieces of Γ."""
        g = self.potential
        for i, (low, high) in enumerate(pairwise(g.nodes)):
            if i == g.inside:
                yield _Piece(low, high, g.curvature, 0, 0)
            else:
                s = (g.values[i + 1] - g.values[i]) / (high - low)
                yield _Piece(low, high, 0, s, g.values[i] - s * low)
        yield _Piece(g.nodes[-1], None, 0, g.slope, g.values[-1] - g.slope * g.nodes[-1])

    def at_node(self, i: int) -> float:
        """Show 𝒯Γ ≤ Γ at node i; return Γ − 𝒯Γ, rounded."""
        x, value = self.potential.nodes[i], self.potential.values[i]
        gaps = [self.below(x, value, piece) for piece in self.pieces]
        for gap, piece in zip(gaps, self.pieces, strict=True):
            if gap is None:
                told = f"too low, f(x, y) + Γ(y) − λy² is above it for a y {piece}"
                _checks.refuse(f"Γ({float(x):.6g})", f"{float(value):.9g} (node {i})", told)
        return min(gap for gap in gaps if gap is not None)

    def between(self) -> None:
        """Show 𝒯Γ ≤ Γ on [−x_0, x_0], by (∗∗)."""
        g, x0 = self.potential, self.potential.nodes[self.potential.inside + 1]
        rest = 1 - self.beta * x0 - self.beta**2 / g.curvature  # 1/C
        if rest <= 0 or g.curvature > self.lam - 1 / rest:
            told = "𝒯Γ exceeds γx² near 0: let γ ≤ λ − C with 1/C = 1 − βx_0 − β²/γ > 0"
            _checks.refuse("curvature", f"{float(g.curvature):.9g} (nodes {g.inside}, {g.inside + 1})", told)
        ceiling = self.lam - 1 / rest
        for i, piece in enumerate(self.pieces):
            if i == g.inside or self.room(-ceiling, piece.s, piece.u, piece) is not None:
                continue
            if self.below(-x0, 0, piece) is None or self.below(x0, 0, piece) is None:
                told = f"too high for Γ near 0: (λ − C) y² and λy² − f(±x_0, y) are below it for y {piece}"
                _checks.refuse(f"Γ({float(piece.low):.6g})", f"{float(g.values[i]):.9g} (node {i})", told)

    def below(self, x: Fraction, value: Exact | Surd, piece: _Piece) -> float | None:
        """Show f(x, y) + Γ(y) − λy² ≤ value for the y of a piece."""
        t = self.beta * x
        m = 1 / (1 + t)
        constant = t * t * m + piece.u - value
        return self.room(m + piece.k - self.lam, piece.s - 2 * t * m, constant, piece)

    def room(self, a: Surd, b: Exact | Surd, c: Exact | Surd, piece: _Piece) -> float | None:
        """Show ay² + by + c ≤ 0 for the y of a piece; None if it is not."""
        self.checks += 1
        return room_below_zero(a, b, c, piece.low, piece.high)
