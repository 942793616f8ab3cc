"""Divergences between laws.

    KL(P‖Q) = ∫ log(dP/dQ) dP,        χ²(P‖Q) = ∫ (dP/dQ − 1)² dQ.

KL is in nats; χ² has no unit. χ² is infinite as soon as P has much heavier tails than Q: between
Gaussians N(m, σ̂² I) and N(m', σ² I) it is finite exactly for σ̂² < 2σ², and then

    1 + χ² = (σ² / √(σ̂² (2σ² − σ̂²)))^d exp(‖m − m'‖² / (2σ² − σ̂²)).

An infinite divergence comes back as infinity or as an error with the reason, never as a large number
that looks like a result: Monte Carlo through the tail of its draws, sums on nodes through their border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import FEWEST, Estimate

# A sum whose terms at the border are larger than this share of the largest has been cut off.
_BORDER = 1e-3

# Of the mass of a density on nodes; what a coarse solver loses is less, what nodes cut off is more.
_MASS = 1e-3


class Density(Protocol):
    """A law that can be sampled and whose density is known.

    >>> from scoredrift.laws import mixture_of_five
    >>> law: Density = mixture_of_five()
    """

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points, shape ``[n, d]``."""

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density in nats at points ``[n, d]``; result ``[n]``."""


def kl(p: Density, q: Density, n: int, *, generator: torch.Generator) -> Estimate:
    """Kullback–Leibler divergence KL(P‖Q) = E_R[f(log p/q)] by Monte Carlo with R = ½ P + ½ Q.

        f(g) = g − 2 tanh(g/2) + g tanh(g/2) = [p log(p/q) − p + q]/r ≥ 0,

    where the added terms integrate to zero. Since f is of second order in g, the relative error stays
    bounded as Q → P, where that of the plain mean of log(p/q) explodes; and since f ≤ 2 + 2 |g|, the
    variance is finite wherever E_R[log²(p/q)] is, however heavy the tails of p/q and q/p.

    Args:
        p, q: laws with densities; both are sampled.
        n: number of draws ≥ 2.
        generator: source of randomness, on the device of the laws.

    Returns:
        Estimate in nats.

    Raises:
        ValueError: n < 2, a generator on another device, samples instead of laws (for those there is
            ``knn_kl``), or log-densities that are not finite.

    >>> from scoredrift.laws import GaussianMixture
    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    >>> p, q = GaussianMixture(one, zero, one), GaussianMixture(one, zero + 0.01, one)
    >>> estimate = kl(p, q, 10_000, generator=torch.Generator().manual_seed(0))
    >>> abs(estimate.value / 0.5e-4 - 1) < 0.1
    True
    """
    n = _checks.count("n", n, least=2)
    _checks.generator_on(generator)
    _laws(p, q)
    with torch.no_grad():
        x = _EvenBlend(p, q).sample(n, generator=generator)
        gap = log_density_at("p", p, x) - log_density_at("q", q, x)
    lean = torch.tanh(0.5 * gap)
    return Estimate.from_samples(gap - 2 * lean + gap * lean)


def _laws(p: Density, q: Density) -> None:
    for name, law in (("p", p), ("q", q)):
        if not (hasattr(law, "sample") and hasattr(law, "log_density")):
            remedy = "pass a law with sample and log_density; two samples are compared by knn_kl"
            _checks.refuse(name, type(law).__name__, remedy)


def log_density_at(name: str, law: Density, x: Tensor) -> Tensor:
    """Log-density of a law at the points, one number for each, in float64.

    Args:
        name: what an error calls the law.
        law: the law.
        x: points, shape ``[n, d]``.

    Returns:
        Log-densities in nats, shape ``[n]``.

    Raises:
        ValueError: a log-density of another shape.

    >>> from scoredrift.laws import mixture_of_five
    >>> log_density_at("p", mixture_of_five(), torch.zeros(3, 10, dtype=torch.float64)).shape
    torch.Size([3])
    """
    _checks.able(name, law, "log_density")
    return _checks.shape(f"{name}.log_density(x)", law.log_density(x), [len(x)]).double()


@dataclass(frozen=True)
class _EvenBlend:
    """Draws from the law ½ P + ½ Q."""

    p: Density
    q: Density

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """A coin for each point; the points of P come first, which no mean notices.

        No law is asked for no points, which happens where there are few coins.
        """
        for name, law in (("p", self.p), ("q", self.q)):
            _checks.able(name, law, "sample", "log_density")
        _checks.generator_on(generator, getattr(self.p, "device", None))
        heads = int((torch.rand(n, generator=generator, device=generator.device) < 0.5).sum())
        if heads in (0, n):
            return (self.p if heads else self.q).sample(n, generator=generator)
        from_p = self.p.sample(heads, generator=generator)
        from_q = self.q.sample(n - heads, generator=generator)
        _checks.points("q.sample(n)", from_q, from_p.shape[1], like=from_p)
        return torch.cat([from_p, from_q])


def chi2(
    p: Density, q: Density, n: int, *, generator: torch.Generator, proposal: Density | None = None
) -> Estimate:
    """Divergence χ²(P‖Q) = E_R[(p − q)² / (q r)] by Monte Carlo with draws from a proposal R.

    The variance is finite where ∫ (p²/q)²/r and ∫ q²/r are, and smallest for r ∝ (p − q)²/q. Between
    Gaussians of variance σ̂² and σ², the default R = ½ P + ½ Q needs σ̂² < 3σ²/2 while χ² itself is finite
    up to σ̂² < 2σ²: in between, p²/q is wider than both laws, and a wider proposal is what helps. For Gaussian
    mixtures take the means of P with the variance 1/(2/σ̂² − 1/σ²) of p²/q. No rule serves every pair of
    densities, so the choice is the caller's. The tail of the draws says where it failed, but a region
    that no draw visits cannot be seen.

    Args:
        p, q: laws with densities; sampled only where there is no proposal.
        n: number of draws ≥ 100.
        generator: source of randomness, on the device of the laws.
        proposal: law R that is sampled, positive wherever p or q is; None for the even blend of P and Q.

    Returns:
        Estimate with its tail, without unit. Where a draw exceeds the range of numbers, or has p > 0 and q = 0,
        the value is ∞.

    Raises:
        ValueError: n < 100, a generator on another device, samples instead of laws, laws of another dimension or dtype,
            log-densities that are NaN or +∞, or a proposal whose density is zero at its own draws.

    >>> from scoredrift.laws import GaussianMixture
    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    >>> p, q = GaussianMixture(one, zero, 1.7 * one), GaussianMixture(one, zero, one)
    >>> round(1 / (1.7 * 0.3) ** 0.5 - 1, 3)
    0.4
    >>> print(chi2(p, q, 4000, generator=torch.Generator().manual_seed(0)).trusted)
    False
    >>> wide = GaussianMixture(one, zero, one / (2 / 1.7 - 1))
    >>> print(chi2(p, q, 4000, generator=torch.Generator().manual_seed(0), proposal=wide))
    0.4011 ± 0.0074
    """
    n = _checks.count("n", n, least=FEWEST)
    _checks.generator_on(generator)
    if proposal is None:
        _laws(p, q)
    if proposal is not None:
        _checks.able("proposal", proposal, "sample", "log_density")
    with torch.no_grad():
        x = (_EvenBlend(p, q) if proposal is None else proposal).sample(n, generator=generator)
        log_p, log_q = log_density_at("p", p, x), log_density_at("q", q, x)
        even = torch.logaddexp(log_p, log_q) - math.log(2)
        log_r = even if proposal is None else log_density_at("proposal", proposal, x)
    largest = torch.finfo(torch.float64).max
    # p and q may be zero at a draw; the law that was drawn from may not.
    for name, values, low in (
        ("p", log_p, -math.inf),
        ("q", log_q, -math.inf),
        ("proposal", log_r, -largest),
    ):
        bad = n - int(((low <= values) & (values <= largest)).sum())
        if bad:
            wrong = f"no density at {bad} of {n} draws"
            _checks.refuse(
                f"{name}.log_density", wrong, "return numbers, or −∞ for a density of zero in p, q"
            )
    # (p − q)² = max(p, q)² (1 − e^{−|log p/q|})²: no cancellation where the laws are close, and nothing
    # overflows on the way where they are far apart.
    top = torch.maximum(log_p, log_q)
    shrink = torch.log(-torch.expm1(-(log_p - log_q).abs()))
    log_terms = 2 * (top + shrink) - log_q - log_r
    terms = torch.where(top == -math.inf, 0.0, log_terms.exp())
    if bool(torch.isinf(terms).any()):
        return Estimate(math.inf, math.inf, math.inf)
    return Estimate.from_samples(terms, check_tail=True)


def _grid_step(p: Tensor, q: Tensor, nodes: Tensor) -> float:
    """Volume h or h² of a cell, for two densities that fit the nodes and each other."""
    spacing = _checks.spacing("nodes", nodes)
    for name, density in (("p", p), ("q", q)):
        _checks.density(name, density, nodes, most_dims=2)
    if p.shape != q.shape:
        _checks.refuse("q.shape", list(q.shape), f"p has {list(p.shape)}; give both on one grid")
    cell = spacing**p.ndim
    for name, density in (("p", p), ("q", q)):
        mass = float(density.detach().double().sum()) * cell
        if not abs(mass - 1) < _MASS:
            remedy = "let the nodes cover both laws, close enough, or divide by the mass"
            _checks.refuse(name, f"mass {mass:.4g} on the nodes", remedy)
    return cell


def _integral(name: str, terms: Tensor, cell: float, divergence: str) -> float:
    """Sum of terms ≥ 0 that are finite and have fallen off at the border of the grid."""
    terms = terms.detach()
    lost = int(torch.isinf(terms).sum())
    if lost:
        remedy = f"q has underflowed there: let the nodes reach less far into the tails, or {divergence} is infinite"
        _checks.refuse("p/q", f"∞ at {lost} nodes", remedy)
    border = terms.clamp(min=0.0)
    largest = border.max()
    border[(slice(1, -1),) * terms.ndim] = 0.0
    if bool(border.max() > _BORDER * largest):
        share = f"{float(border.max() / largest):.2g} of the largest at the border"
        _checks.refuse(
            name, share, f"let the nodes reach farther into the tails, or {divergence} is infinite"
        )
    return float(terms.sum()) * cell


def kl_on_nodes(p: Tensor, q: Tensor, nodes: Tensor) -> float:
    """KL(P‖Q) = Σ [p log(p/q) − p + q] h^d of two densities on a grid with distance h, d = 1 or 2.

    This is a rectangle sum; equal to the trapezoidal rule where the integrand vanishes at the ends. If it
    has not fallen to a thousandth of its largest value at the border, the sum has been cut off.

    Args:
        p, q: densities, shape ``[m]``, or ``[m, m]`` on the product grid nodes × nodes.
        nodes: equally spaced points that cover both laws, shape ``[m]``.

    Returns:
        KL in nats; every term is ≥ 0 (up to rounding).

    Raises:
        ValueError: nodes that are not increasing and equally spaced; densities that are negative, not
            finite, or do not fit the nodes or each other in shape, dtype or device; densities that do not
            integrate to one on the nodes, to a thousandth; nodes with q = 0 and p > 0; a sum that is cut off
            at the border.

    >>> x = torch.linspace(-8, 9, 500, dtype=torch.float64)
    >>> p, q = (torch.exp(-(x - m) ** 2 / 2) / (2 * torch.pi) ** 0.5 for m in (0, 1))
    >>> round(kl_on_nodes(p, q, x), 9)
    0.5
    >>> round(kl_on_nodes(p[:, None] * p, q[:, None] * q, x), 9)
    1.0
    """
    cell = _grid_step(p, q, nodes)
    terms = torch.special.xlogy(p, p) - torch.special.xlogy(p, q) - p + q
    return _integral("p log(p/q) − p + q", terms, cell, "KL")


def chi2_on_nodes(p: Tensor, q: Tensor, nodes: Tensor) -> float:
    """Divergence χ²(P‖Q) = Σ (p − q)²/q h^d of two densities on a grid with distance h, d = 1 or 2.

    A rectangle sum, as ``kl_on_nodes``. Where P has the heavier tail, (p − q)²/q is wider than both laws,
    and the nodes must cover it. If it has not fallen to a thousandth of its largest value at the border,
    the sum has been cut off, or χ² is infinite; both are refused.

    Args:
        p, q: densities, shape ``[m]``, or ``[m, m]`` on the product grid nodes × nodes.
        nodes: equally spaced points that cover p²/q and q, shape ``[m]``.

    Returns:
        χ² ≥ 0, without unit.

    Raises:
        ValueError: nodes and densities as for ``kl_on_nodes``; nodes with q = 0 and p > 0; a sum that is
            cut off at the border.

    >>> x = torch.linspace(-9, 9, 500, dtype=torch.float64)
    >>> p, q = (torch.exp(-(x - m) ** 2 / 2) / (2 * torch.pi) ** 0.5 for m in (1, 0))
    >>> round(chi2_on_nodes(p, q, x), 9), round(torch.e - 1, 9)
    (1.718281828, 1.718281828)
    """
    cell = _grid_step(p, q, nodes)
    gap = p - q
    terms = torch.where(gap == 0, 0.0, gap * (gap / q))  # in this order no square can underflow
    return _integral("(p − q)²/q", terms, cell, "χ²")


def total_variation_on_nodes(p: Tensor, q: Tensor, nodes: Tensor) -> float:
    """TV(P, Q) = ½ Σ |p − q| h^d of two densities on a grid with distance h, d = 1 or 2.

    A rectangle sum, as ``kl_on_nodes``. No term can be infinite, and either density may vanish.

    Args:
        p, q: densities, shape ``[m]``, or ``[m, m]`` on the product grid nodes × nodes.
        nodes: equally spaced points that cover both laws, shape ``[m]``.

    Returns:
        TV in [0, 1]; with an error of second order in h, from the kinks where p and q cross.

    Raises:
        ValueError: nodes and densities as for ``kl_on_nodes``; a sum that is cut off at the border.

    >>> x = torch.linspace(-8, 9, 1701, dtype=torch.float64)
    >>> p, q = (torch.exp(-(x - m) ** 2 / 2) / (2 * torch.pi) ** 0.5 for m in (0, 1))
    >>> round(total_variation_on_nodes(p, q, x), 4), round(math.erf(8**-0.5), 4)  # 2 Φ(½) − 1
    (0.3829, 0.3829)
    """
    cell = _grid_step(p, q, nodes)
    return 0.5 * _integral("|p − q|", (p - q).abs(), cell, "TV")
