"""Fashion-MNIST in 64 principal components: an MLP that is trained on its own samples, many times over.

A latent diffusion with a linear decoder: the network learns and draws codes; pictures are decoded. Small
enough for several seeds at five fresh fractions, and so for a forecast that can be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift.datasets import PixelLaw, PrincipalComponents
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.fashion import COMPONENTS, decoded, fashion_code, fashion_law, picture_measure
from scoredrift.generations import FreshFraction, History, NetworkFit, recurse
from scoredrift.networks import PointNetwork, Recipe
from scoredrift.paths import HeunFlow
from scoredrift.process import OrnsteinUhlenbeck

PROCESS = OrnsteinUhlenbeck(1e-3, 8.0)


@dataclass(frozen=True, eq=False)
class CodeLaw:
    """The law of the codes of a law of images: a source of points ``[n, m]``.

    Args:
        images: law of images.
        code: their code.
    """

    images: PixelLaw
    code: PrincipalComponents

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n codes, shape ``[n, m]``."""
        return self.code.encode(self.images.sample(n, generator=generator))


def code_fit(*, steps: int, sampler: int) -> NetworkFit:
    """How the MLP of these experiments is trained and sampled.

    Args:
        steps: updates.
        sampler: steps of the sampler, with two evaluations each.

    >>> code_fit(steps=10, sampler=25).recipe.batch
    256
    """
    recipe = Recipe(steps, batch=256, rate=3e-3, averaging=0.99, check_every=max(1, steps // 5))
    build = partial(PointNetwork, COMPONENTS, width=512, depth=4)
    return NetworkFit(build, recipe, PROCESS, steps=sampler, integrator=HeunFlow())


def run_codes(
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
    """One recursion of an MLP on codes. Runs of different α have no random numbers in common.

    Args:
        settings: an entry of the scales of ``FASHION``.
        alpha: fresh fraction.
        run, seed: fix the random numbers, with α.
        device: torch device.
        folder, progress: as for ``recurse``.
        first: number of run 0, so that experiments with one seed have no run in common.
    """
    code = fashion_code().to(device)
    return recurse(
        code_fit(steps=settings["steps"], sampler=settings["sampler"]),
        CodeLaw(fashion_law().to(device), code),
        regime=FreshFraction(alpha),
        generations=settings["generations"],
        size=settings["size"],
        seed=(seed, round(1000 * alpha), first + run),
        measure=picture_measure(settings, partial(decoded, code), device),
        folder=folder,
        device=device,
        progress=progress,
    )


_QUICK = {"size": 2_000, "steps": 200, "sampler": 10, "pictures": 20, "featured": 60}
_MEDIUM = {"size": 20_000, "steps": 2_000, "sampler": 25, "pictures": 20, "featured": 2_000}
FASHION_PILOT = Experiment(
    "fashion-pilot",
    "Fashion-MNIST in 64 components: three generations at one fresh fraction, to forecast from",
    {
        "quick": {"about": "a minute", **_QUICK, "runs": 3, "generations": 1},
        "medium": {"about": "20 minutes", **_MEDIUM, "runs": 5, "generations": 2},
    },
    partial(run_cases, partial(run_codes, first=1_000), over={"alpha": (0.5,)}),
)
FASHION = Experiment(
    "fashion",
    "Fashion-MNIST in 64 components: the recursion at five fresh fractions",
    {
        "quick": {"about": "three minutes", **_QUICK, "runs": 1, "generations": 2},
        "medium": {"about": "three hours", **_MEDIUM, "runs": 5, "generations": 10},
    },
    partial(run_cases, run_codes, over={"alpha": (0.05, 0.1, 0.2, 0.5, 0.9)}),
)
