"""The chapters of the book, and the notebook that is made from each.

A chapter has one hand-edited source, a MyST Markdown file. The notebook beside it is generated:
code cells are executed, text cells are turned into plain Markdown, and a first cell is added that
installs the package where it is missing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode
from pybtex.database import BibliographyData, Entry, Person, parse_file
from pybtex.richtext import Text
from pybtex.style.sorting.author_year_title import SortingStyle

from plain_markdown import Counter, Labels, NoPlainFormError, Translator

MACHINE = "machine"  # key of a notebook's metadata: the kind of machine that wrote its outputs
README_PICTURE = Path("book/_static/collapse.png")
RECORD = "application/papermill.record/text/plain"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

INSTALL = """\
# Installs the package where it is missing (in Colab, say), and leaves the
# torch that is there alone.
import importlib.metadata
import importlib.util
import subprocess
import sys

ADDRESS = "{address}"

if importlib.util.find_spec("scoredrift") is None:
    if not ADDRESS:
        raise RuntimeError(
            "scoredrift is missing, and this notebook knows no address to "
            "install it from: run `pip install .` in the repository"
        )
    wanted = [f"git+{{ADDRESS}}"]
    if importlib.util.find_spec("torch") is not None:
        wanted.append("torch==" + importlib.metadata.version("torch"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", *wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        problem = done.stdout + done.stderr
        raise RuntimeError("pip could not install scoredrift:\\n" + problem)\
"""


def colab_url(address: str, notebook: Path) -> str:
    """Address that opens a notebook of the repository in Colab."""
    return (
        f"https://colab.research.google.com/github/{address.partition('github.com/')[2]}/blob/main/{notebook}"
    )


class ByNames(SortingStyle):
    """Order of works: by the names of their authors, year and title; braces do not count."""

    def person_key(self, person: Person) -> str:
        """What a person is sorted by."""
        return re.sub(r"[{}]", "", super().person_key(person))


def authors(entry: Entry) -> str:
    """Names by which a work is cited."""
    names = [" ".join(p.prelast_names + p.last_names) for p in entry.persons["author"]]
    who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    return str(Text.from_latex(who))


class Book:
    """The book below a root folder that holds _toc.yml and _config.yml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
        self.config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))

    @cached_property
    def numbers(self) -> dict[Path, int | None]:
        """Sources in the order of the table of contents, with their chapter numbers."""
        found: dict[Path, int | None] = {Path(self.toc["root"]): None}
        count = 0
        for part in self.toc["parts"]:
            for entry in part["chapters"]:
                numbered = bool(part.get("numbered"))
                count += numbered
                found[Path(entry["file"])] = count if numbered else None
        return found

    def pages(self) -> list[Path]:
        """Sources that have code cells, and so a notebook; relative to the root."""
        return [
            page
            for page in self.numbers
            if "```{code-cell}" in (self.root / page).read_text(encoding="utf-8")
        ]

    def read(self, page: Path) -> NotebookNode:
        """Source of a page as an unexecuted notebook."""
        return jupytext.read(self.root / page, fmt="md:myst")

    @cached_property
    def labels(self) -> Labels:
        """Everything in the book that can be referred to."""
        labels, unnumbered = Labels(), dict[str, int]()
        for page, chapter in self.numbers.items():
            counter = Counter(labels, str(page), chapter, unnumbered if chapter is None else None)
            for cell in self.read(page).cells:
                if cell.cell_type == "markdown":
                    counter.scan(cell.source)
                elif figure := cell.metadata.get("mystnb", {}).get("figure"):
                    counter.number("figure", "Figure", figure.get("name"))
        return labels

    @cached_property
    def bibliography(self) -> BibliographyData:
        """Works that the book cites."""
        return parse_file(str(self.root / self.config["bibtex_bibfiles"][0]))

    @cached_property
    def years(self) -> dict[str, str]:
        """Year of each work, with a letter where the same names have several in it, in the order of the list."""
        entries = self.bibliography.entries.values()
        works: dict[tuple[str, str], list[str]] = {}
        for entry in sorted(entries, key=ByNames().sorting_key):
            works.setdefault((authors(entry), entry.fields["year"]), []).append(entry.key)
        return {
            key: year if len(keys) == 1 else year + letter
            for (_, year), keys in works.items()
            for letter, key in zip(ascii_lowercase, keys, strict=False)
        }

    def cite(self, key: str) -> tuple[str, str, str]:
        """Who, when and where of a work: text and address of a citation."""
        if key not in self.bibliography.entries:
            raise NoPlainFormError(f"citation {key!r} is not in the bibliography")
        entry = self.bibliography.entries[key]
        url = entry.fields.get("url") or f"https://doi.org/{entry.fields['doi']}"
        return authors(entry), self.years[key], url

    def plain(self, page: Path, executed: NotebookNode) -> NotebookNode:
        """Notebook for readers, from the source of a page and the outputs of its code cells.

        Args:
            page: source, relative to the root.
            executed: notebook whose code cells (install cell apart) have been executed.
        """
        ran = [
            c for c in executed.cells if c.cell_type == "code" and "install" not in c.metadata.get("tags", [])
        ]

        def picture(path: str) -> str:
            content = ((self.root / page).parent / path).read_bytes()
            kind = {".svg": "svg+xml", ".png": "png"}[Path(path).suffix]
            return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

        translate = Translator(self.labels, str(page), self.cite, picture, quoted_numbers(ran))
        address = self.config["repository"]["url"]
        install = nbformat.v4.new_code_cell(INSTALL.format(address=address), metadata={"tags": ["install"]})
        cells = [install]
        outputs = iter(ran)
        for cell in self.read(page).cells:
            if cell.cell_type == "markdown":
                text = translate(cell.source)
                if text:
                    cells.append(nbformat.v4.new_markdown_cell(text))
                continue
            done = next(outputs)
            if done.source != cell.source:
                raise ValueError(
                    f"{page}: a code cell differs from the one that was executed; run `make notebooks`"
                )
            code = nbformat.v4.new_code_cell(cell.source, metadata={"tags": cell.metadata.get("tags", [])})
            code.outputs = done.outputs
            cells.append(code)
            figure = cell.metadata.get("mystnb", {}).get("figure")
            if figure:
                name = self.labels[figure["name"]]
                caption = " ".join(translate(figure["caption"]).split())
                cells.append(nbformat.v4.new_markdown_cell(f"*{name.kind} {name.text}.* {caption}"))
        return _numbered(cells, executed.metadata.get(MACHINE, {}))

    @property
    def cell_timeout(self) -> int:
        """Seconds after which a cell is taken for hung."""
        return self.config["execute"]["timeout"]

    def write(self, page: Path, executed: NotebookNode) -> None:
        """Write the notebook beside the source of a page, and the picture of the README.

        Args:
            page: source, relative to the root.
            executed: the page with its outputs.
        """
        notebook = self.plain(page, executed)
        (self.root / page).with_suffix(".ipynb").write_text(as_text(notebook), encoding="utf-8")
        if picture := readme_picture(notebook):
            (self.root / README_PICTURE).write_bytes(picture)

    def faults(self, page: Path, committed: str) -> list[str]:
        """What is wrong with the notebook of a page; nothing if it follows from source and outputs.

        Args:
            page: source, relative to the root.
            committed: text of the notebook file.
        """
        notebook = nbformat.reads(committed, as_version=4)
        found = []
        counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
        if counts != list(range(1, len(counts) + 1)):
            found.append(f"cells were not executed once and in order: {counts}")
        if any(o.output_type == "error" for c in notebook.cells for o in c.get("outputs", [])):
            found.append("a cell has raised an error")
        try:
            wanted = self.plain(page, notebook)
        except (ValueError, StopIteration) as error:
            return [*found, str(error) or "a code cell of the source is missing in the notebook"]
        if as_text(wanted) != committed:
            cells = zip_longest(wanted.cells, notebook.cells)
            first = next((i for i, (a, b) in enumerate(cells) if not (a and b) or a.source != b.source), None)
            found.append(f"differs from what its source gives, first in cell {first}; run `make notebooks`")
        return found


