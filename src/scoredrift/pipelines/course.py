"""The course of a pipeline: what one run tells of its bias, its noise, and where it is going.

In the view of m whitened features a generation adds w_i = δ_i − (1−α) δ_{i−1}, with δ_{−1} = 0, to what it inherits. If
w_i = b + noise, independent from one generation to the next,

    E w_i·w_j = ‖b‖²,  i ≠ j,        E‖w_i‖² = ‖b‖² + E‖noise‖²,

so that a single run tells bias from noise: what generations add has a common part or not. And with k = (1−α)^{N−G} of
the deviation of the last generation left in generation N,

    E D_N = ‖k δ_G + (1−k) b/α‖² + (1−k²) E‖noise‖²/(α (2−α)).

Deviations come from samples. Their chance is taken out of all products: c_i = tr C_i/n_i of the sample of generation i,
which is in w_i and, times −(1−α), in w_{i+1}; and m/N of the data, which is in all of them. Where the points that are
seen are those that the next generation was trained on (``reused``), what they are off by is handed on, in
w_{i+1} = (1−α) chance + …, and what is seen of w_{i+1} is without it: there (1−α)² c_i is not taken out but put back.

Errors are those of the samples, by leaving out blocks of all of them in turn, and those of the few generations, by
leaving out one w at a time. An interval for D_N has in it that future noise is random, too; the noise is taken to be
the same in all directions of the whitened features, as that of a finite sample is.

Source: ours. For several runs with seeds of their own there are ``bias_of_repeats`` and ``response_forecast``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from scipy.stats import t as student
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.generations import BiasAndNoise

_BLOCKS = 20


class Interval(NamedTuple):
    """A forecast with the ends of an interval.

    Args:
        value: what is expected.
        low, high: ends of the interval.

    >>> print(Interval(1.0, 0.5, 2.0))
    1 (0.5 to 2)
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, eq=False)
class Course:
    """Deviations of the generations of one run.

    Made by ``Course.of``.

    Args:
        products: w_i·w_j without the chance of the samples: of all points, and with each block left out,
            ``[1 + blocks, G + 1, G + 1]``.
        alpha: fresh fraction.
        features: m.

    >>> g = torch.Generator().manual_seed(0)
    >>> def sample(shift): return torch.randn(4000, 5, generator=g, dtype=torch.float64) + shift
    >>> course = Course.of(sample(0), [sample(0.3), sample(0.45), sample(0.525)], alpha=0.5)  # b = 0.3 in each
    >>> abs(course.drift(0).sigmas_from(5 * 0.09)) < 5, abs(course.parts.bias.sigmas_from(5 * 0.09)) < 5
    (True, True)
    """

    products: Tensor = field(repr=False)
    alpha: float
    features: int

    @classmethod
    def of(cls, data: Tensor, generations: Sequence[Tensor], *, alpha: float, reused: bool = False) -> Course:
        """The course from features of samples.

        Args:
            data: features of N points of the data, ``[N, m]``, on which no generation was trained.
            generations: features of points of generation 0, 1, …, each ``[n, m]``. Generation 0 was trained on data
                alone.
            alpha: fresh fraction α in (0, 1].
            reused: whether these are the points of which the next generation was trained on a share 1 − α, and not
                others that were drawn for this purpose.

        Raises:
            ValueError: α outside (0, 1], no generation, samples that are too small or of another number of features,
                features that are not finite, constant or depend on each other.
        """
        alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
        if not isinstance(generations, Sequence) or not generations:
            _checks.refuse("generations", f"{len(generations)} samples", "pass one for each generation")
        samples = [_sample("data", data, None)]
        m = samples[0].shape[1]
        samples += [_sample(f"generations[{i}]", x, m) for i, x in enumerate(generations)]
        factor, broken = torch.linalg.cholesky_ex(torch.cov(samples[0].T).reshape(m, m))
        if int(broken) or float(factor.diagonal().min()) <= 1e-7 * float(factor.diagonal().max()):
            _checks.refuse("data", f"{m} features", "some are constant or depend on others: leave them out")
        centre = samples[0].mean(0)
        white = [torch.linalg.solve_triangular(factor, (x - centre).T, upper=False).T for x in samples]
        blocks = [x[: len(x) - len(x) % _BLOCKS].reshape(-1, _BLOCKS, m) for x in white]  # every 20th point
        means, chances = [], []
        for left_out in (None, *range(_BLOCKS)):
            kept = [i for i in range(_BLOCKS) if i != left_out]
            some = [x[:, kept].reshape(-1, m) for x in blocks]
            means.append(torch.stack([x.mean(0) for x in some]))
            chances.append(torch.stack([x.var(0).sum() / len(x) for x in some]))
        found = [_products(x, c, alpha, reused) for x, c in zip(means, chances, strict=True)]
        return cls(torch.stack(found), alpha, m)

    @property
    def last(self) -> int:
        """G, the last generation."""
        return self.products.shape[1] - 1

    def drift(self, generation: int) -> Estimate:
        """D_i = ‖δ_i‖² of a generation; by chance it can come out below zero.

        Args:
            generation: i, from 0 to the last one.
        """
        i = _checks.count("generation", generation, least=0)
        if i > self.last:
            _checks.refuse("generation", i, f"the last one is {self.last}")
        weights = (1 - self.alpha) ** torch.arange(i, -1, -1, dtype=torch.float64)
        weights = torch.cat([weights, torch.zeros(self.last - i, dtype=torch.float64)])
        values = torch.einsum("i,bij,j->b", weights, self.products, weights)
        return Estimate(float(values[0]), _left_out(values[1:]))

    @property
    def parts(self) -> BiasAndNoise:
        """‖b‖² and E‖noise‖² from two generations or more.

        Raises:
            ValueError: one generation, in which bias and noise cannot be told apart.
        """
        if self.last < 1:
            _checks.refuse("generations", 1, "bias and noise are told apart by two or more")
        return BiasAndNoise(
            self._with_errors(lambda q, kept: _moments(q, kept, self.alpha).bias),
            self._with_errors(lambda q, kept: _moments(q, kept, self.alpha).noise),
        )

    def forecast(self, generation: int, *, alpha: float | None = None, within: float = 0.9) -> Interval:
        """Drift of a later generation, or of any under another fresh fraction.

        Args:
            generation: N; later than the last one, unless α differs.
            alpha: another fresh fraction, under which a run begins anew; None for that of the run.
            within: probability of the interval, in (0, 1).

        Returns:
            Interval of D_N itself, not of its mean. As an estimate without a bias the value can come out below zero;
            the interval does not.

        Raises:
            ValueError: fewer than three generations, one that has been, or numbers outside their range.
        """
        n = _checks.count("generation", generation, least=0)
        within = _checks.number("within", within, low=0.0, high=1.0, open_low=True)
        if self.last < 2:
            _checks.refuse("generations", self.last + 1, "a forecast needs three or more")
        other = self.alpha
        if alpha is not None:
            other = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
        anew = not math.isclose(other, self.alpha)
        if not anew and n <= self.last:
            _checks.refuse("generation", n, f"it has been; pass one after {self.last}, or another alpha")

        def ahead(q: Tensor, kept: Sequence[int]) -> tuple[float, float]:
            """Square of what is expected of δ_N, and the scatter about it."""
            found = _moments(q, kept, self.alpha)
            left = (1 - other) ** (n + 1 if anew else n - self.last)
            gone = (1 - left) / other
            scatter = found.noise * (1 - left**2) / (other * (2 - other))
            if anew:
                return gone**2 * found.bias, scatter
            return left**2 * found.drift + 2 * left * gone * found.along + gone**2 * found.bias, scatter

        mean = self._with_errors(lambda q, kept: sum(ahead(q, kept)))
        straight, scatter = (max(part, 0.0) for part in ahead(self.products[0], range(self.last + 1)))
        by_chance = math.sqrt((4 * straight * scatter + 2 * scatter**2) / self.features)
        error = math.hypot(mean.stderr, by_chance) * float(student.ppf(0.5 + within / 2, self.last))
        if mean.value > error:  # errors of a size multiply
            factor = math.exp(error / mean.value)
            return Interval(mean.value, mean.value / factor, mean.value * factor)
        return Interval(mean.value, 0.0, max(mean.value, 0.0) + error * math.e)

    def _with_errors(self, of: Callable[[Tensor, Sequence[int]], float]) -> Estimate:
        """A number from products and the w that count, with the errors of samples and of generations."""
        everyone = range(self.last + 1)
        values = torch.tensor([of(q, everyone) for q in self.products], dtype=torch.float64)
        error = _left_out(values[1:])
        if self.last >= 2:
            others = [[i for i in everyone if i != j] for j in everyone]
            without = [of(self.products[0], kept) for kept in others]
            error = math.hypot(error, _left_out(torch.tensor(without, dtype=torch.float64)))
        return Estimate(float(values[0]), error)


