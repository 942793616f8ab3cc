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

import functools
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from numbers import Real
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.generations.history import Generation, History, Measured
from scoredrift.generations.regimes import Accumulate, Regime, law_of_training
from scoredrift.laws import Law, Source
from scoredrift.runs import Checkpoints, describe, generator_for, locked, seed_words


class Fit(Protocol):
    """Turns a training set into a model that draws points.

    >>> from scoredrift.laws import Gaussian
    >>> fit: Fit = lambda data, *, generator: Gaussian.fit(data)

    A model of another library takes its random numbers from the generator, too, or a run cannot be repeated,
    and gives its points as a tensor in the dtype of the data:

    >>> class Bootstrap:
    ...     def __init__(self, data):
    ...         self.data = data.numpy()
    ...     def sample(self, n, *, generator):
    ...         seed = int(torch.randint(2**31, (1,), generator=generator))
    ...         return torch.from_numpy(np.random.default_rng(seed).choice(self.data, n))
    >>> other: Fit = lambda data, *, generator: Bootstrap(data)
    >>> other(torch.zeros(5, 2), generator=torch.Generator()).sample(3, generator=torch.Generator()).shape
    torch.Size([3, 2])

    A fit that goes on from the model before has a method ``continued(data, before, *, generator)``, too, which
    is called from generation 1 on; ``before()`` gives that model.
    """

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> Source:
        """Model fitted to points ``[n, d]``; all its randomness comes from the generator."""


