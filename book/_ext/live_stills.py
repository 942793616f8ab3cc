"""Stills of the live pages, computed by the package: for print without JavaScript, and while the script loads."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping

import matplotlib as mpl
import torch
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from scoredrift import (
    Estimate,
    FreshFraction,
    KernelFit,
    OrnsteinUhlenbeck,
    Replace,
    mixture_of_three,
    plots,
)
from scoredrift.generations import BiasAndNoise, accumulated, forecast, recurse_laws, steady_state
from scoredrift.laws import on_nodes

DATA, MODEL, THIRD = plots.COLOURS[:3]


def calculator(fig: Figure, at: Mapping[str, float]) -> None:
    """Drift of each generation, beside what is tolerated and what accumulation would leave."""
    bias, noise = Estimate(at["bias"], at["biasError"]), Estimate(at["noise"], at["noiseError"])
    last = int(at["generations"])
    path = forecast(BiasAndNoise(bias, noise), alpha=at["alpha"], generations=last)
    ax = fig.subplots()
    values, errors = torch.tensor([(one.value, one.stderr) for one in path]).T
    ax.fill_between(range(last + 1), values - 2 * errors, values + 2 * errors, color=DATA, alpha=0.15, lw=0)
    ax.plot(range(last + 1), values, ".-", color=DATA, label=f"fresh fraction α = {at['alpha']:g}")
    sums = [accumulated(i) for i in range(last + 1)]
    both = [one.bias**2 * bias.value + one.noise * noise.value for one in sums]
    ax.plot(range(last + 1), both, ":", color=THIRD, label="accumulate")
    ax.axhline(at["tolerated"], color=MODEL, linestyle="--", label="tolerated")
    ax.set(xlabel="generation $i$", ylabel="expected drift E $D$", xlim=(0, last), ylim=(0, None))
    ax.legend()


def densities(fig: Figure, at: Mapping[str, float]) -> None:
    """Density of the data and of one generation."""
    data, nodes = mixture_of_three(), torch.linspace(-5, 5, 401, dtype=torch.float64)
    fit = KernelFit(at["bandwidth"], OrnsteinUhlenbeck())
    regime = FreshFraction(at["alpha"]) if at["alpha"] > 0 else Replace()
    run = recurse_laws(fit.limit, data, regime=regime, generations=int(at["generation"]))
    ax = fig.subplots()
    ax.fill_between(nodes, on_nodes(data, nodes), color=DATA, alpha=0.15, lw=0)
    ax.plot(nodes, on_nodes(data, nodes), color=DATA, label="data $p$")
    label = f"model of generation {int(at['generation'])}"
    ax.plot(nodes, on_nodes(run[-1].model, nodes), "--", color=MODEL, label=label)
    ax.set(xlabel="position $x$", ylabel="density", xlim=(-5, 5), ylim=(0, 0.7))
    ax.legend()


def coherence(fig: Figure, at: Mapping[str, float]) -> None:
    """What is left of the old deviation, the new error, their sum, and the length in the steady state."""
    old, size, c = (1 - at["alpha"]) * math.sqrt(at["before"]), math.sqrt(at["forcing"]), at["coherence"]
    tip = (old + c * size, math.sqrt(1 - c * c) * size)
    ax = fig.subplots()
    arrows = {
        "what is left of the old deviation": ((0, 0), (old, 0), DATA),
        "the new error": ((old, 0), tip, MODEL),
        "the new deviation": ((0, 0), tip, THIRD),
    }
    for label, (start, end, colour) in arrows.items():
        ax.annotate("", end, start, arrowprops={"color": colour, "arrowstyle": "-|>", "lw": 2, "shrinkA": 0})
        ax.plot([], [], color=colour, lw=2, label=label)
    radius = math.sqrt(steady_state(at["forcing"], alpha=at["alpha"], coherence=c))
    angle = torch.linspace(0, math.pi, 200)
    ax.plot(
        radius * angle.cos(), radius * angle.sin(), ":", color="#666666", label="length in the steady state"
    )
    ax.set(xlim=(-1.15, 2.45), ylim=(-0.1, 1.35), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.legend(fontsize="small", loc="upper right")


def infinite(fig: Figure, at: Mapping[str, float]) -> None:
    """Two densities, and below them the integrand of χ²."""
    x, ratio = torch.linspace(-6, 6, 401, dtype=torch.float64), at["ratio"]
    p, model = (torch.exp(-x * x / (2 * v)) / math.sqrt(2 * math.pi * v) for v in (1.0, ratio))
    above, below = fig.subplots(2, sharex=True)
    above.plot(x, p, color=DATA, label="data, N(0, s)")
    above.plot(x, model, "--", color=MODEL, label=f"model, N(0, v), v = {ratio:g} s")
    below.fill_between(x, (model / p - 1) ** 2 * p, color=THIRD, alpha=0.15, lw=0)
    below.plot(x, (model / p - 1) ** 2 * p, color=THIRD, label="integrand of χ²")
    above.set(ylabel="density", xlim=(-6, 6), ylim=(0, 0.6))
    below.set(xlabel="position $x$, in units of √s", ylabel="integrand", ylim=(0, 0.4))
    above.legend()
    below.legend()


DRAWN: dict[str, tuple[Callable[[Figure, Mapping[str, float]], None], float]] = {
    "calculator": (calculator, 3.4),
    "densities": (densities, 3.2),
    "coherence": (coherence, 2.5),
    "infinite": (infinite, 4.2),
}


def svg(name: str, settings: Mapping[str, float]) -> bytes:
    """The still of a live page, the same bytes for the same settings."""
    draw, height = DRAWN[name]
    with mpl.rc_context():
        plots.use_style()
        mpl.rcParams["svg.hashsalt"] = name
        fig = Figure(figsize=(7.2, height))
        draw(fig, settings)
        file = io.BytesIO()
        FigureCanvasSVG(fig).print_svg(file, metadata={"Date": None})
    return file.getvalue()
