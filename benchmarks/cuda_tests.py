"""The tests that need a GPU, with a summary that survives an interruption.

    python benchmarks/cuda_tests.py --out FOLDER

These are the tests marked ``cuda``. Exit status 0: some passed and none failed; a run in which all were
skipped is a failure. The rehearsal runs the kernels' tests in Triton's interpreter instead.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from scoredrift.runs import provenance, save_json

FILE = "cuda-tests.json"
TESTS = Path(__file__).resolve().parents[1] / "tests"
LONGEST = 4000  # characters of a failure that are kept


class Recorder:
    """Pytest plugin that writes the outcome of every test as soon as it is known."""

    def __init__(self, path: Path, report: dict[str, Any]) -> None:
        self.path, self.began = path, time.perf_counter()
        self.report = report | {"complete": False, "passed": 0, "failed": 0, "skipped": 0, "tests": []}
        self.write()

    def write(self) -> None:
        self.report["provenance"]["seconds"] = round(time.perf_counter() - self.began, 1)
        save_json(self.path, self.report)

    def add(self, name: str, outcome: str, reason: str, seconds: float = 0.0) -> None:
        self.report[outcome] += 1
        test = {"name": name, "outcome": outcome, "seconds": round(seconds, 2)}
        self.report["tests"].append(test | ({"reason": reason[-LONGEST:]} if reason else {}))
        self.write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self.add(report.nodeid, report.outcome, _reason(report), report.duration)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self.add(report.nodeid, report.outcome, _reason(report))

    def finish(self, status: int) -> bool:
        """Write the end, and say whether some tests passed and nothing went wrong."""
        self.report |= {"complete": True, "exit_status": status}
        self.write()
        return status == 0 and self.report["passed"] > 0 and self.report["failed"] == 0


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    return "" if report.passed else str(report.longrepr)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of the summary")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, in Triton's interpreter")
    arguments = parser.parse_args()
    # Of the project's pytest options only where tests and tools lie is wanted; what notebooks need, nbval
    # and the conftest of the root, may not be there.
    words = ["-o", "addopts=", "-p", "no:cacheprovider", "-q", f"--confcutdir={TESTS}"]
    report: dict[str, Any] = {}
    if arguments.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
        words += [str(TESTS / "attention" / "test_triton.py"), "-k", "one_query or no_multiples"]
        report["rehearsal"] = True
    else:
        files = [path for path in sorted(TESTS.rglob("test_*.py")) if "needs_cuda" in path.read_text("utf-8")]
        words += [*map(str, files), "-m", "cuda"]
        if importlib.util.find_spec("xdist"):
            # Compiling takes longer than running, and can be done side by side.
            words += ["-n", str(min(8, os.cpu_count() or 1))]
    # Each test fixes its own seeds.
    there = torch.cuda.is_available() and not arguments.rehearse
    report["provenance"] = provenance(seed=0, device="cuda" if there else "cpu")
    recorder = Recorder(arguments.out / FILE, report)
    good = recorder.finish(int(pytest.main(words, plugins=[recorder])))
    counts = ", ".join(f"{recorder.report[name]} {name}" for name in ("passed", "failed", "skipped"))
    print(counts, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
