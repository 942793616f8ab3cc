"""Other seeds: what the tool counts as a failure, and the variable that moves the seeds."""

from pathlib import Path

import nbformat
import pytest

import execution
import seeds
from scoredrift import ledger
from scoredrift.notebook import current_seed


def page(*cells: tuple[str, list]) -> nbformat.NotebookNode:
    made = [nbformat.v4.new_code_cell(source, outputs=outputs) for source, outputs in cells]
    return nbformat.v4.new_notebook(cells=made)


def check(value: float) -> nbformat.NotebookNode:
    data, metadata = ledger.at_most("C1", "planted", value, 1.0, seed=1, scale="quick")._repr_mimebundle_()
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


def failures(kept: nbformat.NotebookNode, new: nbformat.NotebookNode, error: str | None = None) -> list[str]:
    return seeds.failures(kept, execution.Run(Path("one.md"), new, 1.0, error))


def test_a_page_that_comes_out_alike_has_no_failure():
    assert failures(page(("check", [check(0.2)])), page(("check", [check(0.4)]))) == []


def test_a_verdict_that_changes_is_a_failure():
    (said,) = failures(page(("check", [check(0.2)])), page(("check", [check(1.4)])))
    assert said == "C1: planted: holds became fails"


def test_an_assertion_that_fails_is_named_by_its_line():
    traceback = ["\x1b[31mAssertionError\x1b[39m", "\x1b[32m----> \x1b[39m\x1b[32m2\x1b[39m assert x < 1", ""]
    error = nbformat.v4.new_output("error", ename="AssertionError", evalue="", traceback=traceback)
    (said,) = failures(page(("x = 2", [])), page(("", []), ("x = 2\nassert x < 1", [error])))
    assert said.startswith("cell 3: AssertionError")
    assert said.endswith("'assert x < 1'")


def test_a_kernel_that_dies_is_a_failure():
    assert failures(page(), page(), "Kernel died\n") == ["Kernel died"]


def test_seeds_move_by_whole_offsets(monkeypatch):
    monkeypatch.delenv("SEED_OFFSET", raising=False)
    assert current_seed(2602) == 2602
    monkeypatch.setenv("SEED_OFFSET", "3")
    assert current_seed(2602) == 32602
    for wrong in ("-1", "half", "1.5", ""):
        monkeypatch.setenv("SEED_OFFSET", wrong)
        with pytest.raises(ValueError, match="SEED_OFFSET"):
            current_seed(2602)


def test_an_offset_reaches_the_kernel(tmp_path):
    (tmp_path / "_toc.yml").write_text("root: one.md\nparts: []\n", encoding="utf-8")
    (tmp_path / "_config.yml").write_text("execute: {timeout: 60}\n", encoding="utf-8")
    (tmp_path / "one.md").write_text(
        "---\nkernelspec: {name: python3, display_name: Python 3}\n---\n\n"
        "```{code-cell} ipython3\nfrom scoredrift.notebook import current_seed\nassert current_seed(1) == 1\n```\n\n"
        "```{code-cell} ipython3\nprint(current_seed(1))\n```\n",
        encoding="utf-8",
    )
    still, moved = (execution.run(tmp_path, Path("one.md"), seed_offset=offset) for offset in (0, 2))
    assert still.error is None
    assert still.notebook.cells[-1].outputs[0].text == "1\n"
    assert seeds.failures(still.notebook, still) == []
    assert "current_seed(1) == 1" in seeds.failures(still.notebook, moved)[0]
    assert moved.notebook.cells[-1].outputs[0].text == "20001\n"  # cells after a failing one run, too
