"""Pictures: every function takes an Axes and a result, and draws nothing that was not computed."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.paths import VectorField

# Okabe and Ito's palette, which colour-blind readers can tell apart (without its yellow, which
# nobody can see on white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def use_style() -> None:
    """Set the look of the book's figures: opaque white ground, legible in light and dark pages.

    >>> use_style()
    >>> mpl.rcParams["axes.spines.top"]
    False
    """
    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "figure.figsize": (7.2, 3.6),
            "font.size": 10.5,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "image.cmap": "Blues",
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "savefig.facecolor": "white",
        }
    )


def density_map(ax: Axes, times: Tensor, nodes: Tensor, density: Tensor) -> None:
    """Density of a one-dimensional law over time, as shades; their depth is density^½ at each time.

    Each time is scaled to its own largest value, so shades compare within a time only.

    Args:
        ax: where to draw.
        times: shape ``[m]``, increasing or decreasing.
        nodes: positions, in the units of the data, shape ``[k]``.
        density: density at each time on the nodes, shape ``[m, k]``, not zero throughout at any time.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().gca()
    >>> density_map(ax, torch.linspace(0, 1, 3), torch.linspace(-1, 1, 5), torch.ones(3, 5))
    >>> ax.get_xlabel()
    'time $t$'
    """
    shades = (density / density.amax(1, keepdim=True)).sqrt()
    # Half as much again above the largest value: lines are seen on the deepest shade, too.
    where = times.numpy(), nodes.numpy()
    ax.pcolormesh(*where, shades.T.numpy(), shading="gouraud", rasterized=True, vmin=0.0, vmax=1.5)
    ax.set(xlabel="time $t$", ylabel="position $x$")
    ax.grid(visible=False)


def score_field(ax: Axes, score: VectorField, t: float, *, reach: float, arrows: int = 17) -> None:
    """Arrows of a two-dimensional score at time t on the square [−reach, reach]².

    Arrow lengths are compressed to ‖s‖^½, so that weak fields stay visible.

    Args:
        ax: where to draw; the arrows are dark, so over a pale picture.
        score: s(x, t), called with x ``[arrows², 2]``, float64, and the float t.
        t: time.
        reach: half the side of the square, in the units of the data.
        arrows: number of arrows along each side.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().gca()
    >>> score_field(ax, lambda x, t: -x, 1.0, reach=2.0)
    >>> ax.get_aspect()
    1.0
    """
    side = torch.linspace(-reach, reach, arrows, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="xy")
    field = score(torch.stack([x.flatten(), y.flatten()], dim=1), t)
    field = field / field.norm(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
    u, v = field[:, 0].reshape(x.shape), field[:, 1].reshape(x.shape)
    ax.quiver(x.numpy(), y.numpy(), u.numpy(), v.numpy(), color="#333333", width=0.005)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.grid(visible=False)


def convergence(
    ax: Axes, steps: Sequence[int], values: Sequence[float | Estimate], label: str, **style: Any
) -> None:
    """Divergence against the number of steps, both logarithmic, with 5 s.e. bars where there are any.

    Args:
        ax: where to draw.
        steps: numbers of steps K.
        values: a divergence in nats for each of them, with or without its standard error.
        label: name of the curve in the legend.
        style: passed on to ``Axes.errorbar``.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().gca()
    >>> convergence(ax, [8, 16], [Estimate(0.1, 0.01), 0.05], "path")
    >>> ax.get_xscale()
    'log'
    """
    estimates = [v if isinstance(v, Estimate) else Estimate(v) for v in values]
    middle = np.array([e.value for e in estimates])
    error = 5 * np.array([e.stderr for e in estimates])
    ax.errorbar(np.array(steps), middle, yerr=error, label=label, capsize=2, **style)
    ax.set(xscale="log", yscale="log", xlabel="number of steps $K$", ylabel="divergence (nats)")
    ax.set_xticks(list(steps), [str(k) for k in steps])
    ax.minorticks_off()


def bars(ax: Axes, amounts: Mapping[str, Estimate], *, unit: str) -> None:
    """Horizontal bars on a logarithmic axis, with 5 s.e. bars and the numbers written out.

    Args:
        ax: where to draw.
        amounts: name and positive amount of each bar, top first.
        unit: unit of the amounts, for the label of the axis.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().gca()
    >>> bars(ax, {"score": Estimate(0.9, 0.01), "start": Estimate(0.02, 0.001)}, unit="nats")
    >>> [t.get_text() for t in ax.get_yticklabels()]
    ['score', 'start']
    """
    places = np.arange(len(amounts))
    values = np.array([e.value for e in amounts.values()])
    errors = 5 * np.array([e.stderr for e in amounts.values()])
    ax.barh(places, values, color=[COLOURS[k % len(COLOURS)] for k in places], height=0.62)
    ax.errorbar(values, places, xerr=errors, fmt="none", color="black", capsize=3)
    for place, amount in zip(places, amounts.values(), strict=True):
        ax.annotate(f" {amount}", ((amount.value + 5 * amount.stderr) * 1.1, place), va="center")
    ax.set_yticks(places, list(amounts))
    ax.set(xscale="log", xlabel=f"divergence ({unit})", xlim=(values.min() / 3, values.max() * 12))
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")


def fan(
    ax: Axes,
    drifts: Sequence[Estimate],
    forecasts: Mapping[int, tuple[float, float, float]],
    *,
    tolerance: float | None = None,
) -> None:
    """Drift against the generation, with two standard errors, and the fan of what is forecast.

    Args:
        ax: where to draw.
        drifts: D_0, …, D_G as far as they are measured.
        forecasts: for later generations what is expected and the ends of an interval.
        tolerance: what is tolerated; None for no line.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().gca()
    >>> fan(ax, [Estimate(0.1, 0.01), Estimate(0.15, 0.01)], {2: (0.18, 0.15, 0.21), 3: (0.2, 0.16, 0.25)})
    >>> ax.get_xlabel()
    'generation'
    """
    values, errors = ([getattr(one, name) for one in drifts] for name in ("value", "stderr"))
    ax.errorbar(
        range(len(values)),
        values,
        yerr=[2 * e for e in errors],
        fmt="o-",
        markersize=4,
        capsize=2,
        label="measured",
    )
    ahead = sorted(forecasts)
    middle, low, high = ([forecasts[i][k] for i in ahead] for k in range(3))
    ax.fill_between(ahead, low, high, color=COLOURS[1], alpha=0.2, linewidth=0)
    ax.plot(ahead, middle, "--", color=COLOURS[1], label="forecast")
    if tolerance is not None:
        ax.axhline(tolerance, color=COLOURS[-1], linewidth=1, linestyle=":", label="tolerated")
    ax.set(xlabel="generation", ylabel="drift $D$", ylim=(0, None))


def shifts(ax: Axes, found: Mapping[str, Estimate], *, most: int = 12) -> None:
    """Standardised deviations of features, the largest first, with two standard errors.

    Args:
        ax: where to draw.
        found: name and deviation of each feature, in standard deviations of the data.
        most: how many are shown.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().gca()
    >>> shifts(ax, {"brightness": Estimate(0.1, 0.02), "contrast": Estimate(-0.3, 0.02)})
    >>> [t.get_text() for t in ax.get_yticklabels()]
    ['contrast', 'brightness']
    """
    chosen = sorted(found, key=lambda name: -abs(found[name].value))[: _checks.count("most", most)]
    places = np.arange(len(chosen))
    ax.errorbar(
        [found[name].value for name in chosen],
        places,
        xerr=[2 * found[name].stderr for name in chosen],
        fmt="o",
        markersize=4,
        capsize=2,
    )
    ax.axvline(0, color=COLOURS[-1], linewidth=0.8)
    ax.set_yticks(places, chosen)
    ax.set(xlabel="deviation (standard deviations of the data)")
    ax.invert_yaxis()


def mosaic(ax: Axes, pictures: Tensor, columns: int) -> None:
    """Pictures side by side, row by row; grey ones dark on light.

    Args:
        ax: where to draw.
        pictures: bytes, ``[n, H, W]``, or ``[n, 3, H, W]`` in colour.
        columns: how many in a row ≥ 1.

    Raises:
        ValueError: pictures of another shape or dtype, or no column.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().gca()
    >>> mosaic(ax, torch.zeros(5, 8, 8, dtype=torch.uint8), 3)
    >>> ax.images[0].get_array().shape
    (16, 24)
    """
    columns = _checks.count("columns", columns)
    right = isinstance(pictures, Tensor) and pictures.dtype == torch.uint8
    if not right or not (pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[1] == 3)):
        told = list(pictures.shape) if isinstance(pictures, Tensor) else f"a {type(pictures).__name__}"
        _checks.refuse("pictures", told, "pass bytes, [n, H, W] or [n, 3, H, W]")
    empty = -len(pictures) % columns
    white = 0 if pictures.ndim == 3 else 255
    full = torch.cat([pictures, pictures.new_full((empty, *pictures.shape[1:]), white)])
    rows = [torch.cat(list(part), -1) for part in full.split(columns)]
    whole = torch.cat(rows, -2).cpu().numpy()
    if pictures.ndim == 3:
        ax.imshow(whole, cmap="gray_r", vmin=0, vmax=255)
    else:
        ax.imshow(whole.transpose(1, 2, 0))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)


@dataclass(frozen=True)
class Loop:
    """Frames of a loop as one WebP, and its last frame as a PNG; made by ``loop``.

    Args:
        moving: bytes of the WebP.
        still: bytes of the PNG.
        alt: what is to be seen, in words.

    >>> Loop(b"", b"", "a dot moves to the right")
    Loop: a dot moves to the right
    """

    moving: bytes
    still: bytes
    alt: str

    def __repr__(self) -> str:
        return f"Loop: {self.alt}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        moving, still = (base64.b64encode(data).decode() for data in (self.moving, self.still))
        alt = html.escape(self.alt, quote=True)
        page = (  # both pictures are there: a printer does not wait for one that has to be fetched
            "<style>@media print, (prefers-reduced-motion: reduce) {"
            ".loop .moving { display: none; } .loop .still { display: inline !important; } }</style>"
            f'<span class="loop"><img class="moving" src="data:image/webp;base64,{moving}" alt="{alt}">'
            f'<img class="still" style="display: none" src="data:image/png;base64,{still}" alt="{alt}"></span>'
        )
        return {"text/plain": repr(self), "text/html": page}


def loop(
    draw: Callable[[Figure, int], None],
    frames: int,
    *,
    alt: str,
    figsize: tuple[float, float] = (7.2, 3.2),
    pause: float = 0.12,
) -> Loop:
    """A loop of drawings, which shows itself as the last line of a cell.

    Args:
        draw: draws frame k = 0, …, frames − 1 on an empty figure.
        frames: their number, 2 or more.
        alt: what is to be seen, in words, for those who do not see it.
        figsize: inches, at 90 dots each.
        pause: seconds for which a frame is shown; the last one stays ten times as long.

    Returns:
        Loop.

    Raises:
        ValueError: fewer than two frames, no text, a pause that is not above zero.

    >>> def draw(fig, k):
    ...     fig.gca().plot([k], [0], "o")
    >>> loop(draw, 3, alt="a dot moves to the right", figsize=(2, 1)).moving[8:12]
    b'WEBP'
    """
    frames = _checks.count("frames", frames, least=2)
    pause = _checks.width("pause", pause)
    if not (isinstance(alt, str) and alt.strip()):
        _checks.refuse("alt", repr(alt), "say in words what is to be seen")
    pictures = []
    for k in range(frames):
        fig = plt.figure(figsize=figsize, dpi=90)
        draw(fig, k)
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png")
        plt.close(fig)
        pictures.append(Image.open(buffer).convert("RGB"))
    still, moving = io.BytesIO(), io.BytesIO()
    pictures[-1].save(still, format="PNG", optimize=True)
    times = [round(1000 * pause)] * (frames - 1) + [round(10_000 * pause)]
    pictures[0].save(
        moving, format="WEBP", save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=70
    )
    return Loop(moving.getvalue(), still.getvalue(), alt)
