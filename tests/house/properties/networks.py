"""The table of ``networks``, and of what draws and generates with them."""

import numpy as np
import torch
from property_cases import (
    NAN,
    REFUSED,
    Counts,
    Entry,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
    default_dtype,
)
from scipy.special import ndtr, ndtri

from properties.generations_oracles import fraction
from properties.laws_oracles import at_least_one
from properties.paths_oracles import DENSITY, ERROR, FINE, LINE, NODES, NOT_ONE, Errors, evolved, grid, spans
from properties.scores_oracles import OU, T, X, times
from scoredrift import Estimate, GaussianMixture, experiments, generations, networks, paths
from scoredrift.generations import BiasAndNoise, forecast
from scoredrift.networks import PointNetwork, Recipe
from scoredrift.process import RandomTimes, uniform_times
from scoredrift.scores import FunctionScore, LinearField

TRAINS = "trains or holds a network: bad input of every kind is in its own tests"
CPU = "torch draws weights on the CPU; a generator elsewhere gives the seed"
EXEMPT: dict[str, str] = {
    "experiments.NEURAL_LINE": "an experiment with its settings",
    "experiments.NEURAL_PILOT": "an experiment with its settings",
    "experiments.NEURAL_SPLIT": "an experiment with its settings",
    "experiments.LineMeasure": TRAINS,
    "experiments.line_fit": TRAINS,
    "experiments.run_line": TRAINS,
    "experiments.NEURAL_SIZE": "an experiment with its settings",
    "experiments.NEURAL_MEMORY": "an experiment with its settings",
    "experiments.NEURAL_TEN": "an experiment with its settings",
    "experiments.NEURAL_TEN_PILOT": "an experiment with its settings",
    "experiments.LEARNERS": "settings",
    "experiments.SizeMeasure": TRAINS,
    "experiments.TenMeasure": TRAINS,
    "experiments.RepeatedFit": TRAINS,
    "experiments.run_size": TRAINS,
    "experiments.run_memory": TRAINS,
    "experiments.run_ten": TRAINS,
    "experiments.ten_fit": TRAINS,
    "experiments.two_energies": TRAINS,
    "experiments.masses_of_shells": "counts points; compared with draws in tests/experiments",
    "experiments.NEURAL_RECIPES": "an experiment with its settings",
    "experiments.two_part_forecast": "reads a stored result; compared with a recursion in tests/experiments",
    "experiments.exact_stop_forecast": "reads a stored result; compared with a recursion in tests/experiments",
    "experiments.as_mixture": "a law as another object; compared by its energy in tests/experiments",
    "experiments.masses_between": "differences of mass_below, which has an entry",
    "experiments.constant_forecast": "reads a stored result; compared with its parts in tests/experiments",
    "networks.Trained": "a tuple of results, without arithmetic",
    "networks.Weighting": "a type",
    "networks.train": TRAINS,
    "networks.image_unet": TRAINS,
    "networks.patch_transformer": TRAINS,
    "generations.NetworkFit": TRAINS,
    "generations.NetworkModel": TRAINS,
    "generations.WarmStart": TRAINS,
    "generations.LineFit": TRAINS,
    "generations.LineModel": TRAINS,
}


NORMAL = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 1).double(), 4 * torch.ones(1).double())
EDGES = torch.tensor([-1.0, 0.0, 2.5], dtype=torch.float64)


def at_least(count, least):
    assert at_least_one(count) >= least
    return int(count)


def noisy(t):
    """Times that are positive and finite."""
    t = times(t)
    assert (t > 0).all()
    assert np.isfinite(t).all()
    return t


def share(value):
    value = float(value)
    assert 0 <= value < 1
    return value


def silent(x, t):
    """A network that predicts −x; a function, since parameters have a precision."""
    return -x


def terms(points, noise, times=T, weight=T):
    x, e, t, w = array(points, 2), array(noise, 2), array(times, 1), array(weight, 1)
    assert x.shape == e.shape
    assert x.size
    a, v = np.exp(-t / 2)[:, None], -np.expm1(-t)[:, None]
    return w / v[:, 0] * ((-(a * x + np.sqrt(v) * e) - e) ** 2).sum(1)


def generated(start, nodes, grid):
    """Variance after the steps of the exponential integrator with s = −x, from N(0, 1)."""
    evolved(start, nodes, grid)  # which refuses what has no answer
    g, v = spans(grid), 1.0
    assert len(g) > 2
    for d in -np.diff(g):
        v = (2 - np.exp(d / 2)) ** 2 * v + np.expm1(d)
    return v


def first_weights(generator):
    with default_dtype(torch.float32):  # torch builds layers in it
        built = networks.initialised(lambda: PointNetwork(2, width=4, depth=1), generator=generator)
    return built.body[0].weight.detach()


def repeats(forcings):
    w = np.asarray(array(forcings))
    assert w.ndim in (2, 3)
    w = w if w.ndim == 3 else w[:, None]
    assert len(w) > 2
    assert w.size
    pairs = [(w[r] * w[s]).sum(1).mean() for r in range(len(w)) for s in range(len(w)) if r != s]
    return [np.mean(pairs), (w**2).sum(2).mean() - np.mean(pairs)]


def drift(alpha, generations):
    assert int(generations) == generations >= 0
    found, bias, noise = [], 0.0, 0.0
    for _ in range(int(generations) + 1):
        bias, noise = (1 - alpha) * bias + 0.5, (1 - alpha) ** 2 * noise + 0.125
        found.append(bias**2 + noise)
    return found


