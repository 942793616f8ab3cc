"""Twelve retraining loops of different kinds, small enough to run many times.

Learners: kernel densities, histograms, fitted Gaussians and mixtures, diffusion by a small network, a smoothed
bootstrap. Some are no recursion with a constant bias and a fresh fraction. One accumulates. One has a bandwidth that
grows by a twentieth in each generation. A Gaussian that is fitted to a mixture makes its error once and keeps to it:
what it adds depends on what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from sklearn.mixture import GaussianMixture as FittedMixture
from torch import Tensor

from scoredrift.experiments.fashion_codes import code_fit
from scoredrift.generations import Accumulate, Fit, FreshFraction, Regime, Resampling, gaussian_fit
from scoredrift.laws import Gaussian, GaussianMixture, KernelDensity, Source
from scoredrift.runs import generator_for


@dataclass(frozen=True)
class View:
    """Features of points that one takes without thinking: coordinates, their squares, random waves.

    Args:
        dim: d.
        squares: whether the squares of the coordinates are among them.
        waves: number of cos(ω·x + phase), with ω ~ N(0, I), the same for everybody.

    >>> View(2, squares=True, waves=3)(torch.zeros(5, 2)).shape
    torch.Size([5, 7])
    """

    dim: int
    squares: bool = False
    waves: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Features ``[n, m]``, float64."""
        x = x.double()
        g = generator_for(0, "waves", self.dim)
        ways = torch.randn(self.dim, self.waves, generator=g, dtype=torch.float64)
        phases = 2 * torch.pi * torch.rand(self.waves, generator=g, dtype=torch.float64)
        return torch.cat([x, *([x.square()] if self.squares else []), (x @ ways + phases).cos()], 1)


@dataclass(frozen=True)
class CellView:
    """Whether a point is in a cell, for all cells but the last.

    Args:
        cells: K.

    >>> CellView(3)(torch.tensor([[0.0], [2.0]]))
    tensor([[1., 0.],
            [0., 0.]], dtype=torch.float64)
    """

    cells: int

    def __call__(self, x: Tensor) -> Tensor:
        """Features ``[n, K − 1]``, float64, of numbers of cells ``[n, 1]``."""
        return torch.nn.functional.one_hot(x[:, 0].long(), self.cells)[:, :-1].double()


@dataclass(frozen=True, eq=False)
class Categories:
    """A law on K cells; a model that is a histogram is ``Resampling`` of its training set.

    Args:
        weights: probabilities, ``[K]``.

    >>> Categories(torch.tensor([0.0, 1.0])).sample(2, generator=torch.Generator())
    tensor([[1.],
            [1.]], dtype=torch.float64)
    """

    weights: Tensor

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Numbers of cells, ``[n, 1]``."""
        return torch.multinomial(self.weights, n, replacement=True, generator=generator).double()[:, None]


def resampled(data: Tensor, *, generator: torch.Generator) -> Resampling:
    """A histogram of cells, or a bootstrap: a fit that draws from its training set.

    Args:
        data: training set, ``[n, d]``.
        generator: unused.

    >>> resampled(torch.ones(3, 1), generator=torch.Generator()).points.shape
    torch.Size([3, 1])
    """
    return Resampling(data)


@dataclass(frozen=True)
class Boxes:
    """A histogram with square cells: a training point is drawn, and a point of its cell, all of them alike.

    Args:
        width: of a cell.

    >>> g = torch.Generator().manual_seed(0)
    >>> Boxes(1.0)(torch.full((9, 2), 0.5), generator=g).sample(9, generator=g).std() > 0.1
    tensor(True)
    """

    width: float

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> BoxModel:
        """Model of a training set ``[n, d]``; fitting takes no randomness."""
        return BoxModel(data, self.width)


@dataclass(frozen=True)
class BoxModel:
    """Draws from the cells of points.

    Args:
        points: ``[n, d]``.
        width: of a cell.

    >>> BoxModel(torch.zeros(1, 2), 1.0).sample(3, generator=torch.Generator()).floor().abs().max()
    tensor(0.)
    """

    points: Tensor
    width: float

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Points ``[n, d]``."""
        chosen = Resampling(self.points).sample(n, generator=generator)
        inside = torch.rand(chosen.shape, generator=generator, dtype=chosen.dtype)
        return ((chosen / self.width).floor() + inside) * self.width


@dataclass(frozen=True)
class Smoothed:
    """A kernel density whose bandwidth follows the data, h = f s n^{−1/(d+4)}, with s² the mean variance.

    Args:
        factor: f; Silverman's rule has about one.
        growth: what f is multiplied with in each generation.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(4096, 4, generator=g)
    >>> abs(Smoothed(1.0)(x, generator=g).bandwidth - 4096 ** (-1 / 8)) < 0.01
    True
    """

    factor: float
    growth: float = 1.0

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> SmoothedModel:
        """Model of generation 0, trained on points ``[n, d]``."""
        return self._of(data, self.factor)

    def continued(
        self, data: Tensor, before: Callable[[], Source], *, generator: torch.Generator
    ) -> SmoothedModel:
        """Model of a later generation.

        Args:
            data: training set, ``[n, d]``.
            before: gives the model of the generation before.
            generator: unused.
        """
        return self._of(data, self.growth * cast(SmoothedModel, before()).factor)

    def _of(self, data: Tensor, factor: float) -> SmoothedModel:
        n, d = data.shape
        width = factor * float(data.var(0).mean().sqrt()) * n ** (-1 / (d + 4))
        return SmoothedModel(KernelDensity(data, width), factor)