class _Moments(NamedTuple):
    """‖δ_G‖², δ_G·b, ‖b‖² and E‖noise‖²."""

    drift: float
    along: float
    bias: float
    noise: float


def _moments(products: Tensor, kept: Sequence[int], alpha: float) -> _Moments:
    """From w_i·w_j, with bias and noise from some of the w alone; no square of a w stands for a bias."""
    count = len(products)
    weights = (1 - alpha) ** torch.arange(count - 1, -1, -1, dtype=torch.float64)
    drift = float(weights @ products @ weights)
    chosen = torch.zeros(count, count, dtype=torch.float64)
    chosen[:, list(kept)] = 1.0  # column: which w stands for b
    chosen.fill_diagonal_(0.0)
    along = float(weights @ ((products * chosen).sum(1) / chosen.sum(1)))
    inner = products[list(kept)][:, list(kept)]
    trace = float(inner.trace())
    bias = (float(inner.sum()) - trace) / (len(kept) * (len(kept) - 1))
    return _Moments(drift, along, bias, trace / len(kept) - bias)


def _products(means: Tensor, chances: Tensor, alpha: float, reused: bool) -> Tensor:
    """w_i·w_j from whitened means of data and generations, ``[G + 2, m]``, without their chance."""
    deviations = means[1:] - means[0]
    count = len(deviations)
    onward = torch.eye(count, dtype=torch.float64)  # w = onward δ
    onward[range(1, count), range(count - 1)] = alpha - 1
    w = onward @ deviations
    data = onward.sum(1)  # the mean of the data is in w_i so many times
    if reused:
        chance = torch.diag(chances[1:])
        chance.diagonal()[1:] -= (1 - alpha) ** 2 * chances[1:-1]
    else:
        chance = onward @ torch.diag(chances[1:]) @ onward.T
    return w @ w.T - chance - chances[0] * torch.outer(data, data)


def _left_out(values: Tensor) -> float:
    """Standard error from values with one part left out each."""
    return math.sqrt((len(values) - 1) / len(values) * float((values - values.mean()).square().sum()))


def _sample(name: str, value: Tensor, features: int | None) -> Tensor:
    """Finite features ``[n, m]`` as float64, enough of them."""
    _checks.points(name, value, features)
    least = max(2 * _BLOCKS, 5 * value.shape[1])
    if len(value) < least:
        _checks.refuse(f"{name}.shape", list(value.shape), f"pass {least} points or more")
    if not _checks.holds(value.isfinite()):
        _checks.refuse(name, "not finite", "pass finite features")
    return value.detach().double()
