"""A pilot run that finds how the futures of a point are best drawn.

A draw in the interval b of time is a_b = −w_b (𝒜e + β_b ℓ), with the lever ℓ = e·ξ − √v ∇·e of mean
zero. Differences between two futures of a point show its noise alone; β_b is their regression
coefficient, and what is left decides where in time to look and how often.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.observability.futures import (
    PairDesign,
    StepFunction,
    batches,
    draw_futures,
)
from scoredrift.process import StepTimes, log_uniform_times
from scoredrift.scores import ErrorField, flow_of

_BINS = 24  # intervals of time that the pilot tells apart
PILOT_COST = 4 * _BINS  # for each point: two antithetic futures in every interval


@_numerics.estimator
def plan(
    error: ErrorField,
    *,
    generator: torch.Generator,
    points: int = 200,
    divergence_free: bool = False,
    batch: int = 65_536,
) -> PairDesign:
    """Design that a pilot run predicts to need the fewest evaluations for a given standard error.

    If u and the noise S of one future were Gaussian, a point would have the variance
    2 (V + S/m)² + 2 (S/m)²/((m − 1) K) with V = Var u; its product with the cost of a point is made
    small over K, m and antithetic or plain draws. Times follow the root of the noise.

    Args:
        error: e with its divergence and the exact score.
        generator: source of randomness, on the device of the law.
        points: number of points x that the pilot looks at, ≥ 20, at ``PILOT_COST`` evaluations each.
        divergence_free: plan for central differences; see ``PairDesign``.
        batch: largest number of points evaluated together.

    Returns:
        PairDesign. Since it depends on draws that the estimate does not use, the estimate stays
        unbiased.

    Raises:
        ValueError: fewer than 20 points, a generator on another device, an error of wrong shape or not finite.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(2), torch.eye(2)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(torch.ones(2)))
    >>> plan(push, generator=torch.Generator().manual_seed(0)).cost  # one draw for each future
    2
    """
    _checks.count("points", points, least=20)
    _checks.count("batch", batch)
    flow = flow_of(error)
    _checks.generator_on(generator, flow.law.device)
    quantiles = torch.linspace(0, 1, _BINS + 1, dtype=torch.float64, device=flow.law.device)
    edges = log_uniform_times(flow.process, quantiles).t
    even = StepTimes(edges, torch.full_like(quantiles[1:], 1 / _BINS))
    look = PairDesign(even, _BINS, 2, antithetic=True, divergence_free=divergence_free)
    draws_of, levers_of = [], []
    for size in batches(points, look.cost, batch):
        x = flow.sample(size, generator=generator)
        found = draw_futures(error, x, look, generator)
        draws_of.append(found.draws.double())
        levers_of.append(found.lever.double())
    both, levers = torch.cat(draws_of), torch.cat(levers_of)
    best: tuple[float, PairDesign] | None = None
    for antithetic in (True,) if divergence_free else (False, True):
        draws = both.mean(-1) if antithetic else both[..., 0]
        beta = None
        if not divergence_free:
            lever = levers.mean(-1) if antithetic else levers[..., 0]
            gap, arm = draws[..., 0] - draws[..., 1], lever[..., 0] - lever[..., 1]
            slope = (gap * arm).sum(0) / arm.square().sum(0).clamp(min=torch.finfo(torch.float64).tiny)
            draws = draws - slope[None, :, None] * lever
            # The draws carry minus the widths of the intervals; the slope is per unit of time.
            beta = StepFunction(edges, slope / edges.diff())
        for strata, futures in product((1, 2, 4, 8, 16), (2, 4, 8)):
            loss, shares = _predict(draws, strata, futures)
            loss *= strata * futures * (2 if antithetic else 1)
            if best is None or loss < best[0]:
                times = StepTimes(edges, shares)
                best = loss, PairDesign(times, strata, futures, antithetic, divergence_free, beta)
    assert best is not None
    return best[1]


def _predict(draws: Tensor, strata: int, futures: int) -> tuple[float, Tensor]:
    """Variance predicted for a point, and the shares of the intervals; draws [n, B, 2]."""
    one, other = draws[..., 0], draws[..., 1]
    cross = (one.T @ other + other.T @ one) / (2 * len(draws))  # E[u_b u_c], [B, B]
    second = 0.5 * (one.square() + other.square()).mean(0)  # E[a_b²]
    noise = 0.5 * (one - other).square().mean(0)
    visible = float(cross.sum().clamp(min=0))
    # Within a stratum the mean moves with time, too; that counts the less, the more strata there are.
    root = (noise + (second - noise).clamp(min=0) / strata).sqrt()
    shares = root + 0.02 * root.mean() if bool(root.sum() > 0) else torch.ones_like(root)
    shares = shares / shares.sum()
    group = ((shares.cumsum(0) - 0.5 * shares) * strata).long().clamp(max=strata - 1)
    same = (group[:, None] == group[None, :]).to(cross.dtype)
    spread = float((second / shares).sum() / strata - (same * cross).sum())
    spread = max(spread, float(noise.sum()) / strata)
    per_mean = spread / futures
    loss = 2 * (visible + per_mean) ** 2 + 2 * per_mean**2 / ((futures - 1) * strata)
    return loss, shares
