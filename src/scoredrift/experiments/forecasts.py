"""Forecasts of a recursion of networks from a pilot: a few runs of a few generations at one fresh fraction.

In cells of equal mass, with δ the deviation of p̂ from p_{t0}, a generation adds w = δ' − (1−α) δ. Three forecasts,
by what they take to be the same at other α and in later generations:

    constant      w = b + noise: all that is added.
    two parts     w = r + (1−α) c: what the network does to the law that it should generate, r = b + noise, and what
                  the early stop does to the share of synthetic data, c = (S − 1) p̂.
    exact stop    p̂' = S (α p + (1−α) p̂) + r on the nodes of a quadrature, with S the forward process for the time
                  t0: only what the network does is taken from the pilot.

Bias is what repeats between runs, generation by generation: products of different runs, so that its square has no
noise in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate, jackknife
from scoredrift.experiments.neural import CELLS, PROCESS, equal_cells
from scoredrift.experiments.result import Result
from scoredrift.generations import bias_of_repeats, forecast
from scoredrift.laws import mixture_of_three, on_nodes
from scoredrift.process import scale, variance


def forcings(cells: Tensor, alpha: float) -> Tensor:
    """What each generation adds in the cells, w_i = δ_i − (1−α) δ_{i−1}, with δ_{−1} = 0.

    Args:
        cells: masses of p̂^i in K cells of equal mass, shape ``[runs, generations, K]``.
        alpha: fresh fraction α in (0, 1].

    Returns:
        w, shape ``[runs, generations, K]``; the first generation is trained on the data alone. What the networks
        do, without the early stop, is (cells − wanted) √K.

    Raises:
        ValueError: masses that are negative or do not sum to one, or α outside (0, 1].

    >>> forcings(torch.tensor([[[0.5, 0.5], [0.75, 0.25]]]), 0.5)[0, 1]
    tensor([ 0.3536, -0.3536])
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    _checks.floating("cells", cells)
    if cells.ndim != 3 or 0 in cells.shape:
        _checks.refuse("cells.shape", list(cells.shape), "pass masses, [runs, generations, K]")
    if not _checks.holds((cells >= 0) & ((cells.sum(2, keepdim=True) - 1).abs() < 1e-3)):
        _checks.refuse("cells", "no masses", "pass numbers ≥ 0 that sum to one over the cells")
    deviation = (cells - 1 / cells.shape[2]) * cells.shape[2] ** 0.5
    before = torch.cat([torch.zeros_like(deviation[:, :1]), deviation[:, :-1]], dim=1)
    return deviation - (1 - alpha) * before


def constant_forecast(pilot: Result, *, alpha: float, generations: int) -> list[Estimate]:
    """Drift in the cells, if every generation adds what those of the pilot added, whatever α.

    Generation 0 is left out, where nothing is synthetic.

    Args:
        pilot: result of ``neural-pilot`` or ``neural-ten-pilot``.
        alpha: fresh fraction α in (0, 1].
        generations: N ≥ 0.

    Returns:
        E D_0, …, E D_N.

    >>> from scoredrift.experiments import stored
    >>> print(constant_forecast(stored("neural-pilot", "medium"), alpha=0.1, generations=10)[-1])
    0.830 ± 0.099
    >>> print(constant_forecast(stored("neural-ten-pilot", "medium"), alpha=0.1, generations=10)[-1])
    2.307 ± 0.096
    """
    (before,) = pilot.axes["alpha"]
    added = forcings(pilot.at("cells", alpha=before), before)
    return forecast(bias_of_repeats(added[:, 1:]), alpha=alpha, generations=generations)


def two_part_forecast(pilot: Result, *, alpha: float, generations: int) -> list[Estimate]:
    """Drift in the cells, if networks and early stop each add what they added in the pilot.

    Args:
        pilot: result of ``neural-pilot`` or ``neural-ten-pilot``.
        alpha: fresh fraction α in (0, 1].
        generations: N ≥ 0.

    Returns:
        E D_0, …, E D_N.

    >>> from scoredrift.experiments import stored
    >>> print(two_part_forecast(stored("neural-pilot", "medium"), alpha=0.1, generations=10)[-1])
    1.45 ± 0.15
    >>> print(two_part_forecast(stored("neural-ten-pilot", "medium"), alpha=0.1, generations=10)[-1])
    2.77 ± 0.13
    """
    (before,) = pilot.axes["alpha"]
    cells, wanted = (pilot.at(name, alpha=before) for name in ("cells", "wanted"))
    learned = (cells - wanted) * cells.shape[2] ** 0.5
    stopped = (forcings(cells, before) - learned)[:, 1:].mean(1) / (1 - before)
    keep = 1 - _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)

    def onward(deviation: Tensor, added: Tensor) -> Tensor:
        return keep * deviation + added + keep * stopped

    return _drifts(learned, learned[:, 0], onward, lambda noise: keep * noise, lambda x: x, generations)


