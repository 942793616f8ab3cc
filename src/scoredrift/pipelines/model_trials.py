"""How well a network does under one reading and under another: denoising losses on the same data and noise.

For a reading of the network (what it predicts, by which clock, on which data), L_j is its denoising loss
E‖√v s + ε‖²/d at level t_j, with noises ±ε, and L_0j that of the Gaussian with mean and variance of the data. As in
``check_prediction``, readings are compared by log r = (1/J) Σ_j log L_j/L_0j; beyond that, by each level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scoredrift.estimates import Estimate
from scoredrift.laws import KernelDensity
from scoredrift.process import scale, variance
from scoredrift.scores import PredictedScore

_SIGMAS = 5.0
_HOPELESS = Estimate(1e3, 0.0)  # log r of what gives no numbers
_FIRST = 32  # points of the first heat, after which what is clearly worse is left out
_BATCH = 256


def _clear(excess: Estimate) -> bool:
    return excess.value > _SIGMAS * excess.stderr


@dataclass(frozen=True, eq=False)
class _Reading:
    """A network read in some way, on the data changed in some way.

    Args:
        score: the network as it is read.
        points: the data as it gets them.
        about: names of the findings that it belongs to.
        words: what it is, in words.
        remedy: what to do if it fits.
        margin: by which log r has to be better.
    """

    score: PredictedScore
    points: Tensor
    about: tuple[str, ...] = ()
    words: str = ""
    remedy: str = ""
    margin: float = 0.05


@dataclass(frozen=True, eq=False)
class _Trial:
    """A reading with its losses and those of the Gaussian, ``[n, J]``; none if it gave no numbers."""

    reading: _Reading
    losses: Tensor | None = field(default=None, repr=False)
    plain: Tensor | None = field(default=None, repr=False)

    def draws(self, n: int | None = None) -> Tensor:
        """Draws whose means are log L_j/L_0j, of the first n points, ``[n, J]``."""
        assert self.losses is not None
        assert self.plain is not None
        losses, plain = self.losses[:n], self.plain[:n]
        mean, ground = losses.mean(0), plain.mean(0)
        return torch.log(mean / ground) + losses / mean - plain / ground

    @property
    def ratio(self) -> Estimate:
        """Estimate of log r."""
        return _HOPELESS if self.losses is None else Estimate.from_samples(self.draws().mean(1))

    def gaps(self, other: _Trial) -> Tensor | None:
        """Draws of how far log L_j/L_0j exceeds that of another, on the points that both saw."""
        if self.losses is None or other.losses is None:
            return None
        n = min(len(self.losses), len(other.losses))
        return self.draws(n) - other.draws(n)

    def over(self, other: _Trial) -> Estimate:
        """By how much log r exceeds that of another."""
        gaps = self.gaps(other)
        return self.ratio - other.ratio if gaps is None else Estimate.from_samples(gaps.mean(1))

    def worse_somewhere(self, other: _Trial) -> bool:
        """Whether it is clearly worse than another at some level."""
        gaps = self.gaps(other)
        if gaps is None:
            return self.losses is None
        return any(_clear(Estimate.from_samples(gap)) for gap in gaps.T)


def _raced(
    declared: _Reading, rivals: Sequence[_Reading], times: Tensor, noise: Tensor
) -> tuple[_Trial, list[_Trial]]:
    """Trials of a reading and of its rivals; those that are clearly worse on some points see no more."""
    few = min(_FIRST, len(declared.points))
    first = [_tried(one, times, noise, few) for one in (declared, *rivals)]
    if few == len(declared.points):
        return first[0], first[1:]
    best = min(first, key=lambda one: one.ratio.value)
    whole = _tried(declared, times, noise, None)
    later = [
        one
        if _clear(one.over(best)) and _clear(one.over(first[0]))
        else _tried(one.reading, times, noise, None)
        for one in first[1:]
    ]
    return whole, later


def _tried(reading: _Reading, times: Tensor, noise: Tensor, few: int | None) -> _Trial:
    """A trial on the first points, or on all."""
    points = reading.points[:few]
    try:
        losses = _losses(reading.score, points, times, noise[:, : len(points)])
    except (ValueError, RuntimeError, IndexError):  # a network may refuse what it was not made for
        return _Trial(reading)
    if not bool(losses.isfinite().all()):
        return _Trial(reading)
    plain = _losses(_trivial(reading.points), points, times, noise[:, : len(points)])
    return _Trial(reading, losses, plain)


def _losses(score: Callable[..., Tensor], points: Tensor, times: Tensor, noise: Tensor) -> Tensor:
    """Denoising losses ‖√v s + ε‖²/d, averaged over ±ε, shape ``[n, J]``, in float64."""
    found = []
    for t, kick in zip(times.tolist(), noise, strict=True):
        a, v = float(scale(t)), float(variance(t))
        both = torch.cat([kick, -kick])
        s = _in_batches(score, a * torch.cat([points, points]) + math.sqrt(v) * both, t)
        loss = (math.sqrt(v) * s + both).double().square().mean(1)
        found.append((loss[: len(points)] + loss[len(points) :]) / 2)
    return torch.stack(found, 1)


def _in_batches(score: Callable[..., Tensor], x: Tensor, t: Any) -> Tensor:
    return torch.cat([score(part, t) for part in x.split(_BATCH)])


def _trivial(points: Tensor) -> Callable[..., Tensor]:
    """Score of the Gaussian with the mean of the data and the mean of their variances."""
    law = KernelDensity(points.mean(0, keepdim=True), math.sqrt(float(points.var(0).mean())))
    return lambda x, t: law.at(x, t).score
