"""Where it drifts: deviations of single features, and their errors."""

from __future__ import annotations

import pytest
import torch

from helpers import seeded
from scoredrift.pipelines import feature_shifts


def test_values_and_errors_are_right():
    """Two features that depend on each other, of other units and spreads; the scatter is that of the errors."""
    gaps = []
    for run in range(300):
        g = seeded(run)
        known = torch.randn(400, 2, generator=g, dtype=torch.float64)
        seen = torch.randn(300, 2, generator=g, dtype=torch.float64) * torch.tensor([2.0, 0.5]) + 0.3
        mix = torch.tensor([[5.0, 1.0], [0.0, 0.01]], dtype=torch.float64)
        shifted = feature_shifts(known @ mix + 7, seen @ mix + 7)
        unit = mix.square().sum(0).sqrt()
        for one, truth in zip(shifted, 0.3 * mix.sum(0) / unit, strict=True):
            gaps.append(one.sigmas_from(float(truth)))
    gaps = torch.tensor(gaps)
    assert abs(float(gaps.mean())) < 0.3
    assert 0.9 < float(gaps.std()) < 1.1


@pytest.mark.parametrize(
    ("data", "sample", "name"),
    [
        (torch.zeros(5, 2), torch.zeros(5, 2), "data = feature"),
        (torch.randn(5, 2, generator=seeded(0)), torch.zeros(5, 3), "sample"),
        (torch.randn(5, 2, generator=seeded(0)), torch.zeros(1, 2), "sample.shape"),
        (torch.randn(1, 2, generator=seeded(0)), torch.zeros(5, 2), "data.shape"),
        (torch.randn(5, 2, generator=seeded(0)), torch.full((5, 2), torch.nan), "sample = 10 of 10"),
        ([1.0], torch.zeros(5, 2), "data"),
    ],
)
def test_bad_input_is_named(data, sample, name):
    with pytest.raises(ValueError, match=name):
        feature_shifts(data, sample)
