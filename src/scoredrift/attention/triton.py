"""Softmax averages over all centres on CUDA: Triton kernels that never store the N × M logits.

For a query y with gain g and centres c_j with log-weights λ_j, in coordinates y' = y − o, c' = c − o,

    logit_j + ½ g ‖y'‖² = g y'·c'_j − ½ g ‖c'_j‖² + λ_j,         r = softmax(logits),
    shift  = Σ r_j c'_j − y',
    spread = Σ r_j ‖c'_j‖² − 2 y'·Σ r_j c'_j + ‖y'‖²,            log_sum = log Σ exp(logit_j).

Any origin o will do, but the right side keeps its digits in float32 only where y' is small: queries
that are neighbours in memory share an origin, their mean, and callers sort queries for this.

As in flash attention, sums are kept relative to the largest logit so far. Where queries are too few to
fill the device, programs share out the centres, too; averages over some of the centres are averaged
with weights exp(log_sum). Where each block of queries names the parts of the centres that it needs, its
programs read those alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from scoredrift.attention.triton_kernels import _scalar_kernel, _tensor_core_kernel

# In more dimensions the sums do not fit into registers.
MAX_DIM = 128
# Equal programs leave most of the device idle in their last wave, which matters less after many waves.
_PROGRAMS_PER_MULTIPROCESSOR = 32
# Fewer centres do not repay the start of a program.
_LEAST_SPAN = 256
_LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class Plan:
    """Shape of one program's work, for speed; the usual ones spill few registers or none on sm_90.

    Args:
        rows: queries with a common origin: those of a thread or, with ``precision``, of a program. A
            power of two, with ``precision`` ≥ 16.
        columns: centres from one look at the maximum to the next; with ``precision`` as for rows.
        warps, stages: Triton's ``num_warps`` and ``num_stages``.
        precision: Triton's ``input_precision`` on tensor cores; None for scalar arithmetic.

    >>> Plan.usual(10)
    Plan(rows=4, columns=8, warps=4, stages=1, precision=None)
    """

    rows: int
    columns: int
    warps: int = 4
    stages: int = 1
    precision: str | None = None

    @classmethod
    def usual(cls, dim: int) -> Plan:
        """The plan for d = ``dim`` ≤ ``MAX_DIM``."""
        if dim <= 12:
            return cls(rows=8 if dim <= 4 else 4, columns=8)
        if dim <= 64:
            return cls(rows=64, columns=64, stages=2, precision="tf32x3")
        return cls(rows=64, columns=32, precision="tf32x3")

    @property
    def size(self) -> int:
        """Queries of a program."""
        return self.rows if self.precision else self.rows * 32 * self.warps

    def within(self, most: int) -> Plan:
        """The plan with ``most`` queries to a program, or as few as there can be.

        >>> Plan.usual(10).within(64)
        Plan(rows=2, columns=8, warps=1, stages=1, precision=None)
        """
        plan, least = self, 16 if self.precision else 1
        while plan.size > most and plan.warps > 1 and not plan.precision:
            plan = replace(plan, warps=plan.warps // 2)
        while plan.size > most and plan.rows > least:
            plan = replace(plan, rows=plan.rows // 2)
        return plan


class Parts(NamedTuple):
    """Centres in parts, and which of them each block of queries needs.

    Args:
        sizes: of the parts, each of which lies in one piece, shape ``[p]``.
        needed: what each of b blocks of n/b queries is to see, one part or more, bool, shape ``[b, p]``.

    >>> Parts(torch.tensor([3, 2]), torch.tensor([[True, False]])).sizes
    tensor([3, 2])
    """

    sizes: Tensor
    needed: Tensor


def moments(
    y: Tensor,
    gain: Tensor,
    centres: Tensor,
    log_weights: Tensor | None,
    *,
    parts: Parts | None = None,
    plan: Plan | None = None,
    splits: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax moments shift = Σ r_j (c_j − y), spread = Σ r_j ‖c_j − y‖² and log Σ exp(logit_j).

    Here logit_j = λ_j − ½ g ‖c_j − y‖² and r = softmax(logits). All inputs are contiguous float32 tensors
    on one CUDA device, and are not checked. Triton's interpreter takes CPU tensors, if TRITON_INTERPRET=1
    was set before Triton was imported.

    Args:
        y: queries, neighbours next to each other, shape ``[n, d]``, n ≥ 1, d ≤ ``MAX_DIM``.
        gain: g > 0, in inverse squared units of y, shape ``[n]``.
        centres: c, in the units of y, shape ``[m, d]``, m ≥ 1.
        log_weights: λ, some of them finite, none ∞, shape ``[m]``; None for λ = 0.
        parts: which centres each block of queries sees, with some finite λ among them; None for all.
        plan: shape of a program's work; None for the usual one.
        splits: programs that share the centres for the same queries; None to keep the device busy.

    Returns:
        shift, in the units of y, shape ``[n, d]``; spread, in their squares, and log-sum, ``[n]``.

    Raises:
        triton.OutOfResources: a plan that needs more shared memory than the device has.

    >>> origin, one = torch.zeros(1, 1, device="cuda"), torch.ones(1, device="cuda")  # doctest: +SKIP
    >>> moments(origin, one, origin + 3.0, None)[1]  # doctest: +SKIP
    tensor([9.], device='cuda:0')
    """
    d, blocks = y.shape[1], 1 if parts is None else len(parts.needed)
    rows = len(y) // blocks
    plan = plan or Plan.usual(d)
    if parts is not None:
        plan = plan.within(rows)
    programs = triton.cdiv(rows, plan.size)
    if splits is None:
        wanted = triton.cdiv(_wanted_programs(y.device), blocks * programs)
        splits = min(wanted, triton.cdiv(len(centres), _LEAST_SPAN))

    # Kernels read and write rows of whole 16 bytes, for full programs: surplus queries repeat the last one.
    width = triton.cdiv(d + 2, 4) * 4
    own = torch.arange(programs * plan.size, device=y.device).clamp(max=rows - 1)
    taken = (torch.arange(blocks, device=y.device)[:, None] * rows + own).flatten()
    origin = y[taken].view(-1, plan.rows, d).mean(1)
    local, g = y[taken] - origin.repeat_interleave(plan.rows, 0), gain[taken, None]
    origins = y.new_zeros(len(origin), width)
    origins[:, :d] = origin
    queries = torch.cat([local * g, g, y.new_zeros(len(taken), width - d - 1)], 1)
    keys, splits, where = _keys(centres, log_weights, parts, plan.columns, splits, width)
    results = y.new_empty(splits, len(taken), width)
    arguments = [queries * _LOG2_E, origins, keys, results, *where, None if parts is None else programs]
    arguments += [d, width, plan.rows, plan.columns]
    if plan.precision:
        kernel, arguments = (
            _tensor_core_kernel,
            [*arguments, max(16, triton.next_power_of_2(d)), plan.precision],
        )
    else:
        kernel, arguments = _scalar_kernel, [*arguments, 32 * plan.warps]
    options = {"num_warps": plan.warps, "num_stages": plan.stages, "enable_fp_fusion": True}
    with torch.cuda.device_of(y):
        kernel[blocks * programs, splits](*arguments, **options)

    results, local = (x.unflatten(-2, (blocks, -1))[..., :rows, :].flatten(-3, -2) for x in (results, local))
    log_sums = results[:, :, d + 1] / _LOG2_E
    log_sum = torch.logsumexp(log_sums, 0)
    # Not by einsum, which may be told to round to tf32.
    averages = (torch.exp(log_sums - log_sum)[:, :, None] * results[:, :, : d + 1]).sum(0)
    mean, half_norm, square = averages[:, :d], averages[:, d], local.square().sum(1)
    spread = square - 2 * (local * mean).sum(1) - 2 * half_norm
    return mean - local, spread, log_sum - 0.5 * gain * square


