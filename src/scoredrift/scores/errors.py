"""Score errors: learned against exact, or injected into an exact score.

The error e = ŝ − s* enters the theory through its size ‖e‖² (energy) and through the Langevin–Stein
operator of the exact law,

    𝒜_t e = ∇·e + e·s* = (1/q_t) ∇·(q_t e),        E_{q_t}[𝒜_t e] = 0.

Fields to inject are in ``scores.fields``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.scores.arithmetic import Score, SumScore, evaluated
from scoredrift.scores.base import FunctionScore


class ErrorEvaluation(NamedTuple):
    """A score error at n points.

    Args:
        value: e, shape ``[n, d]``, in inverse units of the data.
        divergence: ∇·e, shape ``[n]``, in inverse squared units of the data.
        exact: s*, shape ``[n, d]``.

    >>> ErrorEvaluation(torch.ones(1, 2), torch.zeros(1), torch.ones(1, 2)).stein
    tensor([2.])
    """

    value: Tensor
    divergence: Tensor
    exact: Tensor

    @property
    def stein(self) -> Tensor:
        """Langevin–Stein operator 𝒜_t e = ∇·e + e·s*, shape ``[n]``.

        Raises:
            ValueError: parts whose shapes do not fit.
        """
        for name, part in zip(self._fields, self, strict=True):
            if not isinstance(part, Tensor) or part.is_meta or part.dtype not in _checks.FLOATING:
                _checks.floating(name, part)  # which says what is wrong; NaN is for the estimators to place
        if self.value.ndim != 2:
            _checks.refuse("value.shape", list(self.value.shape), "pass one vector for each point, [n, d]")
        _checks.vectors("exact", self.exact, self.value)
        _checks.shape("divergence", self.divergence, [len(self.value)])
        return self.divergence + (self.value * self.exact).sum(1)


class ErrorField(Protocol):
    """A score error together with the exact score that it is an error of.

    >>> exact, push = FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: 0 * x + 1)
    >>> error: ErrorField = InjectedField(push, exact)
    """

    @property
    def learned(self) -> Score:
        """Learned score ŝ = s* + e."""

    @property
    def exact(self) -> Score:
        """Exact score s*."""

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Error e(x, t), ``[n, d]``, for x ``[n, d]`` and t ``[]`` or ``[n]``."""

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·e(x, t), ``[n]``."""

    def at(self, x: Tensor, t: float | Tensor) -> ErrorEvaluation:
        """Error, its divergence and the exact score together."""


@dataclass(frozen=True, eq=False)
class ScoreDifference:
    """Score error e = ŝ − s* of a learned score.

    Args:
        learned: ŝ.
        exact: s*, the score of the law that ŝ was meant to learn; what the two refuse is refused.

    >>> from scoredrift.laws import GaussianMixture
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import Flow
    >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1))
    >>> exact = Flow(q, OrnsteinUhlenbeck())
    >>> blurred = Flow(q.blur(1.0), OrnsteinUhlenbeck())
    >>> bool(ScoreDifference(blurred, exact)(torch.ones(1, 1), 0.02) > 0)  # a blur pulls outwards
    True
    """

    learned: Score
    exact: Score

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Error e(x, t) = ŝ(x, t) − s*(x, t), shape ``[n, d]``."""
        learned = _numerics.evaluate(self.learned, x, t, "learned(x, t)")
        return learned - _numerics.evaluate(self.exact, x, t, "exact(x, t)")

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·e(x, t) = ∇·ŝ − ∇·s*, shape ``[n]``.

        >>> double, single = FunctionScore(lambda x, t: -2 * x), FunctionScore(lambda x, t: -x)
        >>> ScoreDifference(double, single).divergence(torch.ones(1, 2), 1.0)
        tensor([-2.])
        """
        for name, score in (("learned", self.learned), ("exact", self.exact)):
            _checks.able(name, score, "divergence")
        learned, exact = self.learned.divergence(x, t), self.exact.divergence(x, t)
        _checks.shape("learned.divergence(x, t)", learned, [len(x)])
        return learned - _checks.shape("exact.divergence(x, t)", exact, [len(x)])

    def at(self, x: Tensor, t: float | Tensor) -> ErrorEvaluation:
        """Error, its divergence and the exact score, from one evaluation of each score.

        >>> double, single = FunctionScore(lambda x, t: -2 * x), FunctionScore(lambda x, t: -x)
        >>> ScoreDifference(double, single).at(torch.ones(1, 2), 1.0).stein  # −d + ‖x‖²
        tensor([0.])
        """
        learned, its_divergence = evaluated("learned", self.learned, x, t)
        exact, own = evaluated("exact", self.exact, x, t)
        return ErrorEvaluation(learned - exact, its_divergence - own, exact)


@dataclass(frozen=True, eq=False)
class InjectedField:
    """Field e added to an exact score: ŝ = s* + e, with e known better than a difference of scores.

    Args:
        field: e, one of ``scores.fields``, or any field with a divergence.
        exact: s*; what the two refuse is refused.

    >>> exact, push = FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: 0 * x + 1)
    >>> InjectedField(push, exact).learned(torch.zeros(1, 1), 1.0)
    tensor([[1.]])
    """

    field: Score
    exact: Score

    @property
    def learned(self) -> Score:
        """Learned score ŝ = s* + e."""
        return SumScore(self.exact, self.field)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Error e(x, t), shape ``[n, d]``."""
        return _numerics.evaluate(self.field, x, t, "field(x, t)")

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·e(x, t), shape ``[n]``.

        >>> exact, stretch = FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: x)
        >>> InjectedField(stretch, exact).divergence(torch.ones(1, 2), 1.0)
        tensor([2.])
        """
        _checks.able("field", self.field, "divergence")
        return _checks.shape("field.divergence(x, t)", self.field.divergence(x, t), [len(x)])

    def at(self, x: Tensor, t: float | Tensor) -> ErrorEvaluation:
        """Error, its divergence and the exact score together.

        >>> exact, stretch = FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: x)
        >>> InjectedField(stretch, exact).at(torch.ones(1, 2), 1.0).stein  # d − ‖x‖²
        tensor([0.])
        """
        exact = _numerics.evaluate(self.exact, x, t, "exact(x, t)")
        return ErrorEvaluation(*evaluated("field", self.field, x, t), exact)


@_numerics.estimator
def check_divergence(
    field: Score, x: Tensor, t: float | Tensor, *, tolerance: float | None = None, calls: int = 1
) -> None:
    """Refuse a field whose divergence is not the trace of its Jacobian.

    Everything that observability is made of rests on 𝒜_t e = ∇·e + e·s*, so a field of one's own
    should pass here first. The Jacobian is taken by automatic differentiation, d backward passes.

    Args:
        field: any field with a divergence; its value must be written in torch operations.
        x: points to look at, shape ``[n, d]``; ten or so will do.
        t: time, shape ``[]`` or ``[n]``.
        tolerance: largest deviation allowed, relative to 1 + the largest |∇·e|; by default a
            thousand roundings of the dtype.
        calls: how often a divergence that is random, as by probes, is asked for. With two calls or more the sum over
            all points of their mean may deviate by five standard errors, and the tolerance comes on top.

    Raises:
        ValueError: a divergence that deviates, is not finite, or has another shape than ``[n]``; a field
            whose values change with x but leave no graph, or one that is cut in part.

    >>> check_divergence(FunctionScore(lambda x, t: x**2), torch.ones(3, 2), 1.0)
    """
    _checks.points("x", x)
    if x.numel() == 0:
        _checks.refuse("x.shape", list(x.shape), "pass one or more points")
    slack = (
        1e3 * torch.finfo(x.dtype).eps if tolerance is None else _checks.number("tolerance", tolerance, low=0)
    )
    _checks.able("field", field, "divergence")
    answers = [field.divergence(x, t) for _ in range(_checks.count("calls", calls))]
    stated = answers[0]
    if stated.shape != (len(x),):
        remedy = f"return one number for each point, [{len(x)}]"
        _checks.refuse("field.divergence(x, t).shape", list(stated.shape), remedy)
    _checks.floating("field.divergence(x, t)", stated)
    true = FunctionScore(field, constant=True).divergence(x, t)
    if len(answers) > 1:
        found = Estimate.from_samples(torch.stack(answers).double().sum(1))
        whole = float(true.double().sum())
        allowed = 5 * found.stderr + slack * (len(x) + float(true.abs().sum()))
        if not abs(found.value - whole) <= allowed:
            remedy = (
                f"the traces of the Jacobians add up to {whole:.6g}: divide by the number of probes, or use"
            )
            _checks.refuse("field.divergence(x, t)", f"{found} in all", f"{remedy} ProbedScore(f, …)")
        return
    gap = (stated - true).abs()
    worst = int(gap.argmax())
    if not float(gap[worst]) <= slack * (1 + float(true.abs().max())):  # also a NaN from the Jacobian
        remedy = f"the trace of the Jacobian is {float(true[worst]):.6g}: correct the formula, or use"
        _checks.refuse(
            f"field.divergence(x[{worst}], t)",
            f"{float(stated[worst]):.6g}",
            f"{remedy} FunctionScore(field), which differentiates",
        )
