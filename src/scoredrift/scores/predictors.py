"""What networks predict, as scores in our time: noise, data, velocity, EDM's preconditioned denoiser.

With x = a x_0 + √v ε, a = e^{−t/2}, v = 1 − e^{−t}, the exact score is s* = −E[ε | x]/√v, and every usual
network N says an affine function of it:

    s(x, t) = skip(t) x + gain(t) N(scale(t) x, c(t)),

with c the reading of the network's clock. In the variance-exploding coordinates of EDM, y = x/a = x_0 + σ n
with σ = √v/a. The three coefficients are computed in float64, and s in the precision of the points, never in
that of the network: s grows like 1/√v, and bfloat16 has 8 bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.process import scale, variance
from scoredrift.scores.clocks import Clock, LogNoiseLevels, NoiseLevels, OwnTime


class Affine(NamedTuple):
    """Coefficients of s = skip x + gain N(scale x) at given times.

    Args:
        scale: factor of the points, before the network sees them.
        skip: factor of x in the score.
        gain: factor of the network's output in the score.

    >>> NoisePrediction().affine(1e9)
    Affine(scale=1.0, skip=0.0, gain=tensor(-1., dtype=torch.float64))
    """

    scale: float | Tensor
    skip: float | Tensor
    gain: float | Tensor


class Prediction(ABC):
    """What a network predicts, and what clock it reads: an affine map between its output and a score.

    For a kind of one's own, such as flow matching's x = (1 − u) x_0 + u ε, ``affine`` is all that is to be said.

    >>> class ScorePrediction(Prediction):
    ...     clock = OwnTime()
    ...
    ...     def affine(self, t):
    ...         return Affine(1.0, 0.0, 1.0)
    >>> ScorePrediction().output(torch.ones(1, 2), torch.zeros(1, 2), 0.5)
    tensor([[1., 1.]])
    """

    clock: Clock

    @abstractmethod
    def affine(self, t: float | Tensor) -> Affine:
        """Coefficients at times t > 0 of any shape, in float64."""

    def score(self, output: Tensor, x: Tensor, t: float | Tensor) -> Tensor:
        """Score of a network that gave ``output`` for x: s = skip x + gain output.

        Args:
            output: value of the network at scale(t) x, shape ``[n, d]``.
            x: points x = a x_0 + √v ε, shape ``[n, d]``.
            t: our time, shape ``[]`` or ``[n]``.

        Returns:
            Score, shape ``[n, d]``, in the dtype of ``x``.

        Raises:
            ValueError: points, outputs or times that do not fit each other, t = 0.
        """
        _, skip, gain = self._columns(x, t)
        return skip * x + gain * _beside("output", output, x)

    def output(self, score: Tensor, x: Tensor, t: float | Tensor) -> Tensor:
        """Output of a network that has the given score at x: N = (s − skip x)/gain.

        For s = −ε/√v, the score of X_t given X_0, this is the target of its training.

        Args:
            score: s, shape ``[n, d]``.
            x: points x = a x_0 + √v ε, shape ``[n, d]``.
            t: our time, shape ``[]`` or ``[n]``.

        Returns:
            What the network says at scale(t) x, shape ``[n, d]``, in the dtype of ``x``.

        Raises:
            ValueError: points, scores or times that do not fit each other, t = 0.
        """
        _, skip, gain = self._columns(x, t)
        return (_beside("score", score, x) - skip * x) / gain

    def _columns(self, x: Tensor, t: float | Tensor) -> list[Tensor]:
        _checks.points("x", x)
        _checks.times("t", t, x, 0.0, float("inf"))
        when = _checks.real("t", t).to(x.device)
        return [torch.as_tensor(one).to(x).reshape(-1, 1) for one in self.affine(when)]


@dataclass(frozen=True)
class NoisePrediction(Prediction):
    """A network that predicts the noise, N ≈ E[ε | x]:  s = −N/√v.

    Args:
        clock: what it reads.

    Source: Ho et al. 2020 (arXiv 2006.11239), eq. 14; the score by Vincent 2011 (doi 10.1162/NECO_a_00142).

    >>> x, t = torch.ones(1, 2, dtype=torch.float64), 0.5
    >>> bool(NoisePrediction().score(x, x, t)[0, 0] == -1 / variance(t).sqrt())
    True
    """

    clock: Clock = field(default_factory=OwnTime)

    def affine(self, t: float | Tensor) -> Affine:
        """Scale 1, skip 0, gain −1/√v."""
        return Affine(1.0, 0.0, -1 / _spread(t)[1].sqrt())


@dataclass(frozen=True)
class DataPrediction(Prediction):
    """A network that predicts the data, N ≈ E[x_0 | x]:  s = (a N − x)/v.

    Args:
        clock: what it reads.

    Source: Salimans and Ho 2022 (arXiv 2202.00512), section 4; x_0 and ε as in Ho et al. 2020, eq. 15.

    >>> x = torch.ones(1, 2, dtype=torch.float64)
    >>> DataPrediction().output(-x, x, 0.5) / scale(0.5)  # where the score is that of N(0, I)
    tensor([[1., 1.]], dtype=torch.float64)
    """

    clock: Clock = field(default_factory=OwnTime)

    def affine(self, t: float | Tensor) -> Affine:
        """Scale 1, skip −1/v, gain a/v."""
        a, v = _spread(t)
        return Affine(1.0, -1 / v, a / v)


@dataclass(frozen=True)
class VelocityPrediction(Prediction):
    """A network that predicts the velocity, N ≈ E[a ε − √v x_0 | x]:  s = −x − (a/√v) N.

    For √v x + a (a ε − √v x_0) = (v + a²) ε = ε.

    Args:
        clock: what it reads.

    Source: Salimans and Ho 2022 (arXiv 2202.00512), section 4 and appendix D.

    >>> x = torch.ones(1, 2, dtype=torch.float64)
    >>> VelocityPrediction().score(0 * x, x, 0.5)  # the score of N(0, I)
    tensor([[-1., -1.]], dtype=torch.float64)
    """

    clock: Clock = field(default_factory=OwnTime)

    def affine(self, t: float | Tensor) -> Affine:
        """Scale 1, skip −1, gain −a/√v."""
        a, v = _spread(t)
        return Affine(1.0, -1.0, -a / v.sqrt())


@dataclass(frozen=True)
class PreconditionedPrediction(Prediction):
    """The network F inside EDM's denoiser D(y; σ) = c_skip y + c_out F(c_in y, c_noise) ≈ E[x_0 | y = x/a].

    With m² = v + a² σ_data², the variance of X_t where the data have σ_data², its coefficients
    c_skip = σ_data²/(σ² + σ_data²), c_out = σ σ_data/√(σ² + σ_data²), c_in = 1/√(σ² + σ_data²) become

        s = (a D − x)/v = −x/m² + (a σ_data/(√v m)) F(x/m, c_noise).

    Args:
        sigma_data: σ_data > 0, standard deviation of the data that the network was made for.
        clock: what it reads; c_noise = ¼ log σ in EDM.
        negated: the network says −F, as those of diffusers' EDM schedulers do under ``v_prediction``.

    Raises:
        ValueError: σ_data ≤ 0.

    Source: Karras et al. 2022 (arXiv 2206.00364), eqs. 3 and 7, table 1.

    >>> x = torch.ones(1, 2, dtype=torch.float64)
    >>> PreconditionedPrediction(1.0).score(0 * x, x, 0.5)  # the score of N(0, I)
    tensor([[-1., -1.]], dtype=torch.float64)
    """

    sigma_data: float = 0.5
    clock: Clock = field(default_factory=LogNoiseLevels)
    negated: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma_data", _checks.width("sigma_data", self.sigma_data))

    def affine(self, t: float | Tensor) -> Affine:
        """Scale 1/m, skip −1/m², gain a σ_data/(√v m), or minus that."""
        a, v = _spread(t)
        spread = v + (a * self.sigma_data) ** 2
        gain = a * self.sigma_data / (v * spread).sqrt()
        return Affine(spread.rsqrt(), -1 / spread, -gain if self.negated else gain)


@dataclass(frozen=True)
class DenoiserPrediction(Prediction):
    """A whole denoiser, N = D(y; σ) ≈ E[x_0 | y] of y = x/a = x_0 + σ n:  s = (a D(x/a; σ) − x)/v.

    In y itself this is (D(y; σ) − y)/σ², and ∇_x = ∇_y/a.

    Args:
        clock: what it reads; σ in EDM.

    Source: Karras et al. 2022 (arXiv 2206.00364), eq. 3.

    >>> x = torch.ones(1, 2, dtype=torch.float64)
    >>> DenoiserPrediction().output(-x, x, 0.5) / scale(0.5)  # where the score is that of N(0, I)
    tensor([[1., 1.]], dtype=torch.float64)
    """

    clock: Clock = field(default_factory=NoiseLevels)

    def affine(self, t: float | Tensor) -> Affine:
        """Scale 1/a, skip −1/v, gain a/v."""
        a, v = _spread(t)
        return Affine(1 / a, -1 / v, a / v)


def _spread(t: float | Tensor) -> tuple[Tensor, Tensor]:
    """Factor a(t) and variance v(t), in float64, of times t > 0."""
    when = _checks.noisy("t", _checks.real("t", t))
    return scale(when), variance(when)


def _beside(name: str, value: Tensor, x: Tensor) -> Tensor:
    if _checks.vectors(name, value, x).is_complex():
        _checks.refuse(f"{name}.dtype", value.dtype, "pass real numbers")
    return value.to(x.dtype)
