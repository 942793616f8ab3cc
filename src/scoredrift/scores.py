"""Scores, exact and learned, and the error between them.

A score is a vector field s(x, t) with a divergence; anything with these two methods will do:

    s(x, t)            x: [n, d], t: [] or [n]   →  [n, d]
    s.divergence(x, t)                           →  [n]

The error of a learned score, e = ŝ − s*, enters the theory through its size ‖e‖² (energy) and
through the Langevin–Stein operator of the exact law,

    𝒜_t e = ∇·e + e·s* = (1/q_t) ∇·(q_t e),        E_{q_t}[𝒜_t e] = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.laws import Evaluation, Law
from scoredrift.process import OrnsteinUhlenbeck


class Score(Protocol):
    """A score model: a vector field in x and t with its divergence in x.

    >>> shrink: Score = FunctionScore(lambda x, t: -x)
    >>> shrink(torch.ones(1, 2), 1.0)
    tensor([[-1., -1.]])
    """

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value s(x, t), shape ``[n, d]``.

        Args:
            x: points, shape ``[n, d]``.
            t: time, shape ``[]`` or ``[n]``.
        """

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·s(x, t) = Σ_j ∂s_j/∂x_j, shape ``[n]``; Args as for the value."""


@dataclass(frozen=True)
class FlowScore:
    """Score ∇ log q_t(x) of the Ornstein–Uhlenbeck flow of a law: exact for q, learned for others.

    With the law of the data it is s*; with a kernel-density estimate it is the learned ŝ of the
    mixture experiment. Its methods take x ``[n, d]`` and t ``[]`` or ``[n]``.

    Args:
        law: law q of X_0: a Gaussian mixture, a kernel density, a blend of such.
        process: forward process; times outside its [t0, T] are refused.

    Raises:
        ValueError: on a call, times outside [t0, T] or points that do not fit the law in
            shape, dtype or device, or are not finite.

    >>> from scoredrift.mixtures import GaussianMixture
    >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    >>> FlowScore(q, OrnsteinUhlenbeck())(torch.tensor([[1.0, -2.0]]), 0.5)
    tensor([[-1.,  2.]])
    """

    law: Law
    process: OrnsteinUhlenbeck

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value ∇ log q_t(x), shape ``[n, d]``."""
        return self.at(x, t).score

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·∇ log q_t(x), shape ``[n]``; arguments as for the class.

        >>> from scoredrift.mixtures import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> FlowScore(q, OrnsteinUhlenbeck()).divergence(torch.zeros(1, 2), 0.5)
        tensor([-2.])
        """
        return self.at(x, t).score_divergence

    def log_density(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Log-density log q_t(x) in nats, shape ``[n]``; arguments as for the class.

        >>> from scoredrift.mixtures import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> FlowScore(q, OrnsteinUhlenbeck()).log_density(torch.zeros(1, 2), 0.5)
        tensor([-1.8379])
        """
        return self.at(x, t).log_density

    def at(self, x: Tensor, t: float | Tensor) -> Evaluation:
        """Log-density, score and divergence from one evaluation; arguments as for the class.

        >>> from scoredrift.mixtures import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> FlowScore(q, OrnsteinUhlenbeck()).at(torch.zeros(1, 2), 0.5).score_divergence
        tensor([-2.])
        """
        _checks.points("x", x)
        when = _checks.times("t", t, x, self.process.t_min, self.process.t_max)
        return self.law.at(x, when)


@dataclass(frozen=True)
class FunctionScore:
    """Any function of (x, t) as a score; its divergence is the exact trace of its Jacobian.

    The trace takes d backward passes, so this is for low dimension and for checks.

    Args:
        function: maps x ``[n, d]`` and t (``[]`` or ``[n]``) to ``[n, d]``, row by row.

    Raises:
        ValueError: on a call, x that is not a batch of finite points, or a value of another shape.

    >>> shrink = FunctionScore(lambda x, t: -x)
    >>> shrink.divergence(torch.ones(2, 3), 1.0)
    tensor([-3., -3.])
    """

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value of the function, shape ``[n, d]``."""
        _checks.points("x", x)
        value = self.function(x, torch.as_tensor(t, dtype=x.dtype, device=x.device))
        return _checks.vectors("function(x, t)", value, x)

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence Σ_j ∂s_j/∂x_j by reverse-mode differentiation, shape ``[n]``.

        >>> FunctionScore(lambda x, t: x**2).divergence(torch.ones(1, 2), 1.0)
        tensor([4.])
        """
        with torch.enable_grad():
            inputs = x.detach().requires_grad_(True)
            values = self(inputs, t)
            trace = torch.zeros(len(x), dtype=x.dtype, device=x.device)
            if not values.requires_grad:  # the field does not depend on x
                return trace
            for j in range(x.shape[1]):
                (row,) = torch.autograd.grad(
                    values[:, j].sum(), inputs, retain_graph=True, materialize_grads=True
                )
                trace = trace + row[:, j]
        return trace.detach()


