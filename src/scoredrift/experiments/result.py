"""Results of experiments: numbers with named axes, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks

# How the random numbers of a run follow from the seed of an experiment. In results that do not say so
# they are those of the seed ``seed + run``, so that neighbouring seeds share runs.
STREAMS, OLD_STREAMS = "(seed, run)", "seed + run"


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Numbers of one experiment with their provenance.

    ``result[name]`` is everything that was measured under a name, with the axes that ``axes_of(name)``
    says: what varies between runs, such as α, then the run, the generation, and whatever one measurement
    holds (often value and standard error). ``result.at(name, alpha=0.5)`` takes a part.

    Args:
        values: tensors by label and name, ``{value}/…/{name}``.
        note: settings and provenance.

    >>> values = {f"{alpha}/kl": torch.full((3, 2), alpha) for alpha in (0.1, 0.5)}
    >>> note = {"settings": {"runs": 3, "generations": 1}, "provenance": {"seed": 1}}
    >>> result = Result(values, note)
    >>> result.axes
    {'alpha': (0.1, 0.5), 'run': (0, 1, 2), 'generation': (0, 1)}
    >>> result["kl"].shape, result.at("kl", alpha=0.5, run=0)
    (torch.Size([2, 3, 2]), tensor([0.5000, 0.5000]))
    """

    values: dict[str, Tensor]
    note: dict[str, Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """Device, command, seed, commit, versions, date and duration."""
        return self.note["provenance"]

    @cached_property
    def _parts(self) -> dict[str, dict[tuple[str, ...], Tensor]]:
        """Tensors by name and label."""
        depth = len(self.note["axes"]) if "axes" in self.note else -1
        parts: dict[str, dict[tuple[str, ...], Tensor]] = {}
        for key, value in self.values.items():
            *label, name = key.rsplit("/") if depth < 0 else key.split("/", depth)
            parts.setdefault(name, {})[tuple(label)] = value
        return parts

    def keys(self) -> list[str]:
        """Names of all that was measured, sorted."""
        return sorted(self._parts)

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __repr__(self) -> str:
        title = " ".join(str(self.note[key]) for key in ("experiment", "scale") if key in self.note)
        return f"Result({title}: {', '.join(self.keys())})"

    def __getitem__(self, name: str) -> Tensor:
        """All values of one name; the axes are those of ``axes_of(name)``, and what a measurement holds.

        Raises:
            KeyError: nothing was measured under the name.
        """
        if name not in self._parts:
            raise KeyError(f"{name!r} was not measured; there are {self.keys()}")
        parts, over = self._parts[name], self._over(name)
        ordered = [parts[label] for label in sorted(parts, key=lambda label: _places(label, over))]
        sizes = [len(values) for values in over.values()]
        if len(ordered) != math.prod(sizes):
            _checks.refuse(name, f"{len(ordered)} tensors", f"one for each of {sizes} values is needed")
        return torch.stack(ordered).reshape(*sizes, *ordered[0].shape)

    def _over(self, name: str) -> dict[str, tuple[Any, ...]]:
        """What varies between runs: axes and their values."""
        labels = list(self._parts[name])
        axes = self.note.get("axes", ("alpha", "bandwidth")[: len(labels[0])])
        if len(axes) != len(labels[0]):
            _checks.refuse("axes", axes, f"{name!r} has labels such as {labels[0]}")
        columns = zip(*labels, strict=True)
        return {
            axis: tuple(sorted({_number(x) for x in column}))
            for axis, column in zip(axes, columns, strict=True)
        }

    def axes_of(self, name: str) -> dict[str, tuple[Any, ...]]:
        """Axes of ``result[name]`` in their order, with the values along each.

        Raises:
            KeyError: nothing was measured under the name.
            ValueError: the settings do not say what the axes are.
        """
        shape, over = self[name].shape, self._over(name)
        settings = self.note.get("settings", {})
        last = self.note.get("reached", settings.get("generations"))
        if last is None:
            return over
        measured = settings.get("measured", range(last + 1))
        own: dict[str, tuple[Any, ...]] = {
            "run": tuple(range(settings["runs"])),
            "generation": tuple(measured),
        }
        if name == "picture":  # of the first run alone
            own = {"generation": (0, last // 2, last)}
        axes = over | own
        if list(shape[: len(axes)]) != [len(values) for values in axes.values()]:
            remedy = f"the settings speak of {[len(values) for values in axes.values()]} {list(axes)}"
            _checks.refuse(f"{name}.shape", list(shape), remedy)
        return axes

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Axes of what was measured of every run: the longest that ``axes_of`` finds."""
        return max((self.axes_of(name) for name in self.keys()), key=len)

    def at(self, name: str, **where: Any) -> Tensor:
        """Values of one name at some values of its axes, which the answer no longer has.

        Args:
            name: what was measured.
            where: a value for each axis that is to be fixed, as ``alpha=0.5, generation=20``.

        Raises:
            KeyError: nothing was measured under the name.
            ValueError: an axis that there is not, or a value that is not on it.
        """
        values, axes = self[name], self.axes_of(name)
        for axis, value in where.items():
            if axis not in axes:
                _checks.refuse(axis, value, f"the axes of {name!r} are {', '.join(axes)}")
        place: list[Any] = [slice(None)] * len(axes)
        for i, (axis, known) in enumerate(axes.items()):
            if axis in where:
                found = [k for k, value in enumerate(known) if _alike(value, where[axis])]
                if not found:
                    _checks.refuse(axis, where[axis], f"choose one of {', '.join(map(str, known))}")
                place[i] = found[0]
        return values[tuple(place)]


def _number(text: str) -> Any:
    try:
        return float(text) if "." in text or "e" in text else int(text)
    except ValueError:
        return text


def _alike(one: Any, other: Any) -> bool:
    other = other.item() if isinstance(other, Tensor) and other.ndim == 0 else other
    if isinstance(one, str) or not isinstance(other, Real):
        return bool(isinstance(other, str) and one == other)
    return math.isclose(one, other, rel_tol=1e-6)  # 0.1 in float32 is 0.1


def _places(label: tuple[str, ...], over: Mapping[str, tuple[Any, ...]]) -> list[int]:
    return [values.index(_number(text)) for text, values in zip(label, over.values(), strict=True)]
