"""A zoo of fields to inject into a score, with their divergences in closed form.

Whatever the Langevin–Stein operator 𝒜_t e = (1/q_t) ∇·(q_t e) sends to zero leaves the generated law
as it is: e = J s* with an antisymmetric J has ∇·(q_t J s*) = ∇·(J ∇q_t) = 0. In L²(q_t) every field
splits into a gradient, which is seen, and a rotational part with ∇·(q_t e) = 0, which is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.scores.arithmetic import Field, ScaledField, Score
from scoredrift.scores.base import FunctionScore
from scoredrift.scores.flow import Flow

__all__ = ["ConstantField", "LinearField", "RotationalField", "ScaledField", "Split", "split_linear"]


@dataclass(frozen=True, eq=False, repr=False)
class ConstantField(Field):
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
        _checks.times("t", t, x, 0.0, math.inf)
        return self.value.expand_as(x)

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Zero, shape ``[n]``.

        >>> ConstantField(torch.ones(2)).divergence(torch.zeros(1, 2), 1.0)
        tensor([0.])
        """
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """The vector c for every point, and zero; ``[n, d]`` and ``[n]``.

        >>> ConstantField(torch.ones(2)).value_and_divergence(torch.zeros(1, 2), 1.0)
        (tensor([[1., 1.]]), tensor([0.]))
        """
        return self(x, t), torch.zeros(len(x), dtype=x.dtype, device=x.device)


@dataclass(frozen=True, eq=False, repr=False)
class LinearField(Field):
    """The field e(x, t) = A x, with divergence tr A.

    Args:
        matrix: A, shape ``[d, d]``, in inverse squared units of the data if e is a score error.

    Raises:
        ValueError: A that is not one finite square matrix; on a call, points that do not fit it.

    >>> LinearField(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))(torch.tensor([[2.0, 3.0]]), 1.0)
    tensor([[3., 0.]])
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        _square("matrix", self.matrix)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value A x, shape ``[n, d]``."""
        _checks.points("x", x, len(self.matrix), like=self.matrix)
        _checks.times("t", t, x, 0.0, math.inf)
        with _numerics.full_precision():
            return x @ self.matrix.T

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Trace of A, shape ``[n]``.

        >>> LinearField(torch.eye(2)).divergence(torch.zeros(1, 2), 1.0)
        tensor([2.])
        """
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value A x and trace of A, ``[n, d]`` and ``[n]``.

        >>> LinearField(torch.eye(2)).value_and_divergence(torch.ones(1, 2), 1.0)
        (tensor([[1., 1.]]), tensor([2.]))
        """
        return self(x, t), self.matrix.trace().expand(len(x))


@dataclass(frozen=True, eq=False, repr=False)
class RotationalField(Field):
    """The field e = J s with antisymmetric J: invisible where s is the exact score.

    Its divergence is Σ_jk J_jk ∂_j s_k, which is zero for the score of any smooth density, because
    the Hessian of log q_t is symmetric: for a ``Flow`` it is stated, without being computed. Another
    s need be no gradient, so that the trace is taken as by ``FunctionScore``, d backward passes.

    Args:
        matrix: J, shape ``[d, d]``, antisymmetric, dimensionless.
        score: s, the score of some flow (a gradient); what it refuses is refused.

    Raises:
        ValueError: J that is not one finite antisymmetric matrix.

    >>> from scoredrift.scores import FunctionScore
    >>> spin = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    >>> RotationalField(spin, FunctionScore(lambda x, t: -x))(torch.tensor([[2.0, 3.0]]), 1.0)
    tensor([[-3.,  2.]])
    """

    matrix: Tensor
    score: Score

    def __post_init__(self) -> None:
        _square("matrix", self.matrix)
        if not torch.equal(self.matrix, -self.matrix.T):
            _checks.refuse("matrix", "not antisymmetric", "pass (A − Aᵀ)/2, exactly")

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value J s(x, t), shape ``[n, d]``."""
        _checks.points("x", x, len(self.matrix), like=self.matrix)
        score = _numerics.evaluate(self.score, x, t, "score(x, t)")
        with _numerics.full_precision():
            return score @ self.matrix.T

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Zero for the score of a flow, else tr(J ∂s), shape ``[n]``.

        >>> from scoredrift.scores import FunctionScore
        >>> spin = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
        >>> RotationalField(spin, FunctionScore(lambda x, t: -x)).divergence(torch.ones(1, 2), 1.0)
        tensor([0.])
        """
        return self.value_and_divergence(x, t)[1]

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value J s(x, t) and its divergence, ``[n, d]`` and ``[n]``.

        >>> from scoredrift.scores import FunctionScore
        >>> spin = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
        >>> field = RotationalField(spin, FunctionScore(lambda x, t: -x))
        >>> field.value_and_divergence(torch.ones(1, 2), 1.0)
        (tensor([[-1.,  1.]]), tensor([0.]))
        """
        if isinstance(self.score, Flow):
            return self(x, t), torch.zeros(len(x), dtype=x.dtype, device=x.device)
        return FunctionScore(self).value_and_divergence(x, t)


class Split(NamedTuple):
    """A linear field A x = S (x − μ) + R (x − μ) + A μ under N(μ, Σ): what is seen, what is not.

    Args:
        gradient: S, symmetric: the part that is a gradient, shape ``[d, d]``.
        rotational: R = A − S, with R Σ antisymmetric: ∇·(q R(x − μ)) = 0, shape ``[d, d]``.

    >>> Split(torch.eye(1), torch.zeros(1, 1)).gradient
    tensor([[1.]])
    """

    gradient: Tensor
    rotational: Tensor


def split_linear(matrix: Tensor, covariance: Tensor) -> Split:
    """Gradient and rotational part of A (x − μ) in L²(N(μ, Σ)), in closed form.

    The rotational part R satisfies ∇·(q R (x − μ)) = 0, which for a Gaussian means that RΣ is
    antisymmetric; with A = S + R and S symmetric,

        S Σ + Σ S = A Σ + Σ Aᵀ,

    a Lyapunov equation, solved in the eigenbasis of Σ. (The two parts are orthogonal.)

    Args:
        matrix: A, shape ``[d, d]``.
        covariance: Σ, symmetric and positive definite, shape ``[d, d]``, in squared units of the data.

    Returns:
        Split: S and R.

    Raises:
        ValueError: matrices that are not square, do not fit, or a Σ that is not positive definite.

    >>> spin = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    >>> split_linear(spin, torch.eye(2)).gradient  # rotates circles: invisible
    tensor([[0., 0.],
            [0., 0.]])
    """
    _square("matrix", matrix)
    _square("covariance", covariance)
    _checks.points("covariance", covariance, len(matrix), like=matrix)
    values, axes = torch.linalg.eigh(covariance)
    if not bool(values[0] > 0):
        _checks.refuse("covariance", f"smallest eigenvalue {float(values[0]):.3g}", "it must be positive")
    with _numerics.full_precision():
        turned = axes.T @ matrix @ axes
        right = turned * values + (turned * values).T
        gradient = axes @ (right / (values[:, None] + values)) @ axes.T
    return Split(gradient, matrix - gradient)


def _square(name: str, matrix: Tensor) -> None:
    _checks.floating(name, matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        _checks.refuse(f"{name}.shape", list(matrix.shape), "pass a square matrix, [d, d]")
