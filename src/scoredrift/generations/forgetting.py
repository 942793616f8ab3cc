"""Laws of forgetting: what fresh data leave of a divergence, and what a steady trickle of errors adds up to.

Numbers only; the terms that they take are those of module ``accumulation``. With fresh fraction α each
generation multiplies the inherited deviation by 1 − α, and so its share in D by (1 − α)². New errors of
forcing B add to the amplitude √D if they repeat the deviation (coherence c = 1), to D if they have nothing
to do with it (c = 0):

    √D' = (1 − α) √D + √B,        D' = (1 − α)² D + B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scoredrift import _checks


def refreshed(divergence: float, alpha: float) -> float:
    """Divergence χ²(q‖p) = (1 − α)² χ²(p̂‖p) of the training mixture q = α p + (1 − α) p̂.

    Args:
        divergence: χ²(p̂‖p) ≥ 0, possibly ∞.
        alpha: fresh fraction α in (0, 1].

    Returns:
        χ²(q‖p), without unit; ∞ if χ²(p̂‖p) is and α < 1.

    Raises:
        ValueError: α outside (0, 1], a negative divergence or NaN.

    Source: arXiv 2602.16601, Lemma F.1.

    >>> refreshed(2.0, alpha=0.5)
    0.5
    """
    alpha = _fraction(alpha)
    return 0.0 if alpha == 1 else (1 - alpha) ** 2 * _size("divergence", divergence)


def discounted(start: float, forcings: Sequence[float], *, alpha: float, coherence: float) -> list[float]:
    """Divergences D_1, …, D_N that forcings add up to when all errors have the same coherence c.

        D' = (1 − α)² D + B + 2 (1 − α) c √(D B)

    With c = 1 this is the amplitude theorem, √D_N = (1 − α)^N √D_0 + Σ_i (1 − α)^{N−1−i} √B_i, which no
    errors exceed. With c = 0 it is D_N = (1 − α)^{2N} D_0 + Σ_i (1 − α)^{2(N−1−i)} B_i. The right side
    increases with D and c, so that errors whose coherence is at most c stay below, at least c above.

    Args:
        start: D_0 ≥ 0.
        forcings: B_0, …, B_{N−1} ≥ 0.
        alpha: fresh fraction α in (0, 1].
        coherence: c in [0, 1].

    Returns:
        One number for each generation; ∞ from where a forcing is, or the start.

    Raises:
        ValueError: α outside (0, 1], c outside [0, 1], negative numbers or NaN.

    Source: ours, by the triangle inequality in L²(p); c = 0 is the discount of arXiv 2602.16601, Theorem 4.2.

    >>> discounted(0.0, [1.0, 1.0, 1.0], alpha=0.5, coherence=1.0)
    [1.0, 2.25, 3.0625]
    >>> discounted(0.0, [1.0, 1.0, 1.0], alpha=0.5, coherence=0.0)
    [1.0, 1.25, 1.3125]
    """
    alpha = _fraction(alpha)
    coherence = _checks.number("coherence", coherence, low=0.0, high=1.0)
    _checks.listed("forcings", forcings)
    inherited = math.sqrt(_size("start", start))
    found = []
    for forcing in forcings:
        new = math.sqrt(_size("forcings", forcing))
        inherited = 0.0 if alpha == 1 else (1 - alpha) * inherited
        mixed = 2 * coherence * inherited * new if coherence and inherited and new else 0.0
        found.append(inherited * inherited + new * new + mixed)
        inherited = math.sqrt(found[-1])
    return found


def steady_state(forcing: float, *, alpha: float, coherence: float) -> float:
    """Divergence D at which a constant forcing B with constant coherence c keeps it.

        √D = √B [(1 − α) c + √((1 − α)² c² + α (2 − α))] / (α (2 − α)),

    the fixed point of D = (1 − α)² D + B + 2 (1 − α) c √(D B): B/α² for c = 1 and B/(α (2 − α)) for c = 0.
    The fresh fraction that keeps it at a given D ≥ B is, for c ≥ 0,

        α = 1 + c r − √(1 − (1 − c²) r²),    r = √(B/D),

    if forcing and coherence stay what they are when α changes. A coherence from samples can come out beyond
    ±1: clip it.

    Args:
        forcing: B ≥ 0.
        alpha: fresh fraction α in (0, 1].
        coherence: c in [−1, 1].

    Returns:
        D, without unit; ∞ where it exceeds the range of numbers.

    Raises:
        ValueError: numbers outside these ranges.

    Source: ours.

    >>> [round(steady_state(1.0, alpha=0.1, coherence=c), 2) for c in (0.0, 0.5, 1.0)]
    [5.26, 32.1, 100.0]
    >>> c, r = 0.5, math.sqrt(0.04 / 0.2)
    >>> round(steady_state(0.04, alpha=1 + c * r - math.sqrt(1 - (1 - c**2) * r**2), coherence=c), 6)
    0.2
    """
    alpha = _fraction(alpha)
    forcing = _checks.number("forcing", forcing, low=0.0)
    coherence = _checks.number("coherence", coherence, low=-1.0, high=1.0)
    keep, rest = (1 - alpha) * coherence, alpha * (2 - alpha)
    root = math.sqrt(keep**2 + rest)
    if forcing == 0:
        return 0.0
    # The two forms are equal; each adds where the other subtracts.
    amplitude = math.sqrt(forcing) * ((keep + root) / rest if keep > 0 else 1 / (root - keep))
    return amplitude * amplitude


def half_life(alpha: float) -> float:
    """Generations after which half of a deviation's amplitude is forgotten, ln 2/(−ln(1 − α)).

    Its share in D halves in half that time. For small α it is 0.69/α.

    Args:
        alpha: fresh fraction α in (0, 1].

    Returns:
        Generations; 0 for α = 1.

    Raises:
        ValueError: α outside (0, 1].

    >>> half_life(0.5), round(half_life(0.1), 2)
    (1.0, 6.58)
    """
    alpha = _fraction(alpha)
    return 0.0 if alpha == 1 else math.log(2) / -math.log1p(-alpha)


class Accumulated(NamedTuple):
    """What errors add up to in a generation that is trained on all that came before.

    Args:
        bias: ‖E δ_i‖ over ‖b‖, if every training makes the same error b.
        noise: E ‖δ_i‖² over ν, if errors have mean zero given the past and the mean square ν.

    >>> Accumulated(1.5, 1.25).noise
    1.25
    """

    bias: float
    noise: float


def accumulated(generation: int, *, alpha: float = 0.0) -> Accumulated:
    """Sums of errors when every generation is trained on all batches so far, the last ones included.

    The first batch is of the data, each later one of α p + (1 − α) p̂. With the deviation g of all batches so
    far, k of them,

        g_k = (1 − α/k) g_{k−1} + ((1 − α) b + noise)/k,      δ = g + b,

    so that without fresh data a bias adds up to b (1 + ½ + … + 1/(i + 1)), without a limit, and noise to
    ν (1 + ¼ + … + 1/(i + 1)²) < ν π²/6. With fresh data the bias tends to b/α, as without accumulation,
    but like i^{−α}, and noise to zero, like i^{−1}, or i^{−2α} for α < ½.

    Args:
        generation: i ≥ 0; generation 0 is trained on the first batch.
        alpha: fresh share α in [0, 1] of all batches but the first.

    Returns:
        Accumulated. Noise is that of points which are kept; where each generation draws anew what it is trained
        on, it is the same for α = 0, and never falls below ν.

    Raises:
        ValueError: a negative generation, or α outside [0, 1].

    Source: ours; π²/6 is that of arXiv 2404.01413 for linear regression.

    >>> accumulated(2)  # 1 + 1/2 + 1/3, 1 + 1/4 + 1/9
    Accumulated(bias=1.8333333333333333, noise=1.3611111111111112)
    >>> round(accumulated(10_000).noise, 4), round(accumulated(10_000, alpha=0.5).bias, 2)
    (1.6448, 1.99)
    """
    generation = _checks.count("generation", generation, least=0)
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0)
    mean, noise = 0.0, 1.0
    for k in range(2, generation + 2):
        mean += (1 - alpha * (1 + mean)) / k
        noise = (1 - alpha / k) ** 2 * noise + 1 / k**2
    return Accumulated(1 + mean, noise)


def divergence_floor(innovation: float, *, alpha: float) -> float:
    """Divergence that cannot be undercut for ever: limsup D ≥ α I/(2 − α)² if I_i ≥ I from some i on.

    No floor above I/λ(α) can hold, where λ(α) is slightly above (2 − α)/α: two rare cells that a model
    empties by turns come as close to that as they are rare (chapter “Errors that persist”). For a
    given α ``certify_floor`` proves that floor, I/``sharp_floor_constant(alpha)``.

    Args:
        innovation: I ≥ 0, a lower bound on the innovations.
        alpha: fresh fraction α in (0, 1].

    Returns:
        The floor, without unit.

    Raises:
        ValueError: numbers outside these ranges.

    Source: ours; from √B_i ≤ √D_{i+1} + (1 − α) √D_i and B_i ≥ α I_i.

    >>> divergence_floor(1.0, alpha=1.0), round(divergence_floor(1.0, alpha=0.5), 3)
    (1.0, 0.222)
    """
    alpha = _fraction(alpha)
    return alpha * _checks.number("innovation", innovation, low=0.0) / (2 - alpha) ** 2


def paper_floor(eta: float, energy: float, *, alpha: float) -> float:
    """The paper's floor, limsup D ≥ α η ε_0²/(16 (1 + (1 − α)²)) for energies ε*² ≥ ε_0² from some i on.

    Args:
        eta: lower bound η on the observability, in [0, 1].
        energy: ε_0² ≥ 0.
        alpha: fresh fraction α in (0, 1].

    Returns:
        The floor, without unit.

    Raises:
        ValueError: numbers outside these ranges.

    Source: arXiv 2602.16601, Proposition 4.1 (ii), known to us second-hand.

    >>> round(paper_floor(1.0, 8.0, alpha=0.5), 3)  # with I = η ε_0²/8 ours is 0.222
    0.2
    """
    alpha = _fraction(alpha)
    eta = _checks.number("eta", eta, low=0.0, high=1.0)
    energy = _checks.number("energy", energy, low=0.0)
    return alpha * eta * energy / (16 * (1 + (1 - alpha) ** 2))


def _fraction(alpha: float) -> float:
    return _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)


def _size(name: str, value: float) -> float:
    """A divergence or forcing: ≥ 0, possibly ∞."""
    return math.inf if value == math.inf else _checks.number(name, value, low=0.0)
