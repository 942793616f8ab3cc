"""Pictures in principal components: an MLP that is trained on its own samples, many times over.

A latent diffusion with a linear decoder: the network learns and draws codes; pictures are decoded. Small
enough for several seeds at five fresh fractions, and so for a forecast that can be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift.datasets import PixelLaw, PrincipalComponents, middles
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.fashion import Pictures, fashion_pictures
from scoredrift.experiments.picture_measure import PictureMeasure
from scoredrift.generations import (
    FreshFraction,
    Generation,
    History,
    Measured,
    NetworkFit,
    Regime,
    WarmStart,
    recurse,
)
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

    >>> from scoredrift.experiments import digits_pictures
    >>> digits = digits_pictures()
    >>> z = CodeLaw(digits.law, digits.code).sample(2000, generator=torch.Generator().manual_seed(0))
    >>> z.shape, abs(float(z.var(0).mean()) - 1) < 0.1
    (torch.Size([2000, 20]), True)
    """

    images: PixelLaw
    code: PrincipalComponents

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n codes, shape ``[n, m]``."""
        return self.code.encode(self.images.sample(n, generator=generator))


@dataclass(frozen=True)
class Both:
    """Two measurements of each generation, the second after the first.

    Args:
        first, second: as ``measure`` of ``recurse``.

    >>> Both(lambda generation: {"a": 1.0}, lambda generation: {"b": 2.0})(None)
    {'a': 1.0, 'b': 2.0}
    """

    first: Callable[[Generation], Measured]
    second: Callable[[Generation], Measured]

    def __call__(self, generation: Generation) -> Measured:
        """What both find."""
        return {**self.first(generation), **self.second(generation)}


def through_code(pictures: Pictures) -> Tensor:
    """The images of a data law as their code keeps them: bytes, shape ``[N, C, H, W]``.

    Args:
        pictures: the data law with its code.

    >>> from scoredrift.experiments import digits_pictures
    >>> through_code(digits_pictures()).shape
    torch.Size([1000, 1, 8, 8])
    """
    parts = pictures.law.images.split(5000)
    return torch.cat([pictures.decoded(pictures.code.encode(middles(part))) for part in parts])


def code_fit(
    dim: int, *, width: int, steps: int, sampler: int, folder: Path | str | None = None
) -> NetworkFit:
    """How the MLP of these experiments is trained and sampled.

    Args:
        dim: m, numbers of a code.
        width: units of each of four layers.
        steps: updates.
        sampler: steps of the sampler, with two evaluations each.
        folder: where trainings are kept, as for ``NetworkFit``.

    >>> code_fit(20, width=64, steps=10, sampler=25).recipe.batch
    256
    """
    recipe = Recipe(steps, batch=256, rate=3e-3, averaging=0.99, check_every=max(1, steps // 5))
    build = partial(PointNetwork, dim, width=width, depth=4)
    return NetworkFit(build, recipe, PROCESS, steps=sampler, integrator=HeunFlow(), folder=folder)


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
    pictures: Pictures | None = None,
    regime: Regime | None = None,
    warm: bool = False,
    more: Callable[[Generation], Measured] | None = None,
    after: History | None = None,
) -> History:
    """One recursion of an MLP on codes. Runs of different α have no random numbers in common.

    Args:
        settings: an entry of the scales of ``FASHION``.
        alpha: fresh fraction.
        run, seed: fix the random numbers, with α.
        device: torch device.
        folder, progress: as for ``recurse``.
        first: number of run 0, so that experiments with one seed have no run in common.
        pictures: data law; None for Fashion-MNIST.
        regime: what each generation is trained on; None for ``FreshFraction(alpha)``.
        warm: each network goes on from the one before.
        more: measured beside what ``PictureMeasure`` gives.
        after: history to be continued, instead of what the folder holds.

    >>> from scoredrift.experiments import digits_pictures
    >>> small = {"width": 16, "steps": 20, "sampler": 5, "size": 600, "generations": 1, "pictures": 4}
    >>> here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": digits_pictures()}
    >>> run_codes(small, alpha=0.5, run=0, **here)["deviation"].shape
    torch.Size([2, 16])
    """
    world = (fashion_pictures() if pictures is None else pictures).to(device)
    sizes = {name: settings[name] for name in ("width", "steps", "sampler")}
    networks = Path(folder) / "networks" if warm and folder is not None else None  # which a warm start needs
    fit = code_fit(len(world.code.directions), **sizes, folder=networks)
    usual = PictureMeasure(world, world.decoded, world.look(through_code(world)), settings["pictures"])
    return recurse(
        WarmStart(fit) if warm else fit,
        CodeLaw(world.law, world.code),
        regime=FreshFraction(alpha) if regime is None else regime,
        generations=settings["generations"],
        size=settings["size"],
        seed=(seed, round(1000 * alpha), first + run),
        measure=usual if more is None else Both(usual, more),
        folder=folder,
        after=after,
        device=device,
        progress=progress,
    )


_QUICK = {"size": 2_000, "width": 128, "steps": 200, "sampler": 10, "pictures": 2}
_MEDIUM = {"size": 20_000, "width": 512, "steps": 2_000, "sampler": 25, "pictures": 2}
FASHION_PILOT = Experiment(
    "fashion-pilot",
    "Fashion-MNIST in 64 components: three generations at one fresh fraction, to forecast from",
    {
        "quick": {"about": "a minute", **_QUICK, "runs": 3, "generations": 1},
        "medium": {"about": "a quarter of an hour", **_MEDIUM, "runs": 5, "generations": 2},
    },
    partial(run_cases, partial(run_codes, first=1_000), over={"alpha": (0.5,)}),
)
FASHION_CRITICAL = Experiment(
    "fashion-critical",
    "Fashion-MNIST in 64 components: two fresh fractions about the critical one of the pilot",
    {
        "quick": {"about": "two minutes", **_QUICK, "runs": 1, "generations": 2},
        "medium": {"about": "an hour", **_MEDIUM, "runs": 3, "generations": 12},
    },
    partial(run_cases, run_codes, over={"alpha": (0.3, 0.4)}),
)
FASHION = Experiment(
    "fashion",
    "Fashion-MNIST in 64 components: the recursion at five fresh fractions",
    {
        "quick": {"about": "three minutes", **_QUICK, "runs": 1, "generations": 2},
        "medium": {"about": "two hours", **_MEDIUM, "runs": 3, "generations": 10},
        "paper": {"about": "four hours", **_MEDIUM, "runs": 5, "generations": 10},
    },
    partial(run_cases, run_codes, over={"alpha": (0.05, 0.1, 0.2, 0.5, 0.9)}),
)
