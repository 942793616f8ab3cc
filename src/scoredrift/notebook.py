"""What a chapter needs beside the mathematics: its scale, its seed, tables, and numbers handed to the prose."""

from __future__ import annotations

import html
import os
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate, as_estimate, typeset

T = TypeVar("T")
SCALES = ("quick", "medium", "paper")

# Columns of text that fit beside each other on a page of the book.
_PAGE = 76


def current_scale() -> str:
    """Scale of the run, from the environment variable SCALE.

    Returns:
        "quick" (default), "medium" or "paper".

    Raises:
        ValueError: any other value of SCALE.

    >>> current_scale() in SCALES
    True
    """
    name = os.environ.get("SCALE", "quick")
    if name not in SCALES:
        _checks.refuse("SCALE", repr(name), f"set it to one of {', '.join(SCALES)}")
    return name


def current_seed(seed: int) -> int:
    """Seed of a chapter: as it stands there, or moved by the environment variable SEED_OFFSET.

    `make seeds` moves it to see whether what a chapter asserts holds with other draws.

    Args:
        seed: the chapter's own seed.

    Returns:
        seed + 10 000 × SEED_OFFSET.

    Raises:
        ValueError: a SEED_OFFSET that is not a whole number ≥ 0.

    >>> current_seed(2602) % 10_000
    2602
    """
    offset = os.environ.get("SEED_OFFSET", "0")
    if not offset.isdecimal():
        _checks.refuse("SEED_OFFSET", repr(offset), "set it to a whole number ≥ 0, or leave it unset")
    return seed + 10_000 * int(offset)


def by_scale(*, quick: T, medium: T, paper: T) -> T:
    """The setting that belongs to the scale of the run.

    Args:
        quick, medium, paper: the setting at each scale, of any one type.

    Returns:
        One of the three.

    Raises:
        ValueError: an unknown value of the environment variable SCALE.

    >>> by_scale(quick=1_000, medium=10_000, paper=100_000) >= 1_000
    True
    """
    return {"quick": quick, "medium": medium, "paper": paper}[current_scale()]


def quote(name: str, value: float | str | Estimate) -> None:
    """Hand a number to the prose: the text of the page refers to it as {glue:text}`name`.

    Nothing is shown under the cell. The record is the one that myst-nb's ``glue`` writes, so
    that a chapter needs no part of the book's tool chain to run.

    Args:
        name: key, unique within the chapter.
        value: number, estimate or text; floats are shown with three digits, and all numbers are typeset.

    >>> quote("speed", 2.0)  # doctest: +SKIP
    """
    from IPython.display import display

    text = typeset(f"{value:.3g}" if isinstance(value, float) else str(value))
    prefix = "application/papermill.record/"
    display(
        {f"{prefix}text/plain": text},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def your_turn(guess: Any, truth: float | Estimate, *, within: float = 0.1) -> str:
    """What to say to a reader who predicts a number before computing it.

    Args:
        guess: the reader's number; ``...`` as long as there is none.
        truth: what was computed.
        within: share of the truth by which the guess may be off; an estimate may be off by its five standard
            errors besides.

    Returns:
        A sentence: an invitation, "right", or "too low" and "too high" without the answer.

    Raises:
        ValueError: a guess that is no number, a share below zero.

    >>> print(your_turn(..., 19.0))
    Your turn: replace the dots by a number,
    and run the cell again.
    >>> your_turn(10, 19.0), your_turn(20, 19.0)
    ('10 is too low. Try again.', 'Right: 20 for 19.')
    """
    if guess is ...:
        return "Your turn: replace the dots by a number,\nand run the cell again."
    said = _checks.number("guess", guess)
    right = as_estimate(truth)
    allowed = _checks.number("within", within, low=0.0) * abs(right.value) + 5 * right.stderr
    if abs(said - right.value) <= allowed:
        return f"Right: {said:.4g} for {right if right.stderr else format(right.value, '.4g')}."
    return f"{said:.4g} is too {'low' if said < right.value else 'high'}. Try again."


@dataclass(frozen=True)
class Table:
    """Rows that print as aligned text, and show as a table in Jupyter; made by ``table``.

    Args:
        header: names of the columns; empty for none.
        cells: texts, row by row.
        numeric: for each column whether it holds numbers, which stand at the right.

    >>> Table(("α", "kind"), (("0.1", "blur"), ("0.25", "resample")), (True, False))
       α  kind
     0.1  blur
    0.25  resample
    """

    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def __str__(self) -> str:
        bodies = [max(map(_width, column)) for column in zip(*self.cells, strict=True)]
        heads = [[name] for name in self.header] or [[""]] * len(bodies)
        widths = [max(body, _width(head[0])) for body, head in zip(bodies, heads, strict=True)]
        gap = 2
        if sum(widths) + gap * (len(widths) - 1) > _PAGE:  # names give way to the numbers below them
            heads = [_wrapped(head[0], body) for head, body in zip(heads, bodies, strict=True)]
            widths = [max(body, *map(_width, head)) for body, head in zip(bodies, heads, strict=True)]
        tall = max(map(len, heads)) if self.header else 0
        lines = [[([""] * tall + head)[-tall:][i] for head in heads] for i in range(tall)]
        rows = [
            (" " * gap).join(map(_padded, row, widths, self.numeric)).rstrip()
            for row in [*lines, *map(list, self.cells)]
        ]
        return "\n".join(rows)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        sides = ["right" if numeric else "left" for numeric in self.numeric]

        def line(tag: str, row: Sequence[str]) -> str:
            texts = (
                f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag}>'
                for side, text in zip(sides, row, strict=True)
            )
            return f"<tr>{''.join(texts)}</tr>"

        head = f"<thead>{line('th', self.header)}</thead>" if self.header else ""
        return f"<table>{head}<tbody>{''.join(line('td', row) for row in self.cells)}</tbody></table>"


