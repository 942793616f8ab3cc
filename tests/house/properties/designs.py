"""More of the table of ``observability``: designs."""

from property_cases import NAN, REFUSED, RIGHT, Counts, Entry, Input, Tensors, Variation

from properties.observability_oracles import (
    DRAWS,
    EDGES,
    POINTS,
    ROUGH,
    SEEDED,
    X,
    enough,
    marginal,
    means,
    numbers_of,
    pair,
    quantiles,
    ratios,
    small,
    spanned,
    stepped,
    tensor,
)
from properties.paths_oracles import BARE, BROKEN, ERROR, FLOW, NOT_ONE, OU, UNKNOWN, error, grid, seed
from scoredrift import Estimate, FunctionScore, observability
from scoredrift.observability import Observability, PairDesign, StepFunction
from scoredrift.process import StepTimes, log_uniform_times, uniform_times

EXEMPT: dict[str, str] = {}

ENTRIES = [
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
            [
                *pair(found := Observability.from_draws(energy, visible, evaluations=1, seconds=0.0)),
                Estimate(found.eta.value),
            ]
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
        "process.StepTimes",
        lambda edges, shares, u: tuple(StepTimes(edges, shares)(OU, u)),
        {
            "edges": Tensors(EDGES),
            "shares": Tensors(tensor(0.25, 0.75)),
            "u": Tensors(tensor(0.0, 0.2, 0.5, 1.0)),
        },
        lambda edges, shares, u: quantiles(edges, shares, u),
    ),
]
