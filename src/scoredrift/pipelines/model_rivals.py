"""What else a network may have been trained for: one usual mistake away from what it is taken for.

Tables ᾱ_k = Π (1 − β_k) of Ho et al. 2020 (β from 1e-4 to 0.02, linear), of latent diffusion (√β linear, 0.00085 to
0.012), and their crossings; the cosine of Nichol and Dhariwal 2021; the first of these for other numbers of timesteps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from scoredrift.pipelines.model_trials import _Reading
from scoredrift.scores import (
    Clock,
    DataPrediction,
    DenoiserPrediction,
    Images,
    LogNoiseLevels,
    NoiseLevels,
    NoisePrediction,
    OwnTime,
    PreconditionedPrediction,
    PredictedScore,
    Prediction,
    Timesteps,
    VelocityPrediction,
)

_STEPS = (100, 200, 250, 400, 500, 1000, 2000, 4000)
_TWICE = math.log(2)
_SIZES = {
    (0.0, 255.0, -1.0, 1.0): "x / 127.5 - 1",
    (0.0, 255.0, 0.0, 1.0): "x / 255",
    (0.0, 1.0, -1.0, 1.0): "2 * x - 1",
    (-1.0, 1.0, 0.0, 1.0): "(x + 1) / 2",
}


@dataclass(frozen=True)
class _Moved:
    """A clock whose reading is shifted and scaled, as k + 1 or k/1000, kept between the ends of the first."""

    clock: Clock
    shift: float = 0.0
    factor: float = 1.0

    @property
    def t_min(self) -> float:
        return self.clock.t_min

    @property
    def t_max(self) -> float:
        return self.clock.t_max

    def __call__(self, t: float | Tensor) -> Tensor:
        ends = sorted(float(self.clock(end)) for end in (self.t_min, self.t_max))
        return (self.clock(t) + self.shift).clamp(*ends) * self.factor

    def time(self, reading: float | Tensor) -> Tensor:
        return self.clock.time(torch.as_tensor(reading) / self.factor - self.shift)


class _Kept(Timesteps):
    """A table that is read at its nearest end where times lie outside of it."""

    def __call__(self, t: float | Tensor) -> Tensor:
        return super().__call__(torch.as_tensor(t).clamp(self.t_min, self.t_max))


def _rivals(score: PredictedScore, points: Tensor, tables: Mapping[str, Tensor]) -> Iterator[_Reading]:
    """One mistake away from what is declared."""
    declared = score.prediction
    for kind, words in _kinds(declared, float(points.var(0).mean().sqrt())):
        remedy = f"PredictedScore(network, {words})"
        told = f"it was trained to give {_spoken(kind)}"
        yield _Reading(replace(score, prediction=kind), points, ("prediction",), told, remedy)
    for clock, words, remedy in _clocks(declared.clock):
        kind = _by(declared, clock)
        yield _Reading(replace(score, prediction=kind), points, ("clock",), f"it reads {words}", remedy)
    if isinstance(declared.clock, Timesteps):
        for clock, about, words, remedy in _chains(declared.clock, tables):
            kind = _by(declared, clock)
            names = (about,) if about else ()
            margin = 0.0 if about == "offset" else 0.05
            yield _Reading(replace(score, prediction=kind), points, names, words, remedy, margin)
    for changed, about, words, remedy in _of_data(score, points):
        yield _Reading(score, changed, (about,), words, remedy, _TWICE if about == "data scale" else 0.05)


def _pairs(score: PredictedScore, points: Tensor) -> Iterator[_Reading]:
    """Another prediction by another clock."""
    for clock, words, remedy in _clocks(score.prediction.clock):
        for kind, name in _kinds(score.prediction, float(points.var(0).mean().sqrt())):
            told = f"it reads {words}, and was trained to give {_spoken(kind)}"
            both = f"PredictedScore(network, {name}); {remedy}"
            pair = replace(score, prediction=_by(kind, clock))
            yield _Reading(pair, points, ("prediction", "clock"), told, both)


def _by(kind: Prediction, clock: Clock) -> Prediction:
    return replace(kind, clock=clock)  # type: ignore[type-var]  # all of them are dataclasses


def _kinds(declared: Prediction, spread: float) -> Iterator[tuple[Prediction, str]]:
    """Other kinds by the same clock."""
    clock = declared.clock
    known: list[Prediction] = [
        kind(clock) for kind in (NoisePrediction, DataPrediction, VelocityPrediction, DenoiserPrediction)
    ]
    sizes = dict.fromkeys((0.5, spread))
    if isinstance(declared, PreconditionedPrediction):
        sizes = dict.fromkeys((declared.sigma_data, *sizes))
    known += [PreconditionedPrediction(size, clock, sign) for size in sizes for sign in (False, True)]
    for kind in dict.fromkeys(known):
        if kind != declared:
            yield kind, _called(kind)


def _called(kind: Prediction) -> str:
    inner = "clock"
    if isinstance(kind, PreconditionedPrediction):
        inner = f"{kind.sigma_data:.3g}, clock" + ", negated=True" * kind.negated
    return f"{type(kind).__name__}({inner})"


def _spoken(kind: Prediction) -> str:
    """What a network of a kind gives, in words."""
    words = {
        NoisePrediction: "the noise ε",
        DataPrediction: "the data x_0",
        VelocityPrediction: "the velocity v",
        DenoiserPrediction: "a denoised x_0 from x_0 + σ n",
        PreconditionedPrediction: "the inside F of EDM's denoiser",
    }
    sign = ", with the sign changed" if getattr(kind, "negated", False) else ""
    return words.get(type(kind), type(kind).__name__) + sign


def _clocks(declared: Clock) -> Iterator[tuple[Clock, str, str]]:
    """Clocks of another kind."""
    table = declared.alphas_cumprod if isinstance(declared, Timesteps) else _table("linear", 1000)
    last = len(table)
    chain = _Kept(table)
    known: list[tuple[Clock, str, str]] = [
        (OwnTime(), "the time t = log(1 + σ²)", "let its clock be OwnTime()"),
        (NoiseLevels(), "the noise level σ", "let its clock be NoiseLevels()"),
        (LogNoiseLevels(), "¼ log σ", "let its clock be LogNoiseLevels()"),
        (_Moved(chain, 0.0, 1 / last), f"timesteps divided by {last}", f"pass it k/{last}"),
    ]
    if not isinstance(declared, Timesteps):
        words = "timesteps of Ho et al. 2020"
        known.append((chain, words, "let its clock be Timesteps(alphas_cumprod) of its own table"))
    for clock, words, remedy in known:
        if not isinstance(declared, type(clock)):
            yield clock, words, remedy


@cache
def _table(kind: str, steps: int, first: float = 1e-4, last: float = 2e-2) -> Tensor:
    """ᾱ_k of a usual schedule, in float64."""
    if kind == "cosine":
        k = torch.arange(steps + 1, dtype=torch.float64) / steps
        bar = torch.cos((k + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1 - bar[1:] / bar[:-1]).clamp(max=0.999)
    elif kind == "scaled":
        betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64).square()
    else:
        betas = torch.linspace(first, last, steps, dtype=torch.float64)
    return torch.cumprod(1 - betas, 0)


def _chains(declared: Timesteps, tables: Mapping[str, Tensor]) -> Iterator[tuple[Clock, str, str, str]]:
    """The same timesteps shifted by one, and by other tables."""
    steps = len(declared.alphas_cumprod)
    for shift in (1, -1):
        words = f"it reads k {'+' if shift > 0 else '−'} 1 where it is told k: its table is shifted by one"
        remedy = f"pass timesteps k {'+' if shift > 0 else '-'} 1, or alphas_cumprod of the right steps"
        yield _Moved(declared, shift), "offset", words, remedy
        yield _Moved(declared, 2 * shift), "", "", ""  # worse, if the shift is by one
    known = {
        "β linear, 1e-4 to 0.02": _table("linear", steps),
        "β linear, 0.00085 to 0.012": _table("linear", steps, 8.5e-4, 1.2e-2),
        "β linear, 1e-4 to 0.012": _table("linear", steps, 1e-4, 1.2e-2),
        "√β linear, 0.00085 to 0.012 (scaled_linear)": _table("scaled", steps, 8.5e-4, 1.2e-2),
        "√β linear, 1e-4 to 0.02 (scaled_linear)": _table("scaled", steps),
        "the cosine (squaredcos_cap_v2)": _table("cosine", steps),
        **tables,
    }
    for name, table in known.items():
        if len(table) == steps and not _alike(table, declared.alphas_cumprod):
            words = f"it fits the table with {name}"
            yield _Kept(table), "schedule", words, f"build the scheduler with {name}"
    for count in _STEPS:
        if count != steps:
            words = f"it fits a table of {count} timesteps, β linear from 1e-4 to 0.02, not one of {steps}"
            remedy = f"build the scheduler with num_train_timesteps={count}, as in its training"
            yield _Kept(_table("linear", count)), "horizon", words, remedy


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tables differ by less than a step where they differ most."""
    steps = min(len(one), len(other))
    logits = [torch.logit(table[:steps].double().cpu()) for table in (one, other)]
    return bool(((logits[0] - logits[1]).abs() < logits[0].diff().abs().min()).all())


