"""Everything that needs a GPU, in one command that fits into ten minutes of a machine that is there once.

    python benchmarks/on_gpu.py --out FOLDER             # or: make gpu
    python benchmarks/on_gpu.py --out FOLDER --rehearse  # the same steps on the CPU, tiny
    python benchmarks/on_gpu.py --out FOLDER --store     # copy the results into the package

The steps run one after the other, each in a process of its own, the most valuable second first: the
CUDA tests (without them no other number means anything), the benchmarks of the score and of training,
Fashion-MNIST in pixels, the literal figure 1. A step has a share of the time; what it leaves goes to the
later ones, and the last takes all. A step that fails or hangs costs its share and nothing else: each writes
what it has as soon as it has it. Another call on the same folder repeats what did not end, goes on where
figure 1 stopped, and skips the rest.

The exit status is 1 if a step failed. A figure 1 that stopped for lack of time is no failure: its result
says how far it came.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SUMMARY, LOG = "summary.json", "log.txt"
MOST_FILES, MOST_BYTES, MOST_LOG = 8, 16_000_000, 500_000
PARTIAL = 75  # exit status of a step that wants to go on; EX_TEMPFAIL of sysexits.h
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")  # what scoredrift.runs calls a file until it is whole
GRACE = 5.0  # seconds between asking a process to end and ending it
# Modules that the steps import, with the names of the packages that have them.
NEEDED = {name: name for name in ("torch", "triton", "numpy", "scipy", "joblib", "tqdm", "safetensors")}
NEEDED |= {name: name for name in ("diffusers", "pytest", "hypothesis")} | {"sklearn": "scikit-learn"}
Record = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A command that writes ``file`` into the folder.

    Args:
        name: what the summary calls it.
        command: words of the command.
        file: what it leaves.
        share: largest part of all the time that it may take.
        reserve: seconds by which it is told to stop before it is stopped; None if it cannot be told.
    """

    name: str
    command: Sequence[str]
    file: str
    share: float = 1.0
    reserve: float | None = None


def steps(out: Path, *, rehearse: bool) -> list[Step]:
    """What ``make gpu`` does, in this order."""

    def script(name: str, *words: str) -> list[str]:
        own = [sys.executable, str(ROOT / "benchmarks" / name), "--out", str(out)]
        return [*own, *words, *(["--rehearse"] if rehearse else [])]

    scale, device = ("rehearsal", "cpu") if rehearse else ("paper", "cuda")
    return [
        Step("tests", script("cuda_tests.py"), "cuda-tests.json", share=0.25),
        # The reserve is for a plan that is being compiled when time is up.
        Step("benchmark", script("gpu.py"), "benchmark-cuda.json", share=0.12, reserve=25),
        Step("training", script("gpu_training.py"), "benchmark-training-cuda.json", share=0.08, reserve=15),
        Step(
            "pixels",
            script("pixels.py"),
            f"fashion-pixels-{scale}.safetensors",
            share=0.35,
            reserve=5,
        ),
        Step(
            "figure 1",
            script("literal.py", "--device", device),
            f"mixture-literal-{scale}.safetensors",
            reserve=5,
        ),
    ]


def missing() -> list[str]:
    """Packages that the steps need and this Python does not have."""
    return [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]


def not_ready(*, rehearse: bool) -> str | None:
    """What stands in the way, with the remedy; None if nothing does. What is quick to see comes first."""
    if sys.version_info < (3, 11):  # noqa: UP036 — said before an import fails
        return f"Python {sys.version.split()[0]} is too old: use 3.11 or newer, make gpu PYTHON=…"
    if absent := missing():
        names = " ".join(absent)
        return (
            f"{sys.executable} has no {', '.join(absent)}: pip install {names}\nWithout a network there: "
            f"elsewhere pip download --no-deps --dest wheels {names} (for that Python and platform), carry "
            f"the folder, pip install --no-index --no-deps wheels/*.whl"
        )
    import torch

    from scoredrift.runs import UNKNOWN, commit

    if not rehearse and not torch.cuda.is_available():
        return f"torch {torch.__version__} of {sys.executable} sees no CUDA device; try make gpu REHEARSE=1"
    if commit() in ("released", UNKNOWN):
        return (
            "no git history to read here, so no commit for the provenance: set SCOREDRIFT_COMMIT to its hash"
        )
    return None


