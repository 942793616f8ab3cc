"""How much fresh data: the least fraction for a drift, and drift under fractions and sizes that change.

For δ_{i+1} = (1 − α_i) δ_i + b + noise_i, with generation 0 trained on data alone (α = 1),

    E δ = m b,        m ← (1 − α_i) m + 1,        scatter ← (1 − α_i)² scatter + E‖noise‖²/r_i,

    E D = m² ‖b‖² + scatter,

where training set i has r_i times as many points as the one for which the noise was measured. With constant α the
drift ends at ‖b‖²/α² + E‖noise‖²/(α (2 − α)), which falls as α grows, so that one α belongs to each drift.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.optimize import brentq

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.generations.budgets import BiasAndNoise


def fresh_fraction_needed(parts: BiasAndNoise, drift: float) -> Estimate:
    """Least fresh fraction that keeps the drift at or below a level in the long run.

        ‖b‖²/α² + E‖noise‖²/(α (2 − α)) = D

    Args:
        parts: ‖b‖² and E‖noise‖² of one generation; they must not depend on α. Negative estimates count as zero.
        drift: D > 0, what is tolerated.

    Returns:
        α in (0, 1], with the errors of both parts added, not squared and added, since they come from the same
        runs; 0 where there is neither bias nor noise. At α = 1 without bias the drift is flat in α, and an error of
        the noise leaves α unknown: ± ∞.

    Raises:
        ValueError: a drift that is not positive, or one that even fresh data alone exceed, ‖b‖² + E‖noise‖² > D.

    >>> print(fresh_fraction_needed(BiasAndNoise(Estimate(1e-3, 1e-4), Estimate(2e-3, 1e-4)), 0.05))
    0.1527 ± 0.0077
    """
    drift = _checks.number("drift", drift, low=0.0, open_low=True)
    bias, noise = (max(_checks.number("parts", one.value), 0.0) for one in parts)
    if bias + noise > drift:
        remedy = f"fresh data alone leave {bias + noise:.3g}: train better models, or tolerate more"
        _checks.refuse("drift", drift, remedy)
    if bias + noise == 0:
        return Estimate(0.0, 0.0)

    def excess(alpha: float) -> float:
        return bias / alpha**2 + noise / (alpha * (2 - alpha)) - drift

    low = 0.5 * min((bias / drift) ** 0.5 + noise / (2 * drift), 1.0)
    while excess(low) < 0:
        low *= 0.5
    alpha = float(brentq(excess, low, 1.0, xtol=1e-14, rtol=1e-12)) if excess(1.0) < 0 else 1.0
    steep = 2 * bias / alpha**3 + noise * 2 * (1 - alpha) / (alpha * (2 - alpha)) ** 2
    error = parts.bias.stderr / alpha**2 + parts.noise.stderr / (alpha * (2 - alpha))
    if error == 0:
        return Estimate(alpha, 0.0)
    return Estimate(alpha, error / steep if steep > 0 else math.inf)


def scheduled_drift(
    parts: BiasAndNoise, fractions: Sequence[float], sizes: Sequence[float] | None = None
) -> list[Estimate]:
    """Drift of each generation under fresh fractions, and sizes of training sets, that change.

    Args:
        parts: ‖b‖² and E‖noise‖² of one generation.
        fractions: α_1, …, α_N in (0, 1]: what generations 1, …, N are trained on. Generation 0 sees data alone.
        sizes: r_0, …, r_N > 0, points in each training set over those for which the noise was measured; None for
            as many.

    Returns:
        E D_0, …, E D_N, with the errors of both parts added, as in ``forecast``.

    Raises:
        ValueError: fractions or sizes outside their range, or not as many as there are generations.

    >>> parts = BiasAndNoise(Estimate(0.01, 0.0), Estimate(0.02, 0.0))
    >>> [round(one.value, 4) for one in scheduled_drift(parts, [0.5, 1.0])]  # all is forgotten at α = 1
    [0.03, 0.0475, 0.03]
    """
    shares = [
        _checks.number(f"fractions[{i}]", a, low=0.0, high=1.0, open_low=True)
        for i, a in enumerate(fractions)
    ]
    many = [1.0] * (len(shares) + 1) if sizes is None else list(sizes)
    if len(many) != len(shares) + 1:
        _checks.refuse("sizes", f"{len(many)} of them", f"pass {len(shares) + 1}, generation 0 included")
    many = [_checks.number(f"sizes[{i}]", r, low=0.0, open_low=True) for i, r in enumerate(many)]
    found, mean, scatter = [], 0.0, 0.0
    for alpha, size in zip([1.0, *shares], many, strict=True):
        mean, scatter = (1 - alpha) * mean + 1, (1 - alpha) ** 2 * scatter + 1 / size
        error = mean**2 * parts.bias.stderr + scatter * parts.noise.stderr
        found.append(Estimate(mean**2 * parts.bias.value + scatter * parts.noise.value, error))
    return found