def table(
    rows: Iterable[Mapping[str, Any] | Sequence[Any]], columns: Sequence[str] | Mapping[str, str] = ()
) -> Table:
    """Rows of numbers, estimates and texts, as one aligned table.

    Numbers and estimates stand at the right, texts at the left, two blanks apart. Where the table would be
    wider than a page of 76 columns, the names of the columns are broken over several lines.

    Args:
        rows: dictionaries from names to cells, or sequences of cells. A cell is a number, an estimate (with
            its k̂, if it is not trusted), a truth ("yes", "no"), a text, or None for what there is not ("–").
        columns: names of the columns, in order; with a format for their numbers and estimates where they are
            keys of a mapping ("" for the usual one: four digits, or value ± error). Without names those of
            the dictionaries are taken, and sequences get no header.

    Returns:
        Table: ``print`` shows the text, the last line of a cell shows it in Jupyter.

    Raises:
        ValueError: no rows, rows of different lengths or kinds, a column that is in no row, a format that
            does not suit its numbers.

    >>> rows = [{"law": "blur", "α": 0.1, "D": Estimate(0.5783, 0.012), "last": 20},
    ...         {"law": "resample", "α": 0.25, "D": Estimate(12.1, 1.0), "last": None}]
    >>> print(table(rows, {"law": "", "α": ".2f", "D": "", "last": ""}))
    law          α              D  last
    blur      0.10  0.578 ± 0.012    20
    resample  0.25     12.1 ± 1.0     –
    """
    rows = list(rows)
    if not rows:
        _checks.refuse("rows", "none", "pass at least one row")
    names, formats = list(columns), list(columns.values()) if isinstance(columns, Mapping) else []
    keyed = [row for row in rows if isinstance(row, Mapping)]
    if keyed:
        if len(keyed) < len(rows):
            _checks.refuse("rows", "dictionaries and sequences", "pass rows of one kind")
        known = dict.fromkeys(name for row in keyed for name in row)
        names = names or list(known)
        for name in names:
            if name not in known:
                _checks.refuse("columns", repr(name), f"no row has it; the rows have {', '.join(known)}")
        values = [[row.get(name) for name in names] for row in keyed]
    else:
        for i, row in enumerate(rows):
            if isinstance(row, str):
                _checks.refuse(f"rows[{i}]", repr(row), "pass a sequence of cells, or a dictionary")
        values = [list(row) for row in rows]
    wide = len(names) or len(values[0])
    for i, row in enumerate(values):
        if len(row) != wide:
            _checks.refuse(f"rows[{i}]", f"{len(row)} cells", f"pass {wide} cells in each row")
    formats = formats or [""] * wide
    cells = tuple(tuple(_cell(value, one) for value, one in zip(row, formats, strict=True)) for row in values)
    numeric = tuple(any(_is_number(value) for value in column) for column in zip(*values, strict=True))
    return Table(tuple(names), cells, numeric)


def _is_number(value: Any) -> bool:
    lone = isinstance(value, Tensor) and value.ndim == 0
    return lone or (isinstance(value, Real | Estimate) and not isinstance(value, bool))


def _cell(value: Any, digits: str) -> str:
    """The text of a cell."""
    if value is None:
        return "–"
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0):
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not _is_number(value):
        return str(value)
    doubt = ""
    if isinstance(value, Estimate) and not value.trusted:
        value, doubt = replace(value, tail=None), f" (k̂ = {value.tail:.2f})"
    try:
        return f"{value:{digits or _usual(value)}}{doubt}"
    except ValueError:
        _checks.refuse("columns", repr(digits), f"pass a format that suits {value!r}, such as .3f")


def _usual(value: Any) -> str:
    return "" if isinstance(value, Estimate | int) else ".4g"


def _width(text: str) -> int:
    """Columns that a text takes; accents such as that of p̂ take none."""
    return sum(1 for one in text if not unicodedata.combining(one))


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks


def _wrapped(name: str, width: int) -> list[str]:
    """A name on lines no wider than ``width``, or than its longest word."""
    longest = max((len(word) for word in name.split()), default=1)
    return textwrap.wrap(name, max(width, longest), break_on_hyphens=False) or [""]
