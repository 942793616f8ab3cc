"""What an experiment is, how it is run and where its results are kept."""

from __future__ import annotations

import inspect
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.experiments.result import OLD_STREAMS, STREAMS, Result
from scoredrift.generations import History
from scoredrift.runs import cases, load, locked, note_of, place, provenance, save, sweep

SCALES = ("quick", "medium", "paper")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Experiment:
    """A protocol with a task that computes its numbers at a given scale.

    Args:
        name: what the command line calls it.
        title: one line.
        scales: settings by scale, each with an entry ``about`` that says what it costs.
        task: computes the numbers; called with settings, seed, device, folder for checkpoints,
            workers and progress.
        axes: names of what varies between its runs, in the order of the labels of its values.

    >>> from scoredrift.experiments import EXPERIMENTS
    >>> sorted(EXPERIMENTS["mixture"].scales)
    ['medium', 'paper', 'quick']
    """

    name: str
    title: str
    scales: Mapping[str, Mapping[str, Any]]
    task: Callable[..., dict[str, Tensor]]
    axes: Sequence[str] = ("alpha",)

    def run(
        self,
        scale: str,
        *,
        out: Path | str,
        device: str = "cpu",
        seed: int = 2602,
        workers: int | None = 1,
        resume: bool = False,
        force: bool = False,
        progress: bool = False,
        more_of: Path | str | None = None,
    ) -> Path:
        """Run at a scale and store the result in ``out``.

        Args:
            scale: quick, medium or paper.
            out: folder of the result; checkpoints lie below it while the run lasts.
            device: torch device.
            seed: ≥ 0; with the number of a run it fixes all its random numbers, as (seed, run).
            workers: processes; None for what ``joblib.parallel_config`` says, such as a Dask cluster whose
                machines all see ``out``.
            resume: go on from the checkpoints of an interrupted run.
            force: overwrite a result that is there.
            progress: show progress bars.
            more_of: file of a result with fewer runs, of the same seed and otherwise the same settings: only the
                others are computed. Its provenance is kept as ``begun`` in that of the new one.

        Returns:
            File of the result.

        Raises:
            ValueError: a scale or device that does not exist; a folder that cannot be made; a result that is
                there, without ``force``; checkpoints of an interrupted run, without ``resume``; another run at
                work on them; a result that these runs do not continue.
            OSError: the disk is full; the checkpoints remain.
        """
        if scale not in self.scales:
            _checks.refuse("scale", repr(scale), f"choose one of {', '.join(self.scales)}")
        _checks.target(device)
        seed = _checks.count("seed", seed, least=0)
        workers = None if workers is None else _checks.count("workers", workers)
        out = place(out)
        path, checkpoints = out / file_name(self.name, scale), out / f"{self.name}-{scale}-checkpoints"
        if path.exists() and not force:
            origin = (note_of(path) or {}).get("provenance", {})
            what = f"the result of seed {origin['seed']}, {origin['date']}" if origin else "something"
            remedy = f"holds {what}; choose another folder, or overwrite it by force=True (--force)"
            _checks.refuse("out", path, remedy)
        if checkpoints.exists() and not resume:
            remedy = "an interrupted run left checkpoints there: pass resume=True (--resume), or delete it"
            _checks.refuse("out", checkpoints, remedy)
        settings = self.scales[scale]
        before = None if more_of is None else self._begun(more_of, settings, seed)
        with locked(checkpoints):
            origin, began = provenance(seed=seed, device=device), time.perf_counter()
            options = {"seed": seed, "device": device, "workers": workers, "progress": progress}
            done = {} if before is None else {"done": before.note["settings"]["runs"]}
            values = self.task(settings, folder=checkpoints, **options, **done)
            if before is not None:
                if other := sorted(before.values.keys() ^ values.keys()):
                    remedy = "was measured in some of the runs only: compute all of them with one version"
                    _checks.refuse("more_of", ", ".join(other[:3]), remedy)
                values = {name: torch.cat([before.values[name], value]) for name, value in values.items()}
                origin["begun"] = before.provenance
            seconds = round(time.perf_counter() - began, 1)
            origin |= {"resumed": resume, "seconds": seconds, "streams": STREAMS, "workers": workers}
            note = {"experiment": self.name, "scale": scale, "settings": dict(settings)}
            save(path, values, note | {"axes": list(self.axes), "provenance": origin})
            shutil.rmtree(checkpoints, ignore_errors=True)
        return path

    def _begun(self, path: Path | str, settings: Mapping[str, Any], seed: int) -> Result:
        """A result with some of the runs that are asked for."""
        found, same = _read(Path(path)), dict(settings)
        own = found.note["settings"]
        if "done" not in inspect.signature(self.task).parameters:
            _checks.refuse("more_of", path, f"the runs of {self.name} are computed all at once")
        if found.note["experiment"] != self.name or found.provenance["seed"] != seed:
            what = f"{found.note['experiment']}, seed {found.provenance['seed']}"
            _checks.refuse("more_of", what, f"pass a result of {self.name}, seed {seed}")
        for name in sorted((same.keys() | own.keys()) - {"about", "runs"}):
            if same.get(name) != own.get(name):
                remedy = f"is {own.get(name)!r} there and {same.get(name)!r} here: these are no further runs"
                _checks.refuse(f"more_of: {name}", path, remedy)
        if "reached" in found.note:
            _checks.refuse(
                "more_of", path, f"stopped in generation {found.note['reached']}: pass a whole result"
            )
        if not own["runs"] < same["runs"] or found.provenance["streams"] != STREAMS:
            _checks.refuse("more_of", path, f"has {own['runs']} runs: pass one of fewer than {same['runs']}")
        return found


