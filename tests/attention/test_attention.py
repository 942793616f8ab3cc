"""Attention over centres, against brute force in float64; its blocks, memory and gradients."""

import subprocess
import sys
import types

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import needs_cuda, points, repeatable, seeded
from scoredrift import GaussianMixture, KernelDensity, mixture_of_five
from scoredrift.attention import Moments, fused, local_blocks, plain, plain_moments, softmax_moments

ROUNDING = {torch.float32: {"rtol": 3e-5, "atol": 1e-4}, torch.float64: {"rtol": 1e-11, "atol": 1e-11}}
each_route = pytest.mark.parametrize("route", [softmax_moments, plain_moments])
each_dtype = pytest.mark.parametrize("dtype", ROUNDING, ids=str)


def brute_force(y, gain, centres, log_weights=None):
    """The definition, in float64, with every difference of points formed first."""
    away = centres.double() - y.double()[:, None]
    squared = away.square().sum(2)
    logits = -0.5 * gain.double()[:, None] * squared + (0 if log_weights is None else log_weights.double())
    share = torch.softmax(logits, 1)
    shift = (share[:, :, None] * away).sum(1)
    scatter = (share * (away - shift[:, None]).square().sum(2)).sum(1)
    return Moments(shift, scatter, torch.logsumexp(logits, 1))


def chances(seed, n):
    return torch.softmax(2 * torch.randn(n, generator=seeded(seed), dtype=torch.float64), 0)


def agree(found, y, gain, centres, log_weights=None, **tolerance):
    wanted = brute_force(y, gain, centres, log_weights)
    assert {part.dtype for part in found} == {y.dtype}
    torch.testing.assert_close([part.double() for part in found], list(wanted), **tolerance)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(fused, "_ROWS_ON_CPU", 4)
    monkeypatch.setattr(plain, "_ENTRIES", 40)


@each_route
@each_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "m", "dim"), [(37, 11, 2), (16, 5, 1), (50, 90, 10), (3, 1, 2), (1, 6, 3)])
def test_attention_is_the_sum_over_all_centres(small_blocks, route, dtype, weighted, n, m, dim):
    y, centres = points(0, n, dim).to(dtype), points(1, m, dim).to(dtype)
    log_weights = chances(2, m).log().to(dtype) if weighted else None
    for gain in (torch.full((n,), 0.3), torch.linspace(0.01, 4, n)):
        found = route(y, gain.to(dtype), centres, log_weights)
        agree(found, y, gain.to(dtype), centres, log_weights, **ROUNDING[dtype])


@repeatable
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), m=st.integers(1, 60), dim=st.integers(1, 5))
def test_both_routes_agree_with_brute_force_for_any_numbers_of_points(seed, n, m, dim):
    y, centres, log_weights = points(seed, n, dim), points(seed + 1, m, dim), chances(seed, m).log()
    gain = 0.05 + chances(seed + 2, n) * n
    for route in (softmax_moments, plain_moments):
        agree(route(y, gain, centres, log_weights), y, gain, centres, log_weights, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("route", "digits"), [(softmax_moments, 1e-4), (plain_moments, 1e-5)])
@each_dtype
def test_attention_does_not_care_where_the_origin_is(small_blocks, route, digits, dtype):
    """Distances are of order one; without a local origin 1000² would eat all digits of a float32."""
    y, centres = (1000 + points(3, 40, 3)).to(dtype), (1000 + points(4, 20, 3)).to(dtype)
    gain = torch.ones(40, dtype=dtype)
    tolerance = digits if dtype == torch.float32 else 1e-9
    agree(route(y, gain, centres), y, gain, centres, rtol=tolerance, atol=tolerance)


def test_each_block_has_its_own_origin(small_blocks):
    """Two clouds far apart: their common mean would be far from both."""
    y, centres = points(5, 32, 2).float(), points(6, 16, 2).float()
    for cloud in (y, centres):
        cloud[::2] += 1000
        cloud[1::2] -= 1000
    gain = torch.full((32,), 0.1)
    agree(softmax_moments(y, gain, centres), y, gain, centres, rtol=1e-4, atol=1e-4)


