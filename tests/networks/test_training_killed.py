"""A training that is killed at any moment ends with the bits of one that was left alone."""

import random
import time

import torch

from helpers import seeded
from killing import killed_at_the_end, needs_forkserver, wait_until
from scoredrift import OrnsteinUhlenbeck
from scoredrift.networks import PointNetwork, Recipe, initialised, train
from scoredrift.runs import note_of

RECIPE = Recipe(steps=300, batch=32, check_every=10, averaging=0.9)
KILLS = 3


def training(folder):
    network = initialised(lambda: PointNetwork(2, width=8, depth=1), generator=seeded(2))
    data = 0.5 * torch.randn(200, 2, generator=seeded(1))
    return train(network, data, OrnsteinUhlenbeck(), RECIPE, generator=seeded(5), folder=folder)


def reached(folder):
    path = folder / "training.safetensors"
    return note_of(path)["step"] if path.exists() else 0


def bits(done):
    curves = [part.tolist() for part in (done.steps, done.losses, done.held_out)]
    return curves, done.best, {name: part.tolist() for name, part in done.network.state_dict().items()}


@needs_forkserver
def test_a_training_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    choice, ends = random.Random(3), []
    for _ in range(KILLS):
        with killed_at_the_end(training, tmp_path):
            wanted = reached(tmp_path) + RECIPE.check_every * choice.randint(1, 5)
            wait_until(lambda wanted=wanted: reached(tmp_path) >= wanted)
            time.sleep(choice.uniform(0, 0.04))
        ends.append(reached(tmp_path))
    assert ends == sorted(set(ends))  # each went on from where the one before was killed
    assert bits(training(tmp_path)) == bits(training(None))
