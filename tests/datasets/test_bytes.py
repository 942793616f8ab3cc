"""Bytes, their law and a classifier: what is no image is refused."""

from __future__ import annotations

import pytest
import torch

from helpers import seeded
from scoredrift.datasets import (
    FeatureNetwork,
    LabelledImages,
    PixelLaw,
    PrincipalComponents,
    digits,
    middles,
    random_features,
    spread_levels,
    to_bytes,
    train_features,
)

BYTES = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
NETWORK = FeatureNetwork((1, 8, 8), 10, features=16)


@pytest.mark.parametrize(
    "use",
    [
        PixelLaw,
        middles,
        lambda x: spread_levels(x, generator=seeded(0)),
        NETWORK.features,
        NETWORK.predicted,
        lambda x: train_features(LabelledImages(x, torch.zeros(3), ("a",)), generator=seeded(0), batch=1),
    ],
)
@pytest.mark.parametrize(
    ("images", "what"),
    [
        (BYTES.float(), "dtype = torch.float32"),
        (BYTES.int(), "dtype = torch.int32"),
        (BYTES.numpy(), "dtype = ndarray"),
        (None, "dtype = NoneType"),
        (BYTES[0], "shape = "),
        (BYTES[:0], "shape = "),
        (BYTES[..., :0], "shape = "),
    ],
)
def test_what_is_no_image_is_refused(use, images, what):
    with pytest.raises(ValueError, match=rf"images\.{what}.*: pass "):
        use(images)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"^images\.shape = \[3, 1, 8, 4\]: pass images"):
        NETWORK.features(BYTES[..., :4])


@pytest.mark.parametrize(
    ("sizes", "what"),
    [
        (((1, 8, 6), 10), "^shape = "),
        (((1, 8, 8), 0), "^classes = 0"),
        (((1, 0, 8), 2), "^shape = 0"),
    ],
)
def test_networks_of_wrong_sizes_are_refused(sizes, what):
    with pytest.raises(ValueError, match=what):
        FeatureNetwork(*sizes)


def test_a_training_asks_for_a_batch_of_images_and_a_generator():
    data = LabelledImages(BYTES, torch.zeros(3, dtype=torch.long), ("a", "b"))
    with pytest.raises(ValueError, match=r"^batch = 100: there are 3 images"):
        train_features(data, generator=seeded(0))
    with pytest.raises(ValueError, match=r"^epochs = 0"):
        train_features(data, generator=seeded(0), batch=1, epochs=0)
    with pytest.raises(ValueError, match=r"^generator = "):
        train_features(data, generator=None, batch=1)


def test_a_classifier_tells_digits_apart_and_comes_back_with_the_seed():
    data = digits()
    before = torch.random.get_rng_state()
    one, two = (train_features(data.part(0, 1200), generator=seeded(3), batch=50) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    rest = data.part(1200, 1797)
    assert float((one.predicted(rest.images) == rest.labels).double().mean()) > 0.85
    assert not any(weight.requires_grad for weight in one.parameters())
    assert torch.equal(one.head(one.features(rest.images)).argmax(1), one.predicted(rest.images))


@pytest.mark.parametrize(
    ("first", "last", "what"), [(0, 0, "last"), (2, 1, "last"), (-1, 1, "first"), (0, 4, "last")]
)
def test_parts_lie_within_the_data(first, last, what):
    with pytest.raises(ValueError, match=f"^{what} = "):
        LabelledImages(BYTES, torch.zeros(3, dtype=torch.long), ("a",)).part(first, last)


@pytest.mark.parametrize("n", [0, -1, 1.5, None])
def test_a_law_draws_whole_numbers_of_images(n):
    with pytest.raises(ValueError, match=r"^n = "):
        PixelLaw(BYTES).sample(n, generator=seeded(0))


def test_points_that_do_not_fit_the_shape_are_refused():
    with pytest.raises(ValueError, match=r"^x\.shape = "):
        to_bytes(torch.zeros(2, 5), (1, 2, 2))


@pytest.mark.parametrize("m", [0, 4, 1.5])
def test_there_are_no_more_components_than_points_and_coordinates(m):
    with pytest.raises(ValueError, match=r"^m = "):
        PrincipalComponents.fit(torch.randn(3, 7, generator=seeded(0)), m)


def test_random_features_are_fixed_and_see_texture():
    images = torch.randint(0, 256, (400, 1, 8, 8), generator=seeded(5), dtype=torch.uint8)
    smooth = images.float().mean((2, 3), keepdim=True).expand(-1, -1, 8, 8).to(torch.uint8)
    state = torch.get_rng_state()
    one, two = (random_features((1, 8, 8), generator=seeded(4), features=8) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.features(images), two.features(images))
    other = random_features((1, 8, 8), generator=seeded(6), features=8)
    assert not torch.equal(one.features(images), other.features(images))
    gap = one.features(images).mean(0) - one.features(smooth).mean(0)
    assert float((gap / one.features(images).std(0)).norm()) > 0.5
    assert not any(weight.requires_grad for weight in one.parameters())
    for bad in ({"shape": (1, 7, 8)}, {"features": 0}, {"generator": None}):
        arguments = {"shape": (1, 8, 8), "generator": seeded(4), "features": 8} | bad
        with pytest.raises(ValueError, match=f"^{next(iter(bad))} = "):
            random_features(**arguments)
