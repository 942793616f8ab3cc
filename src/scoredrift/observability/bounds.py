"""The best lower bound of an energy that one reference score gives.

Any score may take the place of the reference, also one between the two: with D = ŝ − ŝ' and a fraction c,

    ε*²(ŝ) ≥ L(ŝ) − L(ŝ − c D) = ∫ E[2c D·(ŝ + ε/√v) − c² ‖D‖²] dt,

where c = 1 is the plain difference of losses. The best c at each time is E[D·e]/E‖D‖², and gives

    ε*²(ŝ) ≥ ∫ (E[D·e])²/E‖D‖² dt,

the part of the error that lies along D. It is never negative; where the errors of ŝ and ŝ' have nothing to do
with each other it is ε⁴/(ε² + ε'²) with their energies ε², ε'², and not ε² − ε'². So a reference that is
worse than the network still says something about it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.observability.levels import EnergyByLevel
from scoredrift.observability.noises import NoiseDesign
from scoredrift.paths import VectorField
from scoredrift.process import OrnsteinUhlenbeck


@_numerics.estimator
def energy_bound(
    score: VectorField,
    reference: VectorField,
    points: Tensor,
    edges: Tensor,
    *,
    generator: torch.Generator,
    design: NoiseDesign | None = None,
    batch: int = 65_536,
) -> EnergyByLevel:
    """Lower bound of ε*²(ŝ) from the best blend of ŝ with a reference, by the level of noise.

    Formulas at the head of the module. The fraction c of each level is fitted on one half of the points and
    used on the other, and the other way round, so that the mean of the estimate is a bound, whatever c.

    Args:
        score: ŝ(x, t), a score or a function of x ``[n, d]`` and t ``[n]``.
        reference: ŝ', another one, as good as can be had.
        points: draws of q on which neither was trained, shape ``[n, d]`` with n ≥ 4.
        edges: increasing times > 0, shape ``[B + 1]``.
        generator: source of randomness, on the device of the points.
        design: how noises and times are drawn in each level.
        batch: largest number of evaluations together, but never fewer than those of one point.

    Returns:
        EnergyByLevel of lower bounds; an estimate may come out below zero by its error.

    Raises:
        ValueError: points that are fewer than four, not finite or repeated; edges that do not increase; a
            score of wrong shape or not finite; a generator on another device.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(2000, 1, generator=g, dtype=torch.float64)
    >>> learned, worse = lambda x, t: -x + 0.5, lambda x, t: -x - 1
    >>> found = energy_bound(learned, worse, x, torch.tensor([0.5, 1.0, 4.0]), generator=g)
    >>> abs(found.total.sigmas_from(0.25 * 3.5)) < 5  # all of e lies along D
    True
    """
    spans = [OrnsteinUhlenbeck(*ends) for ends in pairwise(_checks.increasing("edges", edges).tolist())]
    points = _checks.sample("points", points, least=4)
    design = NoiseDesign() if design is None else design
    if not isinstance(design, NoiseDesign):
        _checks.refuse("design", repr(design), "pass NoiseDesign(…)")

    def along(x: Tensor, t: Tensor, target: Tensor) -> Tensor:
        learned = _checks.floating("score(x, t)", _numerics.evaluate(score, x, t, "score(x, t)"))
        other = _checks.floating("reference(x, t)", _numerics.evaluate(reference, x, t, "reference(x, t)"))
        gap = learned - other
        return torch.stack([(gap * (learned - target)).sum(1), gap.square().sum(1)], 1)

    inner, size = design.integrals(along, points, spans, generator, batch).mean(1).unbind(-1)  # [n, B] each
    draws = torch.empty_like(inner)
    for fitted, judged in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        total = size[fitted].sum(0)
        c = torch.where(total > 0, inner[fitted].sum(0) / total, 0.0)
        draws[judged] = 2 * c * inner[judged] - c.square() * size[judged]
    return EnergyByLevel.from_draws(edges, draws)
