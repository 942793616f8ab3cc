"""Worlds of pictures: a data law of images, a code for them, and features to look at them with.

The data law is that of many images, each grey level spread evenly. Of the 60 000 training images of Fashion-MNIST
the first 50 000 are the data law; the classifier whose features are used learns from the other 10 000, so that no
image that is measured with it taught it anything. The 10 000 test images are left for everything else. The
1797 digits are shared out in the same way.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

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
from scoredrift.experiments.fashion_classifier import POOL, fashion_features


class Look(NamedTuple):
    """What is seen of n images.

    Args:
        features: of the classifier, ``[n, m]``.
        components: codes, ``[n, k]``.
        classes: what the classifier takes them for, ``[n]``.
        contrast: standard deviation of the brightness within each, ``[n]``.
        detail: root mean square difference of neighbouring pixels, ``[n]``.

    >>> pictures = digits_pictures()
    >>> pictures.look(pictures.unseen).features.shape
    torch.Size([297, 16])
    """

    features: Tensor
    components: Tensor
    classes: Tensor
    contrast: Tensor
    detail: Tensor


def detail_of(images: Tensor) -> Tensor:
    """Root mean square difference of neighbouring pixels of each image, ``[n]``.

    Args:
        images: bytes, ``[n, C, H, W]``.

    >>> detail_of(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    tensor([0., 0.])
    """
    x = middles(images).reshape(images.shape)
    down, across = (x.diff(dim=axis).square().flatten(1).mean(1) for axis in (2, 3))
    return (0.5 * (down + across)).sqrt()


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

    def look(self, images: Tensor) -> Look:
        """What is seen of images of bytes ``[n, C, H, W]``."""
        x = middles(images)
        return Look(
            features=self.network.features(images),
            components=self.code.encode(x),
            classes=self.network.predicted(images),
            contrast=x.std(1),
            detail=detail_of(images),
        )

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
