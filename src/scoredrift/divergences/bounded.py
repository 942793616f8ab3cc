"""Divergences that are always finite, for laws whose χ² is not.

Where P has a heavier tail than Q, χ²(P‖Q) can be infinite although the two laws agree wherever anybody
looks. Three ways out, all with draws that are bounded:

* total variation, with the midpoint M = ½ P + ½ Q and g = log(p/q),

      TV(P, Q) = ½ ∫ |p − q| dx = E_M|tanh(g/2)| ≤ 1;

* against the midpoint,

      χ²(P‖M) = E_M[tanh²(g/2)] = ½ ∫ (p − q)²/(p + q) dx ≤ 1;

  ¼ χ²(P‖Q) to leading order where the laws are close, 1 where they are disjoint;

* on the good set {p/q ≤ Λ},

      χ²_Λ = E_Q[(p/q − 1)² 1{p/q ≤ Λ}] ≤ max(1, (Λ − 1)²),

  together with the mass P{p/q > Λ} that it leaves out.

A spread is seen only where draws fall: where the laws differ on rare events alone, it can be zero by chance. But
all n draws miss a set of mass μ with probability e^{−nμ} at most, and what it adds to the mean of draws in
[0, b] is bμ at most. So what is missed exceeds 10 b/n with probability e^{−10} < 0.0001 at most, and

    stderr² = s²/n + (2 b/n)²

has it within five standard errors, and within two with probability 1 − e^{−4}. Beside an ordinary spread this is
little, the share 2 b²/(n s²) of the error. Between laws that are close everywhere it is not: no draw can tell
them from laws that differ in a corner, too.

Source: twice the second is the triangular discrimination (Topsøe, IEEE Trans. Inf. Theory 46(4), 1602–1609,
2000, doi 10.1109/18.850703); good sets stand behind assumption A5 of arXiv 2602.16601, known to us in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from scoredrift import _checks
from scoredrift.divergences.densities import Density, log_density_at
from scoredrift.estimates import Estimate, as_estimate
from scoredrift.laws import GaussianMixture


class Finiteness(NamedTuple):
    """Whether a divergence is finite, and which components decide.

    Args:
        finite: whether it is.
        reason: in words.

    >>> Finiteness(False, "the widest component of P is too wide").finite
    False
    """

    finite: bool
    reason: str


def chi2_finite(p: GaussianMixture, q: GaussianMixture) -> Finiteness:
    """Whether χ²(P‖Q) is finite, for mixtures of isotropic Gaussians: the widest components decide.

    ∫ p²/q is a sum over pairs of components of P, and a pair of variances σ̂_j², σ̂_k² meets in every
    direction a tail of Q of variance σ², its largest: it is finite if 1/σ̂_j² + 1/σ̂_k² > 1/σ². The widest component with
    itself is the first to fail, so that

        χ²(P‖Q) < ∞  if σ̂² < 2σ²,      = ∞  if σ̂² > 2σ²,      σ̂², σ² the largest variances of P and Q,

    whatever the weights. At σ̂² = 2σ² the exponentials that are left decide: it is finite exactly if the mean of
    every widest component of P is inside the convex hull of the means of the widest components of Q.

    Args:
        p, q: mixtures in one dimension d, of one dtype and device.

    Returns:
        Finiteness, with the reason.

    Raises:
        ValueError: laws of another kind, or mixtures that do not fit each other. A kernel density of few
            centres is ``GaussianMixture(torch.full((N,), 1 / N), centres, torch.full((N,), h**2))``.

    Source: ours.

    >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1))
    >>> chi2_finite(q.blur(0.9), q).finite
    True
    >>> print(chi2_finite(q.blur(0.9).blend(q.blur(1.1), 0.999), q).reason)
    the widest component of P has variance 2.21, more than twice that of Q, 1
    """
    for name, law in (("p", p), ("q", q)):
        if not isinstance(law, GaussianMixture):
            _checks.refuse(name, type(law).__name__, "pass a GaussianMixture, of isotropic components")
    _checks.points("q.means", q.means, p.dim, like=p.means)
    p, q = p.without_empty(), q.without_empty()
    of_p, of_q = float(p.variances.max()), float(q.variances.max())
    gap = of_p - 2 * of_q
    if abs(gap) > 16 * torch.finfo(p.dtype).eps * of_p:
        relation = "more" if gap > 0 else "less"
        reason = (
            f"the widest component of P has variance {of_p:.4g}, {relation} than twice that of Q, {of_q:.4g}"
        )
        return Finiteness(gap < 0, reason)
    corners = q.means[q.variances == q.variances.max()].double().cpu()
    for mean in p.means[p.variances == p.variances.max()].double().cpu():
        # Outside, or on the border, if some direction u ≠ 0 has u·(corner − mean) ≤ 0 for all corners.
        sides = (corners - mean).numpy()
        for axis in range(p.dim):
            for sign in (1.0, -1.0):
                target = np.zeros(p.dim)
                target[axis] = sign
                if -linprog(-target, sides, np.zeros(len(sides)), bounds=(-1, 1)).fun > 1e-9:
                    reason = "its mean is not inside the hull of the means of the widest components of Q"
                    return Finiteness(
                        False, f"a component of P has twice the variance of Q, {of_q:.4g}, and {reason}"
                    )
    reason = "their means are inside the hull of the means of the widest components of Q"
    return Finiteness(True, f"components of P have twice the variance of Q, {of_q:.4g}, but {reason}")


def midpoint_chi2(p: Density, q: Density, n: int, *, generator: torch.Generator) -> Estimate:
    """Divergence χ²(P‖M) = E_M[tanh²(½ log p/q)] against the midpoint M = ½ P + ½ Q, in [0, 1].

    Half of the draws come from each law, so the standard error is that of two strata. It is never below 1/n.

    Args:
        p, q: laws that can be sampled and whose densities are known.
        n: number of draws from each law ≥ 2.
        generator: source of randomness, on the device of the laws.

    Returns:
        Estimate, without unit. Symmetric in P and Q; its draws lie in [0, 1], so it has a variance whatever
        the tails. Laws that differ on rare events only look alike until some draws meet them; the part 1/n of
        the standard error is for these (head of the module). To see the difference, take n well above 20/TV, and above
        20/(1 − TV) for laws that hardly overlap.

    Raises:
        ValueError: n < 2, a generator on another device, or log-densities that are NaN or both −∞.

    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    >>> p, q = GaussianMixture(one, zero, 9 * one), GaussianMixture(one, zero, one)  # χ²(P‖Q) = ∞
    >>> print(midpoint_chi2(p, q, 20_000, generator=torch.Generator().manual_seed(0)))
    0.3087 ± 0.0014
    >>> rare = q.blend(GaussianMixture(one, zero + 10, one), 0.999)  # a thousandth elsewhere
    >>> print(midpoint_chi2(rare, q, 200, generator=torch.Generator().manual_seed(0)))
    0.0000 ± 0.0050
    """
    return _over_midpoint(p, q, n, generator, torch.square)


def total_variation(p: Density, q: Density, n: int, *, generator: torch.Generator) -> Estimate:
    """Total variation TV(P, Q) = ½ ∫ |p − q| = E_M|tanh(½ log p/q)| with the midpoint M = ½ P + ½ Q, in [0, 1].

    Half of the draws come from each law, so the standard error is that of two strata. It is never below 1/n.

    Args:
        p, q: laws that can be sampled and whose densities are known; a density may be zero.
        n: number of draws from each law ≥ 2.
        generator: source of randomness, on the device of the laws.

    Returns:
        Estimate; its draws lie in [0, 1], so it has a variance whatever the tails. Laws that differ on rare
        events only look alike until some draws meet them; the part 1/n of the standard error is for these.

    Raises:
        ValueError: n < 2, a generator on another device, or log-densities that are NaN or both −∞.

    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    >>> p, q = GaussianMixture(one, zero + 1, one), GaussianMixture(one, zero, one)
    >>> found = total_variation(p, q, 10_000, generator=torch.Generator().manual_seed(0))
    >>> abs(found.sigmas_from(math.erf(8**-0.5))) < 5  # 2 Φ(½) − 1
    True
    """
    return _over_midpoint(p, q, n, generator, torch.abs)


def _over_midpoint(
    p: Density, q: Density, n: int, generator: torch.Generator, of: Callable[[Tensor], Tensor]
) -> Estimate:
    """E_M f(tanh(½ log p/q)), half of the draws from each law."""
    n = _checks.count("n", n, least=2)
    _checks.generator_on(generator)
    for name, law in (("p", p), ("q", q)):
        _checks.able(name, law, "sample", "log_density")
    at_p, at_q = (torch.tanh(0.5 * _log_ratio(p, q, law.sample(n, generator=generator))) for law in (p, q))
    return _with_floor(0.5 * (Estimate.from_samples(of(at_p)) + Estimate.from_samples(of(at_q))), 1 / n)


def _with_floor(mean: Estimate, floor: float) -> Estimate:
    """With what rare events may have added that no draw met: floor = 2 b/n for n draws in [0, b]."""
    return Estimate(mean.value, math.hypot(mean.stderr, floor), mean.tail)


def pinsker(kl: float | Estimate) -> Estimate:
    """Bound on total variation by KL, in either direction: TV ≤ min(√(KL/2), √(1 − e^{−KL})).

    The first is Pinsker's inequality, the second that of Bretagnolle and Huber, which stays below one. A
    score error with an energy ε² (ε*² or ε̂²) has TV(p̂, q_{t0}) ≤ ``pinsker(0.5 * energy)`` if the sampler
    starts from q_T; if it starts from ν, TV(ν, q_T) comes on top.

    Args:
        kl: KL(P‖Q) or KL(Q‖P) ≥ 0 in nats, possibly ∞.

    Returns:
        Estimate in [0, 1], with the standard error of the input to first order.

    Raises:
        ValueError: a KL that is NaN, or more than five standard errors below zero.

    >>> pinsker(0.02).value, round(pinsker(3.0).value, 3), pinsker(math.inf).value
    (0.1, 0.975, 1.0)
    """
    nats = as_estimate(kl)
    half, left = (0.5 * nats).sqrt(), math.exp(-max(nats.value, 0.0))
    bound = math.sqrt(1 - left)
    if half.value <= bound or nats.value <= 1:  # the second form is smaller from 1.594 nats on
        return half
    return Estimate(bound, 0.5 * left / bound * nats.stderr if left else 0.0, nats.tail)


class GoodSet(NamedTuple):
    """A χ² on the set where the ratio is at most Λ, and what it leaves out.

    Args:
        chi2: E_Q[(p/q − 1)² 1{p/q ≤ Λ}].
        outside: P{p/q > Λ}, the mass of P that is not looked at.

    >>> GoodSet(Estimate(0.5), Estimate(0.01)).outside.value
    0.01
    """

    chi2: Estimate
    outside: Estimate


def good_set_chi2(p: Density, q: Density, n: int, *, cap: float, generator: torch.Generator) -> GoodSet:
    """χ² on the good set, E_Q[(p/q − 1)² 1{p/q ≤ Λ}], and the mass P{p/q > Λ} outside.

    With r = p/q and the midpoint M, the first is E_M[2 (r − 1)²/(1 + r) 1{r ≤ Λ}], and the draws are at most
    2 max(1, Λ): their variance exists whatever the tails, and with n ≥ Λ no single draw moves the mean by
    more than one. What no draw met has its part in both errors, 2 Λ/n and 2/n. Where χ² is finite it is the
    limit for Λ → ∞; where it is not, it grows with Λ for ever, and how it grows is worth reporting.

    Args:
        p, q: laws that can be sampled and whose densities are known.
        n: number of draws from each law ≥ 2.
        cap: Λ in (1, n].
        generator: source of randomness, on the device of the laws.

    Returns:
        GoodSet: two estimates without unit.

    Raises:
        ValueError: n < 2, Λ outside (1, n], a generator on another device, or log-densities that are NaN or both −∞.

    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    >>> p, q = GaussianMixture(one, zero, 9 * one), GaussianMixture(one, zero, one)  # χ²(P‖Q) = ∞
    >>> for cap in (10, 1000):
    ...     print(*good_set_chi2(p, q, 20_000, cap=cap, generator=torch.Generator().manual_seed(0)), sep=", ")
    0.7231 ± 0.0085, 0.3553 ± 0.0034
    32.01 ± 0.82, 0.1588 ± 0.0026
    """
    n = _checks.count("n", n, least=2)
    cap = _checks.number("cap", cap, low=1.0, high=float(n), open_low=True)
    _checks.generator_on(generator)
    for name, law in (("p", p), ("q", q)):
        _checks.able(name, law, "sample", "log_density")
    draws, log_cap = [], math.log(cap)
    from_p, from_q = (_log_ratio(p, q, law.sample(n, generator=generator)) for law in (p, q))
    for g in (from_p, from_q):
        ratio = g.clamp(max=log_cap).exp()
        draws.append(torch.where(g <= log_cap, 2 * (ratio - 1) ** 2 / (1 + ratio), 0.0))
    mean = 0.5 * (Estimate.from_samples(draws[0]) + Estimate.from_samples(draws[1]))
    outside = Estimate.from_samples((from_p > log_cap).double())
    return GoodSet(_with_floor(mean, 2 * cap / n), _with_floor(outside, 2 / n))


def _log_ratio(p: Density, q: Density, x: Tensor) -> Tensor:
    """log p/q at the points, ±∞ where one of the densities is zero; float64."""
    with torch.no_grad():
        logs = [log_density_at(name, law, x) for name, law in (("p", p), ("q", q))]
        for name, log in zip("pq", logs, strict=True):
            if bool((log == math.inf).any()):
                _checks.refuse(f"{name}.log_density", "∞", "return numbers, or −∞ for a density of zero")
        ratio = logs[0] - logs[1]
    bad = int(ratio.isnan().sum())
    if bad:
        _checks.refuse(
            "log p/q", f"NaN at {bad} of {len(ratio)} draws", "return numbers; one of the two may be −∞"
        )
    return ratio
