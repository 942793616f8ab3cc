"""Where in the view of features a generation has left the data.

    z_k = (E_{p̂} φ_k − E_p φ_k)/√Var_p φ_k

is the deviation of one feature in units of the data, and z_k² a lower bound of χ²(p̂‖p), as D is. The features are not
whitened: whoever looks for the place of a drift wants to see features that have a name.
"""

from __future__ import annotations

from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate


def feature_shifts(data: Tensor, sample: Tensor) -> list[Estimate]:
    """Standardised deviation of each feature.

    Args:
        data: features of N points of the data, ``[N, m]``.
        sample: features of n points of a generation, ``[n, m]``.

    Returns:
        z_1, …, z_m, each with the error of both samples; that of the unit is of second order.

    Raises:
        ValueError: fewer than two points, other numbers of features, features that are not finite, or constant under
            the data.

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> data, sample = (torch.randn(4000, 2, generator=g) for _ in range(2))
    >>> first, second = feature_shifts(data, sample + torch.tensor([0.5, 0.0]))
    >>> abs(first.sigmas_from(0.5)) < 5, abs(second.sigmas_from(0)) < 5
    (True, True)
    """
    width = None
    for name, value in (("data", data), ("sample", sample)):
        _checks.points(name, value, width)
        width = value.shape[1]
        if len(value) < 2:
            _checks.refuse(f"{name}.shape", list(value.shape), "pass two points or more")
    known, seen = data.detach().double(), sample.detach().double()
    unit = known.std(0)
    if not bool((unit > 0).all()):
        _checks.refuse("data", f"feature {int(unit.argmin())} is constant", "leave it out")
    values = (seen.mean(0) - known.mean(0)) / unit
    errors = (seen.var(0) / unit.square() / len(seen) + 1 / len(known)).sqrt()
    return [Estimate(float(z), float(e)) for z, e in zip(values, errors, strict=True)]
