"""More of the table of ``divergences``: estimates."""

import math

import torch
from property_cases import RIGHT, Counts, Entry, Numbers, Tensors, Variation, array

from properties.divergences_oracles import (
    INFINITE,
    KEPT,
    SAMPLE,
    TAIL,
    estimate,
    finite,
    index,
    mean,
    quotient,
    runs,
    same,
    tail,
    tensor,
)
from scoredrift import Estimate, estimates

EXEMPT = {
    "estimates.FEWEST": "a constant",
    "estimates.FEWEST_IN_TAIL": "a constant",
    "estimates.typeset": "text to text",
    "estimates.jackknife": "takes a function; compared with a mean's own error and a ratio's in tests/estimates",
}

ENTRIES = [
    Entry(
        "estimates.Estimate",
        lambda value, stderr: (lambda e: (e.value, e.stderr))(Estimate(value, stderr)),
        {"value": Numbers(2.0, nan=KEPT), "stderr": Numbers(0.5)},
        estimate,
    ),
    Entry(
        "estimates.Estimate.tail",
        lambda tail: Estimate(1.0, 0.5, tail).trusted,
        {"tail": Numbers(0.25)},
        lambda tail: tail is None or float(tail) < 0.5,
    ),
    Entry(
        "estimates.Estimate.arithmetic",
        lambda other: [
            Estimate(4.0, 0.5) + other,
            other + Estimate(4.0, 0.5),
            Estimate(4.0, 0.5) - other,
            other - Estimate(4.0, 0.5),
            Estimate(4.0, 0.5) * other,
            other * Estimate(4.0, 0.5),
            Estimate(4.0, 0.5) / other,
            other / Estimate(4.0, 0.5),
        ],
        {"other": Numbers(2.0, inf=INFINITE, **{"-inf": INFINITE})},
        lambda other: (
            lambda c: [
                Estimate(4 + c, 0.5),
                Estimate(4 + c, 0.5),
                Estimate(4 - c, 0.5),
                Estimate(c - 4, 0.5),
                Estimate(4 * c, 0.5 * abs(c)),
                Estimate(4 * c, 0.5 * abs(c)),
                Estimate(4 / c, 0.5 / abs(c)),
                Estimate(c / 4, abs(c) / 32),
            ]
        )(finite(other)),
    ),
    Entry(
        "estimates.Estimate.sigmas_from",
        lambda reference: Estimate(4.0, 0.5).sigmas_from(reference),
        {"reference": Numbers(2.0, Variation("estimate", Estimate(2.0), RIGHT, True), nan=KEPT)},
        lambda reference: (
            (4 - (reference.value if isinstance(reference, Estimate) else float(reference))) / 0.5
        ),
    ),
    Entry(
        "estimates.Estimate.sqrt",
        lambda value: Estimate(value, 0.0).sqrt(),
        {"value": Numbers(4.0)},
        lambda value: Estimate(math.sqrt(value)),
    ),
    Entry("estimates.Estimate.from_samples", Estimate.from_samples, {"samples": Tensors(SAMPLE)}, mean),
    Entry(
        "estimates.Estimate.ratio",
        Estimate.ratio,
        {"numerator": Tensors(SAMPLE), "denominator": Tensors(4 + SAMPLE.flip(0))},
        quotient,
        single=1e-5,
    ),
    Entry(
        "estimates.Means",
        lambda value, stderr, i: estimates.Means(value, stderr).estimate(i),
        {
            "value": Tensors(tensor(1.0, 2.0, 3.0)),
            "stderr": Tensors(tensor(0.5, 0.25, 0.125)),
            "i": Counts(1, Variation("int -1", -1, RIGHT)),
        },
        lambda value, stderr, i: (
            lambda v, s: (
                (same(v.shape, s.shape) and s[i] >= 0 and Estimate(float(v[index(i, len(v))]), float(s[i])))
                or 1 / 0
            )
        )(array(value, 1), array(stderr, 1)),
    ),
    Entry(
        "estimates.as_estimate",
        estimates.as_estimate,
        {"value": Numbers(2.0, Variation("estimate", Estimate(2.0), RIGHT, True), nan=KEPT)},
        lambda value: value if isinstance(value, Estimate) else Estimate(estimate(value, 0)[0]),
    ),
    Entry(
        "estimates.over_runs",
        lambda table: tuple(estimates.over_runs(table)),
        {"table": Tensors(torch.stack([SAMPLE[:12].reshape(4, 3), SAMPLE[12:24].reshape(4, 3).abs()], -1))},
        runs,
    ),
    Entry(
        "estimates.tail_shape",
        lambda draws: round(max(estimates.tail_shape(draws), -1.0), 2),
        {"draws": Tensors(TAIL)},
        lambda draws: tail(draws),
    ),
]
