"""Observability by pairs of futures against simulation and regression, in one run on one machine.

The paper's setting, known to us second-hand: 50 000 trajectories of 500 Euler–Maruyama steps on the
ten-dimensional mixture (the grid and the regressor are ours: uniform, gradient-boosted trees). Pairs
get as many points as it takes to reach about the same standard error, and pay for their pilot run.
Run with ``make bench``.
"""

from __future__ import annotations

import pytest
import torch

from scoredrift import Flow, LinearField, OrnsteinUhlenbeck, mixture_of_five
from scoredrift.observability import by_pairs, by_regression, by_trajectories
from scoredrift.scores import ErrorField

OU, DATA = OrnsteinUhlenbeck(), mixture_of_five()
EXACT = Flow(DATA, OU)
ERRORS: dict[str, ErrorField] = {
    "stretch": EXACT.inject(LinearField(0.1 * torch.eye(10, dtype=torch.float64))),
    "kernel density": EXACT.error(Flow(DATA.blur(0.3), OU)),
}
each_error = pytest.mark.parametrize("name", list(ERRORS))


def keep(benchmark, found) -> None:
    benchmark.extra_info["visible"] = found.visible.value
    benchmark.extra_info["stderr"] = found.visible.stderr
    benchmark.extra_info["eta"] = found.eta.value
    benchmark.extra_info["evaluations"] = found.evaluations


@pytest.mark.benchmark(group="observability")
@each_error
def test_pairs(benchmark, name):
    g = torch.Generator().manual_seed(1)
    found = benchmark.pedantic(lambda: by_pairs(ERRORS[name], 50_000, generator=g), rounds=5, warmup_rounds=1)
    keep(benchmark, found)


@pytest.mark.benchmark(group="observability")
@each_error
def test_regression(benchmark, name):
    g, grid = torch.Generator().manual_seed(2), OU.uniform_grid(500)
    found = benchmark.pedantic(lambda: by_regression(ERRORS[name], 50_000, grid=grid, generator=g), rounds=1)
    keep(benchmark, found)


@pytest.mark.benchmark(group="observability")
@each_error
def test_trajectories(benchmark, name):
    """A tenth of the trajectories: their noise is what costs."""
    g, grid = torch.Generator().manual_seed(3), OU.uniform_grid(500)
    found = benchmark.pedantic(lambda: by_trajectories(ERRORS[name], 2_500, grid=grid, generator=g), rounds=1)
    keep(benchmark, found)
