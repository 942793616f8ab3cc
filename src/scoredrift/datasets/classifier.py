"""A small classifier, whose last hidden layer serves as features of images.

What it was trained on must not be used to measure with it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import tqdm

from scoredrift import _checks
from scoredrift.datasets.images import LabelledImages

_ROWS = 1000


class FeatureNetwork(torch.nn.Module):
    """Two convolutions and two layers: features of images, and the class that they show.

    Args:
        shape: (C, H, W); H and W divisible by 4.
        classes: number of classes.
        features: m, units of the last hidden layer.

    Raises:
        ValueError: sizes that are not positive integers, or not divisible as said.

    >>> network = FeatureNetwork((1, 8, 8), 10, features=16)
    >>> images = torch.zeros(5, 1, 8, 8, dtype=torch.uint8)
    >>> network.features(images).shape, network.predicted(images).shape
    (torch.Size([5, 16]), torch.Size([5]))
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, *, features: int = 64) -> None:
        super().__init__()
        depth, height, width = (_checks.count("shape", size) for size in shape)
        if height % 4 or width % 4:
            _checks.refuse("shape", tuple(shape), "H and W are halved twice: pad the images")
        wide = _checks.count("features", features)
        self.shape = (depth, height, width)
        self.classes = _checks.count("classes", classes)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(depth, 16, 3, padding=1, stride=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, padding=1, stride=2),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(32 * (height // 4) * (width // 4), wide),
            torch.nn.SiLU(),
        )
        self.head = torch.nn.Linear(wide, self.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the classes, ``[n, classes]``, for bytes ``[n, C, H, W]``."""
        return self.head(self.body(images.float() / 127.5 - 1))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features of images, shape ``[n, m]``.

        Args:
            images: bytes, shape ``[n, C, H, W]``, on the device of the network.

        Raises:
            ValueError: images that are not bytes, or of another shape.
        """
        if _checks.byte_images("images", images).shape[1:] != self.shape:
            _checks.refuse("images.shape", list(images.shape), f"pass images [n, {self.shape}]")
        return torch.cat([self.body(part.float() / 127.5 - 1) for part in images.split(_ROWS)])

    @torch.no_grad()
    def predicted(self, images: Tensor) -> Tensor:
        """The most probable class of each image, shape ``[n]``; arguments as for ``features``."""
        return self.head(self.features(images)).argmax(1)


def random_features(
    shape: tuple[int, int, int], *, generator: torch.Generator, features: int = 64
) -> FeatureNetwork:
    """Features of fixed random convolutions, for images without labels: nothing is trained, so nothing is left out.

    They see differences of brightness and texture, and hardly what is shown. ``predicted`` means nothing.

    Args:
        shape: (C, H, W); H and W divisible by 4.
        generator: source of the weights, on a CPU; with the same one the features are the same.
        features: m.

    Raises:
        ValueError: sizes that are not positive integers, or not divisible as said; no generator.

    >>> network = random_features((1, 8, 8), generator=torch.Generator().manual_seed(0), features=16)
    >>> network.features(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape
    torch.Size([5, 16])
    """
    return _initial(shape, 1, features, generator).eval().requires_grad_(False)


def _initial(
    shape: tuple[int, int, int], classes: int, features: int, generator: torch.Generator
) -> FeatureNetwork:
    """A network whose first weights come from the generator, which moves on by one number."""
    seed = int(torch.randint(2**31 - 1, (1,), generator=_checks.generator_on(generator)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FeatureNetwork(shape, classes, features=features)


def train_features(
    data: LabelledImages,
    *,
    generator: torch.Generator,
    epochs: int = 20,
    batch: int = 100,
    features: int = 64,
    progress: bool = False,
) -> FeatureNetwork:
    """Train a classifier on labelled images: AdamW, rate 10⁻³ falling to nothing along a cosine.

    Args:
        data: the images; keep them away from all that is measured.
        generator: source of all randomness, on a CPU.
        epochs: how often each image is seen.
        batch: images of an update.
        features: m.
        progress: show a progress bar.

    Returns:
        The network, in ``eval`` mode and without gradients.

    Raises:
        ValueError: images that are not bytes, sizes that are not positive integers, fewer images than a batch.

    >>> images = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    >>> images[::2] = 255
    >>> data = LabelledImages(images, torch.arange(40) % 2, ("white", "black"))
    >>> network = train_features(data, generator=torch.Generator().manual_seed(0), batch=10, features=8)
    >>> bool((network.predicted(images) == data.labels).all())
    True
    """
    _checks.byte_images("data.images", data.images)
    batch, epochs = _checks.count("batch", batch), _checks.count("epochs", epochs)
    if len(data.images) < batch:
        _checks.refuse("batch", batch, f"there are {len(data.images)} images")
    depth, height, width = data.images.shape[1:]
    network = _initial((depth, height, width), len(data.classes), features, generator)
    updates = epochs * (len(data.images) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    with torch.enable_grad():
        for _ in tqdm(range(epochs), disable=not progress, desc="features"):
            order = torch.randperm(len(data.images), generator=generator)
            for rows in order[: len(order) - len(order) % batch].split(batch):
                loss = torch.nn.functional.cross_entropy(network(data.images[rows]), data.labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return network.eval().requires_grad_(False)
