"""The project as a whole: one place for each fact, and documents whose code runs."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import book
import chapters
import environment
import scoredrift

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    """Normalised names of requirements."""
    return {re.match(r"[\w.-]+", r)[0].lower().replace("_", "-") for r in requirements}


def test_environment_declares_nothing_of_its_own() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "make", "pip"]
    assert pip == {"pip": ["--constraint constraints.txt", "--editable .[book,test,dev]"]}
    assert {"book", "test", "dev"} <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("python", ["3.11.0", "3.11.7", "3.12.0", "3.13.0", "3.14.0", "3.15.0"])
def test_every_declared_dependency_is_pinned_for_every_python(python: str) -> None:
    declared = names(PROJECT["dependencies"]).union(*map(names, PROJECT["optional-dependencies"].values()))
    assert declared <= environment.pins(environment.PINS.read_text(encoding="utf-8"), python).keys()


def test_pins_are_plain() -> None:
    lines = environment.PINS.read_text(encoding="utf-8").splitlines()
    pin = r"[a-z0-9-]+==[\w.]+( ; [^;#]+)?"
    assert all(re.fullmatch(pin, line) for line in lines), (
        "one pin a line, no build tags, hashes or addresses"
    )
    assert not [line for line in lines if line.startswith(environment.OF_CUDA_BUILDS)]
    assert PROJECT["requires-python"] == ">=" + environment.OLDEST.removesuffix(".0")


def test_address_follows_from_the_configuration() -> None:
    for name, text in book.address(ROOT).items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name}: run `make address`"


@pytest.mark.parametrize("url", ["https://github.com/example/scoredrift", ""])
def test_address_is_written_everywhere_and_taken_back(tmp_path: Path, url: str) -> None:
    for name in ("README.md", "CITATION.cff", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    (tmp_path / "_config.yml").write_text(
        config.replace('url: ""', 'url: "https://github.com/old/place"'), encoding="utf-8"
    )
    for name, text in book.address(tmp_path).items():
        assert "old/place" in text
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "_config.yml").write_text(config.replace('url: ""', f'url: "{url}"'), encoding="utf-8")
    texts = book.address(tmp_path)
    assert all("old/place" not in text for text in texts.values())
    assert all(url.removeprefix("https://github.com/") in text for text in texts.values())
    assert tomllib.loads(texts["pyproject.toml"])["project"]["urls"] == ({"Repository": url} if url else {})
    assert yaml.safe_load(texts["CITATION.cff"]).get("repository-code", "") == url
    if not url:
        assert texts == {name: (ROOT / name).read_text(encoding="utf-8") for name in texts}


@pytest.mark.parametrize("document", ["README.md", "book/how-to.md"])
def test_code_of_the_documents_runs(
    document: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}  # a reader runs the blocks of a page one after the other
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    assert "±" in capsys.readouterr().out


def test_formulas_are_where_the_readme_says() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\| `(scoredrift\.\w+)` \| (.*) \|$", text, re.M)
    assert len(rows) >= 10
    for room, listed in rows:
        names = re.findall(r"`(\w+)`", listed)
        assert names
        missing = [name for name in names if not hasattr(importlib.import_module(room), name)]
        assert missing == [], room


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert scoredrift.__version__ == PROJECT["version"] == citation["version"]
    assert f"## {scoredrift.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_picture_of_the_readme_is_the_one_in_the_notebook() -> None:
    import nbformat

    notebook = nbformat.read(ROOT / "book/intro.ipynb", as_version=4)
    assert (ROOT / chapters.README_PICTURE).read_bytes() == chapters.readme_picture(notebook)


WITHOUT_TRITON = """
import sys
import pytest
sys.modules["triton"] = None
sys.exit(pytest.main(["-q", "--collect-only", "src/scoredrift/attention", "tests/attention"]))
"""


def test_examples_are_found_where_triton_is_not_installed() -> None:
    """As on a Mac: neither its kernels nor their tests are imported."""
    found = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert "attention/pruning.py" in found.stdout
    assert "attention/triton" not in found.stdout


def test_no_large_or_generated_file_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    tracked = [Path(line) for line in listed.stdout.splitlines()]
    assert not [f for f in tracked if f.parts[0] in ("_build", ".venv", "dist")]
    assert not [f for f in tracked if (ROOT / f).exists() and (ROOT / f).stat().st_size > 2_000_000]
