"""Run the book with other seeds and list what fails: `make seeds`.

What a chapter asserts should hold whatever it draws. For each offset every seed of the book is moved
(``scoredrift.notebook.current_seed``); a cell fails if it raises, and a check of the ledger fails if
its verdict is not the committed one. Five offsets take about five times as long as the book.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat
from joblib import Parallel, delayed
from nbformat import NotebookNode

import chapters
import execution
from scoredrift import ledger

ROOT = Path(__file__).resolve().parents[1]


def verdicts(notebook: NotebookNode) -> dict[str, str]:
    """Verdicts that a notebook recorded, by claim and statement."""
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return {f"{c.claim}: {c.statement}": c.verdict for c in ledger.collect(outputs, "")}


def failures(kept: NotebookNode, done: execution.Run) -> list[str]:
    """What went otherwise than in the committed notebook, one line each.

    Args:
        kept: the committed notebook of the page.
        done: its run with other seeds.
    """
    found = [] if done.error is None else [done.error.strip().splitlines()[-1]]
    cells = [cell for cell in done.notebook.cells if cell.cell_type == "code"]
    for place, cell in enumerate(cells, start=2):  # cell 1 of a notebook installs the package
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(
                    f"cell {place}: {output.ename} {output.evalue[:60]} at {_line(output.traceback)!r}"
                )
    now = verdicts(done.notebook)
    for name, verdict in verdicts(kept).items():
        if name in now and now[name] != verdict:
            found.append(f"{name}: {verdict} became {now[name]}")
    return found


def _line(traceback: list[str]) -> str:
    """The line of a cell at which its traceback points."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(traceback))
    pointed = re.findall(r"^-+> *\d+ (.*)$", plain, re.M)
    return pointed[0].strip() if pointed else "?"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--offsets", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="all ≥ 1")
    parser.add_argument("--pages", nargs="+", type=Path, help="only these sources")
    parser.add_argument("--keep", type=Path, help="folder for the executed notebooks")
    options = parser.parse_args()
    if min(options.offsets) < 1:
        parser.error(f"--offsets {options.offsets}: offset 0 is the book itself, name others")
    book = chapters.Book(ROOT)
    pages = options.pages or [page for page in book.pages() if book.numbers[page] is not None]
    tasks = (delayed(_one)(page, offset) for offset in options.offsets for page in pages)
    rows: dict[Path, dict[int, int]] = {page: {} for page in pages}
    for offset, done in Parallel(execution.cores(), backend="threading", return_as="generator_unordered")(
        tasks
    ):
        kept = nbformat.read((ROOT / done.page).with_suffix(".ipynb"), as_version=4)
        found = failures(kept, done)
        rows[done.page][offset] = len(found)
        print(f"{done.page}, offset {offset}: {done.seconds:.0f} s, {len(found)} failures", flush=True)
        print("".join(f"    {line}\n" for line in found), end="", flush=True)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            nbformat.write(done.notebook, options.keep / f"{done.page.stem}-{offset}.ipynb")
    print(f"\n{'failures with the seeds moved by':42}" + "".join(f"{o:>7}" for o in options.offsets))
    for page, counts in rows.items():
        print(f"{page!s:42}" + "".join(f"{counts[o]:>7}" for o in options.offsets))
    return int(any(n for counts in rows.values() for n in counts.values()))


def _one(page: Path, offset: int) -> tuple[int, execution.Run]:
    return offset, execution.run(ROOT, page, seed_offset=offset)


if __name__ == "__main__":
    sys.exit(main())
