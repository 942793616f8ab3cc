"""The score of the empirical law of pictures against its two matrix products, softmax between them, and KeOps.

N = 10 000 synthetic photographs and 1000 queries, 28 × 28 in grey and 32 × 32 in colour, float32, at three times.
Run with ``make bench``.
"""

from __future__ import annotations

from functools import cache, partial

import pytest

from photographs import Photographs

TIMES = (0.002, 0.02, 2.0)


@cache
def pictures(dim: int) -> Photographs:
    return Photographs.synthetic(10_000, 1_000, dim, "cpu")


@pytest.mark.parametrize("dim", [784, 3072])
@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("name", ["scoredrift", "products", "softmax", "keops"])
def test_images(benchmark, name, t, dim):
    benchmark.group = f"images, d = {dim}"
    if name == "keops":
        pytest.importorskip("pykeops")
        if t != TIMES[-1]:
            pytest.skip("takes the same time at all times")
    some = pictures(dim)
    x = some.queries(t)
    routes = {
        "scoredrift": lambda: some.law.at(x, t).score,
        "products": partial(some.products, x),
        "softmax": partial(some.softmax, x, t),
        "keops": partial(some.keops, x, t),
    }
    slow = name == "keops"
    score = benchmark.pedantic(routes[name], rounds=2 if slow else 7, warmup_rounds=1 if slow else 2)
    if name != "products":
        benchmark.extra_info["relative_error"] = some.wrong(score, x, t)
        assert benchmark.extra_info["relative_error"] < (1e-5 if name == "scoredrift" else 1e-2)
