"""Images with labels, and the law that their bytes stand for.

A grey level k of 256 stands for all brightnesses in [k, k + 1)/256. A data set of N images is so a law with a
density on [−1, 1]^d: an image at random, and in each pixel a number at random within its grey level,

    x = (k + U)/128 − 1,        U uniform on [0, 1),        k = ⌊128 (x + 1)⌋.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks


class LabelledImages(NamedTuple):
    """Images and what they show.

    Args:
        images: bytes, shape ``[n, C, H, W]``.
        labels: class of each, shape ``[n]``, int64.
        classes: names of the classes.
        note: what whoever shows them must say; empty if they are as they were published.

    >>> LabelledImages(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.zeros(1, dtype=torch.long), ("nil",))[2]
    ('nil',)
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    note: str = ""

    def part(self, first: int, last: int) -> LabelledImages:
        """Images ``first`` to ``last − 1``.

        Raises:
            ValueError: an empty part, or one beyond the end.
        """
        first = _checks.count("first", first, least=0)
        last = _checks.count("last", last, least=first + 1)
        if last > len(self.images):
            _checks.refuse("last", last, f"there are {len(self.images)} images")
        return self._replace(images=self.images[first:last], labels=self.labels[first:last])


@dataclass(frozen=True, eq=False)
class PixelLaw:
    """The law of a data set of images, each grey level spread evenly: a source of points ``[n, C·H·W]``.

    Args:
        images: bytes, shape ``[N, C, H, W]``.
        dtype: precision of the points.

    Raises:
        ValueError: images that are not bytes of that shape, or none.

    >>> law = PixelLaw(torch.full((3, 1, 2, 2), 255, dtype=torch.uint8))
    >>> x = law.sample(5, generator=torch.Generator().manual_seed(0))
    >>> x.shape, bool((x >= 127 / 128).all())
    (torch.Size([5, 4]), True)
    """

    images: Tensor
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        _checks.byte_images("images", self.images)

    def to(self, device: torch.device | str) -> PixelLaw:
        """The same law on another device."""
        return PixelLaw(self.images.to(device), self.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points, shape ``[n, C·H·W]``: images with replacement, brightness within the grey level.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the images.
        """
        n, device = _checks.count("n", n), self.images.device
        _checks.generator_on(generator, device)
        chosen = self.images[torch.randint(len(self.images), (n,), generator=generator, device=device)]
        return spread_levels(chosen, generator=generator, dtype=self.dtype)


def spread_levels(
    images: Tensor, *, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Images of bytes as points, each brightness drawn from its grey level: x = (k + U)/128 − 1.

    U takes 4096 values, (j + ½)/4096, so that no rounding leads out of the grey level.

    Args:
        images: bytes, shape ``[n, C, H, W]``.
        generator: source of randomness, on the device of the images.
        dtype: precision of the points.

    Returns:
        Points, shape ``[n, C·H·W]``.

    Raises:
        ValueError: images that are not bytes of that shape, or a generator on another device.

    >>> spread_levels(torch.full((1, 1, 1, 1), 128, dtype=torch.uint8), generator=torch.Generator().manual_seed(0))
    tensor([[0.0052]])
    """
    device = _checks.byte_images("images", images).device
    _checks.generator_on(generator, device)
    levels = images.flatten(1).to(dtype)
    within = torch.randint(4096, levels.shape, generator=generator, device=device)
    return (levels + (within + 0.5).to(dtype) / 4096) / 128 - 1


def to_bytes(x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Points as images of bytes, as a file would keep them: k = ⌊128 (x + 1)⌋, cut to 0 … 255.

    Args:
        x: points, shape ``[n, C·H·W]``.
        shape: (C, H, W).

    Returns:
        Bytes, shape ``[n, C, H, W]``.

    Raises:
        ValueError: points that are not finite, or do not fit the shape.

    >>> to_bytes(torch.tensor([[-1.0, 0.0, 0.999, 7.0]]), (1, 2, 2)).flatten()
    tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    sizes = tuple(_checks.count("shape", size) for size in shape)
    _checks.points("x", x, int(torch.tensor(sizes).prod()))
    return (128 * (x + 1)).floor().clamp(0, 255).to(torch.uint8).reshape(-1, *sizes)


def middles(images: Tensor) -> Tensor:
    """Points in the middles of the grey levels, (k + ½)/128 − 1.

    Args:
        images: bytes, shape ``[n, C, H, W]``.

    Returns:
        Points, shape ``[n, C·H·W]``, float32.

    Raises:
        ValueError: images that are not bytes of that shape.

    >>> middles(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    tensor([[-0.9961],
            [ 0.9961]])
    """
    return (_checks.byte_images("images", images).flatten(1).float() + 0.5) / 128 - 1
