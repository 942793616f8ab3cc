"""Fashion-MNIST in pixels at the scale of a GPU, all fresh fractions side by side, as far as the time goes.

    python benchmarks/pixels.py --out FOLDER --until $(($(date +%s) + 300))
    python benchmarks/pixels.py --out FOLDER --rehearse                      # the same on the CPU, tiny

Each run is a process of its own: one network alone leaves most of the device idle. Networks go through
torch.compile, which takes a minute or two before the first generation. The result is written anew
after every generation that all have ended, and none is begun that would end too late. Exit status 0: complete;
75: stopped for lack of time, with a result that says which generation it reached; 1: a process failed, or
nothing was reached.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from scoredrift.experiments import FASHION_PIXELS, digits_pictures, fashion_pictures, file_name, run_pixels
from scoredrift.runs import load, provenance, save

PARTIAL = 75  # EX_TEMPFAIL of sysexits.h: not done, call again
ALPHAS = (0.1, 0.5, 0.9)
SEED = 2602
MARGIN = 1.15  # a generation may take so much longer than the one before


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of the scale, or a rehearsal's."""
    if arguments.rehearse:
        tiny = {"channels": [8, 16], "size": 100, "steps": 4, "batch": 8, "sampler": 3, "generations": 1}
        return {**FASHION_PIXELS.scales["quick"], **tiny}
    return dict(FASHION_PIXELS.scales["paper"])


def one(arguments: argparse.Namespace) -> int:
    """A run: generation after generation while there is time."""
    settings = settings_of(arguments)
    device, pictures = ("cpu", digits_pictures()) if arguments.rehearse else ("cuda", fashion_pictures())
    took, history = 0.0, None
    for index in range(settings["generations"] + 1):
        if time.time() + MARGIN * took > arguments.until:
            return PARTIAL
        began = time.time()
        history = run_pixels(
            settings,
            alpha=arguments.alpha,
            run=arguments.run,
            seed=SEED,
            device=device,
            folder=None,
            progress=False,
            generations=index,
            after=history,
            pictures=pictures,
            compiled=not (arguments.rehearse or arguments.eager),
        )
        took = time.time() - began
        values = {name: history[name] for name in history.keys()}  # noqa: SIM118
        save(arguments.out / f"{arguments.alpha}-{arguments.run}", values, {"reached": index})
        print(f"alpha {arguments.alpha} run {arguments.run}: generation {index}, {took:.1f} s", flush=True)
    return 0


def combine(parts: Path, out: Path, arguments: argparse.Namespace, began: float) -> int:
    """Write what all runs have reached as one result, and say which generation that is; −1 for none."""
    settings = settings_of(arguments)
    runs = range(settings["runs"])
    files = {alpha: [parts / f"{alpha}-{run}" for run in runs] for alpha in ALPHAS}
    if not all(path.exists() for paths in files.values() for path in paths):
        return -1
    found = {alpha: [load(path) for path in paths] for alpha, paths in files.items()}
    reached = min(note["reached"] for several in found.values() for _, note in several)
    values = {
        f"{alpha}/{name}": torch.stack([one[name][: reached + 1] for one, _ in several])
        for alpha, several in found.items()
        for name in several[0][0]
    }
    origin = provenance(seed=SEED, device="cpu" if arguments.rehearse else "cuda")
    origin |= {"seconds": round(time.time() - began, 1), "workers": len(ALPHAS) * settings["runs"]}
    origin |= {"streams": "(seed, 1000 α, run)", "compiled": not (arguments.rehearse or arguments.eager)}
    note = {"experiment": FASHION_PIXELS.name, "scale": arguments.scale, "settings": settings}
    note |= {"axes": ["alpha"], "reached": reached, "rehearsal": arguments.rehearse, "provenance": origin}
    save(out / file_name(FASHION_PIXELS.name, arguments.scale), values, note)
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of the result")
    parser.add_argument("--until", type=float, default=math.inf, help="be done by this time.time()")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU; numbers mean nothing")
    parser.add_argument("--eager", action="store_true", help="networks as they are, without torch.compile")
    parser.add_argument("--alpha", type=float, help="of one run; all if it is left out")
    parser.add_argument("--run", type=int, default=0, help="number of the run")
    arguments = parser.parse_args()
    arguments.scale = "rehearsal" if arguments.rehearse else "paper"
    if arguments.alpha is not None:
        return one(arguments)
    began, settings = time.time(), settings_of(arguments)
    pairs = [(alpha, run) for run in range(settings["runs"]) for alpha in ALPHAS]
    # Convolutions of networks may round to TF32, as in anybody's pipeline.
    own = {name: value for name, value in os.environ.items() if "TF32_OVERRIDE" not in name}
    own |= {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // len(pairs)))}
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder)
        words = [sys.executable, __file__, "--out", folder, "--until", str(arguments.until)]
        words += [f"--{word}" for word in ("rehearse", "eager") if getattr(arguments, word)]
        processes = [
            subprocess.Popen([*words, "--alpha", str(alpha), "--run", str(run)], env=own)
            for alpha, run in pairs
        ]
        seen: list[float] = []
        while True:
            ended = all(process.poll() is not None for process in processes)
            files = [parts / f"{alpha}-{run}" for alpha, run in pairs]  # and no drafts, which vanish
            stamps = [path.stat().st_mtime for path in files if path.exists()]
            if stamps != seen or ended:
                seen, reached = stamps, combine(parts, arguments.out, arguments, began)
            if ended:
                break
            time.sleep(1)
    failed = any(process.returncode not in (0, PARTIAL) for process in processes)
    if failed or reached < 0:
        return 1
    return 0 if reached == settings["generations"] else PARTIAL


if __name__ == "__main__":
    sys.exit(main())
