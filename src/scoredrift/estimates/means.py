"""A Monte Carlo number is an estimate with its standard error, from birth to print-out.

For independent draws f_1 … f_n of a quantity with mean μ,

    value = (1/n) Σ f_i,    stderr = √( Σ (f_i − value)² / (n (n−1)) ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from scoredrift import _checks


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error; ``stderr = 0`` for a number that is exact.

    Sums and differences treat the two estimates as independent.

    Args:
        value: the number, in any unit.
        stderr: its standard error ≥ 0, in the same unit.

    Raises:
        ValueError: a standard error that is negative or NaN.

    >>> a = Estimate(1.0, 0.03)
    >>> b = Estimate(2.0, 0.04)
    >>> print(a + b)
    3.000 ± 0.050
    >>> print(0.5 * a)
    0.500 ± 0.015
    """

    value: float
    stderr: float = 0.0

    def __post_init__(self) -> None:
        if not self.stderr >= 0:
            _checks.refuse("stderr", self.stderr, "a standard error is a number ≥ 0")

    @classmethod
    def from_samples(cls, samples: Tensor) -> Estimate:
        """Mean of independent draws, with its standard error.

        Args:
            samples: draws, shape ``[n]`` with n ≥ 2, float32 or float64.

        Returns:
            Estimate in the unit of the draws; the sums are taken in float64.

        Raises:
            ValueError: fewer than two draws, another shape or dtype, NaN or infinite draws.

        >>> import torch
        >>> print(Estimate.from_samples(torch.tensor([1.0, 2.0, 3.0])))
        2.00 ± 0.58
        """
        _checks.floating("samples", samples)
        if samples.ndim != 1 or samples.numel() < 2:
            _checks.refuse("samples.shape", list(samples.shape), "pass at least two draws, shape [n]")
        draws = samples.double()
        if bool((draws == draws[0]).all()):  # no rounding error of their mean passed off as a spread
            return cls(float(draws[0]))
        return cls(float(draws.mean()), float(draws.std() / math.sqrt(draws.numel())))

    def sigmas_from(self, reference: float | Estimate) -> float:
        """How many combined standard errors lie between this and ``reference`` (signed).

            (value − reference) / √(stderr² + stderr_ref²)

        Args:
            reference: number or independent estimate, in the same unit.

        Returns:
            The quotient; where both are exact, 0 if they agree and ±∞ if not.

        >>> Estimate(1.2, 0.1).sigmas_from(1.0)
        2.0
        """
        other = as_estimate(reference)
        gap, error = self.value - other.value, math.hypot(self.stderr, other.stderr)
        if error == 0:
            return 0.0 if gap == 0 else math.copysign(math.inf, gap)
        return round(gap / error, 12)

    def __add__(self, other: float | Estimate) -> Estimate:
        right = as_estimate(other)
        return Estimate(self.value + right.value, math.hypot(self.stderr, right.stderr))

    __radd__ = __add__

    def __mul__(self, factor: float) -> Estimate:
        return Estimate(self.value * factor, self.stderr * abs(factor))

    __rmul__ = __mul__

    def __neg__(self) -> Estimate:
        return self * -1.0

    def __sub__(self, other: float | Estimate) -> Estimate:
        return self + (-as_estimate(other))

    def __rsub__(self, other: float | Estimate) -> Estimate:
        return -self + other

    def __str__(self) -> str:
        if self.stderr == 0 or not math.isfinite(self.stderr):
            return f"{self.value:.4g}"
        # Two digits of the error decide how many digits of the value mean anything.
        decimals = 1 - math.floor(math.log10(self.stderr))
        if -3 < math.log10(max(abs(self.value), self.stderr)) < 6 and decimals >= 0:
            return f"{self.value:.{decimals}f} ± {self.stderr:.{decimals}f}"
        power = math.floor(math.log10(max(abs(self.value), self.stderr)))
        unit = 10.0**power
        places = max(decimals + power, 0)
        return f"({self.value / unit:.{places}f} ± {self.stderr / unit:.{places}f})e{power:+03d}"


def as_estimate(value: float | Estimate) -> Estimate:
    """An exact number as an estimate without error; an estimate as it is.

    Args:
        value: number or estimate.

    Returns:
        Estimate.

    >>> as_estimate(2)
    Estimate(value=2.0, stderr=0.0)
    """
    return value if isinstance(value, Estimate) else Estimate(float(value))
