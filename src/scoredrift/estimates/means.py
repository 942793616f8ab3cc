"""A Monte Carlo number is an estimate with its standard error, from birth to print-out.

For independent draws f_1 … f_n of a quantity with mean μ,

    value = (1/n) Σ f_i,    stderr = √( Σ (f_i − value)² / (n (n−1)) ).

Whether the draws have a variance, so that the error means something, is told by the shape k̂ of their tail
(module ``tails``); an estimate carries it where it was examined. What is computed from estimates gets its
error to first order (the delta method), and the worst of their tails. Different estimates count as
independent; for two means over the same draws there is ``Estimate.ratio``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates.tails import FEWEST_IN_TAIL, tail_shape

# A quotient is taken only where its denominator is this many standard errors away from zero.
_CLEAR = 5.0

# Alignment and width of the whole text, then what both numbers are formatted with.
_SPEC = re.compile(
    r"(?P<align>(?:.?[<>^])?)(?P<sign>[+\- ]?)(?P<width>(?:[1-9]\d*)?)(?P<digits>[,_]?(?:\.\d+)?[eEfFgG%]?)"
)


@dataclass(frozen=True, repr=False)
class Estimate:
    """A number and its standard error; ``stderr = 0`` for a number that is exact.

    Arithmetic with numbers and with other estimates, which count as independent:

        se(a ± b)² = se_a² + se_b²,    se(a b)² = b² se_a² + a² se_b² + se_a² se_b²,
        se(a/b)² = (se_a² + (a/b)² se_b²)/b².

    There is no order: whether one estimate lies below another is asked with ``sigmas_from``.

    Args:
        value: the number, in any unit.
        stderr: its standard error ≥ 0, in the same unit.
        tail: shape k̂ of the tail of the draws, without unit; −∞ for draws without a tail, ∞ where the mean
            rests on too few draws to fit one (see ``tail_shape``); None where no tail was examined.

    Raises:
        ValueError: anything but real numbers; a standard error that is negative or NaN; a tail that is NaN;
            a denominator within five standard errors of zero.

    >>> a = Estimate(1.0, 0.03)
    >>> b = Estimate(2.0, 0.04)
    >>> print(a + b, a * b, a / b, sep=", ")
    3.000 ± 0.050, 2.000 ± 0.072, 0.500 ± 0.018
    >>> print(f"{0.5 * a:.4f} or {a:>14}")
    0.5000 ± 0.0150 or  1.000 ± 0.030
    >>> print(Estimate(2.1, 0.4, tail=0.81))
    2.10 ± 0.40 (not trusted: the tail k̂ = 0.81 says that the variance is infinite)
    """

    value: float
    stderr: float = 0.0
    tail: float | None = None

    # numpy's numbers and arrays leave the arithmetic to the methods below.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _real("value", self.value))
        object.__setattr__(self, "stderr", _real("stderr", self.stderr))
        if not self.stderr >= 0:
            _checks.refuse("stderr", self.stderr, "a standard error is a number ≥ 0")
        if self.tail is not None:
            object.__setattr__(self, "tail", _real("tail", self.tail))
            if math.isnan(self.tail):
                _checks.refuse("tail", self.tail, "pass the shape that tail_shape returns")

    @classmethod
    def from_samples(cls, samples: Tensor, *, check_tail: bool = False) -> Estimate:
        """Mean of independent draws, with its standard error.

        Args:
            samples: draws, shape ``[n]`` with n ≥ 2, float32 or float64.
            check_tail: whether to examine their tail, too, which takes n ≥ 100.

        Returns:
            Estimate in the unit of the draws; the sums are taken in float64, without gradients.

        Raises:
            ValueError: fewer than two draws (a hundred), another shape or dtype, NaN or infinite draws.

        >>> import torch
        >>> print(Estimate.from_samples(torch.tensor([1.0, 2.0, 3.0])))
        2.00 ± 0.58
        >>> draws = torch.rand(1000, generator=torch.Generator().manual_seed(0))
        >>> Estimate.from_samples(draws, check_tail=True).trusted
        True
        """
        draws = _draws("samples", samples)
        tail = tail_shape(samples) if check_tail else None
        if bool((draws == draws[0]).all()):  # no rounding error of their mean passed off as a spread
            return cls(float(draws[0]), 0.0, tail)
        largest = float(draws.abs().max())
        unit = 1.0 if 1e-100 < largest < 1e100 else largest  # no square under- or overflows
        draws = draws / unit
        return cls(unit * float(draws.mean()), unit * float(draws.std() / math.sqrt(draws.numel())), tail)

    @classmethod
    def ratio(cls, numerator: Tensor, denominator: Tensor, *, check_tail: bool = False) -> Estimate:
        """Quotient R = ā/b̄ of the means of two quantities that were measured on the same draws.

            se(R) = sd(a_i − R b_i) / (√n |b̄|)

        which knows their covariance. The bias of R is of the order 1/n.

        Args:
            numerator: a_i, shape ``[n]`` with n ≥ 2, float32 or float64.
            denominator: b_i of the same draws, shape ``[n]``.
            check_tail: whether to examine the tail of a_i − R b_i, which takes n ≥ 100.

        Returns:
            Estimate, in the unit of a/b.

        Raises:
            ValueError: draws as for ``from_samples``, shapes that differ, or a mean of the denominator
                within five standard errors of zero.

        >>> import torch
        >>> b = 1 + torch.rand(1000, generator=torch.Generator().manual_seed(0))
        >>> noise = 0.1 * torch.randn(1000, generator=torch.Generator().manual_seed(1))
        >>> print(Estimate.ratio(2 * b + noise, b))
        2.0006 ± 0.0022
        """
        a, b = _draws("numerator", numerator), _draws("denominator", denominator)
        if a.shape != b.shape:
            remedy = f"pass both quantities of the same draws, {list(a.shape)}"
            _checks.refuse("denominator.shape", list(b.shape), remedy)
        below = _clear_of_zero(cls.from_samples(b))
        quotient = cls.from_samples(a).value / below.value
        rest = cls.from_samples(a - quotient * b, check_tail=check_tail)
        return cls(quotient, rest.stderr / abs(below.value), rest.tail)

    @property
    def trusted(self) -> bool:
        """Whether k̂ < ½, so that the variance exists and the standard error means something.

        True, too, where no tail was examined. Pareto-smoothed importance sampling goes on to 0.7, where
        its *smoothed* mean is still of use. Here nothing is smoothed and a standard error is quoted,
        which needs the variance.

        >>> Estimate(2.1, 0.4, tail=0.6).trusted, Estimate(2.1, 0.4).trusted
        (False, True)
        """
        return self.tail is None or self.tail < 0.5

    @property
    def finite(self) -> bool:
        """Whether the value is finite and k̂ < 1, so that the mean exists.

        >>> Estimate(2.1, 0.4, tail=0.6).finite, Estimate(math.inf).finite
        (True, False)
        """
        return math.isfinite(self.value) and (self.tail is None or self.tail < 1.0)

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

    def sqrt(self) -> Estimate:
        """Square root of a quantity ≥ 0, with se(√a) = se_a/(2 √a).

        An estimate of such a quantity can come out below its error, or below zero. Then the root is taken
        at a = se_a, as √se_a ± ½ √se_a.

        Returns:
            Estimate, in the root of the unit.

        Raises:
            ValueError: a value more than five standard errors below zero, or NaN.

        >>> print(Estimate(4.0, 0.4).sqrt(), Estimate(-0.01, 0.04).sqrt(), sep=", ")
        2.00 ± 0.10, 0.20 ± 0.10
        """
        if not self.value >= -_CLEAR * self.stderr:
            _checks.refuse("value", self, "a root needs a number ≥ 0, as far as its standard error shows")
        if math.isinf(self.stderr):
            return Estimate(math.sqrt(max(self.value, 0.0)), math.inf, self.tail)
        middle = math.sqrt(max(self.value, self.stderr))
        return Estimate(middle, 0.5 * self.stderr / middle if self.stderr else 0.0, self.tail)

    def __add__(self, other: float | Estimate) -> Estimate:
        if other is self:
            return self * 2.0
        right = as_estimate(other)
        return Estimate(self.value + right.value, math.hypot(self.stderr, right.stderr), _worst(self, right))

    __radd__ = __add__

    def __mul__(self, factor: float | Estimate) -> Estimate:
        right = as_estimate(factor)
        errors = [
            _product(self.value, right.stderr),
            _product(right.value, self.stderr),
            _product(self.stderr, right.stderr),
        ]
        if factor is self:  # the square of a normal number has the variance 4 a² se² + 2 se⁴
            errors = [2 * errors[0], math.sqrt(2) * errors[2]]
        return Estimate(self.value * right.value, math.hypot(*errors), _worst(self, right))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Estimate) -> Estimate:
        below = _clear_of_zero(as_estimate(divisor))
        if divisor is self:
            return Estimate(1.0, 0.0, self.tail)
        quotient = self.value / below.value
        error = math.hypot(self.stderr, _product(quotient, below.stderr)) / abs(below.value)
        return Estimate(quotient, error, _worst(self, below))

    def __rtruediv__(self, dividend: float) -> Estimate:
        return as_estimate(dividend) / self

    def __neg__(self) -> Estimate:
        return self * -1.0

    def __abs__(self) -> Estimate:
        return -self if self.value < 0 else self

    def __sub__(self, other: float | Estimate) -> Estimate:
        if other is self:
            return Estimate(self.value - self.value, 0.0, self.tail)
        return self + (-as_estimate(other))

    def __rsub__(self, other: float | Estimate) -> Estimate:
        return -self + other

    def __repr__(self) -> str:
        tail = "" if self.tail is None else f", tail={self.tail!r}"
        return f"Estimate(value={self.value!r}, stderr={self.stderr!r}{tail})"

    def __str__(self) -> str:
        return self._numbers() + self._doubt()

    def __format__(self, spec: str) -> str:
        """As ``str``, or with digits for both numbers (``.3f``); width and alignment are those of the whole."""
        found = _SPEC.fullmatch(spec)
        if found is None:
            _checks.refuse("format", repr(spec), "use digits, width or both, as in .3f, >20 or >20.3f")
        sign, digits = found["sign"], found["digits"]
        text = self._numbers()
        if sign or digits:
            error = f" ± {self.stderr:{digits}}" if self.stderr else ""
            text = f"{self.value:{sign}{digits}}{error}"
        return f"{text + self._doubt():{found['align'] or '>'}{found['width']}}"

    def _numbers(self) -> str:
        """Value and error; two digits of the error decide how many of the value mean anything."""
        if self.stderr == 0 or not math.isfinite(self.value):
            return f"{self.value:.4g}"
        largest = max(abs(self.value), self.stderr)
        if math.isinf(self.stderr) or largest < 1e-290:
            return f"{self.value:.4g} ± {self.stderr:.2g}"
        decimals = 1 - math.floor(math.log10(self.stderr))
        if -3 < math.log10(largest) < 6 and decimals >= 0:
            return f"{self.value:.{decimals}f} ± {self.stderr:.{decimals}f}"
        power = math.floor(math.log10(largest))
        unit = 10.0**power
        places = max(decimals + power, 0)
        return f"({self.value / unit:.{places}f} ± {self.stderr / unit:.{places}f})e{power:+03d}"

    def _doubt(self) -> str:
        """Why the error is not to be trusted, where the tail says so."""
        if self.tail is None or self.trusted:
            return ""
        if math.isinf(self.value):
            reason = "a draw exceeds the range of numbers"
        elif math.isinf(self.tail):
            reason = f"the mean rests on fewer than {FEWEST_IN_TAIL} draws"
        else:
            missing = "variance" if self.finite else "mean"
            reason = f"the tail k̂ = {self.tail:.2f} says that the {missing} is infinite"
        return f" (not trusted: {reason})"


def as_estimate(value: float | Estimate) -> Estimate:
    """An exact number as an estimate without error; an estimate as it is.

    Args:
        value: number or estimate.

    Returns:
        Estimate.

    Raises:
        ValueError: anything else.

    >>> as_estimate(2)
    Estimate(value=2.0, stderr=0.0)
    """
    return value if isinstance(value, Estimate) else Estimate(value)


def _real(name: str, value: Any) -> float:
    """A number of any kind, also of numpy or torch, as a float."""
    number = value.detach() if isinstance(value, Tensor) else value
    try:
        if isinstance(number, str):
            raise TypeError
        return float(number)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        _checks.refuse(name, repr(value), "pass a real number")


def _draws(name: str, value: Tensor) -> Tensor:
    """Two or more draws, in float64 and without their gradients."""
    _checks.floating(name, value)
    if value.ndim != 1 or value.numel() < 2:
        _checks.refuse(f"{name}.shape", list(value.shape), "pass at least two draws, shape [n]")
    return value.detach().double()


def _clear_of_zero(denominator: Estimate) -> Estimate:
    if not abs(denominator.value) > _CLEAR * denominator.stderr:
        remedy = "a quotient needs a denominator that is five standard errors away from zero: take more draws"
        _checks.refuse("denominator", denominator, remedy)
    return denominator


def _product(factor: float, error: float) -> float:
    """Their product ≥ 0, and zero where one of them is, whatever the other."""
    return 0.0 if factor == 0 or error == 0 else abs(factor) * error


def _worst(left: Estimate, right: Estimate) -> float | None:
    """The heavier of two tails; None where none was examined."""
    return max((tail for tail in (left.tail, right.tail) if tail is not None), default=None)
