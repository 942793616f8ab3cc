"""What is kept of a generation of pictures: a few numbers beside those of the data, and a few pictures.

With φ the features of a classifier, μ and Σ their mean and covariance under the data law,

    δ = Σ^{−1/2} (E_{p̂} φ − μ),        C = Σ^{−1/2} Cov_{p̂} φ Σ^{−1/2},

the deviation of the theory, D = ‖δ‖², and what a Gaussian in feature space makes of it:

    KL = ½ (tr C + ‖δ‖² − m − log |C|),        1 + χ² = |C|^{−1} |2C^{−1} − 1|^{−1/2} exp(δᵀ(2 − C)^{−1}δ),

the latter finite where all eigenvalues of C are below 2. With few images Σ has to be regularised, by Σ + ridge · τ with
τ = tr Σ/m, for both covariances; how much then decides the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.datasets import frechet_distance, kernel_distance, middles, precision_and_recall
from scoredrift.estimates import Estimate
from scoredrift.experiments.fashion import Look, Pictures
from scoredrift.generations import Generation, Measured

_COMPARED = 2_000  # points of each sample in distances that look at all pairs
_LOOKED_UP = 500  # images whose nearest neighbours are sought


@dataclass(frozen=True, eq=False)
class PictureMeasure:
    """What is kept of a generation of pictures.

    Args:
        pictures: the data law, and what it is looked at with.
        images_of: makes images of bytes ``[n, C, H, W]`` of points.
        data: what is seen of the data, as the model should generate it.
        kept: how many pictures are kept.

    >>> from scoredrift.experiments import digits_pictures
    >>> pictures = digits_pictures()
    >>> PictureMeasure(pictures, pictures.images, pictures.look(pictures.law.images), 10).kept
    10
    """

    pictures: Pictures
    images_of: Callable[[Tensor], Tensor]
    data: Look
    kept: int

    def __call__(self, generation: Generation) -> Measured:
        """Deviation and shares, moments of components, distances, contrast and detail, copies, pictures."""
        images = self.images_of(generation.drawn)
        seen, data = self.pictures.look(images), self.data
        centre, unit = data.features.mean(0), data.features.std(0)  # distances are in units of the data
        known, drawn = ((look.features - centre) / unit for look in (data, seen))
        near, recalled = precision_and_recall(known[:_COMPARED], drawn[:_COMPARED])
        return {
            **in_features(data.features, seen.features),
            **_in_components(data.components, seen.components),
            "classes": torch.bincount(seen.classes, minlength=self.pictures.network.classes) / len(images),
            "frechet": frechet_distance(known, drawn),
            "kid": kernel_distance(known[:_COMPARED], drawn[:_COMPARED]),
            "precision": near,
            "recall": recalled,
            "contrast": _ratio(seen.contrast, data.contrast),
            "detail": _ratio(seen.detail, data.detail),
            "copies": self._copies(images, generation.training),
            "held_out": generation.model.trained.held_out.min(),  # type: ignore[attr-defined]
            "pictures": images[: self.kept, 0],
        }

    def _copies(self, images: Tensor, training: Tensor) -> float:
        """Median distance of what was drawn to the training set, over that of images nobody trained on."""
        learned = middles(self.images_of(training))
        found = [
            torch.cdist(middles(some[:_LOOKED_UP]), learned).min(1).values.median()
            for some in (images, self.pictures.unseen)
        ]
        return float(found[0] / found[1])


def in_features(data: Tensor, drawn: Tensor, *, ridge: float = 0.0) -> dict[str, Tensor | float]:
    """Deviation of a sample in features that are whitened by the data, and its Gaussian divergences.

    Args:
        data: features of the data, shape ``[N, m]``.
        drawn: features of the sample, shape ``[n, m]``.
        ridge: ≥ 0, added to both covariances, in units of the mean variance of the data.

    Returns:
        ``deviation`` δ, ``[m]``; ``chance``, what the size of the sample adds to ‖δ‖² on average; ``gaussian_kl``
        in nats and ``gaussian_chi2``.

    Raises:
        ValueError: a ridge below zero, or no covariance that could be inverted without one.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(100_000, 2, generator=g, dtype=torch.float64)
    >>> found = in_features(x, 0.5 * x + 1)
    >>> round(float(found["deviation"].square().sum()), 1), round(found["gaussian_kl"], 1)  # 2, and 0.25 + log 4
    (2.0, 1.6)
    """
    m = data.shape[1]
    ridge = _checks.number("ridge", ridge, low=0.0)
    mean, covariance = data.double().mean(0), torch.cov(data.double().T).reshape(m, m)
    added = ridge * covariance.trace() / m * torch.eye(m, dtype=torch.float64, device=data.device)
    factor, broken = torch.linalg.cholesky_ex(covariance + added)
    if int(broken):
        _checks.refuse("data", f"{len(data)} points", "features that depend on each other: pass a ridge > 0")
    white = torch.linalg.solve_triangular(factor, (drawn.double() - mean).T, upper=False).T
    spread = torch.cov(white.T).reshape(m, m)
    chance = float(spread.trace()) / len(drawn)
    inner = torch.linalg.solve_triangular(factor, added, upper=False)  # the ridge as the whitened view has it
    spread = spread + torch.linalg.solve_triangular(factor, inner.T, upper=False)
    delta = white.mean(0)
    sizes, axes = torch.linalg.eigh(spread)
    along = (delta @ axes).square()
    kl = 0.5 * float((sizes + along - 1 - sizes.log()).sum())
    chi2 = math.inf
    if float(sizes.max()) < 2:
        chi2 = math.expm1(float((along / (2 - sizes) - 0.5 * (sizes * (2 - sizes)).log()).sum()))
    return {
        "deviation": delta.float(),
        "chance": chance,
        "gaussian_kl": kl,
        "gaussian_chi2": chi2,
    }


def _in_components(data: Tensor, drawn: Tensor) -> dict[str, Tensor]:
    """Shift of each component in standard deviations of the data, and its variance over theirs."""
    shift = (drawn.mean(0) - data.mean(0)) / data.std(0)
    return {"shift": shift, "spread": drawn.var(0) / data.var(0)}


def _ratio(one: Tensor, other: Tensor) -> Estimate:
    """Ratio of two means; the second is exact."""
    return Estimate.from_samples(one.double() / float(other.double().mean()))
