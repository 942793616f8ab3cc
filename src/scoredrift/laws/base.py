"""Laws with exact scores: what every law in this package can do, and the law of X_t.

A law q of points in R^d knows how to draw from itself and what its Ornstein–Uhlenbeck flow q_t looks
like at a point: log q_t, the score ∇ log q_t and the divergence of the score.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift import process as ou


class Evaluation(NamedTuple):
    """A law at n points and one time.

    Args:
        log_density: log q_t(x) in nats, shape ``[n]``.
        score: ∇ log q_t(x), shape ``[n, d]``, in inverse units of the data.
        score_divergence: ∇·∇ log q_t(x), shape ``[n]``, in inverse squared units of the data.

    >>> Evaluation(torch.zeros(1), torch.zeros(1, 2), torch.zeros(1)).score.shape
    torch.Size([1, 2])
    """

    log_density: Tensor
    score: Tensor
    score_divergence: Tensor


class Source(Protocol):
    """Anything that draws points: a generative model, as the recursion sees it."""

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n independent points, shape ``[n, d]``."""


class Law(ABC):
    """A law with a density, whose Ornstein–Uhlenbeck flow is known exactly.

    All else follows from the flow ``at`` points. A law of your own gives ``sample``, ``at`` and

        dim: dimension d;
        dtype: precision of the parameters, and so of all results;
        device: where the parameters live.

    >>> from scoredrift.laws import mixture_of_five
    >>> law: Law = mixture_of_five()
    >>> law.at(torch.zeros(1, 10, dtype=torch.float64), 0.5).score.shape
    torch.Size([1, 10])
    """

    if TYPE_CHECKING:  # fields, class attributes or properties of the laws

        @property
        def dim(self) -> int:
            """Dimension d."""

        @property
        def dtype(self) -> torch.dtype:
            """Precision."""

        @property
        def device(self) -> torch.device:
            """Device."""

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n independent points, shape ``[n, d]``."""

    @abstractmethod
    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence at the points, for the law of X_t when X_0 ~ q.

        Args:
            x: points, shape ``[n, d]``.
            t: time ≥ 0, shape ``[]`` or ``[n]``.
        """

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density log q(x).

        Args:
            x: points, shape ``[n, d]``, in the dtype and on the device of the law.

        Returns:
            log q in nats, shape ``[n]``.

        Raises:
            ValueError: points of another shape, dtype or device, or not finite.

        >>> from scoredrift.laws import KernelDensity
        >>> KernelDensity(torch.zeros(5, 1), 1.0).log_density(torch.zeros(1, 1))
        tensor([-0.9189])
        """
        return self.at(x).log_density

    def score(self, x: Tensor) -> Tensor:
        """Score ∇ log q(x); Args and Raises as for ``log_density``.

        Returns:
            Score, shape ``[n, d]``, in inverse units of the data.

        >>> from scoredrift.laws import KernelDensity
        >>> KernelDensity(torch.zeros(5, 1), 1.0).score(torch.ones(1, 1))
        tensor([[-1.]])
        """
        return self.at(x).score

    def score_divergence(self, x: Tensor) -> Tensor:
        """Divergence of the score, ∇·∇ log q(x); Args and Raises as for ``log_density``.

        Returns:
            Divergence, shape ``[n]``, in inverse squared units of the data.

        >>> from scoredrift.laws import KernelDensity
        >>> KernelDensity(torch.zeros(5, 2), 1.0).score_divergence(torch.ones(1, 2))
        tensor([-2.])
        """
        return self.at(x).score_divergence

    def diffuse(self, t: float) -> Law:
        """Law of X_t when X_0 follows this law.

        Args:
            t: time ≥ 0.

        Raises:
            ValueError: t that is negative or not finite.

        >>> from scoredrift.laws import Blend
        >>> from scoredrift.laws import mixture_of_five
        >>> p = mixture_of_five()
        >>> Blend((0.5, 0.5), (p, p.blur(1.0))).diffuse(0.5)
        Marginal(Blend(2 laws, d = 10, float64), t = 0.5)
        """
        return Marginal(self, t)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Law:
        """The same law on another device or in another precision.

        Args:
            device: new device; None keeps the old one.
            dtype: float32 or float64; None keeps the old one.

        Raises:
            ValueError: another dtype, or a law of your own that does not say how.

        >>> from scoredrift.laws import mixture_of_five
        >>> Marginal(mixture_of_five(), 0.5).to(dtype=torch.float32).dtype
        torch.float32
        """
        if device not in (None, self.device, str(self.device)) or dtype not in (None, self.dtype):
            wanted = ", ".join(str(value) for value in (device, dtype) if value is not None)
            _checks.refuse(f"{type(self).__name__}.to", wanted, "define to(device=, dtype=) in this class")
        return self

    def __repr__(self) -> str:
        return summary(self)


def summary(law: Law, *first: str) -> str:
    """Short text of a law: its kind, ``first``, dimension, precision, and device other than the CPU.

    >>> from scoredrift.laws import KernelDensity
    >>> summary(KernelDensity(torch.zeros(5, 2), 1.0), "5 centres")
    'KernelDensity(5 centres, d = 2, float32)'
    """
    _checks.able("law", law, "dim", "dtype", "device")
    words = [*first, f"d = {law.dim}", str(law.dtype).removeprefix("torch.")]
    if law.device.type != "cpu":
        words.append(str(law.device))
    return f"{type(law).__name__}({', '.join(words)})"


def elapsed(t: float | Tensor, x: Tensor) -> Tensor:
    """Time of the flow beside the points, as a column: ``[1, 1]`` or ``[n, 1]``, in their dtype.

    After a time of 60 (in float64: 400) a law is N(0, I) to the last digit while e^{t/2} soon leaves
    the range of numbers, so later times are taken as that time.

    Args:
        t: time ≥ 0, shape ``[]`` or ``[n]``.
        x: points, shape ``[n, d]``.

    Raises:
        ValueError: negative, NaN or infinite times, or another shape.

    >>> elapsed(0.5, torch.zeros(3, 2))
    tensor([[0.5000]])
    """
    _checks.floating("x", x)
    value = _checks.times("t", t, x, 0.0, math.inf)
    if not _checks.finite(value):
        _checks.refuse("t", float(value.max()), "pass finite times ≥ 0")
    return value.clamp(max=60.0 if x.dtype == torch.float32 else 400.0).reshape(-1, 1)


@dataclass(frozen=True, eq=False, repr=False)
class Marginal(Law):
    """Law q_t of X_t when X_0 ~ q, for a law of any kind: to draw from and to compare densities.

    Args:
        law: q.
        t: time ≥ 0.

    Raises:
        ValueError: a negative time, or one that is not finite.

    >>> from scoredrift.laws import mixture_of_five
    >>> p, x = mixture_of_five(), torch.ones(1, 10, dtype=torch.float64)
    >>> torch.allclose(Marginal(p, 0.5).log_density(x), p.diffuse(0.5).log_density(x))
    True
    """

    law: Law
    t: float

    def __post_init__(self) -> None:
        _checks.able("law", self.law, "at", "dim")
        object.__setattr__(self, "t", _checks.number("t", self.t, low=0.0))

    def __repr__(self) -> str:
        return f"Marginal({self.law!r}, t = {self.t:g})"

    @property
    def dim(self) -> int:
        """Dimension d of the law."""
        return self.law.dim

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the law."""
        return self.law.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.law.device

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n independent points a(t) X_0 + √v(t) ξ, shape ``[n, d]``.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the law.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.
        """
        x = self.law.sample(n, generator=generator)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return float(ou.scale(self.t)) * x + float(ou.variance(self.t)) ** 0.5 * noise

    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence at a later time: (q_s)_t = q_{s+t}.

        Args:
            x: points, shape ``[n, d]``.
            t: time ≥ 0 after that of this law, shape ``[]`` or ``[n]``.

        Raises:
            ValueError: what the law refuses, or negative times.
        """
        _checks.points("x", x, self.dim)
        return self.law.at(x, self.t + _checks.times("t", t, x, 0.0, math.inf))

    def diffuse(self, t: float) -> Law:
        """Law of X_{s+t}, where s is the time of this one; t ≥ 0 as for ``Law.diffuse``."""
        return self.law.diffuse(self.t + _checks.number("t", t, low=0.0))

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Marginal:
        """The same marginal of the law on another device or in another precision; as for ``Law.to``."""
        _checks.target(device, dtype)
        return Marginal(self.law.to(device=device, dtype=dtype), self.t)
