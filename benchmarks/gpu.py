"""The kernel-density score on a GPU: a literal step of the paper's experiment, and what limits it.

N = M = 100 000 points of the five-Gaussian law in R^10, float32, h = 0.6, t = t0 = 0.02. In one run:
two ceilings of the device (fused multiply-adds and exponentials a second, both from kernels that do
nothing else), our score and one Euler–Maruyama step with it, other plans of our kernel, torch's
attention, softmax in chunks, and KeOps where it is installed.

    python benchmarks/gpu.py                 # needs a CUDA device and Triton
    python benchmarks/gpu.py --store         # and keep the result for the page on performance
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch import Tensor

from scoredrift import EulerMaruyama, FlowScore, KernelDensity, OrnsteinUhlenbeck, kde_triton, mixture_of_five
from scoredrift.attention import local_blocks
from scoredrift.experiments.base import RESULTS
from scoredrift.process import scale, variance
from scoredrift.provenance import provenance

N, H, T0, DIM = 100_000, 0.6, 0.02, 10
# For each pair of a query and a centre, in d dimensions: d + 1 multiply-adds for the logit, d + 2 for
# the sums, and one exponential.
FMAS_PER_PAIR = (DIM + 1) + (DIM + 2)


@triton.jit
def _multiply_adds(out: tl.tensor, ROUNDS: tl.constexpr, BLOCK: tl.constexpr) -> None:
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
def _exponentials(out: tl.tensor, ROUNDS: tl.constexpr, BLOCK: tl.constexpr) -> None:
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = -1.0 - place * 1e-9
    b, c, d = a - 0.25, a - 0.5, a - 0.75
    for _ in range(ROUNDS):
        a, b, c, d = -tl.exp2(a), -tl.exp2(b), -tl.exp2(c), -tl.exp2(d)
    tl.store(out + place, a + b + c + d)


def seconds(task: Callable[[], object], rounds: int = 7) -> float:
    """Median time of a task by CUDA events, after two rounds of warming up."""
    times = []
    for i in range(rounds + 2):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        task()
        stop.record()
        torch.cuda.synchronize()
        if i >= 2:
            times.append(start.elapsed_time(stop) / 1000)
    return sorted(times)[len(times) // 2]


def ceiling(kernel: Callable, rounds: int = 4096, block: int = 1024) -> float:
    """Operations a second of a kernel that does four a round and thread."""
    programs = 64 * torch.cuda.get_device_properties(0).multi_processor_count
    out = torch.empty(programs * block, device="cuda")
    took = seconds(lambda: kernel[(programs,)](out, rounds, block, num_warps=8))
    return 4 * rounds * programs * block / took


def main() -> None:
    origin, began = provenance(seed=2602, device="cuda"), time.perf_counter()
    generator = torch.Generator("cuda").manual_seed(2602)
    centres = mixture_of_five(dtype=torch.float32).to(device="cuda").sample(N, generator=generator)
    model, ou = KernelDensity(centres, H), OrnsteinUhlenbeck()
    x = model.diffuse(T0).sample(N, generator=generator)
    a = float(scale(T0))
    b = a**2 * H**2 + float(variance(T0))
    exact = KernelDensity(centres.double(), H).at(x[:1000].double(), T0).score

    queries = torch.zeros(1, 1, N, 16, device="cuda")
    keys = torch.zeros(1, 1, N, 16, device="cuda")
    queries[0, 0, :, :DIM], queries[0, 0, :, DIM] = a / b * x, a**2 / b
    keys[0, 0, :, :DIM], keys[0, 0, :, DIM] = centres, -0.5 * centres.square().sum(1)

    def bare_attention() -> Tensor:
        averages = torch.nn.functional.scaled_dot_product_attention(queries, keys, keys, scale=1.0)
        return (a * averages[0, 0, :, :DIM] - x) / b

    def chunked_softmax(rows: int = 2000) -> Tensor:
        q, k = queries[0, 0], keys[0, 0]
        parts = [torch.softmax(block @ k.T, dim=1) @ k[:, :DIM] for block in q.split(rows)]
        return (a * torch.cat(parts) - x) / b

    def keops() -> Tensor:
        from pykeops.torch import LazyTensor

        points, values = LazyTensor(x[:, None, :]), LazyTensor(a * centres[None, :, :])
        logits = ((points - values) ** 2).sum(-1) / (-2 * b)
        return (logits.sumsoftmaxweight(values, dim=1, backend="GPU") - x) / b

    routes = {"scoredrift": lambda: model.at(x, T0).score, "bare_attention": bare_attention}
    routes["chunked_softmax"] = chunked_softmax
    if importlib.util.find_spec("pykeops"):
        routes["keops"] = keops
    rows = []
    for name, route in routes.items():
        off = float((route()[:1000].double() - exact).norm() / exact.norm())
        rows.append({"group": "score", "name": name, "median": seconds(route), "relative_error": off})

    score, step = FlowScore(model, ou), EulerMaruyama()
    noise = torch.randn(x.shape, generator=generator, device="cuda")
    rows.append(
        {
            "group": "step",
            "name": "euler_maruyama",
            "median": seconds(lambda: step.step(score, x, 0.028, T0, noise)),
        }
    )
    rows.append({"group": "parts", "name": "sorting", "median": seconds(lambda: local_blocks(x / a, 128))})
    order = local_blocks(x / a, 128).flatten()
    y, gain = (x / a)[order].contiguous(), torch.full((len(order),), a**2 / b, device="cuda")
    plans = [kde_triton.Plan.usual(DIM)]
    plans += [kde_triton.Plan(rows=r, columns=c, warps=w) for r in (2, 4, 8) for c in (4, 8) for w in (2, 4)]
    plans += [kde_triton.Plan(rows=64, columns=64, stages=2, precision=p) for p in ("tf32x3", "ieee")]
    for plan in plans:
        took = seconds(lambda plan=plan: kde_triton.moments(y, gain, centres, None, plan=plan), rounds=3)
        rows.append({"group": "plan", "name": str(plan), "median": took})

    fmas, exponentials = ceiling(_multiply_adds), ceiling(_exponentials)
    pairs = float(N) ** 2
    kernel = min(row["median"] for row in rows if row["group"] == "plan")
    rows += [
        {"group": "ceiling", "name": "multiply-adds", "median": pairs * FMAS_PER_PAIR / fmas, "rate": fmas},
        {"group": "ceiling", "name": "exponentials", "median": pairs / exponentials, "rate": exponentials},
    ]
    origin["seconds"] = round(time.perf_counter() - began, 1)
    for row in rows:
        print(f"{row['group']:9}{row['name']:75}{1000 * row['median']:9.2f} ms", flush=True)
    print(f"best kernel over the ceiling of multiply-adds: {kernel / (pairs * FMAS_PER_PAIR / fmas):.2f}")
    print(f"best kernel over the ceiling of exponentials: {kernel / (pairs / exponentials):.2f}")
    if "--store" in sys.argv:
        path = RESULTS / "benchmark-cuda.json"
        path.write_text(json.dumps({"provenance": origin, "rows": rows}, indent=1) + "\n")
        print(f"stored {path}")


if __name__ == "__main__":
    main()
