"""The Ornstein–Uhlenbeck forward process, its time grids and its random times.

Convention of time: data sit at t = 0, noise at t = T, and the process is

    dX = −½ X dt + dW,        X_0 ~ q,        t ∈ [0, T],

so that X_t given X_s is N(a(t−s) X_s, v(t−s) I) with

    a(t) = e^{−t/2},          v(t) = 1 − e^{−t}.

Generation stops early, at t0 > 0. The diffusion coefficient is 1, so energies carry no weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scoredrift import _checks


def scale(t: float | Tensor) -> Tensor:
    """Factor a(t) = e^{−t/2} by which the process shrinks its start.

    Args:
        t: time, any shape, t ≥ 0; a float counts as float64.

    Returns:
        a(t) ∈ (0, 1], same shape.

    Raises:
        ValueError: negative or NaN times.

    >>> float(scale(0.0))
    1.0
    """
    return torch.exp(-0.5 * _elapsed(t))


def variance(t: float | Tensor) -> Tensor:
    """Variance v(t) = 1 − e^{−t} of the noise that the process has added by time t.

    Args:
        t: time, any shape, t ≥ 0; a float counts as float64.

    Returns:
        v(t) ∈ [0, 1) for each coordinate, same shape.

    Raises:
        ValueError: negative or NaN times.

    >>> float(variance(0.0))
    0.0
    """
    return -torch.expm1(-_elapsed(t))


def _elapsed(t: float | Tensor) -> Tensor:
    try:
        value = t if isinstance(t, Tensor) else torch.as_tensor(t, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        _checks.refuse("t", repr(t)[:80], "pass a number or a tensor")
    if value.is_complex() or value.is_meta:
        _checks.refuse("t", f"a tensor of {value.dtype} on {value.device}", "pass real numbers")
    value = value.double() if value.dtype == torch.bool else value
    if not _checks.holds(value >= 0):  # also catches NaN
        _checks.refuse("t", float(value.min()), "pass times ≥ 0")
    return value


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """Forward process dX = −½ X dt + dW between the early-stopping time t0 and the horizon T.

    Args:
        t_min: early-stopping time t0, 0 < t0 < T.
        t_max: horizon T.

    Raises:
        ValueError: times that are not finite and positive, or t0 ≥ T.

    The defaults are those of the source paper (arXiv 2602.16601), known to us second-hand:
    t0 = 0.02, T = 4.

    >>> OrnsteinUhlenbeck().duration
    3.98
    """

    t_min: float = 0.02
    t_max: float = 4.0

    def __post_init__(self) -> None:
        for name in ("t_min", "t_max"):
            object.__setattr__(self, name, _checks.number(name, getattr(self, name), low=0.0, open_low=True))
        if not self.t_min < self.t_max:
            _checks.refuse("t_min", self.t_min, f"choose t_min < t_max = {self.t_max}")

    @property
    def duration(self) -> float:
        """Length L = T − t0 of the reverse process.

        >>> OrnsteinUhlenbeck(1.0, 3.0).duration
        2.0
        """
        return self.t_max - self.t_min

    def diffuse(
        self,
        x: Tensor,
        t_from: float | Tensor,
        t_to: float | Tensor,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """Draw X_{t_to} given X_{t_from} = x, exactly: a(Δ) x + √v(Δ) ξ with Δ = t_to − t_from.

        Args:
            x: states at ``t_from``, shape ``[n, d]``.
            t_from, t_to: times in [0, T], shape ``[]`` or ``[n]``, t_from ≤ t_to.
            generator: source of the Gaussian draws, on the device of ``x``.

        Returns:
            States at ``t_to``, shape ``[n, d]``.

        Raises:
            ValueError: times outside [0, T] or in the wrong order; x that is not a batch of finite
                points; a generator on another device.

        >>> g = torch.Generator().manual_seed(0)
        >>> OrnsteinUhlenbeck().diffuse(torch.zeros(3, 2), 0.0, 1.0, generator=g).shape
        torch.Size([3, 2])
        """
        _checks.points("x", x)
        _checks.generator_on(generator, x.device)
        start = _checks.times("t_from", t_from, x, 0.0, self.t_max)
        stop = _checks.times("t_to", t_to, x, 0.0, self.t_max)
        gap = stop - start
        if bool((gap < 0).any()):
            _checks.refuse(
                "t_to", f"t_from − {float(-gap.min()):.3g}", "the forward process needs t_from ≤ t_to"
            )
        gap = gap.reshape(-1, 1)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return scale(gap) * x + variance(gap).sqrt() * noise

    def uniform_grid(self, steps: int) -> Tensor:
        """K + 1 times from T down to t0 at equal distances: t_k = T − (T − t0) k/K, k = 0, …, K.

        Args:
            steps: number of steps K ≥ 1.

        Returns:
            Grid in the order of generation, shape ``[K + 1]``, float64, decreasing.

        Raises:
            ValueError: ``steps`` that is not a positive integer.

        >>> OrnsteinUhlenbeck(1.0, 3.0).uniform_grid(2)
        tensor([3., 2., 1.], dtype=torch.float64)
        """
        steps = _checks.count("steps", steps)
        return torch.linspace(self.t_max, self.t_min, steps + 1, dtype=torch.float64)

    def geometric_grid(self, steps: int) -> Tensor:
        """K + 1 times from T down to t0 in equal ratios: t_k = T (t0/T)^{k/K}, k = 0, …, K.

        The steps are small near t0, where the score is steep.

        Args:
            steps: number of steps K ≥ 1.

        Returns:
            Grid in the order of generation, shape ``[K + 1]``, float64, decreasing.

        Raises:
            ValueError: ``steps`` that is not a positive integer.

        >>> OrnsteinUhlenbeck(1.0, 4.0).geometric_grid(2)
        tensor([4., 2., 1.], dtype=torch.float64)
        """
        steps = _checks.count("steps", steps)
        logs = torch.linspace(math.log(self.t_max), math.log(self.t_min), steps + 1, dtype=torch.float64)
        grid = torch.exp(logs)
        grid[0], grid[-1] = self.t_max, self.t_min
        return grid


class RandomTimes(NamedTuple):
    """Times τ with the weights that turn means into integrals: E[w(τ) f(τ)] = ∫_{t0}^{T} f dt.

    Args:
        t: times τ in [t0, T], any shape.
        weight: w(τ), one over the density of τ, in units of time, same shape.

    >>> times = uniform_times(OrnsteinUhlenbeck(), torch.rand(3, generator=torch.Generator()))
    >>> times.t.shape, times.weight.shape
    (torch.Size([3]), torch.Size([3]))
    """

    t: Tensor
    weight: Tensor


class TimeSampler(Protocol):
    """A density of times between t0 and T, given by its quantiles, as ``uniform_times`` is.

    It maps numbers u that are uniform in [0, 1] to times with importance weights. Independent u give
    independent times, stratified u give stratified times.

    >>> sampler: TimeSampler = log_uniform_times
    >>> float(sampler(OrnsteinUhlenbeck(1.0, 4.0), torch.tensor(0.5)).t)
    2.0
    """

    def __call__(self, process: OrnsteinUhlenbeck, u: Tensor) -> RandomTimes:
        """Times at the quantiles u, a tensor of any shape; the result has its shape, in float64."""


def uniform_times(process: OrnsteinUhlenbeck, u: Tensor) -> RandomTimes:
    """Time τ = t0 + (T − t0) u, uniform on [t0, T], with the constant weight T − t0.

    Args:
        process: gives t0 and T.
        u: uniform numbers in [0, 1], any shape.

    Returns:
        Times and weights, shape of u, float64.

    Raises:
        ValueError: u that is not a floating tensor, or numbers outside [0, 1].

    >>> uniform_times(OrnsteinUhlenbeck(1.0, 3.0), torch.tensor([0.0, 1.0]))
    RandomTimes(t=tensor([1., 3.], dtype=torch.float64), weight=tensor([2., 2.], dtype=torch.float64))
    """
    u = _uniform(u)
    return RandomTimes(process.t_min + process.duration * u, torch.full_like(u, process.duration))


def log_uniform_times(process: OrnsteinUhlenbeck, u: Tensor) -> RandomTimes:
    """Time τ = t0 (T/t0)^u, with log τ uniform on [log t0, log T] and weight τ log(T/t0).

    Score errors peak near t0; this density, ∝ 1/τ, follows them there.

    Args:
        process: gives t0 and T.
        u: uniform numbers in [0, 1], any shape.

    Returns:
        Times and weights, shape of u, float64.

    Raises:
        ValueError: u that is not a floating tensor, or numbers outside [0, 1].

    >>> u = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    >>> tau, w = log_uniform_times(OrnsteinUhlenbeck(), u)
    >>> abs(float((w * tau).mean()) - 8) < 0.1  # ∫ t dt = (T² − t0²)/2 = 7.9998
    True
    """
    ratio = math.log(process.t_max / process.t_min)
    t = (process.t_min * torch.exp(ratio * _uniform(u))).clamp(process.t_min, process.t_max)
    return RandomTimes(t, t * ratio)


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Density of times that is constant between edges.

    Args:
        edges: from t0 to T, increasing, shape ``[B + 1]``, float64.
        shares: probability > 0 of each interval, sum one, shape ``[B]``, float64.

    Raises:
        ValueError: edges that do not increase, shares that do not fit them, are not positive or do not sum
            to one; on a call, edges that do not run from t0 to T, quantiles outside [0, 1].

    >>> two = StepTimes(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, 0.5]))
    >>> two(OrnsteinUhlenbeck(1.0, 4.0), torch.tensor([0.25, 0.75])).t.tolist()
    [1.5, 3.0]
    """

    edges: Tensor = field(repr=False)
    shares: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        _checks.on_intervals(self.edges, "shares", self.shares)
        if not bool((self.shares > 0).all()):
            _checks.refuse("shares", float(self.shares.min()), "pass probabilities > 0")
        _checks.sum_to_one("shares", self.shares)

    def __call__(self, process: OrnsteinUhlenbeck, u: Tensor) -> RandomTimes:
        """Times at the quantiles u, with weights; arguments as for ``TimeSampler``."""
        u, edges, shares = _uniform(u), self.edges.detach().double(), self.shares.double()
        ends_here, wanted = edges[[0, -1]].tolist(), (process.t_min, process.t_max)
        if any(abs(one - other) > 1e-6 * (1 + other) for one, other in zip(ends_here, wanted, strict=True)):
            _checks.refuse(
                "edges", f"from {ends_here[0]:.4g} to {ends_here[1]:.4g}", f"run them over {wanted}"
            )
        ends, width = shares.cumsum(0), edges.diff()
        place = torch.searchsorted(ends[:-1], u.contiguous())
        into = (u - (ends - shares)[place]) / shares[place]
        t = (edges[:-1][place] + width[place] * into).clamp(process.t_min, process.t_max)
        return RandomTimes(t, (width / shares)[place])


def random_times(
    sampler: TimeSampler, process: OrnsteinUhlenbeck, n: int, *, generator: torch.Generator
) -> RandomTimes:
    """Draw n independent times.

    Args:
        sampler: density of the times.
        process: gives t0 and T.
        n: number of times, ≥ 1.
        generator: source of randomness; the times are on its device.

    Returns:
        Times and weights, each ``[n]``, float64.

    Raises:
        ValueError: n that is not a positive integer, or no ``torch.Generator``.

    >>> g = torch.Generator().manual_seed(0)
    >>> float(random_times(uniform_times, OrnsteinUhlenbeck(), 4, generator=g).weight[0])
    3.98
    """
    n = _checks.count("n", n)
    _checks.generator_on(generator)
    if not callable(sampler):
        _checks.refuse(
            "sampler", f"a {type(sampler).__name__}", "pass uniform_times, log_uniform_times or the like"
        )
    return sampler(process, torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device))


def _uniform(u: Tensor) -> Tensor:
    _checks.floating("u", u)
    if not bool(((u >= 0) & (u <= 1)).all()):
        _checks.refuse("u", float(u.max() if bool((u > 1).any()) else u.min()), "pass numbers in [0, 1]")
    return u.double()
