"""The mixture's runs side by side, generation by generation, for as long as there is time.

For a machine that is there once, for minutes. All fresh fractions α advance together, so that a cut leaves
them at the same generation; generation 0, trained on data alone with the same random numbers, is
computed once. Two files, each written as soon as its numbers are there, each in one step:

    {name}-{scale}.safetensors          the result so far, after each generation of all α, as ``run_all``
                                        would have it; its note says which generation it reached
    {name}-{scale}-state.safetensors    what the next generation needs, after each generation of each α:
                                        the last points (no training sets: 4 MB for 100 000 points)

No generation is begun that would probably end too late: as long as the slowest so far, and a tenth more.
None is cut: its half-simulated points would be as large as its end, for at most one generation of one α.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.experiments.base import Experiment, file_name
from scoredrift.experiments.mixture import ALPHAS, LITERAL, Measure, run_case
from scoredrift.experiments.result import STREAMS
from scoredrift.generations import History, KernelFit
from scoredrift.laws import Law
from scoredrift.runs import load, locked, place, provenance, save

_SLACK = 1.1


def always_pictured(settings: Mapping[str, Any], alpha: float, fit: KernelFit, target: Law) -> Measure:
    """Measures with a picture of every generation, since it is not known which will be the last.

    Args:
        settings: an entry of the scales of the experiment.
        alpha, fit, target: the run; the pictures do not depend on them.

    >>> from scoredrift import OrnsteinUhlenbeck, mixture_of_five
    >>> always_pictured({"generations": 2}, 0.5, KernelFit(0.6, OrnsteinUhlenbeck()), mixture_of_five())
    Measure(pictured=(0, 1, 2))
    """
    if not isinstance(settings, Mapping) or "generations" not in settings:
        _checks.refuse("settings", repr(settings), "pass an entry of the scales, with its generations")
    return Measure(tuple(range(_checks.count("generations", settings["generations"], least=0) + 1)))


def run_abreast(
    scale: str,
    *,
    out: Path | str,
    device: str,
    seed: int = 2602,
    until: float = math.inf,
    settings: Mapping[str, Any] | None = None,
    experiment: Experiment = LITERAL,
    alphas: Sequence[float] = ALPHAS,
    clock: Callable[[], float] = time.time,
    say: Callable[[str], None] = print,
) -> int:
    """Advance all runs of a mixture experiment until the last generation, or until there is no time left.

    A call on a folder with the state of an earlier one goes on where that stopped, on whichever machine,
    and ends with the same numbers as one that was never interrupted.

    Args:
        scale: a scale of the experiment; or a name of your own, for a rehearsal with ``settings``.
        out: folder of result and state.
        device: torch device.
        seed: ≥ 0.
        until: time on the clock at which all must be written, in seconds.
        settings: those of a rehearsal, whose result is marked as such; None for those of the scale.
        experiment: ``LITERAL`` or ``EXACT``.
        alphas: fresh fractions.
        clock: current time in seconds.
        say: told of every generation.

    Returns:
        The generation that all runs have reached; −1 for none.

    Raises:
        ValueError: an unknown scale; a state or a result of other settings; another call at work in the folder.

    >>> import tempfile
    >>> tiny, out = {"size": 50, "generations": 2, "runs": 1, "steps": 5}, Path(tempfile.mkdtemp())
    >>> run_abreast("rehearsal", out=out, device="cpu", settings=tiny, say=lambda line: None)
    2
    >>> [path.name for path in out.iterdir()]
    ['mixture-literal-rehearsal.safetensors']
    """
    seed = _checks.count("seed", seed, least=0)
    _checks.kind_of(device)
    note: dict[str, Any] = {"experiment": experiment.name, "scale": scale}
    if settings is not None:
        note["rehearsal"] = True
    elif scale not in experiment.scales:
        _checks.refuse("scale", repr(scale), f"choose one of {', '.join(experiment.scales)}")
    settings = experiment.scales[scale] if settings is None else settings
    note["settings"], last = dict(settings), settings["generations"]
    note["axes"] = list(experiment.axes)
    out = place(out)
    result = out / file_name(experiment.name, scale)
    state = result.with_name(f"{result.stem}-state{result.suffix}")
    same: dict[str, Any] = {"seed": seed, "streams": STREAMS, "device": torch.device(device).type}
    same |= {"alphas": list(alphas), **note["settings"]}
    with locked(out):
        if result.exists() and not state.exists():
            _compare(result, load(result)[1].get("same", {}), same)
            return last  # a state is kept until then
        runs, parts = _read(state, same) if state.exists() else ({}, [])
        cases = {f"{alpha}/{run}": (alpha, run) for alpha in alphas for run in range(settings["runs"])}

        began = clock()
        parts = [*parts, provenance(seed=seed, device=device) | {"streams": STREAMS}]
        task: Callable[..., History] = partial(
            run_case, settings, measuring=always_pictured, seed=seed, device=device
        )

        def reached() -> int:
            return min(len(runs[label].measured) if label in runs else 0 for label in cases) - 1

        def keep() -> None:
            parts[-1]["seconds"] = round(clock() - began, 1)
            _write(state, runs, {"same": same, "parts": parts})
            if reached() >= 0:
                seconds = round(sum(part["seconds"] for part in parts), 1)
                origin = parts[-1] | {"seconds": seconds, "resumed": len(parts) > 1, "workers": 1}
                told = {"reached": reached(), "same": same, "provenance": origin, "parts": parts}
                told["precision"] = str(next(iter(runs.values())).drawn.dtype)
                save(result, _values(runs, cases, reached()), note | told)

        if runs:
            keep()  # an interruption may have come between state and result
        slowest = 0.0
        while (index := reached() + 1) <= last:
            for label, (alpha, run) in cases.items():
                if label in runs and len(runs[label].measured) > index:
                    continue
                start = clock()
                if start + _SLACK * slowest > until:
                    say(f"no time for another generation, which took up to {slowest:.1f} s")
                    return reached()
                case = {"alpha": alpha, "run": run, "folder": None, "progress": False}
                found = task(**case, last=index, after=runs.get(label))
                same_data = [other for other, (_, its_run) in cases.items() if its_run == run]
                runs |= dict.fromkeys([label] if index else same_data, found)
                slowest = max(slowest, clock() - start)
                say(f"α = {alpha}: generation {index} of {last} in {clock() - start:.1f} s")
                keep()
        state.unlink(missing_ok=True)
        return last


def _values(runs: Mapping[str, History], cases: Mapping[str, Any], reached: int) -> dict[str, Tensor]:
    """What ``mixture.run_all`` returns, with pictures of generation 0, half of the last, and the last."""
    values: dict[str, Tensor] = {}
    for alpha in dict.fromkeys(alpha for alpha, _ in cases.values()):
        together = [runs[label] for label, case in cases.items() if case[0] == alpha]
        for name in ("mean", "second_moment"):
            values[f"{alpha}/{name}"] = torch.stack([one[name][: reached + 1] for one in together])
        values[f"{alpha}/picture"] = together[0]["picture"][[0, reached // 2, reached]]
    return values


def _write(path: Path, runs: Mapping[str, History], note: Mapping[str, Any]) -> None:
    tensors = {f"{label}/drawn": history.drawn for label, history in runs.items()}
    for label, history in runs.items():
        tensors |= {f"{label}/{name}": history[name] for name in history.measured[0]}
    save(path, tensors, note)


def _read(path: Path, same: Mapping[str, Any]) -> tuple[dict[str, History], list[dict[str, Any]]]:
    tensors, note = load(path)
    _compare(path, note["same"], same)
    runs: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        label, name = key.rsplit("/", 1)
        runs.setdefault(label, {})[name] = value
    histories = {}
    for label, found in runs.items():
        drawn = found.pop("drawn")
        count = len(next(iter(found.values())))
        measured = ({name: found[name][i] for name in found} for i in range(count))
        histories[label] = History(tuple(measured), drawn)
    return histories, note["parts"]


def _compare(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for name, value in here.items():
        if there.get(name) != value:
            _checks.refuse(name, value, f"{path} has {there.get(name)}; choose another folder")
