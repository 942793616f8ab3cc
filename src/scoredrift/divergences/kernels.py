"""χ² of a kernel density against the law of its points, in closed form.

A kernel density of bandwidth h generates at t0 the law p̂ = (1/N) Σ_j N(a c_j, v_h I) with
v_h = a² h² + v, and the data law N(m, σ² I) has become N(a m, σ_t² I) with σ_t² = a² σ² + v. A product of
two kernels φ over it is a Gaussian again, with the precision r = 2/v_h − 1/σ_t², so that in each dimension

    ∫ φ(x − c) φ(x − c')/N(x; 0, σ_t²) dx = σ_t/(√r v_h) · exp(½ [((c + c')/v_h)²/r − (c² + c'²)/v_h])

for r > 0, and ∞ for r ≤ 0. The mean over training sets is infinite as soon as h² ≥ e^{t0} − 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.laws import GaussianMixture
from scoredrift.process import OrnsteinUhlenbeck, scale, variance

_PARTS = 2_000_000  # pairs of kernels together


@_numerics.estimator
def kernel_chi2(centres: Tensor, bandwidth: float, sigma: float, process: OrnsteinUhlenbeck) -> Tensor:
    """χ²(p̂‖q_{t0}) of kernel densities on the line whose points came from q = N(0, σ²).

    Args:
        centres: training sets, shape ``[sets, N]``, float64.
        bandwidth: h > 0.
        sigma: σ > 0.
        process: gives t0.

    Returns:
        One χ² for each training set, shape ``[sets]``, without unit; ∞ where v_h ≥ 2σ_t².

    Raises:
        ValueError: centres of another shape or not finite, numbers that are not positive.

    Source: ours.

    >>> ou = OrnsteinUhlenbeck()
    >>> round(float(kernel_chi2(torch.zeros(1, 1, dtype=torch.float64), 0.3, 0.6, ou)), 4)
    0.4204
    """
    _checks.points("centres", centres)
    if centres.numel() == 0:
        _checks.refuse("centres.shape", list(centres.shape), "pass one or more sets of one or more points")
    bandwidth, sigma = _checks.width("bandwidth", bandwidth), _checks.width("sigma", sigma)
    _checks.process(process)
    a2, v = float(scale(process.t_min)) ** 2, float(variance(process.t_min))
    sigma2_t, v_h = a2 * sigma**2 + v, a2 * bandwidth**2 + v
    r = 2 / v_h - 1 / sigma2_t
    if r <= 0:
        return torch.full_like(centres[:, 0], math.inf)
    found = []
    for some in centres.split(max(1, _PARTS // centres.shape[1] ** 2)):
        c = some * math.sqrt(a2)
        one, other = c[:, :, None], c[:, None, :]
        power = ((one + other) / v_h) ** 2 / r - (one**2 + other**2) / v_h
        found.append(math.sqrt(sigma2_t / r) / v_h * torch.exp(0.5 * power).mean((1, 2)) - 1)
    return torch.cat(found)


@_numerics.estimator
def outer_chi2(
    centres: Tensor,
    data: GaussianMixture,
    bandwidth: float,
    process: OrnsteinUhlenbeck,
    *,
    generator: torch.Generator,
    outermost: int = 50,
    draws: int = 400,
) -> float:
    """Part of ∫ p̂²/q_{t0} that the squares of the outermost kernels have: a lower bound on 1 + χ².

        (1/N²) Σ_far ∫ φ(x − a c)²/q_{t0}(x) dx

    By importance sampling: against the component N(a m, σ_t² I) of q_{t0} that a point belongs to, the
    quotient is a Gaussian of precision r = 2/v_h − 1/σ_t² about (2a c/v_h − a m/σ_t²)/r, far outside, where
    no draw of p̂ or q comes.

    Args:
        centres: training set, shape ``[N, d]``.
        data: q, the mixture that the points came from.
        bandwidth: h > 0.
        process: gives t0.
        generator: source of randomness, on the device of the centres.
        outermost: number of points, those farthest from their nearest component's mean.
        draws: number of draws for each.

    Returns:
        The sum over the outermost points, without unit.

    Raises:
        ValueError: centres that do not fit the law, a bandwidth with v_h ≥ 2σ_t² (then χ² is infinite).

    Source: ours.

    >>> from scoredrift.laws import mixture_of_five
    >>> q, ou = mixture_of_five(), OrnsteinUhlenbeck()
    >>> g = torch.Generator().manual_seed(0)
    >>> outer_chi2(q.sample(10_000, generator=g), q, 0.6, ou, generator=g) > 1e3
    True
    """
    _checks.able("data", data, "weights", "means", "variances")
    _checks.points("centres", centres, data.dim, like=data.means)
    if len(centres) == 0:
        _checks.refuse("centres.shape", list(centres.shape), "pass one or more points")
    outermost, draws = _checks.count("outermost", outermost), _checks.count("draws", draws)
    _checks.generator_on(generator, centres.device)
    h = _checks.width("bandwidth", bandwidth)
    _checks.process(process)
    a, v = float(scale(process.t_min)), float(variance(process.t_min))
    centres = centres.detach()
    apart, nearest = torch.cdist(centres, data.means).min(1)
    far = apart.topk(min(outermost, len(centres))).indices
    wanted, v_h = data.diffuse(process.t_min), a**2 * h**2 + v
    c, m = a * centres[far], wanted.means[nearest[far]]
    sigma2_t = wanted.variances[nearest[far], None]
    precision = 2 / v_h - 1 / sigma2_t
    if not bool((precision > 0).all()):
        _checks.refuse("bandwidth", h, "a kernel is wider than twice a component: χ² is infinite")
    middle = (2 * c / v_h - m / sigma2_t) / precision
    noise = torch.randn((draws, *c.shape), generator=generator, dtype=c.dtype, device=c.device)
    x = middle + noise / precision.sqrt()
    proposal = 0.5 * (precision / (2 * math.pi)).log().sum(1) * c.shape[1] - 0.5 * noise.square().sum(2)
    kernel = -0.5 * c.shape[1] * math.log(2 * math.pi * v_h) - (x - c).square().sum(2) / (2 * v_h)
    target = wanted.log_density(x.reshape(-1, data.dim)).reshape(draws, -1)
    return float((2 * kernel - target - proposal).exp().mean(0).sum()) / len(centres) ** 2
