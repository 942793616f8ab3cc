"""Curation: probabilities, convex means, caps, and points that are really thinned."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import repeatable, seeded
from scoredrift.generations import curate, decompose


def laws(seed, cells, number=2, sharpness=1.5):
    noise = torch.randn(number, cells, generator=seeded(seed), dtype=torch.float64)
    return torch.softmax(sharpness * noise, 1)


def chi2(law, p):
    return float(((law / p - 1) ** 2) @ p)


CONVEX = {
    "χ²": lambda r: (r - 1) ** 2,
    "KL": lambda r: torch.special.xlogy(r, r),
    "TV": lambda r: 0.5 * (r - 1).abs(),
    "a hinge": lambda r: (r - 0.4).clamp(min=0),
    "fourth power": lambda r: r**4,
}
seeds, sizes = st.integers(0, 10**6), st.integers(2, 12)


@repeatable
@given(seeds, sizes, st.floats(0.05, 20), st.booleans())
def test_thinning_increases_no_convex_mean(seed, cells, cap, top_up):
    p, model = laws(seed, cells)
    found = curate(p, model, cap=cap, top_up=top_up)
    assert float(found.law.sum()) == pytest.approx(1)
    for mean in CONVEX.values():
        assert float(mean(found.law / p) @ p) <= float(mean(model / p) @ p) + 1e-12


@repeatable
@given(seeds, sizes, st.floats(2, 20))
def test_rejecting_with_a_top_up_increases_no_chi2(seed, cells, cap):
    p, model = laws(seed, cells, sharpness=2.5)
    found = curate(p, model, cap=cap, reject=True)
    left = model.where(model <= cap * p, 0.0)
    identity = float(((left / p - 1) ** 2) @ p) - found.removed**2
    assert chi2(found.law, p) == pytest.approx(identity, abs=1e-12)
    assert chi2(found.law, p) <= chi2(model, p) + 1e-12


@repeatable
@given(seeds, sizes, st.floats(0.5, 20), st.booleans(), st.floats(0.02, 1))
def test_with_a_top_up_everything_is_bounded(seed, cells, cap, reject, alpha):
    p, model, new = laws(seed, cells, 3, 3.0)
    law, removed = curate(p, model, cap=cap, reject=reject)
    assert float((law / p).max()) <= cap + removed + 1e-12
    assert chi2(law, p) <= cap + removed - 1 + 1e-9
    step = decompose(p, law, new, alpha=alpha)
    assert step.forcing <= (alpha + (1 - alpha) * (cap + removed)) * step.innovation * (1 + 1e-9)


def test_rejecting_can_make_it_worse():
    p = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
    model = torch.tensor([0.51, 0.475, 0.015], dtype=torch.float64)
    found = curate(p, model, cap=2.0, reject=True, top_up=False)
    assert found.law[0] == 0
    assert chi2(found.law, p) > 2 * chi2(model, p)


def test_it_is_what_happens_to_points():
    p, model = laws(3, 4, sharpness=2.0)
    cap, n = 1.3, 400_000
    g = np.random.default_rng(0)
    points = g.choice(4, n, p=model.numpy())
    keep = g.random(n) < np.minimum(1, cap / (model / p).numpy()[points])
    fresh = g.choice(4, int((~keep).sum()), p=p.numpy())
    counts = np.bincount(np.concatenate([points[keep], fresh]), minlength=4) / n
    found = curate(p, model, cap=cap)
    assert found.removed > 0.05
    assert abs((~keep).mean() - found.removed) < 5 * math.sqrt(0.25 / n)
    assert np.abs(counts - found.law.numpy()).max() < 5 * math.sqrt(0.25 / n)


def test_a_cap_above_all_ratios_changes_nothing():
    p, model = laws(4, 6)
    for options in ({}, {"reject": True}, {"top_up": False}):
        found = curate(p, model, cap=1e6, **options)
        assert found.removed == 0
        assert torch.equal(found.law, model)


def test_cells_without_data_are_emptied():
    p, model = (torch.tensor(x, dtype=torch.float64) for x in ([0.5, 0.5, 0.0], [0.3, 0.3, 0.4]))
    assert curate(p, model, cap=5.0).law.tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_bad_input_is_refused():
    p, model = laws(5, 3)
    with pytest.raises(ValueError, match="cap"):
        curate(p, model, cap=0.0)
    with pytest.raises(ValueError, match=r"model\.shape"):
        curate(p, torch.ones(4, dtype=torch.float64) / 4, cap=2.0)
    with pytest.raises(ValueError, match="nothing is left"):
        curate(*torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double(), cap=2.0, top_up=False)
