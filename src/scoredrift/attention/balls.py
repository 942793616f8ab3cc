"""Centres without weight are not visited: balls around blocks of them say which, and bound what is left out.

Centres are in blocks of near neighbours b, once, with mean m_b, radius R_b and weight w_b. As seen from a query y at
the distance D_b from the mean, none is nearer than D_b − R_b or farther than D_b + R_b, so that

    Σ_{j∈b} w_j exp(−½ g ‖y − c_j‖²) ≤ w_b exp(−½ g (D_b − R_b)₊²) = e^{h_b}.

A first look at the block of the nearest mean gives the log-sum L₀ over it alone, a lower bound of that over all. Then a
block of queries passes over those blocks of centres for which, with x_b = √g (D_b + R_b),

    h_b + 2 log(1 + x_b) ≤ θ + L₀

for each of its queries, whose θ it is. If n blocks are, and L, x_K and s_K are the log-sum of what is kept, √g of the
norm of its shift and g of its scatter,

    √g ‖Δ shift‖, g |Δ scatter|, |Δ log_sum| ≤ Σ_b e^{h_b − L} ((1 + x_b + x_K)² + s_K)
                                             ≤ n e^{θ + L₀ − L} ((1 + x_K)² + s_K).

In few dimensions a kernel sees a small part of a law; in ten, clusters that are far apart do not see each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift.attention.blocks import local_blocks
from scoredrift.attention.plain import Moments, Pruned

# Queries, and centres, of a block at most; queries of one look at the nearest block.
_ROWS, _LOOK = 256, 64
# Entries of the array of distances, queries × blocks, that is held at once: fewer fit better into the cache of a CPU,
# but threads that sleep between operations want few of these.
_ENTRIES, _ENTRIES_ELSEWHERE = 2**19, 2**24
# Centres of all blocks of one call.
_AT_ONCE = 2**17
# Width of a class of gains, in units of log₂ g.
_ALIKE = 2
# Log-weight of no centre; finite, for attention multiplies it by a weight of zero.
_NOTHING = -1e30
# Where the tangent touches, and the rounding of a square of a distance in units of the squares of both sides.
_TANGENT, _ROUNDING = 8.0, 1e-14
# Share of all pairs from which on it is faster to visit them all, and one of how many queries tells.
_WORTH, _SAMPLED = 0.6, 16


class CentreBalls(NamedTuple):
    """Centres in blocks of near neighbours, and what bounds the weight of a block; geometry in float64.

    Args:
        centres: in the order of the blocks, ``[N, d]``.
        log_weights: log w in that order, ``[N]``; None for w = 1.
        block: that of each centre, ``[N]``.
        means: m, ``[B, d]``.
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
    radii: Tensor
    log_masses: Tensor


def _balls_of(centres: Tensor, log_weights: Tensor | None = None, *, rows: int = _ROWS) -> CentreBalls:
    """Put centres into blocks of ``rows`` at most, which takes little."""
    # A step of Lloyd's follows the halves of medians, so that no block has parts of two clusters.
    block, order = _nearest(centres, centres[local_blocks(centres, rows)].mean(1)).sort(stable=True)
    block = block.unique_consecutive(return_inverse=True)[1]
    centres = centres[order]
    log_weights = None if log_weights is None else log_weights[order]
    count, where, sizes = int(block[-1]) + 1, centres.double(), block.bincount()
    means = where.new_zeros(count, where.shape[1]).index_add(0, block, where) / sizes[:, None]
    away = (where - means[block]).square().sum(1)
    radii = where.new_zeros(count).scatter_reduce(0, block, away, "amax").sqrt()
    if log_weights is None:
        return CentreBalls(centres, None, block, means, radii, sizes.double().log())
    top = where.new_full((count,), -math.inf).scatter_reduce(0, block, log_weights.double(), "amax")
    masses = where.new_zeros(count).index_add(0, block, (log_weights.double() - top[block]).exp())
    return CentreBalls(centres, log_weights, block, means, radii, top + masses.log())


def _nearest(points: Tensor, means: Tensor) -> Tensor:
    """Number of the nearest mean, or of one that is as near up to rounding."""
    middle = means.mean(0)
    local = means - middle
    half, parts = 0.5 * local.square().sum(1), (points - middle).split(_rows_at_once(means))
    return torch.cat([torch.addmm(half, some, local.T, beta=-1).max(1).indices for some in parts])