def _keys(
    centres: Tensor, log_weights: Tensor | None, parts: Parts | None, columns: int, splits: int, width: int
) -> tuple[Tensor, int, list[Any]]:
    """Centres as the kernels read them, how many programs share them, and where each of these finds its own.

    That is in the rows [split · span, (split + 1) · span), or in those that its block's list names: entries
    bounds[block] to bounds[block + 1] have a first row and a number of rows.
    """
    (m, d), places = centres.shape, torch.arange(len(centres), device=centres.device)
    if parts is None:
        span = triton.cdiv(m, splits * columns) * columns
        splits = triton.cdiv(m, span)  # so that none is without centres
        length, where = splits * span, [span, None, None, None]
    else:
        lengths = (parts.sizes + columns - 1) // columns * columns
        starts = lengths.cumsum(0) - lengths
        length, ahead = int(lengths.sum()), starts - parts.sizes.cumsum(0) + parts.sizes
        places += ahead.repeat_interleave(parts.sizes)
        entries = parts.needed.nonzero()[:, 1]
        bounds = torch.nn.functional.pad(parts.needed.sum(1).cumsum(0), (1, 0))
        where = [None, bounds, starts[entries], lengths[entries]]
    keys = centres.new_zeros(length, width)
    keys[:, d] = -math.inf  # of those that fill up
    keys[places, :d] = centres
    keys[places, d] = 0.0 if log_weights is None else log_weights * _LOG2_E
    return keys, splits, where


def _wanted_programs(device: torch.device) -> int:
    if device.type == "cpu":
        return 1
    return _PROGRAMS_PER_MULTIPROCESSOR * torch.cuda.get_device_properties(device).multi_processor_count
