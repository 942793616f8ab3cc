"""Attention in many dimensions, against brute force in float64: slabs, origins, and queries taken again."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import needs_cuda, photographs, points, repeatable, seeded
from scoredrift import KernelDensity
from scoredrift.attention import Moments, fused, plain_moments, softmax_moments, wide


def exact(y, gain, centres, log_weights=None):
    weights = None if log_weights is None else log_weights.double()
    return plain_moments(y.double(), gain.double(), centres.double(), weights)


def off(found, wanted):
    """Largest relative deviation of the rows of each moment, of shift and scatter in units of what is there."""
    scales = (wanted.shift.norm(dim=1), 1e-3 + wanted.scatter, 1 + wanted.log_sum.abs())
    gaps = [
        (one.double() - other).reshape(len(one), -1).norm(dim=1)
        for one, other in zip(found, wanted, strict=True)
    ]
    return [float((gap / size).max()) for gap, size in zip(gaps, scales, strict=True)]


@pytest.fixture
def small_slabs(monkeypatch):
    monkeypatch.setattr(wide, "_ROWS", 16)
    monkeypatch.setattr(wide, "_SLAB_ON_CPU", 40)


def always_wide(y, gain, centres, log_weights=None):
    return wide._wide(y, gain, centres, log_weights)


@repeatable
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), m=st.integers(1, 60), dim=st.integers(1, 9))
def test_slabs_add_up_to_the_sum_over_all_centres(seed, n, m, dim):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wide, "_ROWS", 16)
        patch.setattr(wide, "_SLAB_ON_CPU", 40)
        y, centres = points(seed, n, dim), points(seed + 1, m, dim)
        chances = torch.softmax(2 * torch.randn(m, generator=seeded(seed), dtype=torch.float64), 0).log()
        gain = 0.05 + 5 * torch.rand(n, generator=seeded(seed + 2), dtype=torch.float64)
        for weights in (None, chances):
            found = always_wide(y, gain, centres, weights)
            torch.testing.assert_close(
                tuple(found), tuple(exact(y, gain, centres, weights)), rtol=1e-9, atol=1e-9
            )


@pytest.mark.parametrize(
    ("count", "most", "rows"),
    [(50_000, 43_690, 25_024), (10_000, 1365, 1280), (50_000, 10**6, 50_016), (10, 4, 4), (9, 4, 3)],
)
def test_slabs_are_of_about_one_size_and_begin_where_vectors_do(count, most, rows):
    assert wide._rows_of_slabs(count, most) == rows


@pytest.mark.parametrize("dim", [600, 3072])
@pytest.mark.parametrize("t", [0.002, 0.02, 0.3, 2.0])
def test_single_precision_keeps_five_digits_where_one_image_has_all_the_weight_and_where_many_share(dim, t):
    centres = photographs(600, dim, 1)
    law = KernelDensity(centres, 1e-3)
    x = law.diffuse(t).sample(60, generator=seeded(2))
    found, wanted = law.at(x, t), KernelDensity(centres.double(), 1e-3).at(x.double(), t)
    for one, other in zip(found, wanted, strict=True):
        assert float((one.double() - other).norm() / other.norm()) < 1e-5


def rivals(device="cpu"):
    """Queries between two centres that are far from the origin: float32 cannot tell them apart by products."""
    g = seeded(3)
    pairs = 30 + torch.randn(50, 1, 400, generator=g) + 0.05 * torch.randn(50, 2, 400, generator=g)
    y = pairs.mean(1) + 0.01 * torch.randn(50, 400, generator=g)
    lots = torch.cat([pairs.flatten(0, 1), -pairs.flatten(0, 1)])
    return y.to(device), torch.full((50,), 40.0, device=device), lots.to(device)


@pytest.mark.parametrize("weighted", [False, True])
def test_doubtful_queries_are_taken_again(small_slabs, monkeypatch, weighted):
    y, gain, centres = rivals()
    weights = torch.linspace(-1, 1, len(centres)) if weighted else None
    wanted = exact(y, gain, centres, weights)
    assert max(off(always_wide(y, gain, centres, weights), wanted)[:2]) < 1e-4
    monkeypatch.setattr(wide, "_uncertain", lambda shift, *_: torch.zeros(len(shift), dtype=torch.bool))
    assert max(off(always_wide(y, gain, centres, weights), wanted)[:2]) > 1e-3


def test_taken_again_from_few_centres_where_few_can_count(monkeypatch):
    y, gain, centres = rivals()
    seen = []

    def watched(y, gain, centres, log_weights):
        seen.append(len(centres))
        return Moments(*plain_moments(y, gain, centres, log_weights))

    monkeypatch.setattr(wide, "_plain", watched)
    always_wide(y, gain, centres)
    assert seen
    assert max(seen) < len(centres) / 10


def test_groups_that_are_far_apart_share_an_origin_and_are_right_all_the_same():
    """Rounding moves their logits by thousands of nats, so that the largest one may be of the wrong centre."""
    y, gain, centres = rivals()
    side = torch.where(torch.arange(len(y)) % 2 == 0, 3000.0, -3000.0)[:, None]
    pairs = centres[: 2 * len(y)] + side.repeat_interleave(2, 0)
    found, wanted = always_wide(y + side, gain, pairs), exact(y + side, gain, pairs)
    assert max(off(found, wanted)) < 1e-2  # of their own digits, 4 · 10⁻⁴ are left
    assert float(found.scatter.min()) > 0


def test_an_origin_of_their_own_spares_queries_a_second_look(monkeypatch):
    centres = 100 + photographs(300, 600, 7)
    y = centres[:50] + 0.3 * torch.randn(50, 600, generator=seeded(8))
    monkeypatch.setattr(wide, "_plain", None)  # would be called
    found, wanted = (
        always_wide(y, torch.full((50,), 10.0), centres),
        exact(y, torch.full((50,), 10.0), centres),
    )
    assert max(off(found, wanted)[::2]) < 1e-5


def test_a_query_that_is_far_from_all_centres_is_taken_from_all_of_them(small_slabs):
    centres = photographs(100, 300, 4)
    y = torch.full((3, 300), 1e4)
    gain = torch.full((3,), 1e-3)
    found, wanted = always_wide(y, gain, centres), exact(y, gain, centres)
    assert max(off(found, wanted)) < 1e-5


def test_a_centre_at_the_end_of_the_world_is_not_seen():
    """Times 10²⁶, its square, even a weight of e⁻⁶⁰ would be."""
    y, centres = points(5, 9, 400).float(), points(6, 30, 400).float()
    far = torch.cat([centres, torch.full((1, 400), 1e13)])
    gain = torch.full((9,), 0.01)
    found, wanted = always_wide(y, gain, far), exact(y, gain, centres)
    assert max(off(found, wanted)) < 1e-5


def test_centres_of_weight_zero_do_not_count(small_slabs):
    y, centres = points(5, 9, 4), points(6, 30, 4)
    weights = torch.where(torch.arange(30) % 3 == 0, 0.0, -torch.inf).double()
    torch.testing.assert_close(
        tuple(always_wide(y, torch.ones(9).double(), centres, weights)),
        tuple(exact(y, torch.ones(9).double(), centres[::3])),
    )


def test_many_dimensions_take_the_wide_route_and_few_do_not(monkeypatch):
    taken = []
    monkeypatch.setattr(fused, "_wide", lambda *inputs: taken.append(inputs[0].shape[1]))
    for dim in (wide.WIDE - 1, wide.WIDE):
        softmax_moments(torch.zeros(2, dim), torch.ones(2), torch.zeros(3, dim))
    assert taken == [wide.WIDE]


GROWTH = r"""
import re
from pathlib import Path
import torch
from scoredrift.attention import softmax_moments

