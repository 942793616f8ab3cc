"""Deviations of Gaussian mixtures from a mixture, exactly: ⟨p̂/p − 1, p̂'/p − 1⟩ in L²(p).

By linearity all that is needed are the overlaps of two components,

    O_ab = ∫ N_a N_b / p dx,        ⟨p̂/p − 1, p̂'/p − 1⟩ = Σ_ab π_a π'_b O_ab − 1.

All means lie in an affine subspace of r ≤ 2 dimensions (for the mixture of five: the first two
coordinates). Where r < d the components of p must share one variance s; then p is a product, and each
direction outside the subspace contributes

    ∫ N(0, v_a) N(0, v_b) / N(0, s) dx = 1/√(1 − u_a u_b),        u = v/s − 1,

so that any dimension costs no more than two. In the subspace the integral is a trapezoidal sum over
x = c sinh(u/c), refined until it stands still; on integrands that are analytic and fall off fast it
converges exponentially. O_ab is infinite exactly if 1/v_a + 1/v_b < 1/s, s the largest variance of p.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.mixtures import GaussianMixture

_CHUNK = 2**22  # numbers held at a time: nodes times components
_MOST_NODES = 2**23
_AGREED = 1e-6  # of two step sizes, relative to 1 + overlap; the finer one is far better


def mixture_gram(data: GaussianMixture, models: Sequence[GaussianMixture]) -> Tensor:
    """Inner products ⟨δ_i, δ_j⟩ = ∫ p̂^i p̂^j/p dx − 1, with D_i = χ²(p̂^i‖p) on the diagonal.

    Args:
        data: p, float64.
        models: p̂^0, …, p̂^N, mixtures in the same dimension.

    Returns:
        Matrix ``[N + 1, N + 1]``, float64; ∞ where an overlap of components is (``bounded.chi2_finite``
        says which decide). Errors are about 1e-12 of the largest overlap.

    Raises:
        ValueError: no models, mixtures that do not fit each other or are not float64, means that span more
            than two dimensions, data whose variances differ although their means do not span the space,
            or variances so close to the limit of finiteness that the integral cannot be taken.

    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    >>> p = GaussianMixture(one, zero, one)
    >>> mixture_gram(p, [p, p.blur(0.6)]).diagonal()[1].item(), (1 - 0.36**2) ** -1.5 - 1
    (0.23146387539140..., 0.23146387539140...)
    >>> mixture_gram(p, [p.blur(1.1)])
    tensor([[inf]], dtype=torch.float64)
    """
    if len(models) == 0:
        _checks.refuse("models", "none", "pass at least one mixture")
    for name, law in [("data", data), *((f"models[{i}]", model) for i, model in enumerate(models))]:
        _checks.points(f"{name}.means", law.means, data.dim, like=data.means)
        if law.dtype != torch.float64:
            _checks.refuse(
                f"{name}.dtype", law.dtype, "pass mixtures in float64: law.to(dtype=torch.float64)"
            )
    components = torch.cat([torch.cat([m.means, m.variances[:, None]], 1) for m in models])
    kept, place = components.unique(dim=0, return_inverse=True)
    weights = components.new_zeros(len(models), len(kept))
    rows = torch.arange(len(models), device=place.device).repeat_interleave(
        torch.tensor([len(m.weights) for m in models], device=place.device)
    )
    weights.index_put_((rows, place), torch.cat([m.weights for m in models]), accumulate=True)
    overlaps = _overlaps(data, kept[:, :-1], kept[:, -1])
    infinite = overlaps.isinf()
    present = (weights > 0).double()
    products = weights @ overlaps.masked_fill(infinite, 0.0) @ weights.T - 1
    return products.masked_fill(present @ infinite.double() @ present.T > 0, math.inf)


def _overlaps(data: GaussianMixture, means: Tensor, variances: Tensor) -> Tensor:
    """Matrix O_ab, with infinities where they belong."""
    origin = data.weights @ data.means
    apart = torch.cat([data.means, means]) - origin
    _, lengths, axes = torch.linalg.svd(apart, full_matrices=False)
    rank = int((lengths > 1e-12 * max(float(lengths.max()), float(variances.max().sqrt()))).sum())
    if rank > 2:
        _checks.refuse("means", f"in {rank} dimensions", "pass mixtures whose means lie in a plane")
    s = float(data.variances.max())
    if rank < data.dim and float(data.variances.min()) != s:
        remedy = "where the means do not span the space, give all components of the data one variance"
        _checks.refuse("data.variances", "different", remedy)
    precision = 1 / variances[:, None] + 1 / variances - 1 / s
    edge = precision.abs() * s
    if bool((edge < 1e-9).any()):
        remedy = "at the limit the integral depends on the means alone; move a variance off it"
        _checks.refuse("variances", "at the limit 1/v_a + 1/v_b = 1/s of finiteness", remedy)
    finite = precision > 0
    u = variances / s - 1
    outside = (1 - u[:, None] * u).masked_fill(~finite, 1.0) ** (-0.5 * (data.dim - rank))
    if rank == 0:
        return outside.masked_fill(~finite, math.inf)
    flat = apart @ axes[:rank].T
    inside = _inside(data, flat[: len(data.means)], flat[len(data.means) :], variances, precision)
    return (outside * inside).masked_fill(~finite, math.inf)


def _inside(data: GaussianMixture, centres: Tensor, means: Tensor, v: Tensor, precision: Tensor) -> Tensor:
    """The integrals in the subspace; what it says about infinite pairs is not to be used."""
    # Nodes x = c sinh(u/c): even where the centres lie, rare in the tails.
    c = max(float(centres.abs().max()), 4 * math.sqrt(float(v.max())))
    reach = c * math.asinh(_reach(data, centres, means, v, precision) / c)
    step, before = 0.5 * math.sqrt(min(float(v.min()), float(data.variances.min()))), None
    while True:
        far = math.ceil(reach / step)
        if (2 * far + 1) ** centres.shape[1] > _MOST_NODES:
            remedy = "variances are too close to the limit 1/v_a + 1/v_b = 1/s, or means too far apart"
            _checks.refuse("nodes", f"more than {_MOST_NODES}", remedy)
        u = torch.arange(-far, far + 1, dtype=v.dtype, device=v.device) * (step / c)
        found = _sum(data, centres, means, v, c * u.sinh(), step * u.cosh(), precision > 0)
        if before is not None and bool(((found - before).abs() <= _AGREED * (1 + found.abs())).all()):
            return found
        step, before = step / 2, found


def _reach(data: GaussianMixture, centres: Tensor, means: Tensor, v: Tensor, precision: Tensor) -> float:
    """Half-width of a box outside which N_a N_b/(π_k N_k) is negligible for every finite pair, for some k."""
    scaled = means / v[:, None]
    pulls = scaled[:, None, None] + scaled[None, :, None] - (centres / data.variances[:, None])[None, None]
    kept = precision > 0
    safe = precision.masked_fill(~kept, 1.0)[:, :, None]
    # One k that is good for all a pair's directions: the widest component decides the tails.
    widest = data.variances == data.variances.max()
    ends = pulls.norm(dim=-1) / safe + 12 / safe.sqrt()
    ends = ends[:, :, widest].min(-1).values
    return float(ends.masked_fill(~kept, 0.0).max())


def _sum(
    data: GaussianMixture, centres: Tensor, means: Tensor, v: Tensor, x: Tensor, cell: Tensor, finite: Tensor
) -> Tensor:
    """Sum of N_a N_b/p over the nodes x with their cells, in each of one or two dimensions."""

    def log_densities(at: Tensor, variances: Tensor) -> list[Tensor]:
        """Along each axis, [components, nodes]."""
        norms = 0.5 * torch.log(2 * math.pi * variances)[:, None]
        return [-0.5 * (x - one[:, None]) ** 2 / variances[:, None] - norms for one in at.T]

    of_data, of_models = log_densities(centres, data.variances), log_densities(means, v)
    of_data[0] = of_data[0] + data.weights.log()[:, None]
    if len(of_data) == 1:
        return _product(of_models[0] + 0.5 * (cell.log() - torch.logsumexp(of_data[0], 0)), finite)
    total = torch.zeros_like(finite, dtype=v.dtype)
    rows = max(_CHUNK // (len(v) * len(x)), 1)
    for first in range(0, len(x), rows):
        some = slice(first, first + rows)
        log_p = torch.logsumexp(of_data[0][:, some, None] + of_data[1][:, None, :], 0)
        half = 0.5 * ((cell[some, None] * cell).log() - log_p)
        halves = of_models[0][:, some, None] + of_models[1][:, None, :] + half
        total += _product(halves.flatten(1), finite)
    return total


def _product(log_halves: Tensor, finite: Tensor) -> Tensor:
    """Σ exp(l_a + l_b) over the nodes. A component that is too wide overflows only in pairs not asked for."""
    halves = log_halves.clamp(max=300.0).exp()
    return (halves @ halves.T).masked_fill(~finite, 1.0)
