"""Sweeps: one function over many cases, on the cores of a machine or on a cluster.

``sweep`` runs on joblib. What joblib runs on is the business of whoever calls: the cores of the
machine by ``workers=8``, a Dask cluster by the same call inside

    with joblib.parallel_config("dask"): ...

Each case brings its own seed, so the results do not depend on where or in which order they were computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed
from tqdm import tqdm

from scoredrift import _checks

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
        ValueError: no cases, or workers < 1; anything that a case raises, with the case noted.

    >>> sweep(pow, [{"base": 2, "exp": 3}, {"base": 3, "exp": 2}])
    [8, 9]
    """
    if not cases:
        _checks.refuse("cases", "empty", "pass at least one case")
    if workers is not None:
        _checks.count("workers", workers)
    stream = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_run)(task, dict(case)) for case in cases
    )
    return list(tqdm(stream, total=len(cases), disable=not progress, desc="cases"))


def _run(task: Callable[..., Result], case: dict[str, Any]) -> Result:
    try:
        return task(**case)
    except Exception as error:
        error.add_note(f"in the case {case}")
        raise
