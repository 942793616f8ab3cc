"""The law that a score generates on the line, with its learned energy, by quadrature instead of samples.

The density of the simulated process goes from step to step by ``evolve_density``, and

    ε̂² = Σ_k Δ_k ∫ ‖e(y, t_k)‖² p̂_{t_k}(y) dy

along with it, as on ideal paths ε*² = ∫ ∫ ‖e(x, t)‖² q_t(x) dx dt: no draws, so no standard errors, but the
bias of the time grid.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.laws import GaussianMixture, on_nodes
from scoredrift.paths.integrators import (
    ExponentialIntegrator,
    StochasticIntegrator,
    VectorField,
    stochastic,
)
from scoredrift.paths.simulation import decreasing, evolve_density, spanning
from scoredrift.scores import ErrorField, Flow, flow_of


class GeneratedLaw(NamedTuple):
    """What a score generates on the line.

    Args:
        density: p̂ at t0 on the nodes, shape ``[m]``, in inverse units of the data.
        energy: ε̂², learned energy, without unit.

    >>> GeneratedLaw(torch.ones(3), 0.5).energy
    0.5
    """

    density: Tensor
    energy: float


@_numerics.estimator
def generate_on_nodes(
    error: ErrorField, nodes: Tensor, grid: Tensor, integrator: StochasticIntegrator | None = None
) -> GeneratedLaw:
    """Law at t0 of the reverse process with the learned score, started from q_T, and its energy.

    Args:
        error: ``Flow(law, process).error(model)`` or an injected field, on the line.
        nodes: equally spaced points that cover the laws, shape ``[m]``, float64.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        integrator: method for the reverse SDE; the exponential integrator if None.

    Returns:
        GeneratedLaw, with a bias of first order in the steps. It nearly cancels in p̂_{2K}²/p̂_K, with
        the densities from grids of 2K and K steps.

    Raises:
        ValueError: an exact score that is no flow, a law that is not on the line, and what
            ``evolve_density`` refuses.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField, Flow
    >>> q, ou = Flow(mixture_of_three(), OrnsteinUhlenbeck()), OrnsteinUhlenbeck()
    >>> nodes = torch.linspace(-9, 9, 801, dtype=torch.float64)
    >>> push = q.inject(ConstantField(0.1 * torch.ones(1).double()))
    >>> round(generate_on_nodes(push, nodes, ou.geometric_grid(100)).energy, 4)  # c² (T − t0)
    0.0398
    """
    exact = _on_the_line(error)
    method = stochastic(ExponentialIntegrator() if integrator is None else integrator)
    spacing, times = _checks.spacing("nodes", nodes), spanning(grid, exact.process)
    density, energy = on_nodes(exact.law.diffuse(times[0]), nodes), 0.0
    for t, t_next in pairwise(times):
        size = error(nodes[:, None], t).square().sum(1)
        energy += (t - t_next) * float(density @ size) * spacing
        step = torch.tensor([t, t_next], dtype=torch.float64)
        density = evolve_density(error.learned, density, nodes, step, method)
    return GeneratedLaw(density, energy)


@_numerics.estimator
def ideal_energy_on_nodes(error: ErrorField, nodes: Tensor, grid: Tensor) -> float:
    """Score-error energy on ideal paths, ε*² = ∫ ∫ ‖e(x, t)‖² q_t(x) dx dt, on the line by quadrature.

    Trapezoidal rule over the times of the grid, rectangle sum over the nodes.

    Args:
        error: ``Flow(law, process).error(model)`` or an injected field, on the line.
        nodes: equally spaced points that cover the laws, shape ``[m]``, float64.
        grid: decreasing times from T to t0, shape ``[K + 1]``.

    Returns:
        ε*², without unit; its error is of second order in the steps.

    Raises:
        ValueError: an exact score that is no flow, a law that is not on the line, a grid that does not go from
            T to t0, nodes that do not cover or resolve q_t, or an error that is not finite.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField, Flow
    >>> q, ou = Flow(mixture_of_three(), OrnsteinUhlenbeck()), OrnsteinUhlenbeck()
    >>> nodes = torch.linspace(-9, 9, 401, dtype=torch.float64)
    >>> push = q.inject(ConstantField(0.1 * torch.ones(1).double()))
    >>> round(ideal_energy_on_nodes(push, nodes, ou.geometric_grid(20)), 4)  # c² (T − t0)
    0.0398
    """
    exact = _on_the_line(error)
    spacing, times = _checks.spacing("nodes", nodes), spanning(grid, exact.process)
    rates = []
    for t in times:
        density = on_nodes(exact.law.diffuse(t), nodes)
        lost = abs(float(density.sum()) * spacing - 1)
        if not lost < 1e-6:
            covered = f"[{float(nodes[0]):.3g}, {float(nodes[-1]):.3g}]"
            remedy = f"{lost:.1e} of the mass is lost at t = {t:.4g}: widen or refine the nodes"
            _checks.refuse("nodes", covered, remedy)
        size = _numerics.evaluate(error, nodes[:, None], t, "error(x, t)").square().sum(1)
        rates.append(float(density @ size) * spacing)
        if not math.isfinite(rates[-1]):
            _checks.refuse("error(x, t)", f"not finite at t = {t:.4g}", "pass a field that is, on the nodes")
    return sum(
        (t - u) * (rate + late) / 2
        for (t, u), (rate, late) in zip(pairwise(times), pairwise(rates), strict=True)
    )


def _on_the_line(error: ErrorField) -> Flow:
    exact = flow_of(error)
    if exact.dim != 1:
        _checks.refuse("error.exact.dim", exact.dim, "quadrature is for the line; simulate instead")
    return exact


@_numerics.estimator
def generated_mixture(
    score: VectorField,
    start: Tensor,
    nodes: Tensor,
    grid: Tensor,
    integrator: StochasticIntegrator | None = None,
) -> GaussianMixture:
    """Law that a sampler generates on the line, as a law: with a score, draws, and a flow of its own.

    The last step of a stochastic integrator is Y' = m(Y) + s ξ. With the density p of Y on nodes y_j with
    spacing h,

        p̂ = Σ_j h p(y_j) N(m(y_j), s²),

    which is exact but for the rectangle sum, whose error is as small as that of ``evolve_density``.
    Nothing is drawn and nothing is smoothed.

    Args:
        score: ŝ(x, t).
        start: density at the first time of the grid on the nodes, shape ``[m]``.
        nodes: equally spaced points that cover the laws, shape ``[m]``, float64.
        grid: decreasing times, shape ``[K + 1]``, K ≥ 2.
        integrator: method for the reverse SDE; the exponential integrator if None.

    Returns:
        Mixture of at most m Gaussians of one variance s², float64; parts that weigh below 1e-14 are left out.

    Raises:
        ValueError: fewer than two steps, or what ``evolve_density`` refuses.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> nodes = torch.linspace(-8, 8, 801, dtype=torch.float64)
    >>> start = torch.exp(-nodes**2 / 2) / (2 * torch.pi) ** 0.5
    >>> grid = OrnsteinUhlenbeck().geometric_grid(50)
    >>> law = generated_mixture(lambda x, t: -x, start, nodes, grid)
    >>> bool((on_nodes(law, nodes) - evolve_density(lambda x, t: -x, start, nodes, grid,
    ...     ExponentialIntegrator())).abs().max() < 1e-8)
    True
    """
    method = stochastic(ExponentialIntegrator() if integrator is None else integrator)
    times = decreasing(grid)
    if len(times) < 3:
        _checks.refuse("grid.shape", list(grid.shape), "pass two or more steps")
    before = evolve_density(score, start, nodes, grid[:-1], method)
    y = nodes[:, None]
    centre = method.step(score, y, times[-2], times[-1], torch.zeros_like(y))
    sd = float(method.step(score, y[:1], times[-2], times[-1], torch.ones_like(y[:1])) - centre[:1])
    weights = before / before.sum()
    kept = weights > 1e-14
    weights = weights[kept] / weights[kept].sum()
    return GaussianMixture(weights, centre[kept], torch.full_like(weights, sd**2))
