"""The recursion of deviations from samples alone, as seen by a set of features.

The deviation p̂ − p and the error p̂' − q add up in any linear view of them. With features φ: R^d → R^m
and the covariance Σ of φ under the data,

    δ = Σ^{−1/2} (E_{p̂} φ − E_p φ),      w = Σ^{−1/2} (E_{p̂'} φ − α E_p φ − (1 − α) E_{p̂} φ),

    δ' = (1 − α) δ + w,      ‖δ'‖² = (1 − α)² ‖δ‖² + ‖w‖² + 2 (1 − α) δ·w

hold exactly. ‖δ‖² is the squared length of the projection of p̂/p − 1 on the span of the centred features
in L²(p), so that

    ‖δ‖² = max_f (E_{p̂} f − E_p f)²/Var_p f ≤ D = χ²(p̂‖p),      f in the span of the features:

a lower bound that is finite where D is not. All averages are over samples, nothing else has to be known.

Source: ours; ‖δ‖² is the T² statistic of Hotelling (Ann. Math. Statist. 2(3), 360–378, 1931, doi
10.1214/aoms/1177732979) divided by the number of points.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate

_BLOCKS = 50
_FEWEST = 2 * _BLOCKS
_POINTS_PER_FEATURE = 10


class SampledStep(NamedTuple):
    """One generation's share in the deviation from the data, in the view of some features.

    Args:
        before: ‖δ‖², of the generation before; a lower bound on D.
        after: ‖δ'‖², of the new one.
        forcing: ‖w‖².
        cross: δ·w.
        coherence: cosine δ·w/(‖δ‖ ‖w‖); None where one of the two squares is less than five standard
            errors above zero, and a cosine means little. It can come out beyond ±1, as errors allow.

    >>> one = Estimate(1.0, 0.1)
    >>> SampledStep(one, one, one, one, None).coherence is None
    True
    """

    before: Estimate
    after: Estimate
    forcing: Estimate
    cross: Estimate
    coherence: Estimate | None


def step_from_samples(data: Tensor, model: Tensor, next_model: Tensor, *, alpha: float) -> SampledStep:
    """Recursion ‖δ'‖² = (1 − α)² ‖δ‖² + ‖w‖² + 2 (1 − α) δ·w of one generation, from features of samples.

    What chance adds to the square of a mean is taken off, so that a square can be negative.

    Args:
        data: features of points of p, shape ``[n, m]``, float32 or float64, with n ≥ 100 and n ≥ 10 m. In
            the simplest case the points themselves; for images the features of a network. The rows
            are independent draws, in any order: sorting by label does no harm, equal numbers of each do.
        model: features of points of p̂, ``[n', m]``.
        next_model: features of points of p̂', which was trained on q = α p + (1 − α) p̂, ``[n'', m]``. The
            three samples have to be independent: take points that nothing was trained on.
        alpha: fresh fraction α in (0, 1].

    Returns:
        SampledStep; standard errors, and what is taken off, by the jackknife over 50 blocks of each sample,
        which are formed at random, always alike for as many rows. They are first-order: what is left of the
        bias is of the order (m/n)², and a cosine close to ±1 scatters somewhat more than its standard error
        says.

    Raises:
        ValueError: α outside (0, 1], samples that do not fit each other or are not finite, too few points,
            a sample that is another one, or the same rows over and over, or features of the data that are
            constant or depend on each other linearly, also if they do so in all but a fiftieth of the points.

    >>> g = torch.Generator().manual_seed(0)
    >>> draw = lambda spread: spread * torch.randn(9000, 1, generator=g, dtype=torch.float64)
    >>> features = lambda x: torch.cat([x, x**2], dim=1)
    >>> step = step_from_samples(*(features(draw(s)) for s in (1.0, 1.3, 1.5)), alpha=0.5)
    >>> print(step.before, "for", round(0.5 * 0.69**2, 3), "and", step.coherence)
    0.235 ± 0.026 for 0.238 and 0.9992 ± 0.0028
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    _checks.points("data", data)
    samples = {"data": data, "model": model, "next_model": next_model}
    for name, sample in samples.items():
        _checks.points(name, sample, data.shape[1], like=data)
        fewest = max(_FEWEST, _POINTS_PER_FEATURE * sample.shape[1])
        if len(sample) < fewest or sample.shape[1] == 0:
            remedy = f"pass at least one feature, and {fewest} points: 100, and ten for each feature"
            _checks.refuse(f"{name}.shape", list(sample.shape), remedy)
    x = data.detach().double()
    spread = x.std(0)
    constant = int((spread <= 16 * torch.finfo(x.dtype).eps * x.abs().amax(0)).sum())
    if constant:
        _checks.refuse("data", f"{constant} constant features", "leave them out: they tell nothing")
    _not_copies(samples)
    views = [_shuffled((sample.detach().double() - x.mean(0)) / spread) for sample in samples.values()]
    found = [_moments(view) for view in views]
    factor = _factor(found[0][1])
    whole = _terms([mean for mean, _ in found], factor, alpha)[0]
    bias, variance = torch.zeros_like(whole), torch.zeros_like(whole)
    for k, view in enumerate(views):
        parts = [_moments(torch.cat([view[: one[0]], view[one[-1] + 1 :]])) for one in _blocks(view)]
        means = [torch.cat([part[0] for part in parts]) if i == k else found[i][0] for i in range(3)]
        factors = torch.stack([_factor(part[1]) for part in parts]) if k == 0 else factor
        without = _terms(means, factors, alpha)
        bias += (_BLOCKS - 1) * (without.mean(0) - whole)
        variance += without.var(0) * (_BLOCKS - 1) ** 2 / _BLOCKS
    pairs = zip((whole - bias).tolist(), variance.sqrt().tolist(), strict=True)
    before, after, forcing, cross, cosine = (Estimate(*pair) for pair in pairs)
    clear = all(square.value > 5 * square.stderr for square in (before, forcing))
    return SampledStep(before, after, forcing, cross, cosine if clear else None)


def _not_copies(samples: dict[str, Tensor]) -> None:
    """What chance adds is known for independent rows alone."""
    for name, sample in samples.items():
        _checks.no_copies(name, sample)
    for (name, sample), (other_name, other) in combinations(samples.items(), 2):
        if sample.shape == other.shape and bool((sample == other).all()):
            _checks.refuse(other_name, f"the points of {name}", "the three samples have to be independent")


def _shuffled(view: Tensor) -> Tensor:
    """The rows in an order that depends on their number alone, so that no block is all of one kind."""
    order = torch.randperm(len(view), generator=torch.Generator().manual_seed(len(view)))
    return view[order.to(view.device)]


def _blocks(view: Tensor) -> tuple[Tensor, ...]:
    return torch.arange(len(view), device=view.device).tensor_split(_BLOCKS)


def _moments(view: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``[1, m]`` and covariance ``[m, m]``, also of a single feature."""
    m = view.shape[1]
    return view.mean(0, keepdim=True), torch.cov(view.T).reshape(m, m)


def _factor(covariance: Tensor) -> Tensor:
    """Cholesky factor of a covariance of features that were scaled to one."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if bool(failed) or not bool((factor.diagonal() > 1e-6).all()):
        remedy = "leave features out that follow from others, and those that are hardly ever different"
        _checks.refuse("data", "features that depend on each other linearly", remedy)
    return factor


def _terms(means: list[Tensor], factor: Tensor, alpha: float) -> Tensor:
    """Columns ‖δ‖², ‖δ'‖², ‖w‖², δ·w, cosine: averages in the place of expectations, one row each."""
    x, y, z = means
    vectors = torch.stack(torch.broadcast_tensors(y - x, z - x, z - alpha * x - (1 - alpha) * y), dim=-1)
    seen = torch.linalg.solve_triangular(factor, vectors, upper=False)
    delta, after, w = seen.unbind(-1)
    squares = [one.square().sum(-1) for one in (delta, after, w)]
    cross = (delta * w).sum(-1)
    cosine = cross / (squares[0] * squares[2]).sqrt().clamp(min=torch.finfo(cross.dtype).tiny)
    return torch.stack([*squares, cross, cosine], dim=-1)
