"""What every score and every field can do: value, divergence, and their arithmetic."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from numbers import Real
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scoredrift import _checks, _numerics


class Score(Protocol):
    """A score model: a vector field in x and t with its divergence in x.

    >>> from scoredrift.scores import FunctionScore
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


class Field(ABC):
    """A vector field that derives everything from its value and divergence, with arithmetic.

    Fields add, subtract and are multiplied by numbers: ``push + 0.3 * spin``, ``-field``. Where the value
    alone is cheaper than both, override ``__call__``, too.

    >>> class Shrink(Field):
    ...     def value_and_divergence(self, x, t):
    ...         return -x, torch.full_like(x[:, 0], -x.shape[1])
    >>> (Shrink() / 2).divergence(torch.ones(1, 2), 1.0)
    tensor([-1.])
    """

    __array_ufunc__ = None  # so that numpy's numbers leave the product to __rmul__

    @abstractmethod
    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value ``[n, d]`` and divergence ``[n]`` at points x ``[n, d]`` and times t, ``[]`` or ``[n]``."""

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value, shape ``[n, d]``."""
        return evaluated("field", self, x, t)[0]

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence in x, shape ``[n]``; arguments as for ``value_and_divergence``."""
        return evaluated("field", self, x, t)[1]

    def __add__(self, other: Score) -> SumScore:
        return SumScore(self, other) if callable(other) else NotImplemented

    def __radd__(self, other: Score) -> SumScore:
        return SumScore(other, self) if callable(other) else NotImplemented

    def __sub__(self, other: Score) -> SumScore:
        return SumScore(self, ScaledField(-1.0, other)) if callable(other) else NotImplemented

    def __rsub__(self, other: Score) -> SumScore:
        return SumScore(other, -self) if callable(other) else NotImplemented

    def __mul__(self, number: float) -> ScaledField:
        return ScaledField(number, self) if _is_number(number) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> ScaledField:
        return ScaledField(1 / number, self) if _is_number(number) else NotImplemented

    def __neg__(self) -> ScaledField:
        return ScaledField(-1.0, self)

    def __repr__(self) -> str:
        own: tuple[Any, ...] = fields(self) if is_dataclass(self) else ()
        parts = [_brief(value) for f in own if (value := getattr(self, f.name)) is not f.default]
        return f"{type(self).__name__}({', '.join(parts)})"


def evaluated(name: str, field: Score, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
    """Value and divergence of a field that comes from outside, if they have the right shapes.

    Args:
        name: what to call the field in an error.
        field: any field with a divergence.
        x: points, shape ``[n, d]``.
        t: time, shape ``[]`` or ``[n]``.

    Returns:
        Value ``[n, d]`` and divergence ``[n]``.

    Raises:
        ValueError: a field without ``value_and_divergence``, or results of another shape.

    >>> from scoredrift.scores import FunctionScore
    >>> evaluated("score", FunctionScore(lambda x, t: -x), torch.ones(1, 2), 1.0)[1]
    tensor([-2.])
    """
    if not hasattr(field, "value_and_divergence"):
        remedy = "it has no divergence: wrap it, FunctionScore(f) differentiates, ProbedScore uses probes"
        _checks.refuse(name, type(field).__name__, remedy)
    value, divergence = field.value_and_divergence(x, t)
    _checks.shape(f"{name}.divergence(x, t)", divergence, [len(x)])
    return _checks.vectors(f"{name}(x, t)", value, x), divergence


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, Tensor | np.ndarray) and value.ndim == 0)


def _brief(value: Any) -> str:
    """A field's part in a few characters: tensors by their shape, functions by their name."""
    if isinstance(value, Tensor):
        return f"tensor{list(value.shape)}"
    if not isinstance(value, torch.nn.Module | Field) and hasattr(value, "__name__"):
        return str(value.__name__)
    whole = type(value).__name__ if isinstance(value, torch.nn.Module) else repr(value)
    return whole if len(whole) <= 80 else f"{type(value).__name__}(…)"


