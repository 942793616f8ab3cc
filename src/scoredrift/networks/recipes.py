"""What a training is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.networks.losses import Weighting, by_energy
from scoredrift.process import TimeSampler, log_uniform_times


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: AdamW, warm-up and cosine decay of the rate, and an average of the weights.

    The weights that count are W̄ ← r W̄ + (1 − r) W with r = min(averaging, (1 + k)/(10 + k)) after step k.
    Sources: Loshchilov and Hutter 2019 (arXiv 1711.05101); Polyak averaging as in Ho et al. 2020.

    Args:
        steps: updates ≥ 1.
        batch: points of an update.
        rate: largest learning rate.
        warm_up: share of the steps over which the rate rises to it.
        averaging: r of the average, in [0, 1).
        weight_decay: of AdamW.
        clip: largest norm of a gradient.
        weighting: w(t) of the loss; ``by_energy`` trains what the theory measures.
        times: density of the times of a batch.
        held_out: share of the points to judge by, in (0, 1).
        check_every: steps between two judgements, and between two files.
        patience: judgements without a better one after which training ends; None for never.
        compiled: let ``torch.compile`` translate the network, which pays for large ones on a GPU; translated
            networks do not look whether times and points are right.

    Raises:
        ValueError: numbers outside their ranges.

    >>> Recipe(steps=1000).batch
    256
    """

    steps: int
    batch: int = 256
    rate: float = 2e-3
    warm_up: float = 0.05
    averaging: float = 0.995
    weight_decay: float = 0.0
    clip: float = 1.0
    weighting: Weighting = by_energy
    times: TimeSampler = log_uniform_times
    held_out: float = 0.1
    check_every: int = 200
    patience: int | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "check_every"):
            object.__setattr__(self, name, _checks.count(name, getattr(self, name)))
        if self.patience is not None:
            object.__setattr__(self, "patience", _checks.count("patience", self.patience))
        for name in ("rate", "clip"):
            _checks.width(name, getattr(self, name))
        _checks.number("weight_decay", self.weight_decay, low=0.0)
        for name, low in (("warm_up", 0.0), ("averaging", 0.0), ("held_out", 0.0)):
            value = _checks.number(name, getattr(self, name), low=low)
            if value >= 1 or (name == "held_out" and value == 0):
                _checks.refuse(name, value, "pass a share below 1" + (", above 0" * (name == "held_out")))


class Trained(NamedTuple):
    """A trained network and how it came about.

    Args:
        network: the best average, in ``eval`` mode and without gradients: ε̂(x, t).
        steps: steps at which it was judged, ``[k]``.
        losses: mean loss of the batches between two judgements, ``[k]``.
        held_out: loss of the average on points that were held out, ``[k]``, always with the same noise.
        best: step of the average that is returned.

    >>> Trained(torch.nn.Identity(), *torch.ones(3, 1), 1).best
    1
    """

    network: torch.nn.Module
    steps: Tensor
    losses: Tensor
    held_out: Tensor
    best: int
