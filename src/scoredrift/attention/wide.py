"""Softmax averages over all centres in many dimensions: little but two matrix products.

Fused attention keeps keys and values in cache, which hundreds of dimensions do not fit. There the products

    g (y − o)·(c_j − o)        and        Σ_j r_j (c_j − o)

are nearly all of the work, and a library for matrix products does them best. The centres come in slabs, as few at a
time as keep the memory small; sums are kept relative to the largest logit so far, as in flash attention.

A query whose digits may not suffice is taken again from those centres alone whose logits are, whatever rounding did
to them, near enough to the largest to count; in many dimensions they are few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from scoredrift.attention.blocks import local_blocks
from scoredrift.attention.plain import Moments, _plain

# Dimensions from which on two matrix products are faster than fused attention.
WIDE = 512
# Queries that share an origin and a matrix product.
_ROWS = 1024
# Entries of a slab of centres, and what their number is a multiple of.
_SLAB_ON_CPU, _SLAB_ON_CUDA, _ALIGNED = 2**22, 2**27, 32
# Logarithm of a weight that counts for nothing beside the largest. No less is computed, since processors are slow on
# subnormal numbers, and what is no more is set to zero: a centre may be far enough away to be seen all the same.
_LEAST = -60.0
# Units of eps that rounding may cost score and divergence, about 1e-5 in float32.
_ALLOWED = 84
# Rounding of a logit in units of eps g (‖y‖ ‖c‖ + ½ ‖c‖²): measured 0.1 to 0.35 as root mean square, 5 at most.
_ROUNDINGS = 8


def _wide(y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None) -> Moments:
    found = Moments(torch.empty_like(y), torch.empty_like(gain), torch.empty_like(gain))
    for block in local_blocks(y, _ROWS):
        origin = y[block].mean(0)
        local, g = y[block] - origin, gain[block]
        mean, square, total, nearest = _averages(local, g, origin, centres, log_weights)
        own = local.square().sum(1)
        shift, scatter = mean - local, square - mean.square().sum(1)
        found.shift[block], found.scatter[block] = shift, scatter
        # The largest logit anew, by differences: in all others it cancels.
        largest = -0.5 * g * (centres[nearest] - y[block]).square().sum(1)
        largest = largest if log_weights is None else largest + log_weights[nearest]
        found.log_sum[block] = largest + total.log()
        again = _uncertain(shift, scatter, g, own, square, 1 - 1 / total).nonzero()[:, 0]
        for some in again.split(max(1, 2**24 // len(centres))) if len(again) else ():
            parts = _again(y[block[some]], g[some], origin, centres, log_weights)
            for part, right in zip(found, parts, strict=True):
                part[block[some]] = right
    return found


def _averages(
    local: Tensor, gain: Tensor, origin: Tensor, centres: Tensor, log_weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weighted means of c − o and of ‖c − o‖²; all weights over the largest, and the centre that has it."""
    top = torch.full_like(gain, torch.finfo(gain.dtype).min / 2)
    nearest = torch.zeros_like(gain, dtype=torch.long)
    total, square, mean = torch.zeros_like(gain), torch.zeros_like(gain), torch.zeros_like(local)
    first = 0
    for near, squares, logits in _slabs(local, gain, origin, centres, log_weights):
        highest, place = logits.max(1)
        nearest = torch.where(highest > top, first + place, nearest)
        before, top = top, torch.maximum(top, highest)
        share = logits.sub_(top[:, None]).clamp_(min=_LEAST).exp_()
        torch.threshold_(share, math.exp(_LEAST + 1), 0.0)
        kept = (before - top).exp_()
        total = kept * total + share.sum(1)
        square = kept * square + share @ squares
        mean.mul_(kept[:, None]).addmm_(share, near)
        first += len(near)
    return mean.div_(total[:, None]), square / total, total, nearest


