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

import torch
from torch import Tensor

from scoredrift import _checks


@dataclass(frozen=True)
class GenerationStep:
    """One generation's share in the divergence from the data: D' = (1 − α)² D + B + 2 (1 − α) ⟨δ, w⟩.

    Args:
        alpha: fresh fraction α.
        before: D = χ²(p̂‖p) of the generation before.
        after: D' = χ²(p̂'‖p) of the new one.
        forcing: B = E_q[(q/p) ρ²].
        cross: ⟨δ, w⟩.
        innovation: I = χ²(p̂'‖q); NaN where only scalar products are known.
        reason: why something is infinite; empty where nothing is.

    >>> GenerationStep(0.5, before=1.0, after=1.25, forcing=1.0, cross=0.0, innovation=0.8).coherence
    0.0
    """

    alpha: float
    before: float
    after: float
    forcing: float
    cross: float
    innovation: float = math.nan
    reason: str = ""

    @property
    def coherence(self) -> float:
        """Cosine ⟨δ, w⟩/√(D B) in [−1, 1]; zero where D or B is, NaN where one is infinite.

        +1: the new error repeats the old deviation; 0: it has nothing to do with it.
        """
        for name in ("before", "forcing", "cross"):
            if getattr(self, name) != math.inf and not (name == "cross" and self.cross != self.cross):
                _checks.number(name, getattr(self, name), low=-math.inf if name == "cross" else 0.0)
        if math.isinf(self.before) or math.isinf(self.forcing):
            return math.nan
        size = math.sqrt(self.before) * math.sqrt(self.forcing)
        return self.cross / size if size > 0 else 0.0


def decompose(data: Tensor, model: Tensor, next_model: Tensor, *, alpha: float) -> GenerationStep:
    """Exact recursion of one generation, from probabilities.

        D' = (1 − α)² D + B + 2 (1 − α) ⟨δ, w⟩,   w = p̂'/p − q/p

    Args:
        data: p, probabilities of the cells, shape ``[K]``, float64.
        model: p̂, of the generation before, shape ``[K]``.
        next_model: p̂', of the generation that was trained on q = α p + (1 − α) p̂, shape ``[K]``.
        alpha: fresh fraction α in (0, 1].

    Returns:
        GenerationStep. Where a model has mass in a cell without data, the divergences from the data are ∞ and the
        reason says in how many cells.

    Raises:
        ValueError: vectors that are not probabilities of the same cells, or α outside (0, 1].

    >>> p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> first, second = (torch.tensor([x, 1 - x], dtype=torch.float64) for x in (0.6, 0.65))
    >>> step = decompose(p, first, second, alpha=0.5)
    >>> round(step.before, 4), round(step.after, 4), round(step.coherence, 4)
    (0.04, 0.09, 1.0)
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    _laws(data=data, model=model, next_model=next_model)
    data, model, next_model = data.detach(), model.detach(), next_model.detach()
    trained_on = alpha * data + (1 - alpha) * model
    error = torch.where(next_model == trained_on, 0.0, _minus_mixture(next_model, data, model, alpha))
    innovation = math.inf if bool(((trained_on == 0) & (next_model > 0)).any()) else _norm(error, trained_on)
    empty = int(((data == 0) & ((model > 0) | (next_model > 0))).sum())
    if empty:
        reason = f"a model has mass in {empty} cells where the data have none"
        before, after = _chi2(model, data), _chi2(next_model, data)
        outside = bool(((data == 0) & (error != 0)).any())
        forcing = math.inf if outside else _norm(error, data)
        return GenerationStep(alpha, before, after, forcing, math.nan, innovation, reason)
    delta, w = _over(model - data, data), _over(error, data)
    return GenerationStep(
        alpha,
        before=float(data @ delta**2),
        after=_chi2(next_model, data),
        forcing=float(data @ w**2),
        cross=float(data @ (delta * w)),
        innovation=innovation,
    )


@dataclass(frozen=True, eq=False, repr=False)
class Contributions:
    """What each generation's error contributed to D_N, exactly and by the two discount laws.

    Args:
        exact: (1 − α)^{N−1−i} ⟨w_i, δ_N⟩; these and ``start`` sum to D_N; negative where undone.
        squares: (1 − α)^{2(N−1−i)} B_i, which sum to D_N if all errors are incoherent.
        amplitude: (1 − α)^{N−1−i} √B_i, which sum to √D_N at most.
        start: (1 − α)^N ⟨δ_0, δ_N⟩.
        total: D_N.

    >>> one = torch.ones(2)
    >>> Contributions(one, one, one, start=0.5, total=2.5)
    Contributions(N = 2, total = 2.5)
    """

    exact: Tensor
    squares: Tensor
    amplitude: Tensor
    start: float
    total: float

    def __repr__(self) -> str:
        return f"Contributions(N = {len(self.exact)}, total = {self.total:.4g})"


def gram(data: Tensor, models: Sequence[Tensor]) -> Tensor:
    """Inner products ⟨δ_i, δ_j⟩ = Σ (p̂^i − p)(p̂^j − p)/p of the deviations; D_i on the diagonal.

    Args:
        data: p, probabilities of the cells, shape ``[K]``, positive.
        models: p̂^0, …, p̂^N, each ``[K]``.

    Returns:
        Matrix, ``[N + 1, N + 1]``; for mixtures see ``divergences.mixture_gram``.

    Raises:
        ValueError: no models, vectors that are not probabilities of the same cells, or a cell without data:
            divergences from the data are infinite there.

    >>> p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> path = [torch.tensor([x, 1 - x], dtype=torch.float64) for x in (0.6, 0.3)]
    >>> gram(p, path)
    tensor([[ 0.0400, -0.0800],
            [-0.0800,  0.1600]], dtype=torch.float64)
    """
    if not isinstance(models, Tensor):
        _checks.listed("models", models)
    if len(models) == 0:
        _checks.refuse("models", "none", "pass at least one law")
    _laws(data=data, **{f"models[{i}]": model for i, model in enumerate(models)})
    if bool((data == 0).any()):
        remedy = "divergences from the data are infinite if a model has mass there: leave empty cells out"
        _checks.refuse("data", f"zero in {int((data == 0).sum())} cells", remedy)
    deltas = (torch.stack(list(models)) - data) / data
    return (deltas * data) @ deltas.T


def steps(products: Tensor, *, alpha: float) -> list[GenerationStep]:
    """Recursion of every generation from scalar products, with w_i = δ_{i+1} − (1 − α) δ_i.

    Args:
        products: ⟨δ_i, δ_j⟩, shape ``[N + 1, N + 1]`` with N ≥ 1, float64, from ``gram`` or any other
            scalar product of the deviations, in which D is the square of the length.
        alpha: fresh fraction α in (0, 1].

    Returns:
        One ``GenerationStep`` for each i = 0, …, N − 1, without its innovation. A forcing is a difference of the
        products, and no better than they are: what they leave open of D, it does, too.

    Raises:
        ValueError: a matrix of another shape, not finite or not symmetric, or α outside (0, 1].

    >>> p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> path = [torch.tensor([x, 1 - x], dtype=torch.float64) for x in (0.6, 0.65)]
    >>> [(round(s.forcing, 4), round(s.coherence, 4)) for s in steps(gram(p, path), alpha=0.5)]
    [(0.04, 1.0)]
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    _checks.floating("products", products)
    if products.ndim != 2 or len(products) < 2 or products.shape != products.T.shape:
        remedy = "pass the inner products of p̂^0, …, p̂^N with N ≥ 1, [N + 1, N + 1]"
        _checks.refuse("products.shape", list(products.shape), remedy)
    products = products.detach()
    gap = float((products - products.T).abs().max())
    if not gap <= 1e-9 * float(products.diagonal().abs().max()):
        _checks.refuse("products", f"not symmetric, by {gap:.3g}", "pass ⟨δ_i, δ_j⟩, finite and symmetric")
    found, keep = [], 1 - alpha
    squares, next_to = products.diagonal().tolist(), products.diagonal(1).tolist()
    for before, after, inner in zip(squares[:-1], squares[1:], next_to, strict=True):
        if alpha < 0.5:  # ⟨δ', δ' − δ⟩, ⟨δ, δ' − δ⟩ vanish exactly where nothing moves; w = (δ' − δ) + α δ
            ahead, back = after - inner, inner - before
            forcing = (ahead - back) + 2 * alpha * back + alpha * alpha * before
            cross = back + alpha * before
        else:
            forcing, cross = after - keep * (2 * inner - keep * before), inner - keep * before
        found.append(GenerationStep(alpha, before, after, max(forcing, 0.0), cross))
    return found


