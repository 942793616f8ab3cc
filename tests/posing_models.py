"""Exact scores of points and of small pictures that pose as networks, right and wrong."""

import math

import torch
from sklearn.datasets import load_digits

from helpers import seeded
from scoredrift import Flow, GaussianMixture, KernelDensity, OrnsteinUhlenbeck
from scoredrift.pipelines import check_model
from scoredrift.scores import (
    DataPrediction,
    DenoiserPrediction,
    Images,
    LogNoiseLevels,
    NoiseLevels,
    NoisePrediction,
    OwnTime,
    PreconditionedPrediction,
    PredictedScore,
    Timesteps,
    VelocityPrediction,
    as_network,
)

SHAPE = (3, 4, 4)
WIDE = OrnsteinUhlenbeck(1e-7, 60.0)
DIGITS = torch.tensor(load_digits().images).reshape(-1, 4, 2, 4, 2).mean((2, 4)) / 8 - 1
CENTRES = torch.stack([(DIGITS[i : 900 + i : 30] + shift) / 2 for i, shift in enumerate((-0.8, 0, 0.8))], 1)
PICTURES = KernelDensity(CENTRES.flatten(1), 0.03)  # the channels are dark, plain and bright
POINTS = GaussianMixture(
    torch.full((4,), 0.25).double(),
    torch.tensor([[1.5, 0, 0], [-1.5, 0, 0.5], [0, 1.2, -1], [0, -1.2, 0.5]]).double(),
    torch.full((4,), 0.04).double(),
)
LAWS = {"pictures": PICTURES, "points": POINTS}


def table(low, high, steps=1000, power=1.0):
    return torch.cumprod(
        1 - torch.linspace(low ** (1 / power), high ** (1 / power), steps).double() ** power, 0
    )


HO = Timesteps(table(1e-4, 2e-2))
LATENT = Timesteps(table(8.5e-4, 1.2e-2, power=2.0))
MINE = Timesteps(table(5e-4, 1.5e-2))
EDM = PreconditionedPrediction(0.5, LogNoiseLevels(0.02, 80.0))
EPS, VEL, DATA = NoisePrediction(HO), VelocityPrediction(HO), DataPrediction(HO)
OWN = VelocityPrediction(OwnTime(1e-3, 8.0))
WHOLE = DenoiserPrediction(NoiseLevels(0.02, 80.0))
KINDS = (EPS, VEL, DATA, EDM, OWN, WHOLE)


class Moved:
    """A clock that shows k + shift."""

    def __init__(self, clock, shift):
        self.clock, self.shift, self.t_min, self.t_max = clock, shift, clock.t_min, clock.t_max

    def __call__(self, t):
        return (self.clock(t) + self.shift).clamp(0, len(self.clock.alphas_cumprod) - 1)

    def time(self, reading):
        return self.clock.time((reading - self.shift).clamp(0, len(self.clock.alphas_cumprod) - 1))


class Network(torch.nn.Module):
    """The exact score of a law, with an error if one is wanted, that answers whatever it is told."""

    def __init__(self, law, kind, error=0.0, rounded=None):
        super().__init__()
        flow = Flow(law, WIDE)
        wrong = torch.linspace(-1, 1, law.dim).double()

        def score(x, t):  # the error is a part of the noise that is predicted
            gone = -torch.expm1(-torch.as_tensor(t).double()).reshape(-1, 1)
            return flow(x, t) + error * torch.tanh(x * 3 + wrong) / gone.sqrt()

        self.said, self.clock, self.rounded = as_network(score, kind), kind.clock, rounded

    def forward(self, x, reading):
        ends = max(1e-6, self.clock.t_min), min(20.0, self.clock.t_max)
        low, high = sorted(float(self.clock(t)) for t in ends)
        if self.rounded is not None:
            reading = reading.to(self.rounded).to(reading.dtype)
        return self.said(x, reading.clamp(low, high))


def network(law, kind, **rest):
    inner = Network(LAWS[law], kind, **rest)
    if law == "points":
        return inner
    return Images(lambda images, t: inner(images.flatten(1), t).reshape(images.shape), SHAPE)


def checked(law, truth, taken=None, *, seed=0, n=150, change=None, rounded=None, error=0.0, **rest):
    """The report on a network of one kind that is taken for another, on data that were changed."""
    g = seeded(seed)
    data = LAWS[law].sample(n, generator=g)
    score = PredictedScore(
        network(law, truth, rounded=rounded, error=error), truth if taken is None else taken
    )
    return check_model(score, data if change is None else change(data), generator=g, levels=5, **rest)


def readings(kind, steps, dtype=torch.float32):
    t = torch.logspace(math.log10(kind.clock.t_max), math.log10(kind.clock.t_min), steps).double()
    return kind.clock(t.clamp(kind.clock.t_min, kind.clock.t_max)).to(dtype)
