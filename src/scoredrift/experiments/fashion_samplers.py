"""Fashion-MNIST in components: one network, one start, many ways and numbers of steps of the sampler.

And what distances between samples owe to the size of the sample, and Gaussian divergences to their regulariser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from scoredrift.datasets import frechet_distance, kernel_distance, middles
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.fashion import Look, Pictures, fashion_pictures
from scoredrift.experiments.fashion_codes import PROCESS, run_codes, through_code
from scoredrift.experiments.picture_measure import in_features
from scoredrift.generations import Generation, History, Measured, NetworkModel
from scoredrift.paths import Ancestral, HeunFlow, Integrator
from scoredrift.runs import generator_for

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
