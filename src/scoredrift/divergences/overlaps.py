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
from scoredrift.laws import GaussianMixture

_CHUNK = 2**22  # numbers held at a time: nodes times components
_MOST_NODES = 2**23
_AGREED = 1e-7  # of two step sizes, relative to 1 + overlap; the finer one is far better
_LARGEST_LOG = 345.0  # of N_a/√p: a product of two stays a double
_NEGLIGIBLE_LOG = -50.0


def mixture_gram(data: GaussianMixture, models: Sequence[GaussianMixture]) -> Tensor:
    """Inner products ⟨δ_i, δ_j⟩ = ∫ p̂^i p̂^j/p dx − 1, with D_i = χ²(p̂^i‖p) on the diagonal.

    Args:
        data: p, float64.
        models: p̂^0, …, p̂^N, mixtures in the same dimension.

    Returns:
        Matrix ``[N + 1, N + 1]``, float64; ∞ where an overlap of components is (``chi2_finite``
        says which decide). The overlaps are right to about eight digits, often to twelve; so a divergence
        far below 1e-8 is lost in what is left.

    Raises:
        ValueError: no models, mixtures that do not fit each other or are not float64, means that span more
            than two dimensions, data whose variances differ although their means do not span the space,
            variances so close to the limit of finiteness, or so different, that the integral cannot be taken.

    >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    >>> p = GaussianMixture(one, zero, one)
    >>> mixture_gram(p, [p, p.blur(0.6)]).diagonal()[1].item(), (1 - 0.36**2) ** -1.5 - 1
    (0.23146387539140..., 0.23146387539140...)
    >>> mixture_gram(p, [p.blur(1.1)])
    tensor([[inf]], dtype=torch.float64)
    """
    _checks.listed("models", models)
    if len(models) == 0:
        _checks.refuse("models", "none", "pass at least one mixture")
    for name, law in [("data", data), *((f"models[{i}]", model) for i, model in enumerate(models))]:
        _checks.able(name, law, "weights", "means", "variances")
        _checks.points(f"{name}.means", law.means, data.dim, like=data.means)
        if law.dtype != torch.float64:
            _checks.refuse(
                f"{name}.dtype", law.dtype, "pass mixtures in float64: law.to(dtype=torch.float64)"
            )
    data, models = data.without_empty(), [model.without_empty() for model in models]
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
    whole = torch.cat([data.means, means])
    apart = whole - data.weights @ data.means
    _, lengths, axes = torch.linalg.svd(apart, full_matrices=False)
    rounding = 16 * torch.finfo(whole.dtype).eps * math.sqrt(whole.numel()) * float(whole.abs().max())
    rank = int((lengths > max(rounding, 1e-12 * float(variances.max().sqrt()))).sum())
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
    # Nodes x = c sinh(u/c): even where the means lie, rare in the tails.
    widest = max(float(v.max()), float(data.variances.max()))
    c = max(float(centres.abs().max()), float(means.abs().max()), 4 * math.sqrt(widest))
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
    """Half-width of a box outside which N_a N_b/p is below e^−72 for every finite pair.

    p ≥ π_k N_k for each of its widest components, and N_a N_b/(π_k N_k) is A N(μ, 1/P) with known A.
    """
    rank, kept = centres.shape[1], precision > 0
    widest = data.variances == data.variances.max()
    s, corners, weights = float(data.variances.max()), centres[widest], data.weights[widest]
    safe = precision.masked_fill(~kept, 1.0)[:, :, None]
    pulls = (means / v[:, None])[:, None, None] + (means / v[:, None])[None, :, None] - corners / s
    fixed = means.square().sum(1) / v
    exponents = fixed[:, None, None] + fixed[None, :, None] - corners.square().sum(1) / s
    logs = 0.5 * (pulls.square().sum(-1) / safe - exponents) - weights.log()
    logs = logs + 0.5 * rank * (s / (v[:, None, None] * v[None, :, None] * safe)).log()
    ends = (pulls.norm(dim=-1) / safe) + ((144 + 2 * logs.clamp(min=0.0)) / safe).sqrt()
    return float(ends.min(-1).values.masked_fill(~kept, 0.0).max())


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
    """Σ exp(l_a + l_b) over the nodes, with l_a = log(N_a/√p).

    Where a component is so wide that l_a is cut off, its partners in finite pairs must be negligible.
    """
    for a in (log_halves > _LARGEST_LOG).any(1).nonzero().flatten().tolist():
        cut = log_halves[a] > _LARGEST_LOG
        sums = (log_halves[a, cut] + log_halves[:, cut]).amax(1)[finite[a]]
        if sums.numel() and float(sums.max()) > _NEGLIGIBLE_LOG:
            remedy = "a model is too wide against the data, or too far from them, for floating point"
            _checks.refuse(
                "models", f"component with log N/√p up to {float(log_halves[a].max()):.0f}", remedy
            )
    halves = log_halves.clamp(max=_LARGEST_LOG).exp()
    return (halves @ halves.T).masked_fill(~finite, 1.0)
