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
            ValueError: values of different shapes, which ``at`` gives one at a time.
        """
        return self._stacked(name, {})

    def _stacked(self, name: str, fixed: Mapping[str, Any]) -> Tensor:
        """Values of one name where the axes between runs have the values that are fixed."""
        over = self._over(name)
        parts = self._parts[name]
        sizes = [len(values) for values in over.values()]
        if len(parts) != math.prod(sizes):
            _checks.refuse(name, f"{len(parts)} tensors", f"one for each of {sizes} values is needed")
        kept = {axis: (fixed[axis],) if axis in fixed else values for axis, values in over.items()}
        chosen = [
            parts[label]
            for label in sorted(parts, key=lambda label: _places(label, over))
            if all(_number(text) in values for text, values in zip(label, kept.values(), strict=True))
        ]
        if len({one.shape for one in chosen}) > 1:
            shapes = ", ".join(sorted({str(list(one.shape)) for one in chosen}))
            _checks.refuse(f"{name}.shape", shapes, f"they differ: take some by at({name!r}, …)")
        left = [len(values) for axis, values in over.items() if axis not in fixed]
        return torch.stack(chosen).reshape(*left, *chosen[0].shape)

    def _over(self, name: str) -> dict[str, tuple[Any, ...]]:
        """What varies between runs: axes and their values."""
        if name not in self._parts:
            raise KeyError(f"{name!r} was not measured; there are {self.keys()}")
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

        What was measured in some generations only has no axis of generations: which ones, the result does not
        say.

        Raises:
            KeyError: nothing was measured under the name.
            ValueError: the settings do not say what the axes are.
        """
        over = self._over(name)
        shape = next(iter(self._parts[name].values())).shape
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
        if len(shape) > 1 and 0 < shape[1] < len(own.get("generation", ())) and name != "picture":
            own = {"run": own["run"]}
        if list(shape[: len(own)]) != [len(values) for values in own.values()]:
            remedy = f"the settings speak of {[len(values) for values in own.values()]} {list(own)}"
            _checks.refuse(f"{name}.shape", list(shape), remedy)
        return over | own

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
        over, axes = self._over(name), self.axes_of(name)
        fixed: dict[str, Any] = {}
        place: list[Any] = []
        for axis, value in where.items():
            if axis not in axes:
                _checks.refuse(axis, value, f"the axes of {name!r} are {', '.join(axes)}")
        for axis, known in axes.items():
            if axis in where:
                found = [k for k, value in enumerate(known) if _alike(value, where[axis])]
                if not found:
                    _checks.refuse(axis, where[axis], f"choose one of {', '.join(map(str, known))}")
            if axis in where and axis in over:
                fixed[axis] = known[found[0]]
            else:
                place.append(found[0] if axis in where else slice(None))
        return self._stacked(name, fixed)[tuple(place)]


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
