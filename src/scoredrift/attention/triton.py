"""Softmax averages over all centres on CUDA: Triton kernels that never store the N × M logits.

For a query y with gain g and centres c_j with log-weights λ_j, in coordinates y' = y − o, c' = c − o,

    logit_j + ½ g ‖y'‖² = g y'·c'_j − ½ g ‖c'_j‖² + λ_j,         r = softmax(logits),
    shift  = Σ r_j c'_j − y',
    spread = Σ r_j ‖c'_j‖² − 2 y'·Σ r_j c'_j + ‖y'‖²,            log_sum = log Σ exp(logit_j).

Any origin o will do, but the right side keeps its digits in float32 only where y' is small: queries
that are neighbours in memory share an origin, their mean, and callers sort queries for this.

As in flash attention, sums are kept relative to the largest logit so far. Where queries are too few to
fill the device, programs share out the centres, too; averages over some of the centres are averaged
with weights exp(log_sum).

In few dimensions every thread has its own queries, its own origin and scalar arithmetic, about 3.4 d
instructions a pair on an H100. Tensor cores, with d padded to 16 and three tf32 products in place of one
in float32, take about 30 at any d ≤ 16, and barriers; they serve more dimensions.
"""

# mypy: disable-error-code="assignment, misc, var-annotated"
# Triton's language has no lists; its tuples grow.

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

# In more dimensions the sums do not fit into registers.
MAX_DIM = 128
# Equal programs leave most of the device idle in their last wave, which matters less after many waves.
_PROGRAMS_PER_MULTIPROCESSOR = 32
# Fewer centres do not repay the start of a program.
_LEAST_SPAN = 256
_LOG2_E = math.log2(math.e)
# Less than any logit, but finite: where there is no weight yet, −∞ − (−∞) would be NaN.
_LOWEST = tl.constexpr(-3e38)


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


