"""Three forecasts of the drift of pictures, from a pilot of a few generations at one fresh fraction.

By what they take to be the same at other fresh fractions and in later generations:

    constant      what a generation adds to the deviation of the features.
    features      the linear response of the learner, in features: δ' = (1−α) A δ + b.
    components    the linear response in the variances of the components, v' − 1 = (1−α) A (v − 1) + b; the features are
                  those of images with such variances.

The last one knows that a brightness has an end: images of wild codes are cut off at black and white, and what features
see of them grows no further.

An interval holds with probability 0.8, if logarithms are normal with the sum of two variances: that over the runs of
the pilot, and the square of what its last generation changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

from scoredrift import _checks
from scoredrift.datasets import middles
from scoredrift.estimates import Estimate, jackknife
from scoredrift.experiments.base import Experiment, stored
from scoredrift.experiments.fashion import Pictures, fashion_pictures
from scoredrift.experiments.fashion_codes import through_code
from scoredrift.experiments.picture_measure import in_features
from scoredrift.generations import (
    FreshFraction,
    bias_of_repeats,
    forecast,
    linear_response,
    response_forecast,
)
from scoredrift.runs import generator_for

WITHIN = 0.8  # probability of the intervals


def spread_forecast(spreads: Tensor, *, before: float, alpha: float, generations: int) -> Tensor:
    """Variances of components in units of the data's, if the learner responds to them linearly.

    Args:
        spreads: v_0, …, v_G of each run of a pilot, shape ``[R, G + 1, m]``.
        before: its fresh fraction, in (0, 1).
        alpha: fresh fraction asked for, in (0, 1].
        generations: N ≥ 0.

    Returns:
        E v_0, …, E v_N, shape ``[N + 1, m]``, float64; zero where the linear response would make one negative.

    Raises:
        ValueError: fractions outside their range, or what ``linear_response`` refuses.

    >>> pilot = torch.tensor([[[1.5], [2.0]]])  # 1 becomes 1.5, and 1.25 becomes 2: v' − 1 = 0.5 + 2 (v − 1)
    >>> found = spread_forecast(pilot, before=0.5, alpha=0.2, generations=2)
    >>> [round(v, 6) for v in found[:, 0].tolist()]
    [1.5, 2.3, 3.58]
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    generations = _checks.count("generations", generations, least=0)
    terms = linear_response(spreads - 1, alpha=before).continued(generations)
    weights = (1 - alpha) ** torch.arange(generations + 1, dtype=torch.float64)
    return (1 + (weights[:, None] * terms).cumsum(0)).clamp(min=0.0)


def respread(images: Tensor, pictures: Pictures, spread: Tensor, *, generator: torch.Generator) -> Tensor:
    """Images whose components have other variances: shrunk where they are to be smaller, else with noise added.

    Args:
        images: bytes, shape ``[n, C, H, W]``.
        pictures: the data law with its code.
        spread: variances in units of those of the images, ``[m]``.
        generator: of the noise.

    Raises:
        ValueError: a variance that is negative or not finite, or not one for each component.

    >>> from scoredrift.experiments import digits_pictures
    >>> world, g = digits_pictures(), torch.Generator().manual_seed(0)
    >>> wild = respread(world.law.images, world, torch.full((20,), 4.0), generator=g)
    >>> codes = [world.code.encode(middles(x)) for x in (world.law.images, wild)]
    >>> ratio = float((codes[1].var(0) / codes[0].var(0)).mean())
    >>> 1.2 < ratio < 3  # cut off at black and white, it is not 4
    True
    """
    codes = pictures.code.encode(middles(images)).double()
    if spread.shape != codes.shape[1:] or not _checks.holds((spread >= 0) & spread.isfinite()):
        remedy = f"pass {codes.shape[1]} finite variances ≥ 0"
        _checks.refuse("spread", f"shape {list(spread.shape)}, least {spread.min():.3g}", remedy)
    mean, deviation = codes.mean(0), codes.std(0)
    noise = torch.randn(codes.shape, generator=generator, dtype=codes.dtype, device=codes.device)
    moved = (codes - mean) * spread.clamp(max=1).sqrt() + noise * deviation * (spread - 1).clamp(min=0).sqrt()
    return pictures.decoded((mean + moved).to(pictures.code.directions.dtype))


