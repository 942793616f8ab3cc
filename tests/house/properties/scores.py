"""The forward process and the scores: fields with their divergences, networks, errors."""

import math

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
    Laws,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.laws import at_least_one, late
from scoredrift import Estimate, Gaussian, OrnsteinUhlenbeck, process, scores
from scoredrift.scores import (
    ConstantField,
    ErrorEvaluation,
    Flow,
    FunctionScore,
    Images,
    LinearField,
    ProbedScore,
    RotationalField,
    ScaledField,
    ScoreDifference,
    SumScore,
)

EXEMPT = {
    "scores.ErrorField": "a protocol",
    "scores.Field": "abstract; its arithmetic is in the table by SumScore and ScaledField",
    "scores.Score": "a protocol",
    "scores.Split": "a tuple of results, without arithmetic",
}


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


class Net(torch.nn.Module):
    """s(x, t) = −(1 + w) x, in any precision."""

    def __init__(self, dtype=torch.float64, w=0.5):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(-1 - w, dtype=dtype))

    def forward(self, x, t):
        return self.slope * x


def shrink(x, t):
    return -1.5 * x


def unseen(x, t):
    return shrink(x.detach(), t)


X = 2 * torch.randn(5, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
T = tensor(0.5, 0.25, 1.0, 2.0, 4.0)
OU = OrnsteinUhlenbeck()
NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
EXACT = Flow(NORMAL, OU)
SPIN = tensor([0.0, 0.5], [-0.5, 0.0])
WAVE = tensor([0.5, -1.0], [0.25, 2.0])
TIMES = (
    Variation("a number", 0.5, RIGHT),
    Variation("numpy", np.float32(0.5), RIGHT),
    Variation("an int", 1, RIGHT),
    Variation("negative", -0.5, REFUSED),
    Variation("nan alone", NAN, REFUSED),
    Variation("as columns", T[:, None], REFUSED),
    Variation("of float32", T.float(), RIGHT),
)
FOREVER = Variation("one inf", tensor(0.5, INF), RIGHT)
HUGE = "rounding of 1e30 is larger than the other entries"
THROUGH = "a network: what goes in comes out, and FunctionScore looks at what goes in"
# The same function by other means: with the rounding of their precision.
SAME = (
    Variation("network", Net(), RIGHT, True),
    Variation("network in eval", Net().eval(), RIGHT, True),
    Variation("network in float32", Net(torch.float32), RIGHT, True, 1e-6),
    Variation("network in bfloat16", Net(torch.bfloat16), RIGHT, True, 2e-2),
    Variation("frozen network", Net().requires_grad_(False), RIGHT, True),
    Variation("compiled by partial", lambda x, t: Net()(x, t), RIGHT, True),
    Variation("in float32 inside", lambda x, t: -1.5 * x.float(), RIGHT, True, 1e-6),
)
# What nobody can use; and what leaves no graph, so that only its values can be used.
WRONG = tuple(
    Variation(label, f, REFUSED)
    for label, f in (
        ("of one column", lambda x, t: x[:, :1]),
        ("numbers", lambda x, t: x.sum(1)),
        ("transposed", lambda x, t: x.T),
        ("numpy arrays", lambda x, t: -1.5 * x.detach().numpy()),
        ("lists", lambda x, t: [0.0]),
        ("None inside", lambda x, t: None),
        ("complex", lambda x, t: -1.5 * x + 1j * x),
    )
) + tuple(Variation(f"a {type(bad).__name__}", bad, REFUSED) for bad in (None, 1.0, "f", torch.ones(2)))
HIDDEN = tuple(
    Variation(label, f, EITHER, True)
    for label, f in (
        ("detached", unseen),
        ("without grad", torch.no_grad()(shrink)),
        ("in inference mode", torch.inference_mode()(shrink)),
        ("by numpy", lambda x, t: torch.from_numpy(-1.5 * x.detach().numpy())),
    )
)


def value_and_divergence(field, x, t, **rest):
    return scores.evaluated("field", field, x, t)


def of(make):
    """Call of a field that is made of its parts."""
    return lambda x, t, **parts: make(**parts).value_and_divergence(x, t)


def seen(x, t):
    """The points, where x and t fit each other."""
    x, t = array(x, 2), array(t)
    assert t.ndim == 0 or t.shape == (len(x),)
    assert (t >= 0).all()
    return x


def linear(matrix, x, t):
    x, matrix = seen(x, t), array(matrix, 2)
    assert matrix.shape == (x.shape[1],) * 2
    return x @ matrix.T, np.full(len(x), np.trace(matrix))


def linear_by(slope):
    """Answer of a field s = slope · x with other parts that do not matter."""
    return lambda x, t, **parts: linear(slope * np.eye(seen(x, t).shape[1]), x, t)


def at(x, t):
    return {"x": Tensors(x), "t": Tensors(T, *TIMES)}


def within(low, high, inner):
    def checked(x, t, **rest):
        assert ((array(t) >= low - 1e-6) & (array(t) <= high + 1e-6)).all()
        return inner(x, t, **rest)

    return checked


def constant(value, x, t):
    x, value = seen(x, t), array(value, 1)
    assert len(value) == x.shape[1]
    return np.broadcast_to(value, x.shape), np.zeros(len(x))


def rotational(matrix, x, t):
    matrix = array(matrix, 2)
    assert np.array_equal(matrix, -matrix.T)
    return linear(-matrix, x, t)


def split(matrix, covariance):
    matrix, covariance = array(matrix, 2), array(covariance, 2)
    assert np.allclose(covariance, covariance.T, rtol=1e-5)
    assert np.linalg.eigvalsh(covariance)[0] > 0
    assert covariance.size
    from scipy.linalg import solve_continuous_lyapunov

    gradient = solve_continuous_lyapunov(covariance, matrix @ covariance + covariance @ matrix.T)
    return gradient, matrix - gradient


def moved(x, t_from, t_to, n=80):
    """Means and variances over many draws of X_to given X_from, one for each number of x."""

    def draw(x, t_from, t_to, generator):
        many = torch.stack([OU.diffuse(x, t_from, t_to, generator=generator) for _ in range(n)]).double()
        flat = many.reshape(n, -1)
        return [Estimate.from_samples(one) for one in flat.T]

    return draw


def many(draw):
    """Draws by calls, until there are enough for a mean."""
    found = [draw()]
    while sum(map(len, found)) < 400:
        found.append(draw())
    return torch.cat(found).double()


def integral(sampler, n, generator):
    """∫ t dt by random times."""
    return Estimate.from_samples(
        many(lambda: torch.stack(process.random_times(sampler, OU, n, generator=generator)).prod(0))
    )


def means_at(x, t_from, t_to, generator):
    x = seen(x, t_from)
    seen(x, t_to)
    gap = array(t_to) - array(t_from)
    assert (gap >= 0).all()
    assert (array(t_to) <= 4).all()
    return [float(one) for one in (np.exp(-0.5 * gap).reshape(-1, 1) * x).reshape(-1)]


FIELDS = [
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
        {"value": Tensors(X), "divergence": Tensors(T), "exact": Tensors(-X)},
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
        lambda field, x, t, tolerance: (
            ((fits(x, 2), seen(x, t), len(x) or 1 / 0, None if tolerance is None else late(tolerance))[0][
                :0
            ].sum()
            and "")
            or "None"
        ),
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
            "t": Tensors(T, *TIMES),
        },
        lambda network, x, t: -1.5 * fits(x, 2) + 0 * seen(x, t),
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


def factor_of(c):
    assert not isinstance(c, bool)
    assert math.isfinite(c)
    return float(c)


def fits(x, dim):
    assert array(x, 2).shape[1] == dim
    return array(x, 2)


def inside(t, low, high):
    assert low <= t <= high
    return t


def stein(value, divergence, exact):
    value, divergence, exact = array(value, 2), array(divergence, 1), array(exact, 2)
    assert value.shape == exact.shape
    assert divergence.shape == (len(value),)
    return divergence + (value * exact).sum(1)


def times(t):
    t = array(t)
    assert (t >= 0).all()
    return t


def ends(t_min, t_max):
    assert 0 < t_min < t_max < INF
    return float(t_min), float(t_max)


def unit(u):
    u = array(u)
    assert ((u >= 0) & (u <= 1)).all()
    return u


ENTRIES = FIELDS
