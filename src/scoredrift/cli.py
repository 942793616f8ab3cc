"""Command line: ``scoredrift list`` and ``scoredrift run``.

Errors of the package are printed as one line that names parameter, value and remedy.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scoredrift.experiments import EXPERIMENTS, RESULTS, file_name, stored

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The experiments of the book, with results that say where they come from.",
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
        origin, reached = found.provenance, found.note.get("reached", settings["generations"])
        what = f"{origin['date']}, {origin['device']}, {origin['seconds']:.0f} s"
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        return f"of no use in {folder}: {error}"
    if reached < settings["generations"]:
        what += f", generation {reached} of {settings['generations']} only"
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
        )
    except (ValueError, OSError) as error:
        typer.echo(f"scoredrift: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"stored {path}")
