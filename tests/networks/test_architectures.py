"""Architectures: what an untrained network says, where its weights come from, what it refuses."""

import pytest
import torch

from scoredrift.networks import PointNetwork, image_unet, initialised, log_noise_level, patch_transformer
from scoredrift.process import OrnsteinUhlenbeck, variance

TIMES = torch.tensor([0.02, 0.7, 4.0])


def test_noise_level_is_that_of_the_variance_exploding_process():
    t = OrnsteinUhlenbeck().geometric_grid(7)
    assert torch.allclose(log_noise_level(t), 0.5 * (variance(t) / (1 - variance(t))).log())


@pytest.mark.parametrize(
    ("build", "dim"),
    [
        (lambda: PointNetwork(5, width=16), 5),
        (lambda: image_unet((3, 8, 8), channels=(8, 16)), 192),
        (lambda: patch_transformer((3, 8, 8), width=16, layers=2, heads=2), 192),
    ],
)
def test_an_untrained_network_is_exact_for_the_normal_law(build, dim):
    """ŝ = −ε̂/√v = −x, at any time; and a training step moves every part of it."""
    pytest.importorskip("diffusers")
    network = initialised(build, generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, dim, generator=torch.Generator().manual_seed(1))
    score = -network(x, TIMES) / variance(TIMES).sqrt()[:, None]
    assert torch.allclose(score, -x, rtol=1e-5)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        (network(x, TIMES) - 1).square().mean().backward()
        optimiser.step()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(bool(g.abs().max() > 0) for g in gradients[-2:])
    assert not torch.allclose(network(x, TIMES)[0], network(x, TIMES.flip(0))[0])  # it sees the time


@pytest.mark.parametrize(
    "build", [lambda: PointNetwork(2), lambda: patch_transformer((1, 8, 8), width=16, layers=1)]
)
def test_weights_come_from_the_generator_and_leave_the_global_one_alone(build):
    pytest.importorskip("diffusers")
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, two, three = (
        initialised(build, generator=torch.Generator().manual_seed(seed)).state_dict() for seed in (0, 0, 1)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], three[name]) for name in one)


def test_the_transformer_has_no_randomness_of_its_own():
    pytest.importorskip("diffusers")
    network = initialised(
        lambda: patch_transformer((1, 8, 8), width=16, layers=1), generator=torch.Generator().manual_seed(0)
    ).train()
    torch.nn.init.ones_(network.network.body.proj_out_2.weight)
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(x, torch.ones(64)), network(x, torch.ones(64)))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: PointNetwork(0), "dim"),
        (lambda: PointNetwork(2, depth=0), "depth"),
        (lambda: image_unet((8, 8)), r"\(C, H, W\)"),
        (lambda: image_unet((1, 9, 8)), "pad the images"),
        (lambda: image_unet((1, 8, 8), channels=(10,)), "multiples of 8"),
        (lambda: patch_transformer((1, 8, 12)), "square images"),
        (lambda: patch_transformer((1, 8, 8), width=10, heads=4), "width"),
    ],
)
def test_bad_sizes_are_refused(build, text):
    with pytest.raises(ValueError, match=text):
        build()


def test_what_builds_no_network_is_refused():
    with pytest.raises(ValueError, match=r"build\(\)"):
        initialised(lambda: 3, generator=torch.Generator())


def test_images_in_the_wrong_order_are_refused():
    pytest.importorskip("diffusers")
    network = image_unet((3, 8, 8), channels=(8,))
    with pytest.raises(ValueError, match=r"images\.shape.*\[n, 3, 8, 8\]"):
        network.to_points(torch.zeros(2, 8, 8, 3))
