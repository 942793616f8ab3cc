"""Total variation of what is generated, to first order and with an explicit remainder, from futures.

With Z = M − ½⟨M⟩ and E_{P*} e^Z = 1, both e^Z − 1 − Z ≥ 0 and ½⟨M⟩ ≥ 0 have the mean ½ ε*². Their
difference is e^Z − 1 − M, so E|e^Z − 1 − M| ≤ ε*². A conditional mean shortens no L¹ norm, and therefore

    |TV(p̂, q_{t0}) − ½ E|u|| ≤ ½ ε*²,        u(x) = E[M | Y_{t0} = x],

for errors of any size, whether χ² is finite or not. With independent futures G_1, …, G_m of the same
x ~ q_{t0}, each of mean u(x), and their mean Ḡ,

    E[G_j sign(Σ_{k≠j} G_k)] ≤ E|u| ≤ E|Ḡ|,

by |f| ≤ 1 on the left and by Jensen's inequality on the right. Both sides tend to E|u| as m grows.

Source: ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from scoredrift import _numerics
from scoredrift.divergences import pinsker
from scoredrift.estimates import FEWEST, Estimate
from scoredrift.observability.futures import PairDesign
from scoredrift.observability.pairs import _futures_of_points
from scoredrift.scores import ErrorField

_FUTURES = 8


class VariationBounds(NamedTuple):
    """Bounds on TV(p̂, q_{t0}) from both sides, and what they are made of; all without unit.

    Args:
        lower: least − ½ ε*²; a negative number says nothing.
        upper: the smaller of most + ½ ε*² and ``pinsker(½ ε*²)``.
        least, most: bounds on ½ E|u| from both sides.
        energy: ε*².

    >>> one = Estimate(0.2)
    >>> VariationBounds(lower=one, upper=one, least=one, most=one, energy=Estimate(0.0)).energy.value
    0.0
    """

    lower: Estimate
    upper: Estimate
    least: Estimate
    most: Estimate
    energy: Estimate


@_numerics.estimator
def total_variation_by_futures(
    error: ErrorField,
    n: int,
    *,
    generator: torch.Generator,
    design: PairDesign | None = None,
    pilot: int = 200,
    batch: int = 65_536,
) -> VariationBounds:
    """Bounds on TV(p̂, q_{t0}) from both sides: no density, no solver, no regression.

        E[G_j sign(Σ_{k≠j} G_k)] − ε*² ≤ 2 TV ≤ min(E|Ḡ|, √η ε*) + ε*²

    Args:
        error: e with its divergence and the exact score.
        n: number of points x ≥ 2; each costs ``design.cost`` evaluations.
        generator: source of randomness, on the device of the law.
        design: how the futures are drawn; if it is None, what ``plan`` finds, with eight futures or more.
        pilot: number of points of the pilot run, if there is one.
        batch: largest number of points evaluated together.

    Returns:
        VariationBounds for a sampler that starts from q_T; another start ν moves TV by TV(ν, q_T) at most. An
        energy can rest on rare futures, as where a model invents what the data do not have. So from n = 100 on it
        carries the tail of its draws, and is not trusted where that is heavy; nor are ``lower`` and ``upper``
        where ½ ε*² makes up half of their standard error or more.

    Raises:
        ValueError: n < 2, a generator on another device, an error of wrong shape or not finite.

    Source: ours.

    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField, Flow
    >>> q, ou = Gaussian(torch.zeros(2), torch.eye(2)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(torch.tensor([0.03, 0.04])))
    >>> found = total_variation_by_futures(push, 2000, generator=torch.Generator().manual_seed(0))
    >>> u = 0.05 * 1.7266 * (2 / torch.pi) ** 0.5  # E|u|, where u is normal
    >>> abs(found.least.sigmas_from(0.5 * u)) < 5, found.upper.value - found.lower.value < 0.02
    (True, True)
    """
    design, found = _futures_of_points(
        error, n, generator=generator, design=design, pilot=pilot, batch=batch, least=_FUTURES
    )
    futures, energies = [], []
    for one in found:
        futures.append(one.draws.double().mean(-1).sum(1))  # over signs and strata: [n, m]
        energies.append(one.energy.double())
    each, energy = torch.cat(futures), torch.cat(energies)
    mean = each.mean(1)
    others = each.sum(1, keepdim=True) - each
    below = 0.5 * (each * others.sign()).mean(1)
    squares = mean.square() - each.var(1) / design.futures  # unbiased for u²
    above = 0.5 * mean.abs()
    root = 0.5 * Estimate.from_samples(squares).sqrt()
    most, upper = Estimate.from_samples(above), Estimate.from_samples(above + 0.5 * energy)
    total = Estimate.from_samples(energy, check_tail=n >= FEWEST)
    if root.value < most.value:
        most, upper = root, root + 0.5 * Estimate(total.value, total.stderr)
    whole = pinsker(0.5 * total)
    return VariationBounds(
        lower=_doubted(Estimate.from_samples(below - 0.5 * energy), total),
        upper=min(_doubted(upper, total), whole, key=lambda one: one.value),
        least=Estimate.from_samples(below),
        most=most,
        energy=total,
    )


def _doubted(bound: Estimate, energy: Estimate) -> Estimate:
    """A bound with the tail of the energy, if half of that makes up half of the bound's error or more."""
    tail = energy.tail if energy.stderr > bound.stderr else None
    return Estimate(bound.value, bound.stderr, tail)
