"""The forward process and the scores: fields with their divergences, networks, errors."""

import math

import numpy as np
import torch
from property_cases import (
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Input,
    Laws,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.laws_oracles import at_least_one
from properties.scores_oracles import (
    EXACT,
    NORMAL,
    OU,
    PLACED,
    TIMES,
    WAVE,
    Net,
    T,
    X,
    at,
    fits,
    inside,
    linear,
    linear_by,
    many,
    passed,
    seen,
    shrink,
    stein,
    value_and_divergence,
    within,
)
from scoredrift import Estimate, Gaussian, OrnsteinUhlenbeck, scores
from scoredrift.scores import ErrorEvaluation, Flow, FunctionScore, LinearField, ScoreDifference

EXEMPT = {
    "scores.ErrorField": "a protocol",
    "scores.Field": "abstract; its arithmetic is in the table by SumScore and ScaledField",
    "scores.Score": "a protocol",
    "scores.Split": "a tuple of results, without arithmetic",
}

ENTRIES = [
    Entry(
        "scores.Flow",
        lambda law, x, t: Flow(law, OU).at(x, t),
        {"law": Laws(NORMAL), **at(X, T)},
        within(
            0.02,
            4.0,
            lambda x, t, law: (
                -0.5 * (seen(x, t) ** 2).sum(1) - math.log(2 * math.pi),
                -fits(x, 2),
                np.full(len(x), -2.0),
            ),
        ),
    ),
    Entry(
        "scores.Flow.process",
        lambda process: Flow(NORMAL, process).at(X, 0.5),
        {
            "process": Input(
                OU, *(Variation(str(bad), bad, REFUSED) for bad in (None, 1.0, "ou", (0.02, 4.0)))
            )
        },
        lambda process: (-0.5 * (array(X) ** 2).sum(1) - math.log(2 * math.pi), -array(X), np.full(5, -2.0)),
    ),
    Entry(
        "scores.Flow.sample",
        lambda n, t, generator: Estimate.from_samples(
            many(lambda: EXACT.sample(n, t, generator=generator).square().sum(1))
        ),
        {"n": Counts(400), "t": Numbers(0.5), "generator": Seeded(1)},
        lambda n, t, generator: (at_least_one(n), t is None or inside(t, 0, 4))[0] * 0 + 2.0,
    ),
    Entry(
        "scores.Flow.marginal",
        lambda t: EXACT.marginal(t).at(X).score,
        {"t": Numbers(0.5)},
        lambda t: (inside(0.02 if t is None else t, 0.02, 4), -array(X))[1],
    ),
    Entry(
        "scores.Flow.error",
        lambda learned, x, t: tuple(EXACT.error(learned).at(x, t)),
        {
            "learned": Input(
                FunctionScore(shrink),
                Variation("network", FunctionScore(Net()), RIGHT, True),
                Variation("network in float32", FunctionScore(Net(torch.float32)), RIGHT, True, 1e-6),
                Variation("linear", LinearField(-1.5 * torch.eye(2).double()), RIGHT, True),
                Variation("flow of another process", Flow(NORMAL, OrnsteinUhlenbeck(0.1, 4.0)), REFUSED),
                Variation(
                    "flow in another dimension",
                    Flow(Gaussian(torch.zeros(1).double(), torch.eye(1).double()), OU),
                    REFUSED,
                ),
                *(
                    Variation(f"bare {type(bad).__name__}", bad, REFUSED)
                    for bad in (None, 1.0, shrink, Net())
                ),
            ),
            **at(X, T),
        },
        within(0.02, 4, lambda x, t, learned: (*linear(-0.5 * np.eye(2), x, t), -seen(x, t))),
        single=None,
    ),
    Entry(
        "scores.Flow.inject",
        lambda field, x, t: tuple(EXACT.inject(field).at(x, t)),
        {
            "field": Input(
                FunctionScore(shrink),
                *(
                    Variation(f"bare {type(bad).__name__}", bad, REFUSED)
                    for bad in (None, 1.0, shrink, Net())
                ),
            ),
            **at(X, T),
        },
        within(0.02, 4, lambda x, t, field: (*linear(-1.5 * np.eye(2), x, t), -seen(x, t))),
        single=None,
    ),
    Entry(
        "scores.ScoreDifference",
        lambda learned, x, t: ScoreDifference(learned, FunctionScore(lambda x, t: -x)).divergence(x, t),
        {
            "learned": Input(
                FunctionScore(shrink),
                *(
                    Variation(f"bare {type(bad).__name__}", bad, REFUSED)
                    for bad in (None, 1.0, shrink, Net())
                ),
            ),
            **at(X, T),
        },
        lambda learned, x, t: linear(-0.5 * np.eye(seen(x, t).shape[1]), x, t)[1],
    ),
    Entry(
        "scores.InjectedField",
        lambda field, x, t: scores.InjectedField(field, FunctionScore(lambda x, t: -x)).divergence(x, t),
        {
            "field": Input(
                FunctionScore(shrink),
                *(
                    Variation(f"bare {type(bad).__name__}", bad, REFUSED)
                    for bad in (None, 1.0, shrink, Net())
                ),
            ),
            **at(X, T),
        },
        lambda field, x, t: linear(-1.5 * np.eye(seen(x, t).shape[1]), x, t)[1],
    ),
    Entry(
        "scores.ErrorEvaluation",
        lambda value, divergence, exact: ErrorEvaluation(value, divergence, exact).stein,
        {"value": Tensors(X, **PLACED), "divergence": Tensors(T, **PLACED), "exact": Tensors(-X, **PLACED)},
        lambda value, divergence, exact: stein(value, divergence, exact),
    ),
    Entry(
        "scores.evaluated",
        value_and_divergence,
        {
            "field": Input(
                FunctionScore(shrink),
                *(
                    Variation(f"bare {type(bad).__name__}", bad, REFUSED)
                    for bad in (None, 1.0, "f", shrink, Net())
                ),
                Variation("linear", LinearField(-1.5 * torch.eye(2).double()), RIGHT, True),
            ),
            **at(X, T),
        },
        linear_by(-1.5),
    ),
    Entry(
        "scores.check_divergence",
        scores.check_divergence,
        {
            "field": Input(
                LinearField(WAVE),
                *(
                    Variation(f"bare {type(bad).__name__}", bad, REFUSED)
                    for bad in (None, 1.0, "f", shrink, Net())
                ),
            ),
            "x": Tensors(X),
            "t": Tensors(T, *TIMES),
            "tolerance": Numbers(0.5),
        },
        lambda field, x, t, tolerance: passed(x, t, tolerance),
        single=None,
    ),
    Entry(
        "scores.flow_of",
        lambda error: scores.flow_of(error).at(X, 0.5),
        {
            "error": Input(
                EXACT.inject(LinearField(WAVE)),
                *(
                    Variation(f"a {type(bad).__name__}", bad, REFUSED)
                    for bad in (None, 1.0, "f", shrink, EXACT, ScoreDifference(EXACT, LinearField(WAVE)))
                ),
            )
        },
        lambda error: (-0.5 * (array(X) ** 2).sum(1) - math.log(2 * math.pi), -array(X), np.full(5, -2.0)),
    ),
    Entry(
        "scores.learned_flow_of",
        lambda error: scores.learned_flow_of(error).at(X, 0.5),
        {
            "error": Input(
                EXACT.error(EXACT),
                *(
                    Variation(f"a {type(bad).__name__}", bad, REFUSED)
                    for bad in (
                        None,
                        1.0,
                        "f",
                        shrink,
                        EXACT,
                        EXACT.inject(LinearField(WAVE)),
                        ScoreDifference(EXACT, LinearField(WAVE)),
                    )
                ),
            )
        },
        lambda error: (-0.5 * (array(X) ** 2).sum(1) - math.log(2 * math.pi), -array(X), np.full(5, -2.0)),
    ),
]
