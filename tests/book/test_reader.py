"""A reader's environment: notebooks run in empty folders and must leave them so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import reader


def test_a_kernel_runs_in_an_empty_folder_of_its_own(tmp_path: Path) -> None:
    variables = reader.kernel(tmp_path, Path(sys.executable))
    spec = json.loads((tmp_path / "jupyter/kernels/reader/kernel.json").read_text(encoding="utf-8"))
    assert variables == {"JUPYTER_PATH": str(tmp_path / "jupyter")}
    assert spec["env"] == {"PYTHONPATH": ""}  # nothing of this project gets in by the side door
    python, option, launch, empty = spec["argv"][:4]
    shown = launch.partition("from ipykernel")[0] + "print(os.getcwd(), sys.argv)"
    said = [subprocess.check_output([python, option, shown, empty, "-f", "x"], text=True) for _ in range(2)]
    assert len({line.split()[0] for line in said}) == 2
    assert all(Path(line.split()[0]).parent == tmp_path / "empty" for line in said)
    assert all("['-c', '-f', 'x']" in line for line in said)
    assert reader.leavings(tmp_path) == []


def test_files_that_a_notebook_leaves_are_named(tmp_path: Path) -> None:
    reader.kernel(tmp_path, Path(sys.executable))
    folder = tmp_path / "empty/one"
    folder.mkdir()
    (folder / "left.csv").touch()
    assert reader.leavings(tmp_path) == ["one/left.csv"]


def test_a_command_that_fails_says_what_it_said() -> None:
    with pytest.raises(RuntimeError, match=r"planted"):
        reader.run(sys.executable, "-c", "raise SystemExit('planted')")


def test_pip_installs_where_uv_fails(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    commands: list[tuple] = []

    def run(*command, **options) -> str:
        commands.append(command)
        if "uv" in command:
            raise RuntimeError("no index answers")
        return ""

    monkeypatch.setattr(reader, "run", run)
    reader.install(Path("there/python"), "six")
    assert commands[-1] == (Path("there/python"), "-m", "pip", "install", "--quiet", "six")
    assert "no index answers" in capsys.readouterr().err
