"""Keep what benchmark runs found: small, with its provenance, where the book loads it.

python benchmarks/store.py _build/bench_kde_score.json _build/bench_pruning.json …

A report is named after its benchmark, and stored under that name unless ``NAMES`` has another, where ``{processor}``
stands for the widest instructions that torch uses here, avx2 or avx512. An environment that holds it to narrower ones
than the processor has stands in the command of the provenance.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from scoredrift.experiments import RESULTS
from scoredrift.runs import provenance, save_json

NAMES = {"kde_score": "cpu", "pruning": "pruning-{processor}"}
# What holds torch, its matrix products and its convolutions to narrower instructions than the processor has.
HELD = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")


def main(reports: list[Path]) -> None:
    # Once, before a file of the package changes: all tables name the commit that was measured.
    command = " ".join([f"{name}={os.environ[name]}" for name in HELD if name in os.environ] + ["make bench"])
    origin = provenance(seed=2602, device="cpu") | {"command": command}
    processor = torch.backends.cpu.get_cpu_capability().lower().replace(" ", "")
    for report in reports:
        rows = []
        for one in json.loads(report.read_text(encoding="utf-8"))["benchmarks"]:
            stats = {key: one["stats"][key] for key in ("min", "median", "stddev", "rounds")}
            rows.append({"group": one["group"], "name": one["name"]} | stats | one["extra_info"])
        name = report.stem.removeprefix("bench_")
        name = NAMES.get(name, name).format(processor=processor)
        if not rows:
            print(f"nothing was measured for {name}; what is stored stays")
            continue
        seconds = sum(row["median"] * row["rounds"] for row in rows)
        path = RESULTS / f"benchmark-{name}.json"
        save_json(path, {"provenance": origin | {"seconds": round(seconds, 1)}, "rows": rows})
        print(f"stored {len(rows)} rows in {path}")


if __name__ == "__main__":
    main([Path(one) for one in sys.argv[1:]])