def contributions(products: Tensor, *, alpha: float) -> Contributions:
    """Share of each generation in the divergence of the last from the data.

        δ_N = (1 − α)^N δ_0 + Σ_i (1 − α)^{N−1−i} w_i,      D_N = ⟨δ_N, δ_N⟩

    Args:
        products: ⟨δ_i, δ_j⟩, shape ``[N + 1, N + 1]`` with N ≥ 1, float64, from ``gram`` or any other
            scalar product of the deviations, in which D is the square of the length.
        alpha: fresh fraction α in (0, 1].

    Returns:
        Contributions, each of shape ``[N]``: of the errors made when p̂^1, …, p̂^N were trained.

    Raises:
        ValueError: a matrix of another shape, not finite or not symmetric, or α outside (0, 1].

    >>> p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> path = [torch.tensor([x, 1 - x], dtype=torch.float64) for x in (0.5, 0.6, 0.6)]
    >>> found = contributions(gram(p, path), alpha=0.5)
    >>> [round(float(x), 3) for x in found.exact], round(found.total, 3)
    ([0.02, 0.02], 0.04)
    """
    forcings = [step.forcing for step in steps(products, alpha=alpha)]
    alpha, products = float(alpha), products.detach()
    forcing = products.new_tensor(forcings)
    keep, last = 1 - alpha, len(products) - 1
    discounts = keep ** torch.arange(last - 1, -1, -1, dtype=products.dtype, device=products.device)
    return Contributions(
        exact=discounts
        * _minus_mixture(products[1:, -1], torch.zeros_like(forcing), products[:-1, -1], alpha),
        squares=discounts**2 * forcing,
        amplitude=discounts * forcing.sqrt(),
        start=keep**last * float(products[0, -1]),
        total=float(products[-1, -1]),
    )


def _laws(**laws: Tensor) -> None:
    """Probabilities of the same cells."""
    first = next(iter(laws))
    shape = list(_checks.probabilities(first, laws[first]).shape)
    for name, law in laws.items():
        _checks.probabilities(name, law)
        _checks.points(name, law[None], like=laws[first])
        if list(law.shape) != shape:
            _checks.refuse(f"{name}.shape", list(law.shape), f"pass one probability for each cell, {shape}")


def _minus_mixture(value: Tensor, data: Tensor, model: Tensor, alpha: float) -> Tensor:
    """value − α data − (1 − α) model, with what is close to it subtracted first."""
    if alpha < 0.5:
        return (value - model) + alpha * (model - data)
    return (value - data) - (1 - alpha) * (model - data)


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
