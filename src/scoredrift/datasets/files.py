"""Where the files of data sets lie, and how they get there: folders that are looked through, and downloads by hash."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from scoredrift import _checks

WHERE = "SCOREDRIFT_DATA"  # environment variable: a folder with data sets, each in a folder of its own
Found = TypeVar("Found")


def places(data_set: str, folder: Path | str | None, *system: Path) -> list[Path]:
    """Folders in which files of a data set may lie, in this order.

    Args:
        data_set: name of its folder.
        folder: the only one, if it is given.
        system: where a distribution puts it.

    >>> places("digits", "/data/mine")
    [PosixPath('/data/mine')]
    """
    if folder is not None:
        return [Path(folder)]
    own = os.environ.get(WHERE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # as pooch has it
    return ([Path(own) / data_set] if own else []) + [*system, cache / "scoredrift" / data_set]


def find(look: Callable[[Path], Found | None], folders: Sequence[Path]) -> Found | None:
    """What ``look`` finds in the first folder in which it finds anything.

    Args:
        look: says what a folder has, or None.
        folders: where to look.

    >>> find(lambda folder: folder / "x" if folder.name == "b" else None, [Path("a"), Path("b")])
    PosixPath('b/x')
    """
    return next((found for folder in folders if (found := look(folder)) is not None), None)


def fetch(name: str, known_hash: str, source: str, folder: Path) -> Path:
    """Download a file, unless it is there, and check it.

    Args:
        name: of the file.
        known_hash: as pooch has it, ``md5:…`` or ``sha256:…``.
        source: address of the folder it lies in, with a slash at its end.
        folder: where it is kept.

    Raises:
        ValueError: it cannot be fetched, or is another file.
        ImportError: pooch is missing.
    """
    try:
        import pooch
    except ImportError as error:
        raise ImportError("downloads need pooch: pip install 'scoredrift[images]'") from error
    try:
        return Path(pooch.retrieve(source + name, known_hash=known_hash, fname=name, path=folder))
    except (OSError, ValueError) as error:
        _checks.refuse("file", name, f"it could not be fetched from {source} ({error})")


def missing(name: str, folders: Sequence[Path], remedies: str) -> None:
    """Refuse to go on without a file.

    Args:
        name: of the file.
        folders: that were looked through.
        remedies: ways to get it, beside a folder or a download.

    Raises:
        ValueError: always.

    >>> missing("x.bin", [Path("a")], "ask for it")
    Traceback (most recent call last):
    ...
    ValueError: file = x.bin: not in a: ask for it, fetch it by download=True, or pass folder=… or $SCOREDRIFT_DATA
    """
    looked = ", ".join(map(str, folders))
    ways = ", ".join(filter(None, [remedies, "fetch it by download=True"]))
    _checks.refuse("file", name, f"not in {looked}: {ways}, or pass folder=… or ${WHERE}")