@each_route
def test_equal_points_count_as_often_as_they_occur(small_blocks, route):
    y, centres = points(7, 5, 2).repeat(4, 1), points(8, 3, 2)
    often = torch.cat([centres, centres[:1], centres[:1]])
    heavy = torch.tensor([3.0, 1.0, 1.0]).double().log()
    gain = torch.full((20,), 0.7).double()
    torch.testing.assert_close(route(y, gain, often), route(y, gain, centres, heavy))
    agree(route(y, gain, often), y, gain, often, **ROUNDING[torch.float64])


@pytest.mark.parametrize("bandwidth", [0.6, 0.1])
def test_single_precision_keeps_five_digits_of_the_score_of_the_paper(bandwidth):
    g, t, data = seeded(0), 0.02, mixture_of_five()
    centres, x = data.sample(2000, generator=g).float(), data.diffuse(t).sample(3000, generator=g).float()
    rough = KernelDensity(centres, bandwidth).at(x, t)
    weights = torch.full((2000,), 1 / 2000, dtype=torch.float64)
    exact = GaussianMixture(weights, centres.double(), 0 * weights + bandwidth**2).at(x.double(), t)
    for found, wanted, relative in zip(rough, exact, (1e-5, 1e-5, 2e-4), strict=True):
        assert float((found.double() - wanted).norm() / wanted.norm()) < relative


FAR = {"a plane around the clusters": (2, 1e4), "ten dimensions": (10, 100.0), "a line": (1, 1e4)}


@pytest.mark.parametrize(("dim", "gain"), FAR.values(), ids=FAR)
def test_queries_far_from_all_centres_are_seen_from_their_centres(monkeypatch, dim, gain):
    """In float32 an origin among the queries leaves no digits; one among their centres does, at the same cost."""
    written_out, rest = [], fused._taken_again

    def counted(found, doubtful, *more):
        written_out.append(int(doubtful.sum()))
        return rest(found, doubtful, *more)

    monkeypatch.setattr(fused, "_taken_again", counted)
    g = seeded(1)
    centres = mixture_of_five(dtype=torch.float32).sample(1500, generator=g)[:, :dim].contiguous()
    near = centres[:500] + torch.randn(500, dim, generator=g) / gain**0.5
    y, gains = torch.cat([24 * torch.rand(3000, dim, generator=g) - 12, near]), torch.full((3500,), gain)
    found, wanted = softmax_moments(y, gains, centres), brute_force(y, gains, centres)
    assert sum(written_out) < 300
    off = gain**0.5 * (found.shift.double() - wanted.shift).norm(dim=1)
    assert float((off / (gain * wanted.shift.square().sum(1) + dim).sqrt()).max()) < 3e-4
    off = gain * (found.scatter.double() - wanted.scatter).abs()
    assert float((off / (gain * wanted.scatter + dim)).max()) < 3e-3
    off = (found.log_sum.double() - wanted.log_sum).abs()
    assert float((off / (1e-3 * dim + 5e-7 * wanted.log_sum.abs())).max()) < 1


def test_gains_at_the_edge_of_the_numbers_leave_no_mean_to_take_queries_again_about():
    """Their logits overflow in blocks, and not where they are written out."""
    y, gain, centres = 7 * points(1, 300, 2).float(), torch.full((300,), 1e36), points(2, 50, 2).float() / 3
    found, wanted = softmax_moments(y, gain, centres), plain_moments(y, gain, centres)
    torch.testing.assert_close(found, wanted)
    assert bool(found.shift.isfinite().all())


@repeatable
@given(n=st.integers(1, 200), rows=st.integers(1, 60), dim=st.integers(1, 4))
def test_blocks_cover_all_points_and_are_no_larger_than_asked(n, rows, dim):
    blocks = local_blocks(points(9, n, dim), rows)
    assert blocks.shape[1] <= rows
    assert blocks.numel() - n < len(blocks)
    assert torch.equal(blocks.flatten().unique(), torch.arange(n))


def test_blocks_are_full_and_hold_every_point_once_where_sizes_allow():
    blocks = local_blocks(points(10, 64, 3), 8)
    assert blocks.shape == (8, 8)
    assert torch.equal(blocks.flatten().sort().values, torch.arange(64))


