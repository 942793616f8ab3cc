"""Whether a network predicts what it is taken for: exact scores that pose as networks, right and wrong."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits

from helpers import seeded
from scoredrift import Flow, Gaussian, KernelDensity, OrnsteinUhlenbeck, mixture_of_five
from scoredrift.scores import (
    DataPrediction,
    DenoiserPrediction,
    Images,
    NoisePrediction,
    OwnTime,
    PreconditionedPrediction,
    PredictedScore,
    Timesteps,
    VelocityPrediction,
    as_network,
    check_prediction,
)

WIDE = OrnsteinUhlenbeck(1e-6, 60.0)  # what another clock reads is a time, too
TIMESTEPS = Timesteps(torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0))
OWN = (NoisePrediction(), DataPrediction(), VelocityPrediction(), PreconditionedPrediction(0.5))
DIGITS = torch.tensor(load_digits().data) / 8 - 1
LAWS = {"five": mixture_of_five(), "digits": KernelDensity(DIGITS[:200], 0.1)}
FLOWS = {name: Flow(law, WIDE) for name, law in LAWS.items()}
PAIRS = [(i, j) for i in range(4) for j in range(4)]


class Lenient(torch.nn.Module):
    """A network that says something whatever it reads, as networks do."""

    def __init__(self, score, kind):
        super().__init__()
        self.exact, self.clock = as_network(score, kind), kind.clock

    def forward(self, x, reading):
        ends = max(2e-4, self.clock.t_min), min(10.0, self.clock.t_max)
        low, high = sorted(float(self.clock(t)) for t in ends)
        return self.exact(x, reading.clamp(low, high))


def on_one_clock(clock):
    return (
        *(kind(clock) for kind in (NoisePrediction, DataPrediction, VelocityPrediction)),
        OWN[3].__class__(0.5, clock),
    )


def verdict(flow, truth, taken, seed=0, levels=5, **rest):
    """What is said of a network of one kind that is taken for another."""
    g = seeded(seed)
    data = flow.law.sample(50, generator=g)
    try:
        check_prediction(
            PredictedScore(Lenient(flow, truth), taken), data, generator=g, levels=levels, **rest
        )
    except ValueError as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize(
    ("law", "kinds"),
    [("five", on_one_clock(OwnTime())), ("digits", on_one_clock(TIMESTEPS)), ("five", OWN), ("digits", OWN)],
    ids=["five by our time", "digits by timesteps", "five by their own clocks", "digits by their own clocks"],
)
def test_all_pairs_of_kinds(law, kinds):
    for i, j in PAIRS:
        said = verdict(FLOWS[law], kinds[i], kinds[j])
        assert (said == "") == (i == j), (i, j, said)
        if i != j:
            assert said.startswith(f"score.prediction = {type(kinds[j]).__name__}")
            assert f": {type(kinds[i]).__name__}" in said
            assert f"by {type(kinds[i].clock).__name__} fits best" in said


def test_a_whole_denoiser_is_told_from_what_is_inside():
    inside, whole = PreconditionedPrediction(0.5), DenoiserPrediction()
    for law in FLOWS.values():
        assert ": DenoiserPrediction() by NoiseLevels fits best" in verdict(law, whole, inside)
        assert ": PreconditionedPrediction(sigma_data=0.5) by Log" in verdict(law, inside, whole)
        assert verdict(law, whole, whole) == ""
    sign = verdict(FLOWS["five"], replace(inside, negated=True), inside)
    assert "with the sign changed by LogNoiseLevels fits best" in sign


class Reversed:
    """The clock T + t0 − t of a network that was trained with time the other way."""

    t_min, t_max = 2e-4, 10.0

    def __call__(self, t):
        return 4.02 - OwnTime()(t)

    def time(self, reading):
        return OwnTime()(4.02 - reading)


def test_time_that_runs_the_other_way_is_seen():
    for law in FLOWS.values():
        said = verdict(law, NoisePrediction(Reversed()), NoisePrediction())
        assert "the same with time reversed fits best" in said
        assert verdict(law, NoisePrediction(Reversed()), NoisePrediction(Reversed())) == ""


@pytest.mark.parametrize("kind", [NoisePrediction, DataPrediction, VelocityPrediction])
def test_another_clock_is_found(kind):
    """The usual timesteps without being asked, others where they are offered."""
    said = verdict(FLOWS["digits"], kind(TIMESTEPS), kind())
    assert f": {kind.__name__}() by Timesteps fits best" in said
    short = Timesteps(torch.linspace(0.99, 0.01, 100, dtype=torch.float64))
    said = verdict(FLOWS["five"], kind(short), kind(), others=[kind(short)])
    assert f": {kind.__name__}() by Timesteps fits best" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: ((x + 1) * 127.5).clamp(0, 255), "data taken from [0, 255] to [−1, 1] fits best"),
        (lambda x: ((x + 1) / 2).clamp(0, 1), "data taken from [0, 1] to [−1, 1] fits best"),
        (lambda x: 10 * x, "that of a predictor"),
    ],
    ids=["0 to 255", "0 to 1", "ten times"],
)
@pytest.mark.parametrize("kind", OWN, ids=lambda kind: type(kind).__name__)
def test_data_in_another_scale_are_seen(kind, change, words):
    """Of digits between −1 and 1."""
    score = PredictedScore(Lenient(FLOWS["digits"], kind), kind)
    data = LAWS["digits"].sample(60, generator=seeded(1))
    check_prediction(score, data, generator=seeded(0))
    with pytest.raises(ValueError, match=r"^score\.prediction = ") as refusal:
        check_prediction(score, change(data), generator=seeded(0))
    assert words in str(refusal.value)


def test_channels_in_another_order_are_seen():
    """Three digits make the channels of an image, one bright, one plain, one dark."""
    images = torch.stack([(DIGITS[i : 1200 + i] + shift) / 2 for i, shift in enumerate((-1, 0, 1))], 1)
    data = images.reshape(-1, 192)
    flow = Flow(KernelDensity(data[:200], 0.1), WIDE)
    inner = as_network(flow, NoisePrediction())
    network = Images(lambda x, t: inner(x.flatten(1), t).reshape(x.shape), (3, 8, 8))
    score, fresh = PredictedScore(network, NoisePrediction()), images[:50].reshape(-1, 3, 8, 8)
    check_prediction(score, fresh.flatten(1), generator=seeded(0))
    for wrong, words in (
        (fresh.flip(1), "channels in reverse order fits best"),
        (fresh.permute(0, 2, 3, 1), "channels moved from the last axis to the first fits best"),
    ):
        with pytest.raises(ValueError, match=words):
            check_prediction(score, wrong.flatten(1), generator=seeded(0))


def test_a_network_that_is_not_exact_passes_and_one_that_learned_nothing_does_not():
    five = mixture_of_five()
    rough = Flow(five.blur(0.1), WIDE)
    for kind in OWN:
        score = PredictedScore(Lenient(rough, kind), kind)
        check_prediction(score, five.sample(100, generator=seeded(1)), generator=seeded(0))
    for kind in OWN[:2]:  # where a velocity of zero is that of N(0, I), which is a guess
        idle = PredictedScore(lambda x, t: 0 * x, kind)
        with pytest.raises(ValueError, match="nothing known fits"):
            check_prediction(idle, five.sample(100, generator=seeded(1)), generator=seeded(0))


def test_a_velocity_network_that_was_trained_is_not_taken_for_one_of_noise():
    law, g = mixture_of_five(2), seeded(0)
    body = torch.nn.Sequential(
        torch.nn.Linear(3, 64),
        torch.nn.SiLU(),
        torch.nn.Linear(64, 64),
        torch.nn.SiLU(),
        torch.nn.Linear(64, 2),
    )
    for part in body.parameters():
        torch.nn.init.normal_(part, std=0.5 / part.shape[-1] ** 0.5, generator=g)
    optimiser = torch.optim.Adam(body.parameters(), lr=5e-3)

    def network(x, t):
        return body(torch.cat([x, t.log()[:, None]], 1))

    for _ in range(500):
        x, noise = law.sample(256, generator=g).float(), torch.randn(256, 2, generator=g)
        t = 0.02 * 200 ** torch.rand(256, generator=g)
        a, sd = torch.exp(-t / 2)[:, None], (-torch.expm1(-t)).sqrt()[:, None]
        loss = (network(a * x + sd * noise, t) - (a * noise - sd * x)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    data = law.sample(200, generator=g).float()
    with torch.no_grad():
        check_prediction(PredictedScore(network, VelocityPrediction()), data, generator=seeded(1))
        words = r"^score\.prediction = NoisePrediction\(\) .*: VelocityPrediction\(\) by OwnTime fits best"
        with pytest.raises(ValueError, match=words):
            check_prediction(PredictedScore(network, NoisePrediction()), data, generator=seeded(1))


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: type(kind).__name__)
def test_networks_that_are_too_smooth_or_memorised_pass_on_their_data(kind):
    smooth, sharp = (Flow(KernelDensity(DIGITS[:200], width), WIDE) for width in (0.3, 0.02))
    for flow in (smooth, sharp):
        check_prediction(PredictedScore(Lenient(flow, kind), kind), DIGITS[:50], generator=seeded(0))
    fresh = DIGITS[300:350]
    score = PredictedScore(Lenient(sharp, kind), kind)
    with pytest.raises(ValueError, match="nothing known fits"):
        check_prediction(score, fresh, generator=seeded(0))
    check_prediction(score, fresh, generator=seeded(0), worst=2.5)


def test_a_gaussian_law_where_nothing_beats_the_trivial_predictor():
    normal = Gaussian(torch.ones(3).double(), 2 * torch.eye(3).double())
    for kind in OWN:
        for seed in range(3):
            assert verdict(Flow(normal, WIDE), kind, kind, seed) == ""


def test_verdicts_are_those_of_other_seeds_too():
    flow = FLOWS["five"]
    wrong = 0
    for seed in range(1, 3):
        for i, j in PAIRS:
            wrong += (verdict(flow, OWN[i], OWN[j], seed) == "") != (i == j)
    assert wrong == 0


def test_what_a_network_itself_refuses_is_said():
    def deaf(x, t):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        check_prediction(PredictedScore(deaf, NoisePrediction()), DIGITS[:50], generator=seeded(0))


G = seeded(0)
SCORE = PredictedScore(as_network(FLOWS["digits"], NoisePrediction()), NoisePrediction())
REFUSED = [
    ("score = a NoisePrediction", "PredictedScore", lambda: check_prediction(OWN[0], DIGITS, generator=G)),
    ("data.shape = [15, 64]", "16 points", lambda: check_prediction(SCORE, DIGITS[:15], generator=G)),
    ("data = all points", "vary", lambda: check_prediction(SCORE, DIGITS[:1].expand(20, 64), generator=G)),
    (
        "data = 2 of 128",
        "remove",
        lambda: check_prediction(
            SCORE, DIGITS[:2].clone().index_fill_(1, torch.tensor([0]), math.nan)[:2], generator=G
        ),
    ),
    ("data.dtype = torch.uint8", "float32", lambda: check_prediction(SCORE, DIGITS.byte(), generator=G)),
    ("levels = 1", "≥ 2", lambda: check_prediction(SCORE, DIGITS, generator=G, levels=1)),
    (
        "process = [0.02, 4.0]",
        "clock goes from 5",
        lambda: check_prediction(
            replace(SCORE, prediction=NoisePrediction(OwnTime(5.0, 9.0))), DIGITS, generator=G
        ),
    ),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]
