"""Observability: the four ways to η, the designs, the ratio of the marginals."""

import math

import numpy as np
import torch
from property_cases import (
    NAN,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Input,
    Seeded,
    Tensors,
    Variation,
    array,
)
from sklearn.linear_model import LinearRegression

from properties.paths import BARE, BROKEN, ERROR, FEW, FLOW, NOT_ONE, OU, UNKNOWN, L, error, grid, seed, spans
from scoredrift import Estimate, FunctionScore, observability
from scoredrift.observability import Observability, PairDesign, StepFunction, StepTimes
from scoredrift.process import log_uniform_times, uniform_times

EXEMPT = {
    "observability.PILOT_COST": "a constant",
    "observability.Futures": "a tuple of results, without arithmetic",
}


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


ENERGY = 0.5 * L
ETA = 2 * (1 - math.exp(-L)) ** 2 / L
FINE = OU.geometric_grid(30)
ROUGH = OU.geometric_grid(12)
PLAIN = PairDesign(log_uniform_times, 4, 2)
SEEDED = {"generator": Seeded(20)}
EDGES = tensor(0.5, 1.0, 2.5)
DRAWS = torch.randn(120, generator=torch.Generator().manual_seed(13), dtype=torch.float64)


def pair(found):
    return [found.energy, found.visible]


def enough(n, least=2):
    assert n >= least
    return [ENERGY, ETA * ENERGY]


def counts(n, *fewer):
    return Counts(n, **dict.fromkeys(("1", "2", "3", *fewer), FEW))


def response(x):
    """u(x) = −∫ E[2 (−½)… | x] dt for e = −½ x: ½ (d − ‖x‖²)… in closed form."""
    x = array(x, 2)
    assert x.shape[1] == 2
    return 0.5 * (1 - math.exp(-L)) * (2 - (x**2).sum(1))


def responses(error, x, generator, design, batch):
    """Means of u at the first points, over many draws of each."""
    found = observability.response(
        error,
        x.repeat(200, 1) if isinstance(x, torch.Tensor) and x.ndim == 2 else x,
        generator=generator,
        design=design,
        batch=batch,
    )
    return [Estimate.from_samples(one) for one in found.reshape(200, -1).T]


def marginal(x):
    """dp̂/dq of s = −1.5 x against N(0, 1) in R²: p̂ is normal with the variance below."""
    x = array(x, 2)
    assert x.shape[1] == 2
    v = math.exp(-2 * L) + (1 - math.exp(-2 * L)) / 2
    return 1 / v * np.exp(0.5 * (x**2).sum(1) * (1 - 1 / v))


ROUNDS = "it rounds, and so is not affine to the precision of the law"
V = math.exp(-2 * L) + (1 - math.exp(-2 * L)) / 2
CHI2 = 1 / (V * (2 - V)) - 1
X = 0.5 * torch.randn(3, 2, generator=torch.Generator().manual_seed(14), dtype=torch.float64)


def ratios(error, x, grid, generator):
    many = x.repeat(200, 1) if isinstance(x, torch.Tensor) and x.ndim == 2 else x
    found = observability.marginal_ratio(error, many, grid, generator=generator)
    return [Estimate.from_samples(one) for one in found.reshape(200, -1).T]


def spanned(grid, value):
    spans(grid, 0.5)
    return value


def numbers_of(x):
    assert array(x, 2).shape[1] == 2
    return x