def exact_stop_forecast(pilot: Result, *, alpha: float, generations: int) -> list[Estimate]:
    """Drift in the cells on the line, if networks do to every law what they did to those of the pilot.

    Args:
        pilot: result of ``neural-pilot``.
        alpha: fresh fraction α in (0, 1].
        generations: N ≥ 0.

    Returns:
        E D_0, …, E D_N.

    >>> from scoredrift.experiments import stored
    >>> print(exact_stop_forecast(stored("neural-pilot", "medium"), alpha=0.1, generations=10)[-1])
    0.876 ± 0.085
    """
    (before,) = pilot.axes["alpha"]
    error = pilot.at("error", alpha=before).double()
    keep = 1 - _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    nodes = torch.linspace(-9, 9, error.shape[2], dtype=torch.float64)
    t0, law = PROCESS.t_min, mixture_of_three()
    gap = nodes[:, None] - float(scale(t0)) * nodes
    spread = float(variance(t0))
    stop = (
        torch.exp(-gap.square() / (2 * spread)) / math.sqrt(2 * math.pi * spread) * float(nodes[1] - nodes[0])
    )
    data, smooth = on_nodes(law.diffuse(t0), nodes), on_nodes(law.diffuse(t0).diffuse(t0), nodes)
    edges = [-9.0, *equal_cells(law.diffuse(t0), CELLS).tolist(), 9.0]

    def in_cells(density: Tensor) -> Tensor:
        below = CubicSpline(nodes.numpy(), density.numpy(), axis=1).antiderivative()(edges)
        return torch.from_numpy(np.diff(below, axis=1)) * CELLS**0.5

    def onward(deviation: Tensor, added: Tensor) -> Tensor:
        return keep * (deviation @ stop.T + smooth - data) + added

    return _drifts(error, error[:, 0], onward, lambda noise: keep * noise @ stop.T, in_cells, generations)


def _drifts(
    learned: Tensor,
    first: Tensor,
    onward: Callable[[Tensor, Tensor], Tensor],
    fade: Callable[[Tensor], Tensor],
    in_cells: Callable[[Tensor], Tensor],
    generations: int,
) -> list[Estimate]:
    """E D_0, …, E D_N from what networks of a pilot did, ``[runs, generations, m]``.

    The mean of later generations is added in each step; the noise of each fades. Errors by leaving out one run.
    """
    _checks.count("generations", generations, least=0)
    if len(learned) < 3:
        _checks.refuse("pilot", f"{len(learned)} runs", "bias and its error need three or more")
    added, path, noise = learned[:, 1:].mean(1), first, learned
    later = torch.zeros(len(learned), len(learned), dtype=torch.float64)
    found = []
    for _ in range(generations + 1):
        mean = in_cells(path)
        faded = torch.stack([in_cells(one) for one in noise.unbind(1)], 1)
        sizes = torch.einsum("rgm,sgm->grs", faded, faded)  # of the noise of each generation, so many later
        found.append(_bias_and_scatter(mean @ mean.T, sizes[0] + later))
        later = later + sizes[1:].mean(0)
        path, noise = onward(path, added), torch.stack([fade(one) for one in noise.unbind(1)], 1)
    return found


def _bias_and_scatter(paths: Tensor, noises: Tensor) -> Estimate:
    """Square of a mean plus a scatter, from products of runs, ``[runs, runs]`` each."""

    def drift(kept: Tensor) -> float:
        def apart(products: Tensor) -> float:
            part = products[kept][:, kept]
            return float(part.sum() - part.trace()) / (len(kept) * (len(kept) - 1))

        return apart(paths) + float(noises.diagonal()[kept].mean()) - apart(noises)

    return jackknife(drift, len(paths))
