"""Observability in one dimension by quadrature, in numpy: it shares no formula with the package.

Also the cases that several test files look at: one mixture, several errors, each written twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from helpers import random_mixture
from scoredrift import (
    ConstantField,
    Flow,
    FunctionScore,
    LinearField,
    OrnsteinUhlenbeck,
    ScaledField,
)

OU = OrnsteinUhlenbeck()
Q = random_mixture(1, dim=1)
EXACT = Flow(Q, OU)


class Line(NamedTuple):
    """u and the probability of X_{t0} on equally spaced nodes, and the energy."""

    nodes: np.ndarray
    u: np.ndarray
    mass: np.ndarray
    energy: float

    @property
    def visible(self) -> float:
        return float(self.mass @ self.u**2)

    @property
    def eta(self) -> float:
        return self.visible / self.energy


def flow(law, x, t):
    """Density and score of X_t at real or complex x, by the formulas of a 1-D mixture."""
    spreads = math.exp(-t) * law.variances.numpy() + 1 - math.exp(-t)
    gap = x[..., None] - math.exp(-t / 2) * law.means[:, 0].numpy()
    logs = np.log(law.weights.numpy() / np.sqrt(2 * np.pi * spreads)) - gap**2 / (2 * spreads)
    top = logs.real.max(-1, keepdims=True)
    each = np.exp(logs - top)
    total = each.sum(-1)
    return np.exp(top[..., 0]) * total, -(each * gap / spreads).sum(-1) / total


def seen(error: Callable[[np.ndarray, float], np.ndarray], times: int = 32) -> Line:
    """u(x) = −∫ E[(e' + e s*)(a x + √v ξ)] dt, e' by a complex step, and ε*² = ∫∫ q_t e² dx dt."""
    nodes = np.linspace(-9.0, 9.0, 241)
    distance = nodes[1] - nodes[0]
    xi, shares = np.polynomial.hermite_e.hermegauss(80)
    shares = shares / shares.sum()
    low, high = math.log(OU.t_min), math.log(OU.t_max)
    u, energy = np.zeros_like(nodes), 0.0
    for place, share in zip(*np.polynomial.legendre.leggauss(times), strict=True):
        t = math.exp(0.5 * (low + high + place * (high - low)))
        weight, gap = share * 0.5 * (high - low) * t, t - OU.t_min
        x = math.exp(-gap / 2) * nodes[:, None] + math.sqrt(1 - math.exp(-gap)) * xi
        e = error(x + 1e-30j, t)
        u -= weight * (e.imag / 1e-30 + e.real * flow(Q, x, t)[1]) @ shares
        energy += weight * distance * float(flow(Q, nodes, t)[0] @ error(nodes, t) ** 2)
    return Line(nodes, u, distance * flow(Q, nodes, OU.t_min)[0], energy)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


BLURRED = Q.blur(0.5)
FORMULAS = {
    "push": lambda x, t: 0.5 + 0 * x,
    "oscillating push": lambda x, t: math.cos(3 * t) + 0 * x,
    "stretch": lambda x, t: 0.3 * x,
    "wave": lambda x, t: np.sin(2 * x + t),
    "blur": lambda x, t: flow(BLURRED, x, t)[1] - flow(Q, x, t)[1],
}
ERRORS = {
    "push": EXACT.inject(ConstantField(double([0.5]))),
    "oscillating push": EXACT.inject(ScaledField(lambda t: torch.cos(3 * t), ConstantField(double([1.0])))),
    "stretch": EXACT.inject(LinearField(double([[0.3]]))),
    "wave": EXACT.inject(FunctionScore(lambda x, t: torch.sin(2 * x + t.reshape(-1, 1)))),
    "blur": EXACT.error(Flow(BLURRED, OU)),
}


@cache
def truth(name: str) -> Line:
    return seen(FORMULAS[name])


class Counting:
    """An error that counts the points at which it is evaluated, and the largest number together."""

    def __init__(self, error):
        self.error, self.exact, self.learned = error, error.exact, error.learned
        self.values = self.divergences = self.most = 0

    def _count(self, x):
        self.values, self.most = self.values + len(x), max(self.most, len(x))

    def __call__(self, x, t):
        self._count(x)
        return self.error(x, t)

    def divergence(self, x, t):
        self.divergences += len(x)
        return self.error.divergence(x, t)

    def at(self, x, t):
        self._count(x)
        self.divergences += len(x)
        return self.error.at(x, t)
