"""What the experiments on Fashion-MNIST have in common: the data law, a code, and what is kept of a generation.

The data law is that of 50 000 images, each grey level spread evenly. Whatever a model draws is looked at as images
of bytes: by the features of a classifier and by principal components, of which means in blocks and covariances
are kept, and by pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift.datasets import FeatureNetwork, PixelLaw, PrincipalComponents, fashion_mnist, to_bytes
from scoredrift.experiments.base import Experiment
from scoredrift.experiments.fashion_features import CLASSES, POOL, SHAPE, fashion_features
from scoredrift.generations import Generation, Measured

COMPONENTS = 64
_BLOCKS = 50  # of the sample, whose means tell the errors
_LOOKED_UP = 500  # images whose nearest neighbours are sought


@cache
def fashion_law() -> PixelLaw:
    """The data law: 50 000 images of Fashion-MNIST.

    Raises:
        ValueError: the images are not at hand.
    """
    return PixelLaw(fashion_mnist("train").images[:POOL])


@cache
def fashion_code() -> PrincipalComponents:
    """The first 64 principal components of the data law, fitted to the middles of the grey levels."""
    return PrincipalComponents.fit(middles(fashion_law().images), COMPONENTS)


def middles(images: Tensor) -> Tensor:
    """Points in the middles of the grey levels, (k + ½)/128 − 1.

    Args:
        images: bytes, shape ``[n, C, H, W]``.

    >>> middles(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    tensor([[-0.9961],
            [ 0.9961]])
    """
    return (images.flatten(1).float() + 0.5) / 128 - 1


def decoded(code: PrincipalComponents, z: Tensor) -> Tensor:
    """Images of bytes ``[n, 1, 28, 28]`` that codes ``[n, m]`` stand for.

    Args:
        code: principal components of such images.
        z: codes, shape ``[n, m]``.

    >>> code = PrincipalComponents(torch.zeros(784), torch.eye(2, 784), 1.0, 1.0)
    >>> decoded(code, torch.zeros(3, 2)).shape
    torch.Size([3, 1, 28, 28])
    """
    return to_bytes(code.decode(z), SHAPE)


@dataclass(frozen=True, eq=False)
class PictureMeasure:
    """What is kept of a generation: pictures, and what features make of all images.

    Args:
        images_of: makes images of bytes ``[n, C, H, W]`` of points.
        network: features.
        code: principal components.
        unseen: images that nothing was trained on, bytes.
        kept: how many pictures are kept.
        featured: of how many the features are kept.
    """

    images_of: Callable[[Tensor], Tensor]
    network: FeatureNetwork
    code: PrincipalComponents
    unseen: Tensor
    kept: int
    featured: int

    def __call__(self, generation: Generation) -> Measured:
        """Pictures, features, their means in blocks and covariances, classes, and distances to the training set."""
        images = self.images_of(generation.drawn)
        features = self.network.features(images)
        components = self.code.encode(middles(images))
        classes = torch.nn.functional.one_hot(self.network.predicted(images), CLASSES).float()
        learned = middles(self.images_of(generation.training))
        return {
            "pictures": images[: self.kept, 0],
            "features": features[: self.featured].half(),
            "feature_means": _block_means(features),
            "feature_covariance": torch.cov(features.T.double()).float(),
            "component_means": _block_means(components),
            "component_covariance": torch.cov(components.T.double()).float(),
            "classes": _block_means(classes),
            "nearest": _nearest(images[:_LOOKED_UP], learned),
            "nearest_unseen": _nearest(self.unseen, learned),
            "held_out": generation.model.trained.held_out,  # type: ignore[attr-defined]
        }


def _block_means(values: Tensor) -> Tensor:
    return torch.stack([block.double().mean(0) for block in values.tensor_split(_BLOCKS)]).float()


def _nearest(images: Tensor, learned: Tensor) -> Tensor:
    """Distance of each image to the nearest one of the training set, root mean square over the pixels."""
    points = middles(images)
    return torch.cdist(points, learned).min(1).values / points.shape[1] ** 0.5


def picture_measure(
    settings: Mapping[str, Any], images_of: Callable[[Tensor], Tensor], device: str
) -> PictureMeasure:
    """What these experiments keep of a generation, on a device.

    Args:
        settings: how many pictures and features to keep.
        images_of: makes images of bytes of points.
        device: torch device.
    """
    unseen = fashion_mnist("test").images[:_LOOKED_UP].to(device)
    network, code = fashion_features().to(device), fashion_code().to(device)
    return PictureMeasure(images_of, network, code, unseen, settings["pictures"], settings["featured"])


def _look_at_data(
    settings: Mapping[str, Any], *, seed: int, device: str, folder: Path, workers: int, progress: bool
) -> dict[str, Tensor]:
    """Means and covariances of the features of the data law, of its images and of what their code keeps."""
    network, code, pool = fashion_features(), fashion_code(), fashion_law().images[: settings["images"]]
    found = {}
    for kind, images in (("pixels", pool), ("codes", decoded(code, code.encode(middles(pool))))):
        views = {"feature": network.features(images), "component": code.encode(middles(images))}
        for name, view in views.items():
            found[f"{kind}/{name}_mean"] = view.double().mean(0)
            found[f"{kind}/{name}_covariance"] = torch.cov(view.double().T)
        found[f"{kind}/classes"] = torch.bincount(network.predicted(images), minlength=CLASSES) / len(images)
    return {name: value[None, None] for name, value in found.items()}  # one run, generation 0


FASHION_DATA = Experiment(
    "fashion-data",
    "Fashion-MNIST: what the features make of the data, as images and through 64 components",
    {
        "quick": {"about": "a second", "images": 2_000, "runs": 1, "generations": 0},
        "medium": {"about": "15 seconds", "images": POOL, "runs": 1, "generations": 0},
    },
    _look_at_data,
    axes=("kind",),
)
