"""Does a network predict what it is taken for? Denoising losses on diffused data tell.

For x = a x_0 + √v ε the loss L(t) = E‖√v s(x, t) + ε‖²/d is least for the exact score. The predictor that knows
mean and variance σ² of the data alone, s = −(x − a μ)/(v + a² σ²), has L_0 = a² σ²/(v + a² σ²). Their ratio
does not depend on whether losses are counted in ε, v or x_0, and what is compared is its geometric mean over
times t_1, …, t_J,

    r = exp( (1/J) Σ_j log L(t_j)/L_0(t_j) ),

at most 1 for the exact score. On the same data no score has a smaller r than the exact one. So where the
same network, taken for something else, has a smaller one, it was not what it was taken for. Networks are not
exact, and what is wrong by itself can make up for another error (too smooth a denoiser gains where it is told of
less noise than there is), but by a small factor: one that is of use, r < 1, is refused for a factor of two only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.laws import KernelDensity
from scoredrift.process import OrnsteinUhlenbeck, scale, variance
from scoredrift.scores.clocks import Clock, LogNoiseLevels, NoiseLevels, OwnTime, Timesteps
from scoredrift.scores.networks import Images
from scoredrift.scores.predicted import PredictedScore
from scoredrift.scores.predictors import (
    DataPrediction,
    DenoiserPrediction,
    NoisePrediction,
    PreconditionedPrediction,
    Prediction,
    VelocityPrediction,
)

_SIGMAS = 5.0  # that a difference has to have before it counts
_MARGIN = math.log(2)  # by which another reading has to be better than one that is of some use
_HOPELESS = Estimate(1e3, 0.0)  # log r of what gives no numbers


@_numerics.estimator
def check_prediction(
    score: PredictedScore,
    data: Tensor,
    *,
    generator: torch.Generator,
    process: OrnsteinUhlenbeck = OrnsteinUhlenbeck(),  # noqa: B008 — frozen
    others: Sequence[Prediction] = (),
    levels: int = 8,
    worst: float = 1.1,
) -> None:
    """Refuse a network that does not predict, on these data, what it is taken for.

    Compared on the same noise, by the ratio r at the head of the module: the network as declared; taken for noise,
    data, velocity, EDM's denoiser or its inside, by the declared clock, by those of their own and by the
    timesteps of Ho et al. 2020; with the clock run backwards; and, where it is one of ``Images``, with the data's
    channels in other order. It is refused

    * if r > ``worst`` as declared (then the data are tried in other scales, too);
    * if another reading has r < 1 and less than as declared; less than half of it, if the declared one is below 1;
    * if channels in another order have a smaller r, below 1;

    all by five standard errors. The message names what fits best. What passes need not be good.

    Each of ten to twenty candidates is evaluated ``levels`` times at ``len(data)`` points, in the order of the data,
    so that labels can go along.

    Args:
        score: network with what it is to predict.
        data: x_0, shape ``[n, d]``, a hundred points of those it was trained on. (On fresh ones a network that
            memorised can be worse than the trivial predictor: r = 1.3 for digits.)
        generator: source of the noise, on the device of the data.
        process: the times looked at are between its t0 and T, as far as the clock goes.
        others: what else the network may predict.
        levels: number of times J ≥ 2, in equal ratios.
        worst: largest r that passes.

    Raises:
        ValueError: a network that predicts something else, or nothing that is known here; fewer than 16 points,
            data that do not vary, a clock without times in [t0, T].

    >>> from scoredrift.laws import mixture_of_five
    >>> from scoredrift.scores import Flow, as_network
    >>> law, g = mixture_of_five(2), torch.Generator().manual_seed(0)
    >>> network = as_network(Flow(law, OrnsteinUhlenbeck()), VelocityPrediction())
    >>> data = law.sample(100, generator=g)
    >>> check_prediction(PredictedScore(network, VelocityPrediction()), data, generator=g)
    >>> check_prediction(PredictedScore(network, NoisePrediction()), data, generator=g)
    Traceback (most recent call last):
    ...
    ValueError: score.prediction = NoisePrediction() by OwnTime, ...: VelocityPrediction() by OwnTime fits best, ...
    """
    if not isinstance(score, PredictedScore):
        _checks.refuse("score", f"a {type(score).__name__}", "pass PredictedScore(network, prediction)")
    _checks.points("data", data)
    _checks.generator_on(generator, data.device)
    _checks.process(process)
    levels = _checks.count("levels", levels, least=2)
    _checks.listed("others", others)
    worst = _checks.number("worst", worst, low=0.0, open_low=True)
    if len(data) < 16 or data.shape[1] == 0:
        _checks.refuse("data.shape", list(data.shape), "pass 16 points or more, [n, d]")
    if not float(data.var(0).mean()) > 0:
        _checks.refuse("data", "all points the same", "pass data that vary")
    low, high = _span(score.prediction.clock, process)
    times = torch.logspace(math.log10(low), math.log10(high), levels, dtype=torch.float64).clamp(low, high)
    noise = torch.randn((levels, *data.shape), generator=generator, dtype=data.dtype, device=data.device)
    rivals = [
        _Trial(name, _tried(rival, points, times, noise), margin)
        for name, rival, points, margin in _rivals(score, data, process, others)
    ]
    best = min(rivals, key=lambda one: one.ratio.value)
    declared = _Trial("", _tried(score, data, times, noise))
    if declared.draws is None and best.draws is None:
        _losses(score, data, times, noise)  # and let the network say what is wrong
    if _clear(declared.ratio - math.log(worst)):
        tried = [_Trial(name, _tried(score, points, times, noise)) for name, points in _scaled(data)]
        _wrong(score, data, declared, min([best, *tried], key=lambda one: one.ratio.value))
    useful = _clear(-declared.ratio)
    for one in sorted(rivals, key=lambda one: one.ratio.value):
        if _clear(-one.ratio) and _clear(declared.over(one) - (one.margin if useful else 0.0)):
            _wrong(score, data, declared, one)


def _clear(excess: Estimate) -> bool:
    return excess.value > _SIGMAS * excess.stderr


@dataclass(frozen=True, eq=False)
class _Trial:
    """What was tried, and draws [n] with mean log r; none where the network refused or gave no numbers."""

    name: str
    draws: Tensor | None
    margin: float = 0.0

    @property
    def ratio(self) -> Estimate:
        """Estimate of log r."""
        return _HOPELESS if self.draws is None else Estimate.from_samples(self.draws)

    def over(self, other: _Trial) -> Estimate:
        """Difference of two log r, on the same points and noise."""
        if self.draws is None or other.draws is None:
            return self.ratio - other.ratio
        return Estimate.from_samples(self.draws - other.draws)


@dataclass(frozen=True, eq=False)
class _Backwards:
    """A clock that runs the other way between two times."""

    clock: Clock
    t_min: float
    t_max: float

    def __call__(self, t: float | Tensor) -> Tensor:
        return self.clock(self.t_min) + self.clock(self.t_max) - self.clock(t)

    def time(self, reading: float | Tensor) -> Tensor:
        turned = self.clock(self.t_min) + self.clock(self.t_max) - torch.as_tensor(reading)
        return self.clock.time(turned)


def _span(clock: Clock, process: OrnsteinUhlenbeck) -> tuple[float, float]:
    low, high = max(clock.t_min, process.t_min), min(clock.t_max, process.t_max)
    if not low < high:
        told = f"[{process.t_min}, {process.t_max}]"
        _checks.refuse("process", told, f"the clock goes from {clock.t_min:.4g} to {clock.t_max:.4g}")
    return low, high


def _rivals(
    score: PredictedScore, data: Tensor, process: OrnsteinUhlenbeck, others: Sequence[Prediction]
) -> Iterator[tuple[str, PredictedScore, Tensor, float]]:
    """What else it may be on the same data: other kinds, another clock, another order of channels."""
    declared = score.prediction
    clock, spread = declared.clock, float(data.var(0).mean().sqrt())
    kinds: list[Prediction] = list(others)
    for own in (clock, OwnTime(), *(() if isinstance(clock, Timesteps) else (_usual_chain(),))):
        kinds += [NoisePrediction(own), DataPrediction(own), VelocityPrediction(own)]
    for own in (clock, LogNoiseLevels()):
        kinds += [PreconditionedPrediction(size, own) for size in (0.5, spread)]
    if isinstance(declared, PreconditionedPrediction):
        kinds.append(replace(declared, negated=not declared.negated))
    kinds += [DenoiserPrediction(own) for own in (clock, NoiseLevels())]
    for kind in dict.fromkeys(kinds):
        if kind != declared:
            yield _name(kind), replace(score, prediction=kind), data, _MARGIN
    inner = _span(clock, process)
    low, high = (
        one if 0 < one < math.inf else other
        for one, other in zip((clock.t_min, clock.t_max), inner, strict=True)
    )
    turned = _turned(declared, _Backwards(clock, low, high))
    yield "the same with time reversed", replace(score, prediction=turned), data, _MARGIN
    network = score.network
    if isinstance(network, Images) and len(network.shape) == 3 and network.shape[0] in (3, 4):
        channels, *rest = network.shape
        images = network.to_images(data)
        yield "the same with channels in reverse order", score, images.flip(1).flatten(1), 0.0
        last = data.reshape(-1, *rest, channels).permute(0, 3, 1, 2)
        yield "the same with channels moved from the last axis to the first", score, last.flatten(1), 0.0


def _usual_chain() -> Timesteps:
    """The thousand timesteps of Ho et al. 2020, from which most others are derived."""
    return Timesteps(torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0))


def _turned(kind: Prediction, clock: Clock) -> Prediction:
    return replace(kind, clock=clock)  # type: ignore[type-var]  # all of them are dataclasses


def _scaled(data: Tensor) -> Iterator[tuple[str, Tensor]]:
    low, high = float(data.min()), float(data.max())
    if low >= 0 and 1 < high <= 255:
        yield "the same on data taken from [0, 255] to [−1, 1]", data / 127.5 - 1
        yield "the same on data taken from [0, 255] to [0, 1]", data / 255
    if low >= 0 and high <= 1:
        yield "the same on data taken from [0, 1] to [−1, 1]", 2 * data - 1
    if -1 <= low < 0 and high <= 1:
        yield "the same on data taken from [−1, 1] to [0, 1]", (data + 1) / 2
    yield "the same on standardised data", (data - data.mean()) / data.std()


def _tried(score: PredictedScore, data: Tensor, times: Tensor, noise: Tensor) -> Tensor | None:
    """Draws with mean log r, by which it is an average over points; none if there are no numbers."""
    try:
        losses = _losses(score, data, times, noise)
    except (ValueError, RuntimeError, IndexError):  # a network may refuse what it was not made for
        return None
    plain = _losses(_trivial(data), data, times, noise)
    if not bool(losses.isfinite().all()):
        return None
    mean, ground = losses.mean(0), plain.mean(0)
    return (torch.log(mean / ground) + losses / mean - plain / ground).mean(1)


def _losses(score: Callable[..., Tensor], data: Tensor, times: Tensor, noise: Tensor) -> Tensor:
    """Denoising losses ‖√v s + ε‖²/d of the points at all times, shape [n, J], in float64."""
    found = []
    for t, kick in zip(times.tolist(), noise, strict=True):
        a, v = float(scale(t)), float(variance(t))
        s = score(a * data + math.sqrt(v) * kick, t)
        found.append((math.sqrt(v) * s + kick).double().square().mean(1))
    return torch.stack(found, 1)


def _trivial(data: Tensor) -> Callable[..., Tensor]:
    """Score of the Gaussian with the mean of the data and the mean of their variances."""
    law = KernelDensity(data.mean(0, keepdim=True), math.sqrt(float(data.var(0).mean())))
    return lambda x, t: law.at(x, t).score


def _name(kind: Prediction) -> str:
    inner = f"(sigma_data={kind.sigma_data:.4g})" if isinstance(kind, PreconditionedPrediction) else "()"
    sign = " with the sign changed" if getattr(kind, "negated", False) else ""
    return f"{type(kind).__name__}{inner}{sign} by {type(kind.clock).__name__}"


def _wrong(score: PredictedScore, data: Tensor, declared: _Trial, best: _Trial) -> NoReturn:
    told = f"{_name(score.prediction)}, with {_factor(declared)} that of a predictor that knows mean and variance"
    if _clear(-best.ratio) and _clear(declared.over(best)):
        remedy = f"{best.name} fits best, with {_factor(best)} that"
    else:
        remedy = f"nothing known fits (best {best.name}, with {_factor(best)} that); look at the training, the clock"
        remedy += (
            f" and the scale of the data (mean {float(data.mean()):.3g}, spread {float(data.std()):.3g})"
        )
    _checks.refuse("score.prediction", told, remedy)


def _factor(trial: _Trial) -> str:
    if trial.draws is None:
        return "no loss, not"
    ratio = math.exp(min(trial.ratio.value, 300.0))
    return f"a loss {ratio:.3g} ± {ratio * trial.ratio.stderr:.1g} times"
