"""Observability: the four ways to η, the designs, the ratio of the marginals."""

import torch
from property_cases import REFUSED, Counts, Entry, Input, Variation
from sklearn.linear_model import LinearRegression

from properties.observability_oracles import (
    DESIGNS,
    ENERGY,
    FINE,
    PLAIN,
    POINTS,
    ROUNDS,
    SEEDED,
    counts,
    enough,
    numbers_of,
    pair,
    response,
    responses,
    spanned,
)
from properties.paths_oracles import ERROR, error, grid, seed
from scoredrift import Estimate, observability

EXEMPT = {
    "observability.PILOT_COST": "a constant",
    "observability.Futures": "a tuple of results, without arithmetic",
}

ENTRIES = [
    Entry(
        "observability.by_pairs",
        lambda error, n, generator: pair(observability.by_pairs(error, n, generator=generator, design=PLAIN)),
        {"error": error(), "n": counts(1000), **SEEDED},
        lambda error, n, generator: enough(n),
    ),
    Entry(
        "observability.by_pairs.design",
        lambda design, pilot, batch: pair(
            observability.by_pairs(ERROR, 500, generator=seed(1), design=design, pilot=pilot, batch=batch)
        ),
        {"design": Input(PLAIN, *DESIGNS), "pilot": Counts(40), "batch": Counts(4000)},
        lambda design, pilot, batch: enough(min(pilot, 20 * batch), 20),
    ),
    Entry(
        "observability.by_pairs.pilot",
        lambda pilot: pair(observability.by_pairs(ERROR, 500, generator=seed(1), pilot=pilot)),
        {"pilot": Counts(40)},
        lambda pilot: enough(pilot, 20),
    ),
    Entry(
        "observability.by_trajectories",
        lambda error, n, generator: pair(
            observability.by_trajectories(error, n, grid=FINE, generator=generator)
        ),
        {"error": error(), "n": counts(500), **SEEDED},
        lambda error, n, generator: enough(n),
        rtol=0.05,
        single=0.05,
    ),
    Entry(
        "observability.by_trajectories.grid",
        lambda grid, batch: pair(
            observability.by_trajectories(ERROR, 500, grid=grid, generator=seed(2), batch=batch)
        ),
        {"grid": grid(FINE), "batch": Counts(1000, **dict.fromkeys("123", "slow"))},
        lambda grid, batch: spanned(grid, enough(batch, 1)),
        rtol=0.05,
        single=0.05,
    ),
    Entry(
        "observability.by_regression",
        lambda error, n, folds, generator: (
            observability.by_regression(
                error, n, grid=FINE, generator=generator, folds=folds, regressor=LinearRegression()
            ).energy
        ),
        {"error": error(), "n": counts(400), "folds": Counts(5), **SEEDED},
        lambda error, n, folds, generator: enough(n, 2 * enough(folds) and 2 * folds)[0],
        rtol=0.05,
        single=0.05,
    ),
    Entry(
        "observability.by_regression.regressor",
        lambda regressor: (
            observability.by_regression(ERROR, 400, grid=FINE, generator=seed(3), regressor=regressor).energy
        ),
        {
            "regressor": Input(
                LinearRegression(),
                *(
                    Variation(f"a {type(b).__name__}", b, REFUSED)
                    for b in (1.0, "trees", torch.nn.Linear(2, 1), LinearRegression)
                ),
            )
        },
        lambda regressor: ENERGY,
        rtol=0.05,
    ),
    Entry(
        "observability.in_closed_form",
        lambda error, nodes: [
            round(one.value, 8) for one in pair(observability.in_closed_form(error, nodes=nodes))
        ],
        {"error": error(a_network_in_bfloat16=ROUNDS, a_network_in_float32=ROUNDS), "nodes": Counts(40)},
        lambda error, nodes: enough(nodes),
        rtol=1e-6,
        single=1e-4,
    ),
    Entry(
        "observability.plan",
        lambda error, points, batch, generator: pair(
            observability.by_pairs(
                ERROR,
                400,
                generator=seed(4),
                design=observability.plan(error, generator=generator, points=points, batch=batch),
            )
        ),
        {"error": error(), "points": Counts(40), "batch": Counts(4000), **SEEDED},
        lambda error, points, batch, generator: enough(min(points, 20 * batch), 20),
        single=None,
    ),
    Entry(
        "observability.response",
        responses,
        {
            "error": error(),
            **POINTS,
            **SEEDED,
            "design": Input(PLAIN, *DESIGNS),
            "batch": Counts(4000, **dict.fromkeys("123", "slow")),
        },
        lambda error, x, generator, design, batch: list((enough(batch, 1), response(numbers_of(x)))[1]),
        single=None,
    ),
    Entry(
        "observability.draw_futures",
        lambda error, x, design, generator: Estimate.from_samples(
            observability.draw_futures(
                error,
                x.repeat(100, 1) if isinstance(x, torch.Tensor) and x.ndim == 2 else x,
                design,
                generator,
            )
            .draws.double()
            .mean((2, 3))
            .sum(1)
            .reshape(100, -1)
            .mean(1)
        ),
        {
            "error": error(),
            **POINTS,
            "design": Input(PLAIN, *DESIGNS[:3], Variation("None", None, REFUSED), *DESIGNS[4:]),
            **SEEDED,
        },
        lambda error, x, design, generator: float(response(numbers_of(x)).mean()),
        single=None,
    ),
]
