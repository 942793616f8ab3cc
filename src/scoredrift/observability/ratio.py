"""Density of what a model generates, relative to what it should, from forward futures of a point.

The laws of the ideal and of the learned reverse process, started alike, have at t0 the ratio

    R(x) = (dp̂/dq_{t0})(x) = E_{P*}[e^Z | Y_{t0} = x].

Write the law of the learned process at time t as R_t q_t. Its Fokker–Planck equation, with that of q_t
taken off, is −∂_t R = ½ ΔR − (½ x + e)·∇R − (𝒜_t e) R with R_T = 1: a backward equation, so that by
Feynman and Kac

    R(x) = E[exp(−∫_{t0}^{T} (𝒜_t e)(X_t) dt) | X_{t0} = x],      dX = −(½ X + e) dt + dW,

along a *forward* process that starts at the point. To first order in e this is 1 + u(x), the Stein form
of the response. Against e^Z along paths of P*, no path has to be steered to x, and the Itô integral has
gone into the drift. With R^{(1)}, R^{(2)} from two independent futures of the same x ~ q_{t0},

    χ²(p̂‖q_{t0}) = E[(R^{(1)} − 1)(R^{(2)} − 1)],

for an error in any dimension, with no density. Another start ν than q_T multiplies by (dν/dq_T)(X_T).

Source: ours; the conditional mean of e^Z is in the appendix of arXiv 2602.16601.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.divergences import Density
from scoredrift.estimates import FEWEST, Estimate
from scoredrift.observability.futures import batches
from scoredrift.paths import spanning
from scoredrift.scores import ErrorField, flow_of

# Bins of the control, each with the same share of the steps.
_BINS = 8


@_numerics.estimator
def marginal_ratio(
    error: ErrorField,
    x: Tensor,
    grid: Tensor,
    *,
    generator: torch.Generator,
    start: tuple[Density, Density] | None = None,
) -> Tensor:
    """Draws with mean R(x) = (dp̂/dq_{t0})(x), one for each point, by Feynman and Kac.

    Each step of the forward process is Platen's simplified method of weak order two for additive noise:

        X̃ = X + f Δ + ΔW,    X' = X + ½ [f + f̃] Δ + ΔW,    ω' = ω − ½ [𝒜e + (𝒜e)~] Δ,

    with f = −½ X − e, a tilde for values at X̃ and t', and R = e^ω.

    Args:
        error: e with its divergence and the exact score.
        x: points at t0, shape ``[n, d]``; repeat a point for more draws.
        grid: decreasing times from T to t0, shape ``[K + 1]``; each step costs two evaluations.
        generator: source of randomness, on the device of ``x``.
        start: laws ν and q_T that the learned and the ideal process start from; None if they start alike.

    Returns:
        One independent draw of R(x) for each point, ≥ 0, shape ``[n]``, float64; its bias is of second
        order in the steps.

    Raises:
        ValueError: x that is not a batch of points, a grid that does not run from T to t0, a generator
            on another device, a bad error, or a future that leaves the finite numbers.

    Source: Kloeden and Platen, Numerical Solution of Stochastic Differential Equations, section 15.1.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(1), torch.eye(1)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(0.3 * torch.ones(1)))
    >>> g, at = torch.Generator().manual_seed(0), torch.ones(20_000, 1)
    >>> ratio = marginal_ratio(push, at, ou.geometric_grid(30), generator=g)
    >>> abs(float(ratio.mean()) - 1.468) < 0.03  # exp(m − m²/2), for the push moves N(0, 1) to N(m, 1)
    True
    """
    return _futures(error, x, grid, generator, start)[0]


@_numerics.estimator
def chi2_by_futures(
    error: ErrorField,
    n: int,
    grid: Tensor,
    *,
    generator: torch.Generator,
    futures: int = 2,
    start: tuple[Density, Density] | None = None,
    batch: int = 65_536,
) -> Estimate:
    """Divergence χ²(p̂‖q_{t0}) = E[(R^{(1)} − 1)(R^{(2)} − 1)] from independent futures of x ~ q_{t0}.

    With m futures the products of all pairs are averaged, [(Σ_j r_j)² − Σ_j r_j²]/(m(m − 1)), where

        r_j = R^{(j)} − 1 − Σ_k β_k N_k^{(j)},      N_k = ∫ 1{t in bin k} e·dW.

    The controls N_k have mean zero given x and know much of what R^{(j)} owes to the future and not to x.
    The β_k come by least squares from the other half of the points, so they cost no bias. In ten
    dimensions they save a factor of two to three in points.

    Args:
        error: e with its divergence and the exact score.
        n: number of points ≥ 100; each costs 2 m K evaluations.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        generator: source of randomness, on the device of the law.
        futures: m ≥ 2.
        start: as for ``marginal_ratio``.
        batch: largest number of futures that are simulated together, but never fewer than those of one
            point; bounds the memory.

    Returns:
        Estimate with its tail, without unit; its bias is of second order in the steps. Its tail grows with the
        energy of the error, long before χ² is infinite. If the draws contradict E R = 1, by steps that
        are too coarse or a mass of R that none has seen, the tail is ∞ and a warning says so.

    Raises:
        ValueError: n < 100, futures < 2, and what ``marginal_ratio`` refuses.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(1), torch.eye(1)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(0.3 * torch.ones(1)))
    >>> grid, g = ou.geometric_grid(30), torch.Generator().manual_seed(0)
    >>> found = chi2_by_futures(push, 2000, grid, generator=g)
    >>> abs(found.sigmas_from(0.30775)) < 5  # exp(η ε*²) − 1 with η = 0.74904, ε*² = 0.3582
    True
    """
    _checks.count("n", n, least=FEWEST)
    _checks.count("futures", futures, least=2)
    _checks.count("batch", batch)
    flow = flow_of(error)
    _checks.generator_on(generator, flow.law.device)
    ratios, controls = [], []
    for count in batches(n, futures, batch):
        x = flow.sample(count, generator=generator)
        ratio, control = _futures(error, x.repeat(futures, 1), grid, generator, start)
        ratios.append(ratio.reshape(futures, count))
        controls.append(control.reshape(futures, count, _BINS))
    excess, control = torch.cat(ratios, 1) - 1, torch.cat(controls, 1)
    seen = Estimate.from_samples(1 + excess.mean(0))  # of E R = 1: where it is missed, so is the mass of R
    half = n // 2
    parts = slice(0, half), slice(half, n)
    multiples = [_multiples(excess[:, part], control[:, part]) for part in parts]
    for part, beta in zip(parts, reversed(multiples), strict=True):
        excess[:, part] -= control[:, part] @ beta
    pairs = excess.sum(0).square() - excess.square().sum(0)
    found = Estimate.from_samples(pairs / (futures * (futures - 1)), check_tail=True)
    if not abs(seen.sigmas_from(1)) < 5:
        remedy = "use a finer grid; if that does not help, the error is too large for this estimator"
        warnings.warn(f"E R = {seen}, which should be one: {remedy}", stacklevel=3)
        return replace(found, tail=math.inf)
    return found


def _futures(
    error: ErrorField,
    x: Tensor,
    grid: Tensor,
    generator: torch.Generator,
    start: tuple[Density, Density] | None,
) -> tuple[Tensor, Tensor]:
    """R = e^ω of one future for each point, ``[n]``, and its controls N_k, ``[n, bins]``; float64."""
    _checks.points("x", x)
    _checks.generator_on(generator, x.device)
    times = spanning(grid, flow_of(error).process)[::-1]
    if start is not None:
        if not (isinstance(start, tuple | list) and len(start) == 2):
            _checks.refuse("start", repr(start), "pass the two laws (ν, q_T)")
        for i, law in enumerate(start):
            _checks.able(f"start[{i}]", law, "log_density")
    omega = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    control = torch.zeros(len(x), _BINS, dtype=torch.float64, device=x.device)
    for k, (t, t_next) in enumerate(pairwise(times)):
        gap = t_next - t
        noise = gap**0.5 * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        value, rate = _value_and_rate(error, x, t)
        drift = -0.5 * x - value
        guess = x + drift * gap + noise
        value_there, rate_there = _value_and_rate(error, guess, t_next)
        control[:, k * _BINS // (len(times) - 1)] += (value * noise).sum(1).double()
        x = x + 0.5 * (drift - 0.5 * guess - value_there) * gap + noise
        omega = omega - 0.5 * (rate + rate_there) * gap
        if not (_checks.finite(x) and _checks.finite(omega)):
            where = f"NaN or infinite after the step from t = {t:.4g} to {t_next:.4g}"
            _checks.refuse("X_t", where, "use a finer grid there, or check the error")
    if start is not None:
        learned, ideal = (
            _checks.shape(f"start[{i}].log_density(x)", law.log_density(x), [len(x)]).double()
            for i, law in enumerate(start)
        )
        omega = omega + learned - ideal
    ratio = omega.exp()
    if not _checks.finite(ratio):
        where = f"NaN or infinite at {int((~ratio.isfinite()).sum())} of {len(ratio)} points"
        _checks.refuse(
            "R", where, "the error is too large for this estimator, or ‘start’ has no density there"
        )
    return ratio, control


def _multiples(excess: Tensor, control: Tensor) -> Tensor:
    """Multiples β of the controls that leave the least difference between two futures of a point."""
    gaps, levers = excess[0] - excess[1], control[0] - control[1]
    # By singular values, so that a control that never moves gets no weight; torch has that on the CPU only.
    found = torch.linalg.lstsq(levers.cpu(), gaps[:, None].cpu(), driver="gelsd")
    return found.solution[:, 0].to(excess.device)


def _value_and_rate(error: ErrorField, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """The error e and the rate 𝒜_t e of the weight, float64."""
    found = error.at(x, t)
    value, _ = _checks.vectors("error(x, t)", found.value, x), _checks.vectors("exact(x, t)", found.exact, x)
    _checks.shape("error.divergence(x, t)", found.divergence, [len(x)])
    return value, found.stein.double()
