"""The score of the empirical law of pictures against its two matrix products, softmax between them, and KeOps.

N = 10 000 synthetic photographs and 1000 queries, 28 × 28 in grey and 32 × 32 in colour, float32, at three times.
Run with ``make bench``.
"""

from __future__ import annotations

from functools import cache, partial

import pytest

from photographs import Photographs
from turns import in_turn

TIMES = (0.002, 0.02, 2.0)


@cache
def pictures(dim: int) -> Photographs:
    return Photographs.synthetic(10_000, 1_000, dim, "cpu")


@pytest.mark.parametrize("dim", [784, 3072])
@pytest.mark.parametrize("t", TIMES)
def test_images(benchmark, t, dim):
    benchmark.group = "images"
    some = pictures(dim)
    x = some.queries(t)
    routes = {
        "scoredrift": lambda: some.law.at(x, t).score,
        "products": partial(some.products, x),
        "softmax": partial(some.softmax, x, t),
    }
    scores = in_turn(benchmark, routes, rounds=9)
    for name, most in (("scoredrift", 1e-5), ("softmax", 1e-2)):
        benchmark.extra_info[f"{name}_error"] = some.wrong(scores[name], x, t)
        assert benchmark.extra_info[f"{name}_error"] < most


@pytest.mark.parametrize("dim", [784, 3072])
def test_keops(benchmark, dim):
    """At one time, as it takes the same at all of them."""
    pytest.importorskip("pykeops")
    benchmark.group = "images"
    some, t = pictures(dim), TIMES[-1]
    x = some.queries(t)
    routes = {"scoredrift": lambda: some.law.at(x, t).score, "keops": partial(some.keops, x, t)}
    scores = in_turn(benchmark, routes, rounds=2)
    benchmark.extra_info["keops_error"] = some.wrong(scores["keops"], x, t)
    assert benchmark.extra_info["keops_error"] < 1e-2
