"""The check of models on networks that were trained for seconds: points, and a U-Net of diffusers."""

import copy
import math

import diffusers
import pytest
import torch

from helpers import seeded
from posing_models import EDM, EPS, OWN, PICTURES, POINTS, SHAPE, VEL
from scoredrift.pipelines import check_model
from scoredrift.scores import Images, OwnTime, PredictedScore, VelocityPrediction, from_diffusers


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
    clock, steep = kind.clock, torch.optim.AdamW(network.parameters(), 1e-2)
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
    return (*trained(Mlp(3, scale), kind, data, seed, steps), POINTS.sample(600, generator=g).float(), g)


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
        (VEL, 127.5 * (fresh / 3 + 1), "data scale"),
    ):
        report = check_model(PredictedScore(average, taken), points, generator=g, tolerance=1.0)
        assert name in report.failed, str(report)
    with torch.no_grad():
        raw.body[-1].weight.mul_(1.5)  # as after a step that was too large
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
