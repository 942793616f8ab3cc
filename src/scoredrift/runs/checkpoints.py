"""Checkpoints of a recursion: one file for each generation, the last two kept.

A file holds all that the next generation needs (training set and drawn points) and what has been
measured so far. It belongs to a run by its settings, which are stored in it; the number of
generations is not one of them, so a finished run can be continued.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scoredrift import _checks
from scoredrift.runs.storage import load, save

_KEPT = 2


@dataclass(frozen=True)
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

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = settings

    def write(self, index: int, training: Tensor, drawn: Tensor, measured: list[dict[str, Tensor]]) -> None:
        """Store the state after generation ``index`` and drop all but the last two files.

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
        save(self.folder / f"generation-{index:04d}.safetensors", tensors, note)
        # What is older is not needed, and what is later was damaged, or it would have been resumed.
        for path in self._files():
            if not index - _KEPT < _generation(path) <= index:
                path.unlink(missing_ok=True)

    def newest(self, generations: int) -> Saved | None:
        """Newest state that is whole, or None where there is none.

        Args:
            generations: last generation of the run that asks; later states are passed over.

        Raises:
            ValueError: the folder holds checkpoints of another run, or only of later generations.

        Warns:
            UserWarning: a file is truncated or altered; it is named and passed over.
        """
        for draft in self.folder.glob(".generation-*.safetensors.*"):  # of a process that was killed
            draft.unlink(missing_ok=True)
        later = []
        for path in reversed(self._files()):
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
        return sorted(self.folder.glob("generation-*.safetensors"), key=_generation)

    def _same_run(self, stored: dict[str, Any]) -> None:
        for name in sorted(self.settings.keys() | stored.keys()):
            here, there = self.settings.get(name), stored.get(name)
            if here != there:
                remedy = f"the checkpoints in {self.folder} have {there}; choose another folder"
                _checks.refuse(name, here, remedy)


def _generation(path: Path) -> int:
    return int(path.stem.removeprefix("generation-"))
