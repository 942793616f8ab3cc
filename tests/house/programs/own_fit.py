"""A generative model of one's own, a histogram, retrained on its own samples: interrupted, resumed, watched."""

import os
import tempfile

import torch

from scoredrift import FreshFraction, Replace, mixture_of_three, recurse

DATA, SIZE, GENERATIONS = mixture_of_three(), 400, 6
ENDS = torch.tensor([-3, -2.4, -2, 0.2, 0.5, 0.8, 2.5, 3]).double()
EDGES = ENDS[1:-1]  # of seven cells, none of them rare; the outer two count what lies beyond


class Histogram:
    """Draws a cell with its frequency, and a point of the cell evenly."""

    def __init__(self, points):
        self.probabilities = torch.bincount(torch.bucketize(points[:, 0], EDGES), minlength=7) / float(
            len(points)
        )

    def sample(self, n, *, generator):
        cells = torch.multinomial(self.probabilities, n, replacement=True, generator=generator)
        u = torch.rand(n, dtype=torch.float64, generator=generator)
        return torch.lerp(ENDS[cells], ENDS[cells + 1], u)[:, None]


def fit(points, *, generator):
    return Histogram(points)


def cells_of(law):
    """Probabilities of the cells, from the normal distribution functions of a mixture on a line."""
    below = torch.special.ndtr((EDGES[:, None] - law.means[:, 0]) / law.variances.sqrt()) @ law.weights
    return torch.cat([below[:1], below.diff(), 1 - below[-1:]])


def measure(generation):
    if str(generation.index) == os.environ.get("STOP_AT"):
        raise KeyboardInterrupt
    p = cells_of(DATA)
    return {"drift": ((generation.model.probabilities - p) ** 2 / p).sum(), "mean": generation.drawn.mean()}


def run(regime, seed, folder=None):
    settings = {"generations": GENERATIONS, "size": SIZE, "seed": seed, "measure": measure, "folder": folder}
    return recurse(fit, DATA, regime=regime, **settings)


def main(runs=80):
    """For both regimes: one run that was stopped and resumed, the same in one go, and the drifts of many runs."""
    found = {}
    for name, regime in {"fresh": FreshFraction(0.3), "replace": Replace()}.items():
        with tempfile.TemporaryDirectory() as folder:
            os.environ["STOP_AT"] = "3"
            try:
                run(regime, (0, 0), folder)
            except KeyboardInterrupt:
                del os.environ["STOP_AT"]
            files = sorted(os.listdir(folder))
            resumed = run(regime, (0, 0), folder)
        many = [run(regime, (0, i)) for i in range(runs)]
        drifts = torch.stack([history["drift"] for history in many])
        found[name] = {"resumed": resumed, "straight": many[0], "drift": drifts, "files": files}
    return found
