"""Several runs of one experiment: what their scatter says, and what the draws within each say.

    mean over runs ± the larger of   sd over runs/√R   and   √(Σ_r se_r²)/R

With few runs the first is rough, and the second does not see what differs between runs; the larger of the
two errs on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates.means import Estimate


class Means(NamedTuple):
    """Means of many quantities, with their standard errors.

    Args:
        value: any shape, in any unit.
        stderr: same shape and unit.

    >>> Means(torch.tensor([2.0]), torch.tensor([0.1])).estimate(0)
    Estimate(value=2.0, stderr=0.10000000149011612)
    """

    value: Tensor
    stderr: Tensor

    def estimate(self, *index: int) -> Estimate:
        """One of them, as an estimate.

        Raises:
            ValueError: an index that is none, or values and errors that do not fit each other.
        """
        for name, part in zip(self._fields, self, strict=True):
            _checks.floating(name, part)
        if self.value.shape != self.stderr.shape or len(index) != self.value.ndim:
            remedy = (
                f"pass an index for each axis of values {list(self.value.shape)}, and errors of their shape"
            )
            _checks.refuse("stderr.shape", list(self.stderr.shape), remedy)
        for one, size in zip(index, self.value.shape, strict=True):
            if not -size <= _checks.count("index", one, least=-size) < size:
                _checks.refuse("index", one, f"pass an integer below {size}")
        return Estimate(float(self.value[index].detach()), float(self.stderr[index].detach()))


def over_runs(table: Tensor) -> Means:
    """Means over runs of quantities that were estimated in each run.

        mean over runs ± the larger of   sd over runs/√R   and   √(Σ_r se_r²)/R

    Runs count as independent. Exact numbers go in with the standard error zero.

    Args:
        table: values and standard errors, shape ``[runs, …, 2]`` (further columns are left out), as
            ``recurse`` stores estimates; at least two runs.

    Returns:
        Means, each of shape ``[…]``, float64; ``means.estimate(i, …)`` takes one out.

    Raises:
        ValueError: another shape, fewer than two runs, NaN, negative standard errors.

    >>> over_runs(torch.tensor([[[1.0, 0.1]], [[1.2, 0.1]]])).value
    tensor([1.1000], dtype=torch.float64)
    """
    _checks.floating("table", table)
    if table.ndim < 2 or table.shape[-1] < 2 or len(table) < 2:
        remedy = "pass values and standard errors of two or more runs, [runs, …, 2]"
        _checks.refuse("table.shape", list(table.shape), remedy)
    if bool((table[..., 1] < 0).any()):
        _checks.refuse("table[..., 1]", float(table[..., 1].min()), "standard errors are ≥ 0")
    values, errors = table[..., 0].double(), table[..., 1].double()
    between = values.std(0) / math.sqrt(len(values))
    within = errors.square().mean(0).sqrt() / math.sqrt(len(values))
    return Means(values.mean(0), torch.maximum(between, within))


def jackknife(of: Callable[[Tensor], float], runs: int) -> Estimate:
    """A number that is computed from independent runs, with its error by leaving out one run at a time.

        se² = (R − 1)/R Σ_r (θ_r − θ̄)²,        θ_r the number from all runs but r.

    Args:
        of: the number θ from the runs with given indices, ``[k]``.
        runs: R ≥ 3.

    Returns:
        Estimate of θ; for a mean its error is the usual one, sd/√R.

    Raises:
        ValueError: fewer than three runs, or a number that is not finite.

    Source: Tukey 1958 (Ann. Math. Statist. 29, 614).

    >>> x = torch.tensor([1.0, 2.0, 4.0, 9.0])
    >>> print(jackknife(lambda kept: float(x[kept].mean()), 4), Estimate.from_samples(x))
    4.0 ± 1.8 4.0 ± 1.8
    """
    runs = _checks.count("runs", runs, least=3)
    everyone = torch.arange(runs)
    found = [_checks.number("of(runs)", of(everyone[everyone != run])) for run in range(runs)]
    without = torch.tensor(found, dtype=torch.float64)
    error = math.sqrt((runs - 1) / runs * float((without - without.mean()).square().sum()))
    return Estimate(_checks.number("of(runs)", of(everyone)), error)
