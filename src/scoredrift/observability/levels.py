"""An energy by the level of noise: the integrand of ε*² over time, in bins."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate


@dataclass(frozen=True, eq=False)
class EnergyByLevel:
    """An energy, or a difference of two, split by the level of noise.

    Args:
        edges: times t_0 < … < t_B, shape ``[B + 1]``, float64.
        levels: ∫ E‖e‖² dt over each [t_{b−1}, t_b], B estimates. They share their points, so that they are
            not independent of each other.
        total: their sum, with its own standard error.

    >>> import torch
    >>> found = EnergyByLevel(torch.tensor([1.0, 3.0]), (Estimate(4.0),), Estimate(4.0))
    >>> found.densities
    (Estimate(value=2.0, stderr=0.0),)
    """

    edges: Tensor = field(repr=False)
    levels: tuple[Estimate, ...]
    total: Estimate

    @classmethod
    def from_draws(cls, edges: Tensor, draws: Tensor) -> EnergyByLevel:
        """Means of draws that belong together, and of their sums.

        Args:
            edges: shape ``[B + 1]``.
            draws: of the integral over each level, shape ``[n, B]``; rows are independent.

        Returns:
            EnergyByLevel.

        Raises:
            ValueError: edges that do not increase, draws that do not fit them or are fewer than two.

        >>> import torch
        >>> EnergyByLevel.from_draws(torch.tensor([1.0, 2.0, 3.0]), torch.ones(5, 2)).total
        Estimate(value=2.0, stderr=0.0)
        """
        edges = _checks.increasing("edges", edges)
        _checks.points("draws", draws, len(edges) - 1)
        draws = draws.double()
        levels = tuple(Estimate.from_samples(column) for column in draws.T)
        return cls(edges, levels, Estimate.from_samples(draws.sum(1)))

    @property
    def densities(self) -> tuple[Estimate, ...]:
        """Mean of E‖e(X_t, t)‖² over each level, in inverse units of time."""
        widths = self.edges.double().diff().tolist()
        return tuple(one / width for one, width in zip(self.levels, widths, strict=True))