def run_cases(
    task: Callable[..., History],
    settings: Mapping[str, Any],
    *,
    over: Mapping[str, Sequence[Any]],
    seed: int,
    device: str,
    folder: Path,
    workers: int | None,
    progress: bool,
    done: int = 0,
) -> dict[str, Tensor]:
    """Run a recursion ``settings["runs"]`` times for each combination of the values of some arguments.

    Args:
        task: one run, called with ``settings``, an argument for each axis, ``run``, ``seed``, ``device``,
            ``folder`` (its own) and ``progress``.
        settings: an entry of the scales of an experiment.
        over: values of the arguments that vary.
        seed: seed of the experiment.
        device: torch device.
        folder: checkpoints.
        workers: processes.
        progress: show progress bars.
        done: how many runs, the first ones, are left out.

    Returns:
        For each combination and each measured quantity a tensor ``{value}/…/{name}``, shape
        ``[runs, generations with the quantity, …]``.

    >>> options = {"seed": 0, "device": "cpu", "folder": Path(), "workers": 1, "progress": False}
    >>> def constant(alpha, run, **rest):
    ...     return History(({"a": torch.tensor(alpha + run)},), torch.zeros(1, 1))
    >>> run_cases(constant, {"runs": 2}, over={"alpha": (0.5,)}, **options)
    {'0.5/a': tensor([[0.5000],
            [1.5000]])}
    """
    points = cases(**over)
    # All combinations of the first run come first: what an interrupted sweep has, it has of all of them.
    grid = [point | {"run": run} for run in range(done, settings["runs"]) for point in points]
    common = {"settings": settings, "seed": seed, "device": device, "progress": progress and workers == 1}
    own = ["-".join(f"{name}-{value}" for name, value in case.items()) for case in grid]
    each = [common | case | {"folder": folder / name} for case, name in zip(grid, own, strict=True)]
    histories = sweep(task, each, workers=workers, progress=progress)
    values = {}
    for first, point in enumerate(points):
        label = "/".join(map(str, point.values()))
        together = histories[first :: len(points)]
        for name in together[0].measured[0]:
            values[f"{label}/{name}"] = torch.stack([history[name] for history in together])
    return values


