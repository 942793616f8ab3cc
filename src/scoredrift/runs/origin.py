"""Where a stored number comes from: device, command, seed, commit, versions, precision, duration."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np  # loads its linear algebra, which threadpool_info then sees
import scipy
import torch
from threadpoolctl import threadpool_info

from scoredrift import _checks
from scoredrift._version import __version__

UNKNOWN = "unknown, perhaps modified"


def provenance(*, seed: int, device: torch.device | str) -> dict[str, Any]:
    """Everything that someone needs to run it again and compare; take it when the run starts.

    Args:
        seed: seed of the run.
        device: where it runs.

    Returns:
        Dictionary of texts and numbers, in a form that JSON holds. ``matmul`` is what torch does with
        products of float32 matrices: "highest" is float32, anything else is less. The duration is for
        the run to add.

    >>> sorted(provenance(seed=1, device="cpu"))[:4]
    ['command', 'commit', 'date', 'device']
    """
    return {
        "command": _command(sys.argv),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "device": device_name(device),
        "matmul": torch.get_float32_matmul_precision(),
        "seed": _checks.count("seed", seed, least=0),
        "threads": torch.get_num_threads(),
        "versions": versions(device),
    }


def _command(words: list[str]) -> str:
    """The call without the folder of the result, nor others of this machine: they decide no number."""
    kept = [Path(words[0]).name]
    for before, word in pairwise(words):
        if word != "--out" and before != "--out" and not word.startswith("--out="):
            option, equals, value = word.rpartition("=")
            kept.append(option + equals + (Path(value).name if Path(value).is_absolute() else value))
    return " ".join(kept)


def versions(device: torch.device | str) -> dict[str, str]:
    """Versions of what computes on a device; the package need not be installed.

    Args:
        device: torch device; on CUDA, Triton and CUDA count too.

    >>> list(versions("cpu"))
    ['python', 'scoredrift', 'torch']
    """
    found = {
        "python": platform.python_version(),
        "scoredrift": __version__,
        "torch": torch.__version__,
    }
    if _checks.kind_of(device).type == "cuda":
        found["cuda"] = str(torch.version.cuda)
        if importlib.util.find_spec("triton"):
            import triton  # its distribution may have another name

            found["triton"] = triton.__version__
    return found


def device_name(device: torch.device | str) -> str:
    """Name of the processor behind a torch device.

    Args:
        device: torch device.

    >>> device_name("cpu") != ""
    True
    """
    kind = _checks.kind_of(device)
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    if kind.type != "cpu":
        return kind.type
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """The kind of machine: everything that decides the last bits of a number, beside code and seed.

    Returns:
        Processor, the vector instructions that torch uses, the kernels of numpy's linear algebra,
        threads, and the versions of the numerical libraries; in a form that JSON holds. Two machines
        with the same answer are expected to print the same digits.

    >>> machine()["torch"] == torch.__version__
    True
    """
    blas = {pool.get("architecture") or "" for pool in threadpool_info() if pool["user_api"] == "blas"}
    return {
        "blas": sorted(blas - {""}),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": device_name("cpu"),
        "threads": torch.get_num_threads(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,  # with its build, which the metadata of a package may lack
    }


def commit() -> str:
    """Commit of the checkout that the package runs from, marked where files differ from it.

    A copy of the files has no commit to read, or that of whoever made a history of its own for it: whoever
    copies sets the environment variable ``SCOREDRIFT_COMMIT``, which is believed before all else. A repository
    that merely surrounds the package, as the project in whose environment it is installed, is not its
    checkout.

    Returns:
        What the variable says; else the hash, with "+" appended where there are uncommitted changes. Outside
        a checkout "released" for an installed package; "unknown, perhaps modified" for a mere copy, and where
        git is missing or refuses to look, as it does in a checkout of another user.

    >>> len(commit()) > 0
    True
    """
    return _commit(Path(__file__).parents[1])


def _commit(package: Path) -> str:
    if told := os.environ.get("SCOREDRIFT_COMMIT"):
        return told
    root = package.parents[1]
    if (root / ".git").exists() and package == root / "src" / package.name:
        try:
            head = _git("rev-parse", "--short=12", "HEAD", folder=package)
            changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", folder=package)
            tracked = _git("ls-files", "--", "__init__.py", folder=package)
        except (OSError, subprocess.CalledProcessError):
            return UNKNOWN
        if tracked:
            return head + ("+" if changed else "")
    installed = not {"site-packages", "dist-packages"}.isdisjoint(package.parts)
    return "released" if installed else UNKNOWN


def _git(*words: str, folder: Path) -> str:
    # Variables such as GIT_DIR, which hooks set, would lead to another repository.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    options: dict[str, Any] = {"check": True, "capture_output": True, "encoding": "utf-8", "env": own}
    return subprocess.run(["git", *words], cwd=folder, **options).stdout.strip()
