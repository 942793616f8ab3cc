"""Findings about how a network is read: by losses, by identities, and by what its times are rounded to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from scoredrift import _numerics
from scoredrift.estimates import Estimate
from scoredrift.pipelines.model_report import ModelFinding
from scoredrift.pipelines.model_rivals import _pairs, _rivals
from scoredrift.pipelines.model_sampler import _HALVES, _Sampler
from scoredrift.pipelines.model_trials import (
    _clear,
    _in_batches,
    _losses,
    _raced,
    _Reading,
    _Trial,
)
from scoredrift.process import scale, variance
from scoredrift.scores import Images, PredictedScore, Timesteps

_ROUNDS = 4
_WORST = math.log(1.1)  # log r that a network may have
_OF_USE = math.log(1.01)  # log r that another reading may have; 0 is the best there is for Gaussian data
_OTHER_KIND = math.log(1.3)  # by which another kind has to be better than one that is of use
_OFF = 0.2  # by which an identity may be missed
_FAMILIES = ("prediction", "clock", "offset", "schedule", "data scale", "channels", "horizon")
_NOT_LOOKED_AT = {
    "offset": ("no table of timesteps", "declare the clock Timesteps(alphas_cumprod), if it has one"),
    "schedule": ("no table of timesteps", "declare the clock Timesteps(alphas_cumprod), if it has one"),
    "horizon": ("no table of timesteps", ""),
    "data scale": ("no other scale is likely for these data", ""),
    "channels": ("no channels known", "pass Images(network, (C, H, W)) with three or four channels"),
}


def _read(
    score: PredictedScore, data: Tensor, times: Tensor, noise: Tensor, tables: Mapping[str, Tensor]
) -> tuple[dict[str, ModelFinding], PredictedScore, Tensor]:
    """Findings by losses, the network as it should be read, and the data as it should get them."""
    found: dict[str, ModelFinding] = {}
    declared = _Reading(score, data)
    for _ in range(_ROUNDS):
        rivals = list(_rivals(declared.score, declared.points, tables))
        trial, tried = _raced(declared, rivals, times, noise)
        better = [one for one in tried if one.reading.about and _better(one, trial)]
        better = [one for one in better if one.reading.about != ("offset",) or _by_one(one, tried)]
        if not better and _fit(trial).verdict == "failed":
            pairs = list(_pairs(declared.score, declared.points))
            better = [one for one in _raced(declared, pairs, times, noise)[1] if _better(one, trial)]
        if not better and trial.losses is None:
            _losses(score, data, times, noise)  # and let the network say what is wrong
        if not better:
            break
        best = min(better, key=lambda one: one.ratio.value)
        gap = trial.over(best)
        for name in best.reading.about:
            if name not in found:
                found[name] = _named(name, best.reading, gap, trial)
        declared = replace(best.reading, about=(), words="")
    fit = _fit(trial)
    lost = fit.verdict == "failed"
    for name in _FAMILIES:
        own = [one for one in tried if one.reading.about == (name,)]
        if name not in found:
            found[name] = _left(name, own, trial, lost, declared.score)
    found["fit"] = fit
    ordered = {name: found[name] for name in (*_FAMILIES, "fit")}
    return ordered, declared.score, declared.points


def _better(one: _Trial, declared: _Trial) -> bool:
    """Whether a reading fits, and better than what is declared.

    What is wrong with an honest network by itself may be made up for by another reading. So where the declared one
    is of use, another has to be better at every level of noise, and by more if it is of another kind.
    """
    gap, name = declared.over(one), one.reading.about[0]
    if one.ratio.value > _OF_USE or not _clear(gap - one.reading.margin):
        return False
    if not _clear(-declared.ratio) or one.reading.points is not declared.reading.points:
        return True
    return _clear(gap - _OTHER_KIND * (name == "prediction")) and not one.worse_somewhere(declared)


def _by_one(one: _Trial, tried: list[_Trial]) -> bool:
    """Whether a shift by one is better than one by two: else it makes up for something else."""
    gap = tried[tried.index(one) + 1].over(one)
    return gap.value > 2 * gap.stderr


def _named(name: str, best: _Reading, gap: Estimate, declared: _Trial) -> ModelFinding:
    times = math.exp(min(gap.value, 300.0))
    if declared.losses is None:
        words = f"{best.words}; as declared it gives no numbers"
    else:
        words = f"{best.words}: the loss as declared is {_short(times, times * gap.stderr)} times as large"
    return ModelFinding(name, "failed", words, gap, "log of the ratio of losses", best.remedy)


def _short(value: float, error: float) -> str:
    return str(Estimate(value, error)) if value < 1e4 else f"{value:.1g}"


def _left(
    name: str, tried: list[_Trial], declared: _Trial, lost: bool, score: PredictedScore
) -> ModelFinding:
    """What rivals say that do not fit better."""
    if not tried:
        reason, remedy = _NOT_LOOKED_AT[name]
        network = score.network
        if name == "channels" and isinstance(network, Images) and len(network.shape) == 3:
            reason, remedy = f"{network.shape[0]} channels have no order to confuse", ""
        return ModelFinding(name, "unknown", f"not looked at: {reason}", remedy=remedy)
    if lost:
        return ModelFinding(name, "unknown", "nothing fits, so that nothing can be told apart")
    near = min(tried, key=lambda one: one.over(declared).value)
    gap = near.over(declared)
    if all(_clear(one.over(declared)) for one in tried):
        times = math.exp(min(gap.value, 300.0))
        error = times * gap.stderr if near.losses is not None else 0.0
        words = f"the next best would have {_short(times, error)} times the loss"
        return ModelFinding(name, "passed", words, gap, "log of the ratio of losses")
    words = f"cannot tell: as good would be that {near.reading.words} (log of the ratio of losses {gap})"
    remedy = "pass more points" + (
        ", such as images with little noise of their own" if name == "offset" else ""
    )
    return ModelFinding(name, "unknown", words, gap, "log of the ratio of losses", remedy)


def _fit(declared: _Trial) -> ModelFinding:
    """Whether the network denoises as a Gaussian's score does, or better."""
    ratio = declared.ratio
    r = math.exp(min(ratio.value, 300.0))
    told = Estimate(r, r * ratio.stderr) if declared.losses is not None else Estimate(math.inf, 0.0)
    words = f"loss {_short(r, r * ratio.stderr)} times that of the score of a Gaussian"
    if declared.losses is None or _clear(ratio - _WORST):
        remedy = "nothing known mends it: look at the training, the clock and the data"
        return ModelFinding("fit", "failed", words, told, "ratio of losses", remedy)
    return ModelFinding("fit", "passed", words, told, "ratio of losses")