def _of_data(score: PredictedScore, points: Tensor) -> Iterator[tuple[Tensor, str, str, str]]:
    """The data in other scales and orders of channels."""
    low, high = float(points.min()), float(points.max())
    for (down, up, into, top), code in _SIZES.items():
        if down <= low and high <= up and not (up > 1 and high <= 1) and not (down < 0 <= low):
            changed = (points - down) / (up - down) * (top - into) + into
            words = f"it fits the data taken from [{down:.0f}, {up:.0f}] to [{into:.0f}, {top:.0f}]"
            yield changed, "data scale", words, f"pass {code}"
    mean, spread = float(points.mean()), float(points.std())
    if abs(mean) > 0.3 * spread or not 0.7 < spread < 1.4:
        words = f"it fits the data standardised, from mean {mean:.3g} and spread {spread:.3g} to 0 and 1"
        yield (points - mean) / spread, "data scale", words, f"pass (x - {mean:.4g}) / {spread:.4g}"
    network = score.network
    if isinstance(network, Images) and len(network.shape) == 3 and network.shape[0] in (3, 4):
        channels, *rest = network.shape
        flipped = network.to_images(points).flip(1).flatten(1)
        words = "it fits the channels in reverse order, such as BGR for RGB"
        yield flipped, "channels", words, "pass images.flip(1)"
        last = points.reshape(-1, *rest, channels).permute(0, 3, 1, 2).flatten(1)
        words = "it fits the data with their channels last, [n, H, W, C]"
        yield last, "channels", words, "pass images.permute(0, 3, 1, 2)"
