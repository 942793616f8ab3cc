"""Centres without weight are not visited: balls around blocks of them say which, and bound what is left out.

Centres are in blocks of near neighbours b, once, with mean m_b, mean square radius s_b², radius R_b and weight w_b;
queries are in blocks as well, around a mean at a radius R. With the distance D of the means,

    w_b exp(−½ g ((D + R)² + s_b²)) ≤ Σ_{j∈b} w_j exp(−½ g ‖y − c_j‖²) ≤ w_b exp(−½ g (D − R − R_b)₊²),

below by Jensen, above since no centre is nearer. The left sides, over all blocks, bound the log-sum L of a query from
below, so that it is known beforehand which blocks can matter for a block of queries. Of those that it passes over,

    √g ‖Δ shift‖, g |Δ scatter|, |Δ log_sum| ≤ ((1 + x_K)² + s_K) Σ_b w_b exp(−½ g (D − R − R_b)₊² − L) (1 + X_b)²

with X_b = √g (D + R + R_b), no centre being farther, and x_K, s_K as for sketches; L is then that of what is kept.

In two or three dimensions a kernel sees a small part of a law. In ten, balls are so large for what they hold that only
clusters which are far apart do not see each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift.attention.blocks import local_blocks
from scoredrift.attention.plain import Moments, Pruned

# Queries, and centres, of a block at most.
_ROWS = 128
# Gains that share a block of queries differ by this factor at most, as a power of two.
_OCTAVES = 0.5
# Share of all pairs from which on it is faster to visit them all.
_WORTH = 0.7


class CentreBalls(NamedTuple):
    """Centres in blocks of near neighbours, and what bounds the weight of a block; geometry in float64.

    Args:
        centres: in the order of the blocks, ``[N, d]``.
        log_weights: log w in that order, ``[N]``; None for w = 1.
        block: that of each centre, ``[N]``.
        means: m, ``[B, d]``.
        spreads: s², ``[B]``.
        radii: R, ``[B]``.
        log_masses: logs of the weights of the blocks, ``[B]``.

    >>> from scoredrift.attention import centre_index
    >>> balls = centre_index(torch.tensor([[0.0], [9.0], [1.0], [8.0]]))  # so few are in one
    >>> balls.means.tolist(), balls.radii.tolist()
    ([[4.5]], [4.5])
    """

    centres: Tensor
    log_weights: Tensor | None
    block: Tensor
    means: Tensor
    spreads: Tensor
    radii: Tensor
    log_masses: Tensor


def _balls_of(centres: Tensor, log_weights: Tensor | None = None, *, rows: int = _ROWS) -> CentreBalls:
    """Put centres into blocks, which takes little.

    Args:
        centres: c, shape ``[N, d]``.
        log_weights: log w, shape ``[N]``; None for w = 1.
        rows: largest size of a block.
    """
    order, block = _in_blocks(centres, rows)
    centres = centres[order]
    log_weights = None if log_weights is None else log_weights[order]
    count = int(block[-1]) + 1
    weights = (
        centres.new_zeros(len(centres), dtype=torch.float64) if log_weights is None else log_weights.double()
    )
    top = weights.new_full((count,), -math.inf).scatter_reduce(0, block, weights, "amax")
    masses = (weights - top[block]).exp()
    total = weights.new_zeros(count).index_add(0, block, masses)
    means, radii, spreads = _around(centres.double(), block, masses / total[block], count)
    return CentreBalls(centres, log_weights, block, means, spreads, radii, top + total.log())


def _in_blocks(points: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """An order of points by blocks of near neighbours, and the blocks in that order."""
    blocks = local_blocks(points, rows)
    block = torch.empty(len(points), dtype=torch.long, device=points.device)
    number = torch.arange(len(blocks), device=points.device).repeat_interleave(blocks.shape[1])
    block[blocks.flatten()] = number  # those that are in two are in either
    block, order = block.sort(stable=True)
    return order, block.unique_consecutive(return_inverse=True)[1]


def _around(points: Tensor, block: Tensor, shares: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means of blocks, the radius of the ball around each and its mean square radius."""
    means = points.new_zeros(count, points.shape[1]).index_add(0, block, shares[:, None] * points)
    squares = (points - means[block]).square().sum(1)
    radii = points.new_zeros(count).scatter_reduce(0, block, squares, "amax").sqrt()
    return means, radii, points.new_zeros(count).index_add(0, block, shares * squares)