def readme_picture(notebook: NotebookNode) -> bytes | None:
    """The picture that the README shows, from the cell tagged readme-figure."""
    for cell in notebook.cells:
        if "readme-figure" in cell.metadata.get("tags", []):
            return base64.b64decode(cell.outputs[0].data["image/png"])
    return None


def quoted_numbers(cells: list[NotebookNode]) -> dict[str, str]:
    """Numbers that executed cells handed to the prose, by name."""
    found: dict[str, str] = {}
    for cell in cells:
        for output in cell.outputs:
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None and RECORD in output["data"]:
                found[name] = output["data"][RECORD]
    return found


def _numbered(cells: list[NotebookNode], machine: dict[str, Any]) -> NotebookNode:
    """Assemble a notebook with stable cell ids and execution counts from 1."""
    seen: dict[str, int] = {}
    count = 0
    for cell in cells:
        key = hashlib.sha256(f"{cell.cell_type}:{cell.source}".encode()).hexdigest()[:12]
        seen[key] = seen.get(key, 0) + 1
        cell.id = f"{key}-{seen[key]}"
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output["execution_count"] = count
    metadata: dict[str, Any] = {
        "kernelspec": dict(KERNEL),
        "language_info": {"name": "python"},
        MACHINE: machine,
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def as_text(notebook: NotebookNode) -> str:
    """Notebook file as text, in one canonical form."""
    nbformat.validate(notebook)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
