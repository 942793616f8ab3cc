"""Networks in ten dimensions: the recursion on the five-Gaussian law, where no density of a model is known.

What a law does to cells that have equal mass under p_{t0} is its deviation in features, as on the line: a cell is a
Gaussian of the mixture and a shell around its centre. Energies come from denoising losses: in some generations a
reference network is trained on more points of q_i for longer, and bounds the energy of the network from below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from scipy.special import gammaincinv
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.mixture import moments
from scoredrift.experiments.neural import PROCESS
from scoredrift.generations import (
    FreshFraction,
    Generation,
    History,
    Measured,
    NetworkFit,
    NetworkModel,
    recurse,
)
from scoredrift.laws import GaussianMixture, Source, mixture_of_five
from scoredrift.networks import PointNetwork, Recipe
from scoredrift.observability import energy_bound, energy_by_level, loss_difference
from scoredrift.scores import Flow

SHELLS = 4
_DRAWS, _LEVELS = 4000, 8
_MORE = 4  # times as many points and steps for a reference


def masses_of_shells(x: Tensor, law: GaussianMixture, shells: int = SHELLS) -> Tensor:
    """Share of points in each cell: nearest centre of a mixture, and one of some shells around it.

    The shells of a centre have equal mass under its own Gaussian. For a mixture of equal, well separated
    Gaussians all cells therefore have the same mass; how well separated, the distances of the centres say.

    Args:
        x: points, shape ``[n, d]``, n ≥ 1.
        law: mixture of J Gaussians of one variance and equal weights.
        shells: S ≥ 1.

    Returns:
        Shape ``[J S]``, float64, sum 1.

    Raises:
        ValueError: no points, another dimension, or variances or weights that differ.

    >>> law = mixture_of_five(2)
    >>> g = torch.Generator().manual_seed(0)
    >>> masses = masses_of_shells(law.sample(40_000, generator=g), law)
    >>> bool((masses - 1 / 20).abs().max() < 5 * (0.05 / 40_000) ** 0.5)
    True
    """
    _checks.points("x", x, law.dim)
    shells = _checks.count("shells", shells)
    if len(x) == 0:
        _checks.refuse("x.shape", list(x.shape), "pass one or more points")
    for name, values in (("variances", law.variances), ("weights", law.weights)):
        if not _checks.holds((values - values[0]).abs() <= 1e-6 * values[0]):
            _checks.refuse(f"law.{name}", "not all equal", "cells of equal mass need equal Gaussians")
    distance, nearest = torch.cdist(x.double(), law.means.double()).min(1)
    levels = torch.arange(1, shells, dtype=torch.float64) / shells
    edges = 2 * torch.from_numpy(gammaincinv(law.dim / 2, levels.numpy()))  # quantiles of χ²_d
    shell = torch.bucketize(distance.square() / float(law.variances[0]), edges)
    counts = torch.bincount(nearest * shells + shell, minlength=len(law.weights) * shells)
    return counts.double() / len(x)


def ten_fit(*, steps: int) -> NetworkFit:
    """How networks of these experiments are trained and sampled.

    Args:
        steps: updates.

    >>> ten_fit(steps=10).recipe.batch
    256
    """
    recipe = Recipe(steps, batch=256, rate=4e-3, averaging=0.99, check_every=max(1, steps // 5))
    return NetworkFit(partial(PointNetwork, 10, width=128), recipe, PROCESS)


@dataclass(frozen=True)
class TenMeasure:
    """What is known of a generation of networks in ten dimensions.

    Args:
        alpha: fresh fraction of the run.
        steps: of the training of a network.
        referred: generations in which a reference is trained.

    >>> TenMeasure(0.5, 10, (0,)).referred
    (0,)
    """

    alpha: float
    steps: int
    referred: tuple[int, ...]

    def __call__(self, generation: Generation) -> Measured:
        """Masses of cells under p̂ and q_{t0}, moments and, in some generations, bounds of the energy."""
        data = mixture_of_five(dtype=torch.float32)
        model = generation.model
        assert isinstance(model, NetworkModel)
        found = dict(moments(generation))
        found["cells"] = masses_of_shells(generation.drawn, data.diffuse(PROCESS.t_min))
        found["wanted"] = self._wanted(generation, data)
        found["held_out"] = model.trained.held_out.min()
        if generation.index in self.referred:
            found |= self._energies(generation, model, data)
        return found

    def _wanted(self, generation: Generation, data: GaussianMixture) -> Tensor:
        """Masses of cells under q_{t0}, which the network should generate."""
        source, cells = generation.generator, len(data.weights) * SHELLS
        if generation.previous is None:
            return torch.full((cells,), 1 / cells, dtype=torch.float64)
        points = training_points(
            data, generation.previous, self.alpha, len(generation.drawn), generator=source
        )
        points = PROCESS.diffuse(points, 0.0, PROCESS.t_min, generator=source)
        return masses_of_shells(points, data.diffuse(PROCESS.t_min))

    def _energies(self, generation: Generation, model: NetworkModel, data: GaussianMixture) -> Measured:
        source, before, n = generation.generator, generation.previous, len(generation.training)
        points = training_points(data, before, self.alpha, _MORE * n, generator=source)
        reference = ten_fit(steps=_MORE * self.steps)(points, generator=source).score
        fresh = training_points(data, before, self.alpha, _DRAWS, generator=source)
        edges = PROCESS.geometric_grid(_LEVELS).flip(0)
        found: dict[str, Estimate] = {
            "bound": energy_bound(model.score, reference, fresh, edges, generator=source).total,
            "difference": loss_difference(model.score, reference, fresh, PROCESS, generator=source),
        }
        if before is None:
            error = Flow(data, PROCESS).error(model.score)
            found["energy"] = energy_by_level(error, _DRAWS, edges, generator=source).total
        return found


def training_points(
    data: Source, before: Source | None, alpha: float, n: int, *, generator: torch.Generator
) -> Tensor:
    """Points of what a generation is trained on, q_i = α p + (1−α) p̂^i, or p in generation 0.

    Args:
        data: p.
        before: p̂^i, the model of the generation before; None in generation 0.
        alpha: fresh fraction.
        n: how many.
        generator: source of randomness.

    >>> law = mixture_of_five()
    >>> training_points(law, law, 0.5, 100, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([100, 10])
    """
    if before is None:
        return data.sample(n, generator=generator)

    def fresh(count: int) -> Tensor:
        return data.sample(count, generator=generator)

    drawn = before.sample(n, generator=generator)
    return FreshFraction(alpha).training_set(fresh, drawn, None, generator=generator)


def run_ten(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
    first: int = 0,
) -> History:
    """One recursion of networks in ten dimensions.

    Args:
        settings: size, steps, generations and, if there are any, the generations with a reference.
        alpha: fresh fraction.
        run, seed: fix the random numbers.
        device: torch device.
        folder, progress: as for ``recurse``.
        first: number of run 0, so that experiments with one seed have no run in common.

    >>> small = {"size": 400, "steps": 20, "generations": 1}
    >>> history = run_ten(small, alpha=0.5, run=0, seed=1, device="cpu", folder=None, progress=False)
    >>> history["cells"].shape
    torch.Size([2, 20])
    """
    return recurse(
        ten_fit(steps=settings["steps"]),
        mixture_of_five(dtype=torch.float32).to(device=device),
        regime=FreshFraction(alpha),
        generations=settings["generations"],
        size=settings["size"],
        seed=(seed, first + run),
        measure=TenMeasure(alpha, settings["steps"], tuple(settings.get("referred", ()))),
        folder=folder,
        device=device,
        progress=progress,
    )


NEURAL_TEN_PILOT = Experiment(
    "neural-ten-pilot",
    "networks in ten dimensions: three generations at one fresh fraction, to forecast from",
    {
        "quick": {"about": "a minute", "size": 4_000, "steps": 500, "runs": 3, "generations": 3},
        "medium": {"about": "three minutes", "size": 20_000, "steps": 2_000, "runs": 5, "generations": 3},
        "paper": {"about": "ten minutes", "size": 20_000, "steps": 2_000, "runs": 16, "generations": 3},
    },
    partial(run_cases, run_ten, over={"alpha": (0.5,)}),
)
_REFERRED = {"generations": 10, "referred": [0, 10]}
NEURAL_TEN = Experiment(
    "neural-ten",
    "networks in ten dimensions: the recursion at three fresh fractions",
    {
        "quick": {"about": "five minutes", "size": 4_000, "steps": 500, "runs": 2, **_REFERRED},
        "medium": {"about": "fifty minutes", "size": 20_000, "steps": 2_000, "runs": 5, **_REFERRED},
        "paper": {"about": "three hours", "size": 20_000, "steps": 2_000, "runs": 16, **_REFERRED},
    },
    partial(run_cases, partial(run_ten, first=1_000), over={"alpha": (0.1, 0.5, 0.9)}),
)
