"""One Gaussian with a full covariance: the other face of collapse.

    q(x) = N(x; μ, Σ),      ∇ log q = −Σ⁻¹ (x − μ),      ∇·∇ log q = −tr Σ⁻¹,

and the law of X_t when X_0 ~ q is N(a(t) μ, a(t)² Σ + v(t) I). Fitted by maximum likelihood to n of
its own draws, again and again, its variance shrinks by 1 − 1/n a generation on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift import process as ou
from scoredrift.laws.base import Evaluation, Law, elapsed


@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(Law):
    """Law N(μ, Σ).

    Args:
        mean: μ, shape ``[d]``, in the units of the data.
        covariance: Σ, shape ``[d, d]``, symmetric and positive definite, in squared units.

    Raises:
        ValueError: shapes that do not fit, NaN, or Σ that is not symmetric positive definite.

    >>> Gaussian(torch.zeros(2), 4 * torch.eye(2)).at(torch.tensor([[1.0, -2.0]])).score
    tensor([[-0.2500,  0.5000]])
    """

    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        _checks.floating("mean", self.mean)
        if self.mean.ndim != 1 or self.mean.numel() == 0:
            _checks.refuse("mean.shape", list(self.mean.shape), "pass one point of R^d, shape [d]")
        d = self.mean.numel()
        _checks.points("covariance", self.covariance, d, like=self.mean)
        if self.covariance.shape != (d, d):
            _checks.refuse("covariance.shape", list(self.covariance.shape), f"pass a matrix, [{d}, {d}]")
        matrix = self.covariance.detach()
        skew = float((matrix - matrix.T).abs().max())
        if skew > 1e-5 * float(matrix.abs().max()):
            _checks.refuse("covariance", "not symmetric", "pass (Σ + Σᵀ)/2")
        smallest = float(torch.linalg.eigvalsh(matrix)[0])
        if not smallest > 0:
            remedy = f"smallest eigenvalue {smallest:.3g}: pass more points than dimensions, or add a ridge"
            _checks.refuse("covariance", "not positive definite", remedy)

    @classmethod
    @_numerics.own_precision
    def fit(cls, data: Tensor) -> Gaussian:
        """Maximum-likelihood fit: μ = mean of the points, Σ = (1/n) Σ_i (x_i − μ)(x_i − μ)ᵀ.

        Args:
            data: points, shape ``[n, d]``, n > d.

        Returns:
            The fitted law; E Σ is (1 − 1/n) times the covariance of the points' law.

        Raises:
            ValueError: points of wrong shape or not finite, or too few for a full covariance.

        >>> Gaussian.fit(torch.tensor([[-1.0], [1.0]])).covariance
        tensor([[1.]])
        """
        _checks.points("data", data)
        if len(data) <= data.shape[1]:
            remedy = f"a full covariance in R^{data.shape[1]} needs more points than that"
            _checks.refuse("data.shape", list(data.shape), remedy)
        centred = data - data.mean(0)
        return cls(data.mean(0), centred.T @ centred / len(data))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.mean.numel()

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters, and so of all results."""
        return self.mean.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.mean.device

    @_numerics.own_precision
    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points μ + L ξ with Σ = L Lᵀ.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the law.

        Returns:
            Points, shape ``[n, d]``.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.

        >>> law = Gaussian(torch.zeros(2), torch.eye(2))
        >>> law.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
        """
        _checks.count("n", n)
        _checks.generator_on(generator, self.device)
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        return self.mean + noise @ torch.linalg.cholesky(self.covariance).T

    @_numerics.own_precision
    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence of the law of X_t when X_0 follows this law.

        Args:
            x: points, shape ``[n, d]``, in the dtype and on the device of the law.
            t: time ≥ 0, shape ``[]`` or ``[n]``.

        Returns:
            Evaluation: log q_t ``[n]``, ∇ log q_t ``[n, d]``, ∇·∇ log q_t ``[n]``.

        Raises:
            ValueError: points of another shape, dtype or device, or not finite; negative times.

        >>> Gaussian(torch.zeros(1), torch.eye(1)).at(torch.ones(1, 1), 3.0).score
        tensor([[-1.]])
        """
        _checks.points("x", x, self.dim, like=self.mean)
        when = elapsed(t, x)
        a = ou.scale(when)
        values, axes = torch.linalg.eigh(self.covariance)
        var = a**2 * values + ou.variance(when)  # along the principal axes
        along = (x - a * self.mean) @ axes
        log_norm = 0.5 * (torch.log(2 * math.pi * var)).sum(1)
        log_density = -0.5 * (along**2 / var).sum(1) - log_norm
        divergence = -(1 / var).sum(1).expand(len(x))
        _checks.representable(log_density, divergence)
        return Evaluation(log_density, -(along / var) @ axes.T, divergence)

    def diffuse(self, t: float) -> Gaussian:
        """Law of X_t when X_0 follows this law: μ → a μ, Σ → a² Σ + v I.

        Args:
            t: time ≥ 0.

        Raises:
            ValueError: t that is negative or not finite.

        >>> Gaussian(torch.ones(1), torch.eye(1)).diffuse(4.0).mean
        tensor([0.1353])
        """
        when = _checks.number("t", t, low=0.0)
        a, v = float(ou.scale(when)), float(ou.variance(when))
        eye = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        return Gaussian(a * self.mean, a**2 * self.covariance + v * eye)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Gaussian:
        """The same law on another device or in another precision; as for ``Law.to``.

        >>> Gaussian(torch.zeros(1), torch.eye(1)).to(dtype=torch.float64)
        Gaussian(d = 1, float64)
        """
        _checks.target(device, dtype)
        return Gaussian(*(part.to(device=device, dtype=dtype) for part in (self.mean, self.covariance)))
