"""Softmax moments from those centres alone that can count, with a bound on what the others would add.

How one knows: in few dimensions by balls around blocks of centres (``scoredrift.attention.balls``), in many by sketches
in a few coordinates (``scoredrift.attention.sketches``).
"""

from __future__ import annotations

import importlib.util
from functools import partial

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.attention.balls import CentreBalls, Visit, _balls_of, _by_balls, _several_to_a_call
from scoredrift.attention.fused import _attended, _kernel_on_cpu, _seen_on_cuda, softmax_moments
from scoredrift.attention.plain import Moments, Pruned, _fit_centres, _fit_queries
from scoredrift.attention.sketches import CentreSketch, _by_sketch, _sketch_of
from scoredrift.attention.wide import WIDE

# A sketch costs as much as several hundred queries, and balls what is around their calls. Numbers are those of all
# centres, and pairs those of a query and a centre.
_QUERIES, _NUMBERS, _PAIRS = 512, 2**25, 2**27

CentreIndex = CentreBalls | CentreSketch


@torch.no_grad()
def centre_index(centres: Tensor, log_weights: Tensor | None = None) -> CentreIndex:
    """What tells which centres have weight, for all queries: made once.

    Args:
        centres: c, shape ``[N, d]``.
        log_weights: log w, shape ``[N]``; None for w = 1.

    Raises:
        ValueError: no centres, or inputs that do not fit each other or are not finite.

    >>> type(centre_index(torch.eye(3))).__name__, type(centre_index(torch.ones(1, 600))).__name__
    ('CentreBalls', 'CentreSketch')
    """
    _fit_centres(centres, log_weights)
    return (_sketch_of if centres.shape[1] >= WIDE else _balls_of)(centres, log_weights)


def worth_an_index(queries: int, centres: int, dim: int, device: torch.device | str = "cpu") -> bool:
    """Whether to make an index for a law that is asked for so much at once.

    Args:
        queries, centres, dim: n, N and d.
        device: torch device.

    >>> worth_an_index(1000, 50_000, 3072), worth_an_index(50_000, 50_000, 2), worth_an_index(1, 50_000, 3072)
    (True, True, False)
    """
    if dim >= WIDE:
        return queries >= _QUERIES and centres * dim >= _NUMBERS
    return queries >= _QUERIES and queries * centres >= _PAIRS and torch.device(device).type == "cpu"


@torch.no_grad()
def pruned_moments(y: Tensor, gain: Tensor, index: CentreIndex, *, tolerance: float | None = None) -> Pruned:
    """Softmax moments from those centres alone that can count, without gradients.

    Args:
        y: queries, shape ``[n, d]``.
        gain: g > 0, shape ``[n]``.
        index: of the centres.
        tolerance: ≥ 0, bound on what may be left out, in the units of ``Pruned``; 0 visits all centres, None allows for
            a unit in the last place of a number near one.

    Raises:
        ValueError: a negative tolerance, or what ``softmax_moments`` refuses.

    >>> g = torch.Generator().manual_seed(0)
    >>> centres = torch.randn(2_000, 600, generator=g)
    >>> y = centres[:500] + 0.1 * torch.randn(500, 600, generator=g)
    >>> seen = pruned_moments(y, torch.full((500,), 100.0), centre_index(centres))
    >>> float(seen.missed.max()) < 2e-7, int(seen.visited.median())
    (True, 1)
    """
    _fit_queries(y, gain, centres=index.centres)  # which were looked at when the index was made
    tolerance = torch.finfo(y.dtype).eps if tolerance is None else tolerance
    _checks.number("tolerance", tolerance, low=0.0)
    if tolerance and isinstance(index, CentreSketch):
        return _by_sketch(y, gain, index, tolerance)
    visit = _visit(y.dtype, y.device, y.shape[1])
    if tolerance and visit and isinstance(index, CentreBalls) and len(y):
        return _by_balls(y, gain, index, tolerance, visit, softmax_moments)
    moments = softmax_moments(y, gain, index.centres, index.log_weights)
    return Pruned(
        moments, torch.zeros_like(gain), torch.full_like(gain, len(index.centres), dtype=torch.long)
    )


def _visit(dtype: torch.dtype, device: torch.device, dim: int) -> Visit | None:
    """How blocks of queries visit what they need, if there is a way."""
    if device.type == "cpu":
        kernel = _kernel_on_cpu(dtype)
        return kernel and partial(_several_to_a_call, attend=partial(_attended, kernel))
    if device.type == "cuda" and dtype == torch.float32 and importlib.util.find_spec("triton"):
        from scoredrift.attention import triton  # needs Triton, which comes with CUDA builds of torch

        return _by_kernel if dim <= triton.MAX_DIM else None
    return None


def _by_kernel(
    y: Tensor, gain: Tensor, rows: Tensor, sizes: Tensor, needed: Tensor, balls: CentreBalls
) -> tuple[Moments, Tensor]:
    return _seen_on_cuda(y, gain, rows, balls.centres, balls.log_weights, (sizes, needed))
