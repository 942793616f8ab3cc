"""The page on reproducibility: what the chapters of this copy ran on, beside what was pinned."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import torch
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

import environment


class VersionsDirective(SphinxDirective):
    """{versions} without arguments."""

    def run(self) -> list[nodes.Node]:
        """Write the machine, and the packages whose version is not the pinned one."""
        self.env.note_dependency(str(environment.PINS))
        wanted = environment.pins(environment.PINS.read_text(encoding="utf-8"))
        found = environment.versions(environment.installed())
        differences = environment.compared(wanted, found)
        checked = len(wanted.keys() & found.keys())
        machine = (
            f"This copy was built with Python {platform.python_version()} on {platform.system()} "
            f"{platform.machine()}, torch {torch.__version__}, and the processor instructions that torch "
            f"calls {torch.backends.cpu.get_cpu_capability()}."
        )
        if not differences:
            texts = [machine, f"All {checked} pinned packages have their pinned versions."]
        else:
            texts = [machine, f"Of {checked} pinned packages, {len(differences)} have other versions:"]
        table = [_table(differences)] if differences else []
        return [*(nodes.paragraph("", text) for text in texts), *table]


def _table(differences: list[environment.Difference]) -> nodes.table:
    table, group, body = nodes.table(), nodes.tgroup(cols=3), nodes.tbody()
    group += [nodes.colspec(colwidth=30) for _ in range(3)]
    group += nodes.thead("", _row("package", "pinned", "installed"))
    body += [_row(*difference) for difference in differences]
    group += body
    table += group
    return table


def _row(*cells: str) -> nodes.row:
    return nodes.row("", *[nodes.entry("", nodes.paragraph("", cell)) for cell in cells])


def words_for_glyphs(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Say "ran" and "failed" in the table of execution times, for fonts without the signs."""
    for text in list(doctree.findall(nodes.Text)):
        word = {"✅": "ran", "❌": "failed"}.get(text.astext().strip())
        if word:
            text.parent.replace(text, nodes.Text(word))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("versions", VersionsDirective)
    app.connect("doctree-resolved", words_for_glyphs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
