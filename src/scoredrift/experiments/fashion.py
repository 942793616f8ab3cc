"""What the experiments on pictures have in common: a data law, a code, and what is kept of a generation.

The data law is that of many images, each grey level spread evenly. Whatever a model draws is looked at as images
of bytes: by the features of a classifier and by principal components, of which means in blocks and covariances
are kept, and by pictures.

Of the 60 000 training images of Fashion-MNIST the first 50 000 are the data law; the classifier learns from the
other 10 000, so that no image that is measured with it taught it anything. The 10 000 test images are left for
everything else. The 1797 digits are shared out in the same way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift.datasets import (
    FeatureNetwork,
    PixelLaw,
    PrincipalComponents,
    digits,
    fashion_mnist,
    middles,
    to_bytes,
    train_features,
)
from scoredrift.experiments.base import Experiment
from scoredrift.experiments.fashion_classifier import POOL, fashion_features
from scoredrift.generations import Generation, Measured

_BLOCKS = 50  # of the sample, whose means tell the errors
_LOOKED_UP = 500  # images whose nearest neighbours are sought


@dataclass(frozen=True, eq=False)
class Pictures:
    """A data law of images with what it is looked at with.

    Args:
        law: the data law.
        code: its principal components.
        network: features, and the classes that it tells apart.
        unseen: images that nothing was trained on, bytes.

    >>> pictures = digits_pictures()
    >>> pictures.shape, len(pictures.law.images)
    ((1, 8, 8), 1000)
    """

    law: PixelLaw
    code: PrincipalComponents
    network: FeatureNetwork
    unseen: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.network.shape

    def to(self, device: torch.device | str) -> Pictures:
        """The same on another device."""
        network = copy.deepcopy(self.network).to(device)  # which would move in place
        return Pictures(self.law.to(device), self.code.to(device), network, self.unseen.to(device))

    def images(self, x: Tensor) -> Tensor:
        """Points ``[n, d]`` as images of bytes."""
        return to_bytes(x, self.shape)

    def decoded(self, z: Tensor) -> Tensor:
        """Images of bytes that codes ``[n, m]`` stand for."""
        return to_bytes(self.code.decode(z), self.shape)


@cache
def fashion_pictures() -> Pictures:
    """Fashion-MNIST with 64 components and the stored classifier.

    Raises:
        ValueError: the images are not at hand.

    >>> from scoredrift.experiments import stored  # the classifier needs no images
    >>> stored("fashion-features", "medium")["head.weight"].shape
    torch.Size([1, 1, 10, 64])
    """
    law = PixelLaw(fashion_mnist("train").images[:POOL])
    code = PrincipalComponents.fit(middles(law.images), 64)
    return Pictures(law, code, fashion_features(), fashion_mnist("test").images)


@cache
def digits_pictures() -> Pictures:
    """Digits with 20 components and a classifier that is trained on the spot.

    >>> digits_pictures().code.explained > 0.85
    True
    """
    data = digits()
    law = PixelLaw(data.part(0, 1000).images)
    code = PrincipalComponents.fit(middles(law.images), 20)
    source = torch.Generator().manual_seed(2602)
    network = train_features(data.part(1000, 1500), generator=source, batch=50, features=16)
    return Pictures(law, code, network, data.part(1500, 1797).images)


@dataclass(frozen=True, eq=False)
class PictureMeasure:
    """What is kept of a generation: pictures, and what features make of all images.

    Args:
        pictures: the data law, and what it is looked at with.
        images_of: makes images of bytes ``[n, C, H, W]`` of points.
        kept: how many pictures are kept.
        featured: of how many the features are kept.

    >>> pictures = digits_pictures()
    >>> PictureMeasure(pictures, pictures.decoded, 10, 100).kept
    10
    """

    pictures: Pictures
    images_of: Callable[[Tensor], Tensor]
    kept: int
    featured: int

    def __call__(self, generation: Generation) -> Measured:
        """Pictures, features, their means in blocks and covariances, classes, and distances to the training set."""
        network, code = self.pictures.network, self.pictures.code
        images = self.images_of(generation.drawn)
        features = network.features(images)
        components = code.encode(middles(images))
        classes = torch.nn.functional.one_hot(network.predicted(images), network.classes).float()
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
            "nearest_unseen": _nearest(self.pictures.unseen[:_LOOKED_UP], learned),
            "held_out": generation.model.trained.held_out,  # type: ignore[attr-defined]
        }


def _block_means(values: Tensor) -> Tensor:
    return torch.stack([block.double().mean(0) for block in values.tensor_split(_BLOCKS)]).float()


def _nearest(images: Tensor, learned: Tensor) -> Tensor:
    """Distance of each image to the nearest one of the training set, root mean square over the pixels."""
    points = middles(images)
    return torch.cdist(points, learned).min(1).values / points.shape[1] ** 0.5


def _look_at_data(
    settings: Mapping[str, Any], *, seed: int, device: str, folder: Path, workers: int, progress: bool
) -> dict[str, Tensor]:
    """Means and covariances of the features of the data law, of its images and of what their code keeps."""
    pictures = fashion_pictures()
    network, code, pool = pictures.network, pictures.code, pictures.law.images[: settings["images"]]
    found = {}
    for kind, images in (("pixels", pool), ("codes", pictures.decoded(code.encode(middles(pool))))):
        views = {"feature": network.features(images), "component": code.encode(middles(images))}
        for name, view in views.items():
            found[f"{kind}/{name}_mean"] = view.double().mean(0)
            found[f"{kind}/{name}_covariance"] = torch.cov(view.double().T)
        shares = torch.bincount(network.predicted(images), minlength=network.classes) / len(images)
        found[f"{kind}/classes"] = shares
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
