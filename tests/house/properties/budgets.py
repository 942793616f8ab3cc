"""Budgets: bias and noise apart, the best fresh fraction, what accumulated errors add up to."""

import math

import numpy as np
from property_cases import Counts, Entry, Numbers, Tensors, array
from scipy.optimize import minimize_scalar

from properties.generations_oracles import ALPHA, finite_number, fraction, positive, tensor
from scoredrift import generations

EXEMPT = {
    "generations.fresh_fraction_needed": "takes pairs of estimates; bad input of every kind is in tests/generations",
    "generations.scheduled_drift": "takes pairs of estimates; bad input of every kind is in tests/generations",
    "generations.Accumulated": "a tuple of results, without arithmetic",
    "generations.BestFraction": "a tuple of results, without arithmetic",
    "generations.BiasAndNoise": "a tuple of results, without arithmetic",
}


def parts(before, forcing, after, alpha, generation):
    """‖b‖² and noise, solved for from D' and the cross term."""
    a = fraction(alpha)
    d, b, d1 = map(finite_number, (before, forcing, after))
    cross = (d1 - (1 - a) ** 2 * d - b) / (2 * (1 - a))
    mean = 1 / a if generation is None else sum((1 - a) ** k for k in range(whole(generation) + 1))
    return [cross / mean, b - cross / mean]


def whole(n):
    assert int(n) == n >= 0
    return int(n)


def over_runs(before, forcing, after):
    d, b, d1 = (array(one, 1) for one in (before, forcing, after))
    assert d.shape == b.shape == d1.shape
    cross = d1 - 0.25 * d - b
    bias = cross / (1 + 0.5 + 0.25)
    return [
        number for one in (bias, b - bias) for number in (one.mean(), one.std(ddof=1) / math.sqrt(len(one)))
    ]


def by_search(bias, parameters, fresh_points):
    b, noise = positive(bias), positive(parameters) / positive(fresh_points)
    assert 0 < noise / b < math.inf
    found = minimize_scalar(
        lambda log: math.log(b * math.exp(-2 * log) + noise / (2 - math.exp(log))),
        bounds=(-230, 0),
        options={"xatol": 1e-12},
    )
    least = min(math.exp(found.fun), b + noise)
    return [least, b + noise]


def needed(drift, bias, parameters):
    d, b, m = positive(drift), positive(bias), positive(parameters)
    if d <= b:
        return math.inf
    if d <= 3 * b:
        return m / (d - b)
    roots = np.roots([d / b, 0, 1, -4])
    (alpha,) = (float(root.real) for root in roots if abs(root.imag) < 1e-9 * abs(root) and root.real > 0)
    return m / (2 - alpha) / (d - b / alpha**2)


def sums(generation, alpha):
    a = finite_number(alpha)
    assert 0 <= a <= 1
    batches, pool = (
        [],
        np.zeros(whole(generation) + 1),
    )  # weights of the noises; b counts as (1 − a) b in batches
    bias = 0.0
    for k in range(len(pool)):
        batches.append((1 - a) * pool + np.eye(len(pool))[k])
        pool = np.mean(batches, axis=0)
        bias += ((1 - a) * (bias + 1) - bias) / (k + 1) if k else 0.0
    return [1 + bias, float(pool @ pool)]


RUNS = [tensor(0.5, 0.25, 0.75), tensor(0.25, 0.5, 0.5), tensor(1.0, 0.5, 1.5)]

ENTRIES = [
    Entry(
        "generations.bias_and_noise",
        lambda before, forcing, after, alpha, generation: [
            one.value
            for one in generations.bias_and_noise(before, forcing, after, alpha=alpha, generation=generation)
        ],
        {
            "before": Numbers(0.5),
            "forcing": Numbers(0.25),
            "after": Numbers(0.75),
            **ALPHA,
            "generation": Counts(5),
        },
        parts,
    ),
    Entry(
        "generations.bias_and_noise.runs",
        lambda before, forcing, after: [
            number
            for one in generations.bias_and_noise(before, forcing, after, alpha=0.5, generation=2)
            for number in (one.value, one.stderr)
        ],
        {"before": Tensors(RUNS[0]), "forcing": Tensors(RUNS[1]), "after": Tensors(RUNS[2])},
        over_runs,
    ),
    Entry(
        "generations.best_fraction",
        lambda bias, parameters, fresh_points: [
            one.value for one in generations.best_fraction(bias, parameters, fresh_points)[1:]
        ],
        {"bias": Numbers(0.0078125), "parameters": Numbers(20.0), "fresh_points": Numbers(512.0)},
        by_search,
    ),
    Entry(
        "generations.fresh_points_needed",
        lambda drift, bias, parameters: generations.fresh_points_needed(
            drift, bias=bias, parameters=parameters
        ),
        {"drift": Numbers(0.5), "bias": Numbers(0.0078125), "parameters": Numbers(20.0)},
        needed,
    ),
    Entry(
        "generations.accumulated",
        lambda generation, alpha: list(generations.accumulated(generation, alpha=alpha)),
        {"generation": Counts(5), **ALPHA},
        sums,
    ),
]
