"""Integrators: one step of a numerical method for the reverse process.

With a score s, in the remaining time t that runs down from T to t0,

    SDE:  Y_{t−Δ} = Y_t + [½ Y_t + s(Y_t, t)] Δ + (B̄ increment),
    ODE:  Y_{t−Δ} = Y_t + ½ [Y_t + s(Y_t, t)] Δ.

A method for the SDE is itself a reverse process: between grid times it runs with a drift that it
*holds*, computed from the last evaluation of the score. ``held_drift`` says which, so that
Girsanov's theorem can price the method (``held_energy``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift import process as ou

VectorField = Callable[[Tensor, float | Tensor], Tensor]


class Integrator(Protocol):
    """A numerical method: one step from time t to t_next < t.

    Any object with a ``step`` is one. ``score`` may be asked at any time and as often as the method wants:

    >>> class Midpoint:  # of the probability flow
    ...     def step(self, score, x, t, t_next, noise):
    ...         half = (t - t_next) / 2
    ...         middle = x + (x + score(x, t)) * half / 2
    ...         return x + (middle + score(middle, t - half)) * half
    >>> method: Integrator = Midpoint()
    >>> method.step(lambda x, t: x, torch.ones(1, 1), 1.0, 0.5, torch.zeros(1, 1))
    tensor([[1.6250]])
    """

    def step(self, score: VectorField, x: Tensor, t: float, t_next: float, noise: Tensor) -> Tensor:
        """State at ``t_next``, shape ``[n, d]``.

        Args:
            score: s(x, t).
            x: states at ``t``, shape ``[n, d]``.
            t, t_next: times, t > t_next ≥ 0.
            noise: standard Gaussian ξ, shape of ``x``.
        """


class StochasticIntegrator(Integrator, Protocol):
    """An integrator of the reverse SDE: a reverse process whose drift is held between grid times.

    >>> method: StochasticIntegrator = Ancestral()
    """

    def held_drift(self, x: Tensor, t: Tensor, x_held: Tensor, t_held: Tensor, score_held: Tensor) -> Tensor:
        """Drift at x and t while the evaluation at x_held and t_held ≥ t is in force, ``[n, d]``.

        Args:
            x, x_held: states, shape ``[n, d]``.
            t, t_held: their times, shape ``[n]``.
            score_held: s(x_held, t_held), shape ``[n, d]``.
        """


def stochastic(integrator: Integrator) -> Integrator:
    """The integrator, if it is a method for the reverse SDE.

    Args:
        integrator: any integrator.

    Raises:
        ValueError: a method without ``held_drift``, for which noise means nothing.

    >>> stochastic(EulerMaruyama())
    EulerMaruyama()
    """
    if isinstance(integrator, type) or not hasattr(integrator, "held_drift"):
        known = "EulerMaruyama(), ExponentialIntegrator(), Ancestral()"
        remedy = f"pass a method for the reverse SDE, with a held_drift: {known}"
        _checks.refuse("integrator", type(integrator).__name__, remedy)
    return integrator


@dataclass(frozen=True)
class EulerMaruyama:
    """Euler–Maruyama step Y + [½ Y + s(Y, t)] Δ + √Δ ξ; weak order 1.

    Source: Maruyama 1955.

    >>> EulerMaruyama().step(lambda x, t: -x, torch.ones(1, 1), 1.0, 0.5, torch.zeros(1, 1))
    tensor([[0.7500]])
    """

    def step(self, score: VectorField, x: Tensor, t: float, t_next: float, noise: Tensor) -> Tensor:
        """State after the step, shape ``[n, d]``; arguments as for ``Integrator.step``."""
        t, t_next = _door(x, t, t_next, noise)
        gap = t - t_next
        return x + (0.5 * x + _score(score, x, t)) * gap + gap**0.5 * noise

    def held_drift(self, x: Tensor, t: Tensor, x_held: Tensor, t_held: Tensor, score_held: Tensor) -> Tensor:
        """Drift ½ x_held + s_held, ``[n, d]``; arguments as for ``StochasticIntegrator``."""
        return 0.5 * x_held + score_held


@dataclass(frozen=True)
class ExponentialIntegrator:
    """Exponential-integrator step e^{Δ/2} Y + 2(e^{Δ/2} − 1) s(Y, t) + √(e^Δ − 1) ξ; weak order 1.

    Only the score is held over the step; the linear part of the drift is solved exactly.
    Source: a standard method, analysed for instance in arXiv 2209.11215.

    >>> step = ExponentialIntegrator().step
    >>> step(lambda x, t: 0 * x, torch.ones(1, 1), 2.0, 1.0, torch.zeros(1, 1))  # e^{1/2}
    tensor([[1.6487]])
    """

    def step(self, score: VectorField, x: Tensor, t: float, t_next: float, noise: Tensor) -> Tensor:
        """State after the step, shape ``[n, d]``; arguments as for ``Integrator.step``."""
        t, t_next = _door(x, t, t_next, noise)
        gap = torch.tensor(t - t_next, dtype=torch.float64)
        growth, push = float(torch.exp(gap / 2)), float(2 * torch.expm1(gap / 2))
        return growth * x + push * _score(score, x, t) + float(torch.expm1(gap).sqrt()) * noise

    def held_drift(self, x: Tensor, t: Tensor, x_held: Tensor, t_held: Tensor, score_held: Tensor) -> Tensor:
        """Drift ½ x + s_held, ``[n, d]``; arguments as for ``StochasticIntegrator``."""
        return 0.5 * x + score_held


@dataclass(frozen=True)
class Ancestral:
    """Ancestral (DDPM) step: the Ornstein–Uhlenbeck bridge to the predicted datum; weak order 1.

    The denoiser m = E[X_0 | X_t = Y] = (Y + v(t) s)/a(t) is held over the step, and Y' is drawn from
    the bridge X_{t'} given X_0 = m, X_t = Y, with Δ = t − t':

        mean  [a(t') v(Δ) m + a(Δ) v(t') Y] / v(t),      variance  v(t') v(Δ) / v(t).

    Source: Ho et al. 2020 (arXiv 2006.11239), with the smaller of their two variances.

    >>> Ancestral().step(lambda x, t: -x, torch.ones(1, 1), 1.0, 0.5, torch.zeros(1, 1))
    tensor([[0.7788]])
    """

    def step(self, score: VectorField, x: Tensor, t: float, t_next: float, noise: Tensor) -> Tensor:
        """State after the step, shape ``[n, d]``; arguments as for ``Integrator.step``."""
        t, t_next = _door(x, t, t_next, noise)
        a, v = float(ou.scale(t)), float(ou.variance(t))
        a_next, v_next = float(ou.scale(t_next)), float(ou.variance(t_next))
        a_gap, v_gap = float(ou.scale(t - t_next)), float(ou.variance(t - t_next))
        datum = (x + v * _score(score, x, t)) / a
        mean = (a_next * v_gap * datum + a_gap * v_next * x) / v
        return mean + (v_next * v_gap / v) ** 0.5 * noise

    def held_drift(self, x: Tensor, t: Tensor, x_held: Tensor, t_held: Tensor, score_held: Tensor) -> Tensor:
        """Drift ½ x + (a(t) m_held − x)/v(t), ``[n, d]``; arguments as for ``StochasticIntegrator``."""
        t, t_held = t[:, None], t_held[:, None]
        datum = (x_held + ou.variance(t_held) * score_held) / ou.scale(t_held)
        return 0.5 * x + (ou.scale(t) * datum - x) / ou.variance(t)


@dataclass(frozen=True)
class HeunFlow:
    """Heun step for the probability-flow ODE dY = ½ [Y + s(Y, t)] dτ; order 2, no noise.

    Here τ = T − t. Source: Song et al. 2021 (arXiv 2011.13456), probability flow; Heun's method.

    >>> HeunFlow().step(lambda x, t: x, torch.ones(1, 1), 1.0, 0.5, torch.zeros(1, 1))
    tensor([[1.6250]])
    """

    def step(self, score: VectorField, x: Tensor, t: float, t_next: float, noise: Tensor) -> Tensor:
        """State after the step, ``[n, d]``; as for ``Integrator.step``, but ``noise`` is not used."""
        t, t_next = _door(x, t, t_next, noise)
        gap = t - t_next
        first = 0.5 * (x + _score(score, x, t))
        ahead = x + gap * first
        second = 0.5 * (ahead + _score(score, ahead, t_next))
        return x + 0.5 * gap * (first + second)


def _door(x: Tensor, t: float, t_next: float, noise: Tensor) -> tuple[float, float]:
    """The two times as floats, if states, noise and times fit each other."""
    _checks.points("x", x)
    _checks.vectors("noise", _checks.points("noise", noise, x.shape[1], like=x), x)
    start = _checks.number("t", t, low=0.0)
    if not _checks.number("t_next", t_next, low=0.0) < start:
        _checks.refuse("t_next", t_next, f"time runs down: pass a time below t = {t}")
    return start, float(t_next)


def _score(score: VectorField, x: Tensor, t: float) -> Tensor:
    return _numerics.evaluate(score, x, t, "score(x, t)")
