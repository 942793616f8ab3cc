"""Networks as scores: between points of the theory, ``[n, d]``, and the images that networks take.

``FunctionScore(network)`` and ``ProbedScore(network, …)`` take any ``torch.nn.Module`` with
``forward(x, t)``. A network of images goes in through ``Images``, with d = C·H·W.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks, _numerics


class Images(torch.nn.Module):
    """A network that takes images ``[n, C, H, W]``, as one that takes points ``[n, d]``, d = C·H·W.

    Args:
        network: maps images ``[n, C, H, W]`` and times ``[n]`` to images; a ``torch.nn.Module`` or a function.
            Models of diffusers will do, which return an object with the images as its ``sample``.
        shape: (C, H, W), or the shape of whatever else is to be flattened.

    Raises:
        ValueError: a shape that is not made of positive integers; on a call, points or images that do not
            fit it.

    >>> shrink = Images(lambda images, t: -images, (3, 8, 8))
    >>> g = torch.Generator().manual_seed(0)
    >>> images = torch.rand(5, 3, 8, 8, generator=g)
    >>> x = shrink.to_points(images)
    >>> x.shape, shrink(x, torch.ones(5)).shape
    (torch.Size([5, 192]), torch.Size([5, 192]))
    >>> torch.equal(shrink.to_images(x), images)
    True
    """

    def __init__(self, network: Callable[[Tensor, Tensor], Tensor], shape: Sequence[int]) -> None:
        super().__init__()
        sizes = shape if isinstance(shape, Sequence) else (shape,)
        if isinstance(shape, str) or len(sizes) == 0:
            _checks.refuse("shape", repr(shape), "pass the sizes of an image, (C, H, W)")
        self.shape = tuple(_checks.count("shape", size) for size in sizes)
        if not callable(network):
            _checks.refuse(
                "network", f"a {type(network).__name__}", "pass a network or a function of (images, t)"
            )
        self.network = network

    @property
    def dim(self) -> int:
        """Dimension d of the points, the product of the shape."""
        return math.prod(self.shape)

    def forward(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value of the network at points ``[n, d]`` and times ``[]`` or ``[n]``, shape ``[n, d]``."""
        images = self.to_images(x)
        if x.is_complex():
            _checks.refuse("x.dtype", x.dtype, "pass real numbers")
        times = x if x.dtype in _checks.FLOATING else x.float()
        _checks.times("t", t, times, -math.inf, math.inf)  # or what another clock reads
        when = torch.as_tensor(t, device=x.device).expand(len(x))
        value: Any = _numerics.tensor_in(self.network(images, when))
        if not isinstance(value, Tensor):
            remedy = "return a tensor, or an object that has it as its attribute sample"
            _checks.refuse("network(images, t)", type(value).__name__, remedy)
        if value.is_complex():
            _checks.refuse("network(images, t).dtype", value.dtype, "return real numbers")
        if value.shape != images.shape:
            remedy = f"return one image for each, {list(images.shape)}"
            _checks.refuse("network(images, t).shape", list(value.shape), remedy)
        return self.to_points(value)

    def to_images(self, points: Tensor) -> Tensor:
        """Points ``[n, d]`` as images ``[n, C, H, W]``, for instance what was generated.

        Raises:
            ValueError: points of another dimension.
        """
        if (
            not isinstance(points, Tensor)
            or points.is_meta
            or points.ndim != 2
            or points.shape[1] != self.dim
        ):
            remedy = f"pass points of shape [n, {self.dim}], images of shape {list(self.shape)} in a row"
            _checks.refuse("points.shape", _shape(points), remedy)
        return points.reshape(-1, *self.shape)

    def to_points(self, images: Tensor) -> Tensor:
        """Images ``[n, C, H, W]`` as points ``[n, d]``, for instance data.

        Raises:
            ValueError: images of another shape.
        """
        if not isinstance(images, Tensor) or tuple(images.shape[1:]) != self.shape:
            wanted = ", ".join(map(str, self.shape))
            _checks.refuse("images.shape", _shape(images), f"pass images of shape [n, {wanted}]")
        return images.reshape(len(images), self.dim)


def _shape(value: Any) -> Any:
    return list(value.shape) if isinstance(value, Tensor) else type(value).__name__
