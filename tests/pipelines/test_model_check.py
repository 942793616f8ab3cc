"""Ten mistakes that people make with diffusion models: each is planted, and each is named; honest models pass.

Networks are exact scores of known laws: points in three dimensions, and pictures of 3 × 4 × 4 made of digits.
"""

from dataclasses import replace

import pytest
import torch

from helpers import seeded
from posing_models import (
    EDM,
    EPS,
    HO,
    KINDS,
    LATENT,
    LAWS,
    MINE,
    OWN,
    POINTS,
    SHAPE,
    VEL,
    WHOLE,
    Moved,
    checked,
    network,
    readings,
    table,
)
from scoredrift import Flow, OrnsteinUhlenbeck
from scoredrift.paths import Ancestral, HeunFlow, held_energy
from scoredrift.pipelines import ModelFinding, check_model
from scoredrift.scores import NoiseLevels, NoisePrediction, PredictedScore, Timesteps, VelocityPrediction


def swapped(data):
    return data.reshape(-1, *SHAPE).flip(1).flatten(1)


def last(data):
    return data.reshape(-1, *SHAPE).permute(0, 2, 3, 1).flatten(1)


LEADING = torch.tensor([600, 300, 0])
AVERAGE = {"average": network("pictures", EPS)}
BF16, F16 = torch.bfloat16, torch.float16
PLANTED = {
    "raw weights": (
        "weights",
        "worse than 'average': ½ (ε*² − that of",
        "not the raw ones",
        lambda s: checked("pictures", EPS, seed=s, error=0.03, others=AVERAGE),
    ),
    "v for ε": (
        "prediction",
        "trained to give the velocity v",
        "VelocityPrediction(clock)",
        lambda s: checked("pictures", VEL, EPS, seed=s),
    ),
    "ε for v, points": (
        "prediction",
        "trained to give the noise ε",
        "NoisePrediction(clock)",
        lambda s: checked("points", EPS, VEL, seed=s),
    ),
    "F for D": (
        "prediction",
        "the inside F of EDM",
        "PreconditionedPrediction(0.5, clock)",
        lambda s: checked("pictures", replace(EDM, clock=WHOLE.clock), WHOLE, seed=s),
    ),
    "σ for t": (
        "clock",
        "reads the time t = log(1 + σ²)",
        "OwnTime()",
        lambda s: checked("pictures", OWN, replace(OWN, clock=NoiseLevels(0.04, 54.0)), seed=s),
    ),
    "t for σ": (
        "clock",
        "reads the noise level σ",
        "NoiseLevels()",
        lambda s: checked("points", replace(OWN, clock=NoiseLevels(0.02, 80.0)), OWN, seed=s, n=600),
    ),
    "bfloat16 inside": (
        "time precision",
        "rounded to torch.bfloat16",
        "embed times in float32",
        lambda s: checked("pictures", EPS, seed=s, rounded=BF16),
    ),
    "float16 inside": (
        "time precision",
        "rounded to torch.float16",
        "embed times in float32",
        lambda s: checked("points", OWN, seed=s, rounded=F16),
    ),
    "bfloat16 steps": (
        "time precision",
        "lie 4 apart",
        "int64",
        lambda s: checked("points", EPS, seed=s, sampler=readings(EPS, 30, BF16)),
    ),
    "k + 1": (
        "offset",
        "reads k + 1 where it is told k",
        "pass timesteps k + 1",
        lambda s: checked("pictures", replace(EPS, clock=Moved(HO, 1)), EPS, seed=s, n=400),
    ),
    "k − 1": (
        "offset",
        "reads k − 1 where it is told k",
        "pass timesteps k - 1",
        lambda s: checked("pictures", replace(VEL, clock=Moved(HO, -1)), VEL, seed=s, n=400),
    ),
    "β to 0.012": (
        "schedule",
        "β linear, 1e-4 to 0.02",
        "build the scheduler with",
        lambda s: checked("pictures", EPS, NoisePrediction(Timesteps(table(1e-4, 0.012))), seed=s),
    ),
    "√β": (
        "schedule",
        "β linear, 1e-4 to 0.02",
        "build the scheduler with",
        lambda s: checked("pictures", VEL, VelocityPrediction(LATENT), seed=s),
    ),
    "own β": (
        "schedule",
        "it fits the table with mine",
        "with mine",
        lambda s: checked(
            "pictures", NoisePrediction(MINE), EPS, seed=s, tables={"mine": MINE.alphas_cumprod}
        ),
    ),
    "signal left": (
        "start law",
        "nats at T = 5.3",
        "zero terminal signal",
        lambda s: checked("pictures", NoisePrediction(LATENT), seed=s, tolerance=0.003),
    ),
    "0 to 255": (
        "data scale",
        "from [0, 255] to [-1, 1]",
        "x / 127.5 - 1",
        lambda s: checked("pictures", EPS, seed=s, change=lambda x: (x.clamp(-1, 1) + 1) * 127.5),
    ),
    "0 to 1": (
        "data scale",
        "from [0, 1] to [-1, 1]",
        "2 * x - 1",
        lambda s: checked("pictures", EDM, seed=s, change=lambda x: (x.clamp(-1, 1) + 1) / 2),
    ),
    "BGR": (
        "channels",
        "reverse order, such as BGR",
        "images.flip(1)",
        lambda s: checked("pictures", VEL, seed=s, change=swapped),
    ),
    "channels last": (
        "channels",
        "channels last",
        "images.permute(0, 3, 1, 2)",
        lambda s: checked("pictures", EDM, seed=s, change=last),
    ),
    "leading": (
        "horizon",
        "starts at reading 600 of 999",
        "'trailing'",
        lambda s: checked("pictures", EPS, seed=s, sampler=LEADING),
    ),
    "beyond the table": (
        "horizon",
        "starts at timestep 1000, and the table ends at 999",
        "from 999 down",
        lambda s: checked("points", EPS, seed=s, sampler=torch.arange(1000, 0, -50)),
    ),
    "500 of 1000": (
        "horizon",
        "table of 1000 timesteps",
        "num_train_timesteps=1000",
        lambda s: checked(
            "pictures", EPS, NoisePrediction(Timesteps(table(1e-4, 0.02, 500))), seed=s, tolerance=1.0
        ),
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_found_and_named_and_nothing_else_is(mistake):
    name, words, remedy, plant = PLANTED[mistake]
    for seed in range(2):
        report = plant(seed)
        assert report.failed == (name,), str(report)
        assert words in report[name].text
        assert remedy in report[name].remedy


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{type(kind).__name__} {type(kind.clock).__name__}")
@pytest.mark.parametrize("law", LAWS)
def test_honest_models_pass(law, kind):
    """Exact ones and such with an error, whatever the seed."""
    for seed in range(2):
        for error in (0.0, 0.01):
            given = {"sampler": readings(kind, 40), "others": {"worse": network(law, kind, error=0.3)}}
            report = checked(law, kind, seed=seed, error=error, tolerance=0.1, **given)
            assert report.failed == (), str(report)
            passed = ["clock", "time precision", "fit", "identities", "weights", "start law"]
            passed += ["prediction"] * (kind != WHOLE)  # which differs from x_0 by the scale of x alone
            assert [name for name in passed if report[name].verdict != "passed"] == [], str(report)
            assert report["steps"].verdict == "measured"


FINE = PredictedScore(network("points", EPS), EPS)
SOME = POINTS.sample(40, generator=seeded(0))
REFUSED = [
    ("score = a NoisePrediction", "PredictedScore", (EPS, SOME), {}),
    ("data.shape = [20, 3]", "32 points", (FINE, SOME[:20]), {}),
    ("data = all points", "vary", (FINE, SOME[:1].expand(40, 3)), {}),
    ("levels = 1", "≥ 2", (FINE, SOME), {"levels": 1}),
    ("tolerance = 0", "finite number", (FINE, SOME), {"tolerance": 0.0}),
    ("sampler = a int", "set_timesteps", (FINE, SOME), {"sampler": 50}),
    ("sampler = readings that do not fall", "order of sampling", (FINE, SOME), {"sampler": torch.arange(5)}),
    ("others = a list", "dictionary", (FINE, SOME), {"others": [FINE]}),
    ("others = a dict", "dictionary", (FINE, SOME), {"others": {"average": 1}}),
    ("alphas_cumprod = ", "decrease", (FINE, SOME), {"tables": {"mine": HO.alphas_cumprod.flip(0)}}),
    ("integrator = HeunFlow", "held_drift", (FINE, SOME), {"integrator": HeunFlow()}),
]


@pytest.mark.parametrize(("begins", "remedy", "given", "rest"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused(begins, remedy, given, rest):
    with pytest.raises(ValueError, match=" = ") as refusal:
        check_model(*given, generator=seeded(0), **rest)
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]


def test_findings_say_what_to_do():
    with pytest.raises(ValueError, match=r"^remedy"):
        ModelFinding("offset", "failed", "shifted")
    with pytest.raises(ValueError, match=r"^verdict"):
        ModelFinding("offset", "fine", "shifted")


def test_what_was_not_passed_was_not_looked_at():
    report = check_model(FINE, SOME, generator=seeded(0), levels=3)
    for name, remedy in (
        ("horizon", "sampler="),
        ("steps", "sampler="),
        ("weights", "others="),
        ("channels", "Images"),
    ):
        assert report[name].verdict == "unknown"
        assert "not looked at" in report[name].text
        assert remedy in report[name].remedy
    assert max(map(len, str(report).splitlines())) <= 76
    with pytest.raises(ValueError, match="choose one of prediction, clock"):
        report["sharpness"]


@pytest.mark.parametrize("stride", [5, 50])
def test_the_price_of_steps_is_the_energy_of_a_held_score(stride):
    """Down to the last reading: what a last step without noise costs on paths is infinite, and means nothing."""
    g, chain = seeded(3), torch.arange(999, -1, -stride)
    score = PredictedScore(network("points", EPS), EPS)
    found = check_model(score, POINTS.sample(400, generator=g), generator=g, sampler=chain)["steps"].measured
    times = HO.time(chain.double())
    flow = Flow(POINTS, OrnsteinUhlenbeck(float(times[-1]), float(times[0])))
    wanted = 0.5 * held_energy(flow.error(flow), times, Ancestral(), 4_000, generator=g)
    assert abs((found - wanted).sigmas_from(0)) < 5
    assert found.stderr < 0.1 * wanted.value
