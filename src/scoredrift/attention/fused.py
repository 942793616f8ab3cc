"""The kernel-density score is attention: softmax averages over all centres, never stored.

For a query y with gain g > 0 and centres c_j with weights w_j,

    logit_j = log w_j − ½ g ‖y − c_j‖²,         r = softmax(logits),
    shift = Σ r_j (c_j − y),    scatter = Σ r_j ‖c_j − y − shift‖²,    log_sum = log Σ exp(logit_j).

Up to terms that do not depend on j the logit is the scalar product of (g y, g, 1) with the key
(c_j, −½‖c_j‖², log w_j): scaled dot-product attention whose keys are also its values. Fused
attention keeps a few blocks in cache and never the N × M matrix of logits.

In this form the logits are small differences of large numbers, and float32 loses digits: ½ g ‖c‖²
can be several hundred. Only distances matter, so both sides may be moved to any origin o. Queries
are sorted into blocks of near neighbours, and each block takes its own mean as origin; then the
centres that matter are near the origin, and the lost digits belong to centres that do not.

That fails where near neighbours are far apart in units of g^{−1/2}, and for queries that are far from
all centres: what is left of the digits is known afterwards, and such queries are taken again. On a CPU that
is first by blocks of queries whose weighted means of the centres are near neighbours, with the mean of
these as origin: so the centres that count are near it, however far the queries are. The few that are left
have all distances relative to the centre o of the largest logit, and nothing large cancels:

    logit_j − logit_o = log w_j/w_o − ½ g (c_j − o)·(c_j + o − 2y).
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.attention.blocks import local_blocks
from scoredrift.attention.plain import Moments, _doubtful, _fit, _plain, _taken_again
from scoredrift.attention.wide import WIDE, _wide

# Queries that share an origin, at most: the fewer, the closer the origin and the more digits; the more,
# the less work around the kernel.
_ROWS_ON_CPU, _ROWS_ON_CUDA = 1536, 128
# And those that are taken again, about an origin near their centres; few are written out at once.
_ROWS_AGAIN, _LEAST_AGAIN = (256, 32), 64
# Queries, keys and values to averages and log-sums.
_Kernel = Callable[..., tuple[Tensor, Tensor]]


def softmax_moments(y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None = None) -> Moments:
    """Softmax moments by the fastest route that the device has; memory grows with N + M only.

    On CPUs this is torch's fused attention, on CUDA a Triton kernel (float32, d ≤ 128), and in more dimensions
    two matrix products with blocks of the weights between them; where this torch has no such kernel, and where the
    inputs ask for gradients, the plain route.

    Args:
        y: queries, shape ``[n, d]``.
        gain: g > 0, in inverse squared units of y, shape ``[n]``.
        centres: c, shape ``[m, d]``.
        log_weights: log w, shape ``[m]``; None for w = 1.

    Returns:
        Moments, in the precision of the inputs.

    Raises:
        ValueError: inputs that do not fit each other or are not finite, no centres, a gain that is not positive.

    >>> from scoredrift.attention import plain_moments
    >>> g = torch.Generator().manual_seed(0)
    >>> y, c, gain = torch.randn(5, 2, generator=g), torch.randn(7, 2, generator=g), torch.ones(5)
    >>> torch.allclose(softmax_moments(y, gain, c).shift, plain_moments(y, gain, c).shift, atol=1e-6)
    True
    """
    _fit(y, gain, centres, log_weights)
    inputs = (y, gain, centres) if log_weights is None else (y, gain, centres, log_weights)
    if _checks.followed(*inputs) or len(y) == 0:
        return _plain(y, gain, centres, log_weights)
    if y.shape[1] >= WIDE:
        return _wide(y, gain, centres, log_weights)
    if y.device.type == "cpu" and (kernel := _kernel_on_cpu(y.dtype)):
        return _fused_on_cpu(kernel, y, gain, centres, log_weights)
    if y.device.type == "cuda" and y.dtype == torch.float32 and importlib.util.find_spec("triton"):
        return _fused_on_cuda(y, gain, centres, log_weights)
    return _plain(y, gain, centres, log_weights)


def _fused_on_cuda(y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None) -> Moments:
    from scoredrift.attention import triton  # needs Triton, which comes with CUDA builds of torch

    if y.shape[1] > triton.MAX_DIM:
        return _wide(y, gain, centres, log_weights)
    found, doubtful = _seen_on_cuda(y, gain, local_blocks(y, _ROWS_ON_CUDA), centres, log_weights)
    return _taken_again(found, doubtful, y, gain, centres, log_weights)


def _seen_on_cuda(
    y: Tensor,
    gain: Tensor,
    blocks: Tensor,
    centres: Tensor,
    log_weights: Tensor | None,
    parts: tuple[Tensor, Tensor] | None = None,
) -> tuple[Moments, Tensor]:
    """Moments of each query, and where they are in doubt; blocks of queries see all centres, or parts of them."""
    from scoredrift.attention import triton

    order = blocks.flatten()
    shift, spread, log_sum = triton.moments(
        y[order], gain[order], centres.contiguous(), log_weights, parts=parts and triton.Parts(*parts)
    )
    found = Moments(shift, spread - shift.square().sum(1), log_sum)
    local = (y[blocks] - y[blocks].mean(1, keepdim=True)).flatten(0, 1)
    doubtful = _doubtful(shift, found.scatter, gain[order], local)
    # A point that sits in two blocks has two results, which may differ in their last digits.
    places = torch.arange(len(order), device=y.device)
    first = torch.full((len(y),), len(order), device=y.device).scatter_reduce(0, order, places, "amin")
    return Moments(*(part[first] for part in found)), doubtful[first]


@functools.cache
def _kernel_on_cpu(dtype: torch.dtype) -> _Kernel | None:
    """The kernel of torch.nn.functional.scaled_dot_product_attention, which hides the log-sum.

    Its name is private to torch. One small attention, whose result is known, tells whether this torch
    has it in the form that we use: two batches of three queries and four keys, logits 0 and j log 2.
    """
    steps = torch.arange(4, dtype=dtype, device="cpu")
    keys = steps[None, None, :, None].expand(1, 2, 4, 2).contiguous()
    rows = torch.tensor([[0, 1, 0], [1, 1, 0]], dtype=dtype, device="cpu")
    queries = rows[None, :, :, None].expand(1, 2, 3, 2) * (0.5 * math.log(2))
    try:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        averages, log_sums = kernel(queries, keys, keys, scale=1.0)
        fits = torch.allclose(averages[0, :, :, 0].float(), 1.5 + (34 / 15 - 1.5) * rows.float(), rtol=0.01)
        fits = fits and torch.allclose(log_sums[0].exp().float(), 4 + 11 * rows.float(), rtol=0.05)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return None
    return kernel if fits else None


def _fused_on_cpu(
    kernel: _Kernel, y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None
) -> Moments:
    n, dim = y.shape
    result = Moments(y.new_empty(n, dim), y.new_empty(n), y.new_empty(n))
    doubtful = y.new_empty(n, dtype=torch.bool)
    # A group of blocks keeps the threads busy, so what a block is need not depend on their number.
    rows = min(_ROWS_ON_CPU, max(256, n // 4))  # few queries afford finer blocks
    for block in local_blocks(y, rows).split(torch.get_num_threads()):
        moments, in_doubt = _attended(kernel, y[block], gain[block], centres, log_weights)
        for part, new in zip(result, moments, strict=True):
            part[block] = new
        doubtful[block] = in_doubt
    for rows in _ROWS_AGAIN:
        # Where logits overflowed there is no mean.
        again = (doubtful & result.shift.isfinite().all(1)).nonzero()[:, 0]
        if len(again) < _LEAST_AGAIN:
            break
        near = y[again] + result.shift[again]
        for some in local_blocks(near, rows).split(torch.get_num_threads()):
            block, origins = again[some], near[some].mean(1, keepdim=True)
            moments, in_doubt = _attended(kernel, y[block], gain[block], centres, log_weights, origins)
            for part, new in zip(result, moments, strict=True):
                part[block] = new
            doubtful[block] = in_doubt
    return _taken_again(result, doubtful, y, gain, centres, log_weights)


def _attended(
    kernel: _Kernel,
    y: Tensor,
    gain: Tensor,
    centres: Tensor,
    log_weights: Tensor | None,
    origins: Tensor | None = None,
) -> tuple[Moments, Tensor]:
    """Moments of blocks of queries ``[b, r, d]``, each about an origin, its mean if none is given, and where in doubt.

    Centres are the same for all blocks, ``[m, d]``, or each block's own, ``[b, m, d]``, and so are their weights.
    """
    (count, _, dim), m = y.shape, centres.shape[-2]
    origins = y.mean(1, keepdim=True) if origins is None else origins
    local = y - origins
    keys = y.new_empty(1, count, m, dim + 1 if log_weights is None else dim + 2)
    torch.sub(centres, origins, out=keys[0, :, :, :dim])
    keys[0, :, :, dim] = -0.5 * keys[0, :, :, :dim].square().sum(2)
    if log_weights is not None:
        keys[0, :, :, dim + 1] = log_weights
    queries = y.new_ones(1, *y.shape[:2], keys.shape[3])
    queries[0, :, :, :dim], queries[0, :, :, dim] = gain[:, :, None] * local, gain
    averages, log_sums = kernel(queries, keys, keys, scale=1.0)
    mean, norm = averages[0, :, :, :dim], -2 * averages[0, :, :, dim]
    own = local.square().sum(2)
    shift, scatter = mean - local, norm - mean.square().sum(2)
    log_sum = log_sums.reshape(gain.shape).to(y.dtype) - 0.5 * gain * own
    # Products of a logit that overflow may leave weights that look right, for the kernel's exponential knows no NaN.
    far = -2 * keys[0, :, :, dim].amin(1, keepdim=True)
    within = gain * ((own * far).sqrt() + far) < 0.1 * torch.finfo(y.dtype).max
    return Moments(shift, scatter, log_sum), _doubtful(shift, scatter, gain, local) | ~within
