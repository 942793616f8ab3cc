"""How long a page takes to read: `python tools/reading.py` lists all chapters.

    minutes = words/200 + displays/4 + figures/2 + lines of visible code/25,

exercises with their solutions, folded code and checks left out. The words of proofs count at the pace of prose,
and code at the pace of a glance, so the number is the time of a reader who passes over both: two readers of the
whole book needed about that, and twice as long where they followed proofs and code. That is what the page on how
to read the book says of it.
"""

from __future__ import annotations

import re
from pathlib import Path

from nbformat import NotebookNode

import chapters
import plain_markdown

FOLDED = {"hide-input", "hide-cell", "check"}
DISPLAY = re.compile(r"^\$\$\s*$.*?^\$\$.*?$", re.M | re.S)
FORMULA = re.compile(r"\$[^$]+\$")
ROLE = re.compile(r"\{[\w:-]+\}`[^`]*`")
LEFT_OUT = ("exercise", "solution")


def prose(text: str) -> str:
    """Text without exercises and solutions, directives opened."""
    kept = []
    for part in plain_markdown.split(text):
        if isinstance(part, str):
            kept.append(part)
        elif part.name not in LEFT_OUT:
            kept.append(prose(part.body))
    return "\n".join(kept)


def minutes(notebook: NotebookNode) -> float:
    """Minutes that a page takes, from its cells.

    Args:
        notebook: source of the page; outputs do not count.
    """
    words = displays = figures = lines = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = prose(cell.source)
            displays += len(DISPLAY.findall(text))
            text = DISPLAY.sub("", text)
            words += len(FORMULA.sub("x", ROLE.sub("x", text)).split())
        elif cell.cell_type == "code":
            figure = cell.metadata.get("mystnb", {}).get("figure")
            if figure:
                figures += 1
                words += len(figure.get("caption", "").split())
            if not FOLDED & set(cell.metadata.get("tags", [])):
                lines += len(cell.source.splitlines())
    return words / 200 + displays / 4 + figures / 2 + lines / 25


def main() -> None:
    """List the pages that have code."""
    book = chapters.Book(Path(__file__).resolve().parents[1])
    for page in book.pages():
        print(f"{minutes(book.read(page)):5.1f} min  {page}")


if __name__ == "__main__":
    main()
