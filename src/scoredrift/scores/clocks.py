"""Clocks of networks: what they want to be told about the noise, from our time and back.

A network was trained on x = a x_0 + √v ε with a table of ᾱ_k, or on x_0 + σ n. In our time

    ᾱ = a(t)² = e^{−t},        σ² = (1 − ᾱ)/ᾱ = v(t)/a(t)² = e^t − 1,

so that t = −log ᾱ = log(1 + σ²). A clock maps t > 0 to its reading, an index k, σ or ¼ log σ, and back,
between the ends t_min and t_max of what the network was trained on. It computes in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from scoredrift import _checks


class Clock(Protocol):
    """What a network reads at our time t, between t_min and t_max, as ``OwnTime`` does.

    >>> clock: Clock = LogNoiseLevels()
    >>> round(float(clock(math.log(1 + math.exp(2)))), 12)  # σ = e
    0.25
    """

    @property
    def t_min(self) -> float:
        """First time that the clock knows."""

    @property
    def t_max(self) -> float:
        """Last time that the clock knows."""

    def __call__(self, t: float | Tensor) -> Tensor:
        """Reading at time t of any shape, same shape, float64."""

    def time(self, reading: float | Tensor) -> Tensor:
        """Time of a reading of any shape, same shape, float64."""


@dataclass(frozen=True)
class OwnTime:
    """The clock of networks that are trained in our time: the reading is t.

    Args:
        t_min, t_max: ends of the times that the network was trained on.

    Raises:
        ValueError: ends that are not 0 ≤ t_min < t_max; on a call, times outside them, or t = 0.

    >>> OwnTime()(0.5)
    tensor(0.5000, dtype=torch.float64)
    """

    t_min: float = 0.0
    t_max: float = math.inf

    def __post_init__(self) -> None:
        _ends(self, "t_min", "t_max")

    def __call__(self, t: float | Tensor) -> Tensor:
        """Time t itself."""
        return _within(self, t)

    def time(self, reading: float | Tensor) -> Tensor:
        """Time t itself."""
        return _within(self, reading, "reading")


@dataclass(frozen=True, eq=False, repr=False)
class Timesteps:
    """The clock of discrete chains: t_k = −log ᾱ_k at timestep k, in between by interpolation.

    Between two timesteps k is linear in log σ, as where diffusers turns σ into timesteps; readings are
    fractions then, which sinusoidal embeddings take. A last ᾱ of zero ("zero terminal SNR") is at t = ∞: the
    clock ends one timestep before it.

    Args:
        alphas_cumprod: ᾱ_k, shape ``[K]``, decreasing, in (0, 1): for DDPM, DDIM, Euler and other schedulers
            of diffusers, ``scheduler.alphas_cumprod``.

    Raises:
        ValueError: ᾱ that is not such a table; on a call, times outside [t_0, t_{K−1}].

    Source: Ho et al. 2020 (arXiv 2006.11239), eq. 4, for ᾱ.

    >>> clock = Timesteps(torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64))
    >>> clock.time(torch.tensor([0.0, 1.0, 2.0])).neg().exp()
    tensor([0.9000, 0.5000, 0.1000], dtype=torch.float64)
    >>> clock(torch.tensor([-math.log(0.5), 1.5]))
    tensor([1.0000, 1.5678], dtype=torch.float64)
    """

    alphas_cumprod: Tensor

    def __post_init__(self) -> None:
        table = _checks.floating("alphas_cumprod", self.alphas_cumprod).detach().double()
        if table.ndim != 1 or len(table) < 2:
            _checks.refuse(
                "alphas_cumprod.shape", list(table.shape), "pass one number for each timestep, [K]"
            )
        if float(table[-1]) == 0.0:
            table = table[:-1]
        if len(table) < 2 or not bool(((table > 0) & (table < 1)).all() and (table.diff() < 0).all()):
            told = f"from {float(table[0]):.6g} to {float(table[-1]):.6g}"
            _checks.refuse("alphas_cumprod", told, "pass numbers in (0, 1) that decrease with the timestep")
        object.__setattr__(self, "alphas_cumprod", table)

    @cached_property
    def _log_sigma(self) -> Tensor:
        return 0.5 * torch.log((1 - self.alphas_cumprod) / self.alphas_cumprod)

    @property
    def t_min(self) -> float:
        """Time t_0 of the first timestep."""
        return -math.log(float(self.alphas_cumprod[0]))

    @property
    def t_max(self) -> float:
        """Time t_{K−1} of the last timestep."""
        return -math.log(float(self.alphas_cumprod[-1]))

    def __call__(self, t: float | Tensor) -> Tensor:
        """Timestep k at time t, a fraction between two."""
        t = _within(self, t)
        table = self._log_sigma.to(t.device)
        level = 0.5 * torch.log(torch.expm1(t))
        left = (torch.searchsorted(table, level.detach()) - 1).clamp(0, len(table) - 2)
        return (left + (level - table[left]) / (table[left + 1] - table[left])).clamp(0, len(table) - 1)

    def time(self, reading: float | Tensor) -> Tensor:
        """Time t_k of timestep k, or of a fraction between two."""
        k = _checks.real("reading", reading)
        table = self._log_sigma.to(k.device)
        last = len(table) - 1
        outside = ~((k >= -1e-6 * last) & (k <= last * (1 + 1e-6)))
        if not _checks.holds(~outside):
            _checks.refuse("reading", float(k[outside].flatten()[0]), f"pass timesteps in [0, {last}]")
        left = k.detach().floor().long().clamp(0, last - 1)
        level = table[left] + (k.clamp(0, last) - left) * (table[left + 1] - table[left])
        return torch.log1p(torch.exp(2 * level))


@dataclass(frozen=True)
class NoiseLevels:
    """The clock of networks that are told the noise: the reading is σ = √(e^t − 1), of x_0 + σ n.

    Args:
        sigma_min, sigma_max: ends of the noise levels that the network was trained on.

    Raises:
        ValueError: ends that are not 0 ≤ sigma_min < sigma_max; on a call, times outside them, or t = 0.

    Source: Karras et al. 2022 (arXiv 2206.00364), eq. 3.

    >>> NoiseLevels()(math.log(1 + 0.25))
    tensor(0.5000, dtype=torch.float64)
    """

    sigma_min: float = 0.0
    sigma_max: float = math.inf

    def __post_init__(self) -> None:
        _ends(self, "sigma_min", "sigma_max")

    @property
    def t_min(self) -> float:
        """Time of the lowest noise level."""
        return math.log1p(self.sigma_min**2)

    @property
    def t_max(self) -> float:
        """Time of the highest noise level."""
        return math.inf if math.isinf(self.sigma_max) else 2 * math.log(math.hypot(1.0, self.sigma_max))

    def __call__(self, t: float | Tensor) -> Tensor:
        """Noise level σ at time t."""
        return torch.expm1(_within(self, t)).sqrt()

    def time(self, reading: float | Tensor) -> Tensor:
        """Time log(1 + σ²) of a noise level σ."""
        sigma = _checks.real("reading", reading)
        if not _checks.holds(sigma > 0):
            _checks.refuse("reading", float(sigma.min()), "pass noise levels σ > 0")
        return _within(self, torch.log1p(sigma**2), "time of the reading")


@dataclass(frozen=True)
class LogNoiseLevels:
    """The clock of EDM: the reading is c_noise = ¼ log σ, σ = √(e^t − 1).

    Args:
        sigma_min, sigma_max: ends of the noise levels that the network was trained on.

    Raises:
        ValueError: as for ``NoiseLevels``.

    Source: Karras et al. 2022 (arXiv 2206.00364), table 1.

    >>> float(LogNoiseLevels().time(0.0)) == math.log(2)  # σ = 1
    True
    """

    sigma_min: float = 0.0
    sigma_max: float = math.inf

    def __post_init__(self) -> None:
        _ends(self, "sigma_min", "sigma_max")

    @property
    def t_min(self) -> float:
        """Time of the lowest noise level."""
        return NoiseLevels(self.sigma_min, self.sigma_max).t_min

    @property
    def t_max(self) -> float:
        """Time of the highest noise level."""
        return NoiseLevels(self.sigma_min, self.sigma_max).t_max

    def __call__(self, t: float | Tensor) -> Tensor:
        """Reading ¼ log σ at time t."""
        return torch.log(torch.expm1(_within(self, t))) / 8

    def time(self, reading: float | Tensor) -> Tensor:
        """Time log(1 + e^{8 r}) of a reading r."""
        return _within(
            self, torch.nn.functional.softplus(8 * _checks.real("reading", reading)), "time of the reading"
        )


def _within(clock: Clock, t: float | Tensor, name: str = "t") -> Tensor:
    """Times in float64, if they are positive and in the range of the clock."""
    value = _checks.real(name, t)
    low, high = clock.t_min * (1 - 1e-6), clock.t_max * (1 + 1e-6)  # float32 rounds times
    inside = (value > 0) & (value >= low) & (value <= high) & value.isfinite()
    if not _checks.holds(inside):
        worst = float(value[~inside].flatten()[0])
        span = f"pass times > 0 in [{clock.t_min:.6g}, {clock.t_max:.6g}], the range of the {type(clock).__name__}"
        _checks.refuse(name, f"{worst:.6g}", span)
    return value


def _ends(clock: Any, low: str, high: str) -> None:
    start = _checks.number(low, getattr(clock, low), low=0.0)
    stop = getattr(clock, high)
    stop = math.inf if stop == math.inf else _checks.number(high, stop, low=0.0)
    if not start < stop:
        _checks.refuse(low, start, f"choose {low} < {high} = {stop}")
    object.__setattr__(clock, low, start)
    object.__setattr__(clock, high, stop)
