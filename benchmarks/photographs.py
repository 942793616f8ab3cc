"""Points as photographs are: a few smooth patterns, a little noise, of norms that differ; and ways to their score."""

from __future__ import annotations

import torch
from torch import Tensor

from scoredrift import KernelDensity
from scoredrift.process import scale, variance

WIDTH = 1e-3  # of a picture: next to nothing, beside the noise of any time here


def photographs(n: int, dim: int, *, generator: torch.Generator) -> Tensor:
    """Points ``[n, dim]`` in [−1, 1]."""
    device = generator.device
    patterns, mixture = (
        torch.randn(size, generator=generator, device=device) for size in ((20, dim), (n, 20))
    )
    noise = 0.1 * torch.randn(n, dim, generator=generator, device=device)
    return (noise + 0.5 / 20**0.5 * mixture @ patterns).clamp(-1, 1)


class Photographs:
    """Pictures and queries at times, with the ways to their score.

    Args:
        images: the pictures, ``[n, dim]``.
        rows: number of queries.
        generator: source of randomness.
    """

    def __init__(self, images: Tensor, rows: int, *, generator: torch.Generator) -> None:
        self.generator, self.rows, self.images = generator, rows, images
        self.law = KernelDensity(images, WIDTH)
        self.all_centres = KernelDensity(images, WIDTH, tolerance=0.0)
        self._weights = torch.empty(rows, len(images), device=images.device)

    @classmethod
    def synthetic(cls, n: int, rows: int, dim: int, device: str) -> Photographs:
        """Pictures that are made up, as above."""
        generator = torch.Generator(device).manual_seed(2602)
        return cls(photographs(n, dim, generator=generator), rows, generator=generator)

    def queries(self, t: float) -> Tensor:
        """Points of the law at a time."""
        return self.law.diffuse(t).sample(self.rows, generator=self.generator)

    def wrong(self, score: Tensor, x: Tensor, t: float) -> float:
        """Relative error of the first hundred scores, against double precision from all centres."""
        exact = self.all_centres.to(dtype=torch.float64).at(x[:100].double(), t).score
        return float((score[:100].double() - exact).norm() / exact.norm())

    def products(self, x: Tensor) -> Tensor:
        """The two matrix products alone."""
        return torch.matmul(x, self.images.T, out=self._weights) @ self.images

    def softmax(self, x: Tensor, t: float) -> Tensor:
        """Matrix product, softmax, matrix product, as one would write it down."""
        a, b = float(scale(t)), float(variance(t))
        logits = torch.addmm(self.images.square().sum(1), x, self.images.T, beta=-0.5 * a**2 / b, alpha=a / b)
        return (a * torch.softmax(logits, 1) @ self.images - x) / b

    def keops(self, x: Tensor, t: float) -> Tensor:
        """A compiled reduction over symbolic matrices."""
        from pykeops.torch import LazyTensor

        a, b = float(scale(t)), float(variance(t))
        points, values = LazyTensor(x[:, None, :]), LazyTensor(a * self.images[None, :, :])
        logits = ((points - values) ** 2).sum(-1) / (-2 * b)
        backend = "CPU" if x.device.type == "cpu" else "GPU"
        return (logits.sumsoftmaxweight(values, dim=1, backend=backend) - x) / b