def _identities(
    score: PredictedScore, points: Tensor, times: Tensor, noise: Tensor, lost: bool
) -> ModelFinding:
    """E[s·x] = −d, and E[s·(s + ε/√v)] = 0 in units of E[s·s], both over all levels with the weight v."""
    if lost:
        return ModelFinding("identities", "unknown", "nothing to hold them against while nothing fits")
    d = points.shape[1]
    stein, own, cross, whole = [], [], [], 0.0
    for t, kick in zip(times.tolist(), noise, strict=True):
        a, v = float(scale(t)), float(variance(t))
        sides = []
        for side in (kick, -kick):
            x = a * points + math.sqrt(v) * side
            s = _in_batches(score, x, t).double()
            sides.append(
                torch.stack([v * (s * x).sum(1) / d, v * s.square().sum(1), math.sqrt(v) * (s * side).sum(1)])
            )
        mean = (sides[0] + sides[1]) / 2
        whole += v
        stein.append(mean[0])
        own.append(mean[1])
        cross.append(mean[2])
    first = Estimate.from_samples(torch.stack(stein).sum(0) / whole)
    size = float(torch.stack(own).mean())
    second = Estimate.from_samples(torch.stack(own).add(torch.stack(cross)).mean(0) / size)
    words = f"E[s·x]/d = {first} for −1; E[s·(s + ε/√v)]/E[s·s] = {second} for 0"
    gaps = [
        Estimate(abs(first.value + 1) - _OFF, first.stderr),
        Estimate(abs(second.value) - _OFF, second.stderr),
    ]
    if any(_clear(gap) for gap in gaps):
        remedy = "no usual mistake: look at the training, the clock and what is done around the network"
        return ModelFinding("identities", "failed", words, first, "", remedy)
    return ModelFinding("identities", "passed", words, first)


