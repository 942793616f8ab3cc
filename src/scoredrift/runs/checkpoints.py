"""Checkpoints of a recursion: one file for each generation, the last two kept.

A file holds all that the next generation needs (training set and drawn points) and what has been
measured so far. It belongs to a run by its settings, which are stored in it; the number of
generations is not one of them, so a finished run can be continued.

Nothing is deleted or overwritten that this run did not write, and only one process at a time works in
a folder: it holds a lock, which the operating system releases when the process ends, however it ends.
"""

from __future__ import annotations

import json
import os
import re
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scoredrift import _checks
from scoredrift.runs.storage import is_foreign, load, note_of, place, save

_KEPT = 2
_LOCK = ".lock"
_DIGEST = re.compile(r"\b[0-9a-f]{16}\b")
_DRAFT = re.compile(r"\.generation-\d{4,}\.safetensors\.[0-9a-f]{8,32}")


@dataclass(frozen=True, eq=False, repr=False)
class Saved:
    """State of a run after its generation ``len(measured) − 1``.

    Args:
        training: what the last model was fitted to, shape ``[n, d]``.
        drawn: points of the last model, shape ``[N, d]``.
        measured: what was measured in each generation.

    >>> import torch
    >>> Saved(torch.zeros(1, 1), torch.zeros(1, 1), []).measured
    []
    """

    training: Tensor
    drawn: Tensor
    measured: list[dict[str, Tensor]]

    def __repr__(self) -> str:
        return f"Saved({len(self.measured)} generations, drawn {list(self.drawn.shape)})"


@contextmanager
def locked(folder: Path | str) -> Iterator[None]:
    """Work in a folder alone: others are refused until the block, or this process, ends.

    Where the file system knows no locks, a warning says so.

    Args:
        folder: made where it is missing.

    Raises:
        ValueError: another process, or another run of this one, works there; or no folder can be made.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with locked(folder), locked(folder):  # doctest: +ELLIPSIS
    ...     pass
    Traceback (most recent call last):
    ...
    ValueError: folder = ...: another run is at work there; wait until it ends, or choose another folder
    """
    folder = place(folder)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _checks.refuse("folder", folder, f"{error.strerror}; choose a folder that can be written to")
    file = _hold(folder / _LOCK)
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):  # Windows keeps open files
                (folder / _LOCK).unlink()
            os.close(file)
        if made:
            with suppress(OSError):  # not empty: it was of use
                folder.rmdir()


