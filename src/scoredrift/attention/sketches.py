"""Centres without weight are not visited: sketches in a few coordinates say which, and bound what is left out.

With P the projection on a few orthonormal directions, and y and c relative to the same origin, Cauchy and Schwarz have

    y·c ≤ Py·Pc + ‖y − Py‖ ‖c − Pc‖ = (Py, ρ)·(Pc, r),

so that vectors of a few coordinates and one length have logits that are never too small,

    u_j = g (Py·Pc_j + ρ r_j − ½ ‖c_j‖²) + log w_j ≥ logit_j,

in the frame in which the logit of c is g (y·c − ½‖c‖²) + log w. Pictures lie close to the span of their first principal
components, and noise, which does not, has nearly all of its length in ρ, which costs nothing where r is small. A centre
with u_j < θ is passed over. With L the largest logit, w the largest weight, x_j = √g ‖c_j − y‖, and x_K, s_K the
same of the shift and g scatter of what is kept,

    √g ‖Δ shift‖, g |Δ scatter|, |Δ log_sum| ≤ Σ e^{logit_j − L} ((1 + x_j + x_K)² + s_K)
                                             ≤ n e^{θ − L} ((1 + x_θ + x_K)² + s_K),

n the number passed over and ½ x_θ² = log w − θ: e^{−x²/2} (1 + x + x_K)² falls from x = 1 on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift.attention.plain import Moments, Pruned
from scoredrift.attention.wide import _wide

# Queries that are sketched at once, those of them that tell whether a level pays, and entries of the array of bounds.
_ROWS, _PROBED, _BOUNDS = 256, 8, 2**24
# The dimension over the coordinates of each level: 1 and 8 per cent of the work of two products. After each, a query is
# taken from the centres that are left where they are one in so many.
_SHARES, _FEW = (48, 6), (1000, 100)
# Centres that directions are taken from, and how often they are mended.
_SAMPLE, _ITERATIONS = 4096, 2
# Entries of an array of centres, queries × centres × dimensions, that is held at once.
_ENTRIES = 2**20
# Rounding of a logit in units of eps g (‖y‖ ‖c‖ + ½ ‖c‖²), and of a square in units of eps: measured at most 5.
_ROUNDINGS = 16


class CentreSketch(NamedTuple):
    """Centres with what is needed to tell which of them have weight.

    Args:
        centres: c, ``[N, d]``.
        log_weights: log w, ``[N]``; None for w = 1.
        origin: of the coordinates, the mean of the centres, ``[d]``.
        directions: orthonormal, most of the centres' variance first, ``[d, K]``.
        keys: of each level, from few coordinates to many, ``[N, k + 4]``: Pc, r, ‖c‖, −½‖c‖² and log w.

    >>> from scoredrift.attention import centre_index
    >>> sketch = centre_index(torch.randn(50, 600, generator=torch.Generator().manual_seed(0)))
    >>> [tuple(one.shape) for one in sketch.keys]
    [(50, 17), (50, 104)]
    """

    centres: Tensor
    log_weights: Tensor | None
    origin: Tensor
    directions: Tensor
    keys: tuple[Tensor, ...]


def _sketch_of(centres: Tensor, log_weights: Tensor | None = None) -> CentreSketch:
    """Sketch centres, once for all queries: about the work of d/6 of them.

    Args:
        centres: c, shape ``[N, d]``.
        log_weights: log w, shape ``[N]``; None for w = 1.
    """
    origin = centres.mean(0)
    local = centres - origin
    widths = [-(-centres.shape[1] // share) for share in _SHARES]
    directions = _directions(local[:: -(-len(local) // _SAMPLE)], widths[-1])
    squares = local.square().sum(1)
    seen = local @ directions
    weights = torch.zeros_like(squares) if log_weights is None else log_weights
    slack = _ROUNDINGS * torch.finfo(centres.dtype).eps
    keys = tuple(
        torch.column_stack(
            (*_split(seen[:, :k], squares), squares.sqrt(), -0.5 * (1 - slack) * squares, weights)
        )
        for k in widths
    )
    return CentreSketch(centres, log_weights, origin, directions, keys)


def _directions(x: Tensor, count: int) -> Tensor:
    """Principal components, most of the variance first, nearly: any that are orthonormal give bounds."""
    fixed = torch.Generator(x.device).manual_seed(0)
    found = torch.randn(x.shape[1], count, generator=fixed, dtype=x.dtype, device=x.device)
    for _ in range(_ITERATIONS):
        found = torch.linalg.qr(x.T @ (x @ found))[0]
    seen = (x @ found).double()
    return found @ torch.linalg.eigh(seen.T @ seen)[1].flip(1).to(x.dtype)


def _split(seen: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates, and the length of the rest or a little more."""
    slack = _ROUNDINGS * torch.finfo(seen.dtype).eps
    return seen, ((1 + slack) * squares - seen.square().sum(1)).clamp(min=0).sqrt()


