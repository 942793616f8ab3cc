"""What a sampler costs beside its network, in nats: where it starts, and what its steps hold.

A sampler starts from N(0, I) where the data have the law q_T. With mean m and covariance C of the data, a = a(T),

    KL(q_T‖N(0, I)) ≥ ½ [a² ‖m‖² + tr a²(C − I) − log det(I + a²(C − I))],

with equality for Gaussian data, and up to a⁶ for any: the rest is the distance of q_T from a Gaussian.

Between two times of its grid it runs with a drift b̂ that it holds. With h = b̂ − ½ x in the place of the score, on
paths of the data, Girsanov charges ½ ∫ E‖h − s*‖² dt; and as the data know E[−ε/√v | X_t] = s*,

    ½ ∫ E[‖h − s*‖² − ‖ŝ − s*‖²] dt = ½ ∫ E[(h − ŝ)·(h + ŝ + 2 ε/√v)] dt

is what the steps cost beside infinitely many, for any network, in nats. Below zero they help by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate, jackknife
from scoredrift.paths import StochasticIntegrator
from scoredrift.pipelines.model_trials import _in_batches
from scoredrift.process import scale, variance
from scoredrift.scores import Clock, PredictedScore, Timesteps

_BLOCKS = 20
_STRATA = 16
_HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class _Sampler:
    """Readings in the order of sampling, float64 ``[K]``, and the precision that they came in."""

    readings: Tensor
    dtype: torch.dtype

    def grid(self, clock: Clock) -> Tensor:
        """Times of its steps, to that of the last reading; decreasing."""
        readings = self.readings
        if isinstance(clock, Timesteps):
            readings = readings.clamp(0, len(clock.alphas_cumprod) - 1)
        times = clock.time(readings).clamp(clock.t_min, clock.t_max)
        return times[torch.cat([torch.ones(1, dtype=torch.bool), times.diff() < 0])]


def _sampler(sampler: Any) -> _Sampler:
    """From a scheduler of diffusers with its timesteps set, or from readings."""
    readings = sampler if isinstance(sampler, Tensor) else getattr(sampler, "timesteps", None)
    remedy = "pass the readings in the order of sampling, [K], or a scheduler after its set_timesteps(K)"
    if not isinstance(readings, Tensor) or readings.ndim != 1 or len(readings) < 2 or readings.is_complex():
        told = list(readings.shape) if isinstance(readings, Tensor) else f"a {type(sampler).__name__}"
        _checks.refuse("sampler", told, remedy)
    values = readings.detach().cpu().double()
    if not bool(values.isfinite().all()) or not bool((values.diff() <= 0).all()):
        _checks.refuse("sampler", "readings that do not fall", remedy)
    return _Sampler(values, readings.dtype)


def _start(points: Tensor, t: float) -> Estimate:
    """KL(N(a m, I + a²(C − I))‖N(0, I)) in nats, without the bias of few points."""
    a2, d = math.exp(-t), points.shape[1]
    x = points.detach().double()
    count = min(_BLOCKS, len(x) // 2)
    blocks = [x[k::count] for k in range(count)]

    def of(kept: Tensor) -> float:
        some = torch.cat([blocks[k] for k in kept.tolist()])
        mean, rest = some.mean(0), some - some.mean(0)
        small = rest @ rest.T if len(rest) < d else rest.T @ rest
        found = torch.linalg.eigvalsh(small / (len(rest) - 1)).clamp(min=0)
        lowered = a2 * (torch.cat([found, torch.zeros(max(d - len(found), 0), dtype=x.dtype)]) - 1)
        return float(a2 * mean.square().sum() + (lowered - torch.log1p(lowered)).sum()) / 2

    plain = jackknife(of, count)
    everyone = torch.arange(count)
    without = sum(of(everyone[everyone != k]) for k in range(count)) / count
    return Estimate(count * plain.value - (count - 1) * without, plain.stderr)


def _steps(
    score: PredictedScore,
    points: Tensor,
    grid: Tensor,
    integrator: StochasticIntegrator,
    generator: torch.Generator,
) -> Estimate:
    """What the steps of a grid cost beside infinitely many, in nats."""
    shape, device, dtype = points.shape, points.device, points.dtype
    high, low = float(grid[0]), float(grid[-1])
    knots = grid.flip(0).to(device)
    draws = torch.zeros(len(points), dtype=torch.float64, device=device)

    def normal() -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype, device=device)

    for k in range(_STRATA):
        u = torch.rand(len(points), generator=generator, dtype=torch.float64, device=device)
        t = (low * (high / low) ** ((k + u) / _STRATA)).clamp(low, high)
        weight = t * math.log(high / low)
        place = torch.searchsorted(knots, t, right=True).clamp(max=len(knots) - 1)
        later = torch.maximum(knots[place], t)
        columns = t.to(dtype)[:, None], (later - t).to(dtype)[:, None]
        noise, more = normal(), normal()
        for side in (1, -1):
            x = scale(columns[0]) * points + variance(columns[0]).sqrt() * (side * noise)
            x_held = scale(columns[1]) * x + variance(columns[1]).sqrt() * (side * more)
            held = _at(score, x_held, later)
            told = integrator.held_drift(x, t.to(dtype), x_held, later.to(dtype), held) - x / 2
            own, target = _at(score, x, t), -side * noise / variance(columns[0]).sqrt()
            term = ((told - own) * (told + own - 2 * target)).sum(1).double()
            draws += weight * term / (2 * _STRATA) / 2  # strata and sides; half an energy is in nats
    return Estimate.from_samples(draws)


def _at(score: PredictedScore, x: Tensor, t: Tensor) -> Tensor:
    parts = zip(x.split(256), t.split(256), strict=True)
    return torch.cat([_in_batches(score, some, when) for some, when in parts])
