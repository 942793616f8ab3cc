"""Heavy tails: whether a Monte Carlo mean, and its standard error, can be believed.

The standard error of a mean assumes that the draws have a variance. Ratios of densities often have none,
and then the error that is printed is small and wrong. The largest draws tell: above a high threshold u
the excess z = f − u of almost any law follows a generalised Pareto law with density

    (1/σ) (1 + k z/σ)^{−1/k − 1}        (k = 0: exponential;  k < 0: bounded),

and the moment of order κ of f exists exactly for k < 1/κ:

    k < ½         mean and variance: the standard error means what it says;
    ½ ≤ k < 1     a mean without variance: the mean converges, slower than 1/√n, and the error is no guide;
    k ≥ 1         no mean: the number grows with n for ever.

The fit takes the M = min(n/5, 3√n) largest draws, as Pareto-smoothed importance sampling does, and
estimates k by the profile posterior mean of Zhang and Stephens. On 4000 generalised Pareto draws its
root-mean-square error is 0.06 at k = −0.3, 0.10 at k = 0.5 and 0.16 at k = 1, never above that of maximum
likelihood, at a hundredth of the time; so a k̂ within 0.1 of a threshold leaves the case open.

Source: Vehtari, Simpson, Gelman, Yao, Gabry, arXiv 1507.02646 (the use of k̂ and the size of M); Zhang and
Stephens, Technometrics 51(3), 316–325, 2009, doi 10.1198/tech.2009.08017 (the estimator).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoredrift import _checks

FEWEST = 100  # draws; with fewer, the tail holds less than twenty

# A tail of fewer excesses says nothing about its shape.
FEWEST_IN_TAIL = 5

# Without a variance, the tail carries nearly all of what the draws scatter (k = ½: half of it or more).
_LEAST_SHARE = 0.2


def tail_shape(draws: Tensor) -> float:
    """Shape k̂ of the generalised Pareto law that fits the M = min(n/5, 3√n) draws farthest out.

    Distances are taken from the median, so that both tails count, neither is cancelled by the other, and
    k̂ does not change when a constant is added to the draws or multiplied into them.

    Args:
        draws: shape ``[n]`` with n ≥ 100, float32 or float64, in any unit.

    Returns:
        k̂, without unit. −∞ if no draw lies above the threshold, as for constant draws and for two values
        that are both common: the draws are bounded as far as they show. −∞, too, where k̂ would be ½ or
        more but the M draws carry less than a fifth of the sum of squares: the threshold then lies at the
        edge of a crowd, and what is fitted is the edge. ∞ if fewer than five lie above, as for an
        indicator that was seen three times: the mean rests on them, and no tail can be fitted.

    Raises:
        ValueError: fewer than 100 draws, another shape or dtype, NaN or infinite draws.

    >>> uniform = torch.rand(4000, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    >>> round(tail_shape(uniform ** -0.7), 1), tail_shape(uniform) < 0
    (0.7, True)
    """
    _checks.floating("draws", draws)
    if draws.ndim != 1 or draws.numel() < FEWEST:
        _checks.refuse("draws.shape", list(draws.shape), f"pass at least {FEWEST} draws, shape [n]")
    # Scaled first, so that neither the differences here nor θ in the fit can overflow.
    largest = float(draws.detach().abs().max()) or 1.0
    scaled = draws.detach().double() / largest
    distances, _ = (scaled - scaled.median()).abs().sort()
    size = int(min(draws.numel() / 5, 3 * math.sqrt(draws.numel())))
    excesses = distances[-size:] - distances[-size - 1]
    # Ties at the threshold lie below it: only what exceeds it carries the tail.
    excesses = excesses[excesses > 0]
    if excesses.numel() == 0:
        return -math.inf
    if excesses.numel() < FEWEST_IN_TAIL:
        return math.inf
    shape = _pareto_shape(excesses)
    squares = distances.square()
    if shape >= 0.5 and float(squares[-size:].sum()) < _LEAST_SHARE * float(squares.sum()):
        return -math.inf
    return shape


def _pareto_shape(z: Tensor) -> float:
    """Shape of a generalised Pareto law from its sorted draws 0 < z ≲ 1, after Zhang and Stephens.

    With θ = −k/σ the likelihood is maximal at k(θ) = mean log(1 − θ z), where it is
    n [log(−θ/k) − k − 1] in logarithm. θ is averaged over a grid of m = 30 + √n quantiles of its prior,
    with that likelihood as weight, and k̂ = k(θ̂).
    """
    n = z.numel()
    m = 30 + math.isqrt(n)
    quartile = z[int(n / 4 + 0.5) - 1].clamp(min=1e-300)  # θ stays a number
    quantiles = (torch.arange(1, m + 1, dtype=z.dtype, device=z.device) - 0.5) / m
    theta = 1 / z[-1] + (1 - quantiles.rsqrt()) / (3 * quartile)
    theta = theta[theta != 0]  # there k(θ)/θ is 0/0; equal draws put a node right on it
    k = torch.log1p(-theta[:, None] * z).mean(1)
    weights = torch.softmax(n * (torch.log(-theta / k) - k - 1), 0)
    return float(torch.log1p(-(weights @ theta) * z).mean())
