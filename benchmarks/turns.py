"""Routes to the same thing, timed in turn: a machine drifts by more than some of them differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def in_turn(
    benchmark: Any, routes: Mapping[str, Callable[[], Any]], *, rounds: int, warmup: int = 1
) -> dict[str, Any]:
    """Time routes round by round; the first is ours.

    Of each route ``benchmark.extra_info`` gets the median of its seconds, under its name, and the mean ratio to ours
    of the same round with its standard error, under ``…_over_ours`` and ``…_over_ours_stderr``.

    Args:
        benchmark: the fixture; its own times are those of whole rounds.
        routes: by name, without arguments.
        rounds, warmup: how many count, and how many come before.

    Returns:
        What the routes returned last.
    """
    seconds: dict[str, list[float]] = {name: [] for name in routes}
    returned: dict[str, Any] = {}

    def one_round() -> None:
        for name, route in routes.items():
            began = time.perf_counter()
            returned[name] = route()
            seconds[name].append(time.perf_counter() - began)

    benchmark.pedantic(one_round, rounds=rounds, warmup_rounds=warmup)
    times = torch.tensor([taken[-rounds:] for taken in seconds.values()], dtype=torch.float64)
    for name, taken, ratios in zip(routes, times, times / times[0], strict=True):
        benchmark.extra_info[name] = float(taken.median())
        benchmark.extra_info[f"{name}_over_ours"] = float(ratios.mean())
        benchmark.extra_info[f"{name}_over_ours_stderr"] = float(ratios.std() / len(ratios) ** 0.5)
    return returned
