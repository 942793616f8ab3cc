"""Divergences between laws.

    KL(P‖Q) = ∫ log(dP/dQ) dP.

KL is in nats.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate


class Density(Protocol):
    """A law that can be sampled and whose density is known.

    >>> from scoredrift.mixtures import mixture_of_five
    >>> law: Density = mixture_of_five()
    """

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points, shape ``[n, d]``."""

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density in nats at points ``[n, d]``; result ``[n]``."""


def kl(p: Density, q: Density, n: int, *, generator: torch.Generator) -> Estimate:
    """Kullback–Leibler divergence KL(P‖Q) = E_P[log p − log q] by plain Monte Carlo.

    Args:
        p, q: laws with densities; P is sampled.
        n: number of draws ≥ 2.
        generator: source of randomness, on the device of ``p``.

    Returns:
        Estimate in nats.

    Raises:
        ValueError: n < 2, a generator on another device, or log-densities that are not finite.

    >>> from scoredrift.mixtures import GaussianMixture
    >>> p = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1))
    >>> q = GaussianMixture(torch.ones(1), torch.ones(1, 1), torch.ones(1))
    >>> round(kl(p, q, 100_000, generator=torch.Generator().manual_seed(0)).value, 1)
    0.5
    """
    _checks.count("n", n, least=2)
    x = p.sample(n, generator=generator)
    return Estimate.from_samples(p.log_density(x) - q.log_density(x))


def kl_close(p: Density, q: Density, n: int, *, generator: torch.Generator) -> Estimate:
    """KL(P‖Q) = E_P[log(p/q) − 1 + q/p] by Monte Carlo, for laws that lie close together.

    The added term has mean zero, and the integrand is never negative and of second order in
    q/p − 1, so the relative error stays bounded as Q → P, where that of ``kl`` explodes.
    Finite variance needs E_P[(q/p)²] < ∞ and E_P[log²(p/q)] < ∞: Q must have neither much heavier
    nor very much lighter tails than P.

    Args:
        p, q: laws with densities, Q absolutely continuous with respect to P; P is sampled.
        n: number of draws ≥ 2.
        generator: source of randomness, on the device of ``p``.

    Returns:
        Estimate in nats.

    Raises:
        ValueError: n < 2, a generator on another device, or log-densities that are not finite.

    >>> from scoredrift.mixtures import GaussianMixture
    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    >>> p, q = GaussianMixture(one, zero, one), GaussianMixture(one, zero + 0.01, one)
    >>> estimate = kl_close(p, q, 10_000, generator=torch.Generator().manual_seed(0))
    >>> abs(estimate.value / 0.5e-4 - 1) < 0.1
    True
    """
    _checks.count("n", n, least=2)
    x = p.sample(n, generator=generator)
    gap = q.log_density(x) - p.log_density(x)
    return Estimate.from_samples(torch.expm1(gap) - gap)


def kl_on_nodes(p: Tensor, q: Tensor, nodes: Tensor) -> float:
    """KL(P‖Q) = Σ [p log(p/q) − p + q] h of two densities on nodes at distance h in one dimension.

    This is a rectangle sum; equal to the trapezoidal rule where the integrand vanishes at the ends.

    Args:
        p, q: densities, shape ``[m]``.
        nodes: equally spaced points that cover both laws, shape ``[m]``.

    Returns:
        KL in nats; every term is ≥ 0 (up to rounding).

    Raises:
        ValueError: nodes that are not increasing and equally spaced; densities that are negative, not
            finite, or do not fit the nodes in shape, dtype or device.

    >>> x = torch.linspace(-8, 9, 500, dtype=torch.float64)
    >>> p, q = (torch.exp(-(x - m) ** 2 / 2) / (2 * torch.pi) ** 0.5 for m in (0, 1))
    >>> round(kl_on_nodes(p, q, x), 9)
    0.5
    """
    spacing = _checks.spacing("nodes", nodes)
    for name, density in (("p", p), ("q", q)):
        _checks.density(name, density, nodes)
    terms = torch.special.xlogy(p, p) - torch.special.xlogy(p, q) - p + q
    return float(terms.sum()) * spacing