def _by_sketch(y: Tensor, gain: Tensor, sketch: CentreSketch, tolerance: float) -> Pruned:
    search = _Search(y, gain, sketch, tolerance)
    left = gain.argsort(descending=True)  # those that see equally far are together
    for key, share in zip(sketch.keys, _FEW, strict=True):
        left = search.level(left, key, max(1, len(key) // share))
    if len(left):
        search.put(left, _wide(y[left], gain[left], sketch.centres, sketch.log_weights))
    return Pruned(search.found, search.missed, search.visited)


class _Screen(NamedTuple):
    """Which centres a few queries have to visit, and from where on the others are passed over.

    Args:
        best: the centre of the largest bound, ``[n]``.
        counts: how many are to be visited, ``[n]``.
        first: where those of a query begin, ``[n]``.
        centre: those of all queries, one after the other.
        far: x² of a centre of the largest weight with the logit of the best, ``[n]``.
        depth: how far below that of the best the logits of all others are, ``[n]``.
    """

    best: Tensor
    counts: Tensor
    first: Tensor
    centre: Tensor
    far: Tensor
    depth: Tensor


class _Search:
    """Queries of which some are answered, and the answers."""

    def __init__(self, y: Tensor, gain: Tensor, sketch: CentreSketch, tolerance: float) -> None:
        self.y, self.gain, self.sketch, self.tolerance = y, gain, sketch, tolerance
        self.found = Moments(torch.empty_like(y), torch.empty_like(gain), torch.empty_like(gain))
        self.missed = torch.zeros_like(gain)
        self.visited = torch.full_like(gain, len(sketch.centres), dtype=torch.long)
        self.heaviest = 0.0 if sketch.log_weights is None else float(sketch.log_weights.max())
        # Of the bounds of a block: fresh pages each time would take as long as all the rest.
        self.rows = max(1, min(_ROWS, _BOUNDS // len(sketch.centres)))
        self.room = y.new_empty(min(len(y), self.rows), len(sketch.centres))

    def put(self, where: Tensor, moments: Moments) -> None:
        """Answer some."""
        for part, new in zip(self.found, moments, strict=True):
            part[where] = new

    def level(self, left: Tensor, key: Tensor, few: int) -> Tensor:
        """Answer those for which few centres can count, as far as this level tells, and return the others."""
        blocks = left.split(self.rows) if len(left) else ()
        return torch.cat([left[:0], *(self._block(some, key, few) for some in blocks)])

    def _block(self, block: Tensor, key: Tensor, few: int) -> Tensor:
        probed = block[:: -(-len(block) // _PROBED)]
        if 2 * int((self._screen(probed, key).counts <= few).sum()) < len(probed):
            return block
        screen = self._screen(block, key)
        done = torch.zeros_like(block, dtype=torch.bool)
        size = 1
        while size < 2 * few:
            rows = ((screen.counts > size // 2) & (screen.counts <= min(size, few))).nonzero()[:, 0]
            for some in rows.split(max(1, _ENTRIES // (size * self.y.shape[1]))) if len(rows) else ():
                moments = _from_few(
                    self.y[block[some]], self.gain[block[some]], self.sketch, screen, some, size
                )
                lost = self._lost(block[some], screen, some, moments)
                right = lost <= self.tolerance
                self.put(block[some[right]], Moments(*(part[right] for part in moments)))
                self.missed[block[some[right]]] = lost[right]
                self.visited[block[some[right]]] = screen.counts[some[right]]
                done[some] = right
            size *= 2
        return block[~done]

    def _screen(self, block: Tensor, key: Tensor) -> _Screen:
        """Compare the bounds with the logit of the centre that has the largest."""
        sketch, y, gain = self.sketch, self.y[block], self.gain[block]
        slack, width = _ROUNDINGS * torch.finfo(y.dtype).eps, key.shape[1] - 4
        local = y - sketch.origin
        squares = local.square().sum(1)
        shadow = _split(local @ sketch.directions[:, :width], squares)
        rows = torch.column_stack((*shadow, slack * squares.sqrt(), torch.ones_like(gain), 1 / gain))
        bounds = torch.mm(rows, key.T, out=self.room[: len(y)])  # u/g
        best = bounds.max(1).indices  # argmax takes longer
        norms, halves, own = key[best, width + 1 :].T
        nearest = sketch.centres[best]
        rounding = slack * (squares.sqrt() * norms - 2 * halves)
        logit = (local * (nearest - sketch.origin)).sum(1) + halves + own / gain - rounding
        far = gain * (nearest - y).square().sum(1) + 2 * (self.heaviest - own)
        depth = math.log(len(key) / self.tolerance) + 2 * torch.log(12 + 3 * far.sqrt())
        which, centre = (bounds >= (logit - depth / gain - 2 * rounding)[:, None]).nonzero().T
        counts = which.bincount(minlength=len(y))
        return _Screen(best, counts, counts.cumsum(0) - counts, centre, far, depth)

    def _lost(self, block: Tensor, screen: _Screen, rows: Tensor, moments: Moments) -> Tensor:
        """Bound on what the others would add."""
        gain, depth = self.gain[block], screen.depth[rows]
        edge, kept = (screen.far[rows] + 2 * depth).sqrt(), gain.sqrt() * moments.shift.norm(dim=1)
        others = len(self.sketch.centres) - screen.counts[rows]
        return others * (-depth).exp() * ((1 + edge + kept).square() + gain * moments.scatter)


def _from_few(
    y: Tensor, gain: Tensor, sketch: CentreSketch, screen: _Screen, rows: Tensor, size: int
) -> Moments:
    """Moments from what is kept, ``size`` centres at most, by differences from the best."""
    places = torch.arange(size, device=y.device)
    there = places < screen.counts[rows][:, None]
    best = screen.best[rows]
    chosen = screen.centre[(screen.first[rows][:, None] + places).clamp(max=len(screen.centre) - 1)]
    chosen = torch.where(there, chosen, best[:, None])
    nearest = sketch.centres[best]
    near = nearest - y
    local = sketch.centres[chosen].sub_(nearest[:, None])
    squares = torch.linalg.vector_norm(local, dim=2).square()
    logits = -0.5 * gain[:, None] * (squares + 2 * (local @ near[:, :, None])[:, :, 0])
    logits = torch.where(there, logits, -math.inf)
    peak = -0.5 * gain * near.square().sum(1)
    if sketch.log_weights is not None:
        peak = peak + sketch.log_weights[best]
        logits = logits + sketch.log_weights[chosen] - sketch.log_weights[best][:, None]
    share = torch.softmax(logits, dim=1)
    mean = (share[:, None] @ local)[:, 0]
    scatter = ((share * squares).sum(1) - mean.square().sum(1)).clamp(min=0)
    return Moments(near + mean, scatter, peak + torch.logsumexp(logits, dim=1))
