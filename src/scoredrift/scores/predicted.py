"""Networks in our time: the score of one that predicts something, and a score that poses as such a network.

    s(x, t) = skip(t) x + gain(t) N(scale(t) x, c(t)),        N(y, c) = (s(y/scale, t) − skip y/scale)/gain

The coefficients are those of what it predicts (module ``predictors``), c the reading of its clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.scores.arithmetic import Score
from scoredrift.scores.clocks import Clock, LogNoiseLevels, Timesteps
from scoredrift.scores.predictors import (
    DataPrediction,
    NoisePrediction,
    PreconditionedPrediction,
    Prediction,
    VelocityPrediction,
)


@dataclass(frozen=True, eq=False, repr=False)
class PredictedScore:
    """Score s(x, t) in our time of a network that predicts noise, data, velocity or the like.

        s(x, t) = skip(t) x + gain(t) N(scale(t) x, c(t))

    It is a function of (x, t): alone where values suffice, with its divergence as ``FunctionScore(score)`` or
    ``ProbedScore(score, …)``. The network gets its points in its own precision and its clock's readings, shape
    ``[n]``, in float32 at least; all else is in the dtype of the points. Gradients pass, to x and to parameters.

    Args:
        network: N, maps ``[n, d]`` and readings ``[n]`` to ``[n, d]``, or to an object that has this as its
            ``sample``. Images go in through ``Images(network, shape)``, labels and the like through a function
            of one's own, whose ``dtype`` is then to be stated.
        prediction: what it predicts, with its clock.
        dtype: precision of the network, if not that of its parameters.

    Raises:
        ValueError: no network or prediction; on a call, times outside the range of the clock, and what
            ``FunctionScore`` refuses.

    >>> from scoredrift import process
    >>> from scoredrift.scores import FunctionScore, Images
    >>> network = PredictedScore(lambda x, t: process.variance(t[:, None]).sqrt() * x, NoisePrediction())
    >>> FunctionScore(network).value_and_divergence(torch.ones(1, 2), 0.5)  # that of N(0, I)
    (tensor([[-1., -1.]]), tensor([-2.]))
    >>> convolution = torch.nn.Conv2d(3, 3, 1)  # images in, images out
    >>> images = Images(lambda pictures, t: convolution(pictures), (3, 8, 8))
    >>> PredictedScore(images, VelocityPrediction())(torch.ones(5, 192), 0.5).shape
    torch.Size([5, 192])
    """

    network: Callable[[Tensor, Tensor], Any]
    prediction: Prediction
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        if not callable(self.network) or isinstance(self.network, type):
            _checks.refuse("network", f"a {type(self.network).__name__}", "pass a network or a function")
        if not isinstance(self.prediction, Prediction):
            remedy = "pass what it predicts, as NoisePrediction(), VelocityPrediction(clock)"
            _checks.refuse("prediction", repr(self.prediction)[:80], remedy)
        if not (self.dtype is None or (isinstance(self.dtype, torch.dtype) and self.dtype.is_floating_point)):
            _checks.refuse("dtype", self.dtype, "pass a floating one, such as torch.float32")

    def precision(self, x: Tensor) -> torch.dtype:
        """Precision that the network computes in."""
        return _numerics.precision(self.network, x) if self.dtype is None else self.dtype

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Score at points ``[n, d]`` and times ``[]`` or ``[n]``, shape ``[n, d]``."""
        with _numerics.full_precision():
            shrink, skip, gain = self.prediction._columns(x, t)
            reading = self.prediction.clock(_checks.real("t", t).to(x.device))
            found = _numerics.called(self.network, shrink * x, reading, "network(x, c)", self.dtype)
            return skip * x + gain * found


