"""Networks that predict noise, data, velocity or EDM's denoiser, as scores in our time."""

import math

import pytest
import torch
from torch.testing import assert_close

from helpers import jacobian_trace, points, random_mixture, seeded
from scoredrift import Flow, FunctionScore, OrnsteinUhlenbeck, ProbedScore, check_divergence, process
from scoredrift.scores import (
    DataPrediction,
    DenoiserPrediction,
    Images,
    LogNoiseLevels,
    NoiseLevels,
    NoisePrediction,
    OwnTime,
    PreconditionedPrediction,
    PredictedScore,
    Timesteps,
    VelocityPrediction,
    as_network,
)
from small_networks import Mlp

OU = OrnsteinUhlenbeck(0.01, 5.0)
LAW = random_mixture(3)
FLOW = Flow(LAW, OU)
X = points(0, 6, 2)
T = torch.tensor([0.02, 0.1, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
TABLE = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)
CLOCKS = (OwnTime(), Timesteps(TABLE), NoiseLevels(), LogNoiseLevels())
KINDS = [
    kind(clock) for kind in (NoisePrediction, DataPrediction, VelocityPrediction) for clock in CLOCKS
] + [
    PreconditionedPrediction(0.5),
    PreconditionedPrediction(1.7, OwnTime(), negated=True),
    PreconditionedPrediction(1.0, Timesteps(TABLE)),
    DenoiserPrediction(),
    DenoiserPrediction(Timesteps(TABLE)),
]


def label(kind):
    return f"{type(kind).__name__} {type(kind.clock).__name__}"


# What each says of a known draw


def draw(t):
    """Data, noise and the point that they make at time t."""
    g = seeded(1)
    x0, noise = (torch.randn(6, 2, generator=g, dtype=torch.float64) for _ in range(2))
    a, v = math.exp(-t / 2), 1 - math.exp(-t)
    return x0, noise, a * x0 + math.sqrt(v) * noise, a, v


@pytest.mark.parametrize("t", [0.02, 0.5, 4.0])
def test_targets_of_training_are_those_of_the_papers(t):
    """From s = −ε/√v, the score of X_t given X_0."""
    x0, noise, x, a, v = draw(t)
    score = -noise / math.sqrt(v)
    sigma, s_data = math.sqrt(math.expm1(t)), 0.5
    skip = s_data**2 / (sigma**2 + s_data**2)
    out = sigma * s_data / math.hypot(sigma, s_data)
    edm = (x0 - skip * x / a) / out
    for kind, wanted in (
        (NoisePrediction(), noise),
        (DataPrediction(), x0),
        (VelocityPrediction(), a * noise - math.sqrt(v) * x0),
        (DenoiserPrediction(), x0),
        (PreconditionedPrediction(s_data), edm),
        (PreconditionedPrediction(s_data, negated=True), -edm),
    ):
        assert_close(kind.output(score, x, t), wanted, rtol=1e-10, atol=1e-10)
        assert_close(kind.score(wanted, x, t), score, rtol=1e-10, atol=1e-10)


def test_variance_exploding_networks_see_their_own_points():
    """D(y; σ) gets y = x_0 + σ n; what is inside EDM's gets c_in y and ¼ log σ."""
    t = 0.7
    x0, noise, x, _, _ = draw(t)
    sigma, seen = math.sqrt(math.expm1(t)), []

    def network(y, c):
        seen.append((y, c))
        return y

    PredictedScore(network, DenoiserPrediction())(x, t)
    PredictedScore(network, PreconditionedPrediction(0.5))(x, t)
    y = x0 + sigma * noise
    assert_close(seen[0], (y, torch.full((6,), sigma).double()))
    assert_close(seen[1], (y / math.hypot(sigma, 0.5), torch.full((6,), math.log(sigma) / 4).double()))


# Round trips with an exact score


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_an_exact_score_that_poses_as_a_network_is_recovered(kind):
    score = PredictedScore(as_network(FLOW, kind), kind)
    for t in (0.3, T):
        assert_close(score(X, t), FLOW(X, t), rtol=1e-8, atol=1e-8)
    value, divergence = FunctionScore(score).value_and_divergence(X, T)
    exact = FLOW.value_and_divergence(X, T)
    assert_close((value, divergence), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_outputs_and_scores_are_inverse_in_single_precision(kind):
    """Where the two are not divided by a small number: at these times gain and 1/gain are below 30."""
    x, t = X.float(), T[1:5].float()
    value = torch.randn(4, 2, generator=seeded(2))
    back = kind.output(kind.score(value, x[:4], t), x[:4], t)
    assert back.dtype == torch.float32
    assert_close(back, value, rtol=1e-4, atol=1e-4)


# Networks


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_divergences_of_a_network_go_through(kind):
    network = Mlp(dtype=torch.float64).eval()
    score = PredictedScore(network, kind)
    value, trace = FunctionScore(score).value_and_divergence(X, T)
    assert_close(value, score(X, T))
    assert_close(trace, jacobian_trace(lambda x: score(x, T), X))
    check_divergence(FunctionScore(score), X, T)
    many = torch.stack([ProbedScore(score, 1, seeded(i)).divergence(X, T) for i in range(200)])
    spread = (many.std(0) / math.sqrt(200)).clamp(min=1e-12)
    assert bool(((many.mean(0) - trace).abs() < 5 * spread + 1e-9).all())


def test_gradients_reach_points_and_parameters():
    network = Mlp(dtype=torch.float64).eval()
    x = X.clone().requires_grad_(True)
    PredictedScore(network, VelocityPrediction())(x, T).sum().backward()
    column = T[:, None]
    y = X.clone().requires_grad_(True)
    twin = Mlp(dtype=torch.float64).eval()
    a, v = process.scale(column), process.variance(column)
    (-y - a / v.sqrt() * twin(y, T)).sum().backward()
    assert_close(x.grad, y.grad)
    assert_close(network.first.weight.grad, twin.first.weight.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_network_keeps_its_precision_and_the_score_that_of_the_points(dtype):
    network = Mlp(dtype=dtype).eval()
    for kind in KINDS:
        network.seen.clear()
        value, trace = FunctionScore(PredictedScore(network, kind)).value_and_divergence(X, T)
        assert value.dtype == trace.dtype == torch.float64
        clock = torch.float64 if dtype == torch.float64 else torch.float32
        assert {seen[:2] for seen in network.seen} == {(dtype, clock)}


def test_nothing_is_divided_in_half_precision():
    """From the same bfloat16 outputs the score is exact in float64; by bfloat16 times it is off by 2⁻⁹ and more."""
    network, t = Mlp(dtype=torch.bfloat16).eval(), 0.0201
    score = PredictedScore(network, NoisePrediction())(X, t)
    said = network(X.bfloat16(), torch.full((6,), t)).double()
    assert_close(score, -said / math.sqrt(-math.expm1(-t)), rtol=1e-12, atol=0)
    coarse = -said.bfloat16() / torch.tensor(-math.expm1(-t)).bfloat16().sqrt()
    assert float((coarse.double() / score - 1).detach().abs().max()) > 2**-9


def test_a_function_around_a_network_states_its_precision():
    network = Mlp(dtype=torch.bfloat16).eval()
    bare = PredictedScore(lambda x, t: network(x, t), NoisePrediction(), torch.bfloat16)
    assert torch.equal(bare(X, T), PredictedScore(network, NoisePrediction())(X, T))
    assert FunctionScore(bare).divergence(X, T).shape == (6,)


def test_python_numbers_are_times_in_double_precision():
    """0.02 is not its float32: the reading of a clock and the coefficients keep all digits."""
    seen = []
    score = PredictedScore(lambda x, c: (seen.append(c), x)[1], NoisePrediction())
    assert_close(score(X, 0.02), -X / math.sqrt(-math.expm1(-0.02)), rtol=1e-14, atol=0)
    assert float(seen[0][0]) == 0.02


def test_images_combine_in_one_line():
    convolution = torch.nn.Conv2d(3, 3, 3, padding=1)
    score = PredictedScore(Images(lambda x, t: convolution(x), (3, 4, 4)), DataPrediction(), torch.float32)
    x = points(4, 5, 48)
    a, v = math.exp(-0.15), -math.expm1(-0.3)
    said = convolution(x.float().reshape(5, 3, 4, 4)).flatten(1).double()
    assert_close(score(x, 0.3), (a * said - x) / v)


# Clocks


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clocks_are_inverted(clock, dtype):
    t = torch.logspace(-3, 1, 30, dtype=torch.float64)
    accuracy = 1e-10 if dtype == torch.float64 else 2e-4  # of ¼ log σ, seven digits, times eight
    assert_close(clock.time(clock(t).to(dtype)), t, rtol=accuracy, atol=0)


def test_a_table_is_read_at_its_own_times():
    clock = Timesteps(TABLE.float())
    table = TABLE.float().double()
    assert_close(clock(-table.log()), torch.arange(1000).double(), rtol=0, atol=1e-8)
    assert_close(clock.time(torch.arange(1000)), -table.log(), rtol=1e-12, atol=0)
    assert (clock.t_min, clock.t_max) == (-math.log(float(table[0])), -math.log(float(table[-1])))
    middle = clock(clock.time(41.5))
    sigma = ((1 - table) / table).sqrt()
    assert_close(torch.expm1(clock.time(41.5)).sqrt(), (sigma[41] * sigma[42]).sqrt())
    assert_close(middle, torch.tensor(41.5).double())


def test_a_chain_that_ends_without_signal_ends_one_step_before():
    clock = Timesteps(torch.tensor([0.9, 0.5, 0.0]))
    assert_close(clock.t_max, math.log(2))
    with pytest.raises(
        ValueError, match=r"t = 5: pass times > 0 in \[0.105361, 0.693147\].* of the Timesteps"
    ):
        PredictedScore(Mlp(), VelocityPrediction(clock))(X, 5.0)


F32 = torch.float32
REFUSED = [
    (
        "t = 20: ",
        "[0.000100005, 10.1",
        lambda: PredictedScore(Mlp(), NoisePrediction(Timesteps(TABLE)))(X, 20.0),
    ),
    ("t = 1e-05: ", "of the Timesteps", lambda: Timesteps(TABLE)(1e-5)),
    ("t = 0.0: ", "there is no noise", lambda: NoisePrediction().affine(0.0)),
    ("t = 0: ", "range of the OwnTime", lambda: OwnTime()(0.0)),
    ("t = -1.0: ", "[0.0", lambda: PredictedScore(Mlp(), NoisePrediction())(X, -1.0)),
    ("t = nan: ", "[0, inf]", lambda: OwnTime()(math.nan)),
    ("t = 9: ", "range of the LogNoiseLevels", lambda: LogNoiseLevels(0.002, 80)(9.0)),
    ("reading = 1000.0: ", "[0, 999]", lambda: Timesteps(TABLE).time(1000)),
    ("reading = -0.5: ", "σ > 0", lambda: NoiseLevels().time(-0.5)),
    ("t_min = 1.0: ", "t_min < t_max = 1.0", lambda: OwnTime(1.0, 1.0)),
    ("sigma_min = 2.0: ", "sigma_max = 1.0", lambda: NoiseLevels(2, 1)),
    ("alphas_cumprod = ", "decrease", lambda: Timesteps(TABLE.flip(0))),
    ("alphas_cumprod = ", "in (0, 1)", lambda: Timesteps(torch.tensor([1.0, 0.5]))),
    ("alphas_cumprod.shape = [2, 1]", "[K]", lambda: Timesteps(torch.tensor([[0.9], [0.5]]))),
    ("sigma_data = 0", "finite number", lambda: PreconditionedPrediction(0.0)),
    ("network = a int", "network or a function", lambda: PredictedScore(1, NoisePrediction())),
    ("network = a type", "network or a function", lambda: PredictedScore(Mlp, NoisePrediction())),
    ("prediction = 'epsilon'", "NoisePrediction()", lambda: PredictedScore(Mlp(), "epsilon")),
    ("dtype = torch.int64", "floating", lambda: PredictedScore(Mlp(), NoisePrediction(), torch.int64)),
    ("score = a int", "function of (x, t)", lambda: as_network(1, NoisePrediction())),
    ("prediction = None", "NoisePrediction()", lambda: as_network(FLOW, None)),
    ("output.shape = [6, 1]", "[6, 2]", lambda: NoisePrediction().score(X[:, :1], X, 1.0)),
    (
        "network(x, c) = tuple",
        "torch.Tensor",
        lambda: PredictedScore(lambda x, c: (x,), NoisePrediction())(X, 1.0),
    ),
    ("t.shape = [5]", "6 points", lambda: PredictedScore(Mlp(), NoisePrediction())(X, T[:5])),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_does_not_fit_is_refused(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]
