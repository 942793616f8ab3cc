"""The ten-dimensional mixture: the source paper's recursion with a kernel-density score.

Protocol (arXiv 2602.16601, App. G.1, known to us second-hand; centres from an independent
reproduction): five Gaussians in R^10, bandwidth h = 0.6, N = 100 000 points, 500 Euler–Maruyama
steps from T = 4 to t0 = 0.02, 20 generations, α ∈ {0.1, 0.5, 0.9}, ten runs.

Two routes. ``EXACT`` draws each generation from the law that the kernel density generates.
``LITERAL`` simulates: N(0, I) at T, then the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.generations import (
    FreshFraction,
    Generation,
    History,
    KernelFit,
    Measured,
    SimulatedKernelFit,
    recurse,
)
from scoredrift.laws import Law, mixture_of_five
from scoredrift.process import OrnsteinUhlenbeck

ALPHAS = (0.1, 0.5, 0.9)
BANDWIDTH = 0.6
REACH, BINS = 8.0, 80


def moments(generation: Generation) -> Measured:
    """Mean and second moments E x_j² of a generation's points, each coordinate by itself.

    Args:
        generation: as ``recurse`` hands it over.

    Returns:
        ``mean`` and ``second_moment``, each ``[d]``, float64.

    >>> from scoredrift.laws import Gaussian
    >>> x, law = torch.ones(3, 2), Gaussian(torch.zeros(2), torch.eye(2))
    >>> moments(Generation(0, x, law, x, torch.Generator(), None))["second_moment"]
    tensor([1., 1.], dtype=torch.float64)
    """
    x = _checks.points("drawn", generation.drawn).double()
    if x.numel() == 0:
        _checks.refuse("drawn.shape", list(x.shape), "pass one or more points")
    return {"mean": x.mean(0), "second_moment": x.square().mean(0)}


def picture(x: Tensor) -> Tensor:
    """Counts of points over the plane of the first two coordinates, 80 × 80 cells on [−8, 8]².

    These two coordinates span the leading principal components of the five-Gaussian law.

    Args:
        x: points, shape ``[n, d]``, d ≥ 2.

    Returns:
        Counts, shape ``[80, 80]``, int32, first coordinate first; points outside are not counted.

    >>> int(picture(torch.zeros(7, 2)).sum())
    7
    """
    _checks.points("x", x)
    if x.shape[1] < 2:
        _checks.refuse("x.shape", list(x.shape), "pass points of two or more dimensions, [n, d]")
    cell = ((x[:, :2] + REACH) * (BINS / (2 * REACH))).floor().long()
    inside = ((cell >= 0) & (cell < BINS)).all(1)
    flat = cell[inside, 0] * BINS + cell[inside, 1]
    return torch.bincount(flat, minlength=BINS**2).reshape(BINS, BINS).int()


@dataclass(frozen=True)
class Measure:
    """Moments of every generation, and pictures of some.

    Args:
        pictured: generations of which the points are counted over the plane.

    >>> from scoredrift.laws import Gaussian
    >>> x, law = torch.ones(3, 2), Gaussian(torch.zeros(2), torch.eye(2))
    >>> sorted(Measure((0,))(Generation(0, x, law, x, torch.Generator(), None)))
    ['mean', 'picture', 'second_moment']
    """

    pictured: tuple[int, ...]

    def __call__(self, generation: Generation) -> Measured:
        """What is measured of one generation, by name."""
        found = dict(moments(generation))
        if generation.index in self.pictured:
            found["picture"] = picture(generation.drawn)
        return found


def pictured(settings: Mapping[str, Any], alpha: float, fit: KernelFit, target: Law) -> Measure:
    """What the experiment ``mixture`` measures: pictures of the first, a middle and the last generation.

    Args:
        settings: an entry of the scales below.
        alpha, fit, target: the run; the pictures do not depend on them.

    >>> ou = OrnsteinUhlenbeck()
    >>> pictured({"generations": 20}, 0.5, KernelFit(0.6, ou), mixture_of_five()).pictured
    (0, 10, 20)
    """
    last = settings["generations"]
    return Measure((0, last // 2, last))


def run_case(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
    bandwidth: float = BANDWIDTH,
    measuring: Callable[..., Callable[[Generation], Measured]] = pictured,
    last: int | None = None,
    after: History | None = None,
) -> History:
    """One run of the recursion at one fresh fraction.

    Args:
        settings: an entry of the scales of an experiment; with ``steps`` each generation is simulated.
        alpha: fresh fraction.
        run: number of the run; (seed, run) fixes the random numbers.
        seed: seed of the experiment.
        device: torch device.
        folder: checkpoints of this run; None for none.
        progress: show a bar over the generations.
        bandwidth: h.
        measuring: what is measured, as a function of settings, α, fit and data law.
        last: generation to stop at; None for the last one of the settings.
        after: what was computed of this run before, as for ``recurse``.

    >>> import tempfile
    >>> options = {"seed": 1, "device": "cpu", "folder": Path(tempfile.mkdtemp()), "progress": False}
    >>> history = run_case({"size": 50, "generations": 2}, alpha=0.5, run=0, **options)
    >>> history["second_moment"].shape
    torch.Size([3, 10])
    """
    data = mixture_of_five(dtype=torch.float32).to(device=device)
    ou = OrnsteinUhlenbeck()
    exact = KernelFit(bandwidth, ou)
    return recurse(
        SimulatedKernelFit(bandwidth, ou, settings["steps"]) if "steps" in settings else exact,
        data,
        regime=FreshFraction(alpha),
        generations=settings["generations"] if last is None else last,
        size=settings["size"],
        seed=(seed, run),
        measure=measuring(settings, alpha, exact, data),
        folder=folder,
        after=after,
        device=device,
        progress=progress,
    )


def run_all(settings: Mapping[str, Any], **options: Any) -> dict[str, Tensor]:
    """All runs at all fresh fractions.

    Args:
        settings: an entry of the scales below.
        options: seed, device, folder, workers and progress, as for ``run_cases``.

    Returns:
        For each α, ``{α}/mean`` and ``{α}/second_moment`` ``[runs, generations + 1, d]``, and
        ``{α}/picture`` of generations 0, half and last of the first run, ``[3, 80, 80]``.

    >>> import tempfile
    >>> options = {"seed": 1, "device": "cpu", "workers": 1, "progress": False}
    >>> settings = {"size": 50, "generations": 2, "runs": 2}
    >>> run_all(settings, folder=Path(tempfile.mkdtemp()), **options)["0.5/mean"].shape
    torch.Size([2, 3, 10])
    """
    values = run_cases(run_case, settings, over={"alpha": ALPHAS}, **options)
    return values | {f"{alpha}/picture": values[f"{alpha}/picture"][0] for alpha in ALPHAS}


EXACT = Experiment(
    "mixture",
    "ten-dimensional mixture, kernel-density score, exact route",
    {
        "quick": {"about": "a few seconds", "size": 2_000, "generations": 20, "runs": 2},
        "medium": {"about": "seconds", "size": 20_000, "generations": 20, "runs": 4},
        "paper": {"about": "a minute", "size": 100_000, "generations": 20, "runs": 10},
    },
    run_all,
)
LITERAL = Experiment(
    "mixture-literal",
    "the same by literal simulation of 500 Euler–Maruyama steps",
    {
        "quick": {"about": "half a minute", "size": 500, "generations": 20, "runs": 1, "steps": 100},
        "medium": {
            "about": "a quarter of an hour on a core",
            "size": 3_000,
            "generations": 20,
            "runs": 1,
            "steps": 500,
        },
        "paper": {
            "about": "minutes on a large GPU",
            "size": 100_000,
            "generations": 20,
            "runs": 1,
            "steps": 500,
        },
    },
    run_all,
)
