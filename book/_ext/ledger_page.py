"""Sphinx directive {ledger}: the claims ledger, from what the executed chapters recorded.

myst-nb keeps the named outputs of each executed chapter, and our records with them. They are read
when the page is written, after every chapter has run, and are also left beside it as ledger.json.
"""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scoredrift import ledger
from scoredrift.estimates import Estimate


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
    """Put the ledger in its place."""
    for place in list(doctree.findall(ledger_table)):
        checks = recorded(app)
        place.replace_self([_summary(checks), *[_claim(app, docname, c, checks) for c in ledger.claims()]])


def _summary(checks: list[ledger.Check]) -> nodes.Node:
    verdicts = [ledger.verdict(claim, checks) for claim in ledger.claims()]
    counts = [f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)]
    return nodes.paragraph("", f"{len(verdicts)} rows: {'; '.join(counts)}.")


def _claim(app: Sphinx, docname: str, claim: ledger.Claim, checks: list[ledger.Check]) -> nodes.Node:
    verdict = ledger.verdict(claim, checks)
    box = nodes.container(classes=["claim", "claim-" + verdict.replace(" ", "-")], ids=[claim.id.lower()])
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
        line += nodes.Text(f"{check.statement}: {_numbers(check)}. ")
        line += nodes.emphasis("", check.verdict + (" (corrected statement)" if check.correction else ""))
        line += nodes.Text(f"; scale {check.scale}{'' if check.seed is None else f', seed {check.seed}'}; ")
        title = app.env.titles[check.chapter].astext()
        where = nodes.reference(
            "", title, internal=True, refuri=app.builder.get_relative_uri(docname, check.chapter)
        )
        line += [where, nodes.Text(".")]
        rows += nodes.list_item("", line)
    if len(rows):
        box += rows
    return box


def _numbers(check: ledger.Check) -> str:
    value = str(Estimate(check.value, check.stderr))
    if check.bound is None:
        return value
    return f"{value} {check.relation} {Estimate(check.bound, check.bound_stderr or 0.0)}"


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
