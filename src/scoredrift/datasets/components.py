"""Principal components as a code of images: a linear encoder, and a linear decoder.

    z = Vᵀ (x − μ)/s,        x ≈ μ + s V z,

V the m directions of largest variance, s² the mean variance along them, so that codes have variance 1 on
average and distances keep their proportions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from scoredrift import _checks


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """Encoder and decoder between points in R^d and codes in R^m.

    Args:
        mean: μ, shape ``[d]``.
        directions: rows of Vᵀ, orthonormal, shape ``[m, d]``.
        scale: s.
        explained: share of the variance that codes keep.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(500, 3, generator=g) * torch.tensor([5.0, 2.0, 0.1])
    >>> code = PrincipalComponents.fit(x, 2)
    >>> z = code.encode(x)
    >>> z.shape, round(float(z.var(0).mean()), 2), bool((code.decode(z) - x).abs().max() < 0.5)
    (torch.Size([500, 2]), 1.0, True)
    """

    mean: Tensor
    directions: Tensor
    scale: float
    explained: float

    @classmethod
    def fit(cls, x: Tensor, m: int) -> PrincipalComponents:
        """Components of points.

        Args:
            x: points, shape ``[n, d]``.
            m: how many, at most n and d.

        Raises:
            ValueError: points that are not finite, or fewer than components.
        """
        _checks.points("x", x)
        m = _checks.count("m", m)
        if m > min(x.shape):
            _checks.refuse("m", m, f"x of shape {list(x.shape)} has no more than {min(x.shape)} components")
        found = PCA(m, svd_solver="covariance_eigh").fit(x.detach().cpu().double().numpy())
        largest = abs(found.components_).argmax(1)
        signs = torch.from_numpy(found.components_)[range(m), largest].sign()  # else up to the solver
        directions = (torch.from_numpy(found.components_) * signs[:, None]).to(x)
        scale = float(found.explained_variance_.mean() ** 0.5)
        explained = float(found.explained_variance_ratio_.sum())
        return cls(torch.from_numpy(found.mean_).to(x), directions, scale, explained)

    def to(self, device: torch.device | str) -> PrincipalComponents:
        """The same code on another device."""
        mean, directions = self.mean.to(device), self.directions.to(device)
        return PrincipalComponents(mean, directions, self.scale, self.explained)

    def encode(self, x: Tensor) -> Tensor:
        """Codes ``[n, m]`` of points ``[n, d]``.

        Raises:
            ValueError: points of another dimension or precision.
        """
        _checks.points("x", x, len(self.mean), like=self.mean)
        return (x - self.mean) @ self.directions.T / self.scale

    def decode(self, z: Tensor) -> Tensor:
        """Points ``[n, d]`` of codes ``[n, m]``.

        Raises:
            ValueError: codes of another dimension or precision.
        """
        _checks.points("z", z, len(self.directions), like=self.mean)
        return self.mean + self.scale * z @ self.directions
