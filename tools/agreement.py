"""Whether two outputs of a chapter agree: numbers as numbers, words to the letter.

The draws of a chapter are fixed by its seeds, but not to the last bit: processors round and add in
different orders. So an output is compared in one of two ways.

* From the kind of machine that wrote it (``scoredrift.runs.machine``): to the letter.
* From another kind: line by line and number by number. ``a ± s`` agrees with ``b ± t`` where
  |a − b| ≤ 5 √(s² + t²) and neither error is more than twice the other; a number without an error
  where it differs by one unit of the last printed digit at most; a whole number where it is the
  same; a distance, ``3.1 s.e. apart``, has the error one. A cell whose draws decide discretely (a
  split, a count, an extreme) is tagged ``within-20-percent``, say: then its numbers without an error
  may differ by so much of the larger.
  Words, order and number of lines, and the kinds of output are compared to the letter either way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

SIGMAS, ERRORS_APART = 5.0, 2.0
RECORD = "application/papermill.record/text/plain"  # a number handed to the prose
_SIZE = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_PLAIN = rf"[-+−]?{_SIZE}"
_EDGE_BEFORE, _EDGE_AFTER = r"(?<![\w.^])", r"(?!\.?\w)"
_NUMBER = re.compile(
    rf"\((?P<a>{_PLAIN}) ± (?P<s>{_SIZE})\)e(?P<power>[-+]?\d+){_EDGE_AFTER}"
    rf"|{_EDGE_BEFORE}(?P<distance>{_SIZE}) s\.e\. apart"
    rf"|{_EDGE_BEFORE}(?P<value>{_PLAIN})(?: ± (?P<error>{_SIZE}))?{_EDGE_AFTER}"
)
_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_POWER = re.compile(r"(?:·|(?<![\w.]))10(?P<power>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_DATA = re.compile(r"data:image/\w+;base64,[\w+/=]*")  # a picture inside HTML
_TAG = re.compile(r"within-(\d+)-percent")


@dataclass(frozen=True)
class Number:
    """A number as it is printed.

    Args:
        text: its characters.
        value: the number.
        unit: one in its last digit.
        error: its standard error, or None where none is printed.

    >>> numbers("h = 0.60, (1.50 ± 0.25)e-03")[1]
    Number(text='(1.50 ± 0.25)e-03', value=0.0015, unit=1e-05, error=0.00025)
    """

    text: str
    value: float
    unit: float
    error: float | None

    @property
    def whole(self) -> bool:
        """Whether it is a plain whole number: a count, a size, a generation."""
        return self.error is None and re.fullmatch(r"[-+−]?\d+", self.text) is not None


def _number(found: re.Match[str]) -> Number:
    shown = found["a"] or found["distance"] or found["value"]
    error = "1" if found["distance"] else found["s"] or found["error"]
    power = int(found["power"] or 0)
    digits, _, exponent = shown.replace("−", "-").lower().partition("e")
    places = len(digits.partition(".")[2])
    scale = int(exponent or 0) + power
    return Number(
        found[0],
        float(f"{digits}e{scale}"),
        float(f"1e{scale - places}"),
        None if error is None else float(error) * 10.0**power,
    )


def _flat(line: str) -> str:
    """The line with 10⁻⁶ as 1e-6, as numbers are read."""

    def flat(found: re.Match[str]) -> str:
        return ("e" if found[0][0] == "·" else "1e") + found["power"].translate(_RAISED)

    return _POWER.sub(flat, line)


def numbers(line: str) -> list[Number]:
    """Numbers in a line of text, from left to right; names such as C1, x_2 or 2.13.0 are words.

    >>> [n.text for n in numbers("C1 holds: x_2 = 0.5 ± 0.1 at 20 °, torch 2.13.0")]
    ['0.5 ± 0.1', '20']
    """
    return [_number(found) for found in _NUMBER.finditer(_flat(line))]


def words(line: str) -> list[str]:
    """What stands before, between and after the numbers of a line, runs of blanks as one.

    >>> words("  h =  0.6   and 3 more")
    ['h =', 'and', 'more']
    """
    marked = _NUMBER.sub("\0", _flat(line))
    return [" ".join(part.split()) for part in marked.split("\0")]


@dataclass(frozen=True)
class Rule:
    """How an output is compared.

    Args:
        exact: to the letter, as from the kind of machine that wrote it.
        within: by how much of the larger two numbers without an error may differ, or None.

    >>> Rule(exact=False).apart(numbers("1.0 ± 0.1")[0], numbers("2.0 ± 0.1")[0])
    '1.0 ± 0.1 became 2.0 ± 0.1: 7.1 combined standard errors apart, 5 are allowed'
    """

    exact: bool
    within: float | None = None

    @classmethod
    def of_cell(cls, exact: bool, tags: Iterable[str]) -> Rule:
        """Rule for a cell with these tags.

        >>> Rule.of_cell(False, ["hide-input", "within-20-percent"]).within
        0.2
        """
        shares = [int(found[1]) / 100 for tag in tags if (found := _TAG.fullmatch(tag))]
        return cls(exact, max(shares, default=None))

    def apart(self, kept: Number, new: Number) -> str | None:
        """What is wrong with a number that should agree with one that was kept; None if nothing.

        Args:
            kept: the committed number.
            new: the number computed now.
        """
        gap = abs(kept.value - new.value)
        change = f"{kept.text} became {new.text}"
        if kept.error is not None and new.error is not None:
            both = math.hypot(kept.error, new.error)
            sigmas = gap / both if both else math.inf if gap else 0.0
            distance = f"{sigmas:.1f} combined standard errors apart"
            if self.exact:
                return None if kept.text == new.text else f"{change}: {distance}, none is allowed"
            if sigmas > SIGMAS:
                return f"{change}: {distance}, {SIGMAS:.0f} are allowed"
            low, high = sorted((kept.error, new.error))
            if high > ERRORS_APART * low * (1 + 1e-9):
                return f"{change}: one error is {high / low if low else math.inf:.2g} times the other"
            return None
        if (kept.error is None) != (new.error is None):
            return f"{change}: only one of them has an error"
        units = gap / min(kept.unit, new.unit)
        distance = f"{gap:.3g}, or {units:.3g} units of the last digit, apart"
        if self.exact:
            return None if kept.text == new.text else f"{change}: {distance}, none is allowed"
        if self.within is not None:
            share = gap / max(abs(kept.value), abs(new.value), math.ulp(0.0))
            ok = share <= self.within or units <= 1 + 1e-6
            return None if ok else f"{change}: {share:.0%} apart, {self.within:.0%} are allowed"
        if kept.whole and new.whole:
            return f"{change}: whole numbers must be the same" if gap else None
        return f"{change}: {distance}, 1 is allowed" if units > 1 + 1e-6 else None

    def lines(self, kept: str, new: str, where: str = "line") -> list[str]:
        """Differences between two texts, one sentence each; empty if they agree.

        Args:
            kept: the committed text.
            new: the text computed now.
            where: name of the place, for the sentences.
        """
        if kept == new:
            return []
        old_lines, new_lines = kept.splitlines(), new.splitlines()
        if len(old_lines) != len(new_lines):
            return [f"{where}: {len(old_lines)} lines became {len(new_lines)}"]
        found = []
        for place, (old, now) in enumerate(zip(old_lines, new_lines, strict=True), start=1):
            here = f"{where} {place}"
            if words(old) != words(now):
                found.append(f"{here}: {old.strip()!r} became {now.strip()!r}: other words")
                continue
            gaps = [self.apart(a, b) for a, b in zip(numbers(old), numbers(now), strict=True)]
            found += [f"{here}: {gap}" for gap in gaps if gap is not None]
            if self.exact and old != now and not any(gaps):
                found.append(f"{here}: {old!r} became {now!r}: other blanks")
        if not found and self.exact:
            found.append(f"{where}: other line ends")
        return found

    def outputs(self, kept: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
        """Differences between two lists of outputs of a cell (nbformat 4); empty if they agree.

        Streams are compared as whole texts, the other outputs in their order. Of pictures only
        their presence is compared.
        """
        found = []
        for stream in ("stdout", "stderr"):
            old, now = _stream(kept, stream), _stream(new, stream)
            found += self.lines(old, now, f"{stream}, line")
        for place, (before, after) in enumerate(zip_longest(_shown(kept), _shown(new)), start=1):
            here = f"output {place}"
            if before is None:
                found.append(f"{here}: appeared: {_named(after)}")
            elif after is None:
                found.append(f"{here}: is missing: {_named(before)}")
            elif _kind(before) != _kind(after):
                found.append(f"{here}: {_named(before)} became {_named(after)}")
            else:
                for mime, text in before["data"].items():
                    if not mime.startswith("image/"):
                        old, now = (_DATA.sub("", _joined(one)) for one in (text, after["data"][mime]))
                        found += self.lines(old, now, f"{here}, line")
        return found


def _joined(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _stream(outputs: Sequence[Mapping[str, Any]], name: str) -> str:
    return "".join(_joined(o["text"]) for o in outputs if o["output_type"] == "stream" and o["name"] == name)


def _shown(outputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [o for o in outputs if o["output_type"] != "stream"]


def _kind(output: Mapping[str, Any]) -> tuple[str, list[str], str | None]:
    """What must be the same to the letter: type, forms, and the name under which it is recorded."""
    return (output["output_type"], sorted(output.get("data", {})), _name(output))


def _name(output: Mapping[str, Any]) -> str | None:
    return output.get("metadata", {}).get("scrapbook", {}).get("name")


def _named(output: Mapping[str, Any]) -> str:
    kind, forms, name = _kind(output)
    return f"{kind} of {', '.join(forms) or output.get('ename', 'nothing')}" + (f" ({name})" if name else "")
