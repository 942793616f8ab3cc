"""Distances between two samples as features see them: what the field reports, with errors where there are any.

    Fréchet   ‖μ − μ'‖² + tr(Σ + Σ' − 2 (Σ Σ')^{1/2}),      biased upwards by about tr Σ (1/n + 1/n') and more
    kernel    MMD² with the kernel (1 + x·y/m)³,            unbiased
    precision share of y within reach of x;  recall: share of x within reach of y

Within reach of a sample is what lies no farther from one of its points than the k-th nearest of the others does. The
first two are computed by torchmetrics. Sources: Heusel et al. 2017 (arXiv 1706.08500); Bińkowski et al. 2018 (arXiv
1801.01401); Kynkäänniemi et al. 2019 (arXiv 1904.06991).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate


class PrecisionAndRecall(NamedTuple):
    """Shares of two samples that lie within reach of each other.

    Args:
        precision: of what was drawn within reach of the data.
        recall: of the data within reach of what was drawn.

    >>> PrecisionAndRecall(Estimate(1.0, 0.0), Estimate(0.5, 0.1)).recall.value
    0.5
    """

    precision: Estimate
    recall: Estimate


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Fréchet distance of the Gaussians with the moments of two samples; ``FID`` for features of Inception.

    It is biased: two samples of one law have a distance above zero, which falls like one over their size.

    Args:
        x, y: features, shapes ``[n, m]`` and ``[n', m]``, more points than features.

    Raises:
        ValueError: features that are not finite, of different kinds, or too few.
        ImportError: torchmetrics is missing.

    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = (torch.randn(5000, 2, generator=g, dtype=torch.float64) for _ in range(2))
    >>> abs(frechet_distance(x, 2 * y + 1) - 4) < 0.3  # ‖(1, 1)‖² + 2 (2 − 1)²
    True
    """
    _two_samples(x, y, least=x.shape[1] + 1 if isinstance(x, Tensor) and x.ndim == 2 else 2)
    metric = _torchmetrics().fid.FrechetInceptionDistance(feature=_Itself(x.shape[1]))
    metric.set_dtype(torch.float64)
    metric.to(x.device)
    metric.update(x.detach().double(), real=True)
    metric.update(y.detach().double(), real=False)
    return float(metric.compute())


def kernel_distance(x: Tensor, y: Tensor, *, blocks: int = 10) -> Estimate:
    """Squared maximum mean discrepancy with the kernel (1 + x·y/m)³; ``KID`` for features of Inception.

    Unbiased: the mean over disjoint blocks of the samples, with the standard error of that mean.

    Args:
        x, y: features, shapes ``[n, m]`` and ``[n', m]``, rows independent and in any order.
        blocks: at least 3; points that do not fit into equal blocks are left out.

    Raises:
        ValueError: features that are not finite, of different kinds, or fewer than two to a block.
        ImportError: torchmetrics is missing.

    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = (torch.randn(1000, 2, generator=g, dtype=torch.float64) for _ in range(2))
    >>> abs(kernel_distance(x, y).sigmas_from(0)) < 5, kernel_distance(x, y + 1).sigmas_from(0) > 5
    (True, True)
    """
    blocks = _checks.count("blocks", blocks, least=3)
    _two_samples(x, y, least=2 * blocks)
    size = min(len(x), len(y)) // blocks
    kid = _torchmetrics().kid
    found = torch.stack(
        [
            kid.poly_mmd(x[at : at + size].detach().double(), y[at : at + size].detach().double())
            for at in range(0, blocks * size, size)
        ]
    )
    return Estimate(float(found.mean()), float(found.std() / math.sqrt(blocks)))


def precision_and_recall(x: Tensor, y: Tensor, *, neighbours: int = 3) -> PrecisionAndRecall:
    """Improved precision and recall of a sample y beside the data x.

    Args:
        x: features of the data, shape ``[n, m]``.
        y: features of what was drawn, shape ``[n', m]``; take n' = n, since reach shrinks with the size.
        neighbours: k.

    Returns:
        Two shares, with binomial standard errors, which do not know that the reach itself is random.

    Raises:
        ValueError: features that are not finite, of different kinds, or too few.

    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = (torch.randn(1000, 2, generator=g) for _ in range(2))
    >>> found = precision_and_recall(x, 0.3 * y)
    >>> found.precision.value > 0.95, found.recall.value < 0.5
    (True, True)
    """
    neighbours = _checks.count("neighbours", neighbours)
    _two_samples(x, y, least=neighbours + 1)

    def within(points: Tensor, others: Tensor) -> Estimate:
        reach = torch.cdist(others, others).kthvalue(neighbours + 1, dim=1).values
        share = float((torch.cdist(points, others) <= reach).any(1).double().mean())
        return Estimate(share, math.sqrt(max(share * (1 - share), 1 / len(points)) / len(points)))

    return PrecisionAndRecall(within(y.detach(), x.detach()), within(x.detach(), y.detach()))


class _Itself(torch.nn.Module):
    """Features that are the input."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def _two_samples(x: Any, y: Any, *, least: int) -> None:
    _checks.points("x", x)
    _checks.points("y", y, x.shape[1], like=x)
    for name, sample in (("x", x), ("y", y)):
        if len(sample) < least or sample.shape[1] == 0:
            _checks.refuse(f"{name}.shape", list(sample.shape), f"pass features of {least} points or more")


def _torchmetrics() -> Any:
    try:
        import torchmetrics.image.fid
        import torchmetrics.image.kid
    except ImportError as error:
        raise ImportError("distances need torchmetrics: pip install 'scoredrift[images]'") from error
    return torchmetrics.image
