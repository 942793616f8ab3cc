"""What a mean of features does not see: classes that thin out, and copies of the training set.

A class of share π among n points is counted k times, k ~ Bin(n, π); its share lies, with probability 1 − a at least,
between the quantiles of Beta(k, n − k + 1) and Beta(k + 1, n − k) (Clopper and Pearson 1934). A class that was not seen
is one whose share is below 1 − (a/2)^{1/n}, and not zero.

With d(x) for the distance of a point to the nearest point of the training set, a model that generalises has E d under
p̂ as large as under new data, and one that copies has none of it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.stats import beta
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.pipelines.course import Interval

_ROWS = 1000


class ClassShare(NamedTuple):
    """Share of a class under the data and in a generation.

    Args:
        data, sample: the share, with an interval.

    >>> print(ClassShare(Interval(0.1, 0.08, 0.12), Interval(0.02, 0.01, 0.03)).sample)
    0.02 (0.01 to 0.03)
    """

    data: Interval
    sample: Interval

    @property
    def moved(self) -> bool:
        """Whether the intervals have nothing in common."""
        return self.sample.high < self.data.low or self.sample.low > self.data.high


def class_shares(data: Tensor, sample: Tensor, *, classes: int, within: float = 0.95) -> list[ClassShare]:
    """Share of every class, or mode, under the data and in a generation.

    Args:
        data: class of each of N points of the data, integers from 0 on, ``[N]``.
        sample: class of each of n points of the generation, told by the same classifier, ``[n]``.
        classes: K, their number.
        within: probability of each interval, in (0, 1).

    Returns:
        One for each class; the intervals hold at least as often as they say.

    Raises:
        ValueError: classes that are not integers from 0 to K − 1, no points, or numbers outside their range.

    >>> known, seen = torch.tensor([0] * 500 + [1] * 500), torch.tensor([0] * 990 + [1] * 10)
    >>> [str(one.sample) for one in class_shares(known, seen, classes=2)]
    ['0.99 (0.982 to 0.995)', '0.01 (0.00481 to 0.0183)']
    """
    classes = _checks.count("classes", classes)
    within = _checks.number("within", within, low=0.0, high=1.0, open_low=True)
    if within == 1:
        _checks.refuse("within", within, "an interval that is always right is all of [0, 1]")
    shares = []
    for name, told in (("data", data), ("sample", sample)):
        if not isinstance(told, Tensor) or told.ndim != 1 or told.is_floating_point() or len(told) == 0:
            shown = (
                f"{told.dtype} {list(told.shape)}" if isinstance(told, Tensor) else f"a {type(told).__name__}"
            )
            _checks.refuse(name, shown, "pass the class of each point, integers [n]")
        if int(told.min()) < 0 or int(told.max()) >= classes:
            _checks.refuse(
                name, f"classes {int(told.min())} to {int(told.max())}", f"pass 0 to {classes - 1}"
            )
        shares.append(_intervals(torch.bincount(told, minlength=classes), len(told), 1 - within))
    return [ClassShare(*pair) for pair in zip(*shares, strict=True)]


def nearest_ratio(training: Tensor, sample: Tensor, held_out: Tensor) -> Estimate:
    """Distance of a generation to its training set, over that of data nobody trained on.

        E_{p̂} d/E_p d,      d(x) = min_j ‖x − x_j‖

    Args:
        training: the training set of the generation, ``[N, d]``: points or features.
        sample: n points of the generation, ``[n, d]``.
        held_out: k points of the data, in no training set, ``[k, d]``.

    Returns:
        Ratio: about one for a model that generalises, zero for one that hands out its training set; above one it makes
        what is far from all data. The error is that of sample and held-out points, for this training set.

    Raises:
        ValueError: points of other dimensions, fewer than two, or held-out points that are all in the training set.

    >>> g = torch.Generator().manual_seed(0)
    >>> training, new, held_out = (torch.randn(2000, 4, generator=g) for _ in range(3))
    >>> nearest_ratio(training, training[:500], held_out).value
    0.0
    >>> abs(nearest_ratio(training, new, held_out).sigmas_from(1)) < 5
    True
    """
    _checks.points("training", training)
    for name, points in (("sample", sample), ("held_out", held_out)):
        _checks.points(name, points, training.shape[1])
        if len(points) < 2:
            _checks.refuse(f"{name}.shape", list(points.shape), "pass two points or more")
    if len(training) == 0:
        _checks.refuse("training.shape", list(training.shape), "pass one point or more")
    known = training.detach().double()
    near, usual = (
        Estimate.from_samples(_nearest(known, one.detach().double())) for one in (sample, held_out)
    )
    if not usual.value > 0:
        _checks.refuse("held_out", "all of it is in the training set", "pass data that nobody trained on")
    ratio = near.value / usual.value
    return Estimate(ratio, (near.stderr**2 + (ratio * usual.stderr) ** 2) ** 0.5 / usual.value)


def _nearest(known: Tensor, points: Tensor) -> Tensor:
    """Distance of each point to the nearest known one, without the rounding of expanded squares."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cat(
        [torch.cdist(part, known, compute_mode=exact).min(1).values for part in points.split(_ROWS)]
    )


def _intervals(counts: Tensor, n: int, missed: float) -> list[Interval]:
    found = []
    for k in counts.tolist():
        low = float(beta.ppf(missed / 2, k, n - k + 1)) if k else 0.0
        high = float(beta.ppf(1 - missed / 2, k + 1, n - k)) if k < n else 1.0
        found.append(Interval(k / n, low, high))
    return found
