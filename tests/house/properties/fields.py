"""More of the table of ``scores``: fields."""

import numpy as np
import torch
from property_cases import (
    EITHER,
    INF,
    NAN,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Fixed,
    Input,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.laws_oracles import at_least_one
from properties.scores_oracles import (
    EXACT,
    HIDDEN,
    HUGE,
    SAME,
    SPIN,
    THROUGH,
    TIMES,
    WAVE,
    WRONG,
    Net,
    T,
    X,
    at,
    constant,
    factor_of,
    fits,
    linear,
    linear_by,
    of,
    rotational,
    seen,
    shrink,
    split,
    tensor,
)
from scoredrift import scores
from scoredrift.scores import (
    ConstantField,
    FunctionScore,
    Images,
    LinearField,
    ProbedScore,
    RotationalField,
    ScaledField,
    SumScore,
)

EXEMPT: dict[str, str] = {}

ENTRIES = [
    Entry(
        "scores.ConstantField", of(ConstantField), {"value": Tensors(tensor(0.5, -1.0)), **at(X, T)}, constant
    ),
    Entry(
        "scores.LinearField",
        of(LinearField),
        {"matrix": Tensors(WAVE), **at(X, T)},
        linear,
        wide={
            "d = 1": {"matrix": WAVE[:1, :1], "x": X[:, :1]},
            "d = 3072": {"matrix": torch.eye(3072).double(), "x": torch.ones(5, 3072).double()},
        },
    ),
    Entry(
        "scores.RotationalField",
        lambda matrix, x, t: RotationalField(matrix, FunctionScore(lambda x, t: -x))(x, t),
        {"matrix": Tensors(SPIN), **at(X, T)},
        lambda matrix, x, t: rotational(matrix, x, t)[0],
    ),
    Entry(
        "scores.RotationalField.divergence",
        lambda matrix, score, x, t: RotationalField(matrix, score).value_and_divergence(x, t),
        {
            "matrix": Fixed(SPIN),
            "score": Input(
                FunctionScore(lambda x, t: -x),
                Variation("flow", EXACT, RIGHT, True),
                *(Variation(str(bad), bad, REFUSED) for bad in (None, 1.0, "f")),
            ),
            "x": Tensors(X),
            "t": Fixed(0.5),
        },
        lambda matrix, score, x, t: rotational(matrix, x, t),
        single=None,
    ),
    Entry(
        "scores.FunctionScore",
        of(FunctionScore),
        {"function": Input(shrink, *SAME, *WRONG, *HIDDEN), **at(X, T)},
        linear_by(-1.5),
        wide={"d = 1": {"x": X[:, :1]}},
    ),
    Entry(
        "scores.FunctionScore.value",
        lambda function, x, t: FunctionScore(function)(x, t),
        {"function": Input(shrink, *SAME, *WRONG, *HIDDEN), **at(X, T)},
        lambda function, x, t: -1.5 * seen(x, t),
        wide={"d = 3072": {"x": torch.ones(5, 3072).double()}},
    ),
    Entry(
        "scores.FunctionScore.dtype",
        lambda dtype: FunctionScore(shrink, dtype).value_and_divergence(X, 0.5),
        {
            "dtype": Input(
                None,
                Variation("float32", torch.float32, RIGHT, True, 1e-6),
                Variation("bfloat16", torch.bfloat16, RIGHT, True, 2e-2),
                *(
                    Variation(str(bad), bad, REFUSED)
                    for bad in (torch.int64, torch.bool, torch.complex64, "float32", 1.0)
                ),
            )
        },
        lambda dtype: linear(-1.5 * np.eye(2), X, 0.5),
    ),
    Entry(
        "scores.ProbedScore",
        lambda function, probes, generator, x, t: ProbedScore(
            function, probes, generator
        ).value_and_divergence(x, t),
        {
            "function": Input(shrink, *SAME, *WRONG, *HIDDEN),
            "probes": Counts(2),
            "generator": Seeded(0),
            **at(X, T),
        },
        lambda function, probes, generator, x, t: (
            at_least_one(probes),
            linear(-1.5 * np.eye(seen(x, t).shape[1]), x, t),
        )[1],
        wide={"d = 3072": {"x": torch.ones(5, 3072).double()}},
    ),
    Entry(
        "scores.SumScore",
        of(SumScore),
        {
            "first": Input(FunctionScore(shrink)),
            "second": Input(
                LinearField(WAVE), *(Variation(str(bad), bad, REFUSED) for bad in (None, 1.0, "f"))
            ),
            **at(X, T),
        },
        lambda first, second, x, t: linear(WAVE - 1.5 * torch.eye(2), x, t),
        single=None,
    ),
    Entry(
        "scores.ScaledField",
        of(ScaledField),
        {"factor": Numbers(0.5), "field": Fixed(LinearField(WAVE)), **at(X, T)},
        lambda factor, field, x, t: linear(factor_of(factor) * WAVE, x, t),
        single=None,
    ),
    Entry(
        "scores.ScaledField.field",
        of(ScaledField),
        {
            "factor": Fixed(0.5),
            "field": Input(
                FunctionScore(shrink),
                *(Variation(str(bad), bad, REFUSED) for bad in (None, 1.0, "f", shrink)),
            ),
            "x": Fixed(X),
            "t": Fixed(0.5),
        },
        linear_by(-0.75),
        single=None,
    ),
    Entry(
        "scores.ScaledField.function",
        of(ScaledField),
        {
            "factor": Input(
                torch.cos,
                Variation("a list", lambda t: [1.0], REFUSED),
                Variation("a number inside", lambda t: 0.5, REFUSED),
                Variation("of nan", lambda t: t * NAN, REFUSED),
                Variation("of inf", lambda t: t + INF, REFUSED),
                Variation("columns", lambda t: t.reshape(-1, 1), REFUSED),
                Variation("numpy", lambda t: np.cos(t.numpy()), REFUSED),
                Variation("complex", lambda t: torch.cos(t) + 0j, REFUSED),
                Variation("in float32", lambda t: torch.cos(t.float()), RIGHT, True, 1e-6),
            ),
            "field": Fixed(ConstantField(tensor(1.0, 2.0))),
            **at(X, T),
        },
        lambda factor, field, x, t: (
            np.cos(array(t)).reshape(-1, 1) * np.broadcast_to(np.array([1.0, 2.0]), seen(x, t).shape),
            np.zeros(len(x)),
        ),
        single=None,
    ),
    Entry(
        "scores.split_linear",
        scores.split_linear,
        {
            "matrix": Tensors(WAVE, one_1e30=HUGE, all_1e30=HUGE),
            "covariance": Tensors(tensor([1.0, 0.25], [0.25, 0.5]), one_1e30=HUGE),
        },
        split,
        wide={"d = 1": {"matrix": WAVE[:1, :1], "covariance": tensor([0.5]).reshape(1, 1)}},
    ),
    Entry(
        "scores.Images",
        lambda network, x, t: Images(network, (1, 2, 1))(x, t),
        {
            "network": Input(
                lambda images, t: -1.5 * images,
                Variation("network", Net(), RIGHT, True),
                *(one for one in WRONG if one.label not in ("numbers", "of one column", "transposed")),
                Variation("half of them", lambda x, t: x[:, :, :1], REFUSED),
            ),
            "x": Tensors(X, one_nan=THROUGH, one_inf=THROUGH, **{"one_-inf": THROUGH}),
            "t": Tensors(T, *TIMES[:3], Variation("negative", -T, RIGHT), *TIMES[4:]),  # as other clocks read
        },
        lambda network, x, t: -1.5 * fits(x, 2) + 0 * seen(x, np.abs(array(t))),
    ),
    Entry(
        "scores.Images.shape",
        lambda shape: Images(lambda x, t: -x, shape)(X, T),
        {
            "shape": Input(
                (1, 2, 1),
                Variation("a list", [2, 1, 1], RIGHT, True),
                Variation("a size", torch.Size([2]), RIGHT, True),
                Variation("array", np.array([1, 2, 1]), EITHER, True),
                Variation("an int", 2, EITHER, True),
                *(
                    Variation(str(bad), bad, REFUSED)
                    for bad in ((), (0, 2), (1.5, 2), (-1, -2), (3,), None, "12", ("1", "2"), 2.0)
                ),
            )
        },
        lambda shape: -array(X),
    ),
]