@dataclass(frozen=True)
class SmoothedModel:
    """A kernel density that knows by which factor it was smoothed.

    Args:
        density: the law.
        factor: f.

    >>> SmoothedModel(KernelDensity(torch.zeros(2, 1), 0.5), 1.0).bandwidth
    0.5
    """

    density: KernelDensity
    factor: float

    @property
    def bandwidth(self) -> float:
        """Bandwidth h."""
        return self.density.bandwidth

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Points ``[n, d]``."""
        return self.density.sample(n, generator=generator)


@dataclass(frozen=True)
class MixtureFit:
    """Gaussian mixture with full covariances, by expectation and maximisation.

    Args:
        components: their number.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(200, 2, generator=g, dtype=torch.float64)
    >>> MixtureFit(2)(x, generator=g).sample(5, generator=g).shape
    torch.Size([5, 2])
    """

    components: int

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> FittedModel:
        """Model of a training set ``[n, d]``; the start is random."""
        start = int(torch.randint(2**31 - 1, (1,), generator=generator))
        fitted = FittedMixture(self.components, random_state=start, max_iter=1_000).fit(data.numpy())
        weights, means, covariances = (
            torch.from_numpy(x) for x in (fitted.weights_, fitted.means_, fitted.covariances_)
        )
        return FittedModel(weights, means, torch.linalg.cholesky(covariances))


@dataclass(frozen=True)
class FittedModel:
    """A mixture of Gaussians of any shape.

    Args:
        weights: ``[K]``.
        means: ``[K, d]``.
        factors: of the covariances, by Cholesky, ``[K, d, d]``.

    >>> law = FittedModel(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
    >>> law.sample(3, generator=torch.Generator()).shape
    torch.Size([3, 2])
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Points ``[n, d]``."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        return self.means[which] + torch.einsum("nij,nj->ni", self.factors[which], noise)


@dataclass(frozen=True, eq=False)
class Retraining:
    """A retraining loop, and how it is looked at.

    Args:
        fit: the learner.
        target: the data law.
        view: features of points.
        size: N, points of a training set.
        alpha: fresh fraction α of the run that is seen; with ``accumulates`` the one that its last step had.
        others: fresh fractions that are asked for.
        accumulates: train on all that there was.

    >>> RETRAININGS["gaussian"].regime(0.2)
    FreshFraction(alpha=0.2)
    """

    fit: Fit
    target: Source
    view: Callable[[Tensor], Tensor]
    size: int
    alpha: float
    others: tuple[float, float]
    accumulates: bool = False

    def regime(self, alpha: float) -> Regime:
        """What generations are trained on.

        Args:
            alpha: one of the fresh fractions.
        """
        return Accumulate() if self.accumulates and alpha == self.alpha else FreshFraction(alpha)


def _mixture(dim: int, components: int, spread: float, dtype: torch.dtype = torch.float64) -> GaussianMixture:
    """Components of different weights in random places, of variance one altogether in each direction."""
    g = generator_for(0, "mixture", dim, components)
    means = torch.randn(components, dim, generator=g, dtype=dtype)
    weights = torch.rand(components, generator=g, dtype=dtype) + 0.5
    weights = weights / weights.sum()
    means = means - weights @ means
    means = means / (weights @ means.square()).sqrt()
    kept = (1 - spread**2) ** 0.5
    return GaussianMixture(weights, kept * means, torch.full((components,), spread**2, dtype=dtype))


_FEW = torch.linspace(1, 3, 12, dtype=torch.float64)
_UNIT = Gaussian(torch.zeros(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64))
RETRAININGS: dict[str, Retraining] = {
    "kernels": Retraining(Smoothed(0.8), _mixture(3, 4, 0.5), View(3, squares=True), 1_000, 0.2, (0.1, 0.5)),
    "kernels-many": Retraining(Smoothed(0.5), _mixture(8, 6, 0.4), View(8, waves=6), 3_000, 0.5, (0.2, 0.8)),
    "cells": Retraining(resampled, Categories(_FEW / _FEW.sum()), CellView(12), 400, 0.1, (0.3, 0.6)),
    "boxes": Retraining(
        Boxes(1.2), _mixture(2, 3, 0.5), View(2, squares=True, waves=4), 800, 0.3, (0.15, 0.7)
    ),
    "gaussian": Retraining(gaussian_fit, _UNIT, View(5, squares=True), 120, 0.4, (0.2, 0.8)),
    "gaussian-to-mixture": Retraining(
        gaussian_fit, _mixture(4, 3, 0.4), View(4, squares=True, waves=4), 1_000, 0.6, (0.3, 0.8)
    ),
    "network": Retraining(
        code_fit(2, width=48, steps=400, sampler=10),
        _mixture(2, 4, 0.4, torch.float32),
        View(2, squares=True, waves=4),
        1_000,
        0.3,
        (0.15, 0.6),
    ),
    "network-many": Retraining(
        code_fit(5, width=48, steps=400, sampler=10),
        _mixture(5, 3, 0.5, torch.float32),
        View(5, squares=True),
        1_000,
        0.8,
        (0.25, 0.5),
    ),
    "mixture": Retraining(
        MixtureFit(3), _mixture(2, 3, 0.35), View(2, squares=True, waves=6), 250, 0.2, (0.1, 0.5)
    ),
    "bootstrap": Retraining(Smoothed(0.3), _mixture(10, 5, 0.6), View(10), 500, 0.1, (0.2, 0.4)),
    "accumulating": Retraining(
        Smoothed(0.8),
        _mixture(2, 5, 0.4),
        View(2, squares=True, waves=4),
        600,
        0.25,
        (0.15, 0.5),
        accumulates=True,
    ),
    "widening": Retraining(
        Smoothed(0.6, growth=1.05), _mixture(4, 4, 0.5), View(4, squares=True), 1_000, 0.25, (0.15, 0.5)
    ),
}