@dataclass(frozen=True, eq=False, repr=False)
class SumScore(Field):
    """Sum of two fields, for instance of an exact score and an injected error: ŝ = s* + e.

    Args:
        first, second: the two fields; what they refuse is refused, and results of wrong shape, too.

    >>> from scoredrift.scores import FunctionScore
    >>> total = SumScore(FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: x + 1))
    >>> total(torch.zeros(1, 1), 1.0)
    tensor([[1.]])
    """

    first: Score
    second: Score

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Sum of the two values, shape ``[n, d]``."""
        one = _numerics.evaluate(self.first, x, t, "first(x, t)")
        return one + _numerics.evaluate(self.second, x, t, "second(x, t)")

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Sum of the two divergences, shape ``[n]``.

        >>> from scoredrift.scores import FunctionScore
        >>> total = SumScore(FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: 3 * x))
        >>> total.divergence(torch.zeros(1, 1), 1.0)
        tensor([2.])
        """
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Sums of the values and of the divergences, ``[n, d]`` and ``[n]``.

        >>> from scoredrift.scores import FunctionScore
        >>> total = SumScore(FunctionScore(lambda x, t: -x), FunctionScore(lambda x, t: 3 * x))
        >>> total.value_and_divergence(torch.ones(1, 1), 1.0)
        (tensor([[2.]]), tensor([2.]))
        """
        one, its_divergence = evaluated("first", self.first, x, t)
        other, own = evaluated("second", self.second, x, t)
        return one + other, its_divergence + own


@dataclass(frozen=True, eq=False, repr=False)
class ScaledField(Field):
    """The field c(t) e(x, t): a field made smaller, or one that changes with time.

    ``ScaledField(lambda t: torch.cos(6 * t), ConstantField(v))`` is a time-only error that oscillates.

    Args:
        factor: c, a number or a function of time (a tensor of any shape to one of its shape).
        field: e; what it refuses is refused.

    Raises:
        ValueError: a number that is not finite; on a call, a function of time whose values are not finite
            or do not have the shape of the times, a field whose results have a wrong shape.

    >>> from scoredrift.scores import ConstantField
    >>> ScaledField(0.5, ConstantField(torch.ones(1)))(torch.zeros(2, 1), 1.0)
    tensor([[0.5000],
            [0.5000]])
    """

    factor: float | Callable[[Tensor], Tensor]
    field: Score

    def __post_init__(self) -> None:
        if not callable(self.factor):
            plain = self.factor.item() if isinstance(self.factor, Tensor | np.ndarray) else self.factor
            object.__setattr__(self, "factor", _checks.number("factor", plain))

    def _at(self, x: Tensor, t: float | Tensor) -> Tensor:
        if not callable(self.factor):
            return torch.tensor(self.factor, dtype=x.dtype, device=x.device)
        when = _checks.times("t", t, x, 0.0, math.inf)
        value = self.factor(when)
        if not isinstance(value, Tensor) or value.shape != when.shape:
            found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            remedy = (
                f"return a tensor of the shape of the times, {list(when.shape)}; pass constants as numbers"
            )
            _checks.refuse("factor(t).shape", found, remedy)
        if value.is_complex():
            _checks.refuse("factor(t).dtype", value.dtype, "return real numbers")
        if not _checks.finite(value):
            _checks.refuse("factor(t)", "NaN or infinite", "correct the function of time")
        return value.to(x.dtype)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value c(t) e(x, t), shape ``[n, d]``."""
        return self._at(x, t).reshape(-1, 1) * _numerics.evaluate(self.field, x, t, "field(x, t)")

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence c(t) ∇·e(x, t), shape ``[n]``.

        >>> from scoredrift.scores import LinearField
        >>> ScaledField(0.5, LinearField(torch.eye(2))).divergence(torch.ones(1, 2), 1.0)
        tensor([1.])
        """
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value and divergence, ``[n, d]`` and ``[n]``.

        >>> from scoredrift.scores import LinearField
        >>> ScaledField(0.5, LinearField(torch.eye(2))).value_and_divergence(torch.ones(1, 2), 1.0)
        (tensor([[0.5000, 0.5000]]), tensor([1.]))
        """
        value, its_divergence = evaluated("field", self.field, x, t)
        factor = self._at(x, t)
        return factor.reshape(-1, 1) * value, factor * its_divergence