def _component_forecast(
    pilot: Mapping[str, Tensor], drift: Callable[[Tensor], float], before: float, alpha: float, last: int
) -> list[Estimate]:
    """Drift of images with the forecast variances, times what it misses in the last generation of the pilot."""
    spreads, deviations = pilot["spread"].double(), pilot["deviation"].double()
    end = spreads.shape[1] - 1

    @cache
    def path(kept: tuple[int, ...]) -> list[float]:
        some = spreads[list(kept)]
        known = deviations[list(kept), end].square().sum(1).mean()
        factor = float(known) / drift(some[:, end].mean(0))
        wanted = spread_forecast(some, before=before, alpha=alpha, generations=last)
        return [factor * drift(one) for one in wanted]

    def of(n: int) -> Callable[[Tensor], float]:
        return lambda kept: path(tuple(kept.tolist()))[n]

    return [jackknife(of(n), len(spreads)) for n in range(last + 1)]


def _interval(full: Sequence[Estimate], less: Sequence[Estimate], runs: int) -> Tensor:
    """Value, low and high end of each, ``[N + 1, 3]``: what errors and a shorter pilot say of the logarithm."""
    quantile = float(student.ppf(0.5 + WITHIN / 2, runs - 1))
    rows = []
    for one, other in zip(full, less, strict=True):
        width = quantile * math.hypot(one.stderr / one.value, math.log(one.value / other.value))
        rows.append([one.value, one.value * math.exp(-width), one.value * math.exp(width)])
    return torch.tensor(rows)


def _run(
    settings: Mapping[str, Any], *, seed: int, device: str, folder: Path, workers: int, progress: bool
) -> dict[str, Tensor]:
    """Forecasts from the stored pilot, ``{alpha}/{forecast}``, shape ``[1, N + 1, 3]``."""
    del folder, workers, progress
    pilot, world = stored("fashion-pilot", "medium"), fashion_pictures().to(device)
    last = settings["generations"]
    (before,) = pilot.axes["alpha"]
    known = {name: pilot.at(name, alpha=before) for name in ("deviation", "spread")}
    shorter = {name: value[:, :-1] for name, value in known.items()}
    data, images = world.look(through_code(world)), world.law.images[: settings["size"]]

    def drift(spread: Tensor) -> float:
        noise = generator_for(seed, "respread", device=device)  # the same each time
        wild = respread(images, world, spread.to(device), generator=noise)
        return float(in_features(data.features, world.look(wild).features)["deviation"].square().sum())  # type: ignore[union-attr]

    def constant(some: Mapping[str, Tensor], alpha: float) -> list[Estimate]:
        delta = some["deviation"]
        added = delta[:, 1:] - (1 - before) * delta[:, :-1]
        return forecast(bias_of_repeats(added), alpha=alpha, generations=last)

    def features(some: Mapping[str, Tensor], alpha: float) -> list[Estimate]:
        return response_forecast(
            some["deviation"], before=before, regime=FreshFraction(alpha), generations=last
        )

    def components(some: Mapping[str, Tensor], alpha: float) -> list[Estimate]:
        return _component_forecast(some, drift, before, alpha, last)

    runs = len(known["spread"])
    return {
        f"{alpha}/{way.__name__}": _interval(way(known, alpha), way(shorter, alpha), runs)[None]
        for alpha in settings["alphas"]
        for way in (constant, features, components)
    }


_ALPHAS = [0.05, 0.1, 0.2, 0.5, 0.9]
FASHION_FORECAST = Experiment(
    "fashion-forecast",
    "Fashion-MNIST in 64 components: three forecasts of its drift, from the stored pilot",
    {
        "quick": {"about": "half a minute", "size": 500, "alphas": [0.1, 0.9], "runs": 1, "generations": 10},
        "medium": {"about": "four minutes", "size": 5_000, "alphas": _ALPHAS, "runs": 1, "generations": 10},
    },
    _run,
)
