"""The claims ledger: what was claimed, what was computed, and a verdict that nobody types.

A chapter ends an argument with a check, for example

    at_most("C1", "KL ≤ ½ ε̂²", kl_estimate, 0.5 * energy, seed=0, scale="quick")

which compares numbers, shows the outcome under the cell, and leaves the same outcome in the
notebook file, in the metadata of the output. The book collects these records into its ledger page.

A difference counts when it exceeds five standard errors (plus a stated tolerance):

    value ≤ bound   holds where value − bound ≤ 0, fails where it exceeds 5 s.e., else undecided;
    value = bound   holds where |value − bound| ≤ 5 s.e. + tolerance, else fails.

The standard error of an estimate whose tail is not trusted decides nothing: such a comparison stays
undecided, and its statement says why.
"""

from __future__ import annotations

import html
import json
import math
import tomllib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Any

from scoredrift import _checks
from scoredrift.estimates import Estimate, as_estimate, typeset

RECORD = "scoredrift-check"  # key of the output metadata
SIGMAS = 5.0
_NOT_TRUSTED = " (not trusted: heavy tail)"  # without k̂, which depends on the machine
NOT_EXAMINED, UNKNOWN = "not yet examined", "unknown"


@dataclass(frozen=True)
class Claim:
    """A claim of the source paper (C…), a figure of it (F…), or a result of this book (O…).

    Args:
        id: name in the ledger.
        title: a few words.
        statement: what is claimed.
        source: where it stands.
        known: how well the statement itself is known, or "unknown".
        chapter: chapter that examines it.

    >>> claims()[0].known != ""
    True
    """

    id: str
    title: str
    statement: str
    source: str
    known: str
    chapter: str


@dataclass(frozen=True)
class Check:
    """Outcome of one comparison: numbers, and the verdict that follows from them.

    Made by ``at_most``, ``at_least``, ``equal`` and ``measured``.

    Args:
        claim: id in the ledger.
        statement: what was compared, in words or symbols; marked where an estimate is not trusted.
        relation: "≤", "≥", "=", or "" for a measurement.
        verdict: "holds", "fails", "undecided" or "measured".
        value, stderr: left side and its standard error.
        bound, bound_stderr: right side, or None for a measurement.
        seed: seed of the run, or None where no randomness is involved.
        scale: scale of the run, e.g. "quick".
        correction: True where a corrected statement was checked.
        tolerance: what an equality neglects.
        chapter: where it was made; ``collect`` fills it in.

    >>> at_most("C1", "1 ≤ 2", 1, 2, seed=None, scale="exact").holds
    True
    """

    claim: str
    statement: str
    relation: str
    verdict: str
    value: float
    stderr: float
    bound: float | None
    bound_stderr: float | None
    seed: int | None
    scale: str
    correction: bool
    tolerance: float = 0.0
    chapter: str = ""

    @property
    def holds(self) -> bool:
        """Whether the comparison came out as stated.

        >>> at_most("C1", "2 ≤ 1", 2, 1, seed=None, scale="exact").holds
        False
        """
        return self.verdict == "holds"

    @property
    def comparison(self) -> str:
        """The numbers, for reading: what was measured, what it was compared with, and how far apart they are.

        >>> equal("O17", "log σ̂²", Estimate(-4.31, 0.33), -5.347, seed=0, scale="quick").comparison
        '−4.31 ± 0.33, predicted −5.347: 3.1 s.e. apart (allowed: 5)'
        >>> equal("O3", "exponent", 1.965, 2, seed=None, scale="exact", tolerance=0.1).comparison
        '1.965, predicted 2: 0.035 apart (allowed: 0.1)'
        >>> at_least("O11", "quotient", 1 + 1e-9, 1, seed=None, scale="exact").comparison
        '1 ≥ 1, the same to six digits'
        """
        left = Estimate(self.value, self.stderr)
        if self.bound is None:
            return typeset(str(left))
        right = Estimate(self.bound, self.bound_stderr or 0.0)
        gap, error = abs(left.value - right.value), math.hypot(left.stderr, right.stderr)
        same = not error and gap <= 1e-6 * max(abs(left.value), abs(right.value))
        if self.relation != "=":
            shown = f"{left} {self.relation} {right}"
            if not error and not same and str(left) == str(right):
                shown = f"{left:.6g} {self.relation} {right:.6g}"
            return typeset(shown + (", the same to six digits" if same else ""))
        allowed = [f"{SIGMAS:.0f}" if error else "", f"{self.tolerance:.2g}" if self.tolerance else ""]
        if error:
            apart = f"{gap / error:.1f} s.e. apart (allowed: {' and '.join(filter(None, allowed))})"
        elif same:
            apart = "the same to six digits"
        else:
            apart = f"{gap:.2g} apart (allowed: {allowed[1] or 0})"
        return typeset(f"{left}, predicted {right}: {apart}")

    @property
    def anchor(self) -> str:
        """Name of the place in the page where it is shown.

        >>> at_most("C1", "1 ≤ 2", 1, 2, seed=None, scale="exact").anchor
        'check-c1-d5b3993e'
        """
        return f"check-{self.claim.lower()}-{zlib.crc32(self.statement.encode()):08x}"

    def __str__(self) -> str:
        return f"{self.claim} {self.verdict}: {self.statement} [{self.comparison}]"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        mark = {"holds": "✓", "fails": "✗", "undecided": "?", "measured": "•"}[self.verdict]
        text = html.escape(str(self).partition(": ")[2])
        body = (
            f'<div class="check check-{self.verdict}" id="{self.anchor}">'
            f"{mark} <b>{self.claim}</b> {self.verdict}: {text}</div>"
        )
        # myst-nb keeps outputs that carry a scrapbook name, and with them the record.
        name = f"{self.claim}: {self.statement}"
        metadata = {RECORD: _rounded(self), "scrapbook": {"name": name, "mime_prefix": ""}}
        return {"text/plain": str(self), "text/html": body}, metadata


