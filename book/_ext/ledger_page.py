"""Sphinx directive {ledger}: the claims ledger, from what the executed chapters recorded.

myst-nb keeps the named outputs of each executed chapter, and our records with them. They are read
when the page is written, after every chapter has run, and are also left beside it as ledger.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scoredrift import ledger

PAGE = "book/back/ledger"  # where the directive stands
CLAIM = re.compile(r"<b>([A-Z]\d+)</b>")
# What a reader looks for first: heading, and the verdicts under it.
FIRST = {
    "What fails, and what was corrected": ("fails as stated", "holds with correction"),
    "What is open": ("undecided", ledger.NOT_EXAMINED, ledger.UNKNOWN),
}
FILTER = """<fieldset class="claim-filter"><legend>Show</legend></fieldset>
<script>
document.addEventListener("DOMContentLoaded", () => {
  const claims = [...document.querySelectorAll(".claim")], box = document.querySelector(".claim-filter");
  const verdicts = [...new Set(claims.map(c => c.querySelector(".verdict").textContent))];
  ["all", ...verdicts].forEach((name, k) => {
    const label = document.createElement("label"), dot = document.createElement("input");
    Object.assign(dot, {type: "radio", name: "verdict", checked: k === 0});
    dot.addEventListener("change", () => claims.forEach(c => {
      c.hidden = k > 0 && c.querySelector(".verdict").textContent !== name;
    }));
    label.append(dot, " " + name);
    box.append(label);
  });
});
</script>"""


class ledger_table(nodes.General, nodes.Element):  # noqa: N801  (docutils names its nodes so)
    """Place of the table, filled when all chapters have run."""


class LedgerDirective(SphinxDirective):
    """{ledger} without arguments."""

    def run(self) -> list[nodes.Node]:
        """Mark the place."""
        return [ledger_table()]


def recorded(app: Sphinx) -> list[ledger.Check]:
    """Checks of all executed chapters, in the order of the table of contents."""
    executed = Path(app.outdir).parent / "jupyter_execute"
    checks = []
    for name in sorted(app.env.found_docs):
        kept = executed / f"{name}.glue.json"
        if kept.exists():
            checks += ledger.collect(json.loads(kept.read_text(encoding="utf-8")).values(), name)
    return checks


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the ledger in its place, and lead from each check of a chapter to its claim."""
    for place in list(doctree.findall(ledger_table)):
        place.replace_self(_page(app, docname, recorded(app)))
    ledger_page = app.builder.get_relative_uri(docname, PAGE)
    for output in doctree.findall(nodes.raw):
        if 'class="check ' in output.astext():
            linked = CLAIM.sub(rf'<a href="{ledger_page}#\1"><b>\1</b></a>', output.astext())
            output.children = [nodes.Text(linked)]


def _page(app: Sphinx, docname: str, checks: list[ledger.Check]) -> list[nodes.Node]:
    """What a reader looks for first, then all claims by the part of the book that examines them."""
    verdicts = {claim.id: ledger.verdict(claim, checks) for claim in ledger.claims()}
    counts = [f"{list(verdicts.values()).count(v)} {v}" for v in dict.fromkeys(verdicts.values())]
    found: list[nodes.Node] = [nodes.paragraph("", f"{len(verdicts)} rows: {'; '.join(counts)}.")]
    for heading, wanted in FIRST.items():
        chosen = [claim for claim in ledger.claims() if verdicts[claim.id] in wanted]
        if chosen:
            found += [nodes.rubric("", heading), _list(chosen, verdicts)]
    found.append(nodes.raw("", FILTER, format="html"))
    titles = {title.astext(): name for name, title in app.env.titles.items()}
    for part, names in _parts(app).items():
        own = [claim for claim in ledger.claims() if titles.get(claim.chapter) in names]
        if own:
            found.append(nodes.rubric("", part))
            found += [_claim(app, docname, claim, checks) for claim in own]
    return found


def _parts(app: Sphinx) -> dict[str, set[str | None]]:
    """Documents of each part of the table of contents; what is in none is still to come."""
    toc = yaml.safe_load((Path(app.srcdir) / "_toc.yml").read_text(encoding="utf-8"))
    parts: dict[str, set[str | None]] = {
        part["caption"]: {chapter["file"].rsplit(".", 1)[0] for chapter in part["chapters"]}
        for part in toc["parts"]
    }
    return parts | {"Chapters to come": {None}}


def _list(claims: list[ledger.Claim], verdicts: dict[str, str]) -> nodes.bullet_list:
    """Claims in a line each, leading to their blocks."""
    rows = nodes.bullet_list()
    for claim in claims:
        line = nodes.paragraph()
        line += nodes.reference("", f"{claim.id} {claim.title}", internal=True, refid=claim.id)
        line += nodes.Text(f": {verdicts[claim.id]}")
        rows += nodes.list_item("", line)
    return rows


def _claim(app: Sphinx, docname: str, claim: ledger.Claim, checks: list[ledger.Check]) -> nodes.Node:
    verdict = ledger.verdict(claim, checks)
    box = nodes.container(classes=["claim", "claim-" + verdict.replace(" ", "-")], ids=[claim.id])
    head = nodes.paragraph(classes=["claim-head"])
    head += nodes.strong("", f"{claim.id} {claim.title}")
    head += nodes.Text(" ")
    head += nodes.inline("", verdict, classes=["verdict"])
    box += head
    statement = nodes.paragraph(classes=["claim-statement"])
    for k, part in enumerate(claim.statement.split("$")):  # words and formulas take turns
        statement += nodes.math(part, part) if k % 2 else nodes.Text(part)
    box += statement
    origin = f"{claim.source}; statement {claim.known}" if claim.known != "ours" else claim.source
    box += nodes.paragraph("", f"{origin}. Chapter: {claim.chapter}.", classes=["claim-source"])
    rows = nodes.bullet_list(classes=["claim-checks"])
    for check in (c for c in checks if c.claim == claim.id):
        line = nodes.paragraph()
        line += nodes.Text(f"{check.statement}: {check.comparison}. ")
        line += nodes.emphasis("", check.verdict + (" (corrected statement)" if check.correction else ""))
        line += nodes.Text(f"; scale {check.scale}{'' if check.seed is None else f', seed {check.seed}'}; ")
        title = app.env.titles[check.chapter].astext()
        address = app.builder.get_relative_uri(docname, check.chapter) + "#" + check.anchor
        line += [nodes.reference("", title, internal=True, refuri=address), nodes.Text(".")]
        rows += nodes.list_item("", line)
    if len(rows):
        box += rows
    return box


def write_json(app: Sphinx, exception: Exception | None) -> None:
    """Leave the ledger as JSON beside the pages."""
    if exception is None and app.builder.format == "html":
        Path(app.outdir, "ledger.json").write_text(ledger.as_json(recorded(app)), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_node(ledger_table)
    app.add_directive("ledger", LedgerDirective)
    app.connect("doctree-resolved", fill)
    app.connect("build-finished", write_json)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
