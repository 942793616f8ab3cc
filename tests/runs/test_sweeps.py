"""One call for a loop, for processes, and for a Dask cluster."""

import os

import joblib
import pytest
import torch

from scoredrift import FreshFraction, KernelFit, OrnsteinUhlenbeck, mixture_of_five, recurse
from scoredrift.runs import cases, sweep

GRID = cases(alpha=(0.1, 0.5), run=range(2))


def spread(alpha: float, run: int) -> tuple[int, torch.Tensor]:
    """Process that ran it, and what a small recursion measured there."""
    torch.set_num_threads(1)
    data = mixture_of_five(dim=2)
    history = recurse(
        KernelFit(0.6, OrnsteinUhlenbeck()),
        data,
        regime=FreshFraction(alpha),
        generations=2,
        size=200,
        seed=run,
        measure=lambda generation: {"spread": generation.drawn.var(0)},
    )
    return os.getpid(), history["spread"]


def fail_at_half(alpha: float, run: int) -> int:
    if alpha == 0.5:
        raise ValueError("no")
    return run


def wait_and_spread(alpha: float, run: int) -> tuple[int, torch.Tensor]:
    import time

    time.sleep(0.5)  # long enough that one process cannot take all the cases
    return spread(alpha, run)


def test_cases_are_all_combinations():
    assert GRID == [
        {"alpha": 0.1, "run": 0},
        {"alpha": 0.1, "run": 1},
        {"alpha": 0.5, "run": 0},
        {"alpha": 0.5, "run": 1},
    ]
    with pytest.raises(ValueError, match="alpha = no values"):
        cases(alpha=())


def test_processes_give_the_numbers_of_the_loop():
    here = sweep(spread, GRID)
    there = sweep(spread, GRID, workers=2)
    assert {pid for pid, _ in here} == {os.getpid()}
    assert os.getpid() not in {pid for pid, _ in there}
    for (_, one), (_, other) in zip(here, there, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(here[0][1], here[1][1])
    assert not torch.equal(here[0][1], here[2][1])


def test_a_dask_cluster_takes_the_same_call():
    distributed = pytest.importorskip("distributed")
    here = sweep(spread, GRID)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        there = sweep(wait_and_spread, GRID)
    assert len({pid for pid, _ in there} - {os.getpid()}) == 2
    for (_, one), (_, other) in zip(here, there, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("workers", [None, 2])
def test_a_failure_names_its_case(workers):
    with pytest.raises(ValueError, match="no") as caught:
        sweep(fail_at_half, GRID, workers=workers)
    assert "in the case {'alpha': 0.5, 'run': " in "".join(caught.value.__notes__)


@pytest.mark.parametrize(("arguments", "named"), [((spread, []), "cases"), ((spread, GRID), "workers")])
def test_bad_sweeps_are_refused(arguments, named):
    with pytest.raises(ValueError, match=f"^{named} = "):
        sweep(*arguments, workers=0)