def at_most(
    claim: str,
    statement: str,
    value: float | Estimate,
    bound: float | Estimate,
    *,
    seed: int | None,
    scale: str,
    correction: bool = False,
) -> Check:
    """Record whether value ≤ bound.

    Args:
        claim: id in the ledger.
        statement: the inequality in words or symbols.
        value, bound: numbers, or independent estimates with standard errors, in the same unit.
        seed: seed of the run, or None where no randomness is involved.
        scale: scale of the run, e.g. "quick".
        correction: True where a corrected statement is checked instead of the claim itself.

    Returns:
        Check whose verdict is holds, fails or undecided.

    Raises:
        ValueError: an unknown claim, or numbers that are not finite.

    >>> print(at_most("C1", "KL ≤ ½ ε̂²", Estimate(0.90, 0.01), 1.0, seed=0, scale="quick"))
    C1 holds: KL ≤ ½ ε̂² [0.900 ± 0.010 ≤ 1]
    """
    gap = as_estimate(value) - as_estimate(bound)
    verdict = "holds" if gap.value <= 0 else "fails" if gap.value > SIGMAS * gap.stderr else "undecided"
    return _check(claim, statement, "≤", verdict, value, bound, seed, scale, correction)


def at_least(
    claim: str,
    statement: str,
    value: float | Estimate,
    bound: float | Estimate,
    *,
    seed: int | None,
    scale: str,
    correction: bool = False,
) -> Check:
    """Record whether value ≥ bound; Args, Returns and Raises as for ``at_most``.

    >>> at_least("C5", "I ≥ ⅛ η ε²", 0.05, 0.06, seed=None, scale="exact").verdict
    'fails'
    """
    gap = as_estimate(bound) - as_estimate(value)
    verdict = "holds" if gap.value <= 0 else "fails" if gap.value > SIGMAS * gap.stderr else "undecided"
    return _check(claim, statement, "≥", verdict, value, bound, seed, scale, correction)


def equal(
    claim: str,
    statement: str,
    value: float | Estimate,
    bound: float | Estimate,
    *,
    seed: int | None,
    scale: str,
    correction: bool = False,
    tolerance: float = 0.0,
) -> Check:
    """Record whether value = bound; other Args and Raises as for ``at_most``.

    Args:
        tolerance: known size ≥ 0 of what the statement neglects, e.g. a discretisation error.

    Returns:
        Check whose verdict is holds or fails, or undecided where an estimate is not trusted.

    >>> equal("C7", "χ²(q‖p) = (1−α)² D", 0.25, 0.25, seed=None, scale="exact").verdict
    'holds'
    """
    gap = as_estimate(value) - as_estimate(bound)
    verdict = "holds" if abs(gap.value) <= SIGMAS * gap.stderr + tolerance else "fails"
    return _check(claim, statement, "=", verdict, value, bound, seed, scale, correction, tolerance)


