"""Classes that thin out, and copies: coverage of intervals, known ratios, and bad input."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binom

from helpers import seeded
from scoredrift.pipelines import class_shares, nearest_ratio


@pytest.mark.parametrize(("share", "most"), [(0.001, 1.0), (0.02, 0.98), (0.3, 0.95), (0.99, 0.99)])
def test_intervals_hold_at_least_as_often_as_they_say(share, most):
    """Summed over all counts, no sampling: exact coverage, at least 90 per cent, and not all of it."""
    n, held = 200, 0.0
    known = torch.zeros(n, dtype=torch.long)
    for k in range(n + 1):
        seen = (torch.arange(n) < k).long()
        told = class_shares(known, seen, classes=2, within=0.9)[1].sample
        assert told.value == k / n
        held += float(binom.pmf(k, n, share)) * (told.low <= share <= told.high)
    assert 0.9 <= held < most


def test_a_class_that_was_not_seen_may_be_there():
    known, seen = torch.arange(1000) % 10, torch.arange(900) % 9
    rarest = class_shares(known, seen, classes=10)[9]
    assert rarest.sample.value == rarest.sample.low == 0
    assert rarest.sample.high == pytest.approx(1 - 0.025 ** (1 / 900))
    assert rarest.moved
    assert not class_shares(known, torch.arange(20) % 10, classes=10)[9].moved


def test_copies_have_no_distance_and_new_data_have_that_of_new_data():
    gaps = []
    for run in range(100):
        g = seeded(run)
        training, new, held = (torch.randn(300, 3, generator=g, dtype=torch.float64) for _ in range(3))
        found = nearest_ratio(training, new, held)
        gaps.append(found.sigmas_from(1))
        chosen = torch.randint(300, (100,), generator=g)
        assert nearest_ratio(training, training[chosen], held).value == 0
        half = torch.cat([training[chosen], new[:100]])
        assert 0.3 < nearest_ratio(training, half, held).value < 0.7
    scatter = torch.tensor(gaps)
    assert abs(float(scatter.mean())) < 0.5
    assert 0.8 < float(scatter.std()) < 1.25


def test_small_distances_far_from_the_origin_are_not_lost():
    """In float32 squares of a thousand would swallow them."""
    x = torch.randn(500, 2, generator=seeded(0)) * 1e-2 + 1e3
    found = nearest_ratio(x[:200], x[200:350], x[350:])
    assert abs(found.sigmas_from(1)) < 5
    assert found.stderr < 0.2


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: class_shares(torch.zeros(3), torch.zeros(3).long(), classes=2), "data"),
        (lambda: class_shares(torch.zeros(3).long(), torch.zeros(0).long(), classes=2), "sample"),
        (
            lambda: class_shares(torch.zeros(3).long(), torch.tensor([0, 2]), classes=2),
            "sample = classes 0 to 2",
        ),
        (lambda: class_shares([0], torch.tensor([0]), classes=2), "data = a list"),
        (lambda: class_shares(torch.zeros(3).long(), torch.tensor([0]), classes=0), "classes"),
        (lambda: class_shares(torch.zeros(3).long(), torch.tensor([0]), classes=1, within=1), "within"),
        (lambda: nearest_ratio(torch.zeros(5, 2), torch.zeros(5, 3), torch.zeros(5, 2)), "sample"),
        (lambda: nearest_ratio(torch.zeros(5, 2), torch.zeros(5, 2), torch.zeros(1, 2)), "held_out"),
        (
            lambda: nearest_ratio(torch.zeros(5, 2), torch.zeros(5, 2), torch.zeros(5, 2)),
            "held_out = all of it",
        ),
        (lambda: nearest_ratio(torch.zeros(5, 2), torch.full((5, 2), math.nan), torch.zeros(5, 2)), "sample"),
        (lambda: nearest_ratio(torch.zeros(0, 2), torch.zeros(5, 2), torch.zeros(5, 2)), "training"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
