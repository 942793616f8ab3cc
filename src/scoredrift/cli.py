"""Command line: ``scoredrift list`` and ``scoredrift run``.

Errors of the package are printed as one line that names parameter, value and remedy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scoredrift.experiments import EXPERIMENTS, RESULTS, file_name, stored

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The experiments of the book, with results that say where they come from.",
)


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
                if (place / file_name(experiment.name, scale)).exists():
                    found = stored(experiment.name, scale, place, partial=True)
                    origin, reached = found.provenance, found.note.get("reached", settings["generations"])
                    what = f"{origin['date']}, {origin['device']}, {origin['seconds']:.0f} s"
                    if reached < settings["generations"]:
                        what += f", generation {reached} of {settings['generations']} only"
                    typer.echo(f"          stored in {place}: {what}")


@app.command(help="Run an experiment and store its result with its provenance.")
def run(
    name: Annotated[str, typer.Argument(help="Experiment, as `scoredrift list` names it.")],
    scale: Annotated[str, typer.Option(help="quick, medium or paper.")] = "quick",
    device: Annotated[str, typer.Option(help="Torch device, such as cpu or cuda.")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder of the result.")] = Path("results"),
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 2602,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
) -> None:
    """Run an experiment and store its result with its provenance.

    >>> run("mixture", out=Path("results"))  # doctest: +SKIP
    stored results/mixture-quick.safetensors
    """
    try:
        if name not in EXPERIMENTS:
            raise ValueError(f"name = {name!r}: choose one of {', '.join(EXPERIMENTS)}")
        path = EXPERIMENTS[name].run(
            scale, out=out, device=device, seed=seed, workers=workers, resume=resume, progress=True
        )
    except ValueError as error:
        typer.echo(f"scoredrift: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"stored {path}")
