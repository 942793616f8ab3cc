"""Keep what a benchmark run found: small, with its provenance, where the book loads it.

python benchmarks/store.py _build/benchmark.json cpu [NAME]

In NAME ``{processor}`` stands for the widest instructions that torch uses here, avx2 or avx512.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from scoredrift.experiments import RESULTS
from scoredrift.runs import provenance, save_json


def main(report: Path, device: str, name: str) -> None:
    rows = []
    for one in json.loads(report.read_text(encoding="utf-8"))["benchmarks"]:
        stats = {key: one["stats"][key] for key in ("min", "median", "stddev", "rounds")}
        rows.append({"group": one["group"], "name": one["name"]} | stats | one["extra_info"])
    if not rows:
        print(f"nothing was measured for {name}; what is stored stays")
        return
    seconds = sum(row["median"] * row["rounds"] for row in rows)
    origin = provenance(seed=2602, device=device) | {"command": "make bench", "seconds": round(seconds, 1)}
    processor = torch.backends.cpu.get_cpu_capability().lower().replace(" ", "")
    path = RESULTS / f"benchmark-{name.format(processor=processor)}.json"
    save_json(path, {"provenance": origin, "rows": rows})
    print(f"stored {len(rows)} rows in {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[-1])
