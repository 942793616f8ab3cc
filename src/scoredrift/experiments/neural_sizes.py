"""How much data a network needs, and when it learns them by heart.

Energy against the number n of points: networks on the line and kernel densities from the same law, one of which
has no bandwidth at all, so that its score is that of the empirical law q_n.

Two energies of one network in the plane: against the law p of the points and against the empirical law q_N of the
training set, for trainings that are short and long, each one with its own schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.divergences import total_variation_on_nodes
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.neural import CELLS, PROCESS, equal_cells, line_fit, masses_between
from scoredrift.generations import (
    Fit,
    FreshFraction,
    Generation,
    History,
    KernelFit,
    LineModel,
    Measured,
    NetworkFit,
    NetworkModel,
    recurse,
)
from scoredrift.laws import GaussianMixture, KernelDensity, Law, mixture_of_five, mixture_of_three, on_nodes
from scoredrift.networks import PointNetwork, Recipe
from scoredrift.observability import energy_by_level
from scoredrift.paths import ideal_energy_on_nodes
from scoredrift.runs import generator_for
from scoredrift.scores import Flow

NO_BANDWIDTH = 1e-6
LEARNERS: dict[str, float | int] = {  # steps of a network, or bandwidth of a kernel density
    "network": 1,
    "long network": 4,
    "h = 0": NO_BANDWIDTH,
    "h = 0.05": 0.05,
    "h = 0.1": 0.1,
    "h = 0.2": 0.2,
    "h = 0.4": 0.4,
}
_LEVELS = 8
_POINTS = 2000
_PICTURED = 400


@dataclass(frozen=True)
class SizeMeasure:
    """Energy and distance of a learner on the line, by quadrature.

    Args:
        bandwidth: of the kernel density; None for a network.

    >>> SizeMeasure(None).bandwidth is None
    True
    """

    bandwidth: float | None

    def __call__(self, generation: Generation) -> Measured:
        """Ideal energy against p; total variation between what is generated and p_{t0}; masses of cells."""
        nodes, grid = torch.linspace(-9, 9, 401, dtype=torch.float64), PROCESS.geometric_grid(60)
        p, model = mixture_of_three(), generation.model
        learned: Any
        if self.bandwidth is None:
            assert isinstance(model, LineModel)
            learned = model.network.score
        else:
            learned = Flow(KernelDensity(generation.training, self.bandwidth), PROCESS)
        assert isinstance(model, Law)
        drawn, data = on_nodes(model, nodes), on_nodes(p.diffuse(PROCESS.t_min), nodes)
        edges = equal_cells(p.diffuse(PROCESS.t_min), CELLS)
        return {
            "ideal_energy": ideal_energy_on_nodes(Flow(p, PROCESS).error(learned), nodes, grid),
            "variation": total_variation_on_nodes(drawn, data, nodes),
            "cells": masses_between(as_mixture(model), edges),
        }


def as_mixture(law: Law) -> GaussianMixture:
    """What a network generates on the line, or a kernel density, as the Gaussian mixture that it is.

    Args:
        law: a ``LineModel`` or a ``KernelDensity``.

    Raises:
        ValueError: another law.

    >>> as_mixture(KernelDensity(torch.zeros(4, 1), 0.5)).weights
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    if isinstance(law, LineModel):
        return law.generated
    if not isinstance(law, KernelDensity):
        _checks.refuse("law", f"a {type(law).__name__}", "pass a LineModel or a KernelDensity")
    equal = torch.full_like(law.centres[:, 0], 1 / len(law.centres))
    weights = equal if law.weights is None else law.weights
    return GaussianMixture(weights, law.centres, torch.full_like(weights, law.bandwidth**2))


def run_size(
    settings: Mapping[str, Any],
    *,
    learner: str,
    size: int,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
) -> History:
    """One learner, trained on points of the mixture of three.

    Args:
        settings: steps.
        learner: an entry of ``LEARNERS``.
        size: n.
        run, seed: fix the random numbers; learners of one size and run see the same points.
        device: has to be cpu.
        folder, progress: as for ``recurse``.

    >>> settings = {"steps": 100}
    >>> options = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False}
    >>> worse = run_size(settings, learner="h = 0.4", size=2000, **options)["ideal_energy"]
    >>> bool(run_size(settings, learner="h = 0.1", size=2000, **options)["ideal_energy"] < worse)
    True
    """
    if torch.device(device).type != "cpu":
        _checks.refuse("device", device, "networks on the line are tiny; run them on the CPU")
    if learner not in LEARNERS:
        _checks.refuse("learner", repr(learner), f"choose one of {', '.join(LEARNERS)}")
    network = "network" in learner
    bandwidth = None if network else LEARNERS[learner]
    fit = (
        line_fit(size=size, steps=round(settings["steps"] * LEARNERS[learner]))
        if bandwidth is None
        else KernelFit(bandwidth, PROCESS)
    )
    seeds = (seed, size, run)
    return _one_generation(fit, mixture_of_three(), size, seeds, SizeMeasure(bandwidth), folder, progress)


