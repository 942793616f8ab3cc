"""Curation: a verifier looks at what a model made before the next one is trained on it.

It knows the ratio r = p̂/p and a cap Λ > 0. Thinning keeps a point with probability min(1, Λ/r); rejecting
keeps it exactly if r ≤ Λ. The mass z that is removed is replaced by fresh data (top-up), or else what is
left is normalised:

    thinning    r̃ = min(r, Λ) + z,        or min(r, Λ)/(1 − z),
    rejecting   r̃ = r 1{r ≤ Λ} + z,       or r 1{r ≤ Λ}/(1 − z).

Thinning crosses r once, as a function of r, so it never increases a mean of a convex function of r: KL, χ²
and total variation all fall, for every Λ. Rejecting does so for χ², with a top-up and Λ ≥ 2, and not in
general. With a top-up what is kept, r̃ − z, has the mean 1 − z and lies between 0 and Λ. So its variance is
χ²(p̃‖p) ≤ (1 − z)(Λ + z − 1), however heavy the tail of r was.

Source: ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks


class Curated(NamedTuple):
    """What a verifier leaves.

    Args:
        law: p̃, probabilities of the cells, shape ``[K]``.
        removed: z, the mass of the model that was removed.

    >>> Curated(torch.tensor([0.5, 0.5]), 0.1).removed
    0.1
    """

    law: Tensor
    removed: float


def curate(data: Tensor, model: Tensor, *, cap: float, reject: bool = False, top_up: bool = True) -> Curated:
    """Law of a model's points after a verifier has thinned or rejected those with p̂/p > Λ.

        p̃ = min(p̂, Λ p) + z p,    z = 1 − Σ min(p̂, Λ p)

    Args:
        data: p, probabilities of the cells, shape ``[K]``; a density on nodes is one after multiplication
            with the cell's volume.
        model: p̂, shape ``[K]``.
        cap: Λ > 0.
        reject: remove all points of the cells with p̂ > Λ p, and not only the excess.
        top_up: replace what was removed by fresh data; otherwise normalise what is left.

    Returns:
        Curated: p̃ and z. In a generation with the fresh fraction α, a top-up makes it α + (1 − α) z.

    Raises:
        ValueError: vectors that are not probabilities of the same cells, Λ ≤ 0, or nothing left to
            normalise.

    Source: ours.

    >>> p, model = (torch.tensor([x, 1 - x], dtype=torch.float64) for x in (0.1, 0.5))
    >>> curate(p, model, cap=2.0)
    Curated(law=tensor([0.2300, 0.7700], dtype=torch.float64), removed=0.3)
    """
    cap = _checks.number("cap", cap, low=0.0, open_low=True)
    shape = list(_checks.probabilities("data", data).shape)
    _checks.probabilities("model", model)
    _checks.points("model", model[None], like=data)
    if list(model.shape) != shape:
        _checks.refuse("model.shape", list(model.shape), f"pass one probability for each cell, {shape}")
    data, model = data.detach(), model.detach()
    most = cap * data
    kept = torch.where(model > most, torch.zeros_like(model) if reject else most, model)
    removed = float((model - kept).sum())
    if top_up:
        return Curated(kept + removed * data, removed)
    left = kept.sum()
    if not float(left) > 0:
        _checks.refuse("cap", cap, "nothing is left to normalise: take a larger cap, or top_up=True")
    return Curated(kept / left, removed)
