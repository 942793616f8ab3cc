"""Networks that predict the noise: an MLP for points, a U-Net and a patch transformer for images.

    ε̂(x, t) = √v x + F(x, σ_t),        σ_t² = v/a² = e^t − 1,        ŝ = −ε̂/√v.

The first term is exact for the law N(0, I); F starts from zero, so that an untrained network generates
N(0, I), and far from the data its score points back. The noise level enters as log σ_t, which moves evenly
where errors matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift import process as ou
from scoredrift.scores import Images

# The U-Net and the transformer of diffusers expect times from 0 to 1000: log σ from −4 to 6 is spread there.
_LOWEST, _TICKS = -4.0, 100.0
_WAVES = 4


def log_noise_level(t: Tensor) -> Tensor:
    """Logarithm of the noise level, log σ_t = ½ log(e^t − 1), for t > 0.

    Source: Karras et al. 2022 (arXiv 2206.00364), whose networks take log σ, too.

    Args:
        t: time, any shape.

    Returns:
        log σ_t, shape of t.

    Raises:
        ValueError: times that are not positive and finite.

    >>> log_noise_level(torch.tensor([math.log(2.0)]))
    tensor([0.])
    """
    _checks.noisy("t", t)
    return 0.5 * (t + torch.log(-torch.expm1(-t)))


class PointNetwork(torch.nn.Module):
    """A multilayer perceptron for points: ε̂(x, t) = √v x + F(x, log σ_t), with F = 0 before training.

    Args:
        dim: d, dimension of the points.
        width: units of a layer.
        depth: hidden layers.

    Raises:
        ValueError: sizes that are not positive integers.

    >>> network = PointNetwork(2, width=32)
    >>> network(torch.ones(3, 2), torch.full((3,), math.log(2.0))).detach()  # √½
    tensor([[0.7071, 0.7071],
            [0.7071, 0.7071],
            [0.7071, 0.7071]])
    """

    def __init__(self, dim: int, *, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        dim, width = _checks.count("dim", dim), _checks.count("width", width)
        sizes = [dim + 1 + 2 * _WAVES] + [width] * _checks.count("depth", depth)
        layers: list[torch.nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [torch.nn.Linear(before, after), torch.nn.SiLU()]
        self.body = torch.nn.Sequential(*layers, _silent(torch.nn.Linear(width, dim)))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predicted noise, ``[n, d]``, for points ``[n, d]`` and times ``[n]``."""
        level = log_noise_level(t)[:, None] / 4
        angles = level * (math.pi / 2) * 2.0 ** torch.arange(_WAVES, device=x.device)
        known = torch.cat([level, angles.sin(), angles.cos()], dim=1).to(x.dtype)
        return _root_variance(x, t) * x + self.body(torch.cat([x, known], dim=1))


class _Residual(torch.nn.Module):
    """Noise predicted by a network of images that takes times from 0 to 1000: ε̂ = √v x + F(x, ticks)."""

    def __init__(
        self, body: torch.nn.Module, call: Callable[[torch.nn.Module, Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.body = body
        self._call = call

    def forward(self, images: Tensor, t: Tensor) -> Tensor:
        ticks = _TICKS * (log_noise_level(t) - _LOWEST)
        return _root_variance(images, t) * images + self._call(self.body, images, ticks)


def image_unet(
    shape: Sequence[int], *, channels: Sequence[int] = (16, 32, 64), layers: int = 1, dropout: float = 0.0
) -> Images:
    """The U-Net of diffusers for images of shape (C, H, W), with attention at its coarsest level.

    Source: Ho, Jain and Abbeel 2020 (arXiv 2006.11239); the code is ``diffusers.UNet2DModel``.

    Args:
        shape: (C, H, W); H and W divisible by 2 for each level after the first.
        channels: channels of the levels, from fine to coarse, divisible by 8.
        layers: residual blocks of a level.
        dropout: share of the channels' values that is dropped in training, in [0, 1).

    Returns:
        A network of points ``[n, C·H·W]`` and times ``[n]`` that predicts the noise.

    Raises:
        ValueError: a shape that is not (C, H, W), or sizes that do not divide as said.
        ImportError: diffusers is missing.

    >>> network = image_unet((1, 8, 8), channels=(8, 16))
    >>> network(torch.ones(2, 64), torch.ones(2)).shape
    torch.Size([2, 64])
    """
    depth, height, width = _image_shape(shape)
    levels = [_checks.count("channels", size) for size in channels]
    if not levels or any(size % 8 for size in levels):
        _checks.refuse("channels", list(channels), "pass one or more multiples of 8")
    fold = 2 ** (len(levels) - 1)
    if height % fold or width % fold:
        remedy = f"{len(levels)} levels halve {len(levels) - 1} times: pad the images, or take fewer levels"
        _checks.refuse("shape", tuple(shape), remedy)
    plain = len(levels) - 1
    body = _diffusers().UNet2DModel(
        in_channels=depth,
        out_channels=depth,
        block_out_channels=tuple(levels),
        layers_per_block=_checks.count("layers", layers),
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        norm_num_groups=8,
        attention_head_dim=8,
        dropout=_checks.number("dropout", dropout, low=0.0, high=1.0),
    )
    _silent(body.conv_out)
    return Images(
        _Residual(body, lambda net, images, ticks: net(images, ticks).sample), (depth, height, width)
    )


def patch_transformer(
    shape: Sequence[int], *, patch: int = 4, width: int = 96, layers: int = 4, heads: int = 4
) -> Images:
    """The diffusion transformer of diffusers for square images, without classes.

    Source: Peebles and Xie 2023 (arXiv 2212.09748); the code is ``diffusers.DiTTransformer2DModel``.

    Args:
        shape: (C, H, W) with H = W, divisible by the patch.
        patch: side of a patch in pixels.
        width: channels of a token, divisible by the heads.
        layers, heads: blocks, and heads of their attention.

    Returns:
        A network of points ``[n, C·H·W]`` and times ``[n]`` that predicts the noise.

    Raises:
        ValueError: images that are not square, or sizes that do not divide as said.
        ImportError: diffusers is missing.

    >>> network = patch_transformer((1, 8, 8), width=16, layers=1, heads=2)
    >>> network(torch.ones(2, 64), torch.ones(2)).shape
    torch.Size([2, 64])
    """
    depth, height, breadth = _image_shape(shape)
    patch, width, heads = (
        _checks.count(name, size) for name, size in (("patch", patch), ("width", width), ("heads", heads))
    )
    if height != breadth or height % patch:
        _checks.refuse("shape", tuple(shape), f"pass square images with a side divisible by patch = {patch}")
    if width % heads:
        _checks.refuse("width", width, f"pass a multiple of heads = {heads}")
    body = _diffusers().DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=width // heads,
        in_channels=depth,
        num_layers=_checks.count("layers", layers),
        sample_size=height,
        patch_size=patch,
        num_embeds_ada_norm=1,
    )
    for part in body.modules():  # its labels drop out by global random numbers: there are no classes here
        if hasattr(part, "dropout_prob"):
            part.dropout_prob = 0.0
    _silent(body.proj_out_2)

    def call(network: torch.nn.Module, images: Tensor, ticks: Tensor) -> Tensor:
        labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
        return network(images, ticks, class_labels=labels).sample

    return Images(_Residual(body, call), (depth, height, breadth))


def initialised(build: Callable[[], torch.nn.Module], *, generator: torch.Generator) -> torch.nn.Module:
    """Network whose first weights come from the generator, though torch draws them from its global one.

    Args:
        build: makes the network.
        generator: source of the weights; it moves on by one number.

    Returns:
        What ``build`` returned; the global state of torch is left as it was.

    Raises:
        ValueError: no generator, or something that does not build a network.

    >>> one, two = (
    ...     initialised(lambda: PointNetwork(1), generator=torch.Generator().manual_seed(0)) for _ in range(2))
    >>> torch.equal(one.body[0].weight, two.body[0].weight)
    True
    """
    _checks.generator_on(generator)
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build() if callable(build) else None
    if not isinstance(network, torch.nn.Module):
        _checks.refuse("build()", f"a {type(network).__name__}", "pass a function that makes a network")
    return network


def _silent(layer: Any) -> Any:
    """The layer with weights zero, so that what comes before counts only as it is trained."""
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer


def _root_variance(x: Tensor, t: Tensor) -> Tensor:
    return ou.variance(t).sqrt().to(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 3:
        _checks.refuse("shape", repr(shape), "pass (C, H, W)")
    depth, height, width = (_checks.count("shape", size) for size in shape)
    return depth, height, width


def _diffusers() -> Any:
    try:
        import diffusers
    except ImportError as error:
        message = "networks of images are those of diffusers: pip install 'scoredrift[images]'"
        raise ImportError(message) from error
    return diffusers
