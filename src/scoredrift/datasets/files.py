"""Where the files of data sets lie, and how they get there: folders that are looked through, and downloads by hash."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from scoredrift import _checks

WHERE = "SCOREDRIFT_DATA"  # environment variable: a folder with data sets, each in a folder of its own
Found = TypeVar("Found")


@dataclass(frozen=True)
class DataFiles:
    """The files of a data set.

    Args:
        name: of its folder.
        source: address of the folder that they are fetched from, with a slash at its end.
        system: where a distribution puts them.
        remedy: a way to get them beside a folder and a download.

    >>> DataFiles("digits", "https://example.org/").folders("/data/mine")
    [PosixPath('/data/mine')]
    """

    name: str
    source: str
    system: tuple[Path, ...] = ()
    remedy: str = ""

    def folders(self, folder: Path | str | None) -> list[Path]:
        """Where they may lie, in this order: the folder alone, if it is given; the last one is for downloads."""
        if folder is not None:
            return [Path(folder)]
        own = os.environ.get(WHERE)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # as pooch has it
        mine = [Path(own) / self.name] if own else []
        return [*mine, *self.system, cache / "scoredrift" / self.name]

    def find(self, look: Callable[[Path], Found | None], folders: Sequence[Path]) -> Found | None:
        """What ``look`` finds in the first folder in which it finds anything."""
        return next((found for folder in folders if (found := look(folder)) is not None), None)

    def fetch(self, file: str, known_hash: str, folder: Path) -> Path:
        """Download a file into a folder, unless it is there, and check it.

        Args:
            file: its name.
            known_hash: as pooch has it, ``md5:…`` or ``sha256:…``.
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
            return Path(pooch.retrieve(self.source + file, known_hash=known_hash, fname=file, path=folder))
        except (OSError, ValueError) as error:
            _checks.refuse("file", file, f"it could not be fetched from {self.source} ({error})")

    def missing(self, file: str, folders: Sequence[Path]) -> NoReturn:
        """Say that a file is in none of the folders, and how to get it."""
        looked = ", ".join(map(str, folders))
        ways = ", ".join(filter(None, [self.remedy, "fetch it by download=True"]))
        _checks.refuse("file", file, f"not in {looked}: {ways}, or pass folder=… or ${WHERE}")