def _hold(path: Path) -> int | None:
    """Open file with a lock; None where there are no locks, or nothing can be written anyway."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None  # a folder to read from; who writes to it will hear of it
        try:
            _take(file)
        except BlockingIOError:
            os.close(file)
            remedy = "another run is at work there; wait until it ends, or choose another folder"
            _checks.refuse("folder", path.parent, remedy)
        except OSError as error:
            os.close(file)
            warnings.warn(
                f"{path.parent} cannot be locked ({error}): start no second run there", stacklevel=4
            )
            return None
        # Between opening and locking the holder before may have removed the file: then it locks nobody out.
        with suppress(OSError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)


def _take(file: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError from error
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Checkpoints:
    """Checkpoint files of one run in one folder.

    Args:
        folder: made at the first write.
        settings: what the run depends on, in a form that JSON holds.

    >>> import tempfile, torch
    >>> store = Checkpoints(Path(tempfile.mkdtemp()), {"seed": 1})
    >>> store.write(0, torch.zeros(2, 1), torch.ones(2, 1), [{"mean": torch.tensor(1.0)}])
    >>> store.newest(5).measured
    [{'mean': tensor(1.)}]
    """

    def __init__(self, folder: Path | str, settings: dict[str, Any]) -> None:
        self.folder = place(folder)
        self.settings = settings

    def write(self, index: int, training: Tensor, drawn: Tensor, measured: list[dict[str, Tensor]]) -> None:
        """Store the state after generation ``index`` and drop all but the last two files of this run.

        A file of the same name that this run did not write, or that is damaged, is moved aside.

        Args:
            index: i ≥ 0.
            training, drawn, measured: as for ``Saved``.

        Raises:
            OSError: the file cannot be written; older ones are untouched.
        """
        tensors = {"training": training, "drawn": drawn}
        for i, values in enumerate(measured):
            tensors |= {f"measured/{i}/{name}": value for name, value in values.items()}
        note = {"settings": self.settings, "generation": index}
        path = self.folder / _name(index)
        if path.exists() and not self._is_ours(path):
            path.replace(path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.damaged"))
        save(path, tensors, note)
        # What is older is not needed, and what is later was damaged, or it would have been resumed.
        for path in self._files():
            if not index - _KEPT < _generation(path) <= index and self._is_ours(path):
                path.unlink(missing_ok=True)

    def newest(self, generations: int) -> Saved | None:
        """Newest state that is whole, or None where there is none.

        Args:
            generations: last generation of the run that asks; later states are passed over.

        Raises:
            ValueError: the folder holds checkpoints of another run, or only of later generations, or a
                file of another program under the name of a checkpoint that is to be written.

        Warns:
            UserWarning: a file is truncated or altered; it is named and passed over.
        """
        for draft in self.folder.glob(".generation-*.safetensors.*"):  # of a process that was killed
            if _DRAFT.fullmatch(draft.name):
                draft.unlink(missing_ok=True)
        later = []
        for path in reversed(self._files()):
            if is_foreign(path):
                if _generation(path) <= generations:
                    remedy = f"{path.name} there is no checkpoint of ours; choose another folder"
                    _checks.refuse("folder", self.folder, remedy)
                continue
            try:
                tensors, note = load(path)
            except ValueError as error:
                warnings.warn(f"checkpoint passed over: {error}", stacklevel=3)
                continue
            self._same_run(note.get("settings", {}))
            if note["generation"] <= generations:
                measured: list[dict[str, Tensor]] = [{} for _ in range(note["generation"] + 1)]
                for key in tensors:
                    if key.startswith("measured/"):
                        _, i, name = key.split("/", 2)
                        measured[int(i)][name] = tensors[key]
                return Saved(tensors["training"], tensors["drawn"], measured)
            later.append(note["generation"])
        if later:
            remedy = f"the checkpoints there are of generation {min(later)} and later; ask for as many"
            _checks.refuse("generations", generations, f"{remedy}, or choose another folder")
        return None

    def _files(self) -> list[Path]:
        found = [path for path in self.folder.glob("generation-*.safetensors") if _generation(path) >= 0]
        return sorted(found, key=_generation)

    def _is_ours(self, path: Path) -> bool:
        note = note_of(path)
        return note is not None and _text(note.get("settings")) == _text(self.settings)

    def _same_run(self, stored: dict[str, Any]) -> None:
        for name in sorted(self.settings.keys() | stored.keys()):
            here, there = self.settings.get(name), stored.get(name)
            if _text(here) != _text(there):
                if _DIGEST.sub("", _text(here)) == _DIGEST.sub("", _text(there)):
                    remedy = (
                        f"the checkpoints in {self.folder} are of other code, or of other values it reads"
                    )
                    _checks.refuse(name, here, f"{remedy}; choose another folder")
                remedy = f"the checkpoints in {self.folder} have {there}; choose another folder"
                _checks.refuse(name, here, remedy)


def _text(thing: Any) -> str:
    return json.dumps(thing, sort_keys=True)  # which tells 1 from 1.0 and True


def _name(index: int) -> str:
    return f"generation-{index:04d}.safetensors"


def _generation(path: Path) -> int:
    """Generation of a checkpoint by its name; −1 for a name that is none of ours."""
    number = re.fullmatch(r"generation-(\d+)\.safetensors", path.name)
    return int(number[1]) if number and path.name == _name(int(number[1])) else -1
