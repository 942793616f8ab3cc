"""How much variance a Gaussian learner loses at several fresh fractions: a sweep over α and runs."""

import torch

from scoredrift import Estimate, FreshFraction, Gaussian, recurse
from scoredrift.estimates import over_runs
from scoredrift.notebook import table
from scoredrift.runs import cases, sweep

SIZE, GENERATIONS = 50, 6


def fit(points, *, generator):
    return Gaussian.fit(points)


def measure(generation):
    return {"variance": Estimate.from_samples((generation.drawn - generation.model.mean)[:, 0] ** 2)}


def task(alpha, run):
    """Variances of one run, with their errors, ``[generations + 1, 2]``."""
    data = Gaussian(torch.zeros(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64))
    settings = {"regime": FreshFraction(alpha), "generations": GENERATIONS, "size": SIZE, "seed": (0, run)}
    return recurse(fit, data, measure=measure, **settings)["variance"]


def main(alphas=(0.1, 0.4, 1.0), runs=50, workers=2):
    """Means over runs by α, and a table of the first and the last generation."""
    variances = sweep(task, cases(alpha=alphas, run=range(runs)), workers=workers)
    by_alpha = torch.stack(variances).unflatten(0, (len(alphas), runs))
    means = {alpha: over_runs(of_alpha) for alpha, of_alpha in zip(alphas, by_alpha, strict=True)}
    rows = [
        {"α": alpha, "first": found.estimate(0), "last": found.estimate(GENERATIONS)}
        for alpha, found in means.items()
    ]
    return {"means": means, "table": table(rows, {"α": ".1f", "first": "", "last": ""})}
