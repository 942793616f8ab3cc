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

from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate

_BLOCKS = 50
_FEWEST = 2 * _BLOCKS


class SampledStep(NamedTuple):
    """One generation's share in the deviation from the data, in the view of some features.

    Args:
        before: ‖δ‖², of the generation before; a lower bound on D.
        after: ‖δ'‖², of the new one.
        forcing: ‖w‖².
        cross: δ·w.
        coherence: cosine δ·w/(‖δ‖ ‖w‖); None where one of the two squares is less than five standard
            errors above zero, and a cosine means little.

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
        data: features of points of p, shape ``[n, m]``, float32 or float64, with n above m
            and 100. In the simplest case
            the points themselves; for images the features of a network.
        model: features of points of p̂, ``[n', m]``.
        next_model: features of points of p̂', which was trained on q = α p + (1 − α) p̂, ``[n'', m]``. The
            three samples have to be independent: take points that nothing was trained on.
        alpha: fresh fraction α in (0, 1].

    Returns:
        SampledStep; standard errors, and what is taken off, by the jackknife over 50 blocks of each sample.

    Raises:
        ValueError: α outside (0, 1], samples that do not fit each other or are not finite, fewer than
            100 points, or features of the data that depend on each other linearly (also if n ≤ m).

    >>> g = torch.Generator().manual_seed(0)
    >>> draw = lambda spread: spread * torch.randn(9000, 1, generator=g, dtype=torch.float64)
    >>> features = lambda x: torch.cat([x, x**2], dim=1)
    >>> step = step_from_samples(*(features(draw(s)) for s in (1.0, 1.3, 1.5)), alpha=0.5)
    >>> print(step.before, "for", round(0.5 * 0.69**2, 3), "and", step.coherence)
    0.235 ± 0.024 for 0.238 and 0.9992 ± 0.0028
    """
    _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    _checks.points("data", data)
    samples = {"data": data, "model": model, "next_model": next_model}
    for name, sample in samples.items():
        _checks.points(name, sample, data.shape[1], like=data)
        if len(sample) < _FEWEST or sample.shape[1] == 0:
            remedy = f"pass at least {_FEWEST} points and one feature"
            _checks.refuse(f"{name}.shape", list(sample.shape), remedy)
    centre = data.double().mean(0)
    views = [sample.double() - centre for sample in samples.values()]
    variances = torch.linalg.eigvalsh(_covariance(views[0]))
    if not bool(variances[0] > 1e-12 * variances[-1]):
        wrong = f"features with variances from {float(variances[0]):.3g} to {float(variances[-1]):.3g}"
        remedy = "they depend on each other linearly: leave some out, or pass more points"
        _checks.refuse("data", wrong, remedy)
    whole = _terms([view.mean(0) for view in views], _covariance(views[0]), alpha)
    bias, spread = torch.zeros_like(whole), torch.zeros_like(whole)
    for k, view in enumerate(views):
        rows = []
        for block in torch.arange(len(view), device=view.device).tensor_split(_BLOCKS):
            kept = torch.cat([view[: block[0]], view[block[-1] + 1 :]])
            means = [(kept if i == k else other).mean(0) for i, other in enumerate(views)]
            rows.append(_terms(means, _covariance(kept if k == 0 else views[0]), alpha))
        without = torch.stack(rows)
        bias += (_BLOCKS - 1) * (without.mean(0) - whole)
        spread += without.var(0) * (_BLOCKS - 1) ** 2 / _BLOCKS
    found = (whole - bias).tolist(), spread.sqrt().tolist()
    before, after, forcing, cross, cosine = (Estimate(*pair) for pair in zip(*found, strict=True))
    clear = all(square.value > 5 * square.stderr for square in (before, forcing))
    return SampledStep(before, after, forcing, cross, cosine if clear else None)


def _covariance(points: Tensor) -> Tensor:
    """Covariance matrix, also of a single feature, ``[m, m]``."""
    return torch.cov(points.T).reshape(points.shape[1], points.shape[1])


def _terms(means: list[Tensor], covariance: Tensor, alpha: float) -> Tensor:
    """‖δ‖², ‖δ'‖², ‖w‖², δ·w and the cosine, with averages put in the place of expectations."""
    x, y, z = means
    vectors = torch.stack([y - x, z - x, z - alpha * x - (1 - alpha) * y], dim=1)
    products = vectors.T @ torch.linalg.solve(covariance, vectors)
    (before, after, forcing), cross = products.diagonal(), products[0, 2]
    cosine = cross / (before * forcing).sqrt().clamp(min=torch.finfo(cross.dtype).tiny)
    return torch.stack([before, after, forcing, cross, cosine])
