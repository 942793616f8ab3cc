"""Gradient part and rotational part of a score error, by least squares over potentials.

In L²(q_t) every field splits into two orthogonal parts,

    e = ∇φ + r,        ∇·(q_t r) = 0,        𝒜_t e = 𝒜_t ∇φ,

and the law that is generated answers to the first alone. For any trial functions and trial rotations

    E‖∇φ‖² ≥ E[2 ∇ψ·e − ‖∇ψ‖²],        E‖r‖² ≥ E[2 ρ·e − ‖ρ‖²]   where ∇·(q_t ρ) = 0,

(both say E‖e − ∇ψ‖² ≥ E‖r‖², once with the parts exchanged), so that two fits enclose the shares of
ε*². The rotations are made of the same functions, one for each pair of axes i < k:

    ρ = (1/q_t) ∇·(q_t ψ J) = J ∇ψ + ψ J s*,        J = E_ik − E_ki,

for which q_t ρ is the divergence of an antisymmetric matrix and has none itself. The best coefficients
solve E[F_j·F_k] c = E[F_j·e]. For gradients the right side is −E[ψ_j 𝒜_t e] by parts (Stein): the potential
knows the error through 𝒜_t e only.

Coefficients come from one set of points and the two means from another. On the points of the fit they
would be too large, by about J/n of the rest; on fresh ones they are bounds, whatever the coefficients. So
these may be shrunk by a ridge, which is chosen by fitting each half of the first set and trying the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.observability.bases import Basis
from scoredrift.observability.futures import batches
from scoredrift.observability.levels import EnergyByLevel
from scoredrift.process import OrnsteinUhlenbeck, log_uniform_times, random_times
from scoredrift.scores import ErrorField, Flow, flow_of

# Ridges to choose from, in units of the mean eigenvalue; the last leaves nothing.
_RIDGES = (*(10.0**k for k in range(-10, 3)), 1e12)


@dataclass(frozen=True, eq=False)
class Potential:
    """A potential φ = Σ c_j ψ_j.

    Args:
        basis: ψ_j and their gradients.
        coefficients: c, shape ``[J]``.

    Raises:
        ValueError: coefficients that are not finite numbers in a row; on a call, points that do not fit the
            basis, or a basis with another number of functions.

    >>> from scoredrift.observability import Polynomials
    >>> square = Polynomials(2)(torch.tensor([[-1.0], [1.0]]))
    >>> Potential(square, torch.tensor([0.0, 0.0, 0.5])).gradient(torch.tensor([[3.0]]))
    tensor([[3.]])
    """

    basis: Basis
    coefficients: Tensor

    def __post_init__(self) -> None:
        if not callable(self.basis):
            _checks.refuse("basis", repr(self.basis), "pass what Polynomials(2)(x) or the like returns")
        _checks.floating("coefficients", self.coefficients)
        if self.coefficients.ndim != 1:
            _checks.refuse("coefficients.shape", list(self.coefficients.shape), "pass one for each ψ, [J]")

    def __call__(self, x: Tensor) -> Tensor:
        """Value φ at points ``[n, d]``, shape ``[n]``."""
        value, _ = _functions(self.basis, x, len(self.coefficients))
        return value @ self.coefficients.to(x.dtype)

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient ∇φ at points ``[n, d]``, shape ``[n, d]``.

        Raises:
            ValueError: as on a call.
        """
        _, gradient = _functions(self.basis, x, len(self.coefficients))
        return torch.einsum("njd,j->nd", gradient, self.coefficients.to(x.dtype))


def _functions(basis: Basis, x: Tensor, count: int | None = None) -> tuple[Tensor, Tensor]:
    """ψ and ∇ψ at points, if they fit each other."""
    _checks.points("x", x)
    made = basis(x)
    if not (isinstance(made, tuple) and len(made) == 2):
        _checks.refuse("basis(x)", type(made).__name__, "return ψ [n, J] and ∇ψ [n, J, d]")
    value, gradient = made
    n, d = x.shape
    fits = value.ndim == 2 and len(value) == n and gradient.shape == (*value.shape, d)
    if not fits or value.shape[1] != (value.shape[1] if count is None else count):
        wanted = f"ψ [{n}, {'J' if count is None else count}] and ∇ψ of [.., {d}]"
        _checks.refuse("basis(x)", f"{list(value.shape)} and {list(gradient.shape)}", f"return {wanted}")
    return value, gradient


