"""The fused kernels against softmax averages in float64: on CUDA, and interpreted without it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import needs_cuda, seeded
from scoredrift.attention import balls, local_blocks, pruning, softmax_moments

triton = pytest.importorskip("triton")
from scoredrift.attention.triton import Parts, Plan, moments  # noqa: E402
from scoredrift.attention.triton_kernels import _scalar_kernel, _tensor_core_kernel  # noqa: E402

# Triton reads this once, when it is imported. So one test below runs this file again, in a process of
# its own, where Triton's interpreter stands in for CUDA; no other test is affected.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"


def on_device(test):
    """On CUDA, and interpreted where there is none."""
    there = INTERPRETED or torch.cuda.is_available()
    reason = "runs interpreted, in test_the_kernels_interpreted"
    return pytest.mark.cuda(pytest.mark.skipif(not there, reason=reason)(test))


not_interpreted = pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")

SCALAR = Plan(rows=2, columns=4, warps=1)
TENSOR = Plan(rows=16, columns=16, precision="tf32x3")
both_kernels = pytest.mark.parametrize("plan", [SCALAR, TENSOR], ids=["scalar", "tensor"])


def uniform(seed, *shape, low=-1.0, high=1.0):
    return low + (high - low) * torch.rand(*shape, generator=seeded(seed))


def direct(y, gain, centres, log_weights, parts=None):
    y, gain, centres = y.double(), gain.double(), centres.double()
    squared = torch.cdist(y, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
    logits = -0.5 * gain[:, None] * squared
    if log_weights is not None:
        logits = logits + log_weights.double()
    if parts is not None:
        sees = parts.needed.repeat_interleave(len(y) // len(parts.needed), 0)
        logits = logits.masked_fill(~sees.repeat_interleave(parts.sizes, 1), -torch.inf)
    log_sum = torch.logsumexp(logits, 1)
    share = torch.exp(logits - log_sum[:, None])
    return share @ centres - y, (share * squared).sum(1), log_sum


def assert_right(y, gain, centres, log_weights=None, **options):
    """Relative error in norm at most 1e-5, and for the log-sum 1e-5 nats where it is small."""
    inputs = [None if x is None else x.to(DEVICE) for x in (y, gain, centres, log_weights)]
    found, wanted = moments(*inputs, **options), direct(*inputs, options.get("parts"))
    for name, one, other in zip(["shift", "spread", "log_sum"], found, wanted, strict=True):
        assert one.dtype == torch.float32
        scale = other.norm() + (len(y) ** 0.5 if name == "log_sum" else 0)
        error = float((one - other).norm() / scale)
        assert error <= 1e-5, f"{name} is off by {error:.1e}"  # NaN fails, too


@on_device
@pytest.mark.parametrize(
    ("dim", "m", "plan", "weighted"),
    [
        (1, 53, SCALAR, False),
        (2, 27, SCALAR, True),
        (10, 18, SCALAR, True),
        (1, 101, TENSOR, True),
        (10, 101, TENSOR, False),
        (17, 101, TENSOR, True),
        (2, 9, None, False),
        (17, 101, None, False),
    ],
)
def test_moments_for_sizes_that_are_no_multiples(dim, m, plan, weighted):
    y, gain = 2 * uniform(0, 67, dim), uniform(1, 67, low=0.5, high=2)
    log_weights = uniform(3, m, low=-3) if weighted else None
    assert_right(y, gain, uniform(2, m, dim), log_weights, plan=plan)


@on_device
@both_kernels
def test_one_query_and_one_centre(plan):
    assert_right(uniform(0, 1, 3), torch.ones(1), uniform(1, 1, 3), plan=plan)
    assert_right(uniform(0, 5, 3), torch.ones(5), uniform(1, 1, 3), torch.tensor([-2.0]), plan=plan)


@on_device
@both_kernels
def test_each_query_has_its_own_gain(plan):
    gain = 10 ** uniform(0, 40, low=-4.0, high=4.0)
    assert_right(uniform(1, 40, 2), gain, uniform(2, 35, 2), plan=plan)


@on_device
@both_kernels
def test_neighbours_keep_their_digits_wherever_they_are(plan):
    place = torch.tensor([1000.0, -1000.0])[:, None, None]  # no origin is near both
    y, centres = ((place + uniform(seed, 2, n, 2)).flatten(0, 1) for seed, n in ((0, 32), (1, 18)))
    assert_right(y, torch.full((64,), 5.0), centres, plan=plan)


@on_device
@both_kernels
def test_large_logits_keep_their_digits_between_neighbours(plan):
    y, centres, gain = uniform(0, 64, 2, low=-9, high=9), uniform(1, 70, 2, low=-9, high=9), 15.0
    assert 0.5 * gain * float(centres.square().sum(1).max()) > 500
    y = y[local_blocks(y, plan.rows).flatten()]
    assert_right(y, torch.full((len(y),), gain), centres, plan=plan)


@on_device
@both_kernels
def test_programs_that_share_the_centres_agree_with_one_that_has_them_all(plan):
    inputs = [x.to(DEVICE) for x in (uniform(0, 37, 2), torch.full((37,), 9.0), uniform(1, 65, 2))]
    one, three = (moments(*inputs, None, plan=plan, splits=k) for k in (1, 3))
    for alone, shared in zip(one, three, strict=True):
        torch.testing.assert_close(alone, shared, rtol=1e-5, atol=1e-6)


@on_device
@both_kernels
def test_centres_without_weight_are_as_good_as_absent(plan):
    y, gain, centres = uniform(0, 20, 2), torch.full((20,), 4.0), uniform(1, 45, 2)
    log_weights = torch.zeros(45)
    log_weights[:32] = -torch.inf  # the first two of three programs have nothing
    inputs = [x.to(DEVICE) for x in (y, gain, centres, log_weights)]
    found = moments(*inputs, plan=plan, splits=3)
    for one, other in zip(found, moments(*inputs[:2], inputs[2][32:], None, plan=plan), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


SIZES = torch.tensor([5, 16, 1, 33, 4, 20])
NEEDED = torch.tensor(
    [[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 0, 0], [0, 1, 1, 0, 0, 1]]
)


@on_device
@both_kernels
@pytest.mark.parametrize(("rows", "splits"), [(16, 1), (37, 4), (3, 1), (140, None)])
@pytest.mark.parametrize("dim", [1, 10])
def test_blocks_of_queries_see_the_parts_that_they_need(plan, rows, splits, dim):
    parts = Parts(SIZES.to(DEVICE), NEEDED.bool().to(DEVICE))
    y, gain = 2 * uniform(0, 5 * rows, dim), uniform(1, 5 * rows, low=0.5, high=2)
    centres, log_weights = uniform(2, 79, dim), uniform(3, 79, low=-3)
    assert_right(y, gain, centres, log_weights, parts=parts, plan=plan, splits=splits)
    assert_right(y, gain, centres, parts=parts, plan=plan, splits=splits)


@on_device
@pytest.mark.parametrize("dim", [2, 13])
def test_what_the_kernel_passes_over_is_below_its_bound(dim, monkeypatch):
    """As ``pruned_moments`` does it on CUDA, which is told here to go by lists however little they gain."""
    n, m = (3000, 9000) if DEVICE == "cuda" else (60, 200)
    if DEVICE == "cpu":
        monkeypatch.setattr(balls, "_ROWS", 8)
        monkeypatch.setattr(balls, "_LOOK", 4)
    monkeypatch.setattr(balls, "_WORTH", 2.0)
    g = seeded(5)
    clusters = 9 * torch.randn(6, dim, generator=g)
    centres = (clusters[torch.randint(6, (m,), generator=g)] + torch.randn(m, dim, generator=g)).to(DEVICE)
    y = (centres[:n].cpu() + 0.3 * torch.randn(n, dim, generator=g)).to(DEVICE)
    gain = torch.full((n,), 9.0, device=DEVICE)
    log_weights = uniform(6, m, low=-3).to(DEVICE)
    for weights in (None, log_weights):
        index = balls._balls_of(centres, weights, **({"rows": 8} if DEVICE == "cpu" else {}))
        found = balls._by_balls(y, gain, index, 1e-4, pruning._by_kernel, softmax_moments)
        assert float(found.visited.double().mean()) < m / 2
        assert 0 < float(found.missed.max()) <= 1e-4
        shift, spread, log_sum = direct(y, gain, centres, weights)
        off = 3 * (found.moments.shift.double() - shift).norm(dim=1)
        assert bool((off <= found.missed + 3e-3).all())
        off = 9 * (found.moments.scatter.double() - spread + shift.square().sum(1)).abs()
        assert bool((off <= found.missed + 1e-2).all())
        assert bool(((found.moments.log_sum.double() - log_sum).abs() <= found.missed + 3e-3).all())


@needs_cuda
@not_interpreted
@pytest.mark.parametrize("dim", [1, 4, 10, 40])
def test_parts_of_many_points(dim):
    g = seeded(1)
    sizes = torch.randint(1, 300, (60,), generator=g)
    needed = torch.rand(80, 60, generator=g) < 0.3
    needed[:, 0] = True
    y, m = 3 * uniform(0, 80 * 256, dim), int(sizes.sum())
    parts = Parts(sizes.cuda(), needed.cuda())
    assert_right(y, torch.full((len(y),), 1.0 / dim), 3 * uniform(2, m, dim), uniform(3, m), parts=parts)


@needs_cuda
@not_interpreted
@pytest.mark.parametrize("splits", [None, 1])
@pytest.mark.parametrize(
    ("dim", "plan"),
    [(dim, None) for dim in (1, 2, 3, 4, 5, 10, 11, 12, 13, 17, 33, 64, 128)]
    + [
        (16, Plan(rows=2, columns=8)),
        (10, Plan(rows=64, columns=64, stages=2, precision="tf32x3")),
        (10, Plan(rows=64, columns=32, precision="ieee")),
    ],
)
def test_moments_of_many_points(dim, plan, splits):
    y, centres = 3 * uniform(0, 5000, dim), 3 * uniform(1, 7000, dim)
    y = y[local_blocks(y, 64).flatten()]
    gain = 10 ** uniform(2, len(y), low=-1.0, high=2.0) / dim
    assert_right(y, gain, centres, uniform(3, 7000), plan=plan, splits=splits)


@not_interpreted
@pytest.mark.skipif(torch.cuda.is_available(), reason="the same tests run on CUDA")
def test_the_kernels_interpreted():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-q", "-o", "addopts=", "-p", "no:cacheprovider"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout, "no test ran"


@not_interpreted
@pytest.mark.parametrize("dim", [2, 17])
@pytest.mark.parametrize("listed", [False, True])
def test_the_kernels_compile_for_an_h100_without_spilling(dim, listed, tmp_path):
    compiler = pytest.importorskip("triton.backends.nvidia.compiler")
    source = pytest.importorskip("triton.compiler").ASTSource
    target = pytest.importorskip("triton.backends.compiler").GPUTarget("cuda", 90, 32)
    plan, width = Plan.usual(dim), triton.cdiv(dim + 2, 4) * 4
    plan = plan.within(256) if listed else plan
    sizes = {"DIM": dim, "WIDTH": width, "ROWS": plan.rows, "COLUMNS": plan.columns}
    if plan.precision:
        kernel, sizes = _tensor_core_kernel, sizes | {"PADDED": 32, "PRECISION": plan.precision}
    else:
        kernel, sizes = _scalar_kernel, sizes | {"THREADS": 32 * plan.warps}
    tensors = ["queries", "origins", "keys", "results"]
    lists = dict.fromkeys(["bounds", "starts", "lengths"], "*i64") | {"programs": "i32"}
    there, absent = (lists, {"span": None}) if listed else ({"span": "i32"}, dict.fromkeys(lists))
    sizes |= absent
    types = dict.fromkeys(tensors, "*fp32") | there | dict.fromkeys(sizes, "constexpr")
    types = {name: types[name] for name in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i in range(len(tensors))}
    options = {"num_warps": plan.warps, "num_stages": plan.stages, "enable_fp_fusion": True}
    built = triton.compile(source(kernel, types, sizes, aligned), target=target, options=options)

    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(built.asm["cubin"])
    tool = Path(compiler.__file__).parent / "bin" / "cuobjdump"
    usage = subprocess.run([tool, "-res-usage", cubin], capture_output=True, text=True, check=True).stdout
    assert " STACK:0 " in usage
    if not plan.precision:  # whatever one thread knows of another would pass through shared memory
        assert built.metadata.shared == 0
        assert built.asm["ptx"].count("ld.global.v4.b32") >= plan.columns
