"""More of the table of ``scores``: process."""

import math

import numpy as np
import torch
from property_cases import REFUSED, RIGHT, Counts, Entry, Input, Numbers, Seeded, Tensors, Variation, array

from properties.laws_oracles import at_least_one
from properties.scores_oracles import FOREVER, OU, T, X, ends, integral, means_at, moved, tensor, times, unit
from scoredrift import OrnsteinUhlenbeck, process

EXEMPT: dict[str, str] = {}

ENTRIES = [
    Entry("process.scale", process.scale, {"t": Tensors(T, FOREVER)}, lambda t: np.exp(-0.5 * times(t))),
    Entry("process.variance", process.variance, {"t": Tensors(T, FOREVER)}, lambda t: -np.expm1(-times(t))),
    Entry(
        "process.OrnsteinUhlenbeck",
        lambda t_min, t_max: OrnsteinUhlenbeck(t_min, t_max).uniform_grid(2),
        {"t_min": Numbers(0.5), "t_max": Numbers(4.0)},
        lambda t_min, t_max: np.linspace(*ends(t_min, t_max)[::-1], 3),
    ),
    Entry(
        "process.uniform_grid",
        lambda steps: OU.uniform_grid(steps),
        {"steps": Counts(4)},
        lambda steps: np.linspace(4.0, 0.02, at_least_one(steps) + 1),
    ),
    Entry(
        "process.geometric_grid",
        lambda steps: OU.geometric_grid(steps),
        {"steps": Counts(4)},
        lambda steps: np.geomspace(4.0, 0.02, at_least_one(steps) + 1),
    ),
    Entry(
        "process.diffuse",
        moved(X, 0, 1),
        {
            "x": Tensors(X),
            "t_from": Tensors(torch.zeros(5).double()),
            "t_to": Tensors(tensor(0.5, 1.0, 2.0, 4.0, 0.25), Variation("a number", 0.5, RIGHT)),
            "generator": Seeded(3),
        },
        means_at,
    ),
    Entry(
        "process.uniform_times",
        lambda u: tuple(process.uniform_times(OU, u)),
        {"u": Tensors(tensor(0.0, 0.25, 1.0))},
        lambda u: (0.02 + 3.98 * unit(u), np.full(np.shape(array(u)), 3.98)),
    ),
    Entry(
        "process.log_uniform_times",
        lambda u: tuple(process.log_uniform_times(OU, u)),
        {"u": Tensors(tensor(0.0, 0.25, 1.0))},
        lambda u: (0.02 * 200 ** unit(u), 0.02 * 200 ** unit(u) * math.log(200)),
    ),
    Entry(
        "process.random_times",
        integral,
        {
            "sampler": Input(
                process.uniform_times,
                *(Variation(f"a {type(bad).__name__}", bad, REFUSED) for bad in (None, 1.0, "u")),
            ),
            "n": Counts(400),
            "generator": Seeded(0),
        },
        lambda sampler, n, generator: at_least_one(n) * 0 + (16 - 0.0004) / 2,
    ),
]