def file_name(name: str, scale: str) -> str:
    """Name of the file with the result of an experiment at a scale.

    Args:
        name: name of the experiment.
        scale: quick, medium or paper.

    >>> file_name("mixture", "paper")
    'mixture-paper.safetensors'
    """
    return f"{name}-{scale}.safetensors"


def stored(name: str, scale: str, folder: Path | str | None = None, *, partial: bool = False) -> Result:
    """Result that was computed before: one that came with the package, or one of your own.

    Args:
        name: name of the experiment.
        scale: quick, medium or paper.
        folder: where ``run`` put it; None for the results in the package.
        partial: take a result that stops before its last generation, too; ``note["reached"]`` is the
            one it reached, and whoever shows it must say so.

    Returns:
        Values and provenance. A result from before the provenance said how random numbers follow from the
        seed says so by ``streams``, too: "seed + run".

    Raises:
        ValueError: there is no such result, its file is damaged, it is a rehearsal's, or it is partial
            and that was not asked for.

    >>> stored("mixture", "giant")
    Traceback (most recent call last):
    ...
    ValueError: result = mixture-giant.safetensors: not stored; run: scoredrift run mixture --scale giant
    """
    path = (RESULTS if folder is None else place(folder)) / file_name(name, scale)
    if not path.exists():
        remedy = f"not stored; run: scoredrift run {name} --scale {scale}"
        _checks.refuse("result", path.name, remedy)
    result = _read(path)
    last = result.note["settings"].get("generations", 0)  # nothing is retrained in some experiments
    reached = result.note.get("reached", last)
    if reached < last and not partial:
        remedy = f"reached generation {reached} of {last} only; say so, and pass partial=True"
        _checks.refuse("result", path.name, remedy)
    return result


def _read(path: Path) -> Result:
    result = Result(*load(path))
    if not {"settings", "provenance"} <= result.note.keys():
        _checks.refuse("result", path, "no result of an experiment; choose another folder")
    result.provenance.setdefault("streams", OLD_STREAMS)
    _no_rehearsal("result", path, result.note)
    return result


def benchmark(name: str, folder: Path | str | None = None) -> dict[str, Any]:
    """What ``make bench`` and ``make gpu`` measured and stored in the package.

    Args:
        name: "cpu" or "cuda" for the score engine on that device, or "observability".
        folder: where it was measured; None for the results in the package.

    Returns:
        ``provenance`` and ``rows``: group, name, seconds (min, median, stddev of the rounds) and more.

    Raises:
        ValueError: nothing is stored under the name, or a rehearsal's numbers.

    >>> sorted(benchmark("cpu"))
    ['provenance', 'rows']
    """
    path = (RESULTS if folder is None else place(folder)) / f"benchmark-{name}.json"
    if not path.exists():
        _checks.refuse(
            "name", repr(name), "no benchmark is stored under it; run make bench or make gpu there"
        )
    found = json.loads(path.read_text(encoding="utf-8"))
    _no_rehearsal("benchmark", path, found)
    return found


def benchmarks(name: str) -> dict[str, dict[str, Any]]:
    """Every table that is stored of a benchmark, by the kind of processor or device on which it was measured.

    Args:
        name: as for ``benchmark``, without the kind.

    Raises:
        ValueError: nothing is stored under the name, or a rehearsal's numbers.

    >>> sorted(benchmarks("training"))
    ['cuda']
    """
    start = f"benchmark-{name}-"
    kinds = sorted(path.stem.removeprefix(start) for path in RESULTS.glob(f"{start}*.json"))
    if not kinds:
        _checks.refuse(
            "name", repr(name), "no kind of processor has it stored; run make bench or make gpu there"
        )
    return {kind: benchmark(f"{name}-{kind}") for kind in kinds}


def _no_rehearsal(kind: str, path: Path, note: Mapping[str, Any]) -> None:
    if note.get("rehearsal"):
        _checks.refuse(kind, path.name, "a rehearsal's: its sizes are tiny and its numbers mean nothing")
