"""The kernel-density score against its alternatives, in one run on one machine.

N = M = 20 000 points of the five-Gaussian law in R^10, float32, h = 0.6, t = t0 = 0.02. Every route
computes the same score (or density), which is compared with float64. Run with ``make bench``.
"""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from scoredrift import (
    Blend,
    Flow,
    KernelDensity,
    KernelFit,
    OrnsteinUhlenbeck,
    mixture_of_five,
)
from scoredrift.paths import energy_times, ideal_energy, learned_energy
from scoredrift.process import scale, variance
from turns import in_turn

N, H, T0 = 20_000, 0.6, 0.02
A = float(scale(T0))
B = A**2 * H**2 + float(variance(T0))
GENERATOR = torch.Generator().manual_seed(2602)
CENTRES = mixture_of_five(dtype=torch.float32).sample(N, generator=GENERATOR)
MODEL = KernelDensity(CENTRES, H)
X = MODEL.diffuse(T0).sample(N, generator=GENERATOR)
CHECKED = slice(0, 1000)
EXACT = KernelDensity(CENTRES.double(), H).at(X[CHECKED].double(), T0)


def scoredrift() -> Tensor:
    return MODEL.at(X, T0).score


def bare_attention() -> Tensor:
    """What remains if everything but the fused kernel is prepared beforehand."""
    averages = torch.nn.functional.scaled_dot_product_attention(QUERIES, KEYS, KEYS, scale=1.0)
    return (A * averages[0, 0, :, :10] - X) / B


QUERIES = torch.cat([A / B * X, torch.full((N, 1), A**2 / B)], 1)[None, None].contiguous()
KEYS = torch.cat([CENTRES, -0.5 * CENTRES.square().sum(1, keepdim=True)], 1)[None, None].contiguous()


def chunked_softmax(rows: int = 500) -> Tensor:
    queries, keys, values = QUERIES[0, 0], KEYS[0, 0], A * CENTRES
    parts = [torch.softmax(block @ keys.T, dim=1) @ values for block in queries.split(rows)]
    return (torch.cat(parts) - X) / B


def chunked_cdist(rows: int = 500) -> Tensor:
    values = A * CENTRES
    parts = [
        torch.softmax(torch.cdist(block, values).square() / (-2 * B), dim=1) @ values
        for block in X.split(rows)
    ]
    return (torch.cat(parts) - X) / B


def keops() -> Tensor:
    from pykeops.torch import LazyTensor

    x, c = LazyTensor(X[:, None, :]), LazyTensor(A * CENTRES[None, :, :])
    logits = ((x - c) ** 2).sum(-1) / (-2 * B)
    return (logits.sumsoftmaxweight(c, dim=1, backend="CPU") - X) / B


# KeOps takes as long as ten rounds of the others, and compiles first.
FAST, SLOW = (scoredrift, bare_attention, chunked_softmax, chunked_cdist), (scoredrift, keops)


@pytest.mark.benchmark(group="score")
@pytest.mark.parametrize("routes", [FAST, SLOW], ids=["fast", "slow"])
def test_score(benchmark, routes) -> None:
    if keops in routes:
        pytest.importorskip("pykeops")
    rounds = 3 if keops in routes else 7
    scores = in_turn(benchmark, {route.__name__: route for route in routes}, rounds=rounds)
    for name, score in scores.items():
        wrong = score[CHECKED].double() - EXACT.score
        benchmark.extra_info[f"{name}_error"] = float(wrong.norm() / EXACT.score.norm())
        assert benchmark.extra_info[f"{name}_error"] < 1e-4


def scoredrift_density() -> Tensor:
    return MODEL.at(X, T0).log_density


def scikit_learn() -> Tensor:
    from sklearn.neighbors import KernelDensity as Estimator

    tree = Estimator(bandwidth=math.sqrt(B)).fit((A * CENTRES).numpy())
    return torch.from_numpy(tree.score_samples(X.numpy()))


DENSITIES = {route.__name__: route for route in (scoredrift_density, scikit_learn)}


@pytest.mark.benchmark(group="density")
@pytest.mark.parametrize("name", DENSITIES)
def test_density(benchmark, name: str) -> None:
    if name == "scikit_learn":
        pytest.importorskip("sklearn")
    value = benchmark.pedantic(DENSITIES[name], rounds=1 if name == "scikit_learn" else 5)
    worst = float((value[CHECKED].double() - EXACT.log_density).abs().max())
    benchmark.extra_info["largest_error_in_nats"] = worst
    assert worst < 1e-3


MEMORY = r"""
import re, torch
from pathlib import Path
from scoredrift import KernelDensity
torch.set_num_threads(2)
g = torch.Generator().manual_seed(0)
model = KernelDensity(torch.randn({n}, 10, generator=g), 0.6)
x = torch.randn({n}, 10, generator=g)
model.score(x[:2000])

def kibibytes(name):
    return int(re.search(name + r":\s+(\d+)", Path("/proc/self/status").read_text())[1])

Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use
before = kibibytes("VmRSS")
model.score(x)
print(kibibytes("VmHWM") - before)
"""


@pytest.mark.benchmark(group="memory")
@pytest.mark.parametrize("n", [10_000, 20_000, 40_000])
def test_memory(benchmark, n: int) -> None:
    command = [sys.executable, "-c", MEMORY.format(n=n)]

    def grown() -> float:
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024

    benchmark.extra_info["mebibytes"] = benchmark.pedantic(grown, rounds=1)
    benchmark.extra_info["matrix_mebibytes"] = n * n * 4 / 2**20
    assert benchmark.extra_info["mebibytes"] < 0.2 * benchmark.extra_info["matrix_mebibytes"]


@pytest.mark.benchmark(group="energies")
@pytest.mark.parametrize("h", [0.6, 0.1])
def test_energies_to_one_per_cent(benchmark, h: float) -> None:
    """Both energies of a generation at the paper's N, with α = ½: time to a standard error of 1 %."""
    n, ou, data = 100_000, OrnsteinUhlenbeck(), mixture_of_five(dtype=torch.float32)
    before = KernelFit(h, ou)(data.sample(n, generator=GENERATOR), generator=GENERATOR)
    trained_on = Blend((0.5, 0.5), (data, before))
    model = KernelDensity(trained_on.sample(n, generator=GENERATOR), h)
    error = Flow(trained_on, ou).error(Flow(model, ou))
    draws = {0.6: (4_000, 14_000), 0.1: (12_000, 12_000)}[h]

    def both() -> list:
        found = []
        for energy, n in zip((ideal_energy, learned_energy), draws, strict=True):
            times = energy_times(error, generator=GENERATOR, learned=energy is learned_energy)
            found.append(energy(error, n, generator=GENERATOR, times=times))
        return found

    found = benchmark.pedantic(both, rounds=1)
    benchmark.extra_info["relative_stderr"] = max(e.stderr / e.value for e in found)
    benchmark.extra_info["draws"] = sum(draws)
    assert benchmark.extra_info["relative_stderr"] < 0.01


@pytest.mark.benchmark(group="generation")
def test_exact_generation(benchmark) -> None:
    """One generation of the paper's experiment by the exact route: N = 100 000."""
    data = mixture_of_five(dtype=torch.float32).sample(100_000, generator=GENERATOR)
    fit = KernelFit(H, OrnsteinUhlenbeck())
    benchmark(lambda: fit(data, generator=GENERATOR).sample(100_000, generator=GENERATOR))
