"""Laws with exact scores: what every law in this package can do, and blends of laws.

A law q of points in R^d knows how to draw from itself and what its Ornstein–Uhlenbeck flow q_t looks
like at a point: log q_t, the score ∇ log q_t and the divergence of the score. A blend

    q = Σ_i π_i q_i            (training mixtures q = α p + (1−α) p̂ are blends of two)

inherits all three. With r_i = π_i q_i / q the posterior probability of part i, s_i = ∇ log q_i,

    ∇ log q = Σ r_i s_i,        ∇·∇ log q = Σ r_i (∇·s_i + ‖s_i‖²) − ‖∇ log q‖²,

and since the flow is linear in the law, the same holds at every time t.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
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
class Blend(Law):
    """Blend q = Σ_i π_i q_i of laws of any kind; its flow is the blend of their flows.

    Args:
        weights: π_i > 0, sum one.
        laws: the parts q_i, in one dimension, dtype and device.

    Raises:
        ValueError: no parts, weights that are not positive or do not sum to one, or parts that do
            not match.

    >>> from scoredrift.laws import mixture_of_five
    >>> p = mixture_of_five()
    >>> x = torch.ones(1, 10, dtype=torch.float64)
    >>> both = Blend((0.25, 0.75), (p, p.blur(1.0))).at(x).score
    >>> torch.allclose(both, p.blend(p.blur(1.0), 0.25).at(x).score)
    True
    """

    weights: Sequence[float]
    laws: Sequence[Law]

    def __post_init__(self) -> None:
        for name, parts in (("weights", self.weights), ("laws", self.laws)):
            _checks.listed(name, parts)
        if len(self.laws) == 0 or len(self.weights) != len(self.laws):
            count = f"{len(self.weights)} weights for {len(self.laws)} laws"
            _checks.refuse("weights", count, "pass one weight for each of one or more laws")
        for weight in self.weights:
            _checks.number("weights", weight, low=0.0, high=1.0, open_low=True)
        if abs(sum(self.weights) - 1) > 1e-9:
            _checks.refuse("weights", f"sum {sum(self.weights)}", "weights sum to one; divide by their sum")
        for law in self.laws:
            _checks.able("laws", law, "dim", "dtype", "device")
        first = self.laws[0]
        for law in self.laws[1:]:
            for name in ("dim", "dtype", "device"):
                here, there = getattr(law, name), getattr(first, name)
                if here != there:
                    _checks.refuse(f"laws.{name}", here, f"the first law has {there}; convert one of them")

    def __repr__(self) -> str:
        return summary(self, f"{len(self.laws)} laws")

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Blend:
        """The blend of the parts on another device or in another precision; as for ``Law.to``."""
        _checks.target(device, dtype)
        return Blend(self.weights, [law.to(device=device, dtype=dtype) for law in self.laws])

    @property
    def dim(self) -> int:
        """Dimension d of the parts."""
        return self.laws[0].dim

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parts."""
        return self.laws[0].dtype

    @property
    def device(self) -> torch.device:
        """Device of the parts."""
        return self.laws[0].device

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n independent points: part i with probability π_i, then a point of that part.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the parts.

        Returns:
            Points, shape ``[n, d]``, in random order.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.
        """
        _checks.count("n", n)
        _checks.generator_on(generator, self.device)
        chances = torch.tensor(
            [float(weight) for weight in self.weights], dtype=torch.float64, device=self.device
        )
        part = torch.multinomial(chances, n, replacement=True, generator=generator)
        points = torch.empty(n, self.dim, dtype=self.dtype, device=self.device)
        for i, law in enumerate(self.laws):
            mine = part == i
            if bool(mine.any()):
                points[mine] = law.sample(int(mine.sum()), generator=generator)
        return points

    @_numerics.own_precision
    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence of the flow at time t, formulas above.

        Args:
            x: points, shape ``[n, d]``.
            t: time ≥ 0, shape ``[]`` or ``[n]``.

        Raises:
            ValueError: what the parts refuse.
        """
        parts = [law.at(x, t) for law in self.laws]
        chances = torch.tensor(self.weights, dtype=x.dtype, device=x.device)
        logits = torch.stack([part.log_density for part in parts], dim=1) + chances.log()
        share = torch.softmax(logits, dim=1)
        scores = torch.stack([part.score for part in parts], dim=1)
        own = torch.stack([part.score_divergence for part in parts], dim=1)
        score = (share[:, :, None] * scores).sum(1)
        # Σ r ‖s_i‖² − ‖s‖² would be a small difference of large numbers far from all parts.
        scatter = (scores - score[:, None]).square().sum(2)
        return Evaluation(torch.logsumexp(logits, dim=1), score, (share * (own + scatter)).sum(1))


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
