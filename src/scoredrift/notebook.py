"""What a chapter needs beside the mathematics: its scale, its seed, and numbers handed to the prose."""

from __future__ import annotations

import os
from typing import TypeVar

from scoredrift import _checks
from scoredrift.estimates import Estimate

T = TypeVar("T")
SCALES = ("quick", "medium", "paper")


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
        value: number, estimate or text; floats are shown with three digits.

    >>> quote("speed", 2.0)  # doctest: +SKIP
    """
    from IPython.display import display

    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    prefix = "application/papermill.record/"
    display(
        {f"{prefix}text/plain": text},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )
