"""Blocks of points that are near neighbours, which share an origin."""

from __future__ import annotations

import torch
from torch import Tensor

from scoredrift import _checks


def local_blocks(y: Tensor, rows: int) -> Tensor:
    """Indices of the points in blocks of near neighbours, at most ``rows`` to a block.

    The points are halved at their median along the coordinate in which they spread most, again and
    again, as a k-d tree does, until the parts are small enough; all parts of a depth at once.

    Args:
        y: points, shape ``[n, d]``.
        rows: largest size of a block ≥ 1.

    Returns:
        Indices, shape ``[2^depth, size]``; a few points appear twice where n is not a multiple.

    Raises:
        ValueError: no points, points that are not finite, or rows < 1.

    >>> local_blocks(torch.tensor([[5.0], [1.0], [6.0], [0.0]]), 2).tolist()
    [[3, 1], [0, 2]]
    """
    _checks.points("y", y)
    if y.numel() == 0:
        _checks.refuse("y.shape", list(y.shape), "pass one or more points in R^d")
    rows = _checks.count("rows", rows)
    n, depth = len(y), 0
    while n > rows << depth:
        depth += 1
    size = -(-n // (1 << depth))
    blocks = (torch.arange(size << depth, device=y.device) % n)[None]
    for _ in range(depth):
        some = blocks[:, :: max(1, blocks.shape[1] // 128)]  # enough to see where a part spreads most
        axis = y[some].var(1, correction=0).argmax(1)
        along = y[blocks, axis[:, None]]
        blocks = blocks.gather(1, along.argsort(dim=1)).reshape(2 * len(blocks), -1)
    return blocks
