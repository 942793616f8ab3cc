"""The classifier whose features pictures of clothes are looked at with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scoredrift.datasets import FeatureNetwork, fashion_mnist, train_features
from scoredrift.experiments.base import Experiment, stored
from scoredrift.runs import generator_for

SHAPE, CLASSES, FEATURES = (1, 28, 28), 10, 64
POOL = 50_000  # training images that are the data law; the rest teaches the classifier


def _train(
    settings: Mapping[str, Any],
    *,
    seed: int,
    device: str,
    folder: Path,
    workers: int,
    progress: bool,
) -> dict[str, Tensor]:
    """Weights of the classifier, and its share of right answers on test images."""
    taught = fashion_mnist("train").part(POOL, POOL + settings["images"])
    source = generator_for((seed, 0), 0, "fit")
    network = train_features(taught, generator=source, epochs=settings["epochs"], progress=progress)
    test = fashion_mnist("test")
    right = (network.predicted(test.images) == test.labels).double().mean()
    found = {name: value.clone() for name, value in network.state_dict().items()} | {"right": right}
    return {name: value[None, None] for name, value in found.items()}  # one run, generation 0


FASHION_FEATURES = Experiment(
    "fashion-features",
    "Fashion-MNIST: the classifier whose features pictures are looked at with",
    {
        "quick": {"about": "a second", "images": 2_000, "epochs": 5, "runs": 1, "generations": 0},
        "medium": {"about": "15 seconds", "images": 10_000, "epochs": 20, "runs": 1, "generations": 0},
    },
    _train,
    axes=(),
)


def fashion_features(scale: str = "medium", folder: Path | str | None = None) -> FeatureNetwork:
    """The stored classifier, ready to look at bytes ``[n, 1, 28, 28]``.

    Args:
        scale: of the experiment ``fashion-features``.
        folder: where it was run; None for what came with the package.

    Raises:
        ValueError: nothing is stored there.

    >>> import torch
    >>> fashion_features().features(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape
    torch.Size([2, 64])
    """
    found = stored("fashion-features", scale, folder)
    network = FeatureNetwork(SHAPE, CLASSES, features=FEATURES)
    network.load_state_dict({name: found[name][0, 0] for name in network.state_dict()})
    return network.eval().requires_grad_(False)
