"""Bases for potentials: functions ψ_j of points, with their gradients.

A basis is made for the points that it will be used on, so that it has their place and width:

    make(x) → basis,        basis(x) → ψ(x) [n, J], ∇ψ(x) [n, J, d].

Any two such functions will do in place of those below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from scoredrift import _checks

Basis = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Polynomials:
    """All monomials up to a degree, in standardised coordinates z = (x − m)/s.

        ψ_k(x) = Π_i z_i^{k_i},        k_1 + … + k_d ≤ degree.

    Args:
        degree: ≥ 1; two are enough for errors that are affine in x.

    Raises:
        ValueError: a degree that is no integer ≥ 1; on a call, fewer than two points; of the
            basis, points of another dimension or dtype.

    >>> value, gradient = Polynomials(2)(torch.tensor([[-1.0], [1.0]]))(torch.tensor([[2.0]]))
    >>> value, gradient[0, :, 0]  # 1, z, z², with m = 0 and s = 1
    (tensor([[1., 2., 4.]]), tensor([0., 1., 4.]))
    """

    degree: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "degree", _checks.count("degree", self.degree))

    def __call__(self, x: Tensor) -> Basis:
        """Basis for points like x, ``[n, d]``."""
        centre, width = _place(x)
        d = x.shape[1]
        powers = torch.zeros(1, d, dtype=torch.long, device=x.device)
        for degree in range(1, self.degree + 1):
            chosen = torch.tensor(list(combinations_with_replacement(range(d), degree)), device=x.device)
            powers = torch.cat([powers, torch.nn.functional.one_hot(chosen, d).sum(1)])

        def basis(y: Tensor) -> tuple[Tensor, Tensor]:
            _checks.points("x", y, d, like=centre)
            z = (y - centre) / width
            all_powers = torch.stack([z**k for k in range(self.degree + 1)])  # [degree + 1, n, d]
            each = torch.stack([all_powers[powers[:, i], :, i].T for i in range(d)], -1)  # [n, J, d]
            gradient = torch.empty_like(each)
            for i in range(d):
                lower = all_powers[(powers[:, i] - 1).clamp(min=0), :, i].T * powers[:, i]
                others = [each[..., k] for k in range(d) if k != i]
                gradient[..., i] = torch.stack([lower, *others]).prod(0) / width[i]
            return each.prod(-1), gradient

        return basis


@dataclass(frozen=True)
class RadialFunctions:
    """Gaussian bumps around points of the law, as wide as these lie apart.

        ψ_j(x) = exp(−‖x − c_j‖²/2h²),    c_j the first J points,    h = reach · their mean distance to the nearest.

    Args:
        count: J ≥ 2.
        reach: h in units of that distance > 0.

    Raises:
        ValueError: a count < 2, a reach that is not positive; on a call, fewer than J points, or all at one
            place; of the basis, points of another dimension or dtype.

    >>> value, gradient = RadialFunctions(2, reach=1.0)(torch.tensor([[0.0], [1.0]]))(torch.tensor([[0.0]]))
    >>> value, gradient[0, :, 0]  # 1 and e^{−1/2}, with slopes 0 and e^{−1/2}
    (tensor([[1.0000, 0.6065]]), tensor([0.0000, 0.6065]))
    """

    count: int
    reach: float = 4.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", _checks.count("count", self.count, least=2))
        object.__setattr__(self, "reach", _checks.width("reach", self.reach))

    def __call__(self, x: Tensor) -> Basis:
        """Basis for points like x, ``[n, d]``."""
        _place(x)
        if len(x) < self.count:
            _checks.refuse("count", self.count, f"there are {len(x)} points: take fewer, or more points")
        centres = x[: self.count].detach()
        apart = torch.cdist(centres, centres) + torch.diag(torch.full_like(centres[:, 0], torch.inf))
        h = self.reach * float(apart.amin(1).mean())
        if not h > 0:
            _checks.refuse("x", "points at one place", "pass points of a law that has a density")

        def basis(y: Tensor) -> tuple[Tensor, Tensor]:
            _checks.points("x", y, x.shape[1], like=centres)
            gap = (centres - y[:, None, :]) / h
            value = torch.exp(-0.5 * gap.square().sum(2))
            return value, value[..., None] * gap / h

        return basis


@dataclass(frozen=True)
class Together:
    """Several bases as one.

    Args:
        parts: makers of bases, such as ``Polynomials(3)``.

    Raises:
        ValueError: no parts, or something that is no function.

    >>> both = Together((Polynomials(1), Polynomials(2)))
    >>> both(torch.tensor([[-1.0], [1.0]]))(torch.tensor([[2.0]]))[0]
    tensor([[1., 2., 1., 2., 4.]])
    """

    parts: Sequence[Callable[[Tensor], Basis]] = field(repr=True)

    def __post_init__(self) -> None:
        _checks.listed("parts", self.parts)
        if not self.parts or not all(callable(part) for part in self.parts):
            _checks.refuse("parts", repr(self.parts), "pass makers of bases, such as Polynomials(3)")

    def __call__(self, x: Tensor) -> Basis:
        """Basis for points like x, ``[n, d]``."""
        made = [part(x) for part in self.parts]

        def basis(y: Tensor) -> tuple[Tensor, Tensor]:
            values, gradients = zip(*(one(y) for one in made), strict=True)
            return torch.cat(values, 1), torch.cat(gradients, 1)

        return basis


def _place(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and width of the points, ``[d]`` each."""
    _checks.points("x", x)
    if len(x) < 2 or not x.shape[1]:
        _checks.refuse("x.shape", list(x.shape), "pass two or more points, [n, d]")
    x = x.detach()
    width = x.std(0, correction=0)
    return x.mean(0), torch.where(width > 0, width, 1.0)
