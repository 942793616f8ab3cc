"""What a reader has: an environment with the package and a kernel, a notebook, and an empty folder.

    python tools/reader.py [options of pytest]

builds the wheel, installs it where nothing else of this project is, and lets nbval run every
committed notebook there, several at a time, each in an empty folder of its own. A chapter must
leave nothing behind.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import chapters
import execution
from environment import settings_for_uv

ROOT = Path(__file__).resolve().parents[1]
KERNEL = "reader"
# Starts a kernel in an empty folder below the one given.
LAUNCH = (
    "import os, sys, tempfile; os.chdir(tempfile.mkdtemp(dir=sys.argv.pop(1))); "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
)


def run(*command: str | Path, **options: Any) -> str:
    """Output of a command that must succeed.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def install(python: Path, *requirements: str | Path) -> None:
    """Install into the environment of an interpreter; by uv, or by pip where uv is missing or fails."""
    if importlib.util.find_spec("uv") is not None:
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python"]
        try:
            run(*uv, python, *requirements, env=settings_for_uv())
        except RuntimeError as failed:
            print(f"uv failed, pip installs:\n{failed}", file=sys.stderr)
        else:
            return
    run(python, "-m", "pip", "install", "--quiet", *requirements)


def environment(home: Path) -> Path:
    """An environment with what the package and a kernel need, and without the package itself.

    Args:
        home: folder for it; what is there is used if it was made from the same pins.

    Returns:
        Its interpreter.
    """
    pins = Path(sys.prefix, "constraints.txt")
    if not pins.exists():  # an environment that tools/environment.py did not make
        pins = ROOT / "constraints.txt"
    needs = [pins.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), sys.version.encode()]
    mark = hashlib.sha256(b"\0".join(needs)).hexdigest()
    python, stamp = home / "venv/bin/python", home / "made-from"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != mark:
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home / "venv", with_pip=True)
        install(python, "--constraint", pins, wheel(home), "ipykernel")
        stamp.write_text(mark, encoding="utf-8")
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "scoredrift")
    return python


def wheel(home: Path) -> Path:
    """The package as it would be published, built from the checkout."""
    for old in home.glob("scoredrift-*.whl"):
        old.unlink()
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", home, ROOT)
    (built,) = home.glob("scoredrift-*.whl")
    return built


def kernel(home: Path, python: Path) -> dict[str, str]:
    """Register a kernel of the environment; its notebooks run in empty folders below ``home/empty``.

    Returns:
        Environment variables under which Jupyter finds it.
    """
    empty = home / "empty"
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir(parents=True)
    argv = [str(python), "-c", LAUNCH, str(empty), "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": KERNEL, "language": "python", "env": {"PYTHONPATH": ""}}
    folder = home / "jupyter/kernels" / KERNEL
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return {"JUPYTER_PATH": str(home / "jupyter")}


def leavings(home: Path) -> list[str]:
    """Files that notebooks left in the folders where they ran."""
    return sorted(str(p.relative_to(home / "empty")) for p in (home / "empty").glob("*/*"))


def main() -> int:
    """Run the committed notebooks as readers do; the exit status is pytest's, or 1 for leavings."""
    home = ROOT / "_build/reader"
    python = environment(home)
    install(python, "--no-deps", wheel(home))
    variables = os.environ | kernel(home, python)
    command = [sys.executable, "-m", "pytest", f"--nbval-kernel-name={KERNEL}", "--dist=loadscope"]
    command += [f"--numprocesses={execution.cores()}", *(sys.argv[1:] or ["book"])]
    status = subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode
    ran = len(list((home / "empty").iterdir()))
    if not sys.argv[1:] and ran != len(chapters.Book(ROOT).pages()):
        print(f"{ran} notebooks ran, the book has {len(chapters.Book(ROOT).pages())}", file=sys.stderr)
        return 1
    if left := leavings(home):
        print(f"notebooks left files behind: {', '.join(left)}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
