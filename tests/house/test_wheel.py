"""What Colab does: a fresh environment without the package, and the first cell of a notebook."""

import os
import subprocess
from pathlib import Path

import pytest

import chapters
import reader

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fresh() -> Path:
    """Interpreter of an environment that has torch and a kernel, but not the package."""
    return reader.environment(ROOT / "_build/reader")


def install(python: Path, address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the install cell of a notebook with another address."""
    cell = chapters.INSTALL.format(address=address)
    return subprocess.run([str(python), "-c", cell], cwd=folder, capture_output=True, text=True, check=False)


def test_install_cell_brings_the_package_and_leaves_torch_alone(fresh: Path, tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing to install from")
    version = "import importlib.metadata as m; print(m.version('torch'))"
    before = reader.run(fresh, "-c", version)
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
    inside = "import scoredrift, os; assert 'site-packages' in scoredrift.__file__"
    subprocess.run([fresh, "-c", inside], cwd=tmp_path, check=True)
    assert reader.run(fresh, "-c", version) == before
    assert os.listdir(tmp_path) == []
