"""Training of a U-Net and of an MLP against a plain PyTorch loop and the loop of diffusers' examples.

The same network, batch, optimiser and number of updates, in turn on one machine; images a second. The plain
loop has nothing but loss and AdamW; that of diffusers has its own noise schedule, gradient clipping, rate
schedule and average of the weights (examples/unconditional_image_generation, without accelerate). Memory is what a
training adds to the peak of a process of its own. Run with ``make bench``.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor

from scoredrift import OrnsteinUhlenbeck
from scoredrift.networks import PointNetwork, Recipe, image_unet, initialised, train
from scoredrift.process import scale, variance
from turns import in_turn

OU = OrnsteinUhlenbeck()


class Case(NamedTuple):
    build: Callable[[], torch.nn.Module]
    dim: int
    batch: int
    steps: int


CASES = {  # the first two are measured on CPUs, the others on GPUs (gpu_training.py)
    "U-Net": Case(lambda: image_unet((1, 28, 28)), 784, 64, 30),
    "MLP": Case(lambda: PointNetwork(64, width=512, depth=4), 64, 256, 200),
}


def made(name: str, device: str) -> tuple[torch.nn.Module, Tensor, torch.Generator]:
    g = torch.Generator(device).manual_seed(2602)
    case = CASES[name]
    data = 0.5 * torch.randn(2_000, case.dim, generator=g, device=device)
    return initialised(case.build, generator=g).to(device), data, g


def reduced(device: str) -> torch.autocast:
    """Arithmetic in bfloat16 on a GPU, for all ways alike."""
    return torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda")


def ours(name: str, device: str = "cpu", *, compiled: bool = False) -> Callable[[], object]:
    network, data, g = made(name, device)
    case = CASES[name]
    recipe = Recipe(case.steps, batch=case.batch, check_every=case.steps, held_out=0.001, compiled=compiled)
    return lambda: train(copy.deepcopy(network), data, OU, recipe, generator=g)


def plain(name: str, device: str = "cpu") -> Callable[[], object]:
    network, data, g = made(name, device)
    case = CASES[name]

    def run() -> None:
        model = copy.deepcopy(network).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for _ in range(case.steps):
            x = data[torch.randint(len(data), (case.batch,), generator=g, device=device)]
            t = 0.02 + 3.98 * torch.rand(case.batch, generator=g, device=device)
            noise = torch.randn(x.shape, generator=g, device=device)
            noisy = scale(t)[:, None] * x + variance(t).sqrt()[:, None] * noise
            with reduced(device):
                loss = (model(noisy.float(), t) - noise).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return run


def of_diffusers(name: str, device: str = "cpu") -> Callable[[], object]:
    network, data, g = made(name, device)
    case = CASES[name]
    noises: Any = DDPMScheduler()

    def run() -> None:
        model = copy.deepcopy(network).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
        rates = get_cosine_schedule_with_warmup(optimiser, 1, case.steps)
        average = EMAModel(model.parameters(), decay=0.995)
        for _ in range(case.steps):
            x = data[torch.randint(len(data), (case.batch,), generator=g, device=device)]
            noise = torch.randn(x.shape, generator=g, device=device)
            ticks = torch.randint(0, 1000, (case.batch,), generator=g, device=device)
            with reduced(device):
                guess = model(noises.add_noise(x, noise, ticks), 0.01 + ticks / 250)
                loss = torch.nn.functional.mse_loss(guess, noise)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            rates.step()
            optimiser.zero_grad()
            average.step(model.parameters())

    return run


WAYS = (ours, plain, of_diffusers)


@pytest.mark.parametrize("name", list(CASES))
def test_training(benchmark, name):
    benchmark.group = f"training, {name}"
    case = CASES[name]
    runs = {way.__name__: way(name) for way in WAYS}
    in_turn(benchmark, runs, rounds=5)
    for way in runs:
        rate = case.batch * case.steps / benchmark.extra_info[way]
        benchmark.extra_info[f"{way}_images_per_second"] = rate


# The first call in a process loads libraries and fills caches, so that a short training goes before.
MEMORY = r"""
import re, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import bench_training as bench

def kibibytes(name):
    return int(re.search(name + r":\s+(\d+)", Path("/proc/self/status").read_text())[1])

bench.CASES["tiny"] = bench.CASES[{name!r}]._replace(batch=2, steps=2)
getattr(bench, {way!r})("tiny")()
run = getattr(bench, {way!r})({name!r})
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use
before = kibibytes("VmRSS")
run()
print(kibibytes("VmHWM") - before)
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", list(CASES))
def test_memory(benchmark, name, way):
    benchmark.group = f"memory, {name}"
    code = MEMORY.format(folder=str(Path(__file__).parent), name=name, way=way.__name__)

    def grown() -> float:
        command = [sys.executable, "-c", code]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024

    benchmark.extra_info["mebibytes"] = benchmark.pedantic(grown, rounds=1)
