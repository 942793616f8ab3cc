"""The kernel-density score where centres have no weight: passed over with a bound, and by others' ways.

Five clusters in ten dimensions and on the plane, and one cluster on the plane; float32; both bandwidths of the book, at
four times, N = M = 20 000, and 100 000 at t0. Beside it all centres (``tolerance=0``), bare fused attention without any
preparation, KeOps with and without ranges of its clusters, and, for the density, the tree of scikit-learn. Run with
``make bench``.
"""

from __future__ import annotations

import math
from functools import cache, cached_property

import pytest
import torch
from torch import Tensor

from scoredrift import KernelDensity, mixture_of_five
from scoredrift.attention import CentreIndex, Pruned, centre_index, pruned_moments
from scoredrift.process import scale, variance
from turns import in_turn

T0, CHECKED = 0.02, 500
LAWS = ("five clusters, d = 10", "five clusters, d = 2", "one cluster, d = 2")
CASES = [(law, 20_000, h, t) for law in LAWS for h in (0.6, 0.1) for t in (T0, 0.2, 1.0, 4.0)]
CASES += [(law, 100_000, h, T0) for law in LAWS for h in (0.6, 0.1)]
OTHERS = [case for case in CASES if case[1] == 20_000 and case[3] == T0]


class Case:
    """Centres, queries and what remains of the parameters."""

    def __init__(self, law: str, n: int, h: float, t: float) -> None:
        generator = torch.Generator().manual_seed(2602)
        if law.startswith("five"):
            points = mixture_of_five(dtype=torch.float32).sample(n, generator=generator)
            self.centres = points[:, : int(law.split()[-1])].contiguous()
        else:
            self.centres = torch.randn(n, 2, generator=generator)
        self.h, self.t = h, t
        self.law = KernelDensity(self.centres, h)
        self.all_centres = KernelDensity(self.centres, h, tolerance=0.0)
        self.x = self.law.diffuse(t).sample(n, generator=generator)
        self.a = float(scale(t))
        self.b = self.a**2 * h**2 + float(variance(t))

    def wrong(self, score: Tensor) -> float:
        """Relative error of the first few, against float64."""
        double = KernelDensity(self.centres.double(), self.h, tolerance=0.0)
        exact = double.at(self.x[:CHECKED].double(), self.t).score
        return float((score[:CHECKED].double() - exact).norm() / exact.norm())

    def scoredrift(self) -> Tensor:
        return self.law.at(self.x, self.t).score

    @cached_property
    def index(self) -> CentreIndex:
        return centre_index(self.centres)

    def seen(self) -> Pruned:
        gain = torch.full((len(self.x),), self.a**2 / self.b)
        return pruned_moments(self.x / self.a, gain, self.index)

    def pruned(self) -> Tensor:
        """Passed over wherever it can be, also where the law would rather not."""
        return self.a / self.b * self.seen().moments.shift

    def all_of_them(self) -> Tensor:
        return self.all_centres.at(self.x, self.t).score

    @cached_property
    def keys(self) -> tuple[Tensor, Tensor]:
        gain = torch.full((len(self.x), 1), self.a**2 / self.b)
        queries = torch.cat([self.a / self.b * self.x, gain], 1)[None, None].contiguous()
        half = -0.5 * self.centres.square().sum(1, keepdim=True)
        return queries, torch.cat([self.centres, half], 1)[None, None].contiguous()

    def bare_attention(self) -> Tensor:
        queries, keys = self.keys
        averages = torch.nn.functional.scaled_dot_product_attention(queries, keys, keys, scale=1.0)
        return (self.a * averages[0, 0, :, :-1] - self.x) / self.b

    def keops(self) -> Tensor:
        return self._keops(self.x, self.a * self.centres, None)

    def keops_ranges(self) -> Tensor:
        """KeOps told which blocks of a grid can matter, by the distances of their means and their radii."""
        from pykeops.torch.cluster import cluster_ranges_centroids, from_matrix, grid_cluster, sort_clusters

        centres, width = self.a * self.centres, 3 * math.sqrt(self.b)
        parts = []
        for points in (self.x, centres):
            labels = grid_cluster(points[:, :3], width)  # KeOps has grids in three dimensions at most
            ranges, means, _ = cluster_ranges_centroids(points, labels)
            (points, _), labels = sort_clusters((points, torch.arange(len(points))), labels)
            away = (points - means[labels.long()]).norm(dim=1)
            radii = torch.zeros(len(means)).scatter_reduce(0, labels.long(), away, "amax")
            parts.append((points, ranges, means, radii))
        (x, rows, x_means, x_radii), (c, columns, c_means, c_radii) = parts
        least = torch.cdist(x_means, c_means) - x_radii[:, None] - c_radii
        own = (torch.cdist(x_means, c_means) + x_radii[:, None]).amin(1, keepdim=True)
        keep = least.clamp(min=0).square() < own.square() + 2 * self.b * math.log(1e7 * len(c))
        return self._keops(x, c, from_matrix(rows, columns, keep))

    def _keops(self, x: Tensor, c: Tensor, ranges: tuple | None) -> Tensor:
        from pykeops.torch import LazyTensor

        points, values = LazyTensor(x[:, None, :]), LazyTensor(c[None, :, :])
        logits = ((points - values) ** 2).sum(-1) / (-2 * self.b)
        logits.ranges = ranges
        return (logits.sumsoftmaxweight(values, dim=1, backend="CPU") - x) / self.b


@cache
def case(*what) -> Case:
    return Case(*what)


ROUTES = ("scoredrift", "pruned", "all_of_them", "bare_attention")


@pytest.mark.parametrize(
    "what", CASES, ids=lambda what: f"{what[0]}, N = {what[1]}, h = {what[2]}, t = {what[3]}"
)
def test_score(benchmark, what):
    benchmark.group = "pruned"
    some, large = case(*what), what[1] > 50_000
    routes = {route: getattr(some, route) for route in ROUTES}
    scores = in_turn(benchmark, routes, rounds=3 if large else 7, warmup=0 if large else 1)
    benchmark.extra_info |= {f"{route}_error": some.wrong(score) for route, score in scores.items()}
    assert max(benchmark.extra_info[f"{route}_error"] for route in ROUTES[:3]) < 1e-4
    seen = some.seen()
    benchmark.extra_info |= {
        "visited": float(seen.visited.double().mean()) / what[1],
        "missed": float(seen.missed.max()),
    }


@pytest.mark.parametrize("what", OTHERS, ids=lambda what: f"{what[0]}, h = {what[2]}")
@pytest.mark.parametrize("name", ["keops", "keops_ranges"])
def test_others(benchmark, name, what):
    pytest.importorskip("pykeops")
    benchmark.group = "others"
    benchmark.pedantic(getattr(case(*what), name), rounds=1, warmup_rounds=1)


@pytest.mark.parametrize("what", OTHERS[-4:], ids=lambda what: f"{what[0]}, h = {what[2]}")
def test_tree(benchmark, what):
    neighbors = pytest.importorskip("sklearn.neighbors")
    benchmark.group = "density"
    some = case(*what)
    tree = neighbors.KernelDensity(bandwidth=math.sqrt(some.b), rtol=1e-7).fit(
        (some.a * some.centres).numpy()
    )
    benchmark.pedantic(lambda: tree.score_samples(some.x.numpy()), rounds=1)
