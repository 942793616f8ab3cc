"""Networks on the line: a recursion in which every law, energy and divergence is known by quadrature.

Data of the mixture of three; in each generation a small network is trained by denoising score matching on N
points of q_i = α p + (1−α) p̂^i, and the law that its sampler generates is computed. What a law does to the
cells of equal mass of p_{t0} is its deviation in features, so that

    δ_j = (p̂(cell j) − 1/K) √K,        ‖δ‖² ≤ χ²(p̂‖p_{t0}),        w = δ_{i+1} − (1−α) δ_i

are finite, where χ² itself is dominated by tails that nobody sees. What a generation adds, w, has two parts: what
the network does to the law that it should generate, q_{t0}, and the early stop, by which q_{t0} is not
α p_{t0} + (1−α) p̂:

    w = r + (1−α) (S − 1) p̂,        r = p̂' − q_{t0},        S the forward process for the time t0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import brentq
from torch import Tensor

from scoredrift import _checks
from scoredrift.divergences import kl_on_nodes, total_variation_on_nodes
from scoredrift.estimates import Estimate
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.generations import (
    FreshFraction,
    Generation,
    History,
    LineFit,
    LineModel,
    Measured,
    NetworkFit,
    WarmStart,
    recurse,
)
from scoredrift.laws import Blend, GaussianMixture, Law, mixture_of_three, on_nodes
from scoredrift.networks import PointNetwork, Recipe, evenly
from scoredrift.observability import by_pairs
from scoredrift.paths import generate_on_nodes, ideal_energy_on_nodes
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import Flow

CELLS = 32
_TOGETHER = 8192  # points of pairs at once: a law of 800 Gaussians fills the memory with more
_EVERY = 4  # of the nodes are stored of what a network does to a law
PROCESS = OrnsteinUhlenbeck()
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "quarter": {"size": 0.25},
    "fourfold": {"size": 4.0},
    "narrow": {"width": 24},
    "wide": {"width": 128},
    "short": {"steps": 0.25},
    "long": {"steps": 4.0},
    "last weights": {"averaging": 0.0},
    "even weighting": {"weighting": evenly},
    "warm": {"warm": True},
}


def mass_below(law: GaussianMixture, edges: Tensor) -> Tensor:
    """Distribution function of a mixture on the line, P(X ≤ x).

    Args:
        law: d = 1.
        edges: x, shape ``[k]``.

    Returns:
        Shape ``[k]``.

    >>> mass_below(mixture_of_three(), torch.tensor([0.0, 100.0]).double())[1]
    tensor(1., dtype=torch.float64)
    """
    _checks.floating("edges", edges)
    if edges.ndim != 1:
        _checks.refuse("edges.shape", list(edges.shape), "pass numbers in a row, [k]")
    return torch.special.ndtr((edges[:, None] - law.means[:, 0]) / law.variances.sqrt()) @ law.weights


def equal_cells(law: GaussianMixture, count: int) -> Tensor:
    """Edges between ``count`` cells of equal mass of a mixture on the line, shape ``[count − 1]``.

    Args:
        law: d = 1.
        count: ≥ 2.

    >>> edges = equal_cells(mixture_of_three(), 4)
    >>> mass_below(mixture_of_three(), edges)
    tensor([0.2500, 0.5000, 0.7500], dtype=torch.float64)
    """
    count = _checks.count("count", count, least=2)
    reach = 10 * float(law.variances.max().sqrt())
    low, high = float(law.means.min()) - reach, float(law.means.max()) + reach

    def excess(x: float, mass: float) -> float:
        return float(mass_below(law, torch.tensor([x], dtype=law.dtype))) - mass

    return torch.tensor(
        [brentq(excess, low, high, args=(k / count,)) for k in range(1, count)], dtype=law.dtype
    )


@dataclass(frozen=True)
class LineMeasure:
    """All that is known of a generation of networks on the line.

    Args:
        fit: gives the nodes, the process and the steps.
        edges: between the cells.
        pairs: points for η by pairs, ≥ 2; 0 to leave it out. They have random numbers of their own.

    >>> fit = line_fit(size=100, steps=50)
    >>> LineMeasure(fit, tuple(equal_cells(mixture_of_three(), 4).tolist())).edges[1] < 2
    True
    """

    fit: LineFit
    edges: tuple[float, ...]
    pairs: int = 0

    def __call__(self, generation: Generation) -> Measured:
        """Energies, divergences from q_{t0} and p_{t0}, masses of cells under p̂ and q_{t0}, p̂ − q_{t0}, and η."""
        model = generation.model
        assert isinstance(model, LineModel)
        nodes, grid, t0 = self.fit.line, model.network.grid, PROCESS.t_min
        q, p = generation.trained_on, mixture_of_three()
        error = Flow(q, PROCESS).error(model.network.score)
        paired = generate_on_nodes(error, nodes, grid)  # from q_T, as the theory has it
        wanted, data = on_nodes(q.diffuse(t0), nodes), on_nodes(p.diffuse(t0), nodes)
        drawn, edges = on_nodes(model, nodes), torch.tensor(self.edges, dtype=torch.float64)
        seen: dict[str, Estimate] = {}
        if self.pairs:
            source = generation.generator
            seen["eta"] = by_pairs(error, self.pairs, generator=source, batch=_TOGETHER).eta
        return {
            "ideal_energy": ideal_energy_on_nodes(error, nodes, grid),
            "learned_energy": paired.energy,
            "kl": kl_on_nodes(paired.density, wanted, nodes),
            "step_variation": total_variation_on_nodes(drawn, wanted, nodes),
            "variation": total_variation_on_nodes(drawn, data, nodes),
            "cells": masses_between(model.generated, edges),
            "wanted": _masses_at_t0(q, edges),
            "error": (drawn - wanted)[::_EVERY].float(),
            "held_out": model.network.trained.held_out.min(),
            **seen,
        }


def masses_between(law: GaussianMixture, edges: Tensor) -> Tensor:
    """Masses of a mixture on the line between edges, and beyond the first and the last.

    Args:
        law: d = 1.
        edges: increasing, shape ``[k]``.

    Returns:
        Shape ``[k + 1]``, sum one.

    >>> masses_between(mixture_of_three(), equal_cells(mixture_of_three(), 4))
    tensor([0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    below = mass_below(law, _checks.increasing("edges", edges))
    ends = torch.tensor([0.0, 1.0], dtype=below.dtype, device=below.device)
    return torch.cat([ends[:1], below, ends[1:]]).diff()


def _masses_at_t0(law: Law, edges: Tensor) -> Tensor:
    """Masses under q_{t0} for q a mixture, what a network generates, or a blend of such."""
    if isinstance(law, Blend):
        parts = zip(law.weights, law.laws, strict=True)
        return torch.stack([weight * _masses_at_t0(part, edges) for weight, part in parts]).sum(0)
    mixture = law.generated if isinstance(law, LineModel) else law
    assert isinstance(mixture, GaussianMixture)
    return masses_between(mixture.diffuse(PROCESS.t_min), edges)


def line_fit(
    *,
    size: int,
    steps: int = 1000,
    width: int = 64,
    averaging: float = 0.99,
    weighting: Any = None,
    warm: bool = False,
    folder: Path | str | None = None,
) -> LineFit:
    """How networks of these experiments are trained and sampled.

    Args:
        size: points of a training set; a batch has at most half of them.
        steps: updates.
        width: units of a layer; there are three.
        averaging: of the weights.
        weighting: of the loss; by energy if None.
        warm: go on with the network of the generation before.
        folder: where trainings keep what they need.

    >>> line_fit(size=100, steps=50).nodes
    801
    """
    own = {} if weighting is None else {"weighting": weighting}
    recipe = Recipe(
        steps,
        batch=min(256, size // 2),
        rate=5e-3,
        averaging=averaging,
        check_every=max(1, steps // 5),
        **own,
    )
    fit = NetworkFit(partial(PointNetwork, 1, width=width), recipe, PROCESS, steps=120, folder=folder)
    return LineFit(WarmStart(fit) if warm else fit, nodes=801)


def run_line(
    settings: Mapping[str, Any],
    *,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
    alpha: float = 1.0,
    setting: str = "plain",
    first: int = 0,
) -> History:
    """One recursion of networks on the line.

    Args:
        settings: size, steps, generations and, if η is wanted, pairs.
        run, seed: fix the random numbers.
        device: has to be cpu: the networks are tiny, and the quadrature is in float64.
        folder: checkpoints of this run; None for none.
        progress: show a bar over the generations.
        alpha: fresh fraction.
        setting: what is changed, an entry of ``SETTINGS``.
        first: number of run 0, so that experiments with one seed have no run in common.

    >>> small = {"size": 500, "steps": 200, "generations": 0}
    >>> history = run_line(small, run=0, seed=1, device="cpu", folder=None, progress=False)
    >>> history["cells"].shape, bool(history["learned_energy"] > 0)
    (torch.Size([1, 32]), True)
    """
    if torch.device(device).type != "cpu":
        _checks.refuse("device", device, "networks on the line are tiny; run them on the CPU")
    change = dict(SETTINGS[setting])
    size = round(settings["size"] * change.pop("size", 1))
    steps = round(settings["steps"] * change.pop("steps", 1))
    place = None if folder is None else Path(folder) / "networks"
    fit = line_fit(size=size, steps=steps, folder=place if change.get("warm") else None, **change)
    edges = equal_cells(mixture_of_three().diffuse(PROCESS.t_min), CELLS)
    return recurse(
        fit,
        mixture_of_three(),
        regime=FreshFraction(alpha),
        generations=settings["generations"],
        size=size,
        seed=(seed, first + run),
        measure=LineMeasure(fit, tuple(edges.tolist()), settings.get("pairs", 0)),
        folder=folder,
        progress=progress,
    )


def run_all(
    settings: Mapping[str, Any], *, over: Mapping[str, Sequence[Any]], first: int = 0, **options: Any
) -> dict[str, Tensor]:
    """All runs for all values of what varies.

    Args:
        settings: an entry of the scales below.
        over: fresh fractions, or names of settings.
        first: as for ``run_line``.
        options: seed, device, folder, workers and progress, as for ``run_cases``.

    >>> import tempfile
    >>> options = {"seed": 1, "device": "cpu", "workers": 1, "progress": False}
    >>> small = {"size": 200, "steps": 100, "generations": 0, "runs": 2}
    >>> folder = Path(tempfile.mkdtemp())
    >>> run_all(small, over={"alpha": (0.5,)}, folder=folder, **options)["0.5/cells"].shape
    torch.Size([2, 1, 32])
    """
    return run_cases(partial(run_line, first=first), settings, over=over, **options)


def _scales(quick: str, medium: str, paper: str, generations: int, **more: int) -> dict[str, dict[str, Any]]:
    """Scales and what each costs, on one core."""
    sizes = {
        "quick": {"about": quick, "size": 2_000, "steps": 300, "runs": 2},
        "medium": {"about": medium, "size": 8_000, "steps": 1_000, "runs": 5},
        "paper": {"about": paper, "size": 8_000, "steps": 1_000, "runs": 16},
    }
    return {scale: {**one, "generations": generations, **more} for scale, one in sizes.items()}


# One generation in many settings: bias and noise of networks; and the recursion, first a little of it, from which
# the rest is forecast. The forecast is of runs that it has not seen. Warm starts need a generation before.
NEURAL_SPLIT = Experiment(
    "neural-split",
    "networks on the line: one generation in nine settings, bias and noise over seeds",
    _scales("two minutes", "ten minutes", "half an hour", 0),
    partial(run_all, over={"setting": tuple(one for one in SETTINGS if one != "warm")}, first=2_000),
    axes=("setting",),
)
NEURAL_PILOT = Experiment(
    "neural-pilot",
    "networks on the line: three generations at one fresh fraction, to forecast from",
    _scales("a minute", "a quarter of an hour", "half an hour", 3),
    partial(run_all, over={"alpha": (0.5,)}),
)
NEURAL_LINE = Experiment(
    "neural-line",
    "networks on the line: the recursion at four fresh fractions, everything by quadrature",
    _scales("ten minutes", "an hour", "three hours", 10, pairs=4_000),
    partial(run_all, over={"alpha": (0.1, 0.25, 0.5, 0.9)}, first=1_000),
)
NEURAL_RECIPES = Experiment(
    "neural-recipes",
    "networks on the line: the recursion at α = ¼ with plain, with wide and with warm networks",
    _scales("five minutes", "twenty minutes", "an hour", 10),
    partial(run_all, over={"alpha": (0.25,), "setting": ("plain", "warm", "wide")}, first=3_000),
    axes=("alpha", "setting"),
)
