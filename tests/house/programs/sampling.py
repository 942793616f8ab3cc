"""Three integrators and one of one's own on two grids, beside exact paths; their steps priced in nats."""

import torch

from scoredrift import (
    Ancestral,
    Estimate,
    EulerMaruyama,
    ExponentialIntegrator,
    Flow,
    GaussianMixture,
    OrnsteinUhlenbeck,
    exact_paths,
    simulate,
)
from scoredrift.paths import held_energy

OU = OrnsteinUhlenbeck(t_min=0.05, t_max=4.0)
WEIGHTS, MEANS, VARIANCES = (
    torch.tensor(x, dtype=torch.float64) for x in ([0.4, 0.6], [[-1, 0], [1, 0.5]], [0.2, 0.3])
)
LAW = GaussianMixture(WEIGHTS, MEANS, VARIANCES)


class MidpointFlow:
    """A method of one's own: the midpoint rule for the probability flow, without noise."""

    def step(self, score, x, t, t_next, noise):
        half = (t - t_next) / 2
        middle = x + (x + score(x, t)) * half / 2
        return x + (middle + score(middle, t - half)) * half


class Variation:
    """A functional of one's own: sum of the squares of the steps of each path, Σ ‖y' − y‖²."""

    def begin(self, integrator):
        self.values = 0.0

    def record(self, step):
        self.values = self.values + (step.x_next - step.x).square().sum(1)


def row(end, variation, **price):
    moment = Estimate.from_samples(end.square().sum(1))
    return {"moment": moment, "variation": Estimate.from_samples(variation), **price}


def main(law=LAW, n=20_000, k=20, seed=0):
    """Second moment of what comes out, price in nats, and quadratic variation, by grid and method."""
    flow, g, found = Flow(law, OU), torch.Generator().manual_seed(seed), {}
    for name, grid in {"uniform": OU.uniform_grid(k), "geometric": OU.geometric_grid(k)}.items():
        paths = exact_paths(flow, grid, n, generator=g)
        found[name, "exact"] = row(paths[-1], paths.diff(dim=0).square().sum((0, 2)))
        for method in (EulerMaruyama(), ExponentialIntegrator(), Ancestral(), MidpointFlow()):
            variation, start, price = Variation(), flow.sample(n, OU.t_max, generator=g), {}
            end = simulate(flow, start, grid, method, generator=g, functionals=[variation])
            if hasattr(method, "held_drift"):
                price["price"] = 0.5 * held_energy(flow.error(flow), grid, method, n, generator=g)
            found[name, type(method).__name__] = row(end, variation.values, **price)
    return found