def added(cells, alpha):
    c = array(cells, 3)
    assert c.size
    assert np.allclose(c.sum(2), 1)
    assert (c >= 0).all()
    d = (c - 1 / c.shape[2]) * np.sqrt(c.shape[2])
    return d - (1 - alpha) * np.concatenate([0 * d[:, :1], d[:, :-1]], 1)


MASSES = torch.tensor([[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]], dtype=torch.float64)
PARTS = BiasAndNoise(Estimate(0.25), Estimate(0.125))

ENTRIES = [
    Entry(
        "networks.log_noise_level",
        networks.log_noise_level,
        {"t": Tensors(T)},
        lambda t: 0.5 * (noisy(t) + np.log(-np.expm1(-noisy(t)))),
    ),
    Entry("networks.by_energy", networks.by_energy, {"t": Tensors(T)}, lambda t: -1 / np.expm1(-noisy(t))),
    Entry("networks.evenly", networks.evenly, {"t": Tensors(T)}, lambda t: np.ones_like(noisy(t))),
    Entry(
        "networks.spread_times",
        lambda n, generator: (lambda at: (at.weight * at.t).mean())(
            networks.spread_times(OU, n, generator=generator, times=uniform_times)
        ),
        {"n": Counts(400, **dict.fromkeys("123", "too few to be near the integral")), "generator": Seeded(1)},
        lambda n, generator: at_least_one(n) * 0 + (16 - 0.0004) / 2,
        rtol=0.02,
    ),
    Entry(
        "networks.denoising_terms",
        lambda points, noise: networks.denoising_terms(silent, points, noise, RandomTimes(T, T)),
        {"points": Tensors(X), "noise": Tensors(X.flip(0))},
        terms,
    ),
    Entry(
        "networks.PointNetwork",
        lambda width, depth: PointNetwork(2, width=width, depth=depth).float()(X[:, :2].float(), T.float()),
        {"width": Counts(4), "depth": Counts(2)},
        lambda width, depth: (
            min(at_least_one(width), at_least_one(depth)) * 0
            + np.sqrt(-np.expm1(-array(T)))[:, None] * array(X)[:, :2]
        ),
        rtol=1e-5,
    ),
    Entry("networks.initialised", first_weights, {"generator": Seeded(3, on_another_device=CPU)}),
    Entry(
        "networks.Recipe",
        lambda steps, rate, averaging: [
            float(getattr(Recipe(steps, rate=rate, averaging=averaging), name))
            for name in ("steps", "rate", "averaging")
        ],
        {"steps": Counts(4), "rate": Numbers(0.25), "averaging": Numbers(0.5)},
        lambda steps, rate, averaging: [
            at_least_one(steps),
            float(rate) if 0 < float(rate) < float("inf") else 1 / 0,
            share(averaging),
        ],
    ),
    Entry(
        "paths.generated_mixture",
        lambda start, nodes, grid: (lambda law: law.weights @ (law.means[:, 0] ** 2 + law.variances))(
            paths.generated_mixture(lambda x, t: -x, start, nodes, grid)
        ),
        {"start": Tensors(DENSITY), "nodes": Tensors(NODES), "grid": grid(FINE)},
        generated,
        rtol=1e-6,
        single=1e-4,
    ),
    Entry(
        "paths.ideal_energy_on_nodes",
        lambda error, nodes, grid: paths.ideal_energy_on_nodes(error, nodes, grid),
        {
            "error": Errors(
                LINE.inject(LinearField(-0.5 * torch.eye(1).double())),
                *NOT_ONE,
                Variation("on a plane", ERROR, REFUSED),
                Variation("nan", LINE.inject(FunctionScore(lambda x, t: x * NAN)), REFUSED),
            ),
            "nodes": Tensors(NODES),
            "grid": grid(FINE),
        },
        lambda error, nodes, grid: (
            generated(DENSITY, nodes, grid) * 0 + 0.25 * -np.diff(spans(grid, 0.5)).sum()
        ),
        rtol=1e-5,
        single=None,
    ),
    Entry(
        "experiments.mass_below",
        lambda edges: experiments.mass_below(NORMAL, edges),
        {"edges": Tensors(EDGES)},
        lambda edges: ndtr(array(edges, 1) / 2),
    ),
    Entry(
        "experiments.equal_cells",
        lambda count: experiments.equal_cells(NORMAL, count),
        {"count": Counts(4)},
        lambda count: 2 * ndtri(np.arange(1, at_least(count, 2)) / count),
        rtol=1e-6,
        atol=1e-6,
    ),
    Entry(
        "generations.bias_of_repeats",
        lambda forcings: (lambda found: [found.bias.value, found.noise.value])(
            generations.bias_of_repeats(forcings)
        ),
        {"forcings": Tensors(X, all_1e30="plain arithmetic has no digits left there")},
        repeats,
    ),
    Entry(
        "generations.forecast",
        lambda alpha, generations: [
            one.value for one in forecast(PARTS, alpha=alpha, generations=generations)
        ],
        {"alpha": Numbers(0.5), "generations": Counts(4)},
        lambda alpha, generations: drift(fraction(alpha), generations),
    ),
    Entry(
        "experiments.forcings",
        lambda cells, alpha: experiments.forcings(cells, alpha),
        {"cells": Tensors(MASSES), "alpha": Numbers(0.5)},
        lambda cells, alpha: added(cells, fraction(alpha)),
    ),
]
