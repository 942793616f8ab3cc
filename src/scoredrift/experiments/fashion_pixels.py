"""Pictures in pixels: a U-Net that is trained on its own images, generation after generation.

What a model draws is kept as bytes, as
files would keep it, and spread in the same way when it is trained on. Network and optimiser are of the source paper's
family (arXiv 2602.16601, second-hand): residual blocks with GroupNorm and SiLU, sinusoidal times, dropout 0.1;
AdamW with weight decay 1e-4 and a cosine schedule, average of the weights 0.99. Ours are the sizes, the
number of updates with the rate that fits it, the noise levels and the sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift.datasets import spread_levels, to_bytes
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.fashion import Pictures, fashion_pictures
from scoredrift.experiments.picture_measure import PictureMeasure
from scoredrift.generations import FreshFraction, History, NetworkFit, NetworkModel, recurse
from scoredrift.networks import Recipe, Trained, image_unet
from scoredrift.paths import HeunFlow
from scoredrift.process import OrnsteinUhlenbeck

PROCESS = OrnsteinUhlenbeck(1e-4, 10.0)  # noise of a grey level at t0, and nothing of the image at T


@dataclass(frozen=True, eq=False)
class ByteModel:
    """A network's sampler of images, whose samples are kept as bytes.

    Args:
        model: draws points near [−1, 1]^d.
        shape: (C, H, W).

    >>> g = torch.Generator().manual_seed(0)
    >>> tiny = {"channels": (8, 16), "steps": 2, "batch": 4, "rate": 1e-3, "sampler": 5}
    >>> model = pixel_fit(tiny, (1, 8, 8))(torch.rand(40, 64, generator=g), generator=g)
    >>> isinstance(model, ByteModel), bool(model.sample(3, generator=g).abs().max() <= 1)
    (True, True)
    """

    model: NetworkModel
    shape: tuple[int, int, int]

    @property
    def trained(self) -> Trained:
        """The network, and how it came about."""
        return self.model.trained

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points, shape ``[n, d]``: images as bytes, each grey level spread evenly."""
        images = to_bytes(self.model.sample(n, generator=generator), self.shape)
        return spread_levels(images, generator=generator)


@dataclass(frozen=True)
class ByteFit:
    """A fit whose models keep their samples as bytes.

    Args:
        fit: of points ``[n, d]``.
        shape: (C, H, W).

    >>> tiny = {"channels": (8, 16), "steps": 2, "batch": 4, "rate": 1e-3, "sampler": 5}
    >>> pixel_fit(tiny, (1, 8, 8)).shape
    (1, 8, 8)
    """

    fit: NetworkFit
    shape: tuple[int, int, int]

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> ByteModel:
        """Model of a training set ``[n, d]``."""
        return ByteModel(self.fit(data, generator=generator), self.shape)


def pixel_fit(settings: Mapping[str, Any], shape: tuple[int, int, int], *, compiled: bool = False) -> ByteFit:
    """How the U-Net of these experiments is trained and sampled.

    Args:
        settings: channels, steps of training, batch, rate, steps of the sampler.
        shape: (C, H, W).
        compiled: let ``torch.compile`` translate the network.

    >>> pixel_fit({"channels": (8,), "steps": 10, "batch": 4, "rate": 1e-3, "sampler": 5}, (1, 8, 8)).fit.steps
    5
    """
    steps = settings["steps"]
    recipe = Recipe(
        steps,
        batch=settings["batch"],
        rate=settings["rate"],
        averaging=0.99,
        weight_decay=1e-4,
        held_out=0.05,
        check_every=max(1, steps // 4),
        compiled=compiled,
    )
    build = partial(image_unet, shape, channels=tuple(settings["channels"]), dropout=0.1)
    fit = NetworkFit(build, recipe, PROCESS, steps=settings["sampler"], integrator=HeunFlow())
    return ByteFit(fit, shape)


def run_pixels(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
    generations: int | None = None,
    after: History | None = None,
    pictures: Pictures | None = None,
    compiled: bool = False,
) -> History:
    """One recursion of a U-Net. Runs of different α have no random numbers in common.

    Args:
        settings: an entry of the scales of ``FASHION_PIXELS``.
        alpha: fresh fraction.
        run, seed: fix the random numbers, with α.
        device: torch device.
        folder, progress: as for ``recurse``.
        generations: how many; None for those of the settings.
        after: history to be continued.
        pictures: data law; None for Fashion-MNIST.
        compiled: let ``torch.compile`` translate the networks, which pays on a GPU.

    >>> from scoredrift.experiments import digits_pictures
    >>> tiny = {"channels": (8, 16), "steps": 2, "batch": 8, "rate": 1e-3, "sampler": 2, "size": 100}
    >>> tiny |= {"generations": 1, "pictures": 4}
    >>> here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": digits_pictures()}
    >>> run_pixels(tiny, alpha=0.5, run=0, **here)["pictures"].shape
    torch.Size([2, 4, 8, 8])
    """
    world = (fashion_pictures() if pictures is None else pictures).to(device)
    return recurse(
        pixel_fit(settings, world.shape, compiled=compiled),
        world.law,
        regime=FreshFraction(alpha),
        generations=settings["generations"] if generations is None else generations,
        size=settings["size"],
        seed=(seed, round(1000 * alpha), run),
        measure=PictureMeasure(world, world.images, world.look(world.law.images), settings["pictures"]),
        folder=folder,
        after=after,
        device=device,
        progress=progress,
    )


_COMMON = {"batch": 256, "rate": 1e-3, "sampler": 25, "pictures": 36}
_TINY = {"size": 600, "channels": [8, 16], "steps": 20, "batch": 32, "rate": 1e-3, "sampler": 10}
_SMALL = {"size": 4_000, "channels": [16, 32, 64], "steps": 400}
_LARGE = {"size": 10_000, "channels": [32, 64, 64], "steps": 800, "sampler": 18}
FASHION_PIXELS = Experiment(
    "fashion-pixels",
    "Fashion-MNIST in pixels: a U-Net retrained on its own images",
    {
        "quick": {
            "about": "five minutes",
            **_TINY,
            "pictures": 20,
            "featured": 60,
            "runs": 1,
            "generations": 2,
        },
        "medium": {"about": "ten hours", **_COMMON, **_SMALL, "runs": 1, "generations": 6},
        "paper": {"about": "eight minutes of a GPU", **_COMMON, **_LARGE, "runs": 1, "generations": 10},
    },
    partial(run_cases, run_pixels, over={"alpha": (0.1, 0.5, 0.9)}),
)
