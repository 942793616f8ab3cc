"""Observability of affine errors on a Gaussian, by quadrature in time and nothing else.

On q = N(μ, Σ), with Σ_t = a²Σ + vI and e(x, t) = A_t x + b_t, the Stein operator

    (𝒜_t e)(x) = tr A_t − (A_t x + b_t)·Σ_t⁻¹(x − a μ)

is quadratic in x, so its conditional mean given X_{t0} is quadratic in X_{t0} with coefficients in
closed form, and for x ~ N(0, C) the variance of xᵀQx + l·x is 2 tr(QCQC) + l·Cl (Q symmetric).
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift import process as ou
from scoredrift.estimates import Estimate
from scoredrift.laws import Gaussian, GaussianMixture
from scoredrift.observability.result import NO_ENERGY, Observability
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import ErrorField, flow_of

# Largest difference between quadratures with n and n − 1 nodes, relative to the energy.
_AGREEMENT = 1e-4


@_numerics.estimator
def in_closed_form(error: ErrorField, *, nodes: int = 200) -> Observability:
    """Observability of an error that is affine in x, on a Gaussian: no randomness.

        η ε*² = Var u,    u(x) = −∫ E[(𝒜_t e)(X_t) | X_{t0} = x] dt,    ε*² = ∫ E‖e(X_t, t)‖² dt.

    The affine map is read off from its values at 0 and at the unit vectors. The integral over time is
    a Gauss–Legendre sum in log t, exact to rounding for errors that are smooth on that scale.
    Known values on N(0, I), with L = T − t0: η = 4(1 − e^{−L/2})²/L for a constant error,
    η = 2(1 − e^{−L})²/L for e = w x, and 0 for e = J x.

    Args:
        error: e(x, t), affine in x at every t.
        nodes: number of quadrature nodes ≥ 2; take more for errors that oscillate in time.

    Returns:
        Observability with standard errors zero.

    Raises:
        ValueError: an error that is not affine in x, not finite or of wrong shape; nodes < 2, or too few
            for an error that oscillates (one node less gives another number).

    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(1).double(), torch.eye(1).double()), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(torch.ones(1).double()))
    >>> round(in_closed_form(push).eta.value, 6)  # 4 (1 − e^{−1.99})² / 3.98
    0.74904
    """
    nodes = _checks.count("nodes", nodes, least=2)
    began = time.perf_counter()
    flow = flow_of(error)
    law, process = flow.law, flow.process
    if isinstance(law, GaussianMixture) and len(law.weights) == 1:
        law = Gaussian(law.mean(), law.covariance())
    if not isinstance(law, Gaussian):
        _checks.refuse("error.exact.law", law, "a Gaussian is needed; use by_pairs, which takes any law")
    energy, visible = _integrals(error, law, process, nodes)
    rough = _integrals(error, law, process, nodes - 1)
    if abs(energy - rough[0]) > _AGREEMENT * energy or abs(visible - rough[1]) > _AGREEMENT * energy:
        remedy = f"one node less gives η ε*² = {rough[1]:.6g} and not {visible:.6g}: take more"
        _checks.refuse("nodes", nodes, remedy)
    eta = visible / energy if energy > 0 else 0.0
    return Observability(
        Estimate(energy),
        Estimate(visible),
        Estimate(eta),
        (2 * nodes - 1) * (law.dim + 2),
        time.perf_counter() - began,
        "" if energy > 0 else NO_ENERGY,
    )


def _integrals(
    error: ErrorField, law: Gaussian, process: OrnsteinUhlenbeck, nodes: int
) -> tuple[float, float]:
    """ε*² and η ε*² by Gauss–Legendre quadrature in log t."""
    log_t0, log_t_max = math.log(process.t_min), math.log(process.t_max)
    points, shares = np.polynomial.legendre.leggauss(nodes)
    eye = torch.eye(law.dim, dtype=law.dtype, device=law.device)
    scale0 = float(ou.scale(process.t_min))
    spread0 = scale0**2 * law.covariance + float(ou.variance(process.t_min)) * eye
    quadratic, linear, energy = torch.zeros_like(eye), torch.zeros_like(law.mean), 0.0
    for point, share in zip(points, shares, strict=True):
        t = math.exp(0.5 * (log_t0 + log_t_max + point * (log_t_max - log_t0)))
        weight = float(share) * 0.5 * (log_t_max - log_t0) * t
        matrix, offset = _affine(error, law.mean, t)
        mean = float(ou.scale(t)) * law.mean
        spread = float(ou.scale(t)) ** 2 * law.covariance + float(ou.variance(t)) * eye
        precision = torch.linalg.inv(spread)
        centre = matrix @ mean + offset
        energy += weight * float((matrix @ spread * matrix).sum() + centre.square().sum())
        # With z = X_t − E X_t and y = X_{t0} − E X_{t0}: z given y has mean a(t − t0) y.
        decay = math.exp(-0.5 * (t - process.t_min))
        half = matrix.T @ precision
        quadratic += weight * decay**2 * 0.5 * (half + half.T)
        linear += weight * decay * (precision @ centre)
    visible = 2 * torch.trace(quadratic @ spread0 @ quadratic @ spread0) + linear @ spread0 @ linear
    return energy, float(visible)


def _affine(error: ErrorField, at: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Matrix and offset of e(·, t), from its values at 0 and the unit vectors; checked at one more."""
    d = at.numel()
    eye = torch.eye(d, dtype=at.dtype, device=at.device)
    # Irrational, so that no mean that somebody would choose moves it onto 0, 1 or −1.
    probe = torch.linspace(-math.sqrt(5), math.pi, d, dtype=at.dtype, device=at.device) + at
    x = torch.cat([torch.zeros_like(eye[:1]), eye, probe[None]])
    values = _checks.floating("error(x, t)", _checks.vectors("error(x, t)", error(x, t), x))
    offset, matrix = values[0], (values[1:-1] - values[0]).T
    gap = float((matrix @ probe + offset - values[-1]).abs().max())
    size = float(values.abs().max()) * (1 + float(probe.norm()))
    if gap > 1e3 * torch.finfo(at.dtype).eps * (1 + size):
        _checks.refuse("error", f"not affine in x at t = {t:.4g}", "use by_pairs, which takes any error")
    return matrix, offset
