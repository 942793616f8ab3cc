"""Every committed notebook follows from its source, was executed, and checks something."""

import json
import re
import warnings
from pathlib import Path

import nbformat
import pytest

import chapters
import execution
from agreement import Rule

ROOT = Path(__file__).resolve().parents[2]
BOOK = chapters.Book(ROOT)
PAGES = BOOK.pages()
CHAPTERS = [page for page in PAGES if BOOK.numbers[page] is not None]


def committed(page: Path) -> str:
    return (ROOT / page).with_suffix(".ipynb").read_text(encoding="utf-8")


def code_cells(page: Path) -> list[nbformat.NotebookNode]:
    return [c for c in BOOK.read(page).cells if c.cell_type == "code"]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_notebook_follows_from_its_source(page: Path) -> None:
    assert BOOK.faults(page, committed(page)) == []


def unexecuted(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []


def edited_text(notebook: nbformat.NotebookNode) -> None:
    next(c for c in notebook.cells if c.cell_type == "markdown").source += " And more."


def edited_code(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[-3 if notebook.cells[-3].cell_type == "code" else 2].source += "\n# by hand"


def lost_cell(notebook: nbformat.NotebookNode) -> None:
    del notebook.cells[[c.cell_type for c in notebook.cells].index("code", 1)]


def other_number(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if chapters.RECORD in output.get("data", {}):
                output.data[chapters.RECORD] = "0"


def failed_cell(notebook: nbformat.NotebookNode) -> None:
    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    next(c for c in notebook.cells if c.cell_type == "code").outputs = [error]


FAULTS = [unexecuted, edited_text, edited_code, lost_cell, other_number, failed_cell]


@pytest.mark.parametrize("plant", FAULTS, ids=lambda f: f.__name__)
def test_planted_faults_are_found(plant) -> None:
    page = CHAPTERS[0]
    notebook = nbformat.reads(committed(page), as_version=4)
    plant(notebook)
    assert BOOK.faults(page, chapters.as_text(notebook)) != []


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_a_chapter_checks_something(page: Path) -> None:
    code = "\n".join(c.source for c in code_cells(page))
    assert "assert " in code
    assert re.search(r"ledger\.(at_most|at_least|equal|measured)\(", code)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_code_compiles_without_a_warning(page: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # newer Pythons print what older ones pass over in silence
        for cell in code_cells(page):
            compile(cell.source, f"{page}: {cell.source[:40]}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_printed_tables_fit_the_page(page: Path) -> None:
    notebook = nbformat.reads(committed(page), as_version=4)
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    lines = [line for o in outputs if o.output_type == "stream" for line in o.text.splitlines()]
    assert [line for line in lines if len(line) > 76] == []
    assert [line for line in lines if re.search(r"± [\d.]+\.\d+\.\d", line)] == [], "columns run together"


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_seeds_of_a_chapter_can_be_moved(page: Path) -> None:
    code = "\n".join(c.source for c in code_cells(page))
    (seed,) = re.findall(r"^SEED, SCALE = current_seed\((\d+)\), current_scale\(\)$", code, re.M)
    assert int(seed) < 10_000  # less than what one offset adds
    for given in re.findall(r"manual_seed\((.*?)\)|\bseed=([^,)\n]+)", code):
        assert re.match(r"SEED|seed\b|None|origin", given[0] or given[1]), given


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_pictures_have_text_and_code_fits_the_page(page: Path) -> None:
    for cell in code_cells(page):
        lines = cell.source.split("\n")
        assert max(map(len, lines)) <= 76, cell.source
        assert len(lines) <= 25, f"{len(lines)} lines: build, measure, look, a cell for each"
        if "plt.subplots" in cell.source:
            assert cell.source.endswith("plt.show()")  # a closing semicolon is lost on nbval
            assert len(cell.metadata["mystnb"]["image"]["alt"]) > 40
            assert cell.metadata["mystnb"]["figure"]["caption"].strip()


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_imports_are_folded(page: Path) -> None:
    first = code_cells(page)[0]
    assert first.source.startswith(("import ", "from "))
    assert "hide-input" in first.metadata.get("tags", [])


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_first_cell_installs_from_the_one_address(page: Path) -> None:
    first = json.loads(committed(page))["cells"][0]
    assert first["metadata"]["tags"] == ["install"]
    lines = "".join(first["source"]).split("\n")
    assert max(map(len, lines)) <= 76
    assert len(lines) <= 25
    assert f'ADDRESS = "{BOOK.config["repository"]["url"]}"' in "".join(first["source"])


def test_numbers_in_the_text_come_from_cells() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        notebook = nbformat.reads(committed(page), as_version=4)
        quoted = chapters.quoted_numbers([c for c in notebook.cells if c.cell_type == "code"])
        assert set(re.findall(r"\{glue:text\}`([\w-]+)`", text)) == set(quoted), page


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_built_book_agrees_with_the_committed_notebook(page: Path) -> None:
    cached = execution.kept(BOOK, page)
    if cached is None:
        pytest.skip("needs the executed book: run `make book`")
    notebook = nbformat.reads(committed(page), as_version=4)
    same = notebook.metadata[chapters.MACHINE] == cached.metadata[chapters.MACHINE]
    ours = [c for c in notebook.cells if c.cell_type == "code"][1:]  # the first installs
    built = [c for c in cached.cells if c.cell_type == "code"]
    assert len(ours) == len(built)
    for place, (old, new) in enumerate(zip(ours, built, strict=True), start=2):
        rule = Rule.of_cell(same, old.metadata.get("tags", []))
        assert rule.outputs(old.outputs, new.outputs) == [], f"cell {place}"