def _rows_at_once(means: Tensor) -> int:
    return max(1, (_ENTRIES if means.device.type == "cpu" else _ENTRIES_ELSEWHERE) // len(means))


# Queries [n, d] with their gains [n], the numbers of those of each block [b, r], sizes of the blocks of centres [B],
# which of them each block needs [b, B], and the centres, to moments of each query and where they are in doubt.
Visit = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, CentreBalls], tuple[Moments, Tensor]]
# Blocks of queries [b, r, d] with their gains [b, r], and centres [b, m, d] of each with their weights, to the same.
Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], tuple[Moments, Tensor]]


def _in_blocks(n: int, device: torch.device) -> Tensor:
    """Numbers of the queries of each block, ``[blocks, rows]``; the last has the last query as often as it takes."""
    rows = min(n, _ROWS)
    firsts = torch.arange(0, n, rows, device=device)
    return (firsts[:, None] + torch.arange(rows, device=device)).clamp(max=n - 1)


def _several_to_a_call(
    y: Tensor, gain: Tensor, rows: Tensor, sizes: Tensor, needed: Tensor, balls: CentreBalls, attend: Attend
) -> tuple[Moments, Tensor]:
    """Visit what is needed on a CPU. Small calls, one for each block, would make threads wait for each other."""
    firsts, counts = sizes.cumsum(0) - sizes, _centres_of(needed, sizes)
    found = Moments(torch.empty_like(y), torch.empty_like(gain), torch.empty_like(gain))
    doubtful = torch.zeros_like(gain, dtype=torch.bool)
    for group in _of_a_size(counts):
        fits = torch.arange(int(counts[group].max())) < counts[group][:, None]
        block = needed[group].nonzero()[:, 1]
        runs = sizes[block]
        kept = torch.arange(int(runs.sum())) + (firsts[block] - runs.cumsum(0) + runs).repeat_interleave(runs)
        kept = torch.zeros_like(fits, dtype=torch.long).masked_scatter_(fits, kept)
        weights = None if balls.log_weights is None else balls.log_weights[kept]
        if not fits.all():  # what fills up the shorter ones weighs nothing
            weights = torch.zeros_like(fits, dtype=y.dtype) if weights is None else weights
            weights = weights.masked_fill(~fits, _NOTHING)
        own = rows[group]
        moments, in_doubt = attend(y[own], gain[own], balls.centres[kept], weights)
        for part, new in zip(found, moments, strict=True):
            part[own] = new
        doubtful[own] = in_doubt
    return found, doubtful


def _centres_of(needed: Tensor, sizes: Tensor) -> Tensor:
    """How many centres each block of queries needs."""
    weights = sizes.double()  # there are no products of integers on CUDA
    return torch.cat([(part.double() @ weights).long() for part in needed.split(_rows_at_once(sizes))])


def _of_a_size(counts: Tensor) -> Iterator[Tensor]:
    """Which blocks of queries go together, those that need about as many centres."""
    order = counts.argsort()
    sizes, start = counts[order].tolist(), 0
    for end in range(1, len(sizes) + 1):
        if end == len(sizes) or (end + 1 - start) * sizes[end] > _AT_ONCE:
            yield order[start:end]
            start = end


