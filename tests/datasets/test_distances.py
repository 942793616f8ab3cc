"""Distances of samples in features: closed forms for Gaussians, sums over all pairs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from helpers import seeded
from scoredrift.datasets import frechet_distance, kernel_distance, precision_and_recall

pytest.importorskip("torchmetrics")


def normal(n, m, seed, dtype=torch.float64):
    return torch.randn(n, m, generator=seeded(seed), dtype=dtype)


def test_the_frechet_distance_is_that_of_the_moments():
    mix = normal(4, 4, 0)
    x, y = normal(300, 4, 1), normal(500, 4, 2) @ mix + 0.5
    one, other = (np.cov(z.numpy().T) for z in (x, y))
    gap = (x.mean(0) - y.mean(0)).square().sum()
    wanted = float(gap) + np.trace(one + other - 2 * np.real(sqrtm(one @ other)))
    assert frechet_distance(x, y) == pytest.approx(wanted, rel=1e-6)


def test_the_kernel_distance_is_a_mean_over_pairs_of_different_points():
    x, y = normal(60, 3, 3), normal(70, 3, 4) + 0.3

    def kernel(a, b):
        return (1 + a @ b / 3) ** 3

    blocks = []
    for at in range(0, 60, 20):
        a, b = x[at : at + 20].numpy(), y[at : at + 20].numpy()
        own = [sum(kernel(z[i], z[j]) for i in range(20) for j in range(20) if i != j) / 380 for z in (a, b)]
        blocks.append(sum(own) - 2 * np.mean([[kernel(p, q) for q in b] for p in a]))
    found = kernel_distance(x, y, blocks=3)
    assert found.value == pytest.approx(np.mean(blocks))
    assert found.stderr == pytest.approx(np.std(blocks, ddof=1) / 3**0.5)


def test_the_kernel_distance_is_unbiased_and_knows_its_error():
    several = [kernel_distance(normal(100, 2, 2 * s), normal(100, 2, 2 * s + 1)) for s in range(200)]
    values = np.array([one.value for one in several])
    assert abs(values.mean()) < 5 * values.std() / 200**0.5
    assert np.mean([one.stderr**2 for one in several]) == pytest.approx(values.var(), rel=0.5)


def test_precision_and_recall_on_a_line_by_hand():
    x = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    y = torch.tensor([[1.4], [4.0], [30.0], [31.0]])
    # Reach of x by one neighbour: 1, 1, 1, 8; of y: 2.6, 2.6, 1, 1. Of y, 1.4 and 4 are within reach of x; of x all
    # but 10 are within reach of y.
    found = precision_and_recall(x, y, neighbours=1)
    assert (found.precision.value, found.recall.value) == (0.5, 0.75)


@pytest.mark.parametrize("use", [frechet_distance, kernel_distance, precision_and_recall])
@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (normal(50, 3, 0), normal(50, 2, 0), "y"),
        (normal(50, 3, 0), normal(50, 3, 0).float(), "y"),
        (normal(50, 3, 0) * np.nan, normal(50, 3, 0), "x"),
        (normal(2, 3, 0), normal(50, 3, 0), r"x\.shape"),
        (normal(50, 3, 0), normal(2, 3, 0), r"y\.shape"),
        (normal(50, 3, 0)[:, :0], normal(50, 3, 0)[:, :0], r"x\.shape"),
        (None, normal(50, 3, 0), "x"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(use, x, y, what):
    with pytest.raises(ValueError, match=f"^{what}"):
        use(x, y)
