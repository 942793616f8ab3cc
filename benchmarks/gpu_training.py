"""Training on a GPU against a plain PyTorch loop and that of diffusers' examples, in bfloat16.

    python benchmarks/gpu_training.py --out FOLDER    # needs a CUDA device
    python benchmarks/gpu_training.py --rehearse      # tiny, on the CPU

The ways of ``bench_training.py``, in turn, and the memory that each takes; then ours through ``torch.compile``, if
there is time. Every row is written as soon as it is measured. ``make gpu`` runs this among other things.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import bench_training as bench
from scoredrift.networks import PointNetwork, image_unet
from scoredrift.runs import provenance, save_json

FILE = "benchmark-training-cuda.json"
_UNET = partial(image_unet, (1, 28, 28), channels=(32, 64, 64))
CASES = {
    "U-Net, batch 256": bench.Case(_UNET, 784, 256, 20),  # an H100 took 70 ms an update
    "MLP, batch 256": bench.Case(partial(PointNetwork, 64, width=512, depth=4), 64, 256, 100),
    "U-Net, batch 1024": bench.Case(_UNET, 784, 1024, 20),
}
TINY = {"U-Net, tiny": bench.Case(partial(image_unet, (1, 8, 8), channels=(8,)), 64, 8, 2)}
ROUNDS = 3
Row = dict[str, Any]


def timed(run: Callable[[], object], device: str) -> tuple[float, float]:
    """Seconds of a run, and mebibytes at the peak, where the device counts them."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    return seconds, torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else math.nan


def rows(name: str, ways: dict[str, Callable[[], object]], device: str) -> list[Row]:
    """Images a second of all ways, in turn, and their times over the first's."""
    case = bench.CASES[name]
    found = torch.tensor([[timed(run, device) for run in ways.values()] for _ in range(ROUNDS + 1)])[1:]
    seconds, memory = found[:, :, 0].double(), found[:, :, 1]
    over = seconds / seconds[:, :1]
    return [
        {
            "group": name,
            "name": way,
            "median": float(seconds[:, k].median()),
            "images_per_second": case.batch * case.steps / float(seconds[:, k].median()),
            "over_ours": float(over[:, k].mean()),
            "over_ours_stderr": float(over[:, k].std() / ROUNDS**0.5),
            "mebibytes": None if device == "cpu" else float(memory[:, k].max()),
        }
        for k, way in enumerate(ways)
    ]


def measure(out: Path, *, rehearse: bool, until: float) -> None:
    """Measure all cases, and those through the compiler until a time on the clock."""
    device, began = "cpu" if rehearse else "cuda", time.perf_counter()
    bench.CASES |= TINY if rehearse else CASES
    report: dict[str, Any] = {"rehearsal": True} if rehearse else {}
    report |= {"provenance": provenance(seed=2602, device=device), "rows": [], "left_out": []}
    usual = {way.__name__: way for way in bench.WAYS}
    compiled = {"ours": bench.ours, "ours, compiled": partial(bench.ours, compiled=True)}
    for name in TINY if rehearse else CASES:
        for ways in (usual, compiled):
            if time.time() > until:
                report["left_out"] += [f"{name}, {way}" for way in ways]
                print(f"left out for lack of time: {name}, {', '.join(ways)}", flush=True)
                continue
            if ways is compiled and rehearse:
                continue  # needs a C++ compiler
            report["rows"] += (
                new := rows(name, {way: make(name, device) for way, make in ways.items()}, device)
            )
            report["provenance"]["seconds"] = round(time.perf_counter() - began, 1)
            save_json(out / FILE, report)
            for row in new:
                speed, over = row["images_per_second"], row["over_ours"]
                print(
                    f"{name:20}{row['name']:16}{speed:10.0f} a second, time over ours {over:.3f}", flush=True
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of the result")
    parser.add_argument("--until", type=float, default=math.inf, help="begin no case after this time.time()")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU; numbers mean nothing")
    arguments = parser.parse_args()
    if not arguments.rehearse and not torch.cuda.is_available():
        sys.exit(
            "benchmarks/gpu_training.py needs a CUDA device, and torch sees none; --rehearse does without"
        )
    measure(arguments.out, rehearse=arguments.rehearse, until=arguments.until)


if __name__ == "__main__":
    main()