class _Plan(NamedTuple):
    """Blocks of queries and what they have to visit.

    Args:
        order: of the queries.
        block: that of each query in this order.
        needed: which blocks of centres, ``[blocks of queries, B]``.
        rest: log of what the others can weigh in units of e^{L}, ``[blocks of queries]``.
    """

    order: Tensor
    block: Tensor
    needed: Tensor
    rest: Tensor


def _plan(y: Tensor, gain: Tensor, balls: CentreBalls, tolerance: float) -> _Plan:
    order, block = _in_blocks(y, _ROWS)
    octave = (gain.double().log2() / _OCTAVES).floor().long()[order]
    # Blocks of one octave each: near queries that see differently far do not share one.
    block, again = (block * (int(octave.max() - octave.min()) + 1) + octave - octave.min()).sort(stable=True)
    order, block = order[again], block.unique_consecutive(return_inverse=True)[1]
    count, where, g = int(block[-1]) + 1, y[order].double(), gain[order].double()
    sizes = block.bincount().double()
    means, radii, _ = _around(where, block, 1 / sizes[block], count)
    least = g.new_full((count,), math.inf).scatter_reduce(0, block, g, "amin")[:, None]
    most = g.new_zeros(count).scatter_reduce(0, block, g, "amax")[:, None]
    between = torch.cdist(means, balls.means, compute_mode="donot_use_mm_for_euclid_dist")
    reach = between + radii[:, None]
    low = balls.log_masses - 0.5 * most * (reach.square() + balls.spreads)
    near = (between - radii[:, None] - balls.radii).clamp(min=0)
    edge = most.sqrt() * (reach + balls.radii)
    high = balls.log_masses - 0.5 * least * near.square() + 2 * edge.log1p()
    kept = 2 * torch.log(3 + edge.amin(1) + y.shape[1] ** 0.5)  # about what multiplies it
    limit = math.log(tolerance / len(balls.means)) + torch.logsumexp(low, 1) - kept
    needed = high > limit[:, None]
    needed[torch.arange(count, device=y.device), between.argmin(1)] = True
    return _Plan(order, block, needed, high.masked_fill(needed, -math.inf).logsumexp(1))


def _by_balls(
    y: Tensor,
    gain: Tensor,
    balls: CentreBalls,
    tolerance: float,
    attend: Callable[..., tuple[Moments, Tensor]],
    dense: Callable[[Tensor, Tensor, Tensor, Tensor | None], Moments],
) -> Pruned:
    """Moments by ``attend``, from the blocks that can matter; all from all by ``dense`` where that is no slower.

    Args:
        attend: queries ``[1, n, d]`` with their gains ``[1, n]`` to moments from centres, and where they are in doubt.
        dense: moments.
    """
    count = len(balls.centres)
    plan = _plan(y, gain, balls, tolerance)
    visited = plan.needed.long() @ balls.block.bincount()
    if float((visited[plan.block]).double().mean()) > _WORTH * count:
        whole = torch.full_like(gain, count, dtype=torch.long)
        return Pruned(dense(y, gain, balls.centres, balls.log_weights), torch.zeros_like(gain), whole)
    found = Moments(torch.empty_like(y), torch.empty_like(gain), torch.empty_like(gain))
    doubtful = torch.empty_like(gain, dtype=torch.bool)
    sizes = plan.block.bincount().tolist()
    for some, needed in zip(plan.order.split(sizes), plan.needed, strict=True):
        seen = needed[balls.block]
        weights = None if balls.log_weights is None else balls.log_weights[seen]
        moments, in_doubt = attend(y[some][None], gain[some][None], balls.centres[seen], weights)
        for part, new in zip(found, moments, strict=True):
            part[some] = new[0]
        doubtful[some] = in_doubt[0]
    rest, g = torch.empty_like(gain), gain.sqrt()
    rest[plan.order] = plan.rest[plan.block].to(gain.dtype)
    factor = (1 + g * found.shift.norm(dim=1)).square() + gain * found.scatter
    missed = (rest - found.log_sum).exp() * factor
    seen = torch.empty_like(gain, dtype=torch.long)
    seen[plan.order] = visited[plan.block]
    again = (doubtful | ~(missed <= tolerance)).nonzero()[:, 0]
    if len(again):
        for part, right in zip(
            found, dense(y[again], gain[again], balls.centres, balls.log_weights), strict=True
        ):
            part[again] = right
        missed[again], seen[again] = 0.0, count
    return Pruned(found, missed, seen)
