"""Fashion-MNIST in components, looked at more closely: other regimes, energies, and what the sampler does.

Regimes at one fresh fraction: everything is replaced, everything accumulates, or networks go on from the one before.

Energies: that of a network against the empirical law of its training set is known, and so is its visible part; against
the law from which that was drawn, a reference with more points and updates bounds it from below.

Rescue: a pipeline that has fallen at a small fresh fraction goes on with a larger one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.fashion import Pictures, fashion_pictures
from scoredrift.experiments.fashion_codes import PROCESS, CodeLaw, code_fit, run_codes
from scoredrift.experiments.neural_ten import training_points
from scoredrift.generations import (
    Accumulate,
    Generation,
    History,
    Measured,
    NetworkFit,
    NetworkModel,
    Replace,
)
from scoredrift.laws import KernelDensity
from scoredrift.observability import PairDesign, by_pairs, energy_bound, energy_by_level
from scoredrift.scores import Flow

REGIMES: dict[str, dict[str, Any]] = {
    "replace": {"regime": Replace()},
    "accumulate": {"regime": Accumulate()},
    "warm": {"warm": True},
}
_WIDTH_OF_A_POINT = 1e-4  # of the empirical law; the noise at t0 is 0.03
_LEVELS = 8


def run_regimes(settings: Mapping[str, Any], *, regime: str, run: int, **options: Any) -> History:
    """One recursion of an MLP on codes in another regime.

    Args:
        settings: an entry of the scales of ``FASHION_REGIMES``; the fresh fraction is that of a warm start.
        regime: an entry of ``REGIMES``.
        run: number of the run.
        options: seed, device, folder, progress and pictures, as for ``run_codes``.

    Raises:
        ValueError: a regime that there is not.

    >>> from scoredrift.experiments import digits_pictures
    >>> small = {"width": 16, "steps": 20, "sampler": 5, "size": 300, "generations": 1, "pictures": 4, "alpha": 0.2}
    >>> here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": digits_pictures()}
    >>> run_regimes(small, regime="accumulate", run=0, **here)["deviation"].shape
    torch.Size([2, 16])
    """
    if regime not in REGIMES:
        _checks.refuse("regime", repr(regime), f"choose one of {', '.join(REGIMES)}")
    first = 2_000 + 100 * list(REGIMES).index(regime)
    return run_codes(settings, alpha=settings["alpha"], run=run, first=first, **REGIMES[regime], **options)


def run_rescue(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    run: int,
    folder: Path | str | None,
    **options: Any,
) -> History:
    """One recursion of an MLP on codes that falls at one fresh fraction and goes on with another.

    Args:
        settings: an entry of the scales of ``FASHION_RESCUE``: ``before`` is the fresh fraction of the generations up
            to ``fallen``.
        alpha: fresh fraction from then on.
        run: number of the run; those of different α fall in the same way.
        folder: where the fall is kept; what comes after it is computed anew.
        options: seed, device, progress and pictures, as for ``run_codes``.

    >>> from scoredrift.experiments import digits_pictures
    >>> small = {"width": 16, "steps": 20, "sampler": 5, "size": 300, "pictures": 4, "before": 0.1, "fallen": 1}
    >>> here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": digits_pictures()}
    >>> run_rescue(small | {"generations": 2}, alpha=0.9, run=0, **here)["deviation"].shape
    torch.Size([3, 16])
    """
    down = dict(settings) | {"generations": settings["fallen"]}
    fallen = run_codes(down, alpha=settings["before"], run=run, first=5_000, folder=folder, **options)
    return run_codes(settings, alpha=alpha, run=run, first=5_000, folder=None, after=fallen, **options)


@dataclass(frozen=True, eq=False)
class CodeEnergies:
    """Energies of an MLP on codes, against the empirical law of its training set and against a reference.

    Args:
        data: law of the codes.
        alpha: fresh fraction of the run.
        reference: how a reference is trained.
        more: times as many points for a reference as for a network.
        draws: points that energies are averages over.
        referred: generations in which a reference is trained.

    >>> from scoredrift.experiments import digits_pictures
    >>> digits = digits_pictures()
    >>> fit = code_fit(20, width=16, steps=20, sampler=5)
    >>> CodeEnergies(CodeLaw(digits.law, digits.code), 0.5, fit, 4, 100, (0,)).referred
    (0,)
    """

    data: CodeLaw
    alpha: float
    reference: NetworkFit
    more: int
    draws: int
    referred: tuple[int, ...]

    def __call__(self, generation: Generation) -> Measured:
        """Empirical energy by level of noise, its visible share, and in some generations a bound by level."""
        model, source = generation.model, generation.generator
        assert isinstance(model, NetworkModel)
        edges = PROCESS.geometric_grid(_LEVELS).flip(0)
        law = KernelDensity(generation.training, _WIDTH_OF_A_POINT)
        error = Flow(law, PROCESS).error(model.score)
        energy = energy_by_level(error, self.draws, edges, generator=source)
        design = PairDesign(strata=8, antithetic=True, divergence_free=True)  # 64 derivatives are many
        seen = by_pairs(error, self.draws, design=design, generator=source)
        found: dict[str, Any] = {
            "empirical": energy.total,
            "empirical_levels": level_pairs(energy.levels),
            "eta": seen.eta,
            "visible": seen.visible,
        }
        if generation.index in self.referred:
            bound = self._bound(generation, model, edges)
            found |= {"bound": bound.total, "bound_levels": level_pairs(bound.levels)}
        return found

    def _bound(self, generation: Generation, model: NetworkModel, edges: Tensor) -> Any:
        source, n = generation.generator, len(generation.training)
        here = (self.data, generation.previous, self.alpha)
        points = training_points(*here, self.more * n, generator=source)
        reference = self.reference(points, generator=source)
        fresh = training_points(*here, 4 * self.draws, generator=source)
        return energy_bound(model.score, reference.score, fresh, edges, generator=source)


def level_pairs(levels: Sequence[Estimate]) -> Tensor:
    """Values and standard errors of the levels of noise, ``[B, 2]``.

    Args:
        levels: estimates.

    >>> level_pairs([Estimate(1.0, 0.5)])
    tensor([[1.0000, 0.5000]], dtype=torch.float64)
    """
    return torch.tensor([[one.value, one.stderr] for one in levels], dtype=torch.float64)


def run_energies(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    run: int,
    device: str,
    pictures: Pictures | None = None,
    **options: Any,
) -> History:
    """One recursion of an MLP on codes with its energies.

    Args:
        settings: an entry of the scales of ``FASHION_ENERGIES``.
        alpha: fresh fraction.
        run: number of the run.
        device: torch device.
        pictures: data law; None for Fashion-MNIST.
        options: seed, folder and progress, as for ``run_codes``.

    >>> from scoredrift.experiments import digits_pictures
    >>> small = {"width": 16, "steps": 20, "sampler": 5, "size": 300, "generations": 0, "pictures": 4}
    >>> small |= {"longer": 2, "more": 2, "draws": 50, "referred": [0]}
    >>> here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": digits_pictures()}
    >>> run_energies(small, alpha=0.5, run=0, **here)["bound_levels"].shape
    torch.Size([1, 8, 2])
    """
    world = (fashion_pictures() if pictures is None else pictures).to(device)
    longer = settings["longer"] * settings["steps"]
    reference = code_fit(
        len(world.code.directions), width=settings["width"], steps=longer, sampler=settings["sampler"]
    )
    energies = CodeEnergies(
        CodeLaw(world.law, world.code),
        alpha,
        reference,
        settings["more"],
        settings["draws"],
        tuple(settings["referred"]),
    )
    common = {"device": device, "pictures": world, **options}
    return run_codes(settings, alpha=alpha, run=run, first=3_000, more=energies, **common)


_QUICK = {"size": 2_000, "width": 128, "steps": 200, "sampler": 10, "pictures": 2, "runs": 1}
_MEDIUM = {"size": 20_000, "width": 512, "steps": 2_000, "sampler": 25, "pictures": 2, "runs": 3}
_FEW = {"generations": 1, "alpha": 0.2}
FASHION_REGIMES = Experiment(
    "fashion-regimes",
    "Fashion-MNIST in 64 components: all replaced, all accumulated, and warm starts at one fresh fraction",
    {
        "quick": {"about": "a minute", **_QUICK, **_FEW},
        "medium": {"about": "half an hour", **_MEDIUM, "generations": 10, "alpha": 0.2},
    },
    partial(run_cases, run_regimes, over={"regime": tuple(REGIMES)}),
    axes=("regime",),
)
_DEEP = {"longer": 3, "more": 4}
FASHION_RESCUE = Experiment(
    "fashion-rescue",
    "Fashion-MNIST in 64 components: after a fall at one fresh fraction, more fresh data",
    {
        "quick": {"about": "a minute", **_QUICK, "generations": 2, "before": 0.05, "fallen": 1},
        "medium": {"about": "an hour and a half", **_MEDIUM, "generations": 16, "before": 0.05, "fallen": 8},
    },
    partial(run_cases, run_rescue, over={"alpha": (0.5, 0.9)}),
)
FASHION_ENERGIES = Experiment(
    "fashion-energies",
    "Fashion-MNIST in 64 components: energies of four generations against two laws",
    {
        "quick": {"about": "a minute", **_QUICK, **_DEEP, "draws": 100, "generations": 1, "referred": [0]},
        "medium": {
            "about": "a quarter of an hour",
            **_MEDIUM,
            "runs": 2,
            **_DEEP,
            "draws": 1_000,
            "generations": 3,
            "referred": [0, 3],
        },
    },
    partial(run_cases, run_energies, over={"alpha": (0.1, 0.5)}),
)
