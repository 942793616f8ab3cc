"""Outputs are compared as numbers, and to the letter where the machine is the same: planted faults."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

import chapters
from agreement import Rule, numbers, words
from execution import ASK
from scoredrift import Estimate, ledger
from scoredrift.estimates import typeset

ROOT = Path(__file__).resolve().parents[2]
LETTER, NUMBERS = Rule(exact=True), Rule(exact=False)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0.480 ± 0.010", [(0.48, 0.001, 0.01)]),
        ("(6.460 ± 0.082)e-06", [(6.46e-6, 1e-9, 8.2e-8)]),
        ("[-2.05 ± 0.22 ≤ 0]", [(-2.05, 0.01, 0.22), (0.0, 1.0, None)]),
        ("D = 1.369e+00 at 5", [(1.369, 0.001, None), (5.0, 1.0, None)]),
        ("12 %, 3", [(12.0, 1.0, None), (3.0, 1.0, None)]),
        ("−0.000", [(-0.0, 0.001, None)]),
        ("(6.460 ± 0.082)·10⁻⁶ ≤ 10⁻³", [(6.46e-6, 1e-9, 8.2e-8), (1e-3, 1e-3, None)]),
        ("3.1 s.e. apart (allowed: 5)", [(3.1, 0.1, 1.0), (5.0, 1.0, None)]),
        ("1e-09 (0.78 to 2.43)", [(1e-9, 1e-9, None), (0.78, 0.01, None), (2.43, 0.01, None)]),
    ],
)
def test_numbers_are_read_with_error_and_last_digit(line, found):
    assert [(n.value, pytest.approx(n.unit), n.error) for n in numbers(line)] == [
        (value, unit, None if error is None else pytest.approx(error)) for value, unit, error in found
    ]


@pytest.mark.parametrize("line", ["C13: x_2² in R^10, torch 2.13.0, 5a9f3e2b451e", "q_t0 and N10⁵"])
def test_names_are_words(line):
    assert numbers(line) == []


def test_every_number_of_the_book_is_read_as_it_was_printed():
    for value in (1.23456, -0.00012, 123456.7, 3e-9, 0.0):
        for stderr in (0.0, 1e-3, 0.5, 17.0, 2e-11):
            estimate = Estimate(value, stderr)
            (found,) = numbers(f"x = {estimate} nats")
            assert found.text == str(estimate)
            (set_for_reading,) = numbers(typeset(f"x = {estimate} nats"))
            assert set_for_reading.value == found.value
            assert abs(found.value - value) <= 0.51 * found.unit
            assert (found.error is None) == (stderr == 0)
            assert not found.error or found.error == pytest.approx(stderr, rel=0.06)


@pytest.mark.parametrize(
    ("kept", "new", "agrees"),
    [
        ("1.00 ± 0.10", "1.70 ± 0.10", True),  # 4.95 combined standard errors
        ("1.00 ± 0.10", "1.72 ± 0.10", False),  # 5.1
        ("1.00 ± 0.10", "1.00 ± 0.20", True),
        ("1.00 ± 0.10", "1.00 ± 0.21", False),  # an error that grows hides a shift
        ("1.00 ± 0.10", "1.00", False),
        ("(1.00 ± 0.10)e-03", "0.0017 ± 0.0001", True),
        ("(1.00 ± 0.10)·10⁻³", "0.0017 ± 0.0001", True),
        ("0.3 s.e. apart", "4.9 s.e. apart", True),
        ("0.3 s.e. apart", "0.3 apart", False),
        ("0.4837", "0.4838", True),
        ("0.4837", "0.4839", False),
        ("0.4837", "0.4937", False),
        ("0.000", "-0.000", True),
        ("1.00e-03", "1.01e-03", True),
        ("1.00e-03", "1.00e-04", False),
        ("7 of 10", "8 of 10", False),
        ("holds: 1.0", "fails: 1.0", False),
        ("a 1.0\nb 2.0", "b 2.0\na 1.0", False),
        ("a 1.0\nb 2.0", "a 1.0", False),
        ("  0.97  x", " 1.0  x", False),
        ("  0.999  x", " 1.000  x", True),
    ],
)
def test_lines_agree_as_numbers(kept, new, agrees):
    assert (NUMBERS.lines(kept, new) == []) == agrees
    assert (NUMBERS.lines(new, kept) == []) == agrees
    assert LETTER.lines(kept, new) != []
    assert LETTER.lines(kept, kept) == []


def test_a_difference_of_blanks_alone_counts_to_the_letter():
    assert NUMBERS.lines("a  1.0", "a 1.0") == []
    assert LETTER.lines("a  1.0", "a 1.0") != []
    assert LETTER.lines("a 1.0", "a 1.0\n") != []
    assert words(" a  b 1.0") == ["a b", ""]


def test_a_tag_says_how_far_the_numbers_of_a_cell_may_differ():
    loose = Rule.of_cell(False, ["hide-input", "within-20-percent"])
    assert loose.lines("8 of 2.50", "9 of 2.10") == []
    assert "22% apart, 20% are allowed" in loose.lines("7", "9")[0]
    assert loose.lines("1.00 ± 0.01", "1.10 ± 0.01") != []  # an error that is printed counts
    assert Rule.of_cell(True, ["within-20-percent"]).lines("8", "9") != []


def check(value: float, stderr: float, bound: float) -> nbformat.NotebookNode:
    """Output of a cell that ends with a check of the ledger."""
    record = ledger.at_most("C1", "planted", Estimate(value, stderr), bound, seed=1, scale="quick")
    data, metadata = record._repr_mimebundle_()
    return nbformat.v4.new_output("execute_result", data, metadata=metadata, execution_count=1)


def test_checks_of_the_ledger_agree_by_verdict_and_number():
    kept = [check(1.0, 0.1, 2.0)]
    assert NUMBERS.outputs(kept, [check(1.2, 0.1, 2.0)]) == []
    assert "combined standard errors" in NUMBERS.outputs(kept, [check(1.9, 0.1, 2.0)])[0]
    assert "other words" in NUMBERS.outputs(kept, [check(1.0, 0.1, 0.9)])[0]
    assert "is missing" in NUMBERS.outputs(kept, [])[0]
    assert "appeared" in NUMBERS.outputs([], kept)[0]


def shown(kind: str = "display_data", name: str | None = None, **data: str) -> nbformat.NotebookNode:
    """Output of a cell, with forms given as text_plain=…"""
    metadata = {} if name is None else {"scrapbook": {"name": name}}
    forms = {form.replace("_", "/"): text for form, text in data.items()}
    return nbformat.v4.new_output(kind, forms, metadata=metadata)


@pytest.mark.parametrize("rule", [LETTER, NUMBERS], ids=["letter", "numbers"])
@pytest.mark.parametrize(
    ("kept", "new"),
    [
        (shown(text_plain="1"), shown("execute_result", text_plain="1")),
        (shown(text_plain="1"), shown(text_plain="1", text_html="1")),
        (shown(text_plain="1", name="a"), shown(text_plain="1", name="b")),
        (shown(text_plain="1", image_png="A"), shown(text_plain="1")),
    ],
    ids=["kind", "another form", "name", "no picture"],
)
def test_kinds_of_output_are_compared_to_the_letter(rule, kept, new):
    assert "became" in rule.outputs([kept], [new])[0]
    assert rule.outputs([kept], [kept]) == []


def test_of_pictures_only_the_presence_is_compared():
    assert LETTER.outputs([shown(image_png="AAAA")], [shown(image_png="BBBB")]) == []


def test_a_warning_that_appears_is_a_difference():
    warned = nbformat.v4.new_output("stream", name="stderr", text="careful\n")
    assert "stderr" in NUMBERS.outputs([], [warned])[0]


def test_to_the_letter_a_number_within_its_error_is_named_with_its_distance():
    (said,) = LETTER.lines("x = 1.48 ± 0.10", "x = 1.20 ± 0.10")
    assert "2.0 combined standard errors apart, none is allowed" in said


@dataclass(frozen=True)
class Planted:
    """A cell, the output that is committed for it, and what should be said of the difference."""

    name: str
    prints: str
    kept: str
    on_another_machine: str  # part of the message, or "" where the outputs agree
    tags: tuple[str, ...] = ()


PLANTS = [
    Planted("nothing", "x = 1.20 ± 0.10", "x = 1.20 ± 0.10", ""),
    Planted(
        "two standard errors", "x = 1.20 ± 0.10", "x = 1.48 ± 0.10", ""
    ),
    Planted(
        "six standard errors", "x = 1.20 ± 0.10", "x = 2.05 ± 0.10",
        "2.05 ± 0.10 became 1.20 ± 0.10: 6.0 combined standard errors apart, 5 are allowed",
    ),
    Planted("last digit", "x = 0.4837", "x = 0.4838", ""),
    Planted("exact digit", "x = 0.4837", "x = 0.4937", "0.4937 became 0.4837: 0.01, or 100 units"),
    Planted("verdict", "C1 holds: 1.0", "C1 fails: 1.0", "'C1 fails: 1.0' became 'C1 holds: 1.0'"),
    Planted("row dropped", "a 1.0", "a 1.0\nb 2.0", "2 lines became 1"),
    Planted("lines swapped", "b 2.0\na 1.0", "a 1.0\nb 2.0", "'a 1.0' became 'b 2.0'"),
    Planted("count", "9 of 10", "8 of 10", "8 became 9: whole numbers must be the same"),
    Planted("count that may differ", "9 of 10", "8 of 10", "", ("within-20-percent",)),
]  # fmt: skip


def notebook_with(kind: dict) -> nbformat.NotebookNode:
    """Notebook of the planted cells, and of one that lost its figure, written on a kind of machine."""
    cells = []
    for plant in PLANTS:
        output = nbformat.v4.new_output("stream", name="stdout", text=plant.kept + "\n")
        cell = nbformat.v4.new_code_cell(f"print({plant.prints!r})", outputs=[output])
        cell.metadata["tags"] = list(plant.tags)
        cells.append(cell)
    figure = nbformat.v4.new_output("display_data", {"text/plain": "<Figure>", "image/png": "AAAA"})
    cells.append(nbformat.v4.new_code_cell("pass", outputs=[figure]))
    for count, cell in enumerate(cells, start=1):
        cell.execution_count = count
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": chapters.KERNEL, chapters.MACHINE: kind}
    )


def machine() -> dict:
    """As a kernel sees it: tests that ran in this process may have loaded another library, or set its threads."""
    return json.loads(subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True).stdout)


def nbval(notebook: nbformat.NotebookNode, folder: Path) -> list[str]:
    """What nbval says of each cell with the project's settings; "" where it passes."""
    nbformat.write(notebook, folder / "planted.ipynb")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        "/dev/null",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
    ]
    command += [
        "--rootdir",
        str(folder),
        "--nbval",
        "--nbval-current-env",
        "--color=no",
        "--junitxml=said.xml",
        ".",
    ]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tools")])
    environment = os.environ | {"PYTEST_ADDOPTS": "", "PYTHONPATH": paths}
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    cases = ElementTree.parse(folder / "said.xml").iter("testcase")
    return ["".join(f.text or "" for f in case.findall("failure")) for case in cases]


def test_nbval_compares_as_numbers_what_another_machine_wrote(tmp_path: Path) -> None:
    said = nbval(notebook_with(machine() | {"processor": "another"}), tmp_path)
    for place, plant in enumerate(PLANTS):
        assert bool(said[place]) == bool(plant.on_another_machine), f"{plant.name}: {said[place]}"
        assert plant.on_another_machine in said[place], plant.name
        assert f"Cell {place}" in said[place] or not said[place]
    assert "display_data of image/png, text/plain" in said[-1]
    assert "another" in said[-1]


def test_nbval_compares_to_the_letter_what_the_same_kind_of_machine_wrote(tmp_path: Path) -> None:
    said = nbval(notebook_with(machine()), tmp_path)
    assert [place for place, text in enumerate(said) if not text] == [0]
    assert "1.48 ± 0.10 became 1.20 ± 0.10: 2.0 combined standard errors apart, none is allowed" in said[1]
    assert "units of the last digit, apart, none is allowed" in said[3]
