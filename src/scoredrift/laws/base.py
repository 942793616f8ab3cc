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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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


class Law(Source, Protocol):
    """A law with a density, whose Ornstein–Uhlenbeck flow is known exactly.

    >>> from scoredrift.laws import mixture_of_five
    >>> law: Law = mixture_of_five()
    >>> law.at(torch.zeros(1, 10, dtype=torch.float64), 0.5).score.shape
    torch.Size([1, 10])
    """

    @property
    def dim(self) -> int:
        """Dimension d."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters, and so of all results."""

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density log q(x) in nats, shape ``[n]``."""

    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence at the points, for the law of X_t when X_0 ~ q.

        Args:
            x: points, shape ``[n, d]``.
            t: time ≥ 0, shape ``[]`` or ``[n]``.
        """


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
    value = _checks.times("t", t, x, 0.0, math.inf)
    if not _checks.finite(value):
        _checks.refuse("t", float(value.max()), "pass finite times ≥ 0")
    return value.clamp(max=60.0 if x.dtype == torch.float32 else 400.0).reshape(-1, 1)


@dataclass(frozen=True)
class Blend:
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
        if not self.laws or len(self.weights) != len(self.laws):
            count = f"{len(self.weights)} weights for {len(self.laws)} laws"
            _checks.refuse("weights", count, "pass one weight for each of one or more laws")
        for weight in self.weights:
            _checks.number("weights", weight, low=0.0, high=1.0, open_low=True)
        if abs(sum(self.weights) - 1) > 1e-9:
            _checks.refuse("weights", f"sum {sum(self.weights)}", "weights sum to one; divide by their sum")
        first = self.laws[0]
        for law in self.laws[1:]:
            for name in ("dim", "dtype", "device"):
                here, there = getattr(law, name), getattr(first, name)
                if here != there:
                    _checks.refuse(f"laws.{name}", here, f"the first law has {there}; convert one of them")

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
        chances = torch.tensor(self.weights, dtype=torch.float64, device=self.device)
        part = torch.multinomial(chances, n, replacement=True, generator=generator)
        points = torch.empty(n, self.dim, dtype=self.dtype, device=self.device)
        for i, law in enumerate(self.laws):
            mine = part == i
            if bool(mine.any()):
                points[mine] = law.sample(int(mine.sum()), generator=generator)
        return points

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density log q(x) = log Σ π_i q_i(x) in nats, shape ``[n]``; x as for ``at``."""
        return self.at(x).log_density

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
        log_density = torch.logsumexp(logits, dim=1)
        share = torch.exp(logits - log_density[:, None])
        scores = torch.stack([part.score for part in parts], dim=1)
        own = torch.stack([part.score_divergence for part in parts], dim=1)
        score = (share[:, :, None] * scores).sum(1)
        spread = (share * (own + scores.square().sum(2))).sum(1)
        return Evaluation(log_density, score, spread - score.square().sum(1))


@dataclass(frozen=True)
class Marginal:
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
        _checks.number("t", self.t, low=0.0)

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

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density log q_t(x) in nats, shape ``[n]``, at points ``[n, d]``."""
        return self.law.at(x, self.t).log_density