def as_network(
    score: Score | Callable[[Tensor, Tensor], Tensor], prediction: Prediction
) -> Callable[..., Tensor]:
    """A score that poses as a network: what a network must say so that it has this score.

        N(y, c) = (s(y/scale, t) − skip y/scale)/gain,        t the time that the clock shows as c

    Args:
        score: s, a ``Flow`` or any function of (x, t).
        prediction: what the network is to predict, with its clock.

    Returns:
        Function of points ``[n, d]`` and readings ``[]`` or ``[n]``.

    Raises:
        ValueError: no function or no prediction; on a call, what score or clock refuse.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import Flow
    >>> flow, x = Flow(mixture_of_three(), OrnsteinUhlenbeck()), torch.ones(1, 1, dtype=torch.float64)
    >>> edm = PreconditionedPrediction(1.5)
    >>> torch.allclose(PredictedScore(as_network(flow, edm), edm)(x, 0.5), flow(x, 0.5))
    True
    """
    if not isinstance(prediction, Prediction):
        _checks.refuse(
            "prediction", repr(prediction)[:80], "pass what it is to predict, as NoisePrediction()"
        )
    if not callable(score) or isinstance(score, type):
        _checks.refuse("score", f"a {type(score).__name__}", "pass a score or a function of (x, t)")

    def network(y: Tensor, reading: float | Tensor) -> Tensor:
        _checks.points("x", y)
        t = prediction.clock.time(_checks.real("reading", reading).to(y.device))
        x = y / torch.as_tensor(prediction.affine(t).scale).to(y).reshape(-1, 1)
        return prediction.output(_numerics.evaluate(score, x, t, "score(x, t)"), x, t)

    return network


def from_diffusers(
    network: Callable[[Tensor, Tensor], Any], scheduler: Any, *, dtype: torch.dtype | None = None
) -> PredictedScore:
    """Score in our time of a network that was trained with a scheduler of diffusers.

    What it predicts is read from ``scheduler.config.prediction_type``, its clock from ``alphas_cumprod`` (DDPM,
    DDIM, Euler and others, by timesteps) or from the noise levels (EDM). Nothing else of the scheduler is used:
    what it clips or thresholds is not part of the score.

    Args:
        network: as for ``PredictedScore``; a U-Net goes in as ``Images(unet, (C, H, W))``.
        scheduler: with ``alphas_cumprod``, or one of EDM's.
        dtype: precision of the network, if not that of its parameters.

    Returns:
        PredictedScore.

    Raises:
        ValueError: a scheduler of another kind (such as flow matching), or an unknown prediction type.

    >>> from diffusers import DDPMScheduler, UNet2DModel
    >>> from scoredrift.scores import Images, ProbedScore
    >>> unet = UNet2DModel(8, 1, 1, block_out_channels=(8,), down_block_types=("DownBlock2D",),
    ...                    up_block_types=("UpBlock2D",), norm_num_groups=2)
    >>> score = from_diffusers(Images(unet, (1, 8, 8)), DDPMScheduler(prediction_type="v_prediction"))
    >>> value, trace = ProbedScore(score, 1, torch.Generator()).value_and_divergence(torch.zeros(2, 64), 0.5)
    >>> value.shape, trace.shape
    (torch.Size([2, 64]), torch.Size([2]))
    """
    config: Any = getattr(scheduler, "config", None)
    read = _of_edm if hasattr(config, "sigma_data") else _of_chain
    return PredictedScore(network, read(scheduler, config), dtype)


def _of_edm(scheduler: Any, config: Any) -> Prediction:
    told = torch.tensor(2.0)
    if not torch.allclose(scheduler.precondition_noise(told), told.log() / 4):
        _unknown(scheduler)
    kind = config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        _checks.refuse("scheduler.config.prediction_type", kind, "choose epsilon or v_prediction")
    clock = LogNoiseLevels(config.sigma_min, config.sigma_max)
    return PreconditionedPrediction(config.sigma_data, clock, negated=kind == "v_prediction")


def _of_chain(scheduler: Any, config: Any) -> Prediction:
    table, kind = getattr(scheduler, "alphas_cumprod", None), getattr(config, "prediction_type", None)
    if not isinstance(table, Tensor):
        _unknown(scheduler)
    clock: Clock = Timesteps(table)
    if kind == "epsilon":
        return NoisePrediction(clock)
    if kind == "sample":
        return DataPrediction(clock)
    if kind != "v_prediction":
        _checks.refuse("scheduler.config.prediction_type", kind, "choose epsilon, sample or v_prediction")
    if getattr(config, "timestep_type", None) == "continuous":  # Euler's; its v-networks read ¼ log σ
        low, high = (math.sqrt(math.expm1(end)) for end in (clock.t_min, clock.t_max))
        clock = LogNoiseLevels(low, high)
    return VelocityPrediction(clock)


def _unknown(scheduler: Any) -> NoReturn:
    remedy = "pass a scheduler of diffusers with alphas_cumprod, as DDPMScheduler(), or EDMEulerScheduler()"
    _checks.refuse("scheduler", f"a {type(scheduler).__name__}", remedy)
