"""How much fresh data keeps the drift below a tolerance? From three samples of features and nothing else."""

import math

import torch

from scoredrift import Estimate
from scoredrift.generations import steady_state, step_from_samples

ALPHA, FORCING, ANGLE = 0.5, 0.04, 1.0  # of the laws that the samples of this example come from


def three_samples(n, generator):
    """Data N(0, I), a model N(δ, I), and the next one N((1 − α) δ + w, I), with an angle between δ and w."""
    delta = torch.tensor([0.3, 0.0], dtype=torch.float64)
    w = math.sqrt(FORCING) * torch.tensor([math.cos(ANGLE), math.sin(ANGLE)], dtype=torch.float64)
    centres = (0 * delta, delta, (1 - ALPHA) * delta + w)
    return [c + torch.randn(n, 2, generator=generator, dtype=torch.float64) for c in centres]


def fraction_for(tolerance, step):
    """Smallest α whose steady state, for forcing and coherence of this step, is not above the tolerance."""
    if step.coherence is None:
        raise ValueError("the samples do not show a coherence: take more points")
    coherence = min(max(step.coherence.value, -1.0), 1.0)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        above = steady_state(step.forcing.value, alpha=middle, coherence=coherence) > tolerance
        low, high = (middle, high) if above else (low, middle)
    return high


def main(n=10_000, tolerance=0.2, replicates=20, seed=0):
    """The step that the samples show, and the fraction that it asks for, with its error by the bootstrap."""
    g = torch.Generator().manual_seed(seed)
    points = three_samples(n, g)
    step = step_from_samples(*points, alpha=ALPHA)
    again = []
    for _ in range(replicates):
        drawn = [x[torch.randint(n, (n,), generator=g)] for x in points]
        again.append(fraction_for(tolerance, step_from_samples(*drawn, alpha=ALPHA)))
    spread = float(torch.tensor(again, dtype=torch.float64).std())
    return {"step": step, "alpha": Estimate(fraction_for(tolerance, step), spread)}
