"""Observability from trajectories of the reverse process, the routes to compare with.

Along a trajectory the score-error martingale is a sum, M ≈ Σ e(Y_k, t_k)·ΔB̄_k. Two ways from there:

* regression, as, for all that we know, the source paper did: simulate trajectories with the exact score, regress M on
  where they end; u is the regression function;
* pairs of trajectories: a trajectory that ends in x is a forward path from x read backwards, so two
  independent ones need no simulation, and E[M M' | x] = u(x)².

Both have the bias of a time grid, of the order of its step; regression adds that of the regressor.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_predict
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.observability.futures import batches
from scoredrift.observability.result import Observability
from scoredrift.paths import (
    EulerMaruyama,
    LogRatio,
    Step,
    StochasticIntegrator,
    simulate,
    spanning,
    stochastic,
)
from scoredrift.scores import ErrorField, flow_of


@_numerics.estimator
def by_regression(
    error: ErrorField,
    n: int,
    *,
    grid: Tensor,
    generator: torch.Generator,
    integrator: StochasticIntegrator | None = None,
    regressor: RegressorMixin | None = None,
    folds: int = 5,
    progress: bool = False,
) -> Observability:
    """Observability by simulation and cross-fitted regression of M on Y_{t0}.

        η ε*² ≈ E[2 M û(Y) − û(Y)²] = Var u − E(û − u)²,    û fitted on the other folds.

    Source: arXiv 2602.16601, Definition 3.2 and App. G.1 (50 000 trajectories, 500 steps), known to us
    second-hand; the regressor is not known to us, cross-fitting is ours. A regressor that misses u makes the estimate
    too small, never too large in the mean.

    Args:
        error: e and the exact score that drives the simulation, from q_T.
        n: number of trajectories.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        generator: source of randomness, on the device of the law.
        integrator: method for the reverse SDE; Euler–Maruyama if None.
        regressor: scikit-learn regressor; gradient-boosted trees if None.
        folds: number of folds ≥ 2, taken in the order of the draws.
        progress: show a progress bar.

    Returns:
        Observability; ε*² is the mean of the sums Σ ‖e‖² Δ along the same trajectories.

    Raises:
        ValueError: fewer trajectories than folds, a grid that does not decrease from T to t0, a method
            that is no method for the reverse SDE, a generator on another device, or what ``simulate``
            refuses.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(1), torch.eye(1)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(torch.ones(1)))
    >>> g, grid = torch.Generator().manual_seed(0), ou.uniform_grid(40)
    >>> found = by_regression(push, 4000, grid=grid, generator=g)
    >>> 0.6 < found.eta.value < 0.8  # 0.75, less what the trees miss
    True
    """
    folds = _checks.count("folds", folds, least=2)
    n = _checks.count("n", n, least=2 * folds)
    if regressor is not None:
        _checks.able("regressor", regressor, "fit", "predict")
        if isinstance(regressor, type):
            _checks.refuse("regressor", regressor.__name__, f"pass an instance, {regressor.__name__}()")
    method = stochastic(EulerMaruyama() if integrator is None else integrator)
    flow = flow_of(error)
    spanning(grid, flow.process)
    began = time.perf_counter()
    start = flow.sample(n, flow.process.t_max, generator=generator)
    record = LogRatio(error)
    ends = simulate(
        error.exact, start, grid, method, generator=generator, functionals=[record], progress=progress
    )
    m = record.martingales.double().cpu().numpy()
    fit = HistGradientBoostingRegressor(random_state=0) if regressor is None else regressor
    predicted = cross_val_predict(fit, ends.double().cpu().numpy(), m, cv=folds)
    visible = torch.from_numpy(np.asarray(2 * m * predicted - predicted**2))
    return Observability.from_draws(
        record.energies.double().cpu(),
        visible,
        evaluations=n * (len(grid) - 1),
        seconds=time.perf_counter() - began,
    )


@_numerics.estimator
def by_trajectories(
    error: ErrorField,
    n: int,
    *,
    grid: Tensor,
    generator: torch.Generator,
    batch: int = 65_536,
) -> Observability:
    """Observability by pairs of exact trajectories that end in the same point: E[M M'] = η ε*².

    Needs values of e and s* only, no divergence; M carries the noise of the whole martingale, which
    the Stein form of ``by_pairs`` integrates out.

    Args:
        error: e and the exact score.
        n: number of points x ≥ 2, with two trajectories each.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        generator: source of randomness, on the device of the law.
        batch: largest number of points evaluated together.

    Returns:
        Observability, with a bias of the order of the largest step.

    Raises:
        ValueError: n < 2, a grid that does not decrease from T to t0, a generator on another device, or
            an error of wrong shape.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(1), torch.eye(1)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(torch.ones(1)))
    >>> g, grid = torch.Generator().manual_seed(0), ou.uniform_grid(100)
    >>> found = by_trajectories(push, 4000, grid=grid, generator=g)
    >>> abs(found.eta.value - 0.74904) < 5 * found.eta.stderr + 0.02
    True
    """
    _checks.count("n", n, least=2)
    _checks.count("batch", batch)
    flow = flow_of(error)
    _checks.generator_on(generator, flow.law.device)
    began, times = time.perf_counter(), spanning(grid, flow.process)[::-1]
    energies, products = [], []
    for size in batches(n, 2, batch):
        x = flow.sample(size, generator=generator).repeat(2, 1)
        record = LogRatio(error)
        for t, later in pairwise(times):
            ahead = flow.process.diffuse(x, t, later, generator=generator)
            step = later - t
            drift = 0.5 * ahead + _numerics.evaluate(error.exact, ahead, later, "exact(x, t)")
            noise = (x - ahead - drift * step) / step**0.5
            record.record(Step(ahead, later, t, noise, x))
            x = ahead
        m, energy = record.martingales.double(), record.energies.double()
        products.append(m[:size] * m[size:])
        energies.append(0.5 * (energy[:size] + energy[size:]))
    return Observability.from_draws(
        torch.cat(energies),
        torch.cat(products),
        evaluations=2 * n * (len(times) - 1),
        seconds=time.perf_counter() - began,
    )
