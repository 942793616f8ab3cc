"""What is right for the table of ``paths``, by other roads; and the inputs it is asked with."""

import math
from itertools import pairwise

import numpy as np
import torch
from property_cases import EITHER, INF, NAN, REFUSED, RIGHT, Input, Seeded, Tensors, Variation, array

from properties.scores_oracles import Net, shrink
from scoredrift import Estimate, Flow, Gaussian, OrnsteinUhlenbeck, paths
from scoredrift.paths import (
    Ancestral,
    Energy,
    EulerMaruyama,
    ExponentialIntegrator,
    HeunFlow,
    LogRatio,
    Martingale,
)
from scoredrift.scores import ConstantField, FunctionScore, LinearField, ScaledField, ScoreDifference


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def normal(dim=2, variance=1.0, dtype=torch.float64):
    return Gaussian(torch.zeros(dim, dtype=dtype), variance * torch.eye(dim, dtype=dtype))


X = torch.randn(5, 2, generator=torch.Generator().manual_seed(10), dtype=torch.float64)


NOISE = torch.randn(5, 2, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


OU = OrnsteinUhlenbeck(0.5, 2.5)


FLOW, WIDE, LINE = Flow(normal(), OU), Flow(normal(variance=1.5), OU), Flow(normal(1), OU)


L = OU.duration


GRID = OU.uniform_grid(4)


FINE = OU.uniform_grid(40)


FEW = "two draws have a mean, but no standard error to hold it against"


FAR = "a step that leaves the range of numbers, which simulate refuses"


def unseen(x, t):
    return shrink(x.detach(), t)


# e = −½ x on N(0, I₂), written in many ways: ε*² = ¼ d L = 1, η = 2 (1 − e^{−L})²/L.
ERROR = FLOW.error(FunctionScore(shrink))


EQUAL = (
    Variation("a network", FLOW.error(FunctionScore(Net())), RIGHT, True),
    Variation("a network in float32", FLOW.error(FunctionScore(Net(torch.float32))), RIGHT, True, 1e-5),
    Variation("a network in bfloat16", FLOW.error(FunctionScore(Net(torch.bfloat16))), RIGHT, True, 3e-2),
    Variation("a linear field", FLOW.inject(LinearField(-0.5 * torch.eye(2).double())), RIGHT, True),
    Variation("a scaled field", FLOW.inject(ScaledField(-0.5, FunctionScore(lambda x, t: x))), RIGHT, True),
    Variation("a sum", FLOW.inject(0.5 * FunctionScore(lambda x, t: -x)), RIGHT, True),
)


NOT_ONE = tuple(
    Variation(f"a {type(bad).__name__}", bad, REFUSED)
    for bad in (None, 1.0, "e", shrink, Net(), FLOW, torch.ones(2))
)


BROKEN = tuple(
    Variation(label, FLOW.inject(FunctionScore(f)), REFUSED)
    for label, f in (
        ("nan", lambda x, t: x * NAN),
        ("inf", lambda x, t: x + INF),
        ("of one column", lambda x, t: x[:, :1]),
        ("numbers", lambda x, t: x.sum(1)),
        ("numpy arrays", lambda x, t: x.detach().numpy()),
        ("nothing", lambda x, t: None),
        ("complex", lambda x, t: x + 1j),
        ("of another dimension", ConstantField(torch.ones(3).double())),
        ("in float32", ConstantField(torch.ones(2))),
    )
)


HIDDEN = (Variation("without a graph", FLOW.error(FunctionScore(unseen)), EITHER, True),)


UNKNOWN = (
    Variation(
        "against a score of unknown law",
        ScoreDifference(FunctionScore(shrink), FunctionScore(lambda x, t: -x)),
        REFUSED,
    ),
)


BARE = (
    Variation("with a bare network", FLOW.error(Net()), EITHER, True),
    Variation("with None", FLOW.error(None), REFUSED),
    Variation("with a number", FLOW.inject(1.0), REFUSED),
)


class Errors(Input):
    """An error in float64."""

    def single(self):
        return Flow(normal(dtype=torch.float32), OU).error(FunctionScore(shrink))


def error(**skipped):
    return Errors(ERROR, *EQUAL, *NOT_ONE, *BROKEN, *HIDDEN, *UNKNOWN, *BARE, **skipped)


STEPS = (EulerMaruyama(), ExponentialIntegrator(), Ancestral(), HeunFlow())


NO_STEP = tuple(
    Variation(f"a {type(bad).__name__}", bad, REFUSED) for bad in (1.0, "euler", torch.ones(2), EulerMaruyama)
)


GRIDS = (
    Variation("reversed", GRID.flip(0), REFUSED),
    Variation("one time twice", tensor(2.5, 2.5, 0.5), REFUSED),
    Variation("of one time", tensor(2.5), REFUSED),
    Variation("with a time below zero", tensor(2.5, -0.5), REFUSED),
)


def grid(plain=GRID):
    return Tensors(plain, *GRIDS)


def seed(n):
    return torch.Generator().manual_seed(n)


def linear_step(method, x, t, t_next, noise):
    """One step for s = −1.5 x, from the formulas of the methods."""
    x, noise, d = array(x, 2), array(noise, 2), t - t_next
    assert 0 <= t_next < t < INF
    assert x.shape == noise.shape
    s = -1.5
    if isinstance(method, EulerMaruyama):
        return x * (1 + (0.5 + s) * d) + math.sqrt(d) * noise
    if isinstance(method, ExponentialIntegrator):
        return x * (math.exp(d / 2) + 2 * math.expm1(d / 2) * s) + math.sqrt(math.expm1(d)) * noise
    if isinstance(method, HeunFlow):
        k = 0.5 * (1 + s)
        return x * (1 + d * k + 0.5 * (d * k) ** 2)
    v, v_next, v_gap = (-math.expm1(-u) for u in (t, t_next, d))
    datum = x * (1 + v * s) / math.exp(-t / 2)
    mean = (math.exp(-t_next / 2) * v_gap * datum + math.exp(-d / 2) * v_next * x) / v
    return mean + math.sqrt(v_next * v_gap / v) * noise


def spans(grid, low=None):
    g = array(grid, 1)
    assert len(g) > 1
    assert (np.diff(g) < 0).all()
    assert g[-1] >= 0
    if low:
        assert abs(g[0] - 2.5) < 1e-6
        assert abs(g[-1] - 0.5) < 1e-6
    return g


def walk(x, grid, generator, functional=None):
    """Euler–Maruyama for s = −1.5 x, in numpy."""
    y, g = array(x, 2), spans(grid)
    states, martingale, energy = [y], 0.0, 0.0
    for t, t_next in pairwise(g):
        noise = array(torch.randn(x.shape, generator=generator, dtype=x.dtype))
        e = -0.5 * y
        martingale = martingale + (e * noise).sum(1) * math.sqrt(t - t_next)
        energy = energy + (e**2).sum(1) * (t - t_next)
        y = linear_step(EulerMaruyama(), y, t, t_next, noise)
        states.append(y)
    return np.array(states), martingale, energy


EULER = EulerMaruyama()


def run(make, read, integrator=EULER):
    def call(x, grid, generator):
        functional = make()
        paths.simulate(shrink, x, grid, integrator, generator=generator, functionals=[functional])
        return read(functional)

    return call


def e(x, t):
    return -0.5 * x


PATH = {"x": Tensors(X), "grid": grid(), "generator": Seeded(2)}


def enough(n, value, least=2):
    assert n >= least
    return value


def held_energy_right(grid):
    """Exact score on N(0, I₂): b̂ − b = −½ (X_held − X), so ∫ ½ d (1 − e^{−(held − t)/2}) dt."""
    g = spans(grid, 0.5)
    return float(sum((t - n) - 2 * -math.expm1(-(t - n) / 2) for t, n in pairwise(g)))


def wide_energy(on_learned):
    """e = −x/s_t + x with s_t = 1 + ½ e^{−t}: ∫ d (1 − 1/s)² E x² dt."""
    t = np.linspace(0.5, 2.5, 20001)
    s = 1 + 0.5 * np.exp(-t)
    f = 2 * (1 - 1 / s) ** 2 * (s if on_learned else 1)
    return float(np.trapezoid(f, t))


def ratio(draws):
    """E e^Z, and the energy."""
    return [
        Estimate.from_samples(draws.log_ratio.double().exp()),
        Estimate.from_samples(draws.bracket.double()),
    ]


def rest(log_ratio, bracket):
    z, b = array(log_ratio, 1), array(bracket, 1)
    assert z.shape == b.shape
    assert len(z) >= 100
    assert (b >= 0).all()
    f = (np.exp(z) - 1 - z - 0.5 * b) ** 2
    assert np.isfinite(f).all()
    return Estimate(float(f.mean()), 0.0)


def audited(log_ratios, brackets):
    z, b = array(log_ratios, 1), array(brackets, 1)
    assert z.shape == b.shape
    assert len(z) >= 100
    assert (b >= 0).all()
    assert b.any()
    assert np.isfinite(np.exp(z)).all()
    return [float(np.exp(z).mean()), float(b.mean()), float(((b / b.mean()) ** 2).mean())]


NODES = torch.linspace(-8, 8, 201, dtype=torch.float64)


DENSITY = torch.exp(-0.5 * NODES**2) / math.sqrt(2 * math.pi)


DRAWS = torch.randn(200, generator=seed(12), dtype=torch.float64)


ON = [NODES, DENSITY]


def evolved(density, nodes, grid):
    """Variance of the law after the steps: density has to be N(0, 1) on nodes that cover it."""
    p, x, g = array(density, 1), array(nodes, 1), spans(grid)
    assert len(x) > 1
    h = x[1] - x[0]
    assert h > 0
    assert np.allclose(np.diff(x), h)
    assert p.shape == x.shape
    assert (p >= 0).all()
    assert abs(p.sum() * h - 1) < 1e-6
    assert h < math.sqrt(min(-np.diff(g)))
    mean, variance = (p * x).sum() * h, (p * x**2).sum() * h
    for t, t_next in pairwise(g):
        slope = 1 - 0.5 * (t - t_next)
        mean, variance = slope * mean, slope**2 * variance + (t - t_next)
    assert abs(mean) + 5.5 * math.sqrt(variance) < x[-1]
    return float(variance)


def generated(nodes, grid):
    """Variance and energy of the exponential integrator with s = −1.5 x, started from N(0, 1)."""
    x, g, v, energy = array(nodes, 1), spans(grid, 0.5), 1.0, 0.0
    assert len(x) > 1
    assert x[1] > x[0]
    assert np.allclose(np.diff(x), x[1] - x[0])
    assert x[-1] > 6
    for t, t_next in pairwise(g):
        d = t - t_next
        energy += d * 0.25 * v
        v = (math.exp(d / 2) - 3 * math.expm1(d / 2)) ** 2 * v + math.expm1(d)
    return [v, energy]


def variance_of(density, nodes):
    p, x = array(density, 1), array(nodes, 1)
    return float((p * x**2).sum() * (x[1] - x[0]))


def recorded(kind, x, t, t_next, noise):
    x, noise = array(x, 2), array(noise, 2)
    assert x.shape == noise.shape
    assert 0 <= t_next < t < INF
    d = float(t) - float(t_next)
    energy, martingale = 0.25 * (x**2).sum(1) * d, -0.5 * (x * noise).sum(1) * math.sqrt(d)
    return {Energy: energy, Martingale: martingale, LogRatio: martingale - 0.5 * energy}[kind]