def kibibytes(name):
    return int(re.search(name + r":\s+(\d+)", Path("/proc/self/status").read_text())[1])

g = torch.Generator().manual_seed(0)
centres, y = torch.randn(20_000, 1024, generator=g), torch.randn(3000, 1024, generator=g)
softmax_moments(y[:10], torch.ones(10), centres[:10])
Path("/proc/self/clear_refs").write_text("5")
before = kibibytes("VmRSS")
softmax_moments(y, torch.full((3000,), 1e-3), centres)
print(kibibytes("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_a_slab_and_the_answer():
    """The weights would take 229 MiB, centres about an origin 78; the answer takes 12, its copies as much."""
    run = subprocess.run([sys.executable, "-c", GROWTH], check=True, capture_output=True, text=True)
    assert int(run.stdout) / 1024 < 200


@needs_cuda
@pytest.mark.parametrize("dim", [200, 3072])
def test_on_cuda_the_score_of_images_agrees_with_float64_on_the_cpu(dim):
    centres = photographs(3000, dim, 1)
    there, wanted = KernelDensity(centres.cuda(), 1e-3), KernelDensity(centres.double(), 1e-3)
    for t in (0.002, 0.02, 0.3, 2.0):
        x = KernelDensity(centres, 1e-3).diffuse(t).sample(100, generator=seeded(2))
        for one, other in zip(there.at(x.cuda(), t), wanted.at(x.double(), t), strict=True):
            assert float((one.double().cpu() - other).norm() / other.norm()) < 1e-5


@needs_cuda
def test_on_cuda_doubtful_queries_are_taken_again():
    y, gain, centres = rivals("cuda")
    found = Moments(*(part.cpu() for part in softmax_moments(y, gain, centres)))
    assert max(off(found, exact(*rivals()))[:2]) < 1e-4
