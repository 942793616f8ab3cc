"""Scores: vector fields in space and time that know their divergence.

A score is a vector field s(x, t) with a divergence; anything with these three methods will do:

    s(x, t)                            x: [n, d], t: [] or [n]   →  [n, d]
    s.divergence(x, t)                 ∇·s                       →  [n]
    s.value_and_divergence(x, t)       both, often for the price of one

The same holds for any field e(x, t) that may be added to a score: see ``InjectedField``.
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

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value ``[n, d]`` and divergence ``[n]`` together; Args as for the value."""


@dataclass(frozen=True)
class Flow:
    """Score ∇ log q_t(x) of the Ornstein–Uhlenbeck flow of a law: exact for q, learned for others.

    With the law of the data it is s*; with a kernel-density estimate it is the learned ŝ of the
    mixture experiment. Its methods take x ``[n, d]`` and t ``[]`` or ``[n]``.

    Args:
        law: law q of X_0: a Gaussian mixture, a kernel density, a blend of such.
        process: forward process; times outside its [t0, T] are refused.

    Raises:
        ValueError: on a call, times outside [t0, T] or points that do not fit the law in
            shape, dtype or device, or are not finite.

    >>> from scoredrift.laws import GaussianMixture
    >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    >>> Flow(q, OrnsteinUhlenbeck())(torch.tensor([[1.0, -2.0]]), 0.5)
    tensor([[-1.,  2.]])
    """

    law: Law
    process: OrnsteinUhlenbeck

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value ∇ log q_t(x), shape ``[n, d]``."""
        return self.at(x, t).score

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·∇ log q_t(x), shape ``[n]``; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).divergence(torch.zeros(1, 2), 0.5)
        tensor([-2.])
        """
        return self.at(x, t).score_divergence

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value and divergence from one evaluation; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).value_and_divergence(torch.ones(1, 2), 0.5)
        (tensor([[-1., -1.]]), tensor([-2.]))
        """
        found = self.at(x, t)
        return found.score, found.score_divergence

    def log_density(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Log-density log q_t(x) in nats, shape ``[n]``; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).log_density(torch.zeros(1, 2), 0.5)
        tensor([-1.8379])
        """
        return self.at(x, t).log_density

    def at(self, x: Tensor, t: float | Tensor) -> Evaluation:
        """Log-density, score and divergence from one evaluation; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).at(torch.zeros(1, 2), 0.5).score_divergence
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
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value ``[n, d]`` and divergence ``[n]``; arguments as for the class.

        >>> FunctionScore(lambda x, t: x**2).value_and_divergence(torch.ones(1, 2), 1.0)
        (tensor([[1., 1.]]), tensor([4.]))
        """
        with torch.enable_grad():
            inputs = x.detach().requires_grad_(True)
            values = self(inputs, t)
            trace = torch.zeros(len(x), dtype=x.dtype, device=x.device)
            if values.requires_grad:  # else the field does not depend on x
                for j in range(x.shape[1]):
                    (row,) = torch.autograd.grad(
                        values[:, j].sum(), inputs, retain_graph=True, materialize_grads=True
                    )
                    trace = trace + row[:, j]
        return values.detach(), trace.detach()


@dataclass(frozen=True)
class ProbedScore:
    """Any function of (x, t) as a score, its divergence estimated by random probes (Hutchinson).

        ∇·s ≈ (1/R) Σ_r z_r · ∂_x(z_r · s),        z_r ∈ {−1, 1}^d at random, new in every call.

    The estimate is unbiased, so what is linear in it stays unbiased; R backward passes instead of d.
    Source: Hutchinson 1990 (doi 10.1080/03610919008812866).

    Args:
        function: maps x ``[n, d]`` and t (``[]`` or ``[n]``) to ``[n, d]``, row by row.
        probes: R ≥ 1.
        generator: source of the probes, on the device of the points.

    Raises:
        ValueError: R < 1; on a call, what ``FunctionScore`` refuses, or a generator on another device.

    >>> probed = ProbedScore(lambda x, t: -x, 1, torch.Generator().manual_seed(0))
    >>> probed.divergence(torch.ones(2, 3), 1.0)  # exact, since the Jacobian is diagonal
    tensor([-3., -3.])
    """

    function: Callable[[Tensor, Tensor], Tensor]
    probes: int
    generator: torch.Generator

    def __post_init__(self) -> None:
        _checks.count("probes", self.probes)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value of the function, shape ``[n, d]``."""
        return FunctionScore(self.function)(x, t)

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Unbiased estimate of the divergence, shape ``[n]``.

        >>> spin = ProbedScore(lambda x, t: x.flip(1), 1, torch.Generator().manual_seed(0))
        >>> bool((spin.divergence(torch.ones(5, 2), 1.0).abs() == 2).all())  # 2 z_1 z_2, mean zero
        True
        """
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value ``[n, d]`` and the estimate of its divergence ``[n]``; arguments as for the class.

        >>> probed = ProbedScore(lambda x, t: -x, 1, torch.Generator().manual_seed(0))
        >>> probed.value_and_divergence(torch.ones(1, 2), 1.0)
        (tensor([[-1., -1.]]), tensor([-2.]))
        """
        _checks.points("x", x)
        _checks.generator_on(self.generator, x.device)
        with torch.enable_grad():
            inputs = x.detach().requires_grad_(True)
            values = self(inputs, t)
            trace = torch.zeros(len(x), dtype=x.dtype, device=x.device)
            for _ in range(self.probes if values.requires_grad else 0):
                coin = torch.rand(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
                probe = torch.where(coin < 0.5, -1.0, 1.0).to(x.dtype)
                (row,) = torch.autograd.grad((values * probe).sum(), inputs, retain_graph=True)
                trace = trace + (row * probe).sum(1) / self.probes
        return values.detach(), trace.detach()


@dataclass(frozen=True)
class SumScore:
    """Sum of two fields, for instance of an exact score and an injected error: ŝ = s* + e.

    Args:
        first, second: the two fields; what they refuse is refused.

    >>> total = SumScore(FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: x + 1))
    >>> total(torch.zeros(1, 1), 1.0)
    tensor([[1.]])
    """

    first: Score
    second: Score

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Sum of the two values, shape ``[n, d]``."""
        return self.first(x, t) + self.second(x, t)

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Sum of the two divergences, shape ``[n]``.

        >>> total = SumScore(FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: 3 * x))
        >>> total.divergence(torch.zeros(1, 1), 1.0)
        tensor([2.])
        """
        return self.first.divergence(x, t) + self.second.divergence(x, t)

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Sums of the values and of the divergences, ``[n, d]`` and ``[n]``.

        >>> total = SumScore(FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: 3 * x))
        >>> total.value_and_divergence(torch.ones(1, 1), 1.0)
        (tensor([[2.]]), tensor([2.]))
        """
        (one, its_divergence), (other, own) = (
            part.value_and_divergence(x, t) for part in (self.first, self.second)
        )
        return one + other, its_divergence + own