def _slabs(
    local: Tensor, gain: Tensor, origin: Tensor, centres: Tensor, log_weights: Tensor | None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Slabs of c − o, ``[s, d]``, with ‖c − o‖², ``[s]``, and the logits, ``[n, s]``."""
    entries = _SLAB_ON_CPU if local.device.type == "cpu" else _SLAB_ON_CUDA
    scaled, rows = gain[:, None] * local, _rows_of_slabs(len(centres), max(1, entries // local.shape[1]))
    for first in range(0, len(centres), rows):
        near = centres[first : first + rows] - origin
        squares = near.square().sum(1)
        logits = (scaled @ near.T).addr_(gain, squares, alpha=-0.5)
        if log_weights is not None:
            logits += log_weights[first : first + rows]
        yield near, squares, logits


def _rows_of_slabs(count: int, most: int) -> int:
    """Centres to a slab: about as many in each, and where they are many a multiple of ``_ALIGNED``.

    Then the rows of the weights begin where vectors do, which libraries for products ask for; up to so many more than
    ``most`` are taken for it.
    """
    rows = -(-count // -(-count // most))
    return rows if rows < _ALIGNED else -(-rows // _ALIGNED) * _ALIGNED


def _uncertain(
    shift: Tensor, scatter: Tensor, gain: Tensor, own: Tensor, square: Tensor, rest: Tensor
) -> Tensor:
    """Where rounding may show in g shift, of norm √(g² ‖shift‖² + g d), or in g scatter − d.

    An error δ of the logits moves the mean of two centres by r (1 − r) δ times their distance, whose square is
    scatter/(r (1 − r)); of many by no more than δ √scatter.
    """
    eps, dim = torch.finfo(gain.dtype).eps, shift.shape[1]
    of_logits = eps * gain * ((own * square).sqrt() + 0.5 * square)
    of_scatter = 0.25 * eps * gain * square
    width = gain * scatter.abs() + of_scatter
    allowed = _ALLOWED * eps
    sure = of_logits.square() * width * rest <= allowed**2 * (gain * shift.square().sum(1) + dim)
    return ~(sure & (of_logits * width * rest + of_scatter <= allowed * (dim + width)))


def _again(
    y: Tensor, gain: Tensor, origin: Tensor, centres: Tensor, log_weights: Tensor | None
) -> tuple[Tensor, ...]:
    """Moments of a few queries, by differences, from the centres that can count."""
    eps = torch.finfo(gain.dtype).eps
    local = y - origin
    own = local.square().sum(1)
    rounding, logits = [], []
    for _, squares, some in _slabs(local, gain, origin, centres, log_weights):
        rounding.append(_ROUNDINGS * eps * gain[:, None] * ((own[:, None] * squares).sqrt() + 0.5 * squares))
        logits.append(some)
    off, logit = torch.cat(rounding, dim=1), torch.cat(logits, dim=1)
    # What is left out weighs less than len(centres) e^{-margin} of the largest, far below the rounding.
    margin = -2 * math.log(eps) + math.log(len(centres))
    counts = logit + off >= (logit - off).amax(1, keepdim=True) - margin
    moments = []
    for row, g, counted in zip(y, gain, counts, strict=True):
        chosen = counted.nonzero()[:, 0]
        parts = []
        for some in chosen.split(max(1, _SLAB_ON_CPU // y.shape[1])):
            weights = None if log_weights is None else log_weights[some]
            parts.append(_plain(row[None], g[None], centres[some], weights))
        moments.append(_merged(parts))
    return tuple(torch.cat(several) for several in zip(*moments, strict=True))


def _merged(parts: list[Moments]) -> Moments:
    """Moments over disjoint sets of centres as those over all of them."""
    shifts, scatters, log_sums = (torch.stack(several) for several in zip(*parts, strict=True))
    share = torch.softmax(log_sums, dim=0)
    shift = (share[:, :, None] * shifts).sum(0)
    between = (shifts - shift).square().sum(2)
    return Moments(shift, (share * (scatters + between)).sum(0), torch.logsumexp(log_sums, dim=0))
