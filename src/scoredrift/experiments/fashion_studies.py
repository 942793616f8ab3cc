"""Fashion-MNIST in components, looked at more closely: other regimes, energies, and what the sampler does.

Regimes at one fresh fraction: everything is replaced, everything accumulates, or networks go on from the one before.

Energies: that of a network against the empirical law of its training set is known, and so is its visible part; against
the law from which that was drawn, a reference with more points and updates bounds it from below.

Samplers: one network, one start, many ways and numbers of steps; and how distances depend on the size of a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.datasets import frechet_distance, kernel_distance, middles
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.fashion import Look, Pictures, fashion_pictures
from scoredrift.experiments.fashion_codes import PROCESS, CodeLaw, code_fit, run_codes, through_code
from scoredrift.experiments.neural_ten import training_points
from scoredrift.experiments.picture_measure import in_features
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
from scoredrift.paths import Ancestral, HeunFlow, Integrator
from scoredrift.runs import generator_for
from scoredrift.scores import Flow

REGIMES: dict[str, dict[str, Any]] = {
    "replace": {"regime": Replace()},
    "accumulate": {"regime": Accumulate()},
    "warm": {"warm": True},
}
SAMPLERS: dict[str, tuple[Integrator, int]] = {  # and steps
    "Heun 10": (HeunFlow(), 10),
    "Heun 20": (HeunFlow(), 20),
    "Heun 25": (HeunFlow(), 25),
    "Heun 50": (HeunFlow(), 50),
    "Heun 500": (HeunFlow(), 500),
    "ancestral 40": (Ancestral(), 40),
    "ancestral 1000": (Ancestral(), 1000),
}
SIZES = (1_000, 2_000, 10_000)
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_FEW_IMAGES = 1_000  # of which the paper takes a Gaussian χ² (second-hand); its regulariser is not given
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
            "empirical_levels": _pairs(energy.levels),
            "eta": seen.eta,
            "visible": seen.visible,
        }
        if generation.index in self.referred:
            bound = self._bound(generation, model, edges)
            found |= {"bound": bound.total, "bound_levels": _pairs(bound.levels)}
        return found

    def _bound(self, generation: Generation, model: NetworkModel, edges: Tensor) -> Any:
        source, n = generation.generator, len(generation.training)
        here = (self.data, generation.previous, self.alpha)
        points = training_points(*here, self.more * n, generator=source)
        reference = self.reference(points, generator=source)
        fresh = training_points(*here, 4 * self.draws, generator=source)
        return energy_bound(model.score, reference.score, fresh, edges, generator=source)


def _pairs(levels: Any) -> Tensor:
    """Values and standard errors, ``[B, 2]``."""
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


@dataclass(frozen=True, eq=False)
class SamplerMeasure:
    """What features see of one network through many samplers, and of samples of several sizes.

    Args:
        pictures: the data law, and what it is looked at with.
        data: what is seen of the data.
        drawn: images of each sampler.
        sizes: of the samples whose distances are taken.

    >>> from scoredrift.experiments import digits_pictures
    >>> digits = digits_pictures()
    >>> SamplerMeasure(digits, digits.look(digits.law.images), 100, (50, 100)).sizes
    (50, 100)
    """

    pictures: Pictures
    data: Look
    drawn: int
    sizes: tuple[int, ...]

    def __call__(self, generation: Generation) -> Measured:
        """Deviations of all samplers ``[S, m]``, spreads of components; distances by size and regulariser."""
        model = generation.model
        assert isinstance(model, NetworkModel)
        looks = [self._look(model, *way, generation) for way in SAMPLERS.values()]
        deviations = [in_features(self.data.features, look.features)["deviation"] for look in looks]
        spreads = [look.components.var(0) / self.data.components.var(0) for look in looks]
        usual = looks[list(SAMPLERS).index("Heun 25")]
        unseen = self.pictures.look(
            self.pictures.decoded(self.pictures.code.encode(middles(self.pictures.unseen)))
        )
        centre, unit = self.data.features.mean(0), self.data.features.std(0)
        known, drawn, others = ((look.features - centre) / unit for look in (self.data, usual, unseen))
        shuffled = torch.randperm(len(known), generator=generation.generator, device=known.device)
        few = (self.data.features[shuffled[:_FEW_IMAGES]], usual.features[:_FEW_IMAGES])
        gaussian = [in_features(*few, ridge=ridge) for ridge in RIDGES]
        found: dict[str, Any] = {"deviations": torch.stack(deviations), "spreads": torch.stack(spreads)}  # type: ignore[arg-type]
        for name in ("gaussian_kl", "gaussian_chi2"):
            found[f"{name}_ridged"] = torch.tensor([one[name] for one in gaussian])
        for n in self.sizes:
            for name, some in (("", drawn), ("_unseen", others)):
                parts = [some[at : at + n] for at in range(0, len(some) - n + 1, n)]
                found[f"frechet{name}_{n}"] = torch.tensor([frechet_distance(known, x) for x in parts]).mean()
            found[f"kid_{n}"] = kernel_distance(known[shuffled[:n]], drawn[:n])
        return found

    def _look(self, model: NetworkModel, integrator: Integrator, steps: int, generation: Generation) -> Look:
        source = generator_for(generation.index, "samplers", device=model.device)  # all begin with one start
        way = NetworkModel(
            model.trained, PROCESS.geometric_grid(steps), integrator, model.dim, model.dtype, model.rows
        )
        return self.pictures.look(self.pictures.decoded(way.sample(self.drawn, generator=source)))


def run_samplers(
    settings: Mapping[str, Any],
    *,
    alpha: float,
    device: str,
    pictures: Pictures | None = None,
    **options: Any,
) -> History:
    """One MLP on codes, trained on data alone, through many samplers.

    Args:
        settings: an entry of the scales of ``FASHION_SAMPLERS``.
        alpha: one, as there is no generation after the first.
        device: torch device.
        pictures: data law; None for Fashion-MNIST.
        options: run, seed, folder and progress, as for ``run_codes``.

    >>> from scoredrift.experiments import digits_pictures
    >>> small = {"width": 16, "steps": 20, "sampler": 5, "size": 300, "generations": 0, "pictures": 4}
    >>> small |= {"drawn": 60, "sizes": [30, 60]}
    >>> here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": digits_pictures()}
    >>> run_samplers(small, alpha=1.0, run=0, **here)["deviations"].shape
    torch.Size([1, 7, 16])
    """
    world = (fashion_pictures() if pictures is None else pictures).to(device)
    samplers = SamplerMeasure(
        world, world.look(through_code(world)), settings["drawn"], tuple(settings["sizes"])
    )
    common = {"device": device, "pictures": world, **options}
    return run_codes(settings, alpha=alpha, first=4_000, more=samplers, **common)


_QUICK = {"size": 2_000, "width": 128, "steps": 200, "sampler": 10, "pictures": 2, "runs": 1}
_MEDIUM = {"size": 20_000, "width": 512, "steps": 2_000, "sampler": 25, "pictures": 2, "runs": 3}
_FEW = {"generations": 1, "alpha": 0.2}
FASHION_REGIMES = Experiment(
    "fashion-regimes",
    "Fashion-MNIST in 64 components: all replaced, all accumulated, and warm starts at one fresh fraction",
    {
        "quick": {"about": "a minute", **_QUICK, **_FEW},
        "medium": {"about": "forty minutes", **_MEDIUM, "generations": 5, "alpha": 0.2},
    },
    partial(run_cases, run_regimes, over={"regime": tuple(REGIMES)}),
    axes=("regime",),
)
_DEEP = {"longer": 3, "more": 4}
FASHION_ENERGIES = Experiment(
    "fashion-energies",
    "Fashion-MNIST in 64 components: energies of four generations against two laws",
    {
        "quick": {"about": "a minute", **_QUICK, **_DEEP, "draws": 100, "generations": 1, "referred": [0]},
        "medium": {
            "about": "an hour",
            **_MEDIUM,
            **_DEEP,
            "draws": 1_000,
            "generations": 3,
            "referred": [0, 3],
        },
    },
    partial(run_cases, run_energies, over={"alpha": (0.1, 0.5)}),
)
FASHION_SAMPLERS = Experiment(
    "fashion-samplers",
    "Fashion-MNIST in 64 components: one network through many samplers, and distances by size of the sample",
    {
        "quick": {"about": "a minute", **_QUICK, "drawn": 200, "sizes": [100, 200], "generations": 0},
        "medium": {
            "about": "half an hour",
            **_MEDIUM,
            "drawn": 10_000,
            "sizes": list(SIZES),
            "generations": 0,
        },
    },
    partial(run_cases, run_samplers, over={"alpha": (1.0,)}),
)