@pytest.mark.parametrize("stretch", [1.0, 30.0])
def test_blocks_are_local(stretch):
    """Cutting a square into 64 by halves leaves 1/8 of each side, and 1/64 of the variance."""
    y = torch.rand(4096, 2, generator=seeded(11), dtype=torch.float64) * torch.tensor([1.0, stretch])
    blocks = local_blocks(y, 64)
    inside = y[blocks].var(1).sum(1).mean() / y.var(0).sum()
    assert float(inside) < (0.025 if stretch == 1 else 0.0025)


MEMORY = """
import resource, sys, torch
from scoredrift import KernelDensity
torch.set_num_threads(1)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
g = torch.Generator().manual_seed(0)
x, centres = torch.randn(2, 20_000, 10, generator=g)
before = peak()
assert bool(KernelDensity(centres, 0.5).at(x, 0.02).score.isfinite().all())
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_product_of_queries_and_centres():
    """All logits of these queries and centres would take 1.6 GB."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200e6


def test_plain_route_holds_few_logits_at_once(small_blocks, monkeypatch):
    block, held = plain._plain_block, []

    def watched(y, gain, centres, log_weights):
        held.append(len(y) * len(centres))
        return block(y, gain, centres, log_weights)

    monkeypatch.setattr(plain, "_plain_block", watched)
    plain_moments(points(0, 50, 2), torch.ones(50).double(), points(1, 7, 2))
    assert sum(held) == 50 * 7
    assert max(held) <= 40


@pytest.mark.parametrize("name", ["y", "gain", "centres"])
def test_gradients_of_the_log_sum_are_moments(name):
    """∂ log_sum/∂y = g · shift, ∂ log_sum/∂g = −½ (‖shift‖² + scatter), and moving all points changes nothing."""
    y, gain, centres = points(12, 9, 3), torch.linspace(0.1, 2, 9).double(), points(13, 6, 3)
    shift, scatter, _ = brute_force(y, gain, centres)
    inputs = {"y": y, "gain": gain, "centres": centres}
    inputs[name].requires_grad_(True)
    (slope,) = torch.autograd.grad(softmax_moments(**inputs).log_sum.sum(), inputs[name])
    pull = gain.detach()[:, None] * shift.detach()
    wanted = {"y": pull, "gain": -0.5 * (shift.square().sum(1) + scatter).detach(), "centres": -pull.sum(0)}
    torch.testing.assert_close(slope.sum(0) if name == "centres" else slope, wanted[name])


def other_layout(queries, keys, values, *, scale):
    """The operator of today, with its log-sums by query and then by batch."""
    averages, log_sums = OPERATOR(queries, keys, values, scale=scale)
    return averages, log_sums.transpose(1, 2).contiguous()


def of_averages_alone(queries, keys, values, *, scale):
    return OPERATOR(queries, keys, values, scale=scale)[0]


def without_scale(queries, keys, values, is_causal=False):
    return OPERATOR(queries, keys, values)


def of_another_scale(queries, keys, values, *, scale):
    return OPERATOR(queries, keys, values, scale=scale / 2)


OPERATOR = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
OTHERS = (None, other_layout, of_averages_alone, without_scale, of_another_scale)


@pytest.fixture
def another_torch(monkeypatch):
    """Puts another operator, or none, in the place of the private one."""

    operators = torch.ops.aten

    class Others:
        def __getattr__(self, name):
            if name != OPERATOR.__name__:
                return getattr(operators, name)
            if self.operator is None:
                raise AttributeError(name)
            return self.operator

    def put(operator):
        Others.operator = operator and staticmethod(operator)
        monkeypatch.setattr(torch.ops, "aten", Others())
        fused._kernel_on_cpu.cache_clear()

    yield put
    fused._kernel_on_cpu.cache_clear()


@each_dtype
@pytest.mark.parametrize("operator", OTHERS, ids=lambda o: o.__name__ if o else "no operator")
def test_a_torch_without_the_private_operator_gives_the_same_numbers(
    small_blocks, another_torch, monkeypatch, operator, dtype
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)  # as many blocks at a time
    y, centres = points(0, 50, 3).to(dtype), points(1, 90, 3).to(dtype)
    gain, log_weights = torch.linspace(0.1, 4, 50).to(dtype), chances(2, 90).log().to(dtype)
    another_torch(operator)
    agree(softmax_moments(y, gain, centres, log_weights), y, gain, centres, log_weights, **ROUNDING[dtype])