DESIGNS = (
    Variation("antithetic", PairDesign(log_uniform_times, 2, 2, antithetic=True), RIGHT),
    Variation(
        "without divergence",
        PairDesign(log_uniform_times, 2, 2, antithetic=True, divergence_free=True),
        RIGHT,
    ),
    Variation("uniform", PairDesign(uniform_times, 4, 2), RIGHT),
    Variation("None", None, RIGHT),
    *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (1.0, "pairs", PairDesign)),
)
POINTS = {"x": Tensors(X, **{"one_1e30": "exp of 1e60", "all_1e30": "exp of 1e60", "no_columns": "no space"})}

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
    Entry(
        "observability.marginal_ratio",
        ratios,
        {"error": error(), **POINTS, "grid": grid(ROUGH), **SEEDED},
        lambda error, x, grid, generator: list(spanned(grid, marginal(numbers_of(x)))),
        rtol=0.02,
        single=None,
    ),
    Entry(
        "observability.marginal_ratio.start",
        lambda start: [
            Estimate.from_samples(
                observability.marginal_ratio(
                    ERROR, X[:1].repeat(200, 1), ROUGH, generator=seed(5), start=start
                )
            )
        ],
        {
            "start": Input(
                None,
                Variation("alike", (FLOW.marginal(), FLOW.marginal()), RIGHT),
                *(
                    Variation(f"{b}"[:20], b, REFUSED)
                    for b in (1.0, "q", (), (FLOW.law,), (None, None), (FLOW.law, 1.0), FLOW.law)
                ),
            )
        },
        lambda start: list(marginal(X[:1])),
        rtol=0.02,
    ),
    Entry(
        "observability.chi2_by_futures",
        lambda error, n, grid, futures, batch, generator: observability.chi2_by_futures(
            error, n, grid, generator=generator, futures=futures, batch=batch
        ),
        {
            "error": Input(
                FLOW.error(FunctionScore(lambda x, t: -1.1 * x)), *NOT_ONE, *BROKEN, *UNKNOWN, *BARE[1:]
            ),
            "n": Counts(400),
            "grid": grid(OU.geometric_grid(20)),
            "futures": Counts(2),
            "batch": Counts(1000, **dict.fromkeys("123", "slow")),
            **SEEDED,
        },
        lambda error, n, grid, futures, batch, generator: spanned(
            grid, (enough(n, 100), enough(futures), enough(batch, 1), small())[3]
        ),
        rtol=0.05,
        single=0.05,
    ),
    Entry(
        "observability.batches",
        lambda n, cost, batch: sum(observability.batches(n, cost, batch)),
        {"n": Counts(5), "cost": Counts(2), "batch": Counts(4)},
        lambda n, cost, batch: (enough(min(cost, batch), 1), enough(n, 0), n)[2],
    ),
    Entry(
        "observability.Observability",
        lambda energy, visible: (
            pair(found := Observability.from_draws(energy, visible, evaluations=1, seconds=0.0))
            + [Estimate(found.eta.value)]
        ),
        {"energy": Tensors(1 + DRAWS.abs()), "visible": Tensors(DRAWS)},
        lambda energy, visible: means(energy, visible),
    ),
    Entry(
        "observability.PairDesign",
        lambda strata, futures: PairDesign(strata=strata, futures=futures).cost,
        {"strata": Counts(4), "futures": Counts(2)},
        lambda strata, futures: (enough(strata, 1), enough(futures), strata * futures)[2],
    ),
    Entry(
        "observability.PairDesign.times",
        lambda times: pair(
            observability.by_pairs(ERROR, 400, generator=seed(6), design=PairDesign(times, 2, 2))
        ),
        {
            "times": Input(
                log_uniform_times,
                Variation("of steps", StepTimes(EDGES, tensor(0.5, 0.5)), RIGHT),
                Variation("one time for all", lambda process, u: uniform_times(process, u[0, 0, 0]), REFUSED),
                Variation("nan", lambda process, u: uniform_times(process, u)._replace(t=u * NAN), REFUSED),
                Variation("late", lambda process, u: uniform_times(process, u)._replace(t=u + 9), REFUSED),
                Variation("a tensor", lambda process, u: u, REFUSED),
                *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "log")),
            )
        },
        lambda times: enough(2),
    ),
    Entry(
        "observability.StepFunction",
        lambda edges, values, t: StepFunction(edges, values)(t),
        {
            "edges": Tensors(EDGES),
            "values": Tensors(tensor(5.0, 7.0)),
            "t": Tensors(tensor(0.75, 1.5, 2.25, 0.6)),
        },
        lambda edges, values, t: stepped(edges, values, t),
    ),
    Entry(
        "observability.StepTimes",
        lambda edges, shares, u: tuple(StepTimes(edges, shares)(OU, u)),
        {
            "edges": Tensors(EDGES),
            "shares": Tensors(tensor(0.25, 0.75)),
            "u": Tensors(tensor(0.0, 0.2, 0.5, 1.0)),
        },
        lambda edges, shares, u: quantiles(edges, shares, u),
    ),
]


def small():
    """χ² of s = −1.1 x."""
    r = 1.2
    v = math.exp(-r * L) + (1 - math.exp(-r * L)) / r
    return 1 / (v * (2 - v)) - 1


def means(energy, visible):
    e, v = array(energy, 1), array(visible, 1)
    assert e.shape == v.shape
    assert len(e) >= 2
    assert (e >= 0).all()
    n = math.sqrt(len(e))
    return [
        Estimate(
            float(one.mean()),
            float(np.std(one / (np.abs(one).max() or 1), ddof=1) * np.abs(one).max() / n)
            if np.ptp(one)
            else 0.0,
        )
        for one in (e, v)
    ] + [Estimate(float(v.mean() / e.mean()) if e.any() else 0.0)]


def edges_of(edges, values):
    edges, values = array(edges, 1), array(values, 1)
    assert len(edges) == len(values) + 1
    assert len(values)
    assert (np.diff(edges) > 0).all()
    return edges, values


def stepped(edges, values, t):
    edges, values = edges_of(edges, values)
    return values[np.searchsorted(edges[1:-1], array(t))]


def quantiles(edges, shares, u):
    edges, shares = edges_of(edges, shares)
    assert (shares > 0).all()
    assert abs(shares.sum() - 1) < 1e-9
    assert edges[0] >= 0.5
    assert edges[-1] <= 2.5
    u = array(u)
    assert ((u >= 0) & (u <= 1)).all()
    t = np.interp(u, np.concatenate([[0], shares.cumsum()]), edges)
    return t, (np.diff(edges) / shares)[np.searchsorted(shares.cumsum()[:-1], u)]
