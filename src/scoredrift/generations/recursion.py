"""Training on one's own samples, generation after generation.

Generation 0 is fitted to N points of the data law p. From then on

    training set of generation i + 1  =  regime(fresh points of p, points of p̂^i, what was there),
    p̂^{i+1}                           =  fit(training set).

The recursion does not know how a model is fitted: ``fit`` is any callable that turns points into
something that draws points; what it is fitted to is the business of the regime (module
``regimes``).

Each generation has its own random numbers, derived from the seed and its index, so a run that is
interrupted and resumed ends with the same numbers as one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.generations.regimes import Regime
from scoredrift.laws import GaussianMixture, Source
from scoredrift.runs import Checkpoints, describe, generator_for


class Fit(Protocol):
    """Turns a training set into a model that draws points.

    >>> from scoredrift.laws import Gaussian
    >>> fit: Fit = lambda data, *, generator: Gaussian.fit(data)
    """

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> Source:
        """Model fitted to points ``[n, d]``; all its randomness comes from the generator."""


@dataclass(frozen=True)
class Generation:
    """One generation, as ``measure`` sees it.

    Args:
        index: i = 0, 1, …
        training: what the model was fitted to, shape ``[n, d]``.
        model: p̂^i.
        drawn: N points of p̂^i, shape ``[N, d]``.
        generator: random numbers for measurements.
        before: refits the preceding model; see ``previous``.

    >>> from scoredrift.laws import Gaussian
    >>> x, law = torch.zeros(2, 1), Gaussian(torch.zeros(1), torch.eye(1))
    >>> Generation(0, x, law, x, torch.Generator(), None).previous is None
    True
    """

    index: int
    training: Tensor
    model: Source
    drawn: Tensor
    generator: torch.Generator
    before: Callable[[], Source] | None

    @cached_property
    def previous(self) -> Source | None:
        """Model p̂^{i−1} of the generation before; None for generation 0.

        After a resumption it is fitted again, with the random numbers of its first fit.
        """
        return None if self.before is None else self.before()


Measured = Mapping[str, float | Estimate | Tensor]


@dataclass(frozen=True)
class History:
    """What was measured in each generation, and the last generation's points.

    Args:
        measured: a dictionary of tensors for each generation; an estimate is stored as its value and
            standard error, ``[2]``.
        drawn: points of the last generation, shape ``[N, d]``.

    >>> history = History(({"a": torch.tensor(1.0)}, {"a": torch.tensor(2.0)}), torch.zeros(1, 1))
    >>> history["a"]
    tensor([1., 2.])
    """

    measured: tuple[dict[str, Tensor], ...]
    drawn: Tensor

    def __getitem__(self, name: str) -> Tensor:
        """Values of one measurement over the generations that have it, stacked.

        Raises:
            KeyError: no generation has it.
        """
        values = [one[name] for one in self.measured if name in one]
        if not values:
            known = sorted({name for one in self.measured for name in one})
            raise KeyError(f"{name!r} was not measured; there are {known}")
        return torch.stack(values)


def recurse(
    fit: Fit,
    target: Source,
    *,
    regime: Regime,
    generations: int,
    size: int,
    seed: int,
    measure: Callable[[Generation], Measured] | None = None,
    folder: Path | str | None = None,
    after: History | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> History:
    """Retrain on one's own samples: generations 0, 1, …, ``generations``.

    Source: arXiv 2602.16601, the recursive training scheme; generation 0 is trained on data alone.

    Args:
        fit: turns points ``[n, d]`` into a model.
        target: the data law p.
        regime: what the next generation is trained on.
        generations: number of retrainings ≥ 0.
        size: N, the points that each generation draws ≥ 2.
        seed: ≥ 0; with the index of a generation it fixes all its random numbers.
        measure: called once for each generation; returns numbers, estimates or tensors by name.
        folder: where to keep checkpoints; a run that finds its own resumes after the last good one.
        after: what a call for fewer generations returned, to be continued instead of a folder's
            checkpoints. It lacks the last training set: regimes and measurements that look back refuse.
        device: where the random numbers are drawn, so where ``target`` lives.
        progress: show a progress bar.

    Returns:
        History.

    Raises:
        ValueError: sizes that are not positive; points that are not finite or too few, measurements that
            are NaN or no numbers (the message names the generation); a folder with the checkpoints of
            another run, or both a folder and a history. Infinite measurements are kept: a divergence can be infinite.

    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.generations import Replace
    >>> unit = Gaussian(torch.zeros(1), torch.eye(1))
    >>> fit = lambda data, *, generator: Gaussian.fit(data)
    >>> spread = lambda generation: {"variance": generation.drawn.var()}
    >>> run = recurse(fit, unit, regime=Replace(), generations=3, size=50, seed=1, measure=spread)
    >>> run["variance"].shape
    torch.Size([4])
    """
    _checks.count("generations", generations, least=0)
    _checks.count("size", size, least=2)
    _checks.count("seed", seed, least=0)

    def numbers(index: int, purpose: str) -> torch.Generator:
        return generator_for(seed, index, purpose, device=device)

    def fitted(index: int, training: Tensor) -> Source:
        return fit(training, generator=numbers(index, "fit"))

    settings = {"fit": fit, "target": target, "regime": regime, "size": size, "seed": seed}
    settings |= {"measure": measure, "device": torch.device(device).type}
    if folder is not None and after is not None:
        _checks.refuse("after", "a history", "the folder says what to continue; pass one of the two")
    store = None if folder is None else Checkpoints(Path(folder), describe(settings))
    found = None if store is None else store.newest(generations)
    measured: list[dict[str, Tensor]] = []
    training: Tensor | None = None
    drawn: Tensor | None = None
    if found is not None:
        measured, training, drawn = found.measured, found.training.to(device), found.drawn.to(device)
    elif after is not None:
        if len(after.measured) > generations + 1:
            remedy = f"the history is of {len(after.measured) - 1} already; ask for as many, or for more"
            _checks.refuse("generations", generations, remedy)
        measured, drawn = list(after.measured), after.drawn.to(device)
    model: Source | None = None

    done, last = len(measured), generations + 1
    for index in tqdm(range(done, last), initial=done, total=last, disable=not progress, desc="generations"):
        before: Callable[[], Source] | None = None
        if drawn is None:
            training = target.sample(size, generator=numbers(index, "fresh"))
        else:
            before = _refit(fitted, index - 1, training) if model is None else _keep(model)
            source = numbers(index, "fresh")

            def fresh(n: int, source: torch.Generator = source) -> Tensor:
                return target.sample(n, generator=source)

            training = regime.training_set(fresh, drawn, training, generator=numbers(index, "blend"))
        model = fitted(index, training)
        drawn = model.sample(size, generator=numbers(index, "sample"))
        _checks.points(f"points of generation {index}", drawn, training.shape[1])
        if len(drawn) != size:
            shape = list(drawn.shape)
            _checks.refuse(f"points of generation {index}.shape", shape, f"draw as many as asked for, {size}")
        generation = Generation(index, training, model, drawn, numbers(index, "measure"), before)
        measured.append(_as_tensors({} if measure is None else measure(generation), index))
        if store is not None:
            store.write(index, training, drawn, measured)
    assert drawn is not None
    return History(tuple(measured), drawn)


def _keep(model: Source) -> Callable[[], Source]:
    return lambda: model


def _refit(
    fitted: Callable[[int, Tensor], Source], index: int, training: Tensor | None
) -> Callable[[], Source]:
    def refit() -> Source:
        if training is None:
            remedy = "a history lacks its training set; continue from checkpoints, by folder=…"
            _checks.refuse(f"model of generation {index}", None, remedy)
        return fitted(index, training)

    return refit


def _as_tensors(measured: Measured, index: int) -> dict[str, Tensor]:
    tensors = {}
    for name, value in measured.items():
        if isinstance(value, Estimate):
            value = torch.tensor([value.value, value.stderr], dtype=torch.float64)
        if not isinstance(value, Tensor | np.ndarray | Real):
            remedy = "return a number, an estimate or a tensor"
            _checks.refuse(f"measure(generation {index})[{name!r}]", repr(value), remedy)
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
        if bool(torch.isnan(tensor).any()):
            _checks.refuse(f"measure(generation {index})[{name!r}]", "NaN", "return numbers, or leave it out")
        tensors[name] = tensor.detach().cpu().clone()
    return tensors


def recurse_laws(
    learn: Callable[[GaussianMixture], GaussianMixture],
    target: GaussianMixture,
    *,
    regime: Regime,
    generations: int,
) -> list[GaussianMixture]:
    """The recursion in the limit N → ∞, for learners that map Gaussian mixtures to Gaussian mixtures.

    Args:
        learn: law of the training set ↦ law that the model generates; for a kernel density this is
            ``KernelFit.limit``.
        target: the data law p.
        regime: what the next generation is trained on.
        generations: number of retrainings ≥ 0.

    Returns:
        The laws p̂^0, p̂^1, …, ``generations`` + 1 of them.

    Raises:
        ValueError: a negative number of generations.

    >>> from scoredrift.laws import mixture_of_five
    >>> from scoredrift.generations import FreshFraction
    >>> blur = lambda law: law.blur(0.6)
    >>> run = recurse_laws(blur, mixture_of_five(), regime=FreshFraction(0.5), generations=2)
    >>> [len(law.weights) for law in run]  # five centres of each age
    [5, 10, 15]
    """
    _checks.count("generations", generations, least=0)
    training = target
    models = [learn(training)]
    for index in range(generations):
        training = regime.training_law(target, models[-1], training, index)
        models.append(learn(training))
    return models
