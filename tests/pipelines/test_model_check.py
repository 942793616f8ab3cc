"""Ten mistakes that people make with diffusion models: each is planted, and each is named; honest models pass.

Networks are exact scores of known laws: points in three dimensions, and pictures of 3 × 4 × 4 made of digits. Where a
trained network makes a difference, one is trained for seconds.
"""

import copy
import math
from dataclasses import replace

import diffusers
import pytest
import torch
from sklearn.datasets import load_digits

from helpers import seeded
from scoredrift import Flow, GaussianMixture, KernelDensity, OrnsteinUhlenbeck
from scoredrift.pipelines import check_model
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
    from_diffusers,
)

SHAPE = (3, 4, 4)
WIDE = OrnsteinUhlenbeck(1e-7, 60.0)
DIGITS = torch.tensor(load_digits().images).reshape(-1, 4, 2, 4, 2).mean((2, 4)) / 8 - 1
CENTRES = torch.stack([(DIGITS[i : 900 + i : 30] + shift) / 2 for i, shift in enumerate((-0.8, 0, 0.8))], 1)
PICTURES = KernelDensity(CENTRES.flatten(1), 0.03)  # the channels are dark, plain and bright
POINTS = GaussianMixture(
    torch.full((4,), 0.25).double(),
    torch.tensor([[1.5, 0, 0], [-1.5, 0, 0.5], [0, 1.2, -1], [0, -1.2, 0.5]]).double(),
    torch.full((4,), 0.04).double(),
)
LAWS = {"pictures": PICTURES, "points": POINTS}


def table(low, high, steps=1000, power=1.0):
    return torch.cumprod(1 - torch.linspace(low ** (1 / power), high ** (1 / power), steps).double() ** power, 0)


HO = Timesteps(table(1e-4, 2e-2))
LATENT = Timesteps(table(8.5e-4, 1.2e-2, power=2.0))
MINE = Timesteps(table(5e-4, 1.5e-2))
EDM = PreconditionedPrediction(0.5, LogNoiseLevels(0.02, 80.0))
EPS, VEL, DATA = NoisePrediction(HO), VelocityPrediction(HO), DataPrediction(HO)
OWN = VelocityPrediction(OwnTime(1e-3, 8.0))
WHOLE = DenoiserPrediction(NoiseLevels(0.02, 80.0))
KINDS = (EPS, VEL, DATA, EDM, OWN, WHOLE)


class Moved:
    """A clock that shows k + shift."""

    def __init__(self, clock, shift):
        self.clock, self.shift, self.t_min, self.t_max = clock, shift, clock.t_min, clock.t_max

    def __call__(self, t):
        return (self.clock(t) + self.shift).clamp(0, len(self.clock.alphas_cumprod) - 1)

    def time(self, reading):
        return self.clock.time((reading - self.shift).clamp(0, len(self.clock.alphas_cumprod) - 1))


class Network(torch.nn.Module):
    """The exact score of a law, with an error if one is wanted, that answers whatever it is told."""

    def __init__(self, law, kind, error=0.0, rounded=None):
        super().__init__()
        flow = Flow(law, WIDE)
        wrong = torch.linspace(-1, 1, law.dim).double()

        def score(x, t):  # the error is a part of the noise that is predicted
            gone = -torch.expm1(-torch.as_tensor(t).double()).reshape(-1, 1)
            return flow(x, t) + error * torch.tanh(x * 3 + wrong) / gone.sqrt()

        self.said, self.clock, self.rounded = as_network(score, kind), kind.clock, rounded

    def forward(self, x, reading):
        ends = max(1e-6, self.clock.t_min), min(20.0, self.clock.t_max)
        low, high = sorted(float(self.clock(t)) for t in ends)
        if self.rounded is not None:
            reading = reading.to(self.rounded).to(reading.dtype)
        return self.said(x, reading.clamp(low, high))


def network(law, kind, **rest):
    inner = Network(LAWS[law], kind, **rest)
    if law == "points":
        return inner
    return Images(lambda images, t: inner(images.flatten(1), t).reshape(images.shape), SHAPE)


def checked(law, truth, taken=None, *, seed=0, n=150, change=None, rounded=None, error=0.0, **rest):
    """The report on a network of one kind that is taken for another, on data that were changed."""
    g = seeded(seed)
    data = LAWS[law].sample(n, generator=g)
    score = PredictedScore(network(law, truth, rounded=rounded, error=error), truth if taken is None else taken)
    return check_model(score, data if change is None else change(data), generator=g, levels=5, **rest)


def readings(kind, steps, dtype=torch.float32):
    t = torch.logspace(math.log10(kind.clock.t_max), math.log10(kind.clock.t_min), steps).double()
    return kind.clock(t.clamp(kind.clock.t_min, kind.clock.t_max)).to(dtype)


