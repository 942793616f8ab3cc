"""A budget of fresh data: what a pipeline with a measured bias and noise can afford, and what it must pay.

One generation adds a bias b, always the same, and noise of mean zero, so that in the long run

    E D = ‖b‖²/α² + E‖noise‖²/(α (2 − α)).

Solved for α this is the least fresh fraction for a drift that is tolerated. If every generation is trained on what the
one before made, all of it, the two parts grow like (i + 1)² and (i + 1); if everything ever made is kept, like the
square of 1 + ½ + … + 1/(i + 1) and like 1 + ¼ + … + 1/(i + 1)². All formulas are those of ``generations``, here
beside each other, with the errors of what was measured.

They hold while the deviation is small enough that a training answers to it linearly, with b and noise that do not
depend on α. Chapter "Fashion-MNIST" shows a pipeline that this is not true of: what it adds is a multiple of what it
is shown, and below a critical fresh fraction it falls, whatever the budget says.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scipy.stats import t as student

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.generations import (
    BestFraction,
    BiasAndNoise,
    accumulated,
    best_fraction,
    bias_and_noise,
    forecast,
    fresh_fraction_needed,
    scheduled_drift,
    steady_state,
)
from scoredrift.pipelines.course import Course, Interval


class Regimes(NamedTuple):
    """Drift E D_i of one generation under three regimes.

    Args:
        fresh: a fraction α of every training set is fresh.
        replaced: nothing is fresh, and only the last generation is kept.
        accumulated: nothing is fresh, and everything is kept, the first data included.

    >>> Regimes(Estimate(0.1), Estimate(0.5), Estimate(0.2)).replaced
    Estimate(value=0.5, stderr=0.0)
    """

    fresh: Estimate
    replaced: Estimate
    accumulated: Estimate


@dataclass(frozen=True)
class Budget:
    """Answers to "how much fresh data?" from the bias and the noise of one generation.

    Args:
        parts: ‖b‖² and E‖noise‖², in the units of the drift.
        size: n, points in the training set of which the noise was measured; None if nothing is asked that needs it.
        degrees: degrees of freedom of the errors of the parts, for intervals; ∞ for those of a normal law.

    Raises:
        ValueError: parts that are no finite estimates, a size or degrees that are not positive.

    >>> budget = Budget(BiasAndNoise(Estimate(1e-3, 1e-4), Estimate(2e-3, 1e-4)), size=10_000)
    >>> print(budget.fraction(0.05), budget.drift(0.5), sep=", ")
    0.1527 ± 0.0077, 0.00667 ± 0.00053
    >>> least = budget.interval(0.05)
    >>> print(f"{least.low:.3f} to {least.high:.3f}")
    0.140 to 0.165
    """

    parts: BiasAndNoise
    size: float | None = None
    degrees: float = math.inf

    def __post_init__(self) -> None:
        if not isinstance(self.parts, BiasAndNoise):
            _checks.refuse("parts", repr(self.parts)[:80], "pass BiasAndNoise(Estimate(…), Estimate(…))")
        for one in self.parts:
            if not isinstance(one, Estimate) or not math.isfinite(one.stderr):
                _checks.refuse("parts", repr(one), "pass finite estimates with finite errors")
            _checks.number("parts", one.value)
        if self.size is not None:
            _checks.number("size", self.size, low=0.0, open_low=True)
        if self.degrees != math.inf:
            _checks.number("degrees", self.degrees, low=0.0, open_low=True)

    @classmethod
    def of_course(cls, course: Course, *, size: float | None = None) -> Budget:
        """From a run that was watched, of two generations or more.

        Args:
            course: the run; its generations are the degrees of freedom.
            size: n, points in each of its training sets.

        Raises:
            ValueError: one generation, in which bias and noise cannot be told apart.
        """
        if not isinstance(course, Course):
            _checks.refuse(
                "course", f"a {type(course).__name__}", "pass Course.of(data, generations, alpha=…)"
            )
        return cls(course.parts, size, course.last)

    @classmethod
    def of_coherence(
        cls, forcing: Estimate | float, coherence: float, *, alpha: float, size: float | None = None
    ) -> Budget:
        """From the forcing B = ‖w‖² of a settled run and its coherence, the cosine of w and the deviation.

            ‖b‖² = α c √(D B),  with D = (1 − α)² D + B + 2 (1 − α) c √(D B)

        Args:
            forcing: B ≥ 0.
            coherence: c in [0, 1].
            alpha: fresh fraction α in (0, 1) of that run.
            size: n, points in each of its training sets.

        Raises:
            ValueError: numbers outside their ranges; α = 1, where nothing is inherited.
        """
        found = (
            forcing
            if isinstance(forcing, Estimate)
            else Estimate(_checks.number("forcing", forcing, low=0.0))
        )
        one = _checks.number("coherence", coherence, low=0.0, high=1.0)
        unit = bias_and_noise(steady_state(1.0, alpha=alpha, coherence=one), 1.0, alpha=alpha)
        return cls(BiasAndNoise(*(part.value * found for part in unit)), size)

    def drift(self, alpha: float, generation: int | None = None) -> Estimate:
        """E D in the long run, or in a generation of a run that began with data alone.

        Args:
            alpha: fresh fraction α in (0, 1].
            generation: i ≥ 0; None for the long run.

        Raises:
            ValueError: numbers outside their ranges.
        """
        if generation is not None:
            generation = _checks.count("generation", generation, least=0)
            return forecast(self.parts, alpha=alpha, generations=generation)[-1]
        alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
        return _sum(self.parts, 1 / alpha**2, 1 / (alpha * (2 - alpha)))

    def fraction(self, drift: float) -> Estimate:
        """The least fresh fraction α that keeps the drift at or below a level in the long run.

        Args:
            drift: D > 0, what is tolerated.

        Raises:
            ValueError: a drift that is not positive, or that fresh data alone exceed.
        """
        return fresh_fraction_needed(self.parts, drift)

    def interval(self, drift: float, within: float = 0.9) -> Interval:
        """The least fresh fraction with an interval.

        Args:
            drift: D > 0, what is tolerated.
            within: probability of the interval, in (0, 1).

        Returns:
            Interval of α: both parts at their lower and at their upper ends. The upper end is ∞ where, with these, no
            fresh fraction suffices.

        Raises:
            ValueError: numbers outside their range, or a drift that fresh data alone exceed.
        """
        within = _checks.number("within", within, low=0.0, high=1.0, open_low=True)
        if within == 1:
            _checks.refuse("within", within, "an interval that is always right is all of (0, 1]")
        value = self.fraction(drift).value
        far = float(student.ppf(0.5 + within / 2, self.degrees))
        least, most = (
            BiasAndNoise(*(Estimate(part.value + side * far * part.stderr) for part in self.parts))
            for side in (-1, 1)
        )
        low = fresh_fraction_needed(least, drift).value
        enough = sum(max(part.value, 0.0) for part in most) <= drift
        return Interval(value, low, fresh_fraction_needed(most, drift).value if enough else math.inf)

    def schedule(self, fractions: Sequence[float], sizes: Sequence[float] | None = None) -> list[Estimate]:
        """E D_0, …, E D_N under fresh fractions and sizes that change, as ``scheduled_drift``.

        Args:
            fractions: α_1, …, α_N.
            sizes: n_0, …, n_N, points in each training set; None for as many as ever.

        Raises:
            ValueError: numbers outside their range, or sizes without ``size``.
        """
        if sizes is None:
            return scheduled_drift(self.parts, fractions)
        own = self._own_size()
        return scheduled_drift(self.parts, fractions, [n / own for n in sizes])

    def best(self, fresh_points: float) -> BestFraction:
        """How F fresh points a generation are best spent, if each training set may have F/α points.

        Args:
            fresh_points: F > 0.

        Raises:
            ValueError: no ``size``, or a bias or noise that is not positive.
        """
        bias, noise = self.parts
        return best_fraction(bias, noise * self._own_size(), fresh_points)

    def regimes(self, generation: int, *, alpha: float) -> Regimes:
        """The same generation under three regimes.

        Args:
            generation: i ≥ 0.
            alpha: fresh fraction α in (0, 1] of the first of them.

        Raises:
            ValueError: numbers outside their ranges.
        """
        fresh = self.drift(alpha, _checks.count("generation", generation, least=0))
        kept, many = accumulated(generation), generation + 1
        return Regimes(fresh, _sum(self.parts, many**2, many), _sum(self.parts, kept.bias**2, kept.noise))

    def _own_size(self) -> float:
        if self.size is None:
            _checks.refuse(
                "size", None, "pass the points in the training set of which the noise was measured"
            )
        return self.size


def _sum(parts: BiasAndNoise, of_bias: float, of_noise: float) -> Estimate:
    """Both parts with weights; their errors are added, since they come from the same runs."""
    error = of_bias * parts.bias.stderr + of_noise * parts.noise.stderr
    return Estimate(of_bias * parts.bias.value + of_noise * parts.noise.value, error)
