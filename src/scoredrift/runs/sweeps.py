"""Sweeps: one function over many cases, on the cores of a machine or on a cluster.

``sweep`` runs on joblib. What joblib runs on is the business of whoever calls: the cores of the
machine by ``workers=8``, a Dask cluster by the same call inside

    with joblib.parallel_config("dask"): ...

Each case brings its own seed, so the results do not depend on where or in which order they were computed.
A generator of random numbers among the arguments is refused: processes get copies of it, which all draw
the same numbers, and a loop makes each case depend on those before.
"""

from __future__ import annotations

import io
import itertools
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, delayed
from torch import Tensor
from tqdm import tqdm

from scoredrift import _checks
from scoredrift.runs.fingerprints import RANDOM, held_by

Result = TypeVar("Result")


def cases(**axes: Iterable[Any]) -> list[dict[str, Any]]:
    """All combinations of the values given for each name, the last name varying fastest.

    Args:
        axes: values of each argument.

    Returns:
        One dictionary of arguments for each combination.

    Raises:
        ValueError: an axis without values.

    >>> cases(alpha=(0.1, 0.5), run=range(2))[1:3]
    [{'alpha': 0.1, 'run': 1}, {'alpha': 0.5, 'run': 0}]
    """
    for name, axis in axes.items():
        if not isinstance(axis, Iterable):
            _checks.refuse(name, repr(axis), "pass the values in a list")
    values = {name: list(axis) for name, axis in axes.items()}
    for name, axis in values.items():
        if not axis:
            _checks.refuse(name, "no values", "pass at least one, or leave the axis out")
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def sweep(
    task: Callable[..., Result],
    cases: Sequence[Mapping[str, Any]],
    *,
    workers: int | None = None,
    progress: bool = False,
) -> list[Result]:
    """Results of ``task(**case)`` for each case, in the order of the cases.

    Args:
        task: function at the top level of a module, so that other processes find it.
        cases: its arguments; each case with its own seed or run number.
        workers: processes on this machine; None for what ``joblib.parallel_config`` says, which is
            one process unless it was told otherwise.
        progress: show a progress bar over the cases.

    Returns:
        One result for each case.

    Raises:
        ValueError: no cases, workers < 1, or a random generator anywhere inside task or cases; anything that
            a case raises, with the case noted.

    >>> sweep(pow, [{"base": 2, "exp": 3}, {"base": 3, "exp": 2}])
    [8, 9]
    """
    if not callable(task):
        _checks.refuse("task", repr(task), "pass a function")
    if not isinstance(cases, Sequence) or any(not isinstance(case, Mapping) for case in cases):
        _checks.refuse("cases", repr(cases)[:80], "pass a list of dictionaries, as cases(…) makes")
    if not cases:
        _checks.refuse("cases", "empty", "pass at least one case")
    if workers is not None:
        workers = _checks.count("workers", workers)
    _no_generator("task", task)
    for index, case in enumerate(cases):
        for name, value in case.items():
            _no_generator(f"cases[{index}][{name!r}]", value)
    stream = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_run)(task, dict(case)) for case in cases
    )
    return list(tqdm(stream, total=len(cases), disable=not progress, desc="cases"))


class _FoundError(Exception):
    """A random generator inside what was to be sent to another process."""


class _Search(pickle.Pickler):
    """Looks at all that pickling would send, and at what functions read, and sends nothing."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.met: dict[int, Any] = {}

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, RANDOM):
            raise _FoundError(repr(thing))
        if isinstance(thing, Tensor | np.ndarray | ModuleType | type):
            return NotImplemented if thing is tuple else (tuple, ())
        if isinstance(thing, FunctionType):
            new = id(thing) not in self.met
            self.met[id(thing)] = thing
            return tuple, (held_by(thing),) if new else ()
        return NotImplemented


def _no_generator(name: str, thing: Any) -> None:
    try:
        _Search().dump(thing)
    except _FoundError as error:
        _checks.refuse(name, error, "pass a seed with each case, and make the generator inside the task")
    except Exception:
        return  # what cannot be pickled cannot be sent either; joblib says so where it tries


def _run(task: Callable[..., Result], case: dict[str, Any]) -> Result:
    try:
        return task(**case)
    except Exception as error:
        error.add_note(f"in the case {case}")
        raise
