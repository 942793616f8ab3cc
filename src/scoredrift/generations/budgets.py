"""What a pipeline can do about its drift: tell bias from noise, and spend a budget of fresh data well.

A learner reproduces what it is trained on up to a bias b, always the same, and noise of mean zero given the past,

    δ_{i+1} = (1 − α) δ_i + w_i,   w_i = b + noise,      E D_∞ = ‖b‖²/α² + E‖noise‖²/(α (2 − α)).

In E⟨δ_i, w_i⟩ = ⟨E δ_i, b⟩ the noise is gone; and if generation 0 was trained on the data alone, E δ_i =
b (1 − (1 − α)^{i+1})/α. With F fresh points in each generation and a fresh fraction α, the training set has
n = F/α points. Where the noise is m/n, as for m parameters, and the bias does not depend on n,

    E D_∞ = ‖b‖²/α² + m/(F (2 − α)),      smallest for   α³ = 2 θ (2 − α)²,   θ = F ‖b‖²/m.

With y = (2 − α)/α, the factor by which bias is dearer than noise, this is y² (y + 1) = 1/θ.

Source: ours.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate


class BiasAndNoise(NamedTuple):
    """The two parts of a forcing, E‖w‖² = ‖b‖² + E‖noise‖².

    Args:
        bias: ‖b‖²; an estimate of it can be negative.
        noise: E‖noise‖².

    >>> BiasAndNoise(Estimate(0.1), Estimate(0.2)).noise
    Estimate(value=0.2, stderr=0.0)
    """

    bias: Estimate
    noise: Estimate


def bias_and_noise(
    before: float | Estimate | Tensor,
    forcing: float | Estimate | Tensor,
    after: float | Estimate | Tensor | None = None,
    *,
    alpha: float,
    generation: int | None = None,
) -> BiasAndNoise:
    """Bias and noise of a learner from the sizes of two successive deviations and of the forcing between them.

        ⟨δ, w⟩ = (D' − (1 − α)² D − B)/(2 (1 − α)),      ‖b‖² = α E⟨δ, w⟩/(1 − (1 − α)^{i+1})

    Everything is linear in D, B and D', so the standard errors are exact. They are means over runs if
    runs are passed. Estimates count as independent, which they are if they come from different runs. For one step
    ``step_from_samples`` its ``cross`` is ⟨δ, w⟩ with an error of its own: α · cross/(1 − (1 − α)^{i+1}).

    Args:
        before: D = ‖δ_i‖²: number, estimate, or one value for each run, shape ``[runs]``. In L²(p) or in
            the view of any features.
        forcing: B = ‖w_i‖², of the same kind.
        after: D' = ‖δ_{i+1}‖², of the same kind; None in the steady state, where it is D.
        alpha: fresh fraction α in (0, 1). At α = 1 nothing is inherited, and sizes cannot tell.
        generation: i ≥ 0, where generation 0 was trained on the data alone; None in the steady state.

    Returns:
        BiasAndNoise. Negative estimates are left as they are. A learner that forgets by itself, 1 − α' <
        1 − α, gets less bias than it has: α²(‖E δ‖² − (α' − α) V/α) with the scatter V = D − ‖E δ‖².

    Raises:
        ValueError: α outside (0, 1), a generation without ``after``, numbers that are not finite, or some
            values for each run and others not.

    Source: ours.

    >>> found = bias_and_noise(Estimate(0.50, 0.01), Estimate(0.10, 0.001), alpha=0.2)
    >>> print(found.bias, found.noise, sep=", ")  # D = 0.01/0.2² + 0.09/(0.2 · 1.8)
    0.01000 ± 0.00047, 0.0900 ± 0.0012
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    if alpha == 1:
        _checks.refuse("alpha", 1, "pass α < 1: where nothing is inherited sizes do not tell bias from noise")
    keep, reached = 1 - alpha, 1.0
    if generation is not None:
        generation = _checks.count("generation", generation, least=0)
        reached = -math.expm1((generation + 1) * math.log1p(-alpha))
        if after is None:
            _checks.refuse("after", None, "pass ‖δ'‖² of the next generation, or no generation")
    scale = alpha / (2 * keep * reached)
    terms = {"before": before, "forcing": forcing} | ({} if after is None else {"after": after})
    of_bias = [scale * alpha * (2 - alpha), -scale] if after is None else [-scale * keep**2, -scale, scale]
    of_noise = [float(name == "forcing") - one for name, one in zip(terms, of_bias, strict=True)]
    return BiasAndNoise(_combined(of_bias, terms), _combined(of_noise, terms))


class BestFraction(NamedTuple):
    """The fresh fraction that a budget is best spent with.

    Args:
        alpha: α* in (0, 1].
        drift: E D_∞ there.
        all_fresh: E D_∞ at α = 1, with the fresh points alone.

    >>> BestFraction(Estimate(0.3), Estimate(0.007), Estimate(0.01)).alpha
    Estimate(value=0.3, stderr=0.0)
    """

    alpha: Estimate
    drift: Estimate
    all_fresh: Estimate


def best_fraction(bias: float | Estimate, parameters: float | Estimate, fresh_points: float) -> BestFraction:
    """Fresh fraction α* at which F fresh points a generation leave the least drift, training on n = F/α points.

        D(α) = ‖b‖²/α² + m/(F (2 − α)),      α*³ = 2 θ (2 − α*)²,      θ = F ‖b‖²/m

    For θ ≥ ½, where the bias is half of the noise of the fresh points or more, α* = 1. For small errors α*
    changes by the share (2 − α)/(6 − α) ≤ ⅓ of a change of θ. But it is cut at one, and steep at zero, so its
    standard error is half of what it loses if θ, an estimate, is lowered by two of its own: it loses more than it
    gains where θ grows, since it is concave in θ. So two standard errors of α* cover two of θ, also at the
    boundary: "α* = 1" without an error says that θ is two standard errors beyond ½, and α* ± ½ α* that it is not two
    above zero, where no α* is ruled out from below. D(α*) has the error that it would have if α* stood still.

    Args:
        bias: ‖b‖² > 0, which must not depend on n. Where an estimate is not positive, pass its upper end.
        parameters: m > 0, n times the noise; the number of parameters of an efficient estimator.
        fresh_points: F > 0, the fresh points of each generation.

    Returns:
        BestFraction.

    Raises:
        ValueError: numbers that are not positive and finite, also as estimates.

    Source: ours.

    >>> best = best_fraction(Estimate(1e-4, 3e-5), 20, 1000)
    >>> print(best.alpha, best.drift, best.all_fresh, sep=", ")
    0.306 ± 0.037, 0.01287 ± 0.00032, 0.020100 ± 0.000030
    >>> print(best_fraction(Estimate(0.012, 0.003), 2, 100).alpha)  # θ = 0.60 ± 0.15
    1.000 ± 0.050
    """
    bias, m = _positive("bias", bias), _positive("parameters", parameters)
    fresh = _checks.number("fresh_points", fresh_points, low=0.0, open_low=True)
    noise = m * (1 / fresh)
    all_fresh = bias + noise
    inverse = noise.value / bias.value
    if not (0 < inverse < math.inf):
        _checks.refuse("bias", bias, f"beyond the range of numbers beside a noise of {noise.value:.3g}")
    alpha = _root(inverse)
    lowered = 1 - 2 * math.hypot(bias.stderr / bias.value, noise.stderr / noise.value)
    best = Estimate(alpha, 0.5 * (alpha - (_root(inverse / lowered) if lowered > 0 else 0.0)))
    return BestFraction(best, bias * alpha**-2 + noise * (1 / (2 - alpha)), all_fresh)


def fresh_points_needed(drift: float, *, bias: float, parameters: float) -> float:
    """Fresh points F a generation with which the best fresh fraction keeps the drift at D.

        D = ‖b‖² (4 − α)/α³,      F = m α³/(2 ‖b‖² (2 − α)²)      for D ≥ 3 ‖b‖²,

    and F = m/(D − ‖b‖²) below, where α* = 1.

    Args:
        drift: D > 0, what is tolerated.
        bias: ‖b‖² > 0, which must not depend on n.
        parameters: m > 0, n times the noise.

    Returns:
        F, without unit; ∞ for D ≤ ‖b‖², which no amount of data reaches.

    Raises:
        ValueError: numbers that are not positive and finite.

    Source: ours.

    >>> needed = fresh_points_needed(0.01287, bias=1e-4, parameters=20)
    >>> round(needed), round(best_fraction(1e-4, 20, needed).drift.value, 6)
    (1000, 0.01287)
    """
    drift = _checks.number("drift", drift, low=0.0, open_low=True)
    bias = _checks.number("bias", bias, low=0.0, open_low=True)
    parameters = _checks.number("parameters", parameters, low=0.0, open_low=True)
    if drift <= bias:
        return math.inf
    if drift < 3 * bias:
        return parameters / (drift - bias)
    share = bias / drift
    if share == 0:
        return parameters / (2 * drift)
    alpha = 2 * math.sqrt(share / 3) * math.sinh(math.asinh(6 * math.sqrt(3 / share)) / 3)
    return parameters / drift * (4 - alpha) / (2 * (2 - alpha) ** 2)


def _root(inverse: float) -> float:
    """α* for a given 1/θ > 0."""
    if inverse <= 2:
        return 1.0
    y = (2 * math.cosh(math.acosh(13.5 * inverse - 1) / 3) - 1) / 3
    return 2 / (1 + y)


def _combined(weights: list[float], terms: dict[str, float | Estimate | Tensor]) -> Estimate:
    """Weighted sum: in every run first, if there are runs; else of independent estimates."""
    runs = [term for term in terms.values() if isinstance(term, Tensor)]
    if not runs:
        total = Estimate(0.0)
        for weight, (name, term) in zip(weights, terms.items(), strict=True):
            total += weight * _estimate(name, term)
        return total
    first = runs[0]
    values = torch.zeros_like(first, dtype=torch.float64)
    for weight, (name, term) in zip(weights, terms.items(), strict=True):
        column = _checks.floating(name, term)
        if column.shape != first.shape:
            remedy = f"pass one value for each run, {list(first.shape)}"
            _checks.refuse(f"{name}.shape", list(column.shape), remedy)
        values = values + weight * column.detach().double()
    return Estimate.from_samples(values)


def _estimate(name: str, value: object) -> Estimate:
    """A finite number, or an estimate of one."""
    found = value if isinstance(value, Estimate) else Estimate(_checks.number(name, cast(float, value)))
    _checks.number(name, found.value)
    return found


def _positive(name: str, value: float | Estimate) -> Estimate:
    found = _estimate(name, value)
    if not found.value > 0:
        _checks.refuse(name, found, "pass a positive number; of an estimate that is not, its upper end")
    return found
