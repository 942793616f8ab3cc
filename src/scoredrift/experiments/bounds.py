"""What one generation costs: energies, observability and divergences, generation by generation.

The mixture experiment of the paper (arXiv 2602.16601, App. G.1, known to us second-hand) by the exact
route. The model of generation i is a kernel density trained on N points of the law q (the data for
i = 0, else α p + (1 − α) p̂^{i−1}); p̂ is what it generates at t0, and densities are compared at t0:

    ideal_energy ε*², learned_energy ε̂², visible η ε*²;
    kl KL(p̂‖q_{t0}), chi2 χ²(p̂‖q_{t0}), start KL(p̂_T‖q_T).

All of them come from densities and scores in closed form and plain means: no solver, no regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from scoredrift.divergences import chi2, kl
from scoredrift.estimates import Estimate
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.mixture import run_case
from scoredrift.generations import Generation, KernelFit, Measured
from scoredrift.laws import KernelDensity, Law, Marginal
from scoredrift.observability import by_pairs
from scoredrift.paths import ideal_energy, learned_energy
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import Flow

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

    >>> from scoredrift import mixture_of_five
    >>> p, ou = mixture_of_five(), OrnsteinUhlenbeck()
    >>> found = one_generation(p.blur(0.3), p, ou, 500, generator=torch.Generator().manual_seed(0))
    >>> abs(found["kl"].sigmas_from(0.5 * found["learned_energy"])) < 5
    True
    """
    error = Flow(trained_on, process).error(Flow(model, process))
    t0, t_max = process.t_min, process.t_max
    options: dict[str, Any] = {"generator": generator}
    seen = by_pairs(error, draws, pilot=50, **options)
    generated, wanted = Marginal(model, t0), Marginal(trained_on, t0)
    apart = chi2(generated, wanted, draws, **options)
    return {
        "ideal_energy": ideal_energy(error, draws, **options),
        "learned_energy": learned_energy(error, draws, **options),
        "visible": seen.visible,
        "eta": seen.eta,
        "kl": kl(generated, wanted, draws, **options),
        "chi2": torch.tensor([apart.value, apart.stderr, apart.tail], dtype=torch.float64),
        "start": kl(Marginal(model, t_max), Marginal(trained_on, t_max), draws, **options),
    }


@dataclass(frozen=True)
class Bounds:
    """Measures ``one_generation`` in every generation of a kernel-density recursion.

    Args:
        fit: how the models of the run are fitted.
        draws: number of draws for each estimate, ≥ 100.
        generations: those that are measured; None for all.

    >>> from scoredrift import FreshFraction, mixture_of_five, recurse
    >>> data, fit = mixture_of_five(dtype=torch.float32), KernelFit(0.6, OrnsteinUhlenbeck())
    >>> measure = Bounds(fit, draws=200)
    >>> run = recurse(fit, data, regime=FreshFraction(0.5), generations=1, size=50, seed=0, measure=measure)
    >>> run["eta"].shape  # value and standard error of each generation
    torch.Size([2, 2])
    """

    fit: KernelFit
    draws: int
    generations: tuple[int, ...] | None = None

    def __call__(self, generation: Generation) -> Measured:
        """What ``one_generation`` returns, for the model of this generation, if it is to be measured."""
        if self.generations is not None and generation.index not in self.generations:
            return {}
        model, trained_on = KernelDensity(generation.training, self.fit.bandwidth), generation.trained_on
        return one_generation(model, trained_on, self.fit.process, self.draws, generator=generation.generator)


def priced(settings: Mapping[str, Any], alpha: float, fit: KernelFit, target: Law) -> Bounds:
    """What the experiments below measure of a run.

    Args:
        settings: an entry of the scales below, with ``draws`` and, if not all, ``measured`` generations.
        fit: how the models of the run are fitted.
        alpha, target: the run; what a generation was trained on travels with it.

    >>> from scoredrift import mixture_of_five
    >>> ou = OrnsteinUhlenbeck()
    >>> priced({"draws": 200}, 0.5, KernelFit(0.6, ou), mixture_of_five()).draws
    200
    """
    measured = settings.get("measured")
    return Bounds(fit, settings["draws"], None if measured is None else tuple(measured))


def run_all(
    settings: Mapping[str, Any], *, over: Mapping[str, Sequence[float]] = MappingProxyType({}), **options: Any
) -> dict[str, Tensor]:
    """All runs at both fresh fractions, and at other values of the arguments that vary.

    Args:
        settings: an entry of the scales below.
        over: values of other arguments of ``mixture.run_case``, such as the bandwidth.
        options: seed, device, folder, workers and progress, as for ``run_cases``.

    Returns:
        For each α and each quantity of ``one_generation`` a tensor ``{α}/{name}``, shape
        ``[runs, measured generations, 2]``: values and standard errors (``chi2``: three columns). With
        bandwidths, ``{α}/{h}/{name}``.

    >>> import tempfile
    >>> from pathlib import Path
    >>> options = {"seed": 1, "device": "cpu", "workers": 1, "progress": False}
    >>> settings = {"size": 50, "generations": 1, "runs": 2, "draws": 200, "measured": [0]}
    >>> folder = Path(tempfile.mkdtemp())
    >>> run_all(settings, over={"bandwidth": (0.6,)}, folder=folder, **options)["0.5/0.6/kl"].shape
    torch.Size([2, 1, 2])
    """
    task = partial(run_case, measuring=priced)
    return run_cases(task, settings, over={"alpha": ALPHAS, **over}, **options)


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
BANDWIDTHS = Experiment(
    "bandwidths",
    "the same in the first, second and last generation, for several bandwidths",
    {
        "quick": {
            "about": "half a minute",
            "size": 5_000,
            "generations": 20,
            "measured": [0, 1, 20],
            "runs": 1,
            "draws": 500,
        },
        "medium": {
            "about": "10 minutes",
            "size": 20_000,
            "generations": 20,
            "measured": [0, 1, 20],
            "runs": 2,
            "draws": 4_000,
        },
        "paper": {
            "about": "20 minutes",
            "size": 100_000,
            "generations": 20,
            "measured": [0, 1, 20],
            "runs": 1,
            "draws": 4_000,
        },
    },
    partial(run_all, over={"bandwidth": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)}),
    axes=("alpha", "bandwidth"),
)
