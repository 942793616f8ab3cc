"""What one generation costs: energies, observability and divergences, generation by generation.

The mixture experiment of the paper (arXiv 2602.16601, App. G.1, known to us second-hand) by the exact
route. The model of generation i is a kernel density trained on N points of the law q (the data for
i = 0, else α p + (1 − α) p̂^{i−1}); p̂ is what it generates at t0, and densities are compared at t0:

    ideal_energy ε*², learned_energy ε̂², visible η ε*²;
    kl KL(p̂‖q_{t0}), chi2 χ²(p̂‖q_{t0}), start KL(p̂_T‖q_T).

All of them come from densities and scores in closed form and plain means: no solver, no regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from scoredrift.divergences import chi2, kl
from scoredrift.errors import ScoreError
from scoredrift.estimates import Estimate
from scoredrift.experiments.base import Experiment, histories_by_alpha
from scoredrift.experiments.mixture import BANDWIDTH
from scoredrift.fits import KernelFit
from scoredrift.girsanov import ideal_energy, learned_energy
from scoredrift.kde import KernelDensity
from scoredrift.laws import Blend, Law, Marginal
from scoredrift.mixtures import mixture_of_five
from scoredrift.observability import by_pairs
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.recursion import Generation, History, Measured, recurse
from scoredrift.regimes import FreshFraction
from scoredrift.scores import FlowScore

ALPHAS = (0.1, 0.5)


def one_generation(
    model: Law, trained_on: Law, process: OrnsteinUhlenbeck, draws: int, *, generator: torch.Generator
) -> dict[str, Estimate | Tensor]:
    """Energies, observability and divergences of a model whose score is a flow, against its training law.

    Args:
        model: law whose flow has the learned score.
        trained_on: q, the law that it should have learned.
        process: forward process.
        draws: number of draws ≥ 100 for each estimate.
        generator: source of randomness.

    Returns:
        ``ideal_energy``, ``learned_energy``, ``visible``, ``eta``, ``kl``, ``start``: estimates, KL in
        nats; and ``chi2``, a tensor of value, standard error and tail shape k̂.

    >>> p, ou = mixture_of_five(), OrnsteinUhlenbeck()
    >>> found = one_generation(p.blur(0.3), p, ou, 500, generator=torch.Generator().manual_seed(0))
    >>> abs(found["kl"].sigmas_from(0.5 * found["learned_energy"])) < 5
    True
    """
    error = ScoreError(FlowScore(model, process), FlowScore(trained_on, process))
    t0, t_max = process.t_min, process.t_max
    options: dict[str, Any] = {"generator": generator}
    seen = by_pairs(error, trained_on, process, draws, pilot=50, **options)
    generated, wanted = Marginal(model, t0), Marginal(trained_on, t0)
    apart = chi2(generated, wanted, draws, **options)
    return {
        "ideal_energy": ideal_energy(error, trained_on, process, draws, **options),
        "learned_energy": learned_energy(error, model, process, draws, **options),
        "visible": seen.visible,
        "eta": seen.eta,
        "kl": kl(generated, wanted, draws, **options),
        "chi2": torch.tensor([apart.estimate.value, apart.estimate.stderr, apart.tail], dtype=torch.float64),
        "start": kl(Marginal(model, t_max), Marginal(trained_on, t_max), draws, **options),
    }


@dataclass(frozen=True)
class Bounds:
    """Measures ``one_generation`` in every generation of a kernel-density recursion.

    Args:
        target: the data law p.
        alpha: fresh fraction α of the run.
        fit: how the models of the run are fitted.
        draws: number of draws for each estimate, ≥ 100.

    >>> data, fit = mixture_of_five(dtype=torch.float32), KernelFit(0.6, OrnsteinUhlenbeck())
    >>> measure = Bounds(data, 0.5, fit, draws=200)
    >>> run = recurse(fit, data, regime=FreshFraction(0.5), generations=1, size=50, seed=0, measure=measure)
    >>> run["eta"].shape  # value and standard error of each generation
    torch.Size([2, 2])
    """

    target: Law
    alpha: float
    fit: KernelFit
    draws: int

    def __call__(self, generation: Generation) -> Measured:
        """What ``one_generation`` returns, for the model of this generation."""
        trained_on = self.target
        if generation.previous is not None and self.alpha < 1:
            trained_on = Blend((self.alpha, 1 - self.alpha), (self.target, cast(Law, generation.previous)))
        model = KernelDensity(generation.training, self.fit.bandwidth)
        return one_generation(model, trained_on, self.fit.process, self.draws, generator=generation.generator)


def run_case(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    run: int,
    seed: int,
    device: str,
    folder: Path,
    progress: bool,
) -> History:
    """One run of the recursion at one fresh fraction.

    Args:
        settings: an entry of the scales below.
        alpha: fresh fraction.
        run: number of the run; with ``seed`` it fixes the random numbers.
        seed: seed of the experiment.
        device: torch device.
        folder: checkpoints.
        progress: show a bar over the generations.

    >>> import tempfile
    >>> options = {"seed": 1, "device": "cpu", "folder": Path(tempfile.mkdtemp()), "progress": False}
    >>> settings = {"size": 50, "generations": 1, "draws": 200}
    >>> run_case(settings, alpha=0.5, run=0, **options)["chi2"].shape
    torch.Size([2, 3])
    """
    data = mixture_of_five(dtype=torch.float32).to(device=device)
    fit = KernelFit(BANDWIDTH, OrnsteinUhlenbeck())
    return recurse(
        fit,
        data,
        regime=FreshFraction(alpha),
        generations=settings["generations"],
        size=settings["size"],
        seed=seed + run,
        measure=Bounds(data, alpha, fit, settings["draws"]),
        folder=folder / f"alpha-{alpha}-run-{run}",
        device=device,
        progress=progress,
    )


def run_all(
    settings: Mapping[str, Any], *, seed: int, device: str, folder: Path, workers: int, progress: bool
) -> dict[str, Tensor]:
    """All runs at both fresh fractions.

    Args:
        settings: an entry of the scales below.
        seed: seed of the experiment.
        device: torch device.
        folder: checkpoints.
        workers: processes.
        progress: show progress bars.

    Returns:
        For each α and each quantity of ``one_generation`` a tensor ``{α}/{name}``, shape
        ``[runs, generations + 1, 2]``: values and standard errors (``chi2``: three columns).

    >>> import tempfile
    >>> options = {"seed": 1, "device": "cpu", "workers": 1, "progress": False}
    >>> settings = {"size": 50, "generations": 1, "runs": 2, "draws": 200}
    >>> run_all(settings, folder=Path(tempfile.mkdtemp()), **options)["0.5/kl"].shape
    torch.Size([2, 2, 2])
    """
    values = {}
    options: dict[str, Any] = {"seed": seed, "device": device, "folder": folder}
    options |= {"workers": workers, "progress": progress}
    for alpha, histories in histories_by_alpha(run_case, ALPHAS, settings, **options).items():
        for name in histories[0].measured[0]:
            values[f"{alpha}/{name}"] = torch.stack([history[name] for history in histories])
    return values


BOUNDS = Experiment(
    "bounds",
    "the same mixture and model: energies, observability and divergences of every generation",
    {
        "quick": {"about": "a minute", "size": 5_000, "generations": 20, "runs": 2, "draws": 1_000},
        "medium": {"about": "10 minutes", "size": 20_000, "generations": 20, "runs": 3, "draws": 4_000},
        "paper": {"about": "an hour", "size": 100_000, "generations": 20, "runs": 3, "draws": 4_000},
    },
    run_all,
)
