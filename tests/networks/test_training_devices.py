"""Training on a GPU does what it does on a CPU: the same bodies, run on both.

On CUDA networks compute in bfloat16, so that losses agree to a per cent and not to the bit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from helpers import DEVICES, needs_cuda, seeded
from scoredrift import FreshFraction, Gaussian, OrnsteinUhlenbeck, recurse
from scoredrift.generations import NetworkFit
from scoredrift.networks import PointNetwork, Recipe, image_unet, initialised, patch_transformer, train

OU = OrnsteinUhlenbeck()
NETWORKS = {
    "points": (partial(PointNetwork, 64, width=32, depth=2), 3e-3),
    "unet": (partial(image_unet, (1, 8, 8), channels=(8, 16)), 3e-3),
    "dropping unet": (partial(image_unet, (1, 8, 8), channels=(8, 16), dropout=0.1), 3e-3),
    "transformer": (partial(patch_transformer, (1, 8, 8), width=16, layers=1, heads=2), 3e-3),
}


def pictures(n, device):
    """Smooth images in a row: a bright square somewhere, with a little noise; the same on every device."""
    g = seeded(5)
    left, top = torch.randint(0, 5, (2, n), generator=g)
    across = torch.arange(8)
    inside = ((across >= left[:, None]) & (across < left[:, None] + 4))[:, None, :] & (
        (across >= top[:, None]) & (across < top[:, None] + 4)
    )[:, :, None]
    images = inside.flatten(1).float() - 0.5 + 0.05 * torch.randn(n, 64, generator=g)
    return images.to(device)


def learned(name, device, *, steps=60, folder=None, compiled=False, seed=1):
    build, rate = NETWORKS[name]
    recipe = Recipe(steps, batch=64, rate=rate, averaging=0.9, check_every=20, compiled=compiled)
    network = initialised(build, generator=seeded(7)).to(device)
    return train(network, pictures(1000, device), OU, recipe, generator=seeded(seed, device), folder=folder)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns(name, device):
    done = learned(name, device)
    assert float(done.held_out[-1]) < float(done.held_out[0]) - 1
    weights = next(done.network.parameters())
    assert (weights.device.type, weights.dtype) == (device, torch.float32)


@pytest.mark.parametrize("name", NETWORKS)
@needs_cuda
def test_a_gpu_learns_as_much_as_a_cpu(name):
    several = torch.tensor(
        [[float(learned(name, device, seed=s).held_out[-1]) for s in (1, 2, 3)] for device in ("cpu", "cuda")]
    )
    gap = several[1].mean() - several[0].mean()
    spread = several.std(1).square().mean().sqrt() * (2 / 3) ** 0.5
    assert abs(float(gap)) < 5 * float(spread) + 0.01 * float(several[0].mean())


class PowerCutError(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["unet", "dropping unet"])
def test_what_was_interrupted_goes_on(name, device, tmp_path, monkeypatch):
    torch.manual_seed(11)  # of global numbers nothing must depend
    whole = learned(name, device)
    torch.manual_seed(12)
    from scoredrift.networks import training

    write = training._Run._write

    def breaks(run):
        write(run)
        if run.step == 40:
            raise PowerCutError

    monkeypatch.setattr(training._Run, "_write", breaks)
    with pytest.raises(PowerCutError):
        learned(name, device, folder=tmp_path)
    monkeypatch.undo()
    again = learned(name, device, folder=tmp_path)
    same = torch.equal if device == "cpu" else partial(torch.allclose, rtol=0.01)
    assert same(again.held_out, whole.held_out)
    assert len(again.held_out) == 3


def test_what_goes_on_keeps_the_layout_of_the_weights(tmp_path, monkeypatch):
    """The fused step of a GPU, where channels come last, refuses moments in another."""
    from scoredrift.networks import training

    def last(name, **options):
        network = initialised(NETWORKS[name][0], generator=seeded(7)).to(memory_format=torch.channels_last)
        return training._Run(network, pictures(500, "cpu"), OU, recipe, seeded(1), None, tmp_path)

    recipe = Recipe(40, batch=64, check_every=20)
    run = last("unet")
    run.advance()
    again = last("unet")
    again.resume()
    convolutions = 0
    for one in (run, again):
        for weight, own in one.optimiser.state.items():
            assert all(own[name].stride() == weight.stride() for name in ("exp_avg", "exp_avg_sq"))
            convolutions += weight.ndim == 4 and not weight.is_contiguous()
    assert convolutions > 10


@needs_cuda
def test_a_compiled_network_learns_and_draws_the_same():
    recipe = Recipe(60, batch=64, rate=3e-3, averaging=0.9, check_every=20)
    fits = [
        NetworkFit(NETWORKS["dropping unet"][0], replace(recipe, compiled=c), OU, steps=5) for c in (0, 1)
    ]
    plain, compiled = (fit(pictures(1000, "cuda"), generator=seeded(1, "cuda")) for fit in fits)
    # Dropout falls elsewhere, as the compiler draws its numbers in another order.
    assert torch.allclose(plain.trained.held_out, compiled.trained.held_out, rtol=0.1)
    again = replace(compiled, compiled=False)
    one, other = (model.sample(300, generator=seeded(2, "cuda")) for model in (compiled, again))
    assert float((one - other).abs().mean()) < 0.01


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_one_graph_for_the_compiler(name, training):
    """A check that looks at values would break it, and wait for the device in each step."""
    network = initialised(NETWORKS[name][0], generator=seeded(7)).train(training)
    x, t = torch.randn(4, 64, generator=seeded(1)), torch.full((4,), 0.5)
    torch._dynamo.reset()
    with torch.random.fork_rng():
        found = torch.compile(network, backend="eager", fullgraph=True)(x, t)
    assert training or torch.equal(found, network(x, t))


@pytest.mark.parametrize("device", DEVICES)
def test_a_recursion_of_networks_goes_on_where_it_stopped(device, tmp_path):
    law = Gaussian(torch.tensor([1.0, -1.0]), torch.tensor([[0.5, 0.2], [0.2, 0.3]])).to(device=device)
    recipe = Recipe(400, batch=128, rate=5e-3, averaging=0.98, check_every=100)
    fit = NetworkFit(partial(PointNetwork, 2, width=32, depth=2), recipe, OU, steps=40)

    def run(generations, folder):
        options = {"size": 4000, "seed": 3, "device": device, "folder": folder}
        look = {"measure": moments}
        return recurse(fit, law, regime=FreshFraction(0.5), generations=generations, **options, **look)

    whole = run(2, None)
    run(1, tmp_path)
    again = run(2, tmp_path)
    loose = {"rtol": 0, "atol": 1e-6 if device == "cpu" else 0.02}
    assert torch.allclose(whole["mean"], again["mean"], **loose)
    assert whole.drawn.device.type == device
    assert torch.allclose(whole["mean"][-1], torch.tensor([1.0, -1.0]), atol=0.15)
    assert torch.allclose(whole["covariance"][-1].diagonal(), torch.tensor([0.5, 0.3]), atol=0.15)


def moments(generation):
    return {"mean": generation.drawn.mean(0), "covariance": torch.cov(generation.drawn.T)}


@pytest.mark.parametrize("device", DEVICES)
def test_the_parts_in_which_a_network_sees_points_do_not_matter(device):
    x = pictures(300, device)
    recipe = Recipe(20, batch=64)
    model = NetworkFit(NETWORKS["unet"][0], recipe, OU, steps=5)(x, generator=seeded(1, device))
    whole, parts = (replace(model, rows=rows).sample(50, generator=seeded(2, device)) for rows in (2048, 7))
    assert torch.allclose(whole, parts, atol=1e-4 if device == "cpu" else 0.02)
