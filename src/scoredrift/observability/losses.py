"""Energies from denoising losses: of a network whose error nobody can write down.

For X_t = a x + √v ε, with x a point of the law q,

    L(ŝ) = ∫_{t0}^{T} E‖ŝ(X_t, t) + ε/√v‖² dt,        E[−ε/√v | X_t] = s*(X_t, t),

so that L(ŝ) = L(s*) + ε*², the energy of e = ŝ − s*. L(s*) is unknown, but it is the same for all scores:

    L(ŝ) − L(ŝ') = ε*²(ŝ) − ε*²(ŝ') ≤ ε*²(ŝ).

A difference of losses is one of energies, exact where ŝ' = s*, and else a lower bound, the tighter the
better ŝ' is. Which law q is, the points say: fresh draws, on which nothing was trained, stand for the
population; the N points of a training set *are* the empirical law q_N, whose score is known exactly
(``Flow(KernelDensity(points, h), process)`` with h far below √v(t0)). A population is not to be had from
points of a training set: there L favours what has learned them by heart.

What is done about the variance:

* Both scores see the same point, time and noise, and ‖ε‖²/v, nearly all of either loss, cancels before it
  is computed: (ŝ − ŝ')·(ŝ + ŝ' + 2 ε/√v).
* Antithetic noises a x ± √v ε cancel (ŝ − ŝ')·ε/√v, whose variance is of order 1/v near t0, as far as
  ŝ − ŝ' hardly changes over √v: a great deal for smooth errors and rotations, nothing for rough ones. At
  late times ŝ + ŝ' + 2 ε/√v is small by itself, the more the better the scores.
* Times are stratified, and several noises share a point. What the noises of one point have in common is
  kept: for the population its mean counts as one draw.

What cannot be done about it: a point has a share of its own. For ŝ' = s* and a small e, the mean over the
noises of one point is, by parts, ∫ E[‖e‖² + 2 𝒜e | X_0 = x] dt, and the second term is −2 E[u(X_{t0}) | X_0 = x]
with u the response. However many noises, n points leave a standard error of up to

    2 √(η ε*²/n),

so that an energy shows from n ≈ 4η/ε*² fresh points on. What is invisible costs none of this.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.observability.levels import EnergyByLevel
from scoredrift.observability.noises import NoiseDesign, Term
from scoredrift.paths import VectorField
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import ErrorField, flow_of


@_numerics.estimator
def denoising_loss(
    score: VectorField,
    points: Tensor,
    process: OrnsteinUhlenbeck,
    *,
    generator: torch.Generator,
    design: NoiseDesign | None = None,
    batch: int = 65_536,
) -> Estimate:
    """Denoising loss L(ŝ) = ∫ E‖ŝ(X_t, t) + ε/√v‖² dt = L(s*) + ε*².

    Differences of two of these are better taken by ``loss_difference``, whose noise is far smaller.
    Source: Vincent 2011 (doi 10.1162/NECO_a_00142).

    Args:
        score: ŝ(x, t), a score or a function of x ``[n, d]`` and t ``[n]``; what predicts noise or data has
            to be turned into a score first.
        points: draws of q, shape ``[n, d]`` with n ≥ 2.
        process: gives t0 and T.
        generator: source of randomness, on the device of the points.
        design: how noises and times are drawn.
        batch: largest number of evaluations together, but never fewer than those of one point.

    Returns:
        Estimate of L(ŝ), without unit.

    Raises:
        ValueError: points that are fewer than two, not finite or repeated; a score of wrong shape or not
            finite; a generator on another device.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(4000, 1, generator=g, dtype=torch.float64)
    >>> loss = denoising_loss(lambda x, t: -x, x, OrnsteinUhlenbeck(), generator=g)
    >>> abs(loss.sigmas_from(3.9035)) < 5  # L(s*) = ∫ (1/v − 1) dt on N(0, 1)
    True
    """

    def squared(x: Tensor, t: Tensor, target: Tensor) -> Tensor:
        return (_value("score(x, t)", score, x, t) - target).square().sum(1)

    draws = _as_design(design).integrals(
        squared, _checks.sample("points", points), [_checks.process(process)], generator, batch
    )
    return Estimate.from_samples(draws.mean(1).sum(1))


@_numerics.estimator
def loss_difference(
    first: VectorField,
    second: VectorField,
    points: Tensor,
    process: OrnsteinUhlenbeck,
    *,
    generator: torch.Generator,
    design: NoiseDesign | None = None,
    batch: int = 65_536,
) -> Estimate:
    """Difference of two energies, ε*²(ŝ) − ε*²(ŝ') = L(ŝ) − L(ŝ'), on fresh points of q.

    With the exact score as ŝ' it is ε*²(ŝ), with any other a lower bound of ε*²(ŝ); formulas at the head of
    the module.

    Args:
        first, second: ŝ and ŝ', as for ``denoising_loss``.
        points: draws of q on which neither was trained, shape ``[n, d]`` with n ≥ 2.
        process: gives t0 and T.
        generator: source of randomness, on the device of the points.
        design: how noises and times are drawn.
        batch: largest number of evaluations together, but never fewer than those of one point.

    Returns:
        Estimate, without unit; its standard error is that of n independent points.

    Raises:
        ValueError: as for ``denoising_loss``.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(1000, 1, generator=g, dtype=torch.float64)
    >>> found = loss_difference(lambda x, t: -x - 0.5, lambda x, t: -x, x, OrnsteinUhlenbeck(), generator=g)
    >>> abs(found.sigmas_from(0.25 * 3.98)) < 5
    True
    """
    term = _difference(first, second)
    draws = _as_design(design).integrals(
        term, _checks.sample("points", points), [_checks.process(process)], generator, batch
    )
    return Estimate.from_samples(draws.mean(1).sum(1))


@_numerics.estimator
def empirical_loss_difference(
    first: VectorField,
    second: VectorField,
    points: Tensor,
    process: OrnsteinUhlenbeck,
    *,
    generator: torch.Generator,
    design: NoiseDesign | None = None,
    batch: int = 65_536,
) -> Estimate:
    """Difference of two energies against the empirical law q_N of the points, such as a training set.

    The points are the law and not a sample of it, so that the noises alone are random:

        se² = (1/N²) Σ_i s_i²/m,        s_i² the sample variance over the m noises of point i.

    Args:
        first, second: ŝ and ŝ', as for ``denoising_loss``; with the score of q_N as ŝ' the result is the
            energy of ŝ against q_N.
        points: all N ≥ 1 points of the law, shape ``[N, d]``.
        process: gives t0 and T.
        generator: source of randomness, on the device of the points.
        design: how noises and times are drawn, with m ≥ 2 noises.
        batch: largest number of evaluations together, but never fewer than those of one point.

    Returns:
        Estimate, without unit.

    Raises:
        ValueError: no points, one noise only; else as for ``denoising_loss``.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.laws import KernelDensity
    >>> from scoredrift.scores import Flow
    >>> g, two = torch.Generator().manual_seed(0), torch.tensor([[-1.0], [1.0]]).double()
    >>> by_heart = Flow(KernelDensity(two, 1e-6), OrnsteinUhlenbeck())
    >>> pushed = lambda x, t: by_heart(x, t) + 0.5
    >>> many = NoiseDesign(noises=500)
    >>> found = empirical_loss_difference(
    ...     pushed, by_heart, two, OrnsteinUhlenbeck(), generator=g, design=many
    ... )
    >>> abs(found.sigmas_from(0.25 * 3.98)) < 5
    True
    """
    design = _as_design(design)
    if design.noises < 2:
        _checks.refuse("design.noises", design.noises, "one noise shows no spread: take two or more")
    term = _difference(first, second)
    points = _checks.sample("points", points, least=1, copies=True)
    draws = design.integrals(term, points, [_checks.process(process)], generator, batch).sum(2)
    spread = float(draws.var(1).sum() / draws.shape[1])
    return Estimate(float(draws.mean()), math.sqrt(spread) / len(draws))


@_numerics.estimator
def loss_difference_by_level(
    first: VectorField,
    second: VectorField,
    points: Tensor,
    edges: Tensor,
    *,
    generator: torch.Generator,
    design: NoiseDesign | None = None,
    batch: int = 65_536,
) -> EnergyByLevel:
    """Difference of two energies by the level of noise, on fresh points of q.

    Args:
        first, second: ŝ and ŝ', as for ``denoising_loss``.
        points: draws of q on which neither was trained, shape ``[n, d]`` with n ≥ 2.
        edges: increasing times > 0, shape ``[B + 1]``, such as ``process.geometric_grid(8).flip(0)``.
        generator: source of randomness, on the device of the points.
        design: how noises and times are drawn in each level.
        batch: largest number of evaluations together, but never fewer than those of one point.

    Returns:
        EnergyByLevel of L(ŝ) − L(ŝ').

    Raises:
        ValueError: edges that do not increase; else as for ``denoising_loss``.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(1000, 1, generator=g, dtype=torch.float64)
    >>> edges = torch.tensor([0.5, 1.0, 4.0])
    >>> found = loss_difference_by_level(lambda x, t: -x - 1, lambda x, t: -x, x, edges, generator=g)
    >>> [abs(one.sigmas_from(width)) < 5 for one, width in zip(found.levels, (0.5, 3.0))]
    [True, True]
    """
    spans = [OrnsteinUhlenbeck(*ends) for ends in pairwise(_checks.increasing("edges", edges).tolist())]
    points = _checks.sample("points", points)
    draws = _as_design(design).integrals(_difference(first, second), points, spans, generator, batch)
    return EnergyByLevel.from_draws(edges, draws.mean(1))


@_numerics.estimator
def energy_by_level(
    error: ErrorField,
    n: int,
    edges: Tensor,
    *,
    generator: torch.Generator,
    design: NoiseDesign | None = None,
    batch: int = 65_536,
) -> EnergyByLevel:
    """Energy ε*² of a known error by the level of noise.

    Args:
        error: ``Flow(law, process).error(model)``, or an injected field.
        n: number of points of the law ≥ 2.
        edges: increasing times in [t0, T], shape ``[B + 1]``.
        generator: source of randomness, on the device of the law.
        design: how noises and times are drawn in each level.
        batch: largest number of evaluations together, but never fewer than those of one point.

    Returns:
        EnergyByLevel.

    Raises:
        ValueError: n < 2, edges that do not increase, an error against anything but a ``Flow``, of wrong
            shape or not finite; a generator on another device.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.scores import ConstantField, Flow
    >>> push = Flow(mixture_of_three(), OrnsteinUhlenbeck()).inject(ConstantField(torch.ones(1).double()))
    >>> g = torch.Generator().manual_seed(0)
    >>> found = energy_by_level(push, 1000, torch.tensor([0.02, 1.0, 4.0]), generator=g)
    >>> [abs(one.sigmas_from(width)) < 5 for one, width in zip(found.levels, (0.98, 3.0))]
    [True, True]
    """
    flow, n = flow_of(error), _checks.count("n", n, least=2)
    spans = [OrnsteinUhlenbeck(*ends) for ends in pairwise(_checks.increasing("edges", edges).tolist())]

    def squared(x: Tensor, t: Tensor, _: Tensor) -> Tensor:
        return _value("error(x, t)", error, x, t).square().sum(1)

    _checks.generator_on(generator, flow.law.device)
    points = flow.law.sample(n, generator=generator)
    draws = _as_design(design).integrals(squared, points, spans, generator, batch)
    return EnergyByLevel.from_draws(edges, draws.mean(1))


def _difference(first: VectorField, second: VectorField) -> Term:
    """‖ŝ − g‖² − ‖ŝ' − g‖² with g the target, without the term that both have."""

    def term(x: Tensor, t: Tensor, target: Tensor) -> Tensor:
        one, other = _value("first(x, t)", first, x, t), _value("second(x, t)", second, x, t)
        return ((one - other) * (one + other - 2 * target)).sum(1)

    return term


def _value(name: str, score: VectorField, x: Tensor, t: Tensor) -> Tensor:
    return _checks.floating(name, _numerics.evaluate(score, x, t, name))


def _as_design(design: NoiseDesign | None) -> NoiseDesign:
    design = NoiseDesign() if design is None else design
    if not isinstance(design, NoiseDesign):
        _checks.refuse("design", repr(design), "pass NoiseDesign(…)")
    return design
