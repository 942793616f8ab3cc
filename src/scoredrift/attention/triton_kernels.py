"""What the programs of ``scoredrift.attention.triton`` do on the device.

In few dimensions every thread has its own queries, its own origin and scalar arithmetic, about 3.4 d
instructions a pair on an H100. Tensor cores, with d padded to 16 and three tf32 products in place of one
in float32, take about 30 at any d ≤ 16, and barriers; they serve more dimensions.

A program reads the rows [split · span, (split + 1) · span) of the centres, or, where there are bounds, every
splits-th of the parts that its list names: entries bounds[l] to bounds[l + 1] have a first row and a number of rows.
"""

# mypy: disable-error-code="assignment, misc, var-annotated"
# Triton's language has no lists; its tuples grow.

from __future__ import annotations

import triton
import triton.language as tl

# Less than any logit, but finite: where there is no weight yet, −∞ − (−∞) would be NaN.
_LOWEST = tl.constexpr(-3e38)


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
def _scalar_scan(
    keys: tl.tensor,
    length: tl.tensor,
    seen: tl.tuple,
    sums: tl.tuple,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    THREADS: tl.constexpr,
) -> tuple:
    """Largest logits, and sums relative to them, with some more centres in them."""
    zero = tl.zeros((THREADS,), tl.float32)
    same = tl.zeros((THREADS,), tl.int32)
    origin, query = seen
    top, sums = sums
    for _ in range(0, length, COLUMNS):
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
    return top, sums


@triton.jit
def _scalar_kernel(
    queries: tl.tensor,
    origins: tl.tensor,
    keys: tl.tensor,
    results: tl.tensor,
    span: tl.tensor,
    bounds: tl.tensor,
    starts: tl.tensor,
    lengths: tl.tensor,
    programs: tl.tensor,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    THREADS: tl.constexpr,
) -> None:
    # All vectors run over threads, each with ROWS queries, so that nothing passes between threads.
    # Queries are (g y', g), centres (c', −½‖c'‖², 1); sums are weighted sums of centres.
    split = tl.program_id(1).to(tl.int64)
    results += split * tl.num_programs(0) * (THREADS * ROWS * WIDTH)
    thread = tl.program_id(0).to(tl.int64) * THREADS + tl.arange(0, THREADS)
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

    seen, sums = (origin, query), (top, sums)
    if bounds is None:
        part = keys + split * span * WIDTH
        sums = _scalar_scan(part, span, seen, sums, DIM, WIDTH, ROWS, COLUMNS, THREADS)
    else:
        entries = bounds + tl.program_id(0) // programs
        for entry in range(tl.load(entries) + split, tl.load(entries + 1), tl.num_programs(1)):
            part, length = keys + tl.load(starts + entry) * WIDTH, tl.load(lengths + entry)
            sums = _scalar_scan(part, length, seen, sums, DIM, WIDTH, ROWS, COLUMNS, THREADS)

    top, sums = sums
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
def _tensor_core_scan(
    keys: tl.tensor,
    length: tl.tensor,
    seen: tl.tuple,
    sums: tl.tuple,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tuple:
    """Largest logits, and sums relative to them, with some more centres in them."""
    columns = tl.arange(0, COLUMNS) * WIDTH
    axis = tl.arange(0, PADDED)[None, :]
    query, gain, origin = seen
    top, total, norm, mean = sums
    for _ in range(0, length, COLUMNS):
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
    return top, total, norm, mean


@triton.jit
def _tensor_core_kernel(
    queries: tl.tensor,
    origins: tl.tensor,
    keys: tl.tensor,
    results: tl.tensor,
    span: tl.tensor,
    bounds: tl.tensor,
    starts: tl.tensor,
    lengths: tl.tensor,
    programs: tl.tensor,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    block, split = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    results += split * tl.num_programs(0) * (ROWS * WIDTH)
    rows = (block * ROWS + tl.arange(0, ROWS)) * WIDTH
    axis = tl.arange(0, PADDED)[None, :]

    origin = tl.load(origins + block * WIDTH + axis, mask=axis < DIM, other=0.0)
    query = tl.load(queries + rows[:, None] + axis, mask=axis < DIM, other=0.0)
    gain = tl.load(queries + rows + DIM)
    zero = tl.zeros((ROWS,), tl.float32)
    seen = (query, gain, origin)
    sums = (zero + _LOWEST, zero, zero, tl.zeros((ROWS, PADDED), tl.float32))
    if bounds is None:
        part = keys + split * span * WIDTH
        sums = _tensor_core_scan(part, span, seen, sums, DIM, WIDTH, COLUMNS, PADDED, PRECISION)
    else:
        entries = bounds + block // programs
        for entry in range(tl.load(entries) + split, tl.load(entries + 1), tl.num_programs(1)):
            part, length = keys + tl.load(starts + entry) * WIDTH, tl.load(lengths + entry)
            sums = _tensor_core_scan(part, length, seen, sums, DIM, WIDTH, COLUMNS, PADDED, PRECISION)

    top, total, norm, mean = sums
    tl.store(results + rows[:, None] + axis, mean / tl.maximum(total, 1.0)[:, None], mask=axis < DIM)
    tl.store(results + rows + DIM, norm / tl.maximum(total, 1.0))
    tl.store(results + rows + (DIM + 1), top + tl.log2(total))
