"""What a device can do at most: kernels of nothing but multiply-adds, and of nothing but exponentials.

The rates are operations a second. They are measured in the same run as the kernels that they limit,
since clocks depend on card, load and temperature.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import triton
import triton.language as tl


@triton.jit
def multiply_adds(out: tl.tensor, ROUNDS: tl.constexpr, BLOCK: tl.constexpr) -> None:
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = place * 1e-9
    b, c, d = a + 0.25, a + 0.5, a + 0.75
    for _ in range(ROUNDS):
        a, b, c, d = (
            tl.fma(a, 0.999, 0.1),
            tl.fma(b, 0.999, 0.1),
            tl.fma(c, 0.999, 0.1),
            tl.fma(d, 0.999, 0.1),
        )
    tl.store(out + place, a + b + c + d)


@triton.jit
def exponentials(out: tl.tensor, ROUNDS: tl.constexpr, BLOCK: tl.constexpr) -> None:
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = -1.0 - place * 1e-9
    b, c, d = a - 0.25, a - 0.5, a - 0.75
    for _ in range(ROUNDS):
        a, b, c, d = -tl.exp2(a), -tl.exp2(b), -tl.exp2(c), -tl.exp2(d)
    tl.store(out + place, a + b + c + d)


def rate(kernel: Callable, seconds: Callable[[Callable[[], object]], float], device: str) -> float:
    """Operations a second of a kernel that does four a round and thread; ``seconds`` times a task."""
    rounds, block, programs = 4, 32, 1
    if device == "cuda":
        rounds, block = 4096, 1024
        programs = 64 * torch.cuda.get_device_properties(0).multi_processor_count
    out = torch.empty(programs * block, device=device)
    took = seconds(lambda: kernel[(programs,)](out, rounds, block, num_warps=8))
    return 4 * rounds * programs * block / took
