"""What was found out about a model: one finding for each thing that can be wrong, as a text of 76 columns."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

from scoredrift import _checks
from scoredrift.estimates import Estimate

Verdict = Literal["passed", "failed", "unknown", "measured"]

_WIDTH, _INDENT = 76, 26
_ORDER = ("passed", "failed", "unknown", "measured")


@dataclass(frozen=True)
class ModelFinding:
    """What was found out about one thing that can be wrong.

    Args:
        name: what was looked at, such as "prediction" or "start law".
        verdict: passed, failed, unknown (these data, or what was passed, cannot tell), or measured: a number that
            nobody is blamed for.
        text: the finding as a sentence.
        measured: the number behind it, None if there is none.
        unit: of the number.
        remedy: what to do, for what failed or is unknown.

    Raises:
        ValueError: another verdict, or a failure without a remedy.

    >>> print(ModelFinding("offset", "failed", "shifted by one", remedy="pass k − 1"))
    FAILED    offset          shifted by one
                              → pass k − 1
    """

    name: str
    verdict: Verdict
    text: str
    measured: Estimate | None = None
    unit: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in _ORDER:
            _checks.refuse("verdict", repr(self.verdict), f"choose one of {', '.join(_ORDER)}")
        if self.verdict == "failed" and not self.remedy:
            _checks.refuse("remedy", "''", "say what to do about a failure")

    def __str__(self) -> str:
        mark = self.verdict.upper() if self.verdict == "failed" else self.verdict
        head = f"{mark:<10}{self.name:<{_INDENT - 10}}"
        gap = " " * _INDENT
        lines = textwrap.wrap(
            self.text, _WIDTH, initial_indent=head, subsequent_indent=gap, break_on_hyphens=False
        )
        if self.remedy:
            lines += textwrap.wrap(
                f"→ {self.remedy}",
                _WIDTH,
                initial_indent=gap,
                subsequent_indent=gap + "  ",
                break_on_hyphens=False,
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class ModelReport:
    """All findings about a model.

    Args:
        model: what it was taken for.
        findings: one for each thing that was looked at, or could have been.

    >>> report = ModelReport("a network", (ModelFinding("offset", "passed", "k fits, k ± 1 does not"),))
    >>> report.failed, report["offset"].verdict
    ((), 'passed')
    >>> print(report)
    check of a network: nothing found
    passed    offset          k fits, k ± 1 does not
    """

    model: str
    findings: tuple[ModelFinding, ...]

    def __getitem__(self, name: str) -> ModelFinding:
        """The finding of a name.

        Raises:
            ValueError: nothing of that name.
        """
        known = {one.name: one for one in self.findings}
        if name not in known:
            _checks.refuse("name", repr(name), f"choose one of {', '.join(known)}")
        return known[name]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of what failed."""
        return self._named("failed")

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of what could not be told."""
        return self._named("unknown")

    def _named(self, verdict: Verdict) -> tuple[str, ...]:
        return tuple(one.name for one in self.findings if one.verdict == verdict)

    def __str__(self) -> str:
        told = "nothing found" if not self.failed else f"found: {', '.join(self.failed)}"
        head = textwrap.wrap(f"check of {self.model}: {told}", _WIDTH, subsequent_indent="  ")
        return "\n".join([*head, *map(str, self.findings)])
