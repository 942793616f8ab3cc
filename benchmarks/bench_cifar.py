"""The score of the empirical law of all training images of CIFAR-10: centres without weight passed over, and not.

N = 50 000, d = 3072, 1000 queries, float32, at six times; beside the two matrix products over all centres. The images
have to be at hand (``scoredrift.datasets.cifar10``). Run with ``make bench``.
"""

from __future__ import annotations

from functools import cache
from time import perf_counter

import pytest
import torch

from photographs import Photographs
from scoredrift.attention import centre_index, pruned_moments
from scoredrift.datasets import cifar10, middles
from scoredrift.process import scale, variance
from turns import in_turn

TIMES = (0.002, 0.02, 0.1, 0.3, 1.0, 3.0)


@cache
def pictures() -> Photographs:
    try:
        images = cifar10("train", download=False).images
    except ValueError as error:
        pytest.skip(str(error).splitlines()[0])
    return Photographs(middles(images), 1_000, generator=torch.Generator().manual_seed(2602))


@cache
def sketched():
    start = perf_counter()
    sketch = centre_index(pictures().images)
    return sketch, perf_counter() - start


@pytest.mark.parametrize("t", TIMES)
def test_cifar(benchmark, t):
    benchmark.group = "CIFAR-10"
    some = pictures()
    x = some.queries(t)
    routes = {
        "scoredrift": lambda: some.law.at(x, t).score,
        "all_centres": lambda: some.all_centres.at(x, t).score,
        "products": lambda: some.products(x),
    }
    scores = in_turn(benchmark, routes, rounds=5)
    for name in ("scoredrift", "all_centres"):
        benchmark.extra_info[f"{name}_error"] = some.wrong(scores[name], x, t)
        assert benchmark.extra_info[f"{name}_error"] < 1e-5
    a, v = float(scale(t)), float(variance(t))
    sketch, took = sketched()
    seen = pruned_moments(x / a, torch.full((len(x),), a**2 / v), sketch)
    benchmark.extra_info |= {
        "visited": float(seen.visited.double().mean()),
        "missed": float(seen.missed.max()),
        "sketch_seconds": took,
    }
