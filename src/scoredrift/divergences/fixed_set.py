"""Scalar products of deviations on one fixed good set 𝒢, from points of the data.

    ⟨δ_i, δ_j⟩_𝒢 = E_p[(p̂^i/p − 1)(p̂^j/p − 1) 1_𝒢],        𝒢 = {x: log p(x) ≥ edge}.

The set is the same for all generations, so that the recursion of deviations, its coherence and the
amplitude theorem hold in this scalar product as in any other, also where χ²(p̂^i‖p) is infinite.

Source: ours; good sets stand behind assumption A5 of arXiv 2602.16601, known to us in words.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.divergences.densities import Density
from scoredrift.estimates import Estimate


@_numerics.estimator
def fixed_set_gram(data: Density, models: Sequence[Density], points: Tensor, *, edge: float) -> Tensor:
    """Scalar products ⟨δ_i, δ_j⟩_𝒢 of the deviations on the set {log p ≥ edge}.

    All are means over the same points, so that they are the scalar products of a (semi-definite) form
    exactly, whatever the number of points: ``steps`` and ``contributions`` take them.

    Args:
        data: p.
        models: p̂^0, …, p̂^N.
        points: points of p, shape ``[n, d]``.
        edge: smallest log p in the set, in nats.

    Returns:
        Matrix ``[N + 1, N + 1]``, float64.

    Raises:
        ValueError: no models, no point inside the set, log-densities that are NaN or of another shape.

    >>> from scoredrift.laws import mixture_of_three
    >>> p = mixture_of_three()
    >>> x = p.sample(1000, generator=torch.Generator().manual_seed(0))
    >>> fixed_set_gram(p, [p, p.blur(0.1)], x, edge=-5.0).shape
    torch.Size([2, 2])
    """
    _checks.listed("models", models)
    if len(models) == 0:
        _checks.refuse("models", "none", "pass at least one law")
    deltas = torch.stack([_deviation(data, model, points, edge) for model in models])
    return deltas @ deltas.T / len(points)


@_numerics.estimator
def fixed_set_chi2(data: Density, model: Density, points: Tensor, *, edge: float) -> Estimate:
    """Drift ‖δ‖²_𝒢 = E_p[(p̂/p − 1)² 1_𝒢] on the set {log p ≥ edge}, with its standard error.

    Args:
        data: p.
        model: p̂.
        points: points of p, shape ``[n, d]``, n ≥ 2.
        edge: smallest log p in the set, in nats.

    Returns:
        Estimate, without unit.

    Raises:
        ValueError: as for ``fixed_set_gram``.

    >>> from scoredrift.laws import mixture_of_three
    >>> p = mixture_of_three()
    >>> x = p.sample(1000, generator=torch.Generator().manual_seed(0))
    >>> fixed_set_chi2(p, p, x, edge=-5.0).value
    0.0
    """
    return Estimate.from_samples(_deviation(data, model, points, edge).square())


def _deviation(data: Density, model: Density, points: Tensor, edge: float) -> Tensor:
    """δ 1_𝒢 at the points, ``[n]``, float64."""
    _checks.points("points", points)
    if len(points) == 0:
        _checks.refuse("points.shape", list(points.shape), "pass one or more points")
    edge = _checks.number("edge", edge)
    for name, law in (("data", data), ("model", model)):
        _checks.able(name, law, "log_density")
    log_p = _checks.shape("data.log_density(x)", data.log_density(points), [len(points)]).double()
    inside = log_p >= edge
    if not bool(inside.any()):
        _checks.refuse("edge", edge, f"no point is inside; the largest log p is {float(log_p.max()):.4g}")
    found = model.log_density(points[inside])
    found = _checks.shape("model.log_density(x)", found, [int(inside.sum())]).double()
    for name, logs in (("data", log_p), ("model", found)):
        if bool((torch.isnan(logs) | (logs == torch.inf)).any()):
            wrong = "NaN" if bool(torch.isnan(logs).any()) else "∞"
            _checks.refuse(f"{name}.log_density(x)", wrong, "return numbers, or −∞ for a density of zero")
    delta = torch.zeros_like(log_p)
    delta[inside] = torch.expm1(found - log_p[inside])
    return delta
