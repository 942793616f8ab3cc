"""A small network of one's own in single precision: what its score error costs, and how much of that shows."""

import torch

from scoredrift import (
    ExponentialIntegrator,
    Flow,
    FunctionScore,
    Gaussian,
    GaussianMixture,
    OrnsteinUhlenbeck,
    simulate,
)
from scoredrift.divergences import kl, knn_kl
from scoredrift.observability import by_pairs
from scoredrift.paths import Energy, ideal_energy

OU = OrnsteinUhlenbeck(t_min=0.05, t_max=3.0)
WEIGHTS, MEANS, VARIANCES = (
    torch.tensor(x, dtype=torch.float64) for x in ([0.3, 0.7], [[-1.5, 0.5], [1, 0]], [0.3, 0.5])
)
LAW = GaussianMixture(WEIGHTS, MEANS, VARIANCES)
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())


class Network(torch.nn.Module):
    """Score −ξ(x, t)/√v(t) from the noise ξ that the body predicts."""

    def __init__(self):
        super().__init__()
        parts = torch.nn.Linear(3, 48), torch.nn.SiLU(), torch.nn.Linear(48, 48), torch.nn.SiLU()
        self.body = torch.nn.Sequential(*parts, torch.nn.Linear(48, 2))

    def forward(self, x, t):
        return -self.body(torch.cat([x, t.log()[:, None]], dim=1)) / (1 - (-t).exp()).sqrt()[:, None]


def train(steps=300, batch=512):
    """Denoising score matching in plain torch: x_t = a x_0 + √v ξ, and √v s(x_t, t) has to be −ξ."""
    torch.manual_seed(0)
    network, g = Network(), torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        t = OU.t_min * (OU.t_max / OU.t_min) ** torch.rand(batch, generator=g)
        x, noise = LAW.sample(batch, generator=g).float(), torch.randn(batch, 2, generator=g)
        a, root_v = (-t / 2).exp()[:, None], (1 - (-t).exp()).sqrt()[:, None]
        optimiser.zero_grad()
        (root_v * network(a * x + root_v * noise, t) + noise).square().sum(1).mean().backward()
        optimiser.step()
    return network


def main(n=3000, seed=0):
    """Energies on ideal and on learned paths, observability, and the parts of KL(p̂‖q) ≤ ½ ε̂² + KL(ν‖q_T)."""
    network, flow, g = train(), Flow(LAW, OU), torch.Generator().manual_seed(seed)
    error = flow.error(FunctionScore(network))
    energy, start = Energy(error), NORMAL.sample(n, generator=g)
    settings = {"generator": g, "functionals": [energy]}
    points = simulate(network, start, OU.geometric_grid(100), ExponentialIntegrator(), **settings)
    return {
        "network": network,
        "ideal": ideal_energy(error, 10_000, generator=g),
        "learned": energy.estimate(),
        "observability": by_pairs(error, n, generator=g),
        "start": kl(NORMAL, flow.marginal(OU.t_max), n, generator=g),
        "kl": knn_kl(points, flow.sample(n, generator=g)),
    }
