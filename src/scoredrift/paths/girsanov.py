"""Score energies: what Girsanov's theorem charges for a wrong drift.

P* is the reverse process with exact score s*, P̂ the one with learned score ŝ, e = ŝ − s*. On
paths that start alike,

    M = ∫ e·dB̄,    Z = M − ½ ∫ ‖e‖² dt = log dP̂/dP*,    KL(P*‖P̂) = ½ ε*²,   KL(P̂‖P*) = ½ ε̂²,

    ε*² = E_{P*} ∫_{t0}^{T} ‖e(X_t, t)‖² dt        (ideal paths),
    ε̂²  = E_{P̂}  ∫_{t0}^{T} ‖e(X_t, t)‖² dt        (learned paths),

with B̄ the Brownian motion of the reverse process under P*. Along ideal paths the energy needs no
simulation: X_t is one exact draw, and a random time τ turns the integral into a mean.

The same theorem prices a time-stepping method, which is a reverse process whose drift is held
between grid times: ``held_energy``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.paths.integrators import StochasticIntegrator, stochastic
from scoredrift.paths.simulation import spanning
from scoredrift.process import StepTimes, TimeSampler, log_uniform_times, random_times
from scoredrift.scores import ErrorField, Flow, flow_of, learned_flow_of

_BINS = 24  # intervals of time that a pilot run tells apart


@_numerics.estimator
def ideal_energy(
    error: ErrorField,
    n: int,
    *,
    generator: torch.Generator,
    times: TimeSampler = log_uniform_times,
) -> Estimate:
    """Score-error energy on ideal paths, ε*² = E[w(τ) ‖e(X_τ, τ)‖²], by random times.

    Source: arXiv 2602.16601, definition of the score-error energy; the random times are ours.

    Args:
        error: ``Flow(law, process).error(model)``, or an injected field.
        n: number of draws ≥ 2; each costs one evaluation of e.
        generator: source of randomness, on the device of the law.
        times: density of τ; log-uniform follows errors that peak near t0, ``energy_times`` finds out.

    Returns:
        Estimate of ε*² (dimensionless, like a χ²; half of it is a KL in nats).

    Raises:
        ValueError: n < 2, an error against anything but a ``Flow``, a generator on another device, or an
            error of wrong shape or not finite.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField, Flow
    >>> flow = Flow(mixture_of_three(), OrnsteinUhlenbeck())
    >>> push = flow.inject(ConstantField(torch.tensor([0.5], dtype=torch.float64)))
    >>> energy = ideal_energy(push, 10_000, generator=torch.Generator().manual_seed(0))
    >>> abs(energy.sigmas_from(0.25 * 3.98)) < 5  # c² (T − t0)
    True
    """
    return _energy(error, flow_of(error), n, generator, times)


@_numerics.estimator
def learned_energy(
    error: ErrorField,
    n: int,
    *,
    generator: torch.Generator,
    times: TimeSampler = log_uniform_times,
) -> Estimate:
    """Score-error energy on learned paths, ε̂² = E_P̂[w(τ) ‖e(X_τ, τ)‖²], without simulating them.

    Where the learned score is itself the score of a flow, that of a kernel density or a mixture, the
    learned reverse process started from the flow's q_T is that flow read backwards, and X_τ is one
    exact draw from it. Any other learned score has to be simulated, with the functional ``Energy``.
    Source: arXiv 2602.16601, definition of the learned energy; the random times are ours.

    Args:
        error: ``Flow(law, process).error(Flow(model, process))``.
        n: number of draws ≥ 2; each costs one evaluation of e.
        generator: source of randomness, on the device of the model.
        times: density of τ, e.g. by ``energy_times``.

    Returns:
        Estimate of ε̂² (dimensionless; half of it is KL(P̂‖P*) in nats, for paths that start alike).

    Raises:
        ValueError: n < 2, a learned score that is no flow, a generator on another device, or an error of
            wrong shape or not finite.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import Flow
    >>> q, ou = mixture_of_three(), OrnsteinUhlenbeck()
    >>> error = Flow(q, ou).error(Flow(q.blur(1.0), ou))
    >>> g = torch.Generator().manual_seed(0)
    >>> on_learned = learned_energy(error, 10_000, generator=g)
    >>> on_ideal = ideal_energy(error, 10_000, generator=g)
    >>> on_learned.value > on_ideal.value  # the blurred law lives further out, where e is larger
    True
    """
    return _energy(error, learned_flow_of(error), n, generator, times)


@_numerics.estimator
def energy_times(
    error: ErrorField, *, generator: torch.Generator, points: int = 40, learned: bool = False
) -> StepTimes:
    """Density of times by which an energy takes few draws, p ∝ E‖e(X_t, t)‖², from a pilot run.

    The variance of a mean of n draws of w(τ) ‖e(X_τ, τ)‖², with w one over the density p of τ, is
    (∫ E‖e‖⁴/p dt − (∫ E‖e‖² dt)²)/n, least for p ∝ √E‖e‖⁴. Where ‖e‖² scatters about as much at all times, that
    is the same, and a second moment is known from fewer draws than a fourth.

    Args:
        error: e, as for ``ideal_energy`` or ``learned_energy``.
        generator: source of randomness, on the device of the law.
        points: draws ≥ 2 of the pilot run in each of 24 intervals, an evaluation of e each.
        learned: for ``learned_energy``, along learned paths.

    Returns:
        ``times`` for the energy, which stays unbiased, since its draws are others.

    Raises:
        ValueError: fewer than 2 points, and what the energy refuses.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import Flow
    >>> q, ou = mixture_of_three(), OrnsteinUhlenbeck()
    >>> error = Flow(q, ou).error(Flow(q.blur(0.1), ou))  # which is large at small times
    >>> g = torch.Generator().manual_seed(0)
    >>> planned = ideal_energy(error, 10_000, generator=g, times=energy_times(error, generator=g))
    >>> planned.stderr < 0.7 * ideal_energy(error, 10_000, generator=g).stderr
    True
    """
    points = _checks.count("points", points, least=2)
    paths = learned_flow_of(error) if learned else flow_of(error)
    _checks.generator_on(generator, paths.law.device)
    edges = paths.process.geometric_grid(_BINS).flip(0).to(generator.device)
    u = torch.rand(_BINS, points, generator=generator, dtype=torch.float64, device=generator.device)
    tau = (edges[:-1, None] + edges.diff()[:, None] * u).flatten()
    tau = tau.clamp(paths.process.t_min, paths.process.t_max).to(paths.law.dtype)
    value = _numerics.evaluate(error, paths.sample(len(tau), tau, generator=generator), tau, "error(x, t)")
    parts = edges.diff() * value.double().square().sum(1).reshape(_BINS, points).mean(1)
    # What a few draws miss must not be missed by all.
    shares = parts + 0.1 * parts.mean() if bool(parts.sum() > 0) else torch.ones_like(parts)
    return StepTimes(edges, shares / shares.sum())


def _energy(
    error: ErrorField, paths: Flow, n: int, generator: torch.Generator, times: TimeSampler
) -> Estimate:
    """∫ E‖e(X_t, t)‖² dt over the flow that the paths belong to."""
    _checks.count("n", n, least=2)
    tau, weight = random_times(times, paths.process, n, generator=generator)
    tau, weight = tau.to(paths.law.dtype), weight.to(paths.law.dtype)
    x = paths.sample(n, tau, generator=generator)
    value = _numerics.evaluate(error, x, tau, "error(x, t)")
    return Estimate.from_samples(weight * value.square().sum(1))


@_numerics.estimator
def held_energy(
    error: ErrorField,
    grid: Tensor,
    integrator: StochasticIntegrator,
    n: int,
    *,
    paths: Flow | None = None,
    generator: torch.Generator,
    times: TimeSampler = log_uniform_times,
) -> Estimate:
    """Energy of score error and time stepping together, on ideal paths, without stepping.

    On a grid T = t_K > … > t_0, between t_{k+1} and t_k, the integrator runs with a drift b̂ that it
    computed at t_{k+1}, while the reverse process has the drift b = ½ Y + s*. Girsanov charges

        E_{P*} Σ_k ∫_{t_k}^{t_{k+1}} ‖b̂(Y_t, t; Y_{t_{k+1}}, t_{k+1}) − b(Y_t, t)‖² dt.

    Half of it is KL(P*‖P̂_K) for paths that start alike, exactly; a wrong start adds
    KL(q_T‖start). A random t and two exact draws, X_t and X_{t_{k+1}} given X_t, make it a mean.
    Source: Girsanov; chapter 1 of the book, theorem "The price of a time step".

    Args:
        error: ``flow.error(model)``; ``flow.error(flow)`` prices the steps alone.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        integrator: a method for the reverse SDE.
        n: number of draws ≥ 2; each costs two score evaluations.
        paths: flow whose ideal paths are looked at; None for that of the exact score. With another one
            ``model.error(model)`` prices the steps of a model on the paths of the data.
        generator: source of randomness, on the device of the law.
        times: density of t.

    Returns:
        Estimate of the energy; half of it is in nats.

    Raises:
        ValueError: n < 2, an integrator without ``held_drift``, a grid that does not decrease or does
            not run from T to t0, a generator on another device, or a score of wrong shape.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.paths import EulerMaruyama
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import Flow
    >>> ou, step = OrnsteinUhlenbeck(), EulerMaruyama()
    >>> flow, g = Flow(mixture_of_three(), ou), torch.Generator().manual_seed(0)
    >>> coarse = held_energy(flow.error(flow), ou.geometric_grid(20), step, 4000, generator=g)
    >>> fine = held_energy(flow.error(flow), ou.geometric_grid(80), step, 4000, generator=g)
    >>> coarse.value > 3 * fine.value
    True
    """
    _checks.count("n", n, least=2)
    stochastic(integrator)
    flow = flow_of(error) if paths is None else paths
    law, process = flow.law, flow.process
    spanning(grid, process)
    t, weight = random_times(times, process, n, generator=generator)
    knots = grid.to(dtype=t.dtype, device=t.device).flip(0)
    held_at = knots[torch.searchsorted(knots, t, right=True).clamp(max=len(knots) - 1)]
    held_at = torch.maximum(held_at, t).to(law.dtype)
    t, weight = t.to(law.dtype), weight.to(law.dtype)
    x = process.diffuse(law.sample(n, generator=generator), 0.0, t, generator=generator)
    x_held = process.diffuse(x, t, held_at, generator=generator)
    score_held = _numerics.evaluate(error.learned, x_held, held_at, "learned(x, t)")
    used = integrator.held_drift(x, t, x_held, held_at, score_held)
    _checks.vectors("integrator.held_drift(…)", used, x)
    ideal = 0.5 * x + _numerics.evaluate(error.exact, x, t, "exact(x, t)")
    return Estimate.from_samples(weight * (used - ideal).square().sum(1))
