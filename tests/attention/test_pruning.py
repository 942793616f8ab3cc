"""Centres that are passed over: what they would have added, in float64, against the bound on it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import needs_cuda, photographs, points, repeatable, seeded
from scoredrift import KernelDensity, attention
from scoredrift.attention import (
    balls,
    centre_index,
    plain_moments,
    pruned_moments,
    pruning,
    sketches,
    softmax_moments,
)


def lost(found, wanted, gain):
    """√g ‖Δ shift‖, g |Δ scatter| and |Δ log_sum| of each query, ``[3, n]``."""
    return torch.stack(
        [
            gain.double().sqrt() * (found.shift.double() - wanted.shift).norm(dim=1),
            gain.double() * (found.scatter.double() - wanted.scatter).abs(),
            (found.log_sum.double() - wanted.log_sum).abs(),
        ]
    )


def exact(y, gain, centres, log_weights=None):
    weights = None if log_weights is None else log_weights.double()
    return plain_moments(y.double(), gain.double(), centres.double(), weights)


LAYOUTS = {
    "one cloud": lambda n, d, g: torch.randn(n, d, generator=g),
    "near a plane": lambda n, d, g: torch.randn(n, 2, generator=g) @ torch.randn(2, d, generator=g),
    "clusters": lambda n, d, g: (
        8 * torch.randn(5, d, generator=g)[torch.randint(5, (n,), generator=g)]
        + torch.randn(n, d, generator=g)
    ),
    "pairs": lambda n, d, g: (
        torch.randn(n // 2, 1, d, generator=g) + 1e-3 * torch.randn(n // 2, 2, d, generator=g)
    ).flatten(0, 1),
    "one far away": lambda n, d, g: torch.cat([torch.randn(n - 1, d, generator=g), torch.full((1, d), 1e3)]),
    "all equal": lambda n, d, g: torch.ones(n, d),
    "around a shell": lambda n, d, g: torch.nn.functional.normalize(torch.randn(n, d, generator=g)),
}


INDICES = {"balls": balls._balls_of, "sketch": sketches._sketch_of}


def use_it_wherever(patch):
    """However many centres are left, and in blocks that are small beside the cases below."""
    patch.setattr(sketches, "_FEW", (1, 1))
    patch.setattr(balls, "_WORTH", 2.0)
    patch.setattr(balls, "_ROWS", 8)
    patch.setattr(balls, "_LOOK", 4)
    patch.setattr(balls, "_AT_ONCE", 500)


@pytest.fixture
def wherever(monkeypatch):
    use_it_wherever(monkeypatch)


def case(layout, seed, dim, weighted):
    g = seeded(seed)
    centres = LAYOUTS[layout](200, dim, g).double()
    near = centres[torch.randint(200, (40,), generator=g)]
    gain = 10 ** (4 * torch.rand(40, generator=g, dtype=torch.float64) - 1)
    y = near + torch.randn(40, dim, generator=g, dtype=torch.float64) / gain.sqrt()[:, None]
    y = torch.cat([y, 30 * torch.randn(5, dim, generator=g, dtype=torch.float64)])  # and some that are far
    gain = torch.cat([gain, gain[:5]])
    weights = 5 * torch.randn(200, generator=g, dtype=torch.float64) if weighted else None
    return y, gain, centres, weights


@repeatable
@given(
    kind=st.sampled_from(sorted(INDICES)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    seed=st.integers(0, 10**6),
    dim=st.sampled_from([1, 2, 3, 10, 60, 300]),
    weighted=st.booleans(),
    tolerance=st.sampled_from([1e-1, 1e-3, 1e-7]),
)
def test_what_is_passed_over_is_below_its_bound(kind, layout, seed, dim, weighted, tolerance):
    with pytest.MonkeyPatch.context() as patch:
        use_it_wherever(patch)
        y, gain, centres, weights = case(layout, seed, dim, weighted)
        found = pruned_moments(y, gain, index(kind, centres, weights), tolerance=tolerance)
        rounding = 1e-13 * (1 + gain * (y.square().sum(1).max() + centres.square().sum(1).max()))
        gaps = lost(found.moments, exact(y, gain, centres, weights), gain)
        assert bool((gaps <= found.missed + rounding).all())
        assert float(found.missed.max()) <= tolerance


def index(kind, centres, weights=None):
    """With blocks of balls that are small, too."""
    return INDICES[kind](centres, weights, **({"rows": 8} if kind == "balls" else {}))


def worst(kind, dim, tolerance=1e-3):
    """Largest of what is passed over, in units of the tolerance, over the layouts; and the least visited."""
    gaps, visited = [], []
    for layout in LAYOUTS:
        y, gain, centres, weights = case(layout, 7, dim, True)
        found = pruned_moments(y, gain, index(kind, centres, weights), tolerance=tolerance)
        gaps.append(float(lost(found.moments, exact(y, gain, centres, weights), gain).max()) / tolerance)
        visited.append(int(found.visited.min()))
    return max(gaps), min(visited)


def test_sketches_that_forget_the_rest_of_a_point_are_wrong(wherever, monkeypatch):
    assert worst("sketch", 10)[0] < 1
    # y·c taken for Py·Pc
    monkeypatch.setattr(sketches, "_split", lambda seen, squares: (seen, torch.zeros_like(squares)))
    assert worst("sketch", 10)[0] > 10


def shrunk(index):
    return index._replace(radii=0 * index.radii)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_balls_without_a_radius_are_wrong(wherever, monkeypatch, dim):
    off, visited = worst("balls", dim)
    assert off < 1
    assert visited < 100
    made = balls._balls_of
    monkeypatch.setitem(INDICES, "balls", lambda *given, **more: shrunk(made(*given, **more)))
    assert worst("balls", dim)[0] > 2


@pytest.mark.parametrize("dim", [1, 2])
def test_a_block_that_is_passed_over_weighs_no_more_than_was_said(wherever, dim):
    """A few centres to a block, so that those that matter lie on the edge of their balls."""
    g = seeded(1)
    visit = pruning._visit(torch.float64, torch.device("cpu"), dim)
    closest = -math.inf
    for _ in range(100):
        y, centres = (10 * torch.rand(n, dim, generator=g, dtype=torch.float64) for n in (20, 30))
        gain = 3 + 7 * torch.rand(20, generator=g, dtype=torch.float64)
        index = balls._balls_of(centres, rows=2)
        nearest, order = balls._nearest(y, index.means).sort()
        y, gain = y[order], gain[order]
        needed, most = balls._plan(y, gain, nearest, index, 1e-7, visit)
        far = gain[:, None].sqrt() * torch.cdist(y, index.centres)
        over = -0.5 * far.square() + 2 * far.log1p() - most[:, None]
        for rows, kept in zip(over.split(8), needed, strict=True):
            for block in (~kept).nonzero()[:, 0].tolist():
                closest = max(closest, float(rows[:, index.block == block].logsumexp(1).max()))
    assert -2 < closest < 0  # and it is no bound that costs much


@pytest.mark.parametrize("kind", INDICES)
def test_many_that_are_far_count_for_more_than_one(wherever, kind):
    """400 equal centres just beyond the edge weigh 400 times as much as one."""
    tolerance, dim = 1e-3, 4
    # e^{−10.6}, of which one is below the tolerance, x² = 21 of it is not
    far = torch.tensor([4.6, 0.0, 0.0, 0.0])
    centres = torch.cat([torch.zeros(1, dim), far.repeat(400, 1)]).double()
    y, gain = torch.zeros(1, dim).double(), torch.ones(1).double()
    found = pruned_moments(y, gain, INDICES[kind](centres), tolerance=tolerance)
    assert float(lost(found.moments, exact(y, gain, centres), gain).max()) < tolerance
    assert found.visited.tolist() == [401]


@pytest.mark.parametrize("kind", INDICES)
def test_the_bound_is_not_far_from_what_is_passed_over(wherever, kind):
    """One centre at the query, 400 at a distance that grows: once they are passed over, the bound is about right."""
    y, gain, ratios = torch.zeros(1, 4).double(), torch.ones(1).double(), []
    for distance in torch.linspace(4, 12, 161).tolist():
        far = torch.tensor([[distance, 0.0, 0.0, 0.0]]).double().repeat(400, 1)
        centres = torch.cat([torch.zeros(1, 4).double(), far])
        found = pruned_moments(y, gain, INDICES[kind](centres), tolerance=1e-3)
        if int(found.visited) < 401:
            gaps = lost(found.moments, exact(y, gain, centres), gain)
            ratios.append(float(found.missed) / float(gaps.max()))
    assert 1 < min(ratios) < 300


def test_centres_that_come_twice_in_their_order_fall_into_blocks_all_the_same():
    """Blocks of five are filled up with the first 1023 points, which are all of one place here and fill some alone."""
    centres = torch.cat([torch.zeros(1023, 2), 100 + torch.randn(3074, 2, generator=seeded(1))])
    index = balls._balls_of(centres, rows=8)
    assert bool(index.means.isfinite().all())
    assert len(index.means) > 500
    assert int(index.block.bincount().sum()) == len(centres)


def test_balls_are_not_used_where_they_leave_nearly_all():
    centres, y = points(1, 2000, 10), points(2, 500, 10)
    gain = torch.ones(500).double()
    found = pruned_moments(y, gain, centre_index(centres))
    assert found.visited.unique().tolist() == [2000]
    wanted = softmax_moments(y, gain, centres)
    torch.testing.assert_close(tuple(found.moments), tuple(wanted), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("offset", [300.0, 1000.0])
def test_far_clusters_keep_their_digits(offset):
    """In float32 the centres of each have an origin of their own, that of the queries near them."""
    g = seeded(1)
    sides = offset * torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    centres = (sides[torch.randint(4, (4000,), generator=g)] + torch.randn(4000, 2, generator=g)).float()
    y, gain = centres + 0.2 * torch.randn(4000, 2, generator=g), torch.full((4000,), 20.0)
    found, wanted = pruned_moments(y, gain, centre_index(centres)), exact(y, gain, centres)
    # A quarter, and all where a block of queries has two clusters.
    assert float(found.visited.double().mean()) < 2200
    assert float((found.moments.shift - wanted.shift).norm() / wanted.shift.norm()) < 3e-5
    assert float((found.moments.log_sum - wanted.log_sum).abs().max()) < 2e-3  # from all centres, 9e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_are_visited_where_few_have_weight(dtype):
    centres = points(1, 3000, 96).to(dtype)
    y = centres[:600] + 0.1 * points(2, 600, 96).to(dtype)
    gain = torch.full((600,), 100.0, dtype=dtype)
    found = pruned_moments(y, gain, sketches._sketch_of(centres))
    assert float(found.visited.double().mean()) < 3
    assert float(found.missed.max()) <= torch.finfo(dtype).eps
    gaps = lost(found.moments, exact(y, gain, centres), gain)
    assert float(gaps.max()) < (1e-3 if dtype == torch.float32 else 1e-11)  # of log-sums of a hundred


def test_tolerance_zero_visits_all():
    centres = points(1, 50, 600)
    found = pruned_moments(
        centres, torch.full((50,), 10.0).double(), sketches._sketch_of(centres), tolerance=0
    )
    wanted = softmax_moments(centres, torch.full((50,), 10.0).double(), centres)
    assert found.visited.tolist() == [50] * 50
    assert float(found.missed.max()) == 0
    torch.testing.assert_close(tuple(found.moments), tuple(wanted), rtol=0, atol=0)


def test_all_queries_are_answered_whatever_the_size_of_a_block(monkeypatch):
    centres, gain = points(1, 300, 64), 10 ** torch.linspace(-2, 2, 90, dtype=torch.float64)
    y = centres[:90] + points(2, 90, 64) / gain.sqrt()[:, None]
    wanted = exact(y, gain, centres)
    for rows in (1, 7, 20):
        monkeypatch.setattr(sketches, "_ROWS", rows)
        found = pruned_moments(y, gain, sketches._sketch_of(centres))
        torch.testing.assert_close(tuple(found.moments), tuple(wanted), rtol=1e-9, atol=1e-9)
        assert 1 <= int(found.visited.min()) < 10 < int(found.visited.max()) == 300


def test_bounds_take_no_more_room_than_they_may(monkeypatch):
    monkeypatch.setattr(sketches, "_BOUNDS", 2000)
    monkeypatch.setattr(sketches.torch, "mm", watched := Watched(torch.mm))
    centres = points(1, 300, 64)
    pruned_moments(centres, torch.ones(300).double(), sketches._sketch_of(centres))
    assert 0 < watched.most <= 2000


class Watched:
    """A product that remembers the largest it has made."""

    def __init__(self, product):
        self.product, self.most = product, 0

    def __call__(self, one, other, *, out):
        self.most = max(self.most, len(one) * other.shape[1])
        return self.product(one, other, out=out)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_law_of_many_pictures_uses_it_and_a_tolerance_of_zero_does_not(monkeypatch, weighted):
    monkeypatch.setattr(pruning, "_NUMBERS", 10**5)
    centres = photographs(1000, 512, 1)
    weights = torch.softmax(points(3, 1, 1000).float()[0], 0) if weighted else None
    law = KernelDensity(centres, 1e-3, weights)
    x = law.diffuse(0.02).sample(600, generator=seeded(2))
    found, whole = law.at(x, 0.02), KernelDensity(centres, 1e-3, weights, tolerance=0.0).at(x, 0.02)
    wanted = KernelDensity(
        centres.double(), 1e-3, None if weights is None else law.to(dtype=torch.float64).weights
    )
    wanted = wanted.at(x.double(), 0.02)
    for one, other, right in zip(found, whole, wanted, strict=True):
        assert float((one - right).norm() / right.norm()) < 1e-5
        assert float((other - right).norm() / right.norm()) < 1e-5
    assert not torch.equal(found.score, whole.score)  # by another road
    monkeypatch.setattr(attention, "pruned_moments", None)  # would be called
    assert torch.equal(KernelDensity(centres, 1e-3, weights, tolerance=0.0).at(x, 0.02).score, whole.score)
    assert law.at(x[:50], 0.02).score.shape == (50, 512)  # too few to be worth it
    with pytest.raises(TypeError):
        law.at(x, 0.02)


def test_tolerance_travels_with_the_law():
    law = KernelDensity(torch.zeros(3, 2), 1.0, tolerance=1e-3)
    assert law.diffuse(1.0).tolerance == law.to(dtype=torch.float64).tolerance == 1e-3
    with pytest.raises(ValueError, match="tolerance"):
        KernelDensity(torch.zeros(3, 2), 1.0, tolerance=-1.0)


def test_gradients_follow_the_law_all_the_same(monkeypatch):
    monkeypatch.setattr(pruning, "_NUMBERS", 10**5)
    law = KernelDensity(points(1, 300, 512), 1.0)
    x = points(2, 600, 512).requires_grad_()
    log_density, score, _ = law.at(x, 0.5)
    (gradient,) = torch.autograd.grad(log_density.sum(), x)
    torch.testing.assert_close(gradient, score)


@needs_cuda
@pytest.mark.parametrize("dim", [2, 10])
def test_balls_on_cuda_as_on_the_cpu(dim):
    centres = LAYOUTS["clusters"](30_000, dim, seeded(1))
    y, gain = centres[:20_000] + 0.1 * points(2, 20_000, dim).float(), torch.full((20_000,), 9.0)
    there = pruned_moments(y.cuda(), gain.cuda(), centre_index(centres.cuda()))
    here = pruned_moments(y, gain, centre_index(centres))
    assert float((there.visited.cpu() - here.visited).abs().double().mean()) < 300
    assert float(there.visited.double().mean()) < 15_000
    assert float(there.missed.max()) <= torch.finfo(torch.float32).eps
    wanted = exact(y[:500], gain[:500], centres)
    assert (
        float((there.moments.shift[:500].double().cpu() - wanted.shift).norm() / wanted.shift.norm()) < 1e-5
    )


@needs_cuda
def test_on_cuda_as_on_the_cpu():
    centres = photographs(3000, 600, 1)
    y, gain = centres[:700] + 0.1 * points(2, 700, 600).float(), torch.full((700,), 100.0)
    there = pruned_moments(y.cuda(), gain.cuda(), sketches._sketch_of(centres.cuda()))
    wanted = exact(y, gain, centres)
    assert float((there.moments.shift.double().cpu() - wanted.shift).norm() / wanted.shift.norm()) < 1e-5
    assert float(there.visited.double().mean()) < 3
