"""Gradient part and rotational part of an error in the plane, by Poisson's equation on a grid.

The potential of the gradient part solves, with no flux through the edge of the grid,

    ∇·(q_t ∇φ) = ∇·(q_t e).

Finite volumes: φ lives on nodes of distance h, fluxes on the edges between neighbours, at their midpoints.
With D the differences along edges and Q the densities there, Dᵀ Q D φ = Dᵀ Q e_n are the normal equations of

    min_φ  Σ_edges Q (D φ − e_n)² h²,

so that on the grid, too, the parts are orthogonal and their energies add up; both are off by O(h²).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import spsolve
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.scores import ErrorField, flow_of

# Densities below this part of the largest are raised to it: there is nothing there, but φ stays determined.
_FLOOR = 1e-13

# How much of the probability may be missing on the grid, or counted twice.
_MISSING = 1e-3


class PlaneSplit(NamedTuple):
    """An error in the plane at one time, in two orthogonal parts.

    Args:
        potential: φ on the grid, first axis along x_1, mean zero under q_t, shape ``[m, m]``.
        gradient: E‖∇φ‖², in inverse squared units of the data.
        rotational: E‖e − ∇φ‖², likewise.
        share: the gradient part's share of both; 0 by convention where there is no error.

    >>> PlaneSplit(torch.zeros(2, 2), 1.0, 3.0, 0.25).share
    0.25
    """

    potential: Tensor
    gradient: float
    rotational: float
    share: float


@_numerics.estimator
def split_in_plane(error: ErrorField, nodes: Tensor, t: float) -> PlaneSplit:
    """Split an error in the plane at one time by Poisson's equation; formulas at the head of the module.

    Args:
        error: ``Flow(law, process).error(model)``, or an injected field, in two dimensions.
        nodes: equally spaced coordinates, the same on both axes, shape ``[m]`` with m ≥ 2, in the units of
            the data; the grid has m² nodes, and has to hold the law and resolve it.
        t: time in [t0, T].

    Returns:
        PlaneSplit.

    Raises:
        ValueError: an error in another dimension, against anything but a ``Flow``, of wrong shape or not
            finite; nodes that are not equally spaced, or a grid whose sum of q_t h² is not one.

    >>> from scoredrift.laws import GaussianMixture
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import Flow, LinearField
    >>> q = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.ones(1).double())
    >>> turn_and_stretch = LinearField(torch.tensor([[1.0, 3.0], [-3.0, 1.0]]).double())
    >>> error = Flow(q, OrnsteinUhlenbeck()).inject(turn_and_stretch)
    >>> found = split_in_plane(error, torch.linspace(-6, 6, 121, dtype=torch.float64), 1.0)
    >>> round(found.share, 4)
    0.1
    """
    flow = flow_of(error)
    h = _checks.spacing("nodes", nodes)
    nodes = nodes.detach()
    if flow.dim != 2:
        _checks.refuse("error.exact.dim", flow.dim, "pass an error in the plane; else split_by_potentials")
    t, m = _checks.number("t", t, low=flow.process.t_min, high=flow.process.t_max), len(nodes)
    mass = flow.log_density(torch.cartesian_prod(nodes, nodes), t).double().exp() * h**2
    if not abs(float(mass.sum()) - 1) < _MISSING:
        remedy = "the sum of q_t h² is to be one: take wider nodes, or closer ones"
        _checks.refuse("nodes", f"with {float(mass.sum()):.6g} of the law", remedy)
    between = nodes[:-1] + 0.5 * h
    along_first, along_second = torch.cartesian_prod(between, nodes), torch.cartesian_prod(nodes, between)
    middles = torch.cat([along_first, along_second])
    values = _checks.floating("error(x, t)", _numerics.evaluate(error, middles, t, "error(x, t)"))
    half = len(along_first)
    e = torch.cat([values[:half, 0], values[half:, 1]]).double().cpu().numpy()
    weight = flow.log_density(middles, t).double().exp().cpu().numpy() * h**2
    weight = np.maximum(weight, _FLOOR * weight.max())
    step = sp.diags([-1.0, 1.0], [0, 1], shape=(m - 1, m)) / h
    every = sp.identity(m)
    D = sp.vstack([sp.kron(step, every), sp.kron(every, step)]).tocsr()
    weighted = D.T @ sp.diags(weight)
    matrix, right = (weighted @ D).tocsc(), weighted @ e
    top = int(mass.argmax())  # φ is known up to a constant: it is zero where q_t is largest
    free = np.delete(np.arange(m * m), top)
    phi = np.zeros(m * m)
    phi[free] = spsolve(matrix[free][:, free], right[free])
    slope = D @ phi
    gradient, rest = float(weight @ slope**2), float(weight @ (e - slope) ** 2)
    found = torch.from_numpy(phi)
    potential = found - (mass.cpu() * found).sum() / mass.sum().cpu()
    whole = gradient + rest
    return PlaneSplit(potential.reshape(m, m), gradient, rest, gradient / whole if whole > 0 else 0.0)
