"""The checks of a section, code and outcome, in one closed block at its end.

Cells with the tag ``check`` are moved there when a page is written. The line that is always seen says
how they came out; a link into a closed block opens it.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

OUTCOME = re.compile(r'class="check check-(\w+)"')
PLURAL = {"holds": "hold", "fails": "fail", "undecided": "undecided", "measured": "measured"}


def gather(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Move the check cells of each section into its block."""
    for section in list(doctree.findall(nodes.section)):
        own = [cell for cell in section.children if "tag_check" in cell.get("classes", [])]
        if not own:
            continue
        for cell in own:
            section.remove(cell)
        place = next((k for k, node in enumerate(section) if isinstance(node, nodes.section)), len(section))
        head = f'<details class="checks"><summary>Checks: {_summary(own)}</summary>'
        block = [nodes.raw("", head, format="html"), *own, nodes.raw("", "</details>", format="html")]
        section[place:place] = block


def _summary(cells: list[nodes.Element]) -> str:
    """How many hold, fail and so on."""
    texts = (raw.astext() for cell in cells for raw in cell.findall(nodes.raw))
    outcomes = [found for text in texts for found in OUTCOME.findall(text)]
    counts = {name: outcomes.count(name) for name in PLURAL if name in outcomes}
    return ", ".join(f"{n} {name if n == 1 else PLURAL[name]}" for name, n in counts.items())


def setup(app: Sphinx) -> dict[str, bool]:
    """Gather the checks before pages are written."""
    app.connect("doctree-resolved", gather)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