@dataclass(frozen=True, eq=False)
class ErrorParts:
    """What two fits show of the gradient part and the rotational part of an error, by the level of noise.

    Args:
        energy: ε*².
        gradient: lower bounds of ∫ E‖∇φ‖² dt.
        rotational: lower bounds of ∫ E‖r‖² dt.
        least: lower bound of the share of the gradient part in ε*², of ``gradient``.
        most: upper bound of that share, one less the share of ``rotational``.
        potentials: the best φ of each level.

    >>> one = EnergyByLevel(torch.tensor([1.0, 2.0]), (Estimate(1.0),), Estimate(1.0))
    >>> print(ErrorParts(one, one, one, Estimate(0.25), Estimate(0.5), ()))
    gradient share between 0.25 and 0.5 (ε*² = 1)
    """

    energy: EnergyByLevel
    gradient: EnergyByLevel
    rotational: EnergyByLevel
    least: Estimate
    most: Estimate
    potentials: tuple[Potential, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"gradient share between {self.least} and {self.most} (ε*² = {self.energy.total})"


@_numerics.estimator
def split_by_potentials(
    error: ErrorField,
    basis: Callable[[Tensor], Basis],
    n: int,
    edges: Tensor,
    *,
    generator: torch.Generator,
    batch: int = 2048,
) -> ErrorParts:
    """Bounds from both sides for the gradient share of an error; formulas at the head of the module.

    The observability is at most this share. On the line every field is a gradient, and the share is one.

    Args:
        error: ``Flow(law, process).error(model)``, or an injected field; no divergence is needed.
        basis: makes the functions ψ from points of a level, such as
            ``Together((Polynomials(2), RadialFunctions(200)))``. The rotations are J d(d−1)/2 fields, so that
            they suit low dimension. The bounds close as the basis grows: it has to follow the error on its
            smallest scale.
        n: number of points in each level for the fit, and as many again to judge it; no fewer than there are
            fields to fit, and better ten times as many.
        edges: increasing times in [t0, T], shape ``[B + 1]``; φ is one function for all times of a
            level, so that errors that change in time need narrow ones.
        generator: source of randomness, on the device of the law.
        batch: largest number of points evaluated together; bounds the memory.

    Returns:
        ErrorParts.

    Raises:
        ValueError: n too small for the basis, edges that do not increase, a basis of wrong shape, an error
            against anything but a ``Flow``, of wrong shape, not finite, or zero.

    >>> from scoredrift.laws import GaussianMixture
    >>> from scoredrift.observability import Polynomials
    >>> from scoredrift.scores import LinearField
    >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    >>> turn_and_stretch = LinearField(torch.tensor([[1.0, 3.0], [-3.0, 1.0]]))
    >>> error = Flow(q, OrnsteinUhlenbeck()).inject(turn_and_stretch)
    >>> g, edges = torch.Generator().manual_seed(0), torch.tensor([0.02, 4.0])
    >>> found = split_by_potentials(error, Polynomials(2), 2000, edges, generator=g)
    >>> abs(found.least.sigmas_from(0.1)) < 5, abs(found.most.sigmas_from(0.1)) < 5
    (True, True)
    """
    flow = flow_of(error)
    n, batch = _checks.count("n", n, least=2), _checks.count("batch", batch)
    if not callable(basis) or isinstance(basis, type):
        _checks.refuse("basis", repr(basis), "pass a maker of bases, such as RadialFunctions(100)")
    spans = [OrnsteinUhlenbeck(*ends) for ends in pairwise(_checks.increasing("edges", edges).tolist())]
    draws, potentials = [], []
    for span in spans:
        made = basis(_points(flow, span, n, generator)[0])
        kinds = (_gradients, _rotations) if flow.dim > 1 else (_gradients,)
        fits = _fit(_sample(error, flow, span, made, n, generator, batch), kinds, n)
        draws.append(_judge(_sample(error, flow, span, made, n, generator, batch), kinds, fits))
        potentials.append(Potential(made, fits[0]))
    energy, gradient, rotational = torch.stack(draws, -1)
    whole = energy.sum(1)
    return ErrorParts(
        EnergyByLevel.from_draws(edges, energy),
        EnergyByLevel.from_draws(edges, gradient),
        EnergyByLevel.from_draws(edges, rotational),
        Estimate.ratio(gradient.sum(1), whole),
        1.0 - Estimate.ratio(rotational.sum(1), whole),
        tuple(potentials),
    )


# ψ, ∇ψ and s* at points  →  fields [n, J', d]
_Fields = Callable[[Tensor, Tensor, Tensor], Tensor]


class _Sample(NamedTuple):
    """Points of a level: weights of their times, errors, and what fields are made of."""

    weight: Tensor
    error: Tensor
    shapes: tuple[Tensor, Tensor, Tensor]


def _gradients(value: Tensor, gradient: Tensor, score: Tensor) -> Tensor:
    return gradient


def _rotations(value: Tensor, gradient: Tensor, score: Tensor) -> Tensor:
    """J ∇ψ + ψ J s* for all pairs of axes, ``[n, J d(d−1)/2, d]``."""
    along = gradient + value[..., None] * score[:, None, :]  # q ρ = J ∇(q ψ)
    fields = []
    for i, k in combinations(range(score.shape[1]), 2):
        turned = torch.zeros_like(along)
        turned[..., i], turned[..., k] = along[..., k], -along[..., i]
        fields.append(turned)
    return torch.cat(fields, 1)


def _fit(sample: Iterator[_Sample], kinds: Sequence[_Fields], n: int) -> list[Tensor]:
    """Coefficients for each kind of fields."""
    sums: list[list[Tensor]] = [[] for _ in kinds]
    for weight, e, shapes in sample:
        root = weight.sqrt()[:, None]
        for total, kind in zip(sums, kinds, strict=True):
            fields = kind(*shapes).double()
            if fields.shape[1] > n:
                _checks.refuse("n", n, f"there are {fields.shape[1]} fields to fit: take more points")
            rows = (root[..., None] * fields).movedim(1, 2)  # [n, d, J']
            beside = torch.cat([rows, (root * e)[..., None]], 2)
            total.append(torch.stack([_moments(rows[half::2], beside[half::2]) for half in (0, 1)]) / n)
    return [_solved(torch.stack(total).sum(0)) for total in sums]


def _moments(rows: Tensor, beside: Tensor) -> Tensor:
    """Sums of F_j·F_k, and of F_j·e in a last column, ``[J', J' + 1]``."""
    return rows.flatten(0, 1).T @ beside.flatten(0, 1)


def _solved(halves: Tensor) -> Tensor:
    """Ridge regression, with the ridge that does best on one half for what was fitted to the other."""
    size = halves.sum(0)[:, :-1].diagonal().sqrt()
    size = torch.where(size > 0, size, 1.0)
    matrices, rights = halves[..., :-1] / size / size[:, None], halves[..., -1] / size
    tried = _ridges(matrices, rights)
    gains = 2 * torch.einsum("hrj,hj->r", tried, rights.flip(0))
    gains -= torch.einsum("hrj,hjk,hrk->r", tried, matrices.flip(0), tried)
    best = int(gains.argmax())
    return _ridges(matrices.sum(0, keepdim=True), rights.sum(0, keepdim=True))[0, best] / size


def _ridges(matrices: Tensor, rights: Tensor) -> Tensor:
    """Solutions (G + λ tr(G)/J')⁻¹ b of B systems for all ridges λ, ``[B, ridges, J']``."""
    values, axes = torch.linalg.eigh(matrices)
    middle = values.mean(1)[:, None, None]
    ridges = torch.tensor(_RIDGES, dtype=values.dtype, device=values.device)[None, :, None]
    along = torch.einsum("bkj,bk->bj", axes, rights)[:, None]
    spread = values.clamp(min=0)[:, None] + ridges * middle
    return torch.einsum("bjk,brk->brj", axes, along / spread.clamp(min=torch.finfo(values.dtype).tiny))


def _judge(sample: Iterator[_Sample], kinds: Sequence[_Fields], fits: Sequence[Tensor]) -> Tensor:
    """‖e‖² and 2 F·e − ‖F‖² for both kinds on fresh points, ``[3, n]``; on the line nothing turns."""
    found = []
    for weight, e, shapes in sample:
        rows = [e.square().sum(1), torch.zeros_like(weight), torch.zeros_like(weight)]
        for place, (kind, c) in enumerate(zip(kinds, fits, strict=True), start=1):
            best = torch.einsum("njd,j->nd", kind(*shapes).double(), c)
            rows[place] = (best * (2 * e - best)).sum(1)
        found.append(weight * torch.stack(rows))
    return torch.cat(found, 1)


def _points(
    flow: Flow, span: OrnsteinUhlenbeck, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Points of a level at random times, with times and weights."""
    t, weight = random_times(log_uniform_times, span, n, generator=generator)
    t = t.to(flow.law.dtype)
    return flow.sample(n, t, generator=generator), t, weight


def _sample(
    error: ErrorField,
    flow: Flow,
    span: OrnsteinUhlenbeck,
    basis: Basis,
    n: int,
    generator: torch.Generator,
    batch: int,
) -> Iterator[_Sample]:
    """Fresh points of a level, no more than ``batch`` together."""
    for size in batches(n, 1, batch):
        x, t, weight = _points(flow, span, size, generator)
        e = _checks.floating("error(x, t)", _numerics.evaluate(error, x, t, "error(x, t)"))
        value, gradient = _functions(basis, x)
        yield _Sample(weight, e.double(), (value, gradient, flow(x, t)))
