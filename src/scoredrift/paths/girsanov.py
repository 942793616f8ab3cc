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
from scoredrift.paths.integrators import Integrator, StochasticIntegrator, VectorField, stochastic
from scoredrift.paths.simulation import Step, spanning
from scoredrift.process import TimeSampler, log_uniform_times, random_times
from scoredrift.scores import ErrorField, Flow, flow_of, learned_flow_of


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
        times: density of τ; log-uniform follows errors that peak near t0.

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
        times: density of τ.

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


class _Sum:
    """What functionals share that add one number for each path in every step, afresh in each simulation."""

    def __init__(self, error: VectorField) -> None:
        self.error = error
        self._sum: Tensor | None = None

    def begin(self, integrator: Integrator) -> None:
        """Forget an earlier simulation."""
        self._sum = None

    @property
    def values(self) -> Tensor:
        """Sum of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return _recorded(self._sum)


class Energy(_Sum):
    """Functional ∫ ‖e(Y_t, t)‖² dt along simulated paths, by the value at the start of each step.

    On paths of ŝ its mean is ε̂², on paths of s* it is ε*², up to the step size.

    Args:
        error: e(x, t), called with x ``[n, d]`` and a float t.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.paths import EulerMaruyama
    >>> from scoredrift.paths import simulate
    >>> energy = Energy(ConstantField(torch.tensor([0.5])))
    >>> grid = OrnsteinUhlenbeck(1.0, 3.0).uniform_grid(4)
    >>> g = torch.Generator().manual_seed(0)
    >>> start, step = torch.zeros(2, 1), EulerMaruyama()
    >>> _ = simulate(lambda x, t: -x, start, grid, step, generator=g, functionals=[energy])
    >>> energy.values
    tensor([0.5000, 0.5000])
    """

    @_numerics.estimator
    def record(self, step: Step) -> None:
        """Add ‖e‖² Δ of one step, Δ = t − t_next.

        Args:
            step: the step, from ``simulate``.

        Raises:
            ValueError: an error of wrong shape, or another number of paths than before.
        """
        gap, e = _gap(step), _at(self.error, step)
        part = e.square().sum(1) * gap
        self._sum = _add(self._sum, part)

    def estimate(self) -> Estimate:
        """Mean energy over the paths, with its standard error.

        Raises:
            ValueError: nothing recorded yet, or fewer than two paths.

        >>> from scoredrift.scores import ConstantField
        >>> energy, x = Energy(ConstantField(torch.tensor([2.0]))), torch.zeros(2, 1)
        >>> energy.record(Step(x, 1.0, 0.5, x, x))
        >>> energy.estimate()
        Estimate(value=2.0, stderr=0.0)
        """
        return Estimate.from_samples(self.values)


class Martingale(_Sum):
    """Functional M = ∫ e·dB̄ along simulated paths, with B̄ the Brownian motion that drives them.

    On paths simulated with s* this is the score-error martingale of the theory, and
    ``Martingale.values − ½ Energy.values`` is the log-ratio Z = log dP̂/dP*, up to the step size.

    Args:
        error: e(x, t), called with x ``[n, d]`` and a float t.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.paths import EulerMaruyama
    >>> from scoredrift.paths import simulate
    >>> m = Martingale(ConstantField(torch.tensor([1.0])))
    >>> grid = OrnsteinUhlenbeck(1.0, 3.0).uniform_grid(4)
    >>> g = torch.Generator().manual_seed(0)
    >>> start, step = torch.zeros(20_000, 1), EulerMaruyama()
    >>> _ = simulate(lambda x, t: -x, start, grid, step, generator=g, functionals=[m])
    >>> round(float(m.values.var()), 1)  # ∫ 1 dt
    2.0
    """

    def begin(self, integrator: Integrator) -> None:
        """Forget an earlier simulation.

        Raises:
            ValueError: a method without noise, along whose paths there is no B̄.
        """
        stochastic(integrator)
        super().begin(integrator)

    @_numerics.estimator
    def record(self, step: Step) -> None:
        """Add e·ΔB̄ = √Δ e·ξ of one step; how far ξ is the Brownian increment, see ``Step``.

        Args:
            step: the step, from ``simulate``.

        Raises:
            ValueError: an error of wrong shape, or another number of paths than before.
        """
        gap, e = _gap(step), _at(self.error, step)
        part = (e * step.noise).sum(1) * gap**0.5
        self._sum = _add(self._sum, part)


class LogRatio:
    """Functional Z = log dP̂/dP* = M − ½ ∫ ‖e‖² dt along paths of s*, with both of its parts.

    With Euler–Maruyama this is the exact log-ratio of the simulation with ŝ to that with s*, and with
    any method E[e^Z] = 1, whatever the step size.

    Args:
        error: e(x, t), called once a step with x ``[n, d]`` and a float t.

    >>> from scoredrift.scores import ConstantField
    >>> ratio, x = LogRatio(ConstantField(torch.tensor([2.0]))), torch.zeros(2, 1)
    >>> ratio.record(Step(x, 1.0, 0.75, torch.ones(2, 1), x))
    >>> ratio.martingales, ratio.energies, ratio.values  # √Δ e ξ, Δ e², and Z
    (tensor([1., 1.]), tensor([1., 1.]), tensor([0.5000, 0.5000]))
    """

    def __init__(self, error: VectorField) -> None:
        self.error = error
        self._martingale: Tensor | None = None
        self._energy: Tensor | None = None

    def begin(self, integrator: Integrator) -> None:
        """Forget an earlier simulation.

        Raises:
            ValueError: a method without noise, along whose paths there is no B̄.
        """
        stochastic(integrator)
        self._martingale = self._energy = None

    @_numerics.estimator
    def record(self, step: Step) -> None:
        """Add √Δ e·ξ and ‖e‖² Δ of one step, Δ = t − t_next.

        Args:
            step: the step, from ``simulate``.

        Raises:
            ValueError: an error of wrong shape, or another number of paths than before.
        """
        gap, e = _gap(step), _at(self.error, step)
        part, size = (e * step.noise).sum(1) * gap**0.5, e.square().sum(1) * gap
        self._martingale, self._energy = _add(self._martingale, part), _add(self._energy, size)

    @property
    def martingales(self) -> Tensor:
        """M of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return _recorded(self._martingale)

    @property
    def energies(self) -> Tensor:
        """∫ ‖e‖² dt of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return _recorded(self._energy)

    @property
    def values(self) -> Tensor:
        """Z of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return self.martingales - 0.5 * self.energies


def _gap(step: Step) -> float:
    """Length of a step, if its states, noise and times fit each other."""
    _checks.points("step.x", step.x)
    _checks.vectors("step.noise", _checks.points("step.noise", step.noise, like=step.x), step.x)
    t = _checks.number("step.t", step.t, low=0.0)
    gap = t - _checks.number("step.t_next", step.t_next, low=0.0)
    if not gap > 0:
        _checks.refuse("step.t_next", step.t_next, f"time runs down: pass a time below t = {t}")
    return gap


def _at(error: VectorField, step: Step) -> Tensor:
    return _checks.floating("error(x, t)", _numerics.evaluate(error, step.x, step.t, "error(x, t)"))


def _add(total: Tensor | None, part: Tensor) -> Tensor:
    """Sum over the steps of one simulation."""
    if total is not None and total.shape != part.shape:
        remedy = f"{len(total)} paths were recorded before: begin(integrator) starts another simulation"
        _checks.refuse("step.x.shape", f"[{len(part)}, d]", remedy)
    return part if total is None else total + part


def _recorded(total: Tensor | None) -> Tensor:
    if total is None:
        _checks.refuse("values", "empty", "pass this functional to simulate first")
    return total