def measured(claim: str, statement: str, value: float | Estimate, *, seed: int | None, scale: str) -> Check:
    """Record a measurement that has nothing to be compared with; Args and Raises as for ``at_most``.

    Returns:
        Check whose verdict is measured.

    >>> measured("C16", "η̂ on CIFAR-10", Estimate(0.3, 0.01), seed=0, scale="quick").verdict
    'measured'
    """
    return _check(claim, statement, "", "measured", value, None, seed, scale, False)


def _check(
    claim: str,
    statement: str,
    relation: str,
    verdict: str,
    value: float | Estimate,
    bound: float | Estimate | None,
    seed: int | None,
    scale: str,
    correction: bool,
    tolerance: float = 0.0,
) -> Check:
    known = {c.id for c in claims()}
    if claim not in known:
        _checks.refuse("claim", repr(claim), f"use one of {', '.join(sorted(known))} (claims.toml)")
    left = as_estimate(value)
    right = None if bound is None else as_estimate(bound)
    for name, side in (("value", left), ("bound", right)):
        if side is not None and not (math.isfinite(side.value) and math.isfinite(side.stderr)):
            _checks.refuse(name, side.value, "a check compares finite numbers with finite errors")
    if not (left.trusted and (right is None or right.trusted)):
        statement += _NOT_TRUSTED
        verdict = verdict if right is None else "undecided"
    return Check(
        claim, statement, relation, verdict, left.value, left.stderr,
        None if right is None else right.value, None if right is None else right.stderr,
        seed, scale, correction, tolerance,
    )  # fmt: skip


def _rounded(check: Check) -> dict[str, Any]:
    """The record that is stored: six digits, so that machines agree on it."""
    return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in asdict(check).items()}


def claims() -> list[Claim]:
    """Every claim the book has to examine, in the order of the ledger (file claims.toml).

    Returns:
        Claims.

    >>> claims()[0].id
    'C1'
    """
    text = files("scoredrift").joinpath("claims.toml").read_text(encoding="utf-8")
    return [Claim(**entry) for entry in tomllib.loads(text)["claim"]]


def collect(outputs: Iterable[Mapping[str, Any]], chapter: str) -> list[Check]:
    """Checks among the outputs of an executed notebook.

    Args:
        outputs: outputs of code cells (nbformat 4).
        chapter: name under which they enter the ledger.

    Returns:
        Checks in the order of the outputs, their numbers at six digits.

    >>> data, metadata = at_most("C1", "1 ≤ 2", 1, 2, seed=0, scale="exact")._repr_mimebundle_()
    >>> collect([{"data": data, "metadata": metadata}], "demo")[0].chapter
    'demo'
    """
    records = (output.get("metadata", {}).get(RECORD) for output in outputs)
    return [replace(Check(**record), chapter=chapter) for record in records if record is not None]


def verdict(claim: Claim, checks: Iterable[Check]) -> str:
    """Verdict on a claim, from its checks alone.

    Args:
        claim: the claim.
        checks: any checks; those of other claims are passed over.

    Returns:
        "holds", "holds with correction", "fails as stated", "undecided", "measured",
        "not yet examined", or "unknown" for an unexamined claim whose statement is unknown.

    >>> first = claims()[0]
    >>> verdict(first, [])
    'not yet examined'
    >>> fails = at_most("C1", "as stated", 2, 1, seed=0, scale="exact")
    >>> mended = at_most("C1", "as corrected", 1, 2, seed=0, scale="exact", correction=True)
    >>> verdict(first, [fails]), verdict(first, [fails, mended])
    ('fails as stated', 'holds with correction')
    """
    own = [c for c in checks if c.claim == claim.id]
    stated = [c.verdict for c in own if not c.correction and c.verdict != "measured"]
    mended = [c.verdict for c in own if c.correction]
    if not own:
        return UNKNOWN if claim.known == UNKNOWN else NOT_EXAMINED
    if "fails" in stated:
        return "holds with correction" if mended and set(mended) == {"holds"} else "fails as stated"
    if "fails" in mended or "undecided" in stated + mended:
        return "undecided"
    if stated:
        return "holds"
    return "holds with correction" if mended else "measured"


def as_json(checks: Iterable[Check]) -> str:
    """The whole ledger as JSON: claims in order, each with its verdict and its checks.

    Args:
        checks: checks of all chapters, in the order in which they are to stand.

    Returns:
        JSON text, a list with one object for each claim; numbers at six digits.

    >>> json.loads(as_json([]))[0]["checks"]
    []
    """
    own = list(checks)
    rows = [
        {
            **asdict(claim),
            "verdict": verdict(claim, own),
            "checks": [_rounded(c) for c in own if c.claim == claim.id],
        }
        for claim in claims()
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