class Run:
    """One call: a folder, an end, and what is known of each step.

    Args:
        out: folder of all results.
        seconds: time for everything.
        about: what the summary says of the whole: provenance, rehearsal or not.

    Raises:
        ValueError: the folder holds a rehearsal and this is none, or the other way round.
    """

    def __init__(self, out: Path, seconds: float, about: Record) -> None:
        self.out, self.seconds, self.end = out, seconds, time.time() + seconds
        self.about, self.log = about, b""
        self.records: dict[str, Record] = {}
        out.mkdir(parents=True, exist_ok=True)
        if (out / SUMMARY).exists():
            earlier = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
            if earlier["rehearsal"] != about["rehearsal"]:
                kind = "a rehearsal" if earlier["rehearsal"] else "results of a GPU"
                raise ValueError(f"out = {out}: holds {kind}; choose another folder")
            self.records = earlier["steps"]
            if (out / LOG).exists():
                self.log = (out / LOG).read_bytes()

    def say(self, line: str) -> None:
        """Print a line with the time of day, and keep the last ones in the log."""
        stamped = f"{time.strftime('%H:%M:%S')} {line}"
        print(stamped, flush=True)
        self.log = (self.log + stamped.encode() + b"\n")[-MOST_LOG:]

    def write(self) -> None:
        """Write summary and log, and drop the drafts of processes that were stopped while writing."""
        from scoredrift.runs import save_json, write

        for path in self.out.iterdir():
            if DRAFT.fullmatch(path.name):
                path.unlink()
        write(self.out / LOG, self.log)
        sizes = {path.name: path.stat().st_size for path in sorted(self.out.iterdir())}
        save_json(self.out / SUMMARY, self.about | {"steps": self.records, "files": sizes})

    def all(self, steps: Sequence[Step]) -> bool:
        """Run what is not yet done, and say whether nothing failed."""
        for step in steps:
            same = {name: self.about["provenance"][name] for name in ("commit", "device")}
            old = self.records.get(step.name, {})
            if (
                old.get("status") == "done"
                and same.items() <= old.items()
                and (self.out / step.file).exists()
            ):
                self.say(f"{step.name}: done before")
                continue
            self.records[step.name] = {"status": "interrupted", "command": list(step.command)} | same
            self.write()  # so that an interruption leaves this record
            self.records[step.name] |= self.one(step)
            self.say(f"{step.name}: {self.records[step.name]['status']}")
            self.write()
        self.say(f"{self.seconds - self.left():.0f} s of {self.seconds:.0f}; results in {self.out}")
        good = {"done", "partial"}
        failed = [step.name for step in steps if self.records[step.name]["status"] not in good]
        files = list(self.out.iterdir())
        size = sum(path.stat().st_size for path in files)
        if len(files) > MOST_FILES or size > MOST_BYTES:
            self.say(f"{len(files)} files of {size} bytes are more than {MOST_FILES} of {MOST_BYTES}")
            failed.append("size")
        self.say(f"failed: {', '.join(failed)}" if failed else "nothing failed")
        self.write()
        return not failed

    def left(self) -> float:
        """Seconds left of the whole."""
        return self.end - time.time()

    def one(self, step: Step) -> Record:
        """Run one step within its share, and say how it ended."""
        limit = min(step.share * self.seconds, self.left() - GRACE)
        if limit <= 0:
            return {"status": "no time", "seconds": 0.0}
        began = time.time()
        self.say(f"{step.name}: at most {limit:.0f} s")
        words = list(step.command)
        if step.reserve is not None:
            words += ["--until", str(began + limit - min(step.reserve, limit / 2))]
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        reader = threading.Thread(target=self._pass_on, args=(step.name, process.stdout), daemon=True)
        reader.start()
        late = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            late = True
        finally:  # also when this process is told to end
            stop(process)
            reader.join(GRACE)
        status = {0: "done", PARTIAL: "partial"}.get(process.returncode, "failed")
        if status == "done" and not (self.out / step.file).exists():
            status = "no result"
        seconds = round(time.time() - began, 1)
        return {
            "status": "out of time" if late else status,
            "exit": process.returncode,
            "seconds": seconds,
        }

    def _pass_on(self, name: str, lines: Any) -> None:
        for line in lines:
            self.say(f"  {name} | {line.rstrip()}")