@dataclass(frozen=True)
class ConstantField:
    """The field e(x, t) = c: same push everywhere and always; divergence zero.

    Args:
        value: c, shape ``[d]``, in inverse units of the data if it is a score error.

    Raises:
        ValueError: c that is not one finite vector; on a call, points that do not fit it.

    >>> ConstantField(torch.tensor([0.5, 0.0]))(torch.zeros(1, 2), 1.0)
    tensor([[0.5000, 0.0000]])
    """

    value: Tensor

    def __post_init__(self) -> None:
        _checks.floating("value", self.value)
        if self.value.ndim != 1:
            _checks.refuse("value.shape", list(self.value.shape), "pass one vector of shape [d]")

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value c for every point, shape ``[n, d]``."""
        _checks.points("x", x, self.value.numel(), like=self.value)
        return self.value.expand_as(x)

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Zero, shape ``[n]``.

        >>> ConstantField(torch.ones(2)).divergence(torch.zeros(1, 2), 1.0)
        tensor([0.])
        """
        _checks.points("x", x, self.value.numel(), like=self.value)
        return torch.zeros(len(x), dtype=x.dtype, device=x.device)


@dataclass(frozen=True)
class SumScore:
    """Sum of two fields, so an exact score with an injected error: ŝ = s* + e.

    Args:
        first, second: the two fields; what they refuse is refused.

    >>> shifted = SumScore(FunctionScore(lambda x, t: -x), ConstantField(torch.ones(1)))
    >>> shifted(torch.zeros(1, 1), 1.0)
    tensor([[1.]])
    """

    first: Score
    second: Score

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Sum of the two values, shape ``[n, d]``."""
        return self.first(x, t) + self.second(x, t)

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Sum of the two divergences, shape ``[n]``.

        >>> shifted = SumScore(FunctionScore(lambda x, t: -x), ConstantField(torch.ones(1)))
        >>> shifted.divergence(torch.zeros(1, 1), 1.0)
        tensor([-1.])
        """
        return self.first.divergence(x, t) + self.second.divergence(x, t)


@dataclass(frozen=True)
class ScoreError:
    """Score error e = ŝ − s* with its divergence and its Stein operator.

    Args:
        learned: ŝ.
        exact: s*, the score of the law that ŝ was meant to learn; what the two refuse is refused.

    >>> from scoredrift.mixtures import GaussianMixture
    >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1))
    >>> exact = FlowScore(q, OrnsteinUhlenbeck())
    >>> blurred = FlowScore(q.blur(1.0), OrnsteinUhlenbeck())
    >>> bool(ScoreError(blurred, exact)(torch.ones(1, 1), 0.02) > 0)  # a blur pulls outwards
    True
    """

    learned: Score
    exact: Score

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Error e(x, t) = ŝ(x, t) − s*(x, t), shape ``[n, d]``."""
        return self.learned(x, t) - self.exact(x, t)

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·e(x, t) = ∇·ŝ − ∇·s*, shape ``[n]``.

        >>> double, single = FunctionScore(lambda x, t: -2 * x), FunctionScore(lambda x, t: -x)
        >>> ScoreError(double, single).divergence(torch.ones(1, 2), 1.0)
        tensor([-2.])
        """
        return self.learned.divergence(x, t) - self.exact.divergence(x, t)

    def stein(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Langevin–Stein operator (𝒜_t e)(x) = ∇·e + e·s*, shape ``[n]``.

        Source: the Langevin–Stein operator of q_t; its mean under q_t is zero.

        Args:
            x: points, shape ``[n, d]``.
            t: time, shape ``[]`` or ``[n]``.

        >>> double, single = FunctionScore(lambda x, t: -2 * x), FunctionScore(lambda x, t: -x)
        >>> ScoreError(double, single).stein(torch.ones(1, 2), 1.0)  # −d + ‖x‖²
        tensor([0.])
        """
        return self.divergence(x, t) + (self(x, t) * self.exact(x, t)).sum(1)
