"""Command line: ``scoredrift list``, ``scoredrift run`` and ``scoredrift watch``.

Errors of the package are printed as one line that names parameter, value and remedy.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scoredrift.experiments import EXPERIMENTS, RESULTS, file_name, stored
from scoredrift.pipelines import Monitor, SampleFeatures, read_features

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The experiments of the book, with results that say where they come from; and a watch on your own pipeline.",
)


@app.callback()
def speak_any_terminal() -> None:
    """Show what a terminal has no sign for, such as α in Latin-1, as a question mark.

    >>> speak_any_terminal()
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@app.command("list", help="Experiments, their scales, and which results are at hand.")
def list_experiments(
    folder: Annotated[
        Path, typer.Option(help="Where to look for results, beside those of the package.")
    ] = Path("results"),
) -> None:
    """Experiments, their scales, and which results are at hand.

    >>> list_experiments()  # doctest: +ELLIPSIS
    mixture: ten-dimensional mixture, ...
    """
    for experiment in EXPERIMENTS.values():
        typer.echo(f"{experiment.name}: {experiment.title}")
        for scale, settings in experiment.scales.items():
            described = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "about")
            typer.echo(f"  {scale:7} {settings['about']} ({described})")
            for place in (folder, RESULTS):
                if what := _at_hand(experiment.name, scale, place, settings):
                    typer.echo(f"          {what}")


def _at_hand(name: str, scale: str, folder: Path, settings: Mapping[str, Any]) -> str:
    """What is stored of an experiment in a folder, in one line; nothing for nothing."""
    try:
        path = folder.expanduser() / file_name(name, scale)
        if not path.exists():
            return ""
        found = stored(name, scale, folder, partial=True)
        last = settings.get("generations", 0)
        origin, reached = found.provenance, found.note.get("reached", last)
        what = f"{origin['date']}, {origin['device']}, {origin['seconds']:.0f} s"
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        return f"of no use in {folder}: {error}"
    if reached < last:
        what += f", generation {reached} of {last} only"
    return f"stored in {folder}: {what}"


@app.command(help="Run an experiment and store its result with its provenance.")
def run(
    name: Annotated[str, typer.Argument(help="Experiment, as `scoredrift list` names it.")],
    scale: Annotated[str, typer.Option(help="quick, medium or paper.")] = "quick",
    device: Annotated[str, typer.Option(help="Torch device, such as cpu or cuda.")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder of the result.")] = Path("results"),
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 2602,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a result that is there.")] = False,
    more_of: Annotated[
        Path | None, typer.Option(help="A result with fewer runs: compute the others.")
    ] = None,
) -> None:
    """Run an experiment and store its result with its provenance.

    >>> run("mixture", out=Path("results"))  # doctest: +SKIP
    stored results/mixture-quick.safetensors
    """
    try:
        if name not in EXPERIMENTS:
            raise ValueError(f"name = {name!r}: choose one of {', '.join(EXPERIMENTS)}")
        path = EXPERIMENTS[name].run(
            scale,
            out=out,
            device=device,
            seed=seed,
            workers=workers,
            resume=resume,
            force=force,
            progress=True,
            more_of=more_of,
        )
    except (ValueError, OSError) as error:
        typer.echo(f"scoredrift: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"stored {path}")


@app.command(help="Where a retraining loop is going, from samples of the data and of each generation.")
def watch(
    data: Annotated[Path, typer.Argument(help="Held-out data: a folder of pictures, .npy or .safetensors.")],
    generations: Annotated[list[Path], typer.Argument(help="Samples of generation 0, 1, …, alike.")],
    alpha: Annotated[float, typer.Option(help="Fresh fraction, in (0, 1].")],
    tolerance: Annotated[float, typer.Option(help="Drift that is tolerated, > 0.")],
    horizon: Annotated[int, typer.Option(help="Generation that is forecast.")] = 10,
    level: Annotated[float, typer.Option(help="Probability of a false alarm over the whole run.")] = 0.05,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a log; another call goes on where it stops.")
    ] = None,
    reused: Annotated[
        bool, typer.Option("--reused", help="The samples are what the next generation is trained on.")
    ] = False,
) -> None:
    """Where a retraining loop is going, from samples of the data and of each generation.

    Leaves with status 3 after an alarm, and with 2 after an error.

    >>> watch(Path("data"), [Path("gen0")], alpha=0.3, tolerance=0.05)  # doctest: +SKIP
    generation 0: drift 0.0213 ± 0.0031 of 0.05 tolerated
    """
    try:
        known = _read(data)
        options = {"alpha": alpha, "tolerance": tolerance, "horizon": horizon, "level": level}
        monitor = Monitor(known.values, folder=out, reused=reused, **options)  # type: ignore[arg-type]
        for reading in monitor.readings:
            typer.echo(f"{reading} (from the log)")
        for path in generations[len(monitor.readings) :]:
            typer.echo(str(monitor.look(_read(path).values)))
    except (ValueError, OSError) as error:
        typer.echo(f"scoredrift: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error
    if monitor.readings and monitor.readings[-1].alarm:
        raise typer.Exit(3)


def _read(path: Path) -> SampleFeatures:
    """Features at a path, with a word about what could not be read."""
    found = read_features(path, progress=True)
    for name in found.broken[:10]:
        typer.echo(f"scoredrift: {path / name} cannot be read and is left out", err=True)
    if len(found.broken) > 10:
        typer.echo(f"scoredrift: {path}: {len(found.broken) - 10} more cannot be read", err=True)
    return found
