"""The build and the notebook runner go red when they should: planted faults in a miniature book."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import book
import chapters

ROOT = Path(__file__).resolve().parents[1]

CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
---

# A chapter

Twice two is {glue:text}`four`. {missing}

```{code-cell} ipython3
import sys

from scoredrift.notebook import quote

sys.path.insert(0, "../src")
import toy

open("runs.txt", "a").write("x")
quote("four", 2 * toy.TWO)
{statement}
```
"""


def chapter(statement: str = "toy.TWO", text: str = "") -> str:
    return CHAPTER.replace("{statement}", statement).replace("{missing}", text)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A book of one chapter, with the configuration, extensions and tools of the real one."""
    for name in (
        "_config.yml",
        "constraints.txt",
        "tools",
        "book/_ext",
        "book/_static",
        "book/references.bib",
    ):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro.md\n"
        "parts:\n- caption: One\n  numbered: true\n  chapters:\n  - file: book/one.md\n"
    )
    (tmp_path / "book/intro.md").write_text(
        "# Intro\n\n[One](one.md), {cite:t}`anderson1982reverse`\n\n```{bibliography}\n```\n"
    )
    (tmp_path / "book/one.md").write_text(chapter())
    (tmp_path / "src").mkdir()
    (tmp_path / "src/toy.py").write_text("TWO = 2\n")
    return tmp_path


def build(root: Path) -> int:
    """Exit status of the real command, in the miniature book."""
    command = [sys.executable, str(root / "tools/book.py"), "html"]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode


def test_a_package_edit_runs_the_chapters_again_and_nothing_else_does(small: Path) -> None:
    runs, page = small / "book/runs.txt", small / "_build/html/book/one.html"
    assert build(small) == 0
    assert build(small) == 0
    assert runs.read_text() == "x"  # the second build took the cache
    assert "<strong>4</strong>" in page.read_text() or ">4<" in page.read_text()
    (small / "src/toy.py").write_text("TWO = 2.5\n")
    assert build(small) == 0
    assert runs.read_text() == "xx"
    assert ">5<" in page.read_text()


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("print('planted', file=sys.stderr)", ""),
        ("", "See {eq}`eq-nowhere`."),
        ("", "See {cite:t}`nobody1900`."),
    ],
    ids=["cell writes to stderr", "missing equation", "missing citation"],
)
def test_a_faulty_chapter_fails_the_build(small: Path, statement: str, text: str) -> None:
    (small / "book/one.md").write_text(chapter(statement, text))
    assert build(small) != 0


def test_a_cell_that_raises_fails_the_build_and_fails_it_again(small: Path) -> None:
    (small / "book/one.md").write_text(chapter("raise RuntimeError('planted')"))
    assert build(small) != 0
    assert build(small) != 0


def test_launch_buttons_and_install_cell_follow_from_the_address(small: Path) -> None:
    config = small / "_config.yml"
    address = "https://github.com/example/scoredrift"
    config.write_text(config.read_text().replace('url: ""', f'url: "{address}"'))
    chapters.Book(small).write(Path("book/one.md"))
    assert build(small) == 0
    html = (small / "_build/html/book/one.html").read_text()
    assert "https://colab.research.google.com/github/example/scoredrift/blob/main/book/one.ipynb" in html
    offered = nbformat.read(small / "_build/html/_sources/book/one.ipynb", as_version=4)
    assert f'ADDRESS = "{address}"' in offered.cells[0].source
    assert "Twice two is 4." in offered.cells[1].source  # the reader's notebook, not Sphinx's


def run_notebook(path: Path) -> int:
    """Exit status of nbval on one notebook, with the flags of the project."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--nbval",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {"PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", str(path.parent), str(path)],
        cwd=path.parent, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode


def changed_output(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[0].outputs[0].data["text/plain"] = "5"


def lost_output(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[0].outputs = []


def raising_cell(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[0].source = "raise RuntimeError('planted')"


@pytest.mark.parametrize(
    ("plant", "status"),
    [(None, 0), (changed_output, 1), (lost_output, 1), (raising_cell, 1)],
    ids=["as it was", "changed output", "lost output", "raising cell"],
)
def test_nbval_compares_what_a_cell_shows(tmp_path: Path, plant, status: int) -> None:
    result = nbformat.v4.new_output("execute_result", data={"text/plain": "4"}, execution_count=1)
    cell = nbformat.v4.new_code_cell("2 + 2", execution_count=1, outputs=[result])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": chapters.KERNEL})
    if plant:
        plant(notebook)
    path = tmp_path / "small.ipynb"
    nbformat.write(notebook, path)
    assert run_notebook(path) == status


def test_fingerprint_sees_source_and_pins(small: Path) -> None:
    marks = [book.fingerprint(small)]
    for name, text in (
        ("src/toy.py", "TWO = 3\n"),
        ("src/new.toml", "a = 1\n"),
        ("constraints.txt", "x==1\n"),
    ):
        (small / name).write_text(text)
        marks.append(book.fingerprint(small))
    assert len(set(marks)) == len(marks)
