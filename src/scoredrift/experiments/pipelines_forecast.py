"""Forecasts of retraining loops from four generations of one run, and what came.

A run is seen in generations 0 to 3. From that D of the last generation is forecast: of this run itself, and of runs
with other random numbers at two other fresh fractions. Beside ``Course`` stand three forecasts that need no theory:

    last      what is now stays;
    line      D goes on in a straight line through generations 1 to 3;
    noise     all that a generation adds is new noise.

What came is D of the model itself, in features that are whitened by other data, from many more points than were seen.
A forecast can be good only as far as what it is about is not random; so it is compared with the mean over runs, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.result import Result
from scoredrift.experiments.retrainings import RETRAININGS, Retraining
from scoredrift.experiments.shares import Share
from scoredrift.generations import Generation, History, Measured, recurse
from scoredrift.pipelines import Course
from scoredrift.runs import generator_for

NAIVE = ("last", "line", "noise")
_SEEN = 4  # generations


@dataclass(frozen=True, eq=False)
class DriftMeasure:
    """D of a model in features that are whitened by the data, without what chance adds.

        D = ‖δ‖² − tr C/n − m/N,        se² = 4 δ·(C/n + I/N) δ + 2 tr (C/n + I/N)²

    Args:
        pipeline: how it is looked at.
        mean: of the features of the data, ``[m]``.
        factor: of their covariance, by Cholesky, ``[m, m]``.
        points: N, points of the data that these are from.
        judged: n, points of the model.
        last: generation in which so many are drawn; a tenth of them in others.
        kept: first generations of which features are kept.
        seen: points that are kept of each.

    >>> pipeline = RETRAININGS["gaussian"]
    >>> measure = DriftMeasure.of(pipeline, 9_000, judged=9_000, last=0, generator=torch.Generator())
    >>> g = torch.Generator().manual_seed(0)
    >>> there = Generation(0, torch.zeros(1, 5), pipeline.target, torch.zeros(1, 5), g, None)
    >>> abs(measure(there)["drift"].sigmas_from(0)) < 5
    True
    """

    pipeline: Retraining
    mean: Tensor
    factor: Tensor
    points: int
    judged: int
    last: int
    kept: int = 0
    seen: int = 0

    @classmethod
    def of(
        cls, pipeline: Retraining, points: int, *, generator: torch.Generator, **rest: int
    ) -> DriftMeasure:
        """With the moments of so many points of the data.

        Args:
            pipeline: how it is looked at.
            points: N.
            generator: of the points.
            rest: other fields.
        """
        features = pipeline.view(pipeline.target.sample(points, generator=generator))
        factor = torch.linalg.cholesky(torch.cov(features.T))
        return cls(pipeline, features.mean(0), factor, points, **rest)

    def __call__(self, generation: Generation) -> Measured:
        """``drift``; of the first generations ``fresh`` features of new points, and ``used`` of the drawn ones."""
        index, view = generation.index, self.pipeline.view
        n = self.judged if index == self.last else self.judged // 10
        features = view(generation.model.sample(n, generator=generation.generator))
        white = torch.linalg.solve_triangular(self.factor, (features - self.mean).T, upper=False)
        delta, chance = white.mean(1), torch.cov(white) / n
        chance = chance + torch.eye(len(delta), dtype=chance.dtype) / self.points
        value = delta @ delta - chance.trace()
        error = (4 * delta @ chance @ delta + 2 * chance.square().sum()).sqrt()
        found: dict[str, Any] = {"drift": Estimate(float(value), float(error))}
        if index < self.kept:
            found["fresh"] = view(generation.model.sample(self.seen, generator=generation.generator))
            found["used"] = view(generation.drawn)
        return found


def naive_forecasts(course: Course, generation: int, *, alpha: float | None = None) -> list[float]:
    """Drift of a later generation by three rules of thumb, in the order of ``NAIVE``.

    Args:
        course: four generations or more of one run.
        generation: N.
        alpha: another fresh fraction, under which a run begins anew; two of the rules do not ask.

    >>> g = torch.Generator().manual_seed(0)
    >>> def sample(shift): return torch.randn(9000, 1, generator=g, dtype=torch.float64) + shift
    >>> course = Course.of(sample(0), [sample((0.1 * (i + 1)) ** 0.5) for i in range(4)], alpha=0.5)
    >>> last, line, noise = naive_forecasts(course, 10)
    >>> abs(last - 0.4) < 0.1, abs(line - 1.1) < 0.3
    (True, True)
    """
    n, last = _checks.count("generation", generation), course.last
    seen = range(last - 2, last + 1)
    drifts = [course.drift(i).value for i in seen]
    slope, start = np.polyfit(seen, drifts, 1)
    added = float(course.products[0].trace()) / (last + 1)
    now = course.alpha if alpha is None else alpha
    left = (1 - now) ** (2 * (n + 1 if alpha is not None else n - last))
    inherited = 0.0 if alpha is not None else left * drifts[-1]
    return [drifts[-1], float(start + slope * n), inherited + added * (1 - left) / (now * (2 - now))]


def run_pipeline(
    settings: Mapping[str, Any],
    *,
    pipeline: str,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
    own: Retraining | None = None,
) -> History:
    """One run of a retraining loop that is seen and forecast, and two at other fresh fractions.

    Args:
        settings: an entry of the scales of ``PIPELINES_FORECAST``.
        pipeline: a name of ``RETRAININGS``.
        run, seed: fix the random numbers, with the name.
        device: has to be cpu: the loops are small.
        folder, progress: as for ``recurse``.
        own: a retraining loop of one's own, under that name.

    Returns:
        History with ``drift``, of each generation ``[3, 2]``: estimates at three fresh fractions; and once for a run
        ``alphas`` ``[3]``, ``forecast`` and ``forecast_used`` ``[3, 3]``: value, low and high, from points that
        nothing was trained on and from those that the next generation was trained on; ``naive`` ``[3, 3]``: by
        fraction and rule; ``parts`` ``[2, 2]``: estimates of bias and noise.

    >>> small = {"known": 400, "seen": 300, "judged": 2_000, "generations": 4, "runs": 1}
    >>> here = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False}
    >>> run_pipeline(small, pipeline="gaussian", **here)["forecast"].shape
    torch.Size([1, 3, 3])
    """
    if torch.device(device).type != "cpu":
        _checks.refuse("device", device, "these loops are small; run them on the CPU")
    one = RETRAININGS[pipeline] if own is None else own
    last, numbers = settings["generations"], partial(generator_for, (seed, run), pipeline)
    judge = partial(
        DriftMeasure.of,
        one,
        2 * settings["judged"],
        judged=settings["judged"],
        last=last,
        seen=settings["seen"],
    )
    place = sum(pipeline.encode())
    histories = [
        recurse(
            one.fit,
            one.target,
            regime=one.regime(alpha),
            generations=last,
            size=one.size,
            seed=(seed, place, k, run),
            measure=judge(generator=numbers("judge", k), kept=_SEEN if k == 0 else 0),
            folder=None if folder is None else Path(folder) / str(k),
            progress=progress,
        )
        for k, alpha in enumerate((one.alpha, *one.others))
    ]
    data = one.view(one.target.sample(settings["known"], generator=numbers("data")))
    courses = {
        name: Course.of(data, list(histories[0][name]), alpha=one.alpha, reused=reused)
        for name, reused in (("fresh", False), ("used", True))
    }
    asked = (None, *one.others)
    told = {
        name: torch.tensor([course.forecast(last, alpha=alpha) for alpha in asked])
        for name, course in courses.items()
    }
    course = courses["fresh"]
    parts = [[part.value, part.stderr] for part in (course.parts.bias, course.parts.noise)]
    once = {
        "alphas": torch.tensor([one.alpha, *one.others]),
        "forecast": told["fresh"],
        "forecast_used": told["used"],
        "naive": torch.tensor([naive_forecasts(course, last, alpha=alpha) for alpha in asked]),
        "parts": torch.tensor(parts),
    }
    drifts = torch.stack([history["drift"] for history in histories], 1).float()
    measured = tuple({"drift": drift} | (once if i == 0 else {}) for i, drift in enumerate(drifts))
    return History(measured, histories[0].drawn)


class ForecastRow(NamedTuple):
    """How forecasts of a retraining loop, or of all of them, compare with what came.

    Args:
        pipeline: its name, or "all".
        held: how often D lay within the interval that was to hold it in nine of ten.
        ratio: median of forecast/D.
        error: median of |forecast/D − 1|.
        error_of_mean: the same against the mean of D over runs.
        scatter: median of |D/mean D − 1|, what nobody can forecast.
        naive: errors of the rules of thumb, in the order of ``NAIVE``.
        held_used, error_used: from points that the next generation was trained on.
        clusters: of all: mean of the shares of the loops that held, with the scatter between loops in its error.

    >>> ForecastRow("a", Share.of(1, 2), 1.0, 0.1, 0.1, 0.0, (1.0, 1.0, 1.0), Share.of(1, 2), 0.1).clusters is None
    True
    """

    pipeline: str
    held: Share
    ratio: float
    error: float
    error_of_mean: float
    scatter: float
    naive: tuple[float, ...]
    held_used: Share
    error_used: float
    clusters: Estimate | None = None


def forecast_rows(result: Result, *, fractions: tuple[int, ...] = (0, 1, 2)) -> list[ForecastRow]:
    """The table: a row for each retraining loop, and one for all.

    Args:
        result: of ``PIPELINES_FORECAST``.
        fractions: 0 for the fresh fraction of the run that was seen, 1 and 2 for the others.

    Raises:
        ValueError: no fraction, or one that there is not.

    >>> from scoredrift.experiments import stored
    >>> everything = forecast_rows(stored("pipelines-forecast", "medium"))[-1]
    >>> print(f"{everything.held}; {everything.clusters}; {everything.error:.2f}")
    0.840 (0.793 to 0.881); 0.840 ± 0.081; 0.57
    """
    if not fractions or not set(fractions) <= {0, 1, 2}:
        _checks.refuse("fractions", fractions, "choose some of 0, 1 and 2")
    names = [name for name in RETRAININGS if name in result.axes["pipeline"]]
    some = list(fractions)
    tables = []
    for name in names:
        came = result.at("drift", pipeline=name)[:, -1, some, 0].double()
        told, used, naive = (
            result.at(key, pipeline=name)[:, 0, some].double()
            for key in ("forecast", "forecast_used", "naive")
        )
        mean = came.mean(0)
        tables.append(
            {
                "held": _within(told, came),
                "held_used": _within(used, came),
                "ratio": told[..., 0] / came,
                "error": (told[..., 0] / came - 1).abs(),
                "error_of_mean": (told[..., 0] / mean - 1).abs(),
                "error_used": (used[..., 0] / came - 1).abs(),
                "scatter": (came / mean - 1).abs(),
                **{rule: (naive[..., k] / came - 1).abs() for k, rule in enumerate(NAIVE)},
            }
        )
    rows = [_row(name, table) for name, table in zip(names, tables, strict=True)]
    together = {key: torch.cat([table[key] for table in tables]) for key in tables[0]}
    shares = torch.tensor([row.held.value for row in rows], dtype=torch.float64)
    clusters = Estimate.from_samples(shares) if len(rows) > 1 else None
    return [*rows, _row("all", together)._replace(clusters=clusters)]


def _within(told: Tensor, came: Tensor) -> Tensor:
    return (told[..., 1] <= came) & (came <= told[..., 2])


def _row(name: str, table: Mapping[str, Tensor]) -> ForecastRow:
    def share(key: str) -> Share:
        return Share.of(int(table[key].sum()), table[key].numel())

    def middle(key: str) -> float:
        return float(table[key].quantile(0.5))

    return ForecastRow(
        name,
        share("held"),
        middle("ratio"),
        middle("error"),
        middle("error_of_mean"),
        middle("scatter"),
        tuple(middle(rule) for rule in NAIVE),
        share("held_used"),
        middle("error_used"),
    )


def _run(settings: Mapping[str, Any], **options: Any) -> dict[str, Tensor]:
    """All retraining loops of a scale."""
    return run_cases(run_pipeline, settings, over={"pipeline": settings["pipelines"]}, **options)


_ALL = list(RETRAININGS)
_QUICK = [name for name in _ALL if not name.startswith("network")]
PIPELINES_FORECAST = Experiment(
    "pipelines-forecast",
    "Twelve retraining loops: the drift of generation 10 from generations 0 to 3, and what came",
    {
        "quick": {
            "about": "ten seconds, without the networks",
            "pipelines": _QUICK,
            "known": 2_000,
            "seen": 1_000,
            "judged": 5_000,
            "generations": 10,
            "runs": 1,
        },
        "medium": {
            "about": "twenty minutes",
            "pipelines": _ALL,
            "known": 4_000,
            "seen": 2_000,
            "judged": 20_000,
            "generations": 10,
            "runs": 8,
        },
    },
    _run,
    axes=("pipeline",),
)
