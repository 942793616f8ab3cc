"""Evidence of drift that may be looked at whenever one likes.

The hypothesis is that no generation so far has left the tolerance, χ²(p̂^i‖p) ≤ D_0. By Cauchy and Schwarz, for every f
whose variance under the data is at most one,

    |E_{p̂} f − E_p f| ≤ √χ²(p̂‖p) ≤ √D_0.

So bet against it: choose f before the next points y are seen, with values in [−b, b], and a stake λ, and let the wealth

    W = Π_j (1 + λ (f(y_j) − E_p f − √D_0 − r)),        0 < λ < 1/(b + √D_0 + r).

While the hypothesis holds, W is a supermartingale, whatever was chosen, and by Ville's inequality it ever reaches 1/a
with probability at most a: an alarm at W ≥ 1/a is false with that probability over the whole run, with a look after
every point. Under drift W grows exponentially.

What is chosen: f is the projection of whitened features, cut at ±b, on the mean deviation of all points seen before; W
is the mean over a dozen stakes. E_p f is the mean over N points of the data, and r, with probability 1 − a' and for
large N, more than its error in any direction, r² = χ²_{m, 1−a'}/N; a + a' is the level.

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
        wealth: log W for each stake, ``[K]``.
        total: sum of all whitened features seen, ``[m]``.
        count: their number.
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
    total: Tensor
    count: int = 0
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
        none = torch.zeros(_STAKES, dtype=torch.float64, device=data.device)
        known = (data - mean) @ whitening.T
        return cls(mean, whitening, known, tolerance, level, none, torch.zeros_like(mean))

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
        """log W, the mean over the stakes: e^−(log W) bounds the probability of so much evidence by chance."""
        return float(torch.logsumexp(self.wealth, 0)) - math.log(len(self.wealth))

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
        wealth, total, count, highest = self.wealth.clone(), self.total, self.count, self.highest
        margin, stakes = self.margin, self.stakes
        for block in white.split(_BLOCK):
            if count > 0:
                direction = total / total.norm().clamp(min=torch.finfo(total.dtype).tiny)
                expected = (self.known @ direction).clamp(-_CUT, _CUT).mean()
                gain = (block @ direction).clamp(-_CUT, _CUT) - expected - margin
                steps = torch.log1p(stakes[:, None] * gain).cumsum(1) + wealth[:, None]
                wealth = steps[:, -1]
                path = torch.logsumexp(steps, 0) - math.log(len(wealth))
                highest = max(highest, float(path.max()))
            total, count = total + block.sum(0), count + len(block)
        return replace(self, wealth=wealth, total=total, count=count, highest=highest)


def _features(name: str, value: Tensor) -> Tensor:
    """Finite features ``[n, m]`` as float64, without gradients."""
    _checks.points(name, value)
    if len(value) == 0:
        _checks.refuse(f"{name}.shape", list(value.shape), "pass one point or more")
    if not _checks.holds(value.isfinite()):
        _checks.refuse(name, "not finite", "pass finite features")
    return value.detach().double()
