"""The kernel-density score on a GPU: a literal step of the paper's experiment, and what limits it.

N = M = 100 000 points of the five-Gaussian law in R^10, float32, h = 0.6, t = t0 = 0.02. In one run:
two ceilings of the device (fused multiply-adds and exponentials a second, both from kernels that do
nothing else), our score and one Euler–Maruyama step with it, torch's attention, softmax in chunks,
KeOps where it is installed, softmax moments with centres of no weight passed over beside those from all centres,
the score of the empirical law of 50 000 coloured pictures beside its two matrix products, with the operations that
take most of its time, and other plans of our kernel, as many as there is time for.

    python benchmarks/gpu.py --out FOLDER    # needs a CUDA device and Triton
    python benchmarks/gpu.py --rehearse      # the same on the CPU, with 64 points, in Triton's interpreter

Every row is written as soon as it is measured. ``make gpu`` runs this among other things.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from photographs import Photographs
from scoredrift import EulerMaruyama, Flow, KernelDensity, OrnsteinUhlenbeck, mixture_of_five
from scoredrift.attention import centre_index, local_blocks, pruned_moments, softmax_moments
from scoredrift.process import scale, variance
from scoredrift.runs import provenance, save_json

FILE = "benchmark-cuda.json"
H, T0, DIM = 0.6, 0.02, 10
# For each pair of a query and a centre, in d dimensions: d + 1 multiply-adds for the logit, d + 2 for
# the sums, and one exponential.
FMAS_PER_PAIR = (DIM + 1) + (DIM + 2)
Row = dict[str, Any]


def in_turn(tasks: Mapping[str, Callable[[], object]], device: str, rounds: int = 7) -> dict[str, float]:
    """Median time of each task, by CUDA events where there are any; round by round, after two of warming up."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for i in range(rounds + 2):
        for name, task in tasks.items():
            began = time.perf_counter()
            if device == "cuda":
                start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                task()
                stop.record()
                torch.cuda.synchronize()
                took = start.elapsed_time(stop) / 1000
            else:
                task()
                took = time.perf_counter() - began
            if i >= 2:
                times[name].append(took)
    return {name: sorted(taken)[len(taken) // 2] for name, taken in times.items()}


def seconds(task: Callable[[], object], device: str, rounds: int = 7) -> float:
    """Median time of one task."""
    return in_turn({"": task}, device, rounds)[""]


class Setting:
    """Points, centres and what is derived from them, on a device."""

    def __init__(self, n: int, device: str) -> None:
        self.n, self.device = n, device
        self.generator = torch.Generator(device).manual_seed(2602)
        self.a = float(scale(T0))
        self.b = self.a**2 * H**2 + float(variance(T0))
        law = mixture_of_five(dtype=torch.float32).to(device=device)
        self.centres = law.sample(n, generator=self.generator)
        self.model = KernelDensity(self.centres, H)
        self.x = self.model.diffuse(T0).sample(n, generator=self.generator)

    def routes(self) -> dict[str, Callable[[], Tensor]]:
        """Ways to the same score, by name."""
        a, b, x, centres = self.a, self.b, self.x, self.centres
        queries, keys = (torch.zeros(1, 1, self.n, 16, device=self.device) for _ in range(2))
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

        routes = {"scoredrift": lambda: self.model.at(x, T0).score}
        routes |= {"bare_attention": bare_attention, "chunked_softmax": chunked_softmax}
        if self.device == "cuda" and importlib.util.find_spec("pykeops"):
            routes["keops"] = keops
        return routes


def main_rows(setting: Setting) -> Iterator[Row]:
    """Score, step, sorting and ceilings: what the page on performance needs."""
    import ceilings

    device, x, model = setting.device, setting.x, setting.model
    exact = KernelDensity(setting.centres.double(), H).at(x[:1000].double(), T0).score
    score, step = Flow(model, OrnsteinUhlenbeck()), EulerMaruyama()
    noise = torch.randn(x.shape, generator=setting.generator, device=device)
    routes = setting.routes()

    took = seconds(lambda: step.step(score, x, 0.028, T0, noise), device)
    yield {"group": "step", "name": "euler_maruyama", "median": took}
    took = seconds(lambda: local_blocks(x / setting.a, 128), device)
    yield {"group": "parts", "name": "sorting", "median": took}
    for name, kernel, per_pair in (
        ("multiply-adds", ceilings.multiply_adds, FMAS_PER_PAIR),
        ("exponentials", ceilings.exponentials, 1),
    ):
        rate = ceilings.rate(kernel, lambda task: seconds(task, device), device)
        yield {"group": "ceiling", "name": name, "median": setting.n**2 * per_pair / rate, "rate": rate}
    for name, took in in_turn(routes, device).items():
        off = float((routes[name]()[:1000].double() - exact).norm() / exact.norm())
        yield {"group": "score", "name": name, "median": took, "relative_error": off}


def list_rows(setting: Setting) -> Iterator[Row]:
    """Softmax moments at t0 from all centres, and from those that can count, on ten axes and on the plane."""
    for dim in (DIM, 2):
        centres = setting.centres[:, :dim].contiguous()
        index = centre_index(centres)
        took = seconds(partial(centre_index, centres), setting.device)
        yield {"group": "lists", "name": f"index, d = {dim}", "median": took}
        for h in (H, 0.1):
            x = KernelDensity(centres, h).diffuse(T0).sample(setting.n, generator=setting.generator)
            gain = torch.full((setting.n,), setting.a**2 / (setting.a**2 * h**2 + float(variance(T0))))
            given = x / setting.a, gain.to(x)
            seen, whole = pruned_moments(*given, index), softmax_moments(*given, centres)
            routes = {
                "lists": partial(pruned_moments, *given, index),
                "all centres": partial(softmax_moments, *given, centres),
            }
            for name, took in in_turn(routes, setting.device).items():
                yield {
                    "group": "lists",
                    "name": f"{name}, d = {dim}, h = {h}",
                    "median": took,
                    "visited": float(seen.visited.double().mean()) / setting.n,
                    "missed": float(seen.missed.max()),
                    "difference": float((seen.moments.shift - whole.shift).norm() / whole.shift.norm()),
                }


def image_rows(device: str, *, rehearse: bool) -> Iterator[Row]:
    """The score of the empirical law of pictures, 32 × 32 in colour, beside its two matrix products alone."""
    some = Photographs.synthetic(*((80, 10, 600) if rehearse else (50_000, 1000, 3072)), device)
    routes: dict[str, Callable[[], Tensor]] = {}
    wrong: dict[str, float] = {}
    for t in (0.002, 0.02, 2.0):
        x = some.queries(t)
        own = {
            f"scoredrift, t = {t}": lambda t=t, x=x: some.law.at(x, t).score,
            f"softmax, t = {t}": partial(some.softmax, x, t),
        }
        wrong |= {name: some.wrong(route(), x, t) for name, route in own.items()}
        routes |= own
    for name, took in in_turn(routes | {"products": partial(some.products, x)}, device).items():
        off = {"relative_error": wrong[name]} if name in wrong else {}
        yield {"group": "images", "name": name, "median": took} | off
    yield from profile_rows(routes["scoredrift, t = 0.02"], device)


def profile_rows(task: Callable[[], object], device: str, most: int = 15) -> Iterator[Row]:
    """Seconds of the operations that take most of one call, and how often they run."""
    activities = torch.profiler.supported_activities()
    with torch.profiler.profile(activities=activities) as profile:
        task()
        if device == "cuda":
            torch.cuda.synchronize()
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    found = sorted(profile.key_averages(), key=lambda one: -getattr(one, field))
    for one in found[:most]:
        yield {
            "group": "profile",
            "name": one.key[:75],
            "median": getattr(one, field) / 1e6,
            "calls": one.count,
        }


def plans() -> list[Any]:
    """The usual plan of the kernel, and others; those that take long to compile come last."""
    from scoredrift.attention.triton import Plan

    found = [Plan.usual(DIM)]
    found += [Plan(rows=64, columns=64, stages=2, precision=p) for p in ("tf32x3", "ieee")]
    found += [Plan(rows=r, columns=c, warps=w) for r in (2, 4, 8) for c in (4, 8) for w in (4, 2)]
    return list(dict.fromkeys(found))


def plan_row(setting: Setting, plan: Any) -> Row:
    """Time of the bare kernel with a plan."""
    from scoredrift.attention import triton

    scaled = setting.x / setting.a
    order = local_blocks(scaled, 128).flatten()
    y = scaled[order].contiguous()
    gain = torch.full((len(order),), setting.a**2 / setting.b, device=setting.device)
    rounds = 3 if setting.device == "cuda" else 1
    took = seconds(lambda: triton.moments(y, gain, setting.centres, None, plan=plan), setting.device, rounds)
    return {"group": "plan", "name": str(plan), "median": took}


def measure(out: Path, *, rehearse: bool, until: float) -> None:
    """Measure all rows, the other plans until a time on the clock, and write each as it comes."""
    device, began = "cpu" if rehearse else "cuda", time.perf_counter()
    report: dict[str, Any] = {"rehearsal": True} if rehearse else {}
    report |= {"provenance": provenance(seed=2602, device=device), "rows": [], "left_out": []}

    def keep(row: Row) -> None:
        report["rows"].append(row)
        report["provenance"]["seconds"] = round(time.perf_counter() - began, 1)
        save_json(out / FILE, report)
        print(f"{row['group']:9}{row['name']:75}{1000 * row['median']:9.2f} ms", flush=True)

    setting = Setting(64 if rehearse else 100_000, device)
    for row in main_rows(setting):
        keep(row)
    for row in chain(image_rows(device, rehearse=rehearse), list_rows(setting)):
        keep(row)
    for plan in plans():
        if time.time() > until:
            report["left_out"].append(str(plan))
        else:
            keep(plan_row(setting, plan))
    save_json(out / FILE, report)
    print(f"left out for lack of time: {len(report['left_out'])} plans")
    kernel = min((row["median"] for row in report["rows"] if row["group"] == "plan"), default=math.nan)
    for row in report["rows"]:
        if row["group"] == "ceiling":
            print(f"best kernel over the ceiling of {row['name']}: {kernel / row['median']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of the result")
    parser.add_argument("--until", type=float, default=math.inf, help="begin no plan after this time.time()")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU; numbers mean nothing")
    arguments = parser.parse_args()
    if importlib.util.find_spec("triton") is None:
        sys.exit("benchmarks/gpu.py needs Triton: pip install triton (CUDA builds of torch bring it)")
    if arguments.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which happens later
    elif not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a CUDA device, and torch sees none; --rehearse does without")
    measure(arguments.out, rehearse=arguments.rehearse, until=arguments.until)


if __name__ == "__main__":
    main()
