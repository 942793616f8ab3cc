"""Evidence of drift that may be looked at whenever one likes.

The hypothesis is that no generation so far has left the tolerance, χ²(p̂^i‖p) ≤ D_0. By Cauchy and Schwarz, for every f
whose variance under the data is at most one,

    |E_{p̂} f − E_p f| ≤ √χ²(p̂‖p) ≤ √D_0.

So bet against it: choose f before the next points y are seen, with values in [−b, b], and a stake λ, and let the wealth

    W = Π_j (1 + λ (f(y_j) − E_p f − √D_0 − r)),        0 < λ < 1/(b + √D_0 + r).

While the hypothesis holds, W is a supermartingale, whatever was chosen, and by Ville's inequality it ever reaches 1/a
with probability at most a: an alarm at W ≥ 1/a is false with that probability over the whole run, with a look after
every point. Under drift W grows exponentially.

What is chosen: f is the projection of whitened features, cut at ±b, on the mean deviation of points seen before. While
drift is within the tolerance, W shrinks, and what is lost has to be won back later. So a new wealth begins with every
look s = 0, 1, …, along the mean deviation of what was seen from the look before on. W is a mean of all of them, with
weights 1/((s+1)(s+2)), those that have not begun counting as one, and of a dozen stakes. A mean of supermartingales is
one. E_p f is the mean over N points of the data, and r, with probability 1 − a' and for large N, more than its error in
any direction, r² = χ²_{m, 1−a'}/N; a + a' is the level.

Sources: betting on means, Waudby-Smith and Ramdas 2024 (J. R. Stat. Soc. B 86, 1–27, arXiv 2010.09686); predictable
choices of f, Podkopaev and Ramdas 2023 (arXiv 2305.00143). The bound by χ² is Hammersley's, Chapman's and Robbins'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from scipy.stats import chi2
from torch import Tensor

from scoredrift import _checks

_CUT = 5.0  # b, in standard deviations of the data
_STAKES = 12
_BLOCK = 100  # points for which f stays the same
_OF_REFERENCE = 0.2  # share of the level that the error of E_p f may have


@dataclass(frozen=True, eq=False)
class Evidence:
    """What has been seen so far, against "the drift is within the tolerance".

    Made by ``Evidence.against``; each look gives a new one.

    Args:
        mean: of the features under the data, ``[m]``.
        whitening: W with (φ − mean) Wᵀ white under the data, ``[m, m]``.
        known: whitened features of the data, ``[N, m]``.
        tolerance: D_0.
        level: a + a', probability of a false alarm over the whole run.
        wealth: log W for each look with which it began, and each stake, ``[S, K]``.
        totals: sum of the whitened features seen from the look before each of these on, ``[S, m]``.
        latest: the same of the last look, ``[m]``.
        highest: largest log W so far.

    >>> g = torch.Generator().manual_seed(0)
    >>> data = torch.randn(5000, 3, generator=g, dtype=torch.float64)
    >>> seen = Evidence.against(data, tolerance=0.01)
    >>> seen.look(torch.randn(2000, 3, generator=g, dtype=torch.float64)).alarm
    False
    >>> seen.look(torch.randn(2000, 3, generator=g, dtype=torch.float64) + 0.4).alarm
    True
    """

    mean: Tensor
    whitening: Tensor
    known: Tensor = field(repr=False)
    tolerance: float
    level: float
    wealth: Tensor
    totals: Tensor
    latest: Tensor
    highest: float = 0.0

    @classmethod
    def against(cls, data: Tensor, *, tolerance: float, level: float = 0.05) -> Evidence:
        """No evidence yet.

        Args:
            data: features of N points of the data, ``[N, m]``; nothing that a model was trained on.
            tolerance: D_0 ≥ 0, what χ²(p̂‖p) may be.
            level: probability of a false alarm, in (0, 1).

        Raises:
            ValueError: numbers outside their range, too few points, or features that are not finite, constant or
                depend on each other.
        """
        data = _features("data", data)
        n, m = data.shape
        tolerance = _checks.number("tolerance", tolerance, low=0.0)
        level = _checks.number("level", level, low=0.0, high=1.0, open_low=True)
        if level == 1:
            _checks.refuse("level", level, "an alarm that is always false means nothing")
        if n < 10 * m:
            _checks.refuse("data.shape", [n, m], "pass ten points or more for each feature")
        mean, covariance = data.mean(0), torch.cov(data.T).reshape(m, m)
        factor, broken = torch.linalg.cholesky_ex(covariance)
        if int(broken) or float(factor.diagonal().min()) <= 1e-7 * float(factor.diagonal().max()):
            _checks.refuse("data", f"{m} features", "some are constant or depend on others: leave them out")
        whitening = torch.linalg.solve_triangular(
            factor, torch.eye(m, dtype=data.dtype, device=data.device), upper=False
        )
        none = torch.zeros(0, _STAKES, dtype=torch.float64, device=data.device)
        known = (data - mean) @ whitening.T
        return cls(
            mean, whitening, known, tolerance, level, none, mean.new_zeros(0, m), torch.zeros_like(mean)
        )

    @property
    def margin(self) -> float:
        """√D_0 + r, what f may differ by without being evidence."""
        n, m = self.known.shape
        return math.sqrt(self.tolerance) + math.sqrt(chi2.ppf(1 - _OF_REFERENCE * self.level, m) / n)

    @property
    def stakes(self) -> Tensor:
        """λ, ``[K]``, spread over three orders of magnitude."""
        most = 0.9 / (_CUT + self.margin)
        return most * torch.logspace(-3, 0, _STAKES, dtype=torch.float64, device=self.wealth.device)

    @property
    def log_wealth(self) -> float:
        """log W, the mean over beginnings and stakes: e^−(log W) bounds the probability of so much by chance."""
        return float(_mean(self.wealth))

    @property
    def alarm(self) -> bool:
        """Whether W has ever reached 1/a."""
        return self.highest >= Evidence.enough(self.level)

    @staticmethod
    def enough(level: float) -> float:
        """log 1/a, from which on there is an alarm.

        Args:
            level: a + a' in (0, 1), probability of a false alarm over the whole run.
        """
        return -math.log((1 - _OF_REFERENCE) * level)

    def look(self, features: Tensor) -> Evidence:
        """With points of one more generation, or some more points of the same.

        Args:
            features: of the points, ``[n, m]``, independent of each other given all that came before.

        Raises:
            ValueError: features of another number, or not finite.
        """
        features = _features("features", features)
        if features.shape[1] != len(self.mean):
            _checks.refuse("features.shape", list(features.shape), f"pass [n, {len(self.mean)}]")
        white = (features.to(self.mean) - self.mean) @ self.whitening.T
        wealth = torch.cat([self.wealth, torch.zeros_like(self.stakes)[None]])
        totals, highest = torch.cat([self.totals, self.latest[None]]), self.highest
        margin, stakes = self.margin, self.stakes
        for block in white.split(_BLOCK):
            sizes = totals.norm(dim=1)
            ways = (totals / sizes.clamp(min=torch.finfo(sizes.dtype).tiny)[:, None]).T
            expected = (self.known @ ways).clamp(-_CUT, _CUT).mean(0)
            gain = ((block @ ways).clamp(-_CUT, _CUT) - expected - margin) * (sizes > 0)  # no way, no bet
            steps = wealth + torch.log1p(gain[:, :, None] * stakes).cumsum(0)
            wealth, totals = steps[-1], totals + block.sum(0)
            highest = max(highest, float(_mean(steps).max()))
        return replace(self, wealth=wealth, totals=totals, latest=white.sum(0), highest=highest)


def _mean(wealth: Tensor) -> Tensor:
    """Logarithm of the mean of what began with each look and stake, ``[…, S, K]``, and of what did not begin."""
    count = wealth.shape[-2]
    place = torch.arange(count, dtype=wealth.dtype, device=wealth.device)
    weights = torch.cat([1 / ((place + 1) * (place + 2)), place.new_full((1,), 1 / (count + 1))])
    begun = torch.logsumexp(wealth, -1) - math.log(wealth.shape[-1])
    waiting = begun.new_zeros((*begun.shape[:-1], 1))
    return torch.logsumexp(torch.cat([begun, waiting], -1) + weights.log(), -1)


def _features(name: str, value: Tensor) -> Tensor:
    """Finite features ``[n, m]`` as float64, without gradients."""
    _checks.points(name, value)
    if len(value) == 0:
        _checks.refuse(f"{name}.shape", list(value.shape), "pass one point or more")
    if not _checks.holds(value.isfinite()):
        _checks.refuse(name, "not finite", "pass finite features")
    return value.detach().double()
