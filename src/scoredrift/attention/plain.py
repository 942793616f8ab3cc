"""Softmax moments written out: the reference of the fused routes, and what they fall back on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks

# Entries of the array, queries × centres × dimensions, that the plain route holds at once.
_ENTRIES = 2**19


class Moments(NamedTuple):
    """Softmax moments of the centres as seen from each query.

    Args:
        shift: Σ r_j (c_j − y), shape ``[n, d]``.
        scatter: Σ r_j ‖c_j − y − shift‖², shape ``[n]``.
        log_sum: log Σ exp(logit_j), shape ``[n]``.

    >>> one = torch.ones(1)
    >>> plain_moments(torch.zeros(1, 1), one, torch.tensor([[3.0]]))
    Moments(shift=tensor([[3.]]), scatter=tensor([0.]), log_sum=tensor([-4.5000]))
    """

    shift: Tensor
    scatter: Tensor
    log_sum: Tensor


class Pruned(NamedTuple):
    """Moments, and what they leave out.

    Args:
        moments: over the centres that were visited.
        missed: bound on √g ‖Δ shift‖, g |Δ scatter| and |Δ log_sum|; zero where all were visited, ``[n]``.
        visited: how many were, ``[n]``.

    >>> one = torch.ones(1)
    >>> Pruned(plain_moments(torch.zeros(1, 1), one, torch.ones(1, 1)), torch.zeros(1), torch.tensor([1])).visited
    tensor([1])
    """

    moments: Moments
    missed: Tensor
    visited: Tensor


def plain_moments(y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None = None) -> Moments:
    """Softmax moments written out, all differences before squares and sums, a block of queries at a time.

    The reference for the fused routes, and the route that automatic differentiation can follow.

    Args:
        y, gain, centres, log_weights: as for ``softmax_moments``.

    Returns:
        Moments.

    Raises:
        ValueError: as for ``softmax_moments``.

    >>> plain_moments(torch.zeros(1, 1), torch.ones(1), torch.tensor([[3.0], [3.0]])).shift
    tensor([[3.]])
    """
    _fit(y, gain, centres, log_weights)
    return _plain(y, gain, centres, log_weights)


def _fit(y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None) -> None:
    _fit_queries(y, gain)
    _fit_centres(centres, log_weights, y.shape[1], like=y)


def _fit_queries(y: Tensor, gain: Tensor, *, centres: Tensor | None = None) -> None:
    _checks.points("y", y, None if centres is None else centres.shape[1], like=centres)
    _vector("gain", gain, len(y), like=y)
    if not _checks.holds(gain > 0):
        _checks.refuse("gain", float(gain.min()), "pass gains > 0")


def _fit_centres(
    centres: Tensor, log_weights: Tensor | None, dim: int | None = None, *, like: Tensor | None = None
) -> None:
    _checks.points("centres", centres, dim, like=like)
    if centres.numel() == 0:
        _checks.refuse("centres.shape", list(centres.shape), "pass one or more centres in R^d, [m, d]")
    if log_weights is not None:
        _vector("log_weights", log_weights, len(centres), like=centres)


def _vector(name: str, values: Tensor, size: int, *, like: Tensor) -> None:
    if isinstance(values, Tensor) and values.ndim != 1:
        _checks.refuse(f"{name}.shape", list(values.shape), f"pass a vector, [{size}]")
    _checks.points(name, values[None] if isinstance(values, Tensor) else values, size, like=like)


def _plain(y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None) -> Moments:
    rows = max(1, _ENTRIES // centres.numel())
    blocks = [
        _plain_block(y_block, gain_block, centres, log_weights)
        for y_block, gain_block in zip(y.split(rows), gain.split(rows), strict=True)
    ]
    return Moments(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def _plain_block(y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None) -> Moments:
    log_weights = centres.new_zeros(len(centres)) if log_weights is None else log_weights
    away = centres - y[:, None]
    top = (log_weights - 0.5 * gain[:, None] * away.square().sum(2)).argmax(1)
    near, first = centres[top] - y, log_weights[top]
    local = centres - centres[top][:, None]
    products = (local * (away + near[:, None])).sum(2)
    logits = log_weights - first[:, None] - 0.5 * gain[:, None] * products
    share = torch.softmax(logits, dim=1)
    mean = (share[:, :, None] * local).sum(1)
    scatter = (share * (local - mean[:, None]).square().sum(2)).sum(1)
    peak = first - 0.5 * gain * near.square().sum(1)
    return Moments(near + mean, scatter, peak + torch.logsumexp(logits, dim=1))


def _doubtful(shift: Tensor, scatter: Tensor, gain: Tensor, local: Tensor) -> Tensor:
    """Where rounding may show in shift or scatter; ``local`` is y − o, with the origin o of its block."""
    dim, size = shift.shape[-1], shift.square().sum(-1)
    eps = torch.finfo(shift.dtype).eps
    allowed = 3 * eps**0.5
    # A logit is g (y − o)·(c − o) − ½ g ‖c − o‖², with centres that count about as far from o as their mean.
    reach = (local + shift).square().sum(-1) + scatter.abs()
    of_logits = eps * gain * ((local.square().sum(-1) * reach).sqrt() + reach)
    width = gain * scatter.abs() + of_logits  # and its own rounding
    sure = of_logits * (1 + width) <= allowed * dim
    return ~(sure & (of_logits.square() * width <= allowed**2 * (gain * size + dim)))


def _taken_again(
    found: Moments, doubtful: Tensor, y: Tensor, gain: Tensor, centres: Tensor, log_weights: Tensor | None
) -> Moments:
    again = doubtful.nonzero()[:, 0]
    if len(again):
        for part, right in zip(found, _plain(y[again], gain[again], centres, log_weights), strict=True):
            part[again] = right
    return found