def environment() -> dict[str, str]:
    """Of the steps: the package from this checkout, output at once, float32 products in float32."""
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    exact = {"NVIDIA_TF32_OVERRIDE": "0", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0"}
    return os.environ | exact | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def stop(process: subprocess.Popen) -> None:
    """End a process and all that it started, if they still run: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def store(out: Path, results: Path, *, partial: bool) -> list[Path]:
    """Copy the results into the package, where chapters load them.

    Args:
        out: folder of an earlier call.
        results: folder of the package's results.
        partial: take a figure 1 or a recursion in pixels that is not complete, too.

    Returns:
        The files.

    Raises:
        ValueError: a rehearsal, an incomplete result without ``partial``, a benchmark without CUDA tests
            that passed at its commit, results of uncommitted code, or nothing to store.
    """
    from scoredrift.experiments import benchmark, file_name, stored
    from scoredrift.runs import UNKNOWN, write

    copies: dict[str, Record] = {}
    for name in ("cuda", "training-cuda"):
        if (out / f"benchmark-{name}.json").exists():
            copies[f"benchmark-{name}.json"] = benchmark(name, out)["provenance"]
    for name in ("mixture-literal", "fashion-pixels"):
        if (out / file_name(name, "paper")).exists():
            copies[file_name(name, "paper")] = stored(name, "paper", out, partial=partial).provenance
    if not copies:
        raise ValueError(f"out = {out}: no results there; run make gpu")
    summary = out / "cuda-tests.json"
    tests = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else None
    for name, origin in copies.items():
        if origin["commit"].endswith(("+", UNKNOWN)):
            raise ValueError(f"{name} comes from uncommitted code ({origin['commit']}); commit, run again")
        if not tests or not _good(tests, origin["commit"]):
            raise ValueError(f"{name}: no CUDA tests that passed at its commit {origin['commit']}")
    for name in copies:
        write(results / name, (out / name).read_bytes())
    return [results / name for name in copies]


def _good(tests: Record, commit: str) -> bool:
    right = tests["provenance"]["commit"] == commit and not tests.get("rehearsal")
    return right and tests["complete"] and tests["passed"] > 0 and not tests["failed"]


def main(make_steps: Callable[..., list[Step]] = steps) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="the one folder of all results")
    parser.add_argument("--minutes", type=float, default=9.5, help="time for everything (default 9.5)")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, tiny; numbers mean nothing")
    parser.add_argument("--store", action="store_true", help="copy results into the package, run nothing")
    parser.add_argument("--partial", action="store_true", help="with --store: an incomplete figure 1, too")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))
    if obstacle := not_ready(rehearse=arguments.rehearse or arguments.store):
        print(f"on_gpu: {obstacle}", file=sys.stderr)
        return 2
    from scoredrift.experiments import RESULTS
    from scoredrift.runs import provenance

    try:
        if arguments.store:
            for path in store(arguments.out, RESULTS, partial=arguments.partial):
                print(f"stored {path}")
            return 0
        origin = provenance(seed=2602, device="cpu" if arguments.rehearse else "cuda")
        about = {"provenance": origin, "rehearsal": arguments.rehearse, "minutes": arguments.minutes}
        out = arguments.out.resolve()
        run = Run(out, 60 * arguments.minutes, about)
    except ValueError as error:
        print(f"on_gpu: {error}", file=sys.stderr)
        return 2
    return 0 if run.all(make_steps(out, rehearse=arguments.rehearse)) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the running step is ended, too
    sys.exit(main())
