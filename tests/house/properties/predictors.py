"""Networks that predict noise, data, velocity or the like: what they predict, their clocks, the self-test."""

import diffusers
import numpy as np
import torch
from property_cases import (
    INF,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Input,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.laws_oracles import at_least_one
from properties.scores_oracles import HIDDEN, OU, PLACED, SAME, TIMES, WRONG, Net, T, X, at, seen, shrink
from scoredrift.scores import (
    DataPrediction,
    DenoiserPrediction,
    FunctionScore,
    LogNoiseLevels,
    NoiseLevels,
    NoisePrediction,
    OwnTime,
    PreconditionedPrediction,
    PredictedScore,
    Timesteps,
    VelocityPrediction,
    as_network,
    check_prediction,
    from_diffusers,
)

EXEMPT = {
    "scores.Affine": "a tuple of coefficients, which the kinds are tried by",
    "scores.Clock": "a protocol",
    "scores.Prediction": "abstract; its methods are in the table by the kinds of prediction",
}

TABLE = torch.tensor([0.96, 0.75, 0.5, 0.25, 0.0078125], dtype=torch.float64)
DATA = torch.randn(64, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
PARTS = {"output": Tensors(X.flip(0), **PLACED), "points": Tensors(X), "t": Tensors(T, *TIMES)}
CANCELS = dict.fromkeys(
    ("tiny", "one_1e30", "all_1e30"), "the paper's formula, in x/a, cancels or overflows there"
)


def spread(t):
    """a and v as columns, or as numbers, of times at which there is noise."""
    t = array(t)
    assert ((t > 0) & np.isfinite(t)).all()
    t = t.reshape(-1, 1) if t.ndim else t
    return np.exp(-t / 2), -np.expm1(-t)


def kind(make, right):
    """Entry's call and answer of a kind of prediction, from its output."""

    def answer(output, points, t, **parts):
        x, output = seen(points, t), array(output, 2)
        assert output.shape == x.shape
        return right(output, x, *spread(t), **parts)

    return (lambda output, points, t, **parts: make(**parts).score(output, points, t)), answer


def edm(output, x, a, v, sigma_data=0.5):
    """D = c_skip y + c_out F and s_y = (D − y)/σ², as in the paper, with s = s_y/a."""
    assert not isinstance(sigma_data, bool)
    assert 0 < float(sigma_data) < INF
    y, sigma2, data2 = x / a, v / a**2, float(sigma_data) ** 2
    skip, out = data2 / (sigma2 + data2), np.sqrt(sigma2 * data2 / (sigma2 + data2))
    return (skip * y + out * output - y) / sigma2 / a


def reading(t, right):
    t = array(t)
    assert ((t > 0) & np.isfinite(t)).all()
    return right(t)


def level(t):
    return np.sqrt(np.expm1(t))


def by_table(t, alphas_cumprod):
    table = array(alphas_cumprod, 1)
    table = table[:-1] if table[-1] == 0 else table
    assert len(table) > 1
    assert ((table > 0) & (table < 1)).all()
    assert (np.diff(table) < 0).all()
    t = array(t)
    ends = -np.log(table)
    assert ((t >= ends[0] * (1 - 1e-6)) & (t <= ends[-1] * (1 + 1e-6))).all()
    return np.interp(np.log(level(t)), np.log((1 - table) / table) / 2, np.arange(len(table)))


def span(low, high):
    assert not isinstance(low, bool)
    assert not isinstance(high, bool)
    assert 0 <= low < high
    return float(low), float(high)


def own_score(x, t, slope=-1.5):
    """s and its divergence of a network N = slope x that predicts the velocity."""
    x, (a, v) = seen(x, t), spread(t)
    factor = -1 - a / np.sqrt(v) * slope
    return x * factor, np.broadcast_to(x.shape[1] * factor, (len(x), 1))[:, 0]


NO_OTHER = tuple(Variation(f"a {type(bad).__name__}", bad, REFUSED) for bad in (None, 1.0, "f", OwnTime(), X))
EVER = Tensors(T, Variation("one 0", torch.tensor([0.5, 0.0]).double(), REFUSED), *TIMES[3:4])
STEPS = diffusers.DDIMScheduler()
STEPS.alphas_cumprod = STEPS.alphas_cumprod.double()

ENTRIES = [
    Entry(
        "scores.NoisePrediction",
        *(c := kind(NoisePrediction, lambda n, x, a, v: -n / np.sqrt(v)))[:1],
        PARTS,
        c[1],
    ),
    Entry(
        "scores.DataPrediction",
        *(c := kind(DataPrediction, lambda n, x, a, v: (a * n - x) / v))[:1],
        PARTS,
        c[1],
    ),
    Entry(
        "scores.VelocityPrediction",
        *(c := kind(VelocityPrediction, lambda n, x, a, v: -(np.sqrt(v) * x + a * n) / np.sqrt(v)))[:1],
        PARTS,
        c[1],
    ),
    Entry(
        "scores.DenoiserPrediction",
        *(c := kind(DenoiserPrediction, lambda n, x, a, v: (a * n - x) / v))[:1],
        PARTS,
        c[1],
    ),
    Entry(
        "scores.PreconditionedPrediction",
        *(c := kind(PreconditionedPrediction, edm))[:1],
        {"sigma_data": Numbers(0.5), **PARTS, "t": Tensors(T, *TIMES, **CANCELS)},
        c[1],
    ),
    Entry(
        "scores.VelocityPrediction.output",
        lambda output, points, t: VelocityPrediction().output(output, points, t),
        PARTS,
        kind(None, lambda s, x, a, v: -(s + x) * np.sqrt(v) / a)[1],
    ),
    Entry("scores.OwnTime", lambda t: OwnTime()(t), {"t": EVER}, lambda t: reading(t, lambda t: t)),
    Entry("scores.NoiseLevels", lambda t: NoiseLevels()(t), {"t": EVER}, lambda t: reading(t, level)),
    Entry(
        "scores.LogNoiseLevels",
        lambda t: LogNoiseLevels()(t),
        {"t": EVER},
        lambda t: reading(t, lambda t: np.log(level(t)) / 4),
    ),
    Entry(
        "scores.OwnTime.ends",
        lambda t_min, t_max: [OwnTime(t_min, t_max).t_min, OwnTime(t_min, t_max).t_max],
        {"t_min": Numbers(0.25), "t_max": Numbers(8.0)},
        lambda t_min, t_max: list(span(t_min, t_max)),
    ),
    Entry(
        "scores.NoiseLevels.ends",
        lambda low, high: [NoiseLevels(low, high).t_min, LogNoiseLevels(low, high).t_max],
        {"low": Numbers(0.25), "high": Numbers(8.0)},
        lambda low, high: [float(np.logaddexp(0, 2 * np.log(end))) for end in span(low, high)],
    ),
    Entry(
        "scores.Timesteps",
        lambda alphas_cumprod, t: Timesteps(alphas_cumprod)(t),
        {"alphas_cumprod": Tensors(TABLE), "t": Tensors(T)},
        lambda alphas_cumprod, t: by_table(t, alphas_cumprod),
        single=1e-5,
    ),
    Entry(
        "scores.PredictedScore",
        lambda network, x, t: FunctionScore(
            PredictedScore(network, VelocityPrediction())
        ).value_and_divergence(x, t),
        {"network": Input(shrink, *SAME, *WRONG, *HIDDEN), **at(X, T)},
        lambda network, x, t: own_score(x, t),
    ),
    Entry(
        "scores.PredictedScore.dtype",
        lambda dtype: PredictedScore(shrink, VelocityPrediction(), dtype)(X, 0.5),
        {
            "dtype": Input(
                None,
                Variation("float32", torch.float32, RIGHT, True, 1e-6),
                Variation("bfloat16", torch.bfloat16, RIGHT, True, 4e-2),
                *(
                    Variation(str(bad), bad, REFUSED)
                    for bad in (torch.int64, torch.complex64, "float32", 1.0)
                ),
            )
        },
        lambda dtype: own_score(X, 0.5)[0],
    ),
    Entry(
        "scores.PredictedScore.prediction",
        lambda prediction: PredictedScore(shrink, prediction)(X, 0.5),
        {"prediction": Input(VelocityPrediction(), *NO_OTHER)},
        lambda prediction: own_score(X, 0.5)[0],
    ),
    Entry(
        "scores.as_network",
        lambda score, x, t: as_network(score, VelocityPrediction())(x, t),
        {"score": Input(shrink, *SAME[:3], *WRONG), "x": Tensors(X), "t": Tensors(T, *TIMES[3:5])},
        lambda score, x, t: (lambda x, a, v: 0.5 * x * np.sqrt(v) / a)(seen(x, t), *spread(t)),
    ),
    Entry(
        "scores.from_diffusers",
        lambda network, scheduler: from_diffusers(network, scheduler)(X, 0.5),
        {
            "network": Input(shrink, *SAME[:3], *WRONG),
            "scheduler": Input(
                STEPS,
                *(
                    Variation(f"a {type(bad).__name__}", bad, REFUSED)
                    for bad in (
                        *(None, 1.0, "ddim", diffusers.DDIMScheduler, VelocityPrediction()),
                        diffusers.DDIMScheduler(prediction_type="flow"),
                        diffusers.FlowMatchEulerDiscreteScheduler(),
                    )
                ),
            ),
        },
        lambda network, scheduler: 1.5 * array(X) / np.sqrt(-np.expm1(-0.5)),
    ),
    Entry(
        "scores.check_prediction",
        lambda score, data, generator, levels, worst: check_prediction(
            score, data, generator=generator, process=OU, levels=levels, worst=worst
        ),
        {
            "score": Input(
                PredictedScore(lambda x, t: 0 * x, VelocityPrediction()),
                Variation("noise", PredictedScore(lambda x, t: 0 * x, NoisePrediction()), REFUSED),
                Variation("a network", Net(), REFUSED),
                *NO_OTHER,
            ),
            "data": Tensors(DATA),
            "generator": Seeded(1),
            "levels": Counts(3),
            "worst": Numbers(1.5),
        },
        lambda score, data, generator, levels, worst: (at_least_one(levels), array(data, 2), None)[2],
        single=None,
    ),
]