def _precision(score: PredictedScore, data: Tensor, taken: _Sampler | None) -> ModelFinding:
    """Whether times are rounded to half precision, in what the sampler keeps or on the way into the network."""
    table = score.prediction.clock
    whole = isinstance(table, Timesteps)
    name = "time precision"
    if taken is not None and taken.dtype in _HALVES:
        kept, top = taken.dtype, float(taken.readings.abs().max())
        exact = whole and top <= 2 ** (1 + round(-math.log2(torch.finfo(kept).eps)))
        if not exact:
            gap = 2.0 ** math.floor(math.log2(top)) * torch.finfo(kept).eps if top > 0 else 0.0
            words = f"the readings of the sampler are kept in {kept}, whose numbers near {top:.4g} lie {gap:.2g} apart"
            return ModelFinding(name, "failed", words, remedy="keep timesteps in int64, times in float32")
    told = []
    for kind in _HALVES:
        readings = _between(score, kind)
        if not len(readings):
            continue
        try:
            share = _unmoved(score, data, readings, kind)
        except (ValueError, RuntimeError, IndexError) as problem:  # a network may not know all of its clock
            return ModelFinding(name, "unknown", f"the network refuses a reading ({problem})")
        if share is None:
            words = "the network does not react to its time at all"
            return ModelFinding(name, "unknown", words, remedy="is it meant to be told the time?")
        if share < 0.01:
            at = float(readings[-1])
            gets = float(readings[-1].to(kind))
            words = f"inside the network times are rounded to {kind}: {at:.6g} counts as {gets:.6g}"
            remedy = "embed times in float32, and convert what is made of them"
            return ModelFinding(name, "failed", words, Estimate(share), "share of the change left", remedy)
        told.append(str(kind).removeprefix("torch."))
    if not told:
        return ModelFinding(name, "passed", "timesteps so few are exact in half precision")
    return ModelFinding(name, "passed", f"neighbours are told apart, as by {' and '.join(told)} they are not")


def _between(score: PredictedScore, kind: torch.dtype) -> Tensor:
    """Readings over the range of the clock that a precision rounds, float64 ``[≤ 8]``."""
    clock = score.prediction.clock
    if isinstance(clock, Timesteps):
        whole = torch.arange(len(clock.alphas_cumprod) - 2, dtype=torch.float64)
        rounded = whole.to(kind).double()
        beyond = 5 * whole - 4 * rounded
        off = whole[(rounded != whole) & (beyond >= 0) & (beyond <= len(whole))]
        return off[torch.linspace(0, len(off) - 1, 8).long()] if len(off) else off
    low = clock.t_min if clock.t_min > 0 else 0.02
    high = clock.t_max if math.isfinite(clock.t_max) else 4.0
    times = torch.linspace(math.log(low), math.log(high), 10, dtype=torch.float64)[1:-1].exp()
    rounded = clock(times).to(kind).double()
    return rounded * (1 + 0.2 * torch.finfo(kind).eps)


def _unmoved(score: PredictedScore, data: Tensor, readings: Tensor, kind: torch.dtype) -> float | None:
    """‖N(r) − N(r')‖/‖N(r'') − N(r')‖ with r' what r is rounded to, and r'' as far on the other side."""
    moved = whole = 0.0
    y = data[:16]
    with _numerics.full_precision():
        for r in readings:
            near = r.to(kind).double()
            values = []
            for one in (r, near, r + 4 * (r - near)):
                reading = one.to(y.device)
                value = _numerics.called(score.network, y, reading, "network(x, c)", score.dtype)
                values.append(value.double())
            moved += float((values[0] - values[1]).norm())
            whole += float((values[2] - values[1]).norm())
    return None if whole == 0 else moved / whole