def _one_generation(
    fit: Fit,
    law: Law,
    size: int,
    seed: tuple[int, ...],
    measure: Callable[[Generation], Measured],
    folder: Path | str | None,
    progress: bool,
) -> History:
    """A learner that is trained once, on fresh points alone."""
    return recurse(
        fit,
        law,
        regime=FreshFraction(1.0),
        generations=0,
        size=size,
        seed=seed,
        measure=measure,
        folder=folder,
        progress=progress,
    )


@dataclass(frozen=True)
class RepeatedFit:
    """Networks in the plane that see few points often: the points are repeated until they fill batches.

    Args:
        steps: updates, the last of which gives the network.
        judged: points that the training is judged by, shape ``[n, 2]``.

    >>> RepeatedFit(100, torch.zeros(1, 2)).steps
    100
    """

    steps: int
    judged: Tensor

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> NetworkModel:
        """Model of a network, as for ``NetworkFit``."""
        recipe = Recipe(self.steps, batch=256, rate=4e-3, averaging=0.99, check_every=self.steps)
        fit = NetworkFit(partial(PointNetwork, 2, width=128), recipe, PROCESS, judged=self.judged)
        return fit(data.repeat(-(-recipe.batch // len(data)), 1), generator=generator)


def two_energies(generation: Generation) -> Measured:
    """Energies against the law of the points and against the empirical law of the training set.

    Args:
        generation: of a network in the plane.

    Returns:
        ``population`` and ``empirical``, values and standard errors, ``[2]``; ``pictured`` and ``training``,
        the first points that were drawn and trained on.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = mixture_of_five(2, dtype=torch.float32).sample(4, generator=g)
    >>> model = RepeatedFit(20, x)(x, generator=g)
    >>> found = two_energies(Generation(0, x, model, x, g, None))
    >>> found["training"].shape, found["population"].value > 1
    (torch.Size([4, 2]), True)
    """
    model = generation.model
    assert isinstance(model, NetworkModel)
    laws = {
        "population": mixture_of_five(2),
        "empirical": KernelDensity(generation.training.double(), NO_BANDWIDTH),
    }
    edges, source = PROCESS.geometric_grid(_LEVELS).flip(0), generation.generator
    energies = {
        name: energy_by_level(Flow(law, PROCESS).error(model.score), _POINTS, edges, generator=source).total
        for name, law in laws.items()
    }
    drawn = model.sample(_PICTURED, generator=source)
    return energies | {"pictured": drawn.float(), "training": generation.training[:_PICTURED].float()}


def run_memory(
    settings: Mapping[str, Any],
    *,
    size: int,
    steps: int,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
) -> History:
    """One network in the plane, trained on few points.

    Args:
        settings: nothing but runs and generations.
        size: N.
        steps: updates.
        run, seed: fix the random numbers; trainings of one size and run see the same points.
        device: has to be cpu.
        folder, progress: as for ``recurse``.

    >>> options = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False}
    >>> run_memory({}, size=4, steps=20, **options)["empirical"].shape
    torch.Size([1, 2])
    """
    if torch.device(device).type != "cpu":
        _checks.refuse("device", device, "networks in the plane are tiny; run them on the CPU")
    law = mixture_of_five(2, dtype=torch.float32)
    seeds = (seed, size, run)
    judged = law.sample(_POINTS, generator=generator_for(seeds, "judged"))
    return _one_generation(RepeatedFit(steps, judged), law, size, seeds, two_energies, folder, progress)


NEURAL_SIZE = Experiment(
    "neural-size",
    "networks and kernel densities on the line: energy against the number of points",
    {
        "quick": {"about": "two minutes", "steps": 300, "runs": 2, "generations": 0},
        "medium": {"about": "twenty minutes", "steps": 1_000, "runs": 8, "generations": 0},
        "paper": {"about": "an hour", "steps": 1_000, "runs": 24, "generations": 0},
    },
    partial(run_cases, run_size, over={"learner": tuple(LEARNERS), "size": (125, 500, 2000, 8000, 32000)}),
    axes=("learner", "size"),
)
NEURAL_MEMORY = Experiment(
    "neural-memory",
    "networks in the plane: energies against the law and against the training set, short and long trainings",
    {
        "quick": {"about": "five minutes", "runs": 1, "generations": 0},
        "medium": {"about": "twenty minutes", "runs": 4, "generations": 0},
        "paper": {"about": "an hour", "runs": 12, "generations": 0},
    },
    partial(
        run_cases, run_memory, over={"size": (10, 40, 160, 640, 2560), "steps": (250, 1000, 4000, 16000)}
    ),
    axes=("size", "steps"),
)
