"""Laws that the book returns to, and laws of one dimension on nodes."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.laws.mixtures import GaussianMixture


def mixture_of_three(*, dtype: torch.dtype = torch.float64) -> GaussianMixture:
    """The law on the line that the chapters work with: three peaks, none like another.

        0.30 N(−2.2, 0.20²) + 0.45 N(0.4, 0.35²) + 0.25 N(2.6, 0.25²)

    Args:
        dtype: float64 or float32.

    Returns:
        Mixture of three Gaussians in one dimension.

    Raises:
        ValueError: another dtype.

    Source: ours.

    >>> mixture_of_three().means.flatten().tolist()
    [-2.2, 0.4, 2.6]
    """
    _checks.target(dtype=dtype)
    weights = torch.tensor([0.30, 0.45, 0.25], dtype=dtype)
    means = torch.tensor([[-2.2], [0.4], [2.6]], dtype=dtype)
    return GaussianMixture(weights, means, torch.tensor([0.20, 0.35, 0.25], dtype=dtype) ** 2)


def mixture_of_five(
    dim: int = 10, *, sigma: float = 0.6, centre: float = 4.0, dtype: torch.dtype = torch.float64
) -> GaussianMixture:
    """The data law of the source paper's experiment: five equal Gaussians in R^10.

    One sits at the origin, four at (±centre, ±centre, 0, …, 0); all have covariance σ² I.
    Source: arXiv 2602.16601, App. G.1, known to us second-hand; the centres come from an
    independent reproduction.

    Args:
        dim: dimension d ≥ 2.
        sigma: standard deviation σ > 0 of each component.
        centre: coordinate of the outer centres, in the units of the data.
        dtype: float64 or float32.

    Returns:
        Mixture with J = 5 equal weights.

    Raises:
        ValueError: d < 2, σ ≤ 0, numbers that are not finite, or another dtype.

    >>> mixture_of_five().means[:, :2].tolist()[1:3]
    [[4.0, 4.0], [4.0, -4.0]]
    """
    dim = _checks.count("dim", dim, least=2)
    sigma = _checks.width("sigma", sigma)
    centre = _checks.number("centre", centre)
    _checks.target(dtype=dtype)
    means = torch.zeros(5, dim, dtype=dtype)
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=dtype)
    means[1:, :2] = centre * signs
    return GaussianMixture(torch.full((5,), 0.2, dtype=dtype), means, torch.full((5,), sigma**2, dtype=dtype))


class _OnALine(Protocol):
    """What has a density on the line."""

    def log_density(self, x: Tensor) -> Tensor:
        """Log-density at points ``[n, 1]``, shape ``[n]``."""


def on_nodes(law: _OnALine, nodes: Tensor) -> Tensor:
    """Density q(x) of a law on the line at the nodes of a quadrature.

    Args:
        law: law with a density, of dimension one.
        nodes: points x, shape ``[m]``, in the dtype of the law.

    Returns:
        q at the nodes, shape ``[m]``, in inverse units of the data.

    Raises:
        ValueError: nodes of another shape, or what the law refuses.

    >>> nodes = torch.linspace(-8, 8, 401, dtype=torch.float64)
    >>> round(float(torch.trapezoid(on_nodes(mixture_of_three(), nodes), nodes)), 12)
    1.0
    """
    _checks.able("law", law, "log_density")
    _checks.floating("nodes", nodes)
    if nodes.ndim != 1:
        _checks.refuse("nodes.shape", list(nodes.shape), "pass points on the line, [m]")
    return law.log_density(nodes[:, None]).exp()