def _plan(
    y: Tensor, gain: Tensor, nearest: Tensor, balls: CentreBalls, tolerance: float, visit: Visit
) -> tuple[Tensor, Tensor]:
    """What each block of queries needs, ``[blocks of queries, B]``, and θ + L₀ of each query, ``[n]``."""
    root, count = gain.double().sqrt()[:, None], len(balls.means)
    x, squares = y.double(), balls.means.square().sum(1)
    close = root[:, 0] * (x - balls.means[nearest]).norm(dim=1)
    # What multiplies the rest is not known yet; this is about it.
    scope = math.log(tolerance / count) - 2 * torch.log(3 + close + y.shape[1] ** 0.5)
    most = _first_look(y, gain, nearest, balls, visit).double() + scope
    needed, blocks = [], _in_blocks(len(y), y.device)
    for rows in blocks.split(max(1, _rows_at_once(balls.means) // blocks.shape[1])):
        own = rows.flatten()
        away = (x[own].square().sum(1, keepdim=True) + squares).mul_(1 - _ROUNDING)
        away = away.addmm_(x[own], balls.means.T, alpha=-2).clamp_(min=0).sqrt_()
        # 2 log(1 + x) lies below its tangents.
        high = (away + balls.radii).mul_(root[own] * 2 / (1 + _TANGENT))
        high += balls.log_masses
        high -= away.sub_(balls.radii).clamp_(min=0).mul_(root[own]).square_().mul_(0.5)
        wanted = high > most[own, None] - 2 * (math.log1p(_TANGENT) - _TANGENT / (1 + _TANGENT))
        wanted.scatter_(1, nearest[own, None], True)
        needed.append(wanted.reshape(*rows.shape, count).any(1))
    return torch.cat(needed), most


def _first_look(y: Tensor, gain: Tensor, nearest: Tensor, balls: CentreBalls, visit: Visit) -> Tensor:
    """Log-sums over the block of the nearest mean; queries are in the order of these."""
    seen, sizes = nearest.unique_consecutive(return_counts=True)
    # Each block's queries in pieces of _LOOK, the last of which has its last query several times.
    ends, pieces = sizes.cumsum(0), (sizes + _LOOK - 1).div(_LOOK, rounding_mode="floor")
    which = torch.arange(len(seen), device=y.device).repeat_interleave(pieces)
    piece = torch.arange(len(which), device=y.device) - (pieces.cumsum(0) - pieces)[which]
    starts = (ends - sizes)[which] + _LOOK * piece
    rows = torch.minimum(starts[:, None] + torch.arange(_LOOK, device=y.device), ends[which][:, None] - 1)
    needed = torch.zeros(len(which), len(balls.means), dtype=torch.bool, device=y.device)
    needed.scatter_(1, seen[which, None], True)
    return visit(y, gain, rows, balls.block.bincount(), needed, balls)[0].log_sum


def _by_balls(
    y: Tensor,
    gain: Tensor,
    balls: CentreBalls,
    tolerance: float,
    visit: Visit,
    dense: Callable[[Tensor, Tensor, Tensor, Tensor | None], Moments],
) -> Pruned:
    """Moments by ``visit``, from the blocks that can matter; all from all by ``dense`` where that is no slower."""
    nearest = _nearest(y, balls.means.to(y.dtype))
    # Queries of a block are alike in what they see: in the width of their kernel, and then in where they are.
    order = (gain.log2().div(_ALIKE).long() * len(balls.means) + nearest).argsort(stable=True)
    x, g, nearest, rows = y[order], gain[order], nearest[order], _in_blocks(len(y), y.device)
    some = rows[::_SAMPLED].flatten().unique()
    tried, _ = _plan(x[some], g[some], nearest[some], balls, tolerance, visit)
    count, sizes = len(balls.centres), balls.block.bincount()
    if float(_centres_of(tried, sizes).double().mean()) > _WORTH * count:
        whole = torch.full_like(gain, count, dtype=torch.long)
        return Pruned(dense(y, gain, balls.centres, balls.log_weights), torch.zeros_like(gain), whole)
    needed, most = _plan(x, g, nearest, balls, tolerance, visit)
    found, doubtful = visit(x, g, rows, sizes, needed, balls)
    block = torch.arange(len(y), device=y.device).div(rows.shape[1], rounding_mode="floor")
    visited, passed = _centres_of(needed, sizes)[block], (~needed).sum(1)[block]
    factor = (1 + g.sqrt() * found.shift.norm(dim=1)).square() + g * found.scatter
    missed = passed * (most - found.log_sum).exp().to(g.dtype) * factor
    again = (doubtful | ~(missed <= tolerance)).nonzero()[:, 0]
    if len(again):
        right = dense(x[again], g[again], balls.centres, balls.log_weights)
        for part, new in zip(found, right, strict=True):
            part[again] = new
        missed[again], visited[again] = 0.0, count
    back = order.argsort()
    return Pruned(Moments(*(part[back] for part in found)), missed[back], visited[back])