def recurse(
    fit: Fit,
    target: Source,
    *,
    regime: Regime,
    generations: int,
    size: int,
    seed: int | tuple[int, ...],
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
        generations: number of retrainings ≥ 0; with the same folder it may grow from call to call.
        size: N, the points that each generation draws ≥ 2.
        seed: ≥ 0, or several such numbers, as (seed, run): with the index of a generation they fix all its
            random numbers. Runs with (seed, 0), (seed, 1), … are independent of each other and of all runs
            with other seeds.
        measure: called once for each generation; returns numbers, estimates or tensors by name.
        folder: where to keep checkpoints; a run that finds its own resumes after the last good one. They
            are its own if the settings are, and the code, defaults, closures and globals of all that is
            passed here (``runs.describe``). What these read elsewhere, in the environment or in files,
            goes unnoticed.
        after: what a call for fewer generations returned, to be continued instead of a folder's
            checkpoints. It lacks the last training set: regimes and measurements that look back refuse.
        device: where the random numbers are drawn, so where ``target`` lives.
        progress: show a progress bar.

    Returns:
        History.

    Raises:
        ValueError: sizes that are not positive; a device that torch does not see; a regime without
            ``training_set``; points that are not finite or too few, measurements that are NaN or no numbers,
            whatever fit, regime or measure refuse (the message names the generation); a folder with the
            checkpoints of another run, or in which one is at work; settings whose code or state cannot be known,
            with a folder; or both a folder and a history. Infinite measurements are kept: a divergence can be
            infinite.

    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.generations import Replace
    >>> unit = Gaussian(torch.zeros(1), torch.eye(1))
    >>> fit = lambda data, *, generator: Gaussian.fit(data)
    >>> spread = lambda generation: {"variance": generation.drawn.var()}
    >>> run = recurse(fit, unit, regime=Replace(), generations=3, size=50, seed=1, measure=spread)
    >>> run["variance"].shape
    torch.Size([4])
    """
    generations = _checks.count("generations", generations, least=0)
    size = _checks.count("size", size, least=2)
    seed_words(seed)
    _checks.present(device)
    for name, function in (("fit", fit), ("measure", measure)):
        if not (callable(function) or (name == "measure" and function is None)):
            _checks.refuse(name, f"a {type(function).__name__}", "pass a function")
    _checks.able("target", target, "sample")
    if isinstance(regime, type) or not callable(getattr(regime, "training_set", None)):
        _checks.refuse("regime", repr(regime), "pass FreshFraction(alpha), Replace() or Accumulate()")
    if folder is not None and after is not None:
        _checks.refuse("after", "a history", "the folder says what to continue; pass one of the two")
    store = None
    if folder is not None:
        settings = {"fit": fit, "target": target, "regime": regime, "size": size, "seed": seed_words(seed)}
        settings |= {"measure": measure, "device": torch.device(device).type}
        store = Checkpoints(folder, {name: describe(value) for name, value in settings.items()})

    def numbers(index: int, purpose: str) -> torch.Generator:
        return generator_for(seed, index, purpose, device=device)

    continued = getattr(fit, "continued", None)

    def fitted(index: int, training: Tensor, before: Callable[[], Source] | None = None) -> Source:
        with _checks.placed(f"fit of generation {index}"):
            source = numbers(index, "fit")
            if index == 0 or continued is None:
                model = fit(training, generator=source)
            else:
                model = continued(training, before or _nothing_before, generator=source)
        if not callable(getattr(model, "sample", None)):
            remedy = "return a model that draws points, by sample(n, generator=…)"
            _checks.refuse(f"fit(generation {index})", repr(model), remedy)
        return model

    with nullcontext() if store is None else locked(store.folder):
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
        steps = tqdm(range(done, last), initial=done, total=last, disable=not progress, desc="generations")
        for index in steps:
            before: Callable[[], Source] | None = None
            if drawn is None:
                training = target.sample(size, generator=numbers(index, "fresh"))
            else:
                again = functools.partial(_refit, fitted, index - 1, training)
                before = again if model is None else _keep(model)
                source = numbers(index, "fresh")

                def fresh(n: int, source: torch.Generator = source) -> Tensor:
                    return target.sample(n, generator=source)

                with _checks.placed(f"regime of generation {index}"):
                    training = regime.training_set(fresh, drawn, training, generator=numbers(index, "blend"))
            _checks.points(f"training set of generation {index}", training)
            model = fitted(index, training, before)
            with _checks.placed(f"sample of generation {index}"):
                drawn = model.sample(size, generator=numbers(index, "sample"))
            _checks.points(f"points of generation {index}", drawn, training.shape[1])
            if len(drawn) != size:
                remedy = f"draw as many as asked for, {size}"
                _checks.refuse(f"points of generation {index}.shape", list(drawn.shape), remedy)
            law = functools.partial(_training_law, regime, target, fitted, before, training, index)
            generation = Generation(index, training, model, drawn, numbers(index, "measure"), before, law)
            with _checks.placed(f"measure of generation {index}"):
                found_here = {} if measure is None else measure(generation)
            measured.append(_as_tensors(found_here, index))
            if store is not None:
                store.write(index, training, drawn, measured)
    assert drawn is not None
    if model is not None:
        return History(tuple(measured), drawn, _keep(model))
    refit = functools.partial(_refit, fitted, generations, training)
    return History(tuple(measured), drawn, refit if after is None else after.last)


def _training_law(
    regime: Regime,
    target: Source,
    fitted: Callable[[int, Tensor], Source],
    before: Callable[[], Source] | None,
    training: Tensor,
    index: int,
) -> Law:
    def model(earlier: int) -> Law:
        if before is not None and earlier == index - 1:
            return cast(Law, before())
        assert isinstance(regime, Accumulate)  # nobody else asks
        return cast(Law, fitted(earlier, regime.earlier(training, index, earlier)))

    return law_of_training(regime, cast(Law, target), model, index)


def _nothing_before() -> Source:
    remedy = "it was not kept, and the fit goes on from it: give the fit a folder of its own"
    _checks.refuse("model of the generation before", None, remedy)


def _keep(model: Source) -> Callable[[], Source]:
    return lambda: model


def _refit(fitted: Callable[[int, Tensor], Source], index: int, training: Tensor | None) -> Source:
    if training is None:
        remedy = "a history lacks its training set; continue from checkpoints, by folder=…"
        _checks.refuse(f"model of generation {index}", None, remedy)
    return fitted(index, training)


def _as_tensors(measured: Measured, index: int) -> dict[str, Tensor]:
    if not isinstance(measured, Mapping):
        remedy = "return a dictionary of numbers by name; {} for nothing"
        _checks.refuse(f"measure(generation {index})", repr(measured), remedy)
    tensors = {}
    for name, value in measured.items():
        if not isinstance(name, str):
            _checks.refuse(f"measure(generation {index}), name", repr(name), "names are texts")
        if isinstance(value, Estimate):
            value = torch.tensor([value.value, value.stderr], dtype=torch.float64)
        numbers = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
        what = f"measure(generation {index})[{name!r}]"
        if not (numbers or isinstance(value, Tensor | Real)):
            _checks.refuse(what, repr(value), "return a number, an estimate or a tensor")
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
        if bool(torch.isnan(tensor).any()):
            _checks.refuse(what, "NaN", "return numbers, or leave it out")
        tensors[name] = tensor.detach().cpu().clone()
    return tensors