@each_dtype
def test_this_torch_takes_the_fused_route_and_asks_once(another_torch, dtype):
    asked, used = [], []

    def watched(queries, keys, values, *, scale):
        (used if keys.shape[2] == 90 else asked).append(keys.shape)
        return OPERATOR(queries, keys, values, scale=scale)

    another_torch(watched)
    y, centres = points(0, 50, 3).to(dtype), points(1, 90, 3).to(dtype)
    for _ in range(2):
        softmax_moments(y, torch.ones(50, dtype=dtype), centres)
    assert len(asked) == 1
    assert len(used) == 2


def test_cuda_route_gives_each_query_one_answer(monkeypatch):
    """The sorting around the kernel, with the plain route in place of the kernel."""
    stand_in = types.ModuleType("scoredrift.attention.triton")
    stand_in.MAX_DIM = 3

    def kernel(*inputs, parts):
        assert parts is None
        shift, scatter, log_sum = plain_moments(*inputs)
        return shift, scatter + shift.square().sum(1), log_sum

    stand_in.moments = kernel
    monkeypatch.setitem(sys.modules, "scoredrift.attention.triton", stand_in)
    monkeypatch.setattr("scoredrift.attention.triton", stand_in, raising=False)
    y = torch.randn(1001, 3, generator=seeded(2))  # not a multiple: some queries sit in two blocks
    gain, centres = torch.rand(1001, generator=seeded(3)) + 0.5, torch.randn(70, 3, generator=seeded(4))
    one = fused._fused_on_cuda(y, gain, centres, None)
    other = plain_moments(y, gain, centres)
    for ours, theirs in zip(one, other, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_queries_that_a_kernel_on_cuda_gets_wrong_are_taken_again(monkeypatch):
    """With attention about a common origin in place of the kernel, in single precision."""

    def kernel(y, gain, centres, log_weights, parts):
        logits = gain[:, None] * (y @ centres.T - 0.5 * centres.square().sum(1))
        share = torch.softmax(logits, 1)
        mean, own = share @ centres, y.square().sum(1)
        spread = share @ centres.square().sum(1) - 2 * (mean * y).sum(1) + own
        return mean - y, spread, torch.logsumexp(logits, 1) - 0.5 * gain * own

    stand_in = types.ModuleType("scoredrift.attention.triton")
    stand_in.MAX_DIM, stand_in.moments = 128, kernel
    monkeypatch.setitem(sys.modules, "scoredrift.attention.triton", stand_in)
    monkeypatch.setattr("scoredrift.attention.triton", stand_in, raising=False)
    x = torch.tensor([[-1000.0, 0.03], [1000.0, 0.05]]).repeat(20, 1)
    centres = torch.tensor([[side, y] for side in (-1000.0, 1000.0) for y in (-0.1, 0.0, 0.1)])
    inputs = (x, torch.full((40,), 100.0), centres)
    assert not torch.allclose(kernel(*inputs, None, None)[0][:, 1], inputs[0][:, 1], rtol=0.5)
    found, exact = (route(*inputs, None) for route in (fused._fused_on_cuda, plain_moments))
    torch.testing.assert_close(100 * found.shift[:2, 1], torch.tensor([-1.371, -2.330]), rtol=3e-4, atol=0)
    torch.testing.assert_close(tuple(found), tuple(exact))


@needs_cuda
def test_the_score_on_cuda_agrees_with_float64_on_the_cpu():
    """Sorting, kernel and what is made of its moments, in one: 20 000 centres, times of a simulation."""
    law = mixture_of_five(dtype=torch.float32)
    centres, x = (law.sample(n, generator=seeded(n)) for n in (20_000, 1001))
    there, exact = (KernelDensity(centres.to(where), 0.6) for where in ("cuda", torch.float64))
    for t in (0.02, 0.5, 4.0):
        found, wanted = there.at(x.cuda(), t), exact.at(x.double(), t)
        for one, other in zip(found, wanted, strict=True):
            assert one.device.type == "cuda"
            assert float((one.cpu() - other).norm() / other.norm()) < 5e-5