def swapped(data):
    return data.reshape(-1, *SHAPE).flip(1).flatten(1)


def last(data):
    return data.reshape(-1, *SHAPE).permute(0, 2, 3, 1).flatten(1)


LEADING = torch.tensor([600, 300, 0])
AVERAGE = {"average": network("pictures", EPS)}
BF16, F16 = torch.bfloat16, torch.float16
PLANTED = {
    "raw weights": ("weights", "worse than 'average': ½ (ε*² − that of", "not the raw ones",
                    lambda s: checked("pictures", EPS, seed=s, error=0.03, others=AVERAGE)),
    "v for ε": ("prediction", "trained to give the velocity v", "VelocityPrediction(clock)",
                lambda s: checked("pictures", VEL, EPS, seed=s)),
    "ε for v, points": ("prediction", "trained to give the noise ε", "NoisePrediction(clock)",
                        lambda s: checked("points", EPS, VEL, seed=s)),
    "F for D": ("prediction", "the inside F of EDM", "PreconditionedPrediction(0.5, clock)",
                lambda s: checked("pictures", replace(EDM, clock=WHOLE.clock), WHOLE, seed=s)),
    "σ for t": ("clock", "reads the time t = log(1 + σ²)", "OwnTime()",
                lambda s: checked("pictures", OWN, replace(OWN, clock=NoiseLevels(0.04, 54.0)), seed=s)),
    "t for σ": ("clock", "reads the noise level σ", "NoiseLevels()",
                lambda s: checked("points", replace(OWN, clock=NoiseLevels(0.02, 80.0)), OWN, seed=s, n=600)),
    "bfloat16 inside": ("time precision", "rounded to torch.bfloat16", "embed times in float32",
                        lambda s: checked("pictures", EPS, seed=s, rounded=BF16)),
    "float16 inside": ("time precision", "rounded to torch.float16", "embed times in float32",
                       lambda s: checked("points", OWN, seed=s, rounded=F16)),
    "bfloat16 steps": ("time precision", "lie 8 apart", "int64",
                       lambda s: checked("points", EPS, seed=s, sampler=readings(EPS, 30, BF16))),
    "k + 1": ("offset", "reads k + 1 where it is told k", "pass timesteps k + 1",
              lambda s: checked("pictures", replace(EPS, clock=Moved(HO, 1)), EPS, seed=s, n=400)),
    "k − 1": ("offset", "reads k − 1 where it is told k", "pass timesteps k - 1",
              lambda s: checked("pictures", replace(VEL, clock=Moved(HO, -1)), VEL, seed=s, n=400)),
    "β to 0.012": ("schedule", "β linear, 1e-4 to 0.02", "build the scheduler with",
                   lambda s: checked("pictures", EPS, NoisePrediction(Timesteps(table(1e-4, 0.012))), seed=s)),
    "√β": ("schedule", "β linear, 1e-4 to 0.02", "build the scheduler with",
           lambda s: checked("pictures", VEL, VelocityPrediction(LATENT), seed=s)),
    "own β": ("schedule", "it fits the table with mine", "with mine",
              lambda s: checked("pictures", NoisePrediction(MINE), EPS, seed=s, tables={"mine": MINE.alphas_cumprod})),
    "signal left": ("start law", "nats at T = 5.3", "zero terminal signal",
                    lambda s: checked("pictures", NoisePrediction(LATENT), seed=s, tolerance=0.003)),
    "0 to 255": ("data scale", "from [0, 255] to [-1, 1]", "x / 127.5 - 1",
                 lambda s: checked("pictures", EPS, seed=s, change=lambda x: (x.clamp(-1, 1) + 1) * 127.5)),
    "0 to 1": ("data scale", "from [0, 1] to [-1, 1]", "2 * x - 1",
               lambda s: checked("pictures", EDM, seed=s, change=lambda x: (x.clamp(-1, 1) + 1) / 2)),
    "BGR": ("channels", "reverse order, such as BGR", "images.flip(1)",
            lambda s: checked("pictures", VEL, seed=s, change=swapped)),
    "channels last": ("channels", "channels last", "images.permute(0, 3, 1, 2)",
                      lambda s: checked("pictures", EDM, seed=s, change=last)),
    "leading": ("horizon", "starts at reading 600 of 999", "'trailing'",
                lambda s: checked("pictures", EPS, seed=s, sampler=LEADING)),
    "beyond the table": ("horizon", "starts at timestep 1000, and the table ends at 999", "from 999 down",
                         lambda s: checked("points", EPS, seed=s, sampler=torch.arange(1000, 0, -50))),
    "500 of 1000": ("horizon", "table of 1000 timesteps", "num_train_timesteps=1000",
                    lambda s: checked("pictures", EPS, NoisePrediction(Timesteps(table(1e-4, 0.02, 500))),
                                      seed=s, tolerance=1.0)),
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


# Networks that were trained


class Mlp(torch.nn.Module):
    """A small network of points and of readings that go up to a scale."""

    def __init__(self, dim, scale, width=64):
        super().__init__()
        self.scale = scale
        sizes = ((dim + 9, width), (width, width), (width, dim))
        first, second, third = (torch.nn.Linear(*size) for size in sizes)
        self.body = torch.nn.Sequential(first, torch.nn.SiLU(), second, torch.nn.SiLU(), third)

    def forward(self, x, reading):
        level = (reading / self.scale)[:, None]
        angles = level * 1.5 * 2.0 ** torch.arange(4)
        return self.body(torch.cat([x, level, angles.sin(), angles.cos()], 1))


def trained(network, kind, data, seed, steps):
    """The network after some steps of training to predict what a kind predicts, and the average of its weights."""
    g, average = seeded(seed), copy.deepcopy(network)
    clock, steep = kind.clock, torch.optim.AdamW(network.parameters(), 4e-3)
    low, high = math.log(clock.t_min), math.log(clock.t_max)
    with torch.enable_grad():
        for k in range(steps):
            x0 = data[torch.randint(len(data), (64,), generator=g)]
            t = torch.exp(low + (high - low) * torch.rand(64, generator=g).double()).clamp(clock.t_min)
            noise, v = torch.randn(x0.shape, generator=g), -torch.expm1(-t)[:, None].float()
            x = (1 - v).sqrt() * x0 + v.sqrt() * noise
            shrink = torch.as_tensor(kind.affine(t).scale).float().reshape(-1, 1)
            target = kind.output(-noise / v.sqrt(), x, t)
            said = network(shrink * x, clock(t).float())
            steep.zero_grad()
            (said - target).square().mean().backward()
            steep.step()
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.data.lerp_(new.data, max(0.02, 1 / (k + 1)))
    return network.eval(), average.eval()


def learned(kind, seed, scale, steps=400):
    g = seeded(seed)
    torch.manual_seed(seed)
    data = POINTS.sample(2000, generator=g).float()
    return (*trained(Mlp(3, scale), kind, data, seed, steps), POINTS.sample(400, generator=g).float(), g)


TRAINED = {
    "velocity": (VEL, 1000.0),
    "velocity by own time": (OWN, 8.0),
    "EDM": (EDM, 1.0),
}


@pytest.mark.parametrize("kind", TRAINED)
def test_honest_networks_that_were_trained_pass(kind):
    kind, scale = TRAINED[kind]
    for seed in range(3):
        raw, average, fresh, g = learned(kind, seed, scale)
        others = {"raw": raw}
        report = check_model(PredictedScore(average, kind), fresh, generator=g, others=others, tolerance=0.1)
        assert report.failed == (), str(report)


def test_mistakes_around_trained_networks_are_named():
    raw, average, fresh, g = learned(VEL, 0, 1000.0)
    for taken, points, name in (
        (EPS, fresh, "prediction"),
        (VelocityPrediction(OwnTime(1e-3, 8.0)), fresh, "clock"),
        (VelocityPrediction(LATENT), fresh, "schedule"),
        (VEL, 127.5 * (fresh / 3 + 1), "data scale"),
    ):
        report = check_model(PredictedScore(average, taken), points, generator=g, tolerance=1.0)
        assert name in report.failed, str(report)
    report = check_model(PredictedScore(raw, VEL), fresh, generator=g, others={"average": average})
    assert report.failed == ("weights",), str(report)
    assert report["weights"].measured.value > 5 * report["weights"].measured.stderr


def test_a_unet_of_diffusers_and_its_scheduler():
    """Trained for seconds on pictures; then its velocity is taken for noise, and its sampler starts too low."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=4, in_channels=3, out_channels=3, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(prediction_type="v_prediction", timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    images, g = Images(unet, SHAPE), seeded(0)
    score = from_diffusers(images, scheduler)
    trained(images, score.prediction, PICTURES.sample(1000, generator=g).float(), 0, 250)
    fresh = PICTURES.sample(100, generator=g).float()
    report = check_model(score, fresh, generator=g, sampler=scheduler, levels=4)
    assert report.failed == (), str(report)
    scheduler.register_to_config(prediction_type="epsilon", timestep_spacing="leading")
    scheduler.set_timesteps(3)
    wrong = from_diffusers(images, scheduler)
    report = check_model(wrong, fresh, generator=g, sampler=scheduler, levels=4)
    assert report.failed == ("prediction", "horizon"), str(report)
    assert max(map(len, str(report).splitlines())) <= 76
