"""What the alarms of watched loops are worth: how often they are false over a whole run, and how late.

An alarm is false if it comes before the drift has left the tolerance, in a run that does so later or never. A delay is
counted from the first generation outside. Forecasts are another thing: a warning is about what comes, so that it is
false in a loop that stays within, and early, which it should be, in one that does not.

Thresholds of distances: a fifth above what the distance was in generation 0, as one finds it; or calibrated by loops
at the edge of the tolerance, whose like somebody with one pipeline does not have: so that one look in twenty is above,
or one run in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.experiments.alarm_runs import PUSHES
from scoredrift.experiments.result import Result
from scoredrift.experiments.shares import Share
from scoredrift.pipelines import Evidence

LEVEL = 0.05
_SLACK = 1e-6  # of float32
WARNINGS = ("forecast", "forecast, low end")


class AlarmRow(NamedTuple):
    """How an alarm did in stable and in drifting runs.

    Args:
        alarm: its name.
        inside: share of the runs well within the tolerance with an alarm in any generation.
        edge: the same at the edge of the tolerance.
        early: share of the drifting runs with an alarm before they left the tolerance.
        found: share of the drifting runs, without these, with an alarm after that.
        delay: mean number of generations between leaving the tolerance and the alarm, of those found; for
            warnings of all that were warned, and below zero where a warning came first. None of none.
        quartiles: of the delay.

    >>> one = Share.of(1, 10)
    >>> AlarmRow("all", one, one, one, one, None, None).found.value
    0.1
    """

    alarm: str
    inside: Share
    edge: Share
    early: Share
    found: Share
    delay: Estimate | None
    quartiles: tuple[float, float, float] | None


def alarms(result: Result, kind: str) -> dict[str, Tensor]:
    """Whether there is an alarm in each generation of each run, by name of the alarm, ``[runs, generations]``.

    Args:
        result: of ``PIPELINES_ALARMS``.
        kind: a name of ``PUSHES`` that is watched.

    Raises:
        ValueError: the kind by which alarms are calibrated.

    >>> from scoredrift.experiments import stored
    >>> bool(alarms(stored("pipelines-alarms", "medium"), "edge")["evidence"].any())
    False
    """
    if kind not in PUSHES or kind == "calibration":
        _checks.refuse("kind", repr(kind), f"choose one of {', '.join(PUSHES)}, but calibration")

    def of(name: str) -> Tensor:
        return result.at(name, kind=kind).double()

    def calibrated(name: str) -> tuple[float, float]:
        values = result.at(name, kind="calibration").double()
        values = values[..., 0] if name == "kernel" else values
        return float(values.flatten().quantile(1 - LEVEL)), float(values.amax(1).quantile(1 - LEVEL))

    looks, tolerance = of("drift").shape[1], result.note["settings"]["tolerance"]
    told = torch.full((len(of("drift")), looks, 2), -math.inf, dtype=torch.float64)
    told[:, 2 : looks - 1] = of("forecast")[:, 0]
    frechet, kernel = of("frechet"), of("kernel")
    found = {
        "evidence": of("evidence") >= Evidence.enough(LEVEL),
        WARNINGS[0]: told[..., 0] > tolerance,
        WARNINGS[1]: told[..., 1] > tolerance,
    }
    for name, test in (("Hotelling", "hotelling"), ("kernel permutations", "permuted")):
        found[name] = of(test) <= LEVEL + _SLACK
        found[f"{name}, Bonferroni"] = of(test) <= LEVEL / looks + _SLACK
    found["Fréchet, 1.2 of the first"] = frechet > 1.2 * frechet[:, :1]
    found["kernel, two errors"] = kernel[..., 0] > 2 * kernel[..., 1]
    for name, values in (("frechet", frechet), ("kernel", kernel[..., 0])):
        label = "Fréchet" if name == "frechet" else name
        for per, threshold in zip(("looks", "runs"), calibrated(name), strict=True):
            found[f"{label}, calibrated by {per}"] = values > threshold
    return found


def crossings(result: Result, kind: str) -> Tensor:
    """First generation in which χ² is beyond the tolerance, ``[runs]``; the number of generations if there is none.

    Args:
        result: of ``PIPELINES_ALARMS``.
        kind: a name of ``PUSHES`` that is watched.

    >>> from scoredrift.experiments import stored
    >>> crossings(stored("pipelines-alarms", "medium"), "fast").median()
    tensor(1)
    """
    edge = 1 / (1 + result.note["settings"]["tolerance"])
    return _first(result.at("within", kind=kind).double() < edge - _SLACK)


def alarm_rows(result: Result) -> list[AlarmRow]:
    """The table: a row for each alarm, with all that drift together.

    Args:
        result: of ``PIPELINES_ALARMS``.

    Raises:
        ValueError: a run that was to be stable and is not.

    >>> from scoredrift.experiments import stored
    >>> evidence = alarm_rows(stored("pipelines-alarms", "medium"))[0]
    >>> print(f"{evidence.edge}, {evidence.found.value:.2f}, {evidence.delay}")
    0.000 (0.000 to 0.015), 0.93, 2.89 ± 0.12
    """
    stable = {kind: alarms(result, kind) for kind in ("inside", "edge")}
    for kind in stable:
        looks = len(result.axes["generation"])
        gone = int((crossings(result, kind) < looks).sum())
        if gone:
            _checks.refuse(kind, f"{gone} runs left the tolerance", "a stable loop has a gate")
    drifting = [alarms(result, kind) for kind in ("slow", "fast")]
    left = torch.cat([crossings(result, kind) for kind in ("slow", "fast")])
    rows = []
    for name in stable["edge"]:
        false = {
            kind: Share.of(int(found[name].any(1).sum()), len(found[name])) for kind, found in stable.items()
        }
        rows.append(_row(name, false, torch.cat([found[name] for found in drifting]), left))
    return rows


def _row(name: str, false: Mapping[str, Share], raised: Tensor, left: Tensor) -> AlarmRow:
    looks = raised.shape[1]
    first, goes = _first(raised), left < looks
    early = (first < left) & goes
    found = (first >= left) & (first < looks)
    counted = (found | early) if name in WARNINGS else found
    delays = (first - left)[counted].double()
    return AlarmRow(
        name,
        false["inside"],
        false["edge"],
        Share.of(int(early.sum()), int(goes.sum())),
        Share.of(int(found.sum()), max(int((goes & ~early).sum()), 1)),
        Estimate.from_samples(delays) if len(delays) > 1 else None,
        (*(float(delays.quantile(q)) for q in (0.25, 0.5, 0.75)),) if len(delays) else None,  # type: ignore[arg-type]
    )


def _first(happened: Tensor) -> Tensor:
    """Index of the first in each row, or the length of the row."""
    none = ~happened.any(1)
    return happened.double().argmax(1) + none * happened.shape[1]
