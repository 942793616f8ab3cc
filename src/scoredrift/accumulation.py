"""Many generations: how the errors of each add up to the divergence from the data.

In L²(p), with ⟨f, g⟩ = E_p[f g], the deviation of generation i from the data and the error of the next are

    δ_i = p̂^i/p − 1,      ρ_i = p̂^{i+1}/q_i − 1,      q_i = α p + (1 − α) p̂^i,

and everything in this module follows from one line: q_i/p − 1 = (1 − α) δ_i, so that

    δ_{i+1} = (1 − α) δ_i + w_i,      w_i = (q_i/p) ρ_i,
    D_{i+1} = (1 − α)² D_i + B_i + 2 (1 − α) ⟨δ_i, w_i⟩,

with D_i = ‖δ_i‖² = χ²(p̂^i‖p) and the forcing B_i = ‖w_i‖² = E_{q_i}[(q_i/p) ρ_i²] ≥ α I_i, where
I_i = E_{q_i} ρ_i² = χ²(p̂^{i+1}‖q_i) is the innovation. Laws are probabilities of K cells; a density on
nodes is one after multiplication with the cell's volume.

Source: the recursion is ours; χ²(q_i‖p) = (1 − α)² D_i is Lemma F.1 of arXiv 2602.16601.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

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
    _alpha(alpha)
    return 0.0 if alpha == 1 else (1 - alpha) ** 2 * _size("divergence", divergence)


@dataclass(frozen=True)
class Step:
    """One generation's share in the divergence from the data: D' = (1 − α)² D + B + 2 (1 − α) ⟨δ, w⟩.

    Args:
        alpha: fresh fraction α.
        before: D = χ²(p̂‖p) of the generation before.
        after: D' = χ²(p̂'‖p) of the new one.
        forcing: B = E_q[(q/p) ρ²].
        cross: ⟨δ, w⟩.
        innovation: I = χ²(p̂'‖q).
        reason: why something is infinite; empty where nothing is.

    >>> Step(0.5, before=1.0, after=1.25, forcing=1.0, cross=0.0, innovation=0.8).coherence
    0.0
    """

    alpha: float
    before: float
    after: float
    forcing: float
    cross: float
    innovation: float
    reason: str = ""

    @property
    def coherence(self) -> float:
        """Cosine ⟨δ, w⟩/√(D B) in [−1, 1]; zero where D or B is, NaN where one is infinite.

        +1: the new error repeats the old deviation; 0: it has nothing to do with it.
        """
        if math.isinf(self.before) or math.isinf(self.forcing):
            return math.nan
        size = math.sqrt(self.before * self.forcing)
        return self.cross / size if size > 0 else 0.0


def decompose(data: Tensor, model: Tensor, next_model: Tensor, *, alpha: float) -> Step:
    """Exact recursion of one generation, from probabilities.

        D' = (1 − α)² D + B + 2 (1 − α) ⟨δ, w⟩,   w = p̂'/p − q/p

    Args:
        data: p, probabilities of the cells, shape ``[K]``, float64.
        model: p̂, of the generation before, shape ``[K]``.
        next_model: p̂', of the generation that was trained on q = α p + (1 − α) p̂, shape ``[K]``.
        alpha: fresh fraction α in (0, 1].

    Returns:
        Step. Where a model has mass in a cell without data, the divergences from the data are ∞ and the
        reason says in how many cells.

    Raises:
        ValueError: vectors that are not probabilities of the same cells, or α outside (0, 1].

    >>> p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> first, second = (torch.tensor([x, 1 - x], dtype=torch.float64) for x in (0.6, 0.65))
    >>> step = decompose(p, first, second, alpha=0.5)
    >>> round(step.before, 4), round(step.after, 4), round(step.coherence, 4)
    (0.04, 0.09, 1.0)
    """
    _alpha(alpha)
    _laws(data=data, model=model, next_model=next_model)
    trained_on = alpha * data + (1 - alpha) * model
    innovation = _chi2(next_model, trained_on)
    empty = int(((data == 0) & ((model > 0) | (next_model > 0))).sum())
    if empty:
        reason = f"a model has mass in {empty} cells where the data have none"
        before, after = _chi2(model, data), _chi2(next_model, data)
        outside = float(((data == 0) & (next_model != trained_on)).sum())
        forcing = math.inf if outside else _norm(next_model - trained_on, data)
        return Step(alpha, before, after, forcing, math.nan, innovation, reason)
    delta, w = _over(model - data, data), _over(next_model - trained_on, data)
    return Step(
        alpha,
        before=float(data @ delta**2),
        after=_chi2(next_model, data),
        forcing=float(data @ w**2),
        cross=float(data @ (delta * w)),
        innovation=innovation,
    )


class Contributions(NamedTuple):
    """What each generation's error contributed to D_N, exactly and by the two discount laws.

    Args:
        exact: (1 − α)^{N−1−i} ⟨w_i, δ_N⟩; these and ``start`` sum to D_N; negative where undone.
        energy: (1 − α)^{2(N−1−i)} B_i, which sum to D_N if all errors are incoherent.
        amplitude: (1 − α)^{N−1−i} √B_i, which sum to √D_N at most.
        start: (1 − α)^N ⟨δ_0, δ_N⟩.
        total: D_N.

    >>> one = torch.ones(2)
    >>> Contributions(one, one, one, start=0.5, total=2.5).total
    2.5
    """

    exact: Tensor
    energy: Tensor
    amplitude: Tensor
    start: float
    total: float


def contributions(data: Tensor, models: Sequence[Tensor], *, alpha: float) -> Contributions:
    """Share of each generation in the divergence of the last from the data.

        δ_N = (1 − α)^N δ_0 + Σ_i (1 − α)^{N−1−i} w_i,      D_N = ⟨δ_N, δ_N⟩

    Args:
        data: p, probabilities of the cells, shape ``[K]``, positive.
        models: p̂^0, …, p̂^N, N ≥ 1, each ``[K]``.
        alpha: fresh fraction α in (0, 1].

    Returns:
        Contributions, each of shape ``[N]``: of the errors made when p̂^1, …, p̂^N were trained.

    Raises:
        ValueError: fewer than two models, vectors that are not probabilities of the same cells, α outside
            (0, 1], or a cell without data: divergences from the data are infinite there.

    >>> p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> path = [torch.tensor([x, 1 - x], dtype=torch.float64) for x in (0.5, 0.6, 0.6)]
    >>> found = contributions(p, path, alpha=0.5)
    >>> [round(float(x), 3) for x in found.exact], round(found.total, 3)
    ([0.02, 0.02], 0.04)
    """
    _alpha(alpha)
    if len(models) < 2:
        _checks.refuse("models", f"{len(models)} of them", "pass p̂^0, …, p̂^N with N ≥ 1")
    _laws(data=data, **{f"models[{i}]": model for i, model in enumerate(models)})
    if bool((data == 0).any()):
        remedy = "divergences from the data are infinite if a model has mass there: leave empty cells out"
        _checks.refuse("data", f"zero in {int((data == 0).sum())} cells", remedy)
    deltas = [model / data - 1 for model in models]
    errors = torch.stack([after - (1 - alpha) * before for before, after in pairwise(deltas)])
    last = len(models) - 1
    discounts = (1 - alpha) ** torch.arange(last - 1, -1, -1, dtype=data.dtype, device=data.device)
    forcing = errors.square() @ data
    return Contributions(
        exact=discounts * ((errors * deltas[-1]) @ data),
        energy=discounts**2 * forcing,
        amplitude=discounts * forcing.sqrt(),
        start=(1 - alpha) ** last * float(data @ (deltas[0] * deltas[-1])),
        total=float(data @ deltas[-1] ** 2),
    )


def amplitude_bound(start: float, forcings: Sequence[float], *, alpha: float) -> list[float]:
    """Upper bounds on √D_1, …, √D_N: the amplitude theorem.

        √D_N ≤ (1 − α)^N √D_0 + Σ_i (1 − α)^{N−1−i} √B_i,

    attained where every error is coherent with the deviation so far.

    Args:
        start: D_0 ≥ 0.
        forcings: B_0, …, B_{N−1} ≥ 0.
        alpha: fresh fraction α in (0, 1].

    Returns:
        One bound for each generation.

    Raises:
        ValueError: α outside (0, 1], negative numbers or NaN.

    Source: ours; the triangle inequality in L²(p).

    >>> amplitude_bound(0.0, [1.0, 1.0, 1.0], alpha=0.5)
    [1.0, 1.5, 1.75]
    """
    _alpha(alpha)
    bound = math.sqrt(_size("start", start))
    found = []
    for forcing in forcings:
        root = math.sqrt(_size("forcings", forcing))
        bound = root if alpha == 1 else (1 - alpha) * bound + root
        found.append(bound)
    return found


def energy_discount(start: float, forcings: Sequence[float], *, alpha: float) -> list[float]:
    """Divergences D_1, …, D_N of errors that have nothing to do with the past.

        D_N = (1 − α)^{2N} D_0 + Σ_i (1 − α)^{2(N−1−i)} B_i

    Args:
        start: D_0 ≥ 0.
        forcings: B_0, …, B_{N−1} ≥ 0.
        alpha: fresh fraction α in (0, 1].

    Returns:
        One number for each generation: the divergence if all errors are incoherent, else neither a lower
        nor an upper bound.

    Raises:
        ValueError: α outside (0, 1], negative numbers or NaN.

    Source: after arXiv 2602.16601, Theorem 4.2, whose discount this is.

    >>> energy_discount(0.0, [1.0, 1.0, 1.0], alpha=0.5)
    [1.0, 1.25, 1.3125]
    """
    _alpha(alpha)
    divergence = _size("start", start)
    found = []
    for forcing in forcings:
        divergence = refreshed(divergence, alpha) + _size("forcings", forcing)
        found.append(divergence)
    return found


def steady_state(forcing: float, *, alpha: float, coherence: float) -> float:
    """Divergence D at which a constant forcing B with constant coherence c keeps it.

        √D = √B [(1 − α) c + √((1 − α)² c² + α (2 − α))] / (α (2 − α)),

    the fixed point of D = (1 − α)² D + B + 2 (1 − α) c √(D B): B/α² for c = 1 and B/(α (2 − α)) for c = 0.

    Args:
        forcing: B ≥ 0.
        alpha: fresh fraction α in (0, 1].
        coherence: c in [−1, 1].

    Returns:
        D, without unit.

    Raises:
        ValueError: numbers outside these ranges.

    Source: ours.

    >>> [round(steady_state(1.0, alpha=0.1, coherence=c), 2) for c in (0.0, 0.5, 1.0)]
    [5.26, 32.1, 100.0]
    """
    _alpha(alpha)
    _checks.number("forcing", forcing, low=0.0)
    _checks.number("coherence", coherence, low=-1.0, high=1.0)
    keep, rest = (1 - alpha) * coherence, alpha * (2 - alpha)
    return forcing * ((keep + math.sqrt(keep**2 + rest)) / rest) ** 2


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
    _alpha(alpha)
    return 0.0 if alpha == 1 else math.log(2) / -math.log1p(-alpha)


def floor(innovation: float, *, alpha: float) -> float:
    """Divergence that cannot be undercut for ever: limsup D ≥ α I/(2 − α)² if I_i ≥ I from some i on.

    Args:
        innovation: I ≥ 0, a lower bound on the innovations.
        alpha: fresh fraction α in (0, 1].

    Returns:
        The floor, without unit.

    Raises:
        ValueError: numbers outside these ranges.

    Source: ours; from √B_i ≤ √D_{i+1} + (1 − α) √D_i and B_i ≥ α I_i.

    >>> floor(1.0, alpha=1.0), round(floor(1.0, alpha=0.5), 3)
    (1.0, 0.222)
    """
    _alpha(alpha)
    return alpha * _checks.number("innovation", innovation, low=0.0) / (2 - alpha) ** 2


def floor_of_the_paper(eta: float, energy: float, *, alpha: float) -> float:
    """The paper's floor, limsup D ≥ α η f/(16 (1 + (1 − α)²)) for energies ε*² ≥ f from some i on.

    Args:
        eta: lower bound η on the observability, in [0, 1].
        energy: f ≥ 0.
        alpha: fresh fraction α in (0, 1].

    Returns:
        The floor, without unit.

    Raises:
        ValueError: numbers outside these ranges.

    Source: arXiv 2602.16601, Proposition 4.1 (ii), known to us second-hand.

    >>> round(floor_of_the_paper(1.0, 8.0, alpha=0.5), 3)  # with I = η f/8 ours is 0.222
    0.2
    """
    _alpha(alpha)
    _checks.number("eta", eta, low=0.0, high=1.0)
    _checks.number("energy", energy, low=0.0)
    return alpha * eta * energy / (16 * (1 + (1 - alpha) ** 2))


def _alpha(alpha: float) -> None:
    _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)


def _size(name: str, value: float) -> float:
    """A divergence or forcing: ≥ 0, possibly ∞."""
    return math.inf if value == math.inf else _checks.number(name, value, low=0.0)


def _laws(**laws: Tensor) -> None:
    """Probabilities of the same cells."""
    shape = next(iter(laws.values())).shape
    for name, law in laws.items():
        _checks.floating(name, law)
        if law.ndim != 1 or law.shape != shape:
            _checks.refuse(
                f"{name}.shape", list(law.shape), f"pass one probability for each cell, {list(shape)}"
            )
        if bool((law < 0).any()) or abs(float(law.sum()) - 1) > 1e-9:
            total = f"sum {float(law.sum()):.9g}, least {float(law.min()):.3g}"
            _checks.refuse(name, total, "pass probabilities ≥ 0 in float64 that sum to one")


def _over(value: Tensor, data: Tensor) -> Tensor:
    """Quotient by p, and zero in cells that nobody visits."""
    return torch.where(data > 0, value / data, torch.zeros_like(value))


def _chi2(law: Tensor, base: Tensor) -> float:
    """χ²(P‖Q) = Σ (P − Q)²/Q over the cells; ∞ if P has mass where Q has none."""
    if bool(((base == 0) & (law > 0)).any()):
        return math.inf
    return _norm(law - base, base)


def _norm(gap: Tensor, base: Tensor) -> float:
    return float((gap * _over(gap, base)).sum())
