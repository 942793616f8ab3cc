"""A monitor for somebody's retraining loop: called once a generation, it says where the pipeline is going.

Three questions, which have different answers:

    where is it?        the drift D_i of the generation, with its error;
    where is it going?  the forecast of D_N from bias and noise of the run (``Course``): a warning before the drift;
    is it outside?      evidence against "within the tolerance so far" (``Evidence``): an alarm after the drift, false
                        with a given probability over the whole run, however often one looks.

With the scores of the models (``ExcessEnergy``) it says, too, at which levels of noise they have become worse on data.

With a folder everything that came in is kept, and a line of JSON for each generation. A monitor with the same data and
settings goes on where the folder stops; a process that is killed loses nothing that it was shown. How many generations
a folder has, ``len(monitor.readings)`` says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.generations import BiasAndNoise
from scoredrift.observability import EnergyByLevel
from scoredrift.paths import VectorField
from scoredrift.pipelines.course import Course, Interval
from scoredrift.pipelines.evidence import Evidence
from scoredrift.pipelines.excess import ExcessEnergy
from scoredrift.runs import load, locked, place, save, save_json, write

LOG, SETTINGS = "log.jsonl", "monitor.json"


@dataclass(frozen=True)
class Reading:
    """What is known after a generation.

    Args:
        generation: its number, from 0.
        points: size of the sample.
        drift: D of this generation.
        parts: ‖b‖² and E‖noise‖², from the second generation on.
        forecast: D of generation ``horizon``, from the third generation on.
        horizon: the generation that is forecast.
        tolerance: what is tolerated.
        log_wealth: evidence against "within the tolerance so far", in nats.
        alarm: whether there ever was enough of it.
        excess: energy of the score over that of the reference, by the level of noise, if a score was shown.

    >>> print(Reading(0, 5000, Estimate(0.02, 0.001), None, None, 10, 0.05, -1.0, False))
    generation 0: drift 0.0200 ± 0.0010 of 0.05 tolerated
    """

    generation: int
    points: int
    drift: Estimate
    parts: BiasAndNoise | None
    forecast: Interval | None
    horizon: int
    tolerance: float
    log_wealth: float
    alarm: bool
    excess: EnergyByLevel | None = None

    @property
    def warning(self) -> bool:
        """Whether the forecast leaves the tolerance."""
        return self.forecast is not None and self.forecast.value > self.tolerance

    def __str__(self) -> str:
        text = f"generation {self.generation}: drift {self.drift} of {self.tolerance:g} tolerated"
        if self.forecast is not None:
            text += f"; generation {self.horizon}: {self.forecast}"
        if self.excess is not None:
            text += f"; energy over the reference's: {self.excess.total}"
        if self.warning:
            text += "; warning: the forecast leaves the tolerance"
        if self.alarm:
            text += "; ALARM: it has left the tolerance"
        return text

    def as_json(self) -> dict[str, Any]:
        """For a line of the log."""

        def pair(one: Estimate | None) -> list[float] | None:
            return None if one is None else [one.value, one.stderr]

        return {
            "generation": self.generation,
            "points": self.points,
            "drift": pair(self.drift),
            "bias": pair(self.parts and self.parts.bias),
            "noise": pair(self.parts and self.parts.noise),
            "forecast": None if self.forecast is None else list(self.forecast),
            "horizon": self.horizon,
            "tolerance": self.tolerance,
            "log_wealth": self.log_wealth,
            "warning": self.warning,
            "alarm": self.alarm,
            "excess": None
            if self.excess is None
            else {
                "total": pair(self.excess.total),
                "levels": [pair(one) for one in self.excess.levels],
                "edges": self.excess.edges.tolist(),
            },
        }


class Monitor:
    """Watches a pipeline by features of what each generation makes.

    Args:
        data: features of points of the data that no generation was trained on, ``[N, m]``, ten or more for each
            feature.
        alpha: fresh fraction α in (0, 1].
        tolerance: D_0 > 0, the drift that is tolerated: squared deviation of the mean features, in units of their
            covariance. A bound below: D ≤ χ²(p̂‖p).
        folder: where everything is kept; None to keep nothing.
        horizon: generation that is forecast.
        level: probability of a false alarm over the whole run.
        excess: compares the scores of the models with a reference; None to watch features alone.
        reused: whether the points that are looked at are those that the next generation is trained on.

    Raises:
        ValueError: numbers outside their range, features that are too few, not finite, constant or depend on each
            other; a folder with other data or settings, or in which another monitor is at work.

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> def sample(shift): return torch.randn(3000, 4, generator=g, dtype=torch.float64) + shift
    >>> monitor = Monitor(sample(0), alpha=0.2, tolerance=0.1)
    >>> for generation in range(4):  # each adds 0.05 to every mean
    ...     reading = monitor.look(sample(0.05 * (1 - 0.8 ** (generation + 1)) / 0.2))
    >>> reading.warning, reading.alarm  # it will end at 4 (0.05/0.2)² = 0.25
    (True, False)
    """

    def __init__(
        self,
        data: Tensor,
        *,
        alpha: float,
        tolerance: float,
        folder: Path | str | None = None,
        horizon: int = 10,
        level: float = 0.05,
        excess: ExcessEnergy | None = None,
        reused: bool = False,
    ) -> None:
        self.alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
        self.tolerance = _checks.number("tolerance", tolerance, low=0.0, open_low=True)
        self.horizon = _checks.count("horizon", horizon)
        if not (excess is None or isinstance(excess, ExcessEnergy)):
            _checks.refuse("excess", repr(excess)[:80], "pass ExcessEnergy(points, reference), or None")
        self.data, self.excess, self.reused = data, excess, bool(reused)
        self.evidence = Evidence.against(data, tolerance=tolerance, level=level)
        self.readings: list[Reading] = []
        self._seen: list[Tensor] = []
        self._folder = None if folder is None else place(folder)
        if self._folder is not None:
            self._go_on(self._folder)

    def look(self, features: Tensor, *, score: VectorField | None = None) -> Reading:
        """Features of points of the next generation; generation 0 is the one that was trained on data alone.

        Args:
            features: of the points, ``[n, m]``, as the model draws them, none chosen; unless the monitor was made
                with ``reused``, none that the next generation is trained on.
            score: ŝ(x, t) of the model, for a monitor with ``excess``.

        Returns:
            Reading.

        Raises:
            ValueError: features of another number, too few, or not finite; a score that is not one, or nothing to
                compare it with; nothing is kept of them.
            OSError: the folder cannot be written to; the reading is not counted, and can be asked for again.
        """
        if score is not None and self.excess is None:
            _checks.refuse("score", "a score", "give the monitor something to compare it with: excess=…")
        if self._folder is None:
            return self._take(features, score)
        with locked(self._folder):
            return self._take(features, score)

    def _take(self, features: Tensor, score: VectorField | None) -> Reading:
        seen, evidence = [*self._seen, features], self.evidence.look(features)
        excess = None if score is None or self.excess is None else self.excess(score)
        reading = self._read(seen, evidence, excess)
        if self._folder is not None:
            save(self._file(len(self._seen)), {"features": features, **_as_tensors(excess)}, {})
            self._log([*self.readings, reading])
        self._seen, self.evidence = seen, evidence
        self.readings.append(reading)
        return reading

    def _read(self, seen: Sequence[Tensor], evidence: Evidence, excess: EnergyByLevel | None) -> Reading:
        course, last = Course.of(self.data, seen, alpha=self.alpha, reused=self.reused), len(seen) - 1
        return Reading(
            generation=last,
            points=len(seen[-1]),
            drift=course.drift(last),
            parts=course.parts if last >= 1 else None,
            forecast=course.forecast(max(self.horizon, last + 1)) if last >= 2 else None,
            horizon=max(self.horizon, last + 1),
            tolerance=self.tolerance,
            log_wealth=evidence.log_wealth,
            alarm=evidence.alarm,
            excess=excess,
        )

    def _go_on(self, folder: Path) -> None:
        """Take up what a folder holds, or begin one."""
        mine = {
            "alpha": self.alpha,
            "tolerance": self.tolerance,
            "horizon": self.horizon,
            "level": self.evidence.level,
            "reused": self.reused,
            "features": list(self.data.shape),
            "data": hashlib.sha256(
                self.data.detach().double().cpu().contiguous().numpy().tobytes()
            ).hexdigest(),
            "excess": None if self.excess is None else self.excess.settings,
        }
        with locked(folder):
            path = folder / SETTINGS
            if path.exists():
                try:
                    theirs = json.loads(path.read_text(encoding="utf-8"))
                except ValueError:
                    _checks.refuse("folder", folder, f"{SETTINGS} is damaged; choose another folder")
                if other := [name for name, value in mine.items() if theirs.get(name) != value]:
                    remedy = f"it was begun with another {', '.join(other)}; choose another folder"
                    _checks.refuse("folder", folder, remedy)
            else:
                save_json(path, mine)
            while self._file(len(self._seen)).exists():
                kept = load(self._file(len(self._seen)))[0]
                self._seen.append(kept["features"])
                self.evidence = self.evidence.look(kept["features"])
                self.readings.append(self._read(self._seen, self.evidence, _from_tensors(kept)))
            if self.readings:
                self._log(self.readings)  # whoever was killed between features and log has no line yet

    def _log(self, readings: Sequence[Reading]) -> None:
        assert self._folder is not None
        lines = "".join(json.dumps(one.as_json()) + "\n" for one in readings)
        write(self._folder / LOG, lines.encode())

    def _file(self, generation: int) -> Path:
        assert self._folder is not None
        return self._folder / f"generation-{generation:04d}.safetensors"


def _as_tensors(excess: EnergyByLevel | None) -> dict[str, Tensor]:
    if excess is None:
        return {}
    pairs = [[one.value, one.stderr] for one in (excess.total, *excess.levels)]
    return {"excess": torch.tensor(pairs, dtype=torch.float64), "edges": excess.edges}


def _from_tensors(kept: dict[str, Tensor]) -> EnergyByLevel | None:
    if "excess" not in kept:
        return None
    total, *levels = (Estimate(*pair) for pair in kept["excess"].tolist())
    return EnergyByLevel(kept["edges"], tuple(levels), total)
