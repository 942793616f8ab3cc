"""Networks that are retrained on their own photographs, and how much of their error shows.

After the source paper's figure 9 (arXiv 2602.16601), which has η̂ of networks on CIFAR-10 for three fresh fractions over
generations, 0.25 to 0.35, by "the same procedure" as for its mixture; network, early stop and training are not given.
Ours: pictures at a quarter of their pixels, a small U-Net, and pairs of futures instead of trajectories. The error of a
network is known against the empirical law of its training set, whose score is attention over the pictures; against the
law from which that was drawn, a network that saw more of it bounds the energy from below.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift.datasets import FeatureNetwork, PixelLaw, cifar10, random_features, to_bytes
from scoredrift.estimates import Estimate
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.fashion import detail_of
from scoredrift.experiments.fashion_pixels import ByteFit, ByteModel, pixel_fit
from scoredrift.experiments.fashion_studies import level_pairs
from scoredrift.experiments.image_errors import shrunk
from scoredrift.experiments.neural_ten import training_points
from scoredrift.experiments.picture_measure import in_features
from scoredrift.generations import FreshFraction, Generation, History, Measured, recurse
from scoredrift.laws import KernelDensity
from scoredrift.observability import PairDesign, by_pairs, energy_bound, energy_by_level
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.runs import generator_for
from scoredrift.scores import Flow

EARLY_STOPS = (0.002, 0.02, 0.2)
_LAST = 4.0  # until which energies count; beyond it all scores are nearly −x
_WIDTH = 1e-3  # of a picture of the empirical law
_LEVELS = 8
_LAW = 45_000  # pictures of the data law; the other training images are held out
_SMALLER = 2  # side of the squares of pixels that are averaged


@dataclass(frozen=True, eq=False)
class Photographs:
    """A data law of photographs, some that are held out, and features that need no labels.

    Args:
        law: the data law.
        unseen: others, bytes.
        network: features of random convolutions.

    >>> world = photographs_of(torch.randint(256, (60, 3, 8, 8), dtype=torch.uint8), law=50)
    >>> world.shape, len(world.unseen)
    ((3, 8, 8), 10)
    """

    law: PixelLaw
    unseen: Tensor
    network: FeatureNetwork

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.network.shape

    def to(self, device: torch.device | str) -> Photographs:
        """The same on another device."""
        network = copy.deepcopy(self.network).to(device)  # which would move in place
        return Photographs(self.law.to(device), self.unseen.to(device), network)


def photographs_of(images: Tensor, *, law: int) -> Photographs:
    """The first pictures as a data law, the others held out.

    Args:
        images: bytes, ``[n, C, H, W]``.
        law: how many are the data law.

    >>> photographs_of(torch.zeros(9, 3, 8, 8, dtype=torch.uint8), law=5).law.images.shape
    torch.Size([5, 3, 8, 8])
    """
    depth, height, width = images.shape[1:]
    network = random_features((depth, height, width), generator=generator_for(0, "photographs"))
    return Photographs(PixelLaw(images[:law]), images[law:], network)


@cache
def small_photographs() -> Photographs:
    """CIFAR-10 at 16×16 pixels, each the mean of four, rounded to a grey level.

    Raises:
        ValueError: the images are not at hand.

    >>> large = torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)  # this is what becomes of each
    >>> to_bytes(shrunk(large, shrink=2), (3, 16, 16)).unique()
    tensor([7], dtype=torch.uint8)
    """
    images = cifar10("train").images
    depth, height, width = images.shape[1:]
    small = to_bytes(shrunk(images, shrink=_SMALLER), (depth, height // _SMALLER, width // _SMALLER))
    return photographs_of(small, law=_LAW)


@dataclass(frozen=True, eq=False)
class PhotographMeasure:
    """What is measured of a generation: visible energy, bound of the energy, deviation, detail, pictures.

    Args:
        world: the data law.
        features: of its pictures, ``[N, m]``.
        alpha: fresh fraction.
        reference: how a reference is trained.
        settings: ``draws`` of each estimate, ``more`` points of a reference, generations with one, ``referred``,
            ``pictures`` that are kept, and early ``stops`` where they are not those of figure 9.

    >>> world = photographs_of(torch.randint(256, (60, 3, 8, 8), dtype=torch.uint8), law=50)
    >>> tiny = {"channels": (8,), "steps": 2, "batch": 4, "rate": 1e-3, "sampler": 2}
    >>> PhotographMeasure.of(world, 0.5, pixel_fit(tiny, world.shape), {"draws": 4}).features.shape
    torch.Size([50, 64])
    """

    world: Photographs
    features: Tensor
    alpha: float
    reference: ByteFit
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls, world: Photographs, alpha: float, reference: ByteFit, settings: Mapping[str, Any]
    ) -> PhotographMeasure:
        """With the features of all pictures of the data law; arguments as above."""
        return cls(world, world.network.features(world.law.images), alpha, reference, settings)

    def __call__(self, generation: Generation) -> Measured:
        """Of each early stop ``eta``, ``visible`` and ``energy``; and what does not depend on it."""
        model, source = generation.model, generation.generator
        assert isinstance(model, ByteModel)
        images = to_bytes(generation.drawn, self.world.shape)
        seen = in_features(self.features, self.world.network.features(images))
        kept = {name: seen[name] for name in ("deviation", "chance")}
        rough = [detail_of(some) for some in (images, self.world.law.images)]
        found: dict[str, Any] = kept | {
            "detail": Estimate.from_samples(rough[0].double() / float(rough[1].double().mean())),
            "held_out": model.trained.held_out.min(),
            "pictures": images[: self.settings["pictures"]],
        }
        law = KernelDensity(generation.training, _WIDTH)
        design = PairDesign(strata=_LEVELS, antithetic=True, divergence_free=True)
        draws = self.settings["draws"]
        stops = self.settings.get("stops", EARLY_STOPS)
        for stop in stops:
            error = Flow(law, OrnsteinUhlenbeck(stop, _LAST)).error(model.model.score)
            shown = by_pairs(error, draws, design=design, generator=source)
            found |= {f"{name}_{stop}": getattr(shown, name) for name in ("eta", "visible", "energy")}
        longest = OrnsteinUhlenbeck(min(stops), _LAST)
        edges = longest.geometric_grid(_LEVELS).flip(0).to(law.device)
        whole = Flow(law, longest).error(model.model.score)
        levels = energy_by_level(whole, draws, edges, generator=source)
        found["energy_levels"] = level_pairs(levels.levels)
        if generation.index in self.settings["referred"]:
            bound = self._bound(generation, model, edges)
            found |= {"bound": bound.total, "bound_levels": level_pairs(bound.levels)}
        return found

    def _bound(self, generation: Generation, model: ByteModel, edges: Tensor) -> Any:
        source, here = generation.generator, (self.world.law, generation.previous, self.alpha)
        many = training_points(*here, self.settings["more"] * len(generation.training), generator=source)
        reference = self.reference(many, generator=source)
        fresh = training_points(*here, self.settings["draws"], generator=source)
        return energy_bound(model.model.score, reference.model.score, fresh, edges, generator=source)


def run_image_networks(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
    photographs: Callable[[], Photographs] = small_photographs,
) -> History:
    """One recursion of a U-Net on small photographs, with the observability of its error in each generation.

    Args:
        settings: an entry of the scales of ``IMAGE_NETWORKS``.
        alpha: fresh fraction.
        run, seed: fix the random numbers, with α.
        device: torch device.
        folder, progress: as for ``recurse``.
        photographs: gives the data law; CIFAR-10 at 16×16 pixels.

    >>> tiny = {"channels": (8,), "steps": 2, "batch": 4, "rate": 1e-3, "sampler": 2, "size": 100, "generations": 0}
    >>> tiny |= {"draws": 8, "more": 2, "longer": 2, "referred": [0], "pictures": 4}
    >>> here = {"seed": 1, "device": "cpu", "folder": None, "progress": False}
    >>> def noise(): return photographs_of(torch.randint(256, (99, 3, 8, 8), dtype=torch.uint8), law=90)
    >>> run_image_networks(tiny, alpha=0.5, run=0, photographs=noise, **here)["eta_0.02"].shape
    torch.Size([1, 2])
    """
    world = photographs().to(device)
    longer = {**settings, "steps": settings["longer"] * settings["steps"]}
    reference = pixel_fit(longer, world.shape)
    return recurse(
        pixel_fit(settings, world.shape),
        world.law,
        regime=FreshFraction(alpha),
        generations=settings["generations"],
        size=settings["size"],
        seed=(seed, round(1000 * alpha), run),
        measure=PhotographMeasure.of(world, alpha, reference, settings),
        folder=folder,
        device=device,
        progress=progress,
    )


_TINY = {"size": 300, "channels": [8, 16], "steps": 20, "batch": 32, "sampler": 5, "draws": 20}
_MEDIUM = {"size": 4_000, "channels": [16, 32, 32], "steps": 800, "batch": 64, "sampler": 15, "draws": 400}
_COMMON = {"rate": 1e-3, "more": 2, "longer": 2, "pictures": 24}
IMAGE_NETWORKS = Experiment(
    "image-networks",
    "CIFAR-10 at 16×16: U-Nets retrained on their own photographs, and how much of their error shows",
    {
        "quick": {
            "about": "three minutes",
            **_COMMON,
            **_TINY,
            "referred": [0],
            "runs": 1,
            "generations": 1,
        },
        "medium": {
            "about": "two hours",
            **_COMMON,
            **_MEDIUM,
            "pictures": 12,
            "referred": [0, 4],
            "runs": 3,
            "generations": 4,
        },
    },
    partial(run_cases, run_image_networks, over={"alpha": (0.1, 0.5, 0.9)}),
)
IMAGE_STOPS = Experiment(
    "image-stops",
    "CIFAR-10 at 16×16: how much of the error of one U-Net shows, by early stop",
    {
        "quick": {
            "about": "half a minute",
            **_COMMON,
            **_TINY,
            "stops": [0.002, 0.2],
            "referred": [],
            "runs": 1,
            "generations": 0,
        },
        "medium": {
            "about": "ten minutes",
            **_COMMON,
            **_MEDIUM,
            "stops": [1e-4, 5e-4, 0.002, 0.02, 0.2],
            "referred": [],
            "runs": 3,
            "generations": 0,
        },
    },
    partial(run_cases, run_image_networks, over={"alpha": (0.5,)}),
)
