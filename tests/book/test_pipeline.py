"""The build and the notebook runner go red when they should: planted faults in a miniature book."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import book
import chapters
from scoredrift.runs import machine

ROOT = Path(__file__).resolve().parents[2]

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
        "parts:\n- caption: One\n  numbered: true\n  chapters:\n  - file: book/one.md\n",
        encoding="utf-8",
    )
    (tmp_path / "book/intro.md").write_text(
        "# Intro\n\n[One](one.md), {cite:t}`anderson1982reverse`\n\n```{bibliography}\n```\n",
        encoding="utf-8",
    )
    (tmp_path / "book/one.md").write_text(chapter(), encoding="utf-8")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/toy.py").write_text("TWO = 2\n", encoding="utf-8")
    return tmp_path


def build(root: Path, task: str = "html") -> int:
    """Exit status of the real command, in the miniature book."""
    command = [sys.executable, str(root / "tools/book.py"), task]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode


def test_a_package_edit_runs_the_chapters_again_and_nothing_else_does(small: Path) -> None:
    runs, page = small / "book/runs.txt", small / "_build/html/book/one.html"
    assert build(small) == 0
    assert build(small) == 0
    assert runs.read_text(encoding="utf-8") == "x"  # the second build took the cache
    assert "<strong>4</strong>" in page.read_text(encoding="utf-8") or ">4<" in page.read_text(
        encoding="utf-8"
    )
    (small / "src/toy.py").write_text("TWO = 2.5\n", encoding="utf-8")
    assert build(small) == 0
    assert runs.read_text(encoding="utf-8") == "xx"
    assert ">5<" in page.read_text(encoding="utf-8")


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
    (small / "book/one.md").write_text(chapter(statement, text), encoding="utf-8")
    assert build(small) != 0


def test_a_cell_that_raises_fails_the_build_and_fails_it_again(small: Path) -> None:
    (small / "book/one.md").write_text(chapter("raise RuntimeError('planted')"), encoding="utf-8")
    assert build(small) != 0
    assert build(small) != 0


def test_launch_buttons_and_install_cell_follow_from_the_address(small: Path) -> None:
    config = small / "_config.yml"
    address = "https://github.com/example/scoredrift"
    config.write_text(
        config.read_text(encoding="utf-8").replace('url: ""', f'url: "{address}"'), encoding="utf-8"
    )
    assert build(small, "notebooks") == 0
    assert build(small) == 0
    html = (small / "_build/html/book/one.html").read_text(encoding="utf-8")
    assert "https://colab.research.google.com/github/example/scoredrift/blob/main/book/one.ipynb" in html
    offered = nbformat.read(small / "_build/html/_sources/book/one.ipynb", as_version=4)
    assert f'ADDRESS = "{address}"' in offered.cells[0].source
    assert "Twice two is 4." in offered.cells[1].source  # the reader's notebook, not Sphinx's


def test_fingerprint_sees_source_results_settings_and_libraries(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = [book.fingerprint(small)]
    for name in ("src/toy.py", "src/new.toml", "src/results/stored.safetensors"):
        (small / name).parent.mkdir(exist_ok=True)
        (small / name).write_text("TWO = 3\n", encoding="utf-8")
        marks.append(book.fingerprint(small))
    for variable in ("SCALE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(variable, "7")
        marks.append(book.fingerprint(small))
    real = importlib.metadata.distributions
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: list(real())[1:])
    marks.append(book.fingerprint(small))
    assert len(set(marks)) == len(marks)


def test_notebooks_and_pages_come_from_one_run(small: Path) -> None:
    runs, notebook = small / "book/runs.txt", small / "book/one.ipynb"
    assert build(small, "notebooks") == 0
    assert build(small) == 0
    assert runs.read_text(encoding="utf-8") == "x"
    assert nbformat.read(notebook, as_version=4).metadata[chapters.MACHINE] == machine()


def test_a_page_that_fails_loses_nothing_of_the_others(small: Path) -> None:
    toc = small / "_toc.yml"
    toc.write_text(toc.read_text(encoding="utf-8") + "  - file: book/two.md\n", encoding="utf-8")
    (small / "book/two.md").write_text(
        chapter("raise RuntimeError('planted')").replace("runs", "other"), encoding="utf-8"
    )
    assert build(small) != 0
    (small / "book/two.md").write_text(
        chapter("2").replace("runs", "other").replace("four", "again"), encoding="utf-8"
    )
    assert build(small) == 0
    assert (small / "book/runs.txt").read_text(encoding="utf-8") == "x"
