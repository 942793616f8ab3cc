"""What a training is given: a network, points and a generator that fit each other, with points that can be learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.networks.recipes import Recipe


def _fits(
    network: Any, data: Tensor, recipe: Recipe, generator: torch.Generator, judged: Tensor | None
) -> int:
    """Number of points to judge by, if all fits together."""
    if not isinstance(network, torch.nn.Module) or not any(p.requires_grad for p in network.parameters()):
        _checks.refuse(
            "network", f"a {type(network).__name__}", "pass a torch.nn.Module with parameters to train"
        )
    if isinstance(data, Tensor) and data.ndim > 2:
        remedy = "pass points [n, d]: Images(network, shape).to_points(images)"
        _checks.refuse("data.shape", list(data.shape), remedy)
    if isinstance(data, Tensor) and not data.is_floating_point():
        remedy = "pass numbers around zero: data.float() / 127.5 - 1 for bytes"
        _checks.refuse("data.dtype", data.dtype, remedy)
    _checks.points("data", data)
    weights = next(p for p in network.parameters() if p.requires_grad)
    if weights.dtype != data.dtype:
        _checks.refuse(
            "data.dtype", data.dtype, f"the network computes in {weights.dtype}; convert one of the two"
        )
    if weights.device != data.device:
        _checks.refuse(
            "data.device", data.device, f"the network is on {weights.device}; move one with .to(device)"
        )
    _checks.generator_on(generator, data.device)
    if judged is None:
        held = max(1, round(recipe.held_out * len(data)))
        rest = len(data) - held
    else:
        _checks.points("judged", judged, data.shape[1], like=data)
        held, rest = len(judged), len(data)
        if held == 0:
            _checks.refuse("judged.shape", list(judged.shape), "pass one point or more, [n, d]")
    if rest < recipe.batch:
        remedy = (
            f"{rest} are left to train on, fewer than batch = {recipe.batch}: more data, or a smaller batch"
        )
        _checks.refuse("data.shape", list(data.shape), remedy)
    largest = float(data.abs().max())
    if largest > 30:
        remedy = "noise of size 1 is added to it: scale the data to about [−1, 1], or to variance 1"
        _checks.refuse("data", f"numbers up to {largest:.3g}", remedy)
    fixed = (data == data[0]).all(0).nonzero()
    if len(fixed):
        place = int(fixed[0])
        remedy = "leave such columns out, or add noise of the size of a grey level to all (dequantise)"
        _checks.refuse(f"data[:, {place}]", f"always {float(data[0, place]):.4g}", remedy)
    return held
