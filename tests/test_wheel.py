"""What Colab does: a fresh environment, the package, and a notebook in an empty folder."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import chapters

ROOT = Path(__file__).resolve().parents[1]
BOOK = chapters.Book(ROOT)


def run(*command: str | Path, **options) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpreter of an environment with the built wheel and a kernel, and nothing else asked for."""
    home = tmp_path_factory.mktemp("fresh")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", home, ROOT)
    (wheel,) = home.glob("scoredrift-*.whl")
    venv.create(home / "venv", with_pip=True)
    python = home / "venv/bin/python"
    pins = ROOT / "constraints.txt"
    run(*pip, "--python", python, "install", "--quiet", "--constraint", pins, wheel, "ipykernel")
    return python


def execute(page: Path, python: Path, folder: Path) -> nbformat.NotebookNode:
    """Run the committed notebook of a page in a folder, with the interpreter given."""
    notebook = nbformat.read((ROOT / page).with_suffix(".ipynb"), as_version=4)
    kernel = folder / "jupyter/kernels/fresh"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "fresh", "language": "python"})
    )
    empty = folder / "empty"
    empty.mkdir()
    client = NotebookClient(
        notebook,
        kernel_name="fresh",
        timeout=chapters.CELL_TIMEOUT,
        resources={"metadata": {"path": str(empty)}},
    )
    client.execute()
    assert list(empty.iterdir()) == []  # a chapter leaves nothing behind
    return notebook


@pytest.mark.parametrize("page", BOOK.pages(), ids=str)
def test_notebook_needs_the_wheel_and_nothing_else(
    page: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = execute(page, fresh, tmp_path)
    quoted = chapters.quoted_numbers([c for c in notebook.cells if c.cell_type == "code"])
    committed = nbformat.read((ROOT / page).with_suffix(".ipynb"), as_version=4)
    assert quoted == chapters.quoted_numbers([c for c in committed.cells if c.cell_type == "code"])


def install(python: Path, address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the install cell of a notebook with another address."""
    cell = chapters.INSTALL.format(address=address)
    return subprocess.run([str(python), "-c", cell], cwd=folder, capture_output=True, text=True, check=False)


def test_install_cell_brings_the_package_and_leaves_torch_alone(fresh: Path, tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing to install from")
    version = "import importlib.metadata as m; print(m.version('torch'))"
    before = run(fresh, "-c", version)
    run(fresh, "-m", "pip", "uninstall", "--quiet", "--yes", "scoredrift")
    for address, message in (
        ("", "knows no address"),
        (f"file://{tmp_path}/nowhere", "pip could not install"),
    ):
        failed = install(fresh, address, tmp_path)
        assert failed.returncode != 0
        assert "RuntimeError: " in failed.stderr
        assert message in failed.stderr
    done = install(fresh, f"file://{ROOT}", tmp_path)
    assert done.returncode == 0, done.stderr
    run(fresh, "-c", "import scoredrift, os; assert 'site-packages' in scoredrift.__file__", cwd=tmp_path)
    assert run(fresh, "-c", version) == before
    assert os.listdir(tmp_path) == []