def moments(
    y: Tensor,
    gain: Tensor,
    centres: Tensor,
    log_weights: Tensor | None,
    *,
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
    (n, d), m = y.shape, len(centres)
    plan = plan or Plan.usual(d)
    size = plan.rows if plan.precision else plan.rows * 32 * plan.warps
    blocks = triton.cdiv(n, size)
    if splits is None:
        splits = min(triton.cdiv(_wanted_programs(y.device), blocks), triton.cdiv(m, _LEAST_SPAN))
    span = triton.cdiv(m, splits * plan.columns) * plan.columns
    splits = triton.cdiv(m, span)  # so that none is without centres

    # Kernels read and write rows of whole 16 bytes, in full blocks: surplus queries repeat the last one,
    # surplus centres have no weight.
    width = triton.cdiv(d + 2, 4) * 4
    last = torch.arange(blocks * size, device=y.device).clamp(max=n - 1)
    origin = y[last].view(-1, plan.rows, d).mean(1)
    local = y - origin.repeat_interleave(plan.rows, 0)[:n]
    origins, keys = y.new_zeros(len(origin), width), y.new_zeros(splits * span, width)
    origins[:, :d] = origin
    queries = torch.cat([local * gain[:, None], gain[:, None], y.new_zeros(n, width - d - 1)], 1)[last]
    keys[:m, :d], keys[m:, d] = centres, -math.inf
    if log_weights is not None:
        keys[:m, d] = log_weights * _LOG2_E
    results = y.new_empty(splits, blocks * size, width)
    kernel, extra = _scalar_kernel, (32 * plan.warps,)
    if plan.precision:
        kernel, extra = _tensor_core_kernel, (max(16, triton.next_power_of_2(d)), plan.precision)
    arguments = (queries * _LOG2_E, origins, keys, results, span, d, width, plan.rows, plan.columns, *extra)
    with torch.cuda.device_of(y):
        kernel[blocks, splits](
            *arguments, num_warps=plan.warps, num_stages=plan.stages, enable_fp_fusion=True
        )

    log_sums = results[:, :n, d + 1] / _LOG2_E
    log_sum = torch.logsumexp(log_sums, 0)
    # Not by einsum, which may be told to round to tf32.
    averages = (torch.exp(log_sums - log_sum)[:, :, None] * results[:, :n, : d + 1]).sum(0)
    mean, half_norm, own = averages[:, :d], averages[:, d], local.square().sum(1)
    spread = own - 2 * (local * mean).sum(1) - 2 * half_norm
    return mean - local, spread, log_sum - 0.5 * gain * own


def _wanted_programs(device: torch.device) -> int:
    if device.type == "cpu":
        return 1
    return _PROGRAMS_PER_MULTIPROCESSOR * torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit
def _load_row(pointers: tl.tensor, COUNT: tl.constexpr) -> tuple:
    """The first COUNT numbers of each thread's row, each a vector over threads, by loads of 16 bytes."""
    row = ()
    for k in tl.static_range(0, COUNT, 4):
        four = tl.load(pointers[:, None] + (k + tl.arange(0, 4))[None, :])
        even, odd = tl.split(tl.reshape(four, (four.shape[0], 2, 2)))
        first, third = tl.split(even)
        second, fourth = tl.split(odd)
        row += (first, second, third, fourth)
    return row


@triton.jit
def _scalar_kernel(
    queries: tl.tensor,
    origins: tl.tensor,
    keys: tl.tensor,
    results: tl.tensor,
    span: tl.tensor,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    THREADS: tl.constexpr,
) -> None:
    # All vectors run over threads, each with ROWS queries, so that nothing passes between threads.
    # Queries are (g y', g), centres (c', −½‖c'‖², 1); sums are weighted sums of centres.
    split = tl.program_id(1).to(tl.int64)
    keys += split * span * WIDTH
    results += split * tl.num_programs(0) * (THREADS * ROWS * WIDTH)
    thread = tl.program_id(0).to(tl.int64) * THREADS + tl.arange(0, THREADS)
    same = tl.zeros((THREADS,), tl.int32)
    zero = tl.zeros((THREADS,), tl.float32)

    origin = _load_row(origins + thread * WIDTH, DIM)
    query = ()
    top = ()
    sums = ()
    for i in tl.static_range(ROWS):
        query += (_load_row(queries + (thread * ROWS + i) * WIDTH, DIM + 1),)
        top += (zero + _LOWEST,)
        for _ in tl.static_range(DIM + 2):
            sums += (zero,)

    for _ in range(0, span, COLUMNS):
        centre = ()
        logit = ()
        new_top = top
        for j in tl.static_range(COLUMNS):
            key = _load_row(keys + (same + j * WIDTH), DIM + 1)
            square = zero
            for k in tl.static_range(DIM):
                local = key[k] - origin[k]
                square = tl.fma(local, local, square)
                centre += (local,)
            centre += (-0.5 * square, zero + 1.0)
            raised = ()
            for i in tl.static_range(ROWS):
                value = key[DIM]
                for k in tl.static_range(DIM, -1, -1):
                    value = tl.fma(query[i][k], centre[j * (DIM + 2) + k], value)
                logit += (value,)
                raised += (tl.maximum(new_top[i], value),)
            new_top = raised
        new_sums = ()
        for i in tl.static_range(ROWS):
            keep = tl.exp2(top[i] - new_top[i])
            weight = ()
            for j in tl.static_range(COLUMNS):
                weight += (tl.exp2(logit[j * ROWS + i] - new_top[i]),)
            for k in tl.static_range(DIM + 2):
                part = weight[0] * centre[k]  # few roundings are as large as those of the whole sum
                for j in tl.static_range(1, COLUMNS):
                    part = tl.fma(weight[j], centre[j * (DIM + 2) + k], part)
                new_sums += (tl.fma(sums[i * (DIM + 2) + k], keep, part),)
        top = new_top
        sums = new_sums
        keys += COLUMNS * WIDTH

    for i in tl.static_range(ROWS):
        row = ()
        # At least 1, the largest weight, unless all are zero.
        total = sums[i * (DIM + 2) + DIM + 1]
        for k in tl.static_range(DIM + 1):
            row += (sums[i * (DIM + 2) + k] / tl.maximum(total, 1.0),)
        row += (top[i] + tl.log2(total), zero, zero, zero)
        for k in tl.static_range(0, WIDTH, 4):
            four = tl.join(tl.join(row[k], row[k + 2]), tl.join(row[k + 1], row[k + 3]))
            places = ((thread * ROWS + i) * WIDTH + k)[:, None] + tl.arange(0, 4)[None, :]
            tl.store(results + places, tl.reshape(four, (THREADS, 4)))


@triton.jit
def _tensor_core_kernel(
    queries: tl.tensor,
    origins: tl.tensor,
    keys: tl.tensor,
    results: tl.tensor,
    span: tl.tensor,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    block, split = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    keys += split * span * WIDTH
    results += split * tl.num_programs(0) * (ROWS * WIDTH)
    rows = (block * ROWS + tl.arange(0, ROWS)) * WIDTH
    columns = tl.arange(0, COLUMNS) * WIDTH
    axis = tl.arange(0, PADDED)[None, :]

    origin = tl.load(origins + block * WIDTH + axis, mask=axis < DIM, other=0.0)
    query = tl.load(queries + rows[:, None] + axis, mask=axis < DIM, other=0.0)
    gain = tl.load(queries + rows + DIM)
    top = tl.full((ROWS,), _LOWEST, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    norm = tl.zeros((ROWS,), tl.float32)
    mean = tl.zeros((ROWS, PADDED), tl.float32)
    for _ in range(0, span, COLUMNS):
        centre = tl.load(keys + columns[:, None] + axis, mask=axis < DIM, other=0.0) - origin
        half_norm = tl.sum(centre * centre, 1) * -0.5
        logit = tl.fma(gain[:, None], half_norm[None, :], tl.load(keys + columns + DIM)[None, :])
        logit += tl.dot(query, tl.trans(centre), input_precision=PRECISION)
        new_top = tl.maximum(top, tl.max(logit, 1))
        keep = tl.exp2(top - new_top)
        weight = tl.exp2(logit - new_top[:, None])
        total = tl.fma(total, keep, tl.sum(weight, 1))
        norm = tl.fma(norm, keep, tl.sum(weight * half_norm[None, :], 1))
        # Not summed by the tensor cores: they round towards zero, and thousands of blocks would drift.
        mean = tl.fma(mean, keep[:, None], tl.dot(weight, centre, input_precision=PRECISION))
        top = new_top
        keys += COLUMNS * WIDTH
    tl.store(results + rows[:, None] + axis, mean / tl.maximum(total, 1.0)[:, None], mask=axis < DIM)
    tl.store(results + rows + DIM, norm / tl.maximum(total, 1.0))
    tl.store(results + rows + (DIM + 1), top + tl.log2(total))
