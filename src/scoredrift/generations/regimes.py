"""Regimes: what the next generation is trained on.

    FreshFraction(α)   N points of q_i = α p + (1−α) p̂^i;
    Replace()          N points of p̂^i, the limit α → 0;
    Accumulate()       all that came before, and N points of p̂^i.

Each regime says it twice: for points, and for laws in the limit N → ∞. There the training law of
generation i + 1 is q_i = α p + (1−α) p̂^i, or p̂^i, or, with q_{−1} = p,

    q_i = ((i + 1) q_{i−1} + p̂^i)/(i + 2) = (p + p̂^0 + … + p̂^i)/(i + 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.laws import GaussianMixture


class Regime(Protocol):
    """Says what the next generation is trained on."""

    def training_set(
        self,
        fresh: Callable[[int], Tensor],
        drawn: Tensor,
        past: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """Training set of the next generation.

        Args:
            fresh: draws that many points of p.
            drawn: N points of the current model p̂^i.
            past: what the current model was trained on; None where a run is continued from its
                measurements and last points alone.
            generator: source of randomness.
        """

    def training_law(
        self, target: GaussianMixture, model: GaussianMixture, past: GaussianMixture, index: int
    ) -> GaussianMixture:
        """Law of that training set when N → ∞.

        Args:
            target: p.
            model: p̂^i.
            past: law that the current model was trained on.
            index: i.
        """


@dataclass(frozen=True)
class FreshFraction:
    """Train on N points of q = α p + (1−α) p̂; the number of fresh ones is Binomial(N, α).

    Args:
        alpha: fresh fraction α ∈ (0, 1].

    Raises:
        ValueError: α outside (0, 1].

    >>> FreshFraction(0.5)
    FreshFraction(alpha=0.5)
    """

    alpha: float

    def __post_init__(self) -> None:
        alpha = self.alpha
        if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < float(alpha) <= 1:
            _checks.refuse("alpha", repr(alpha), "pass a number in (0, 1]; for no fresh data use Replace()")

    def training_set(
        self,
        fresh: Callable[[int], Tensor],
        drawn: Tensor,
        past: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """Fresh points first, then points of the model; arguments as for ``Regime``."""
        n = len(drawn)
        coins = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
        k = int((coins < self.alpha).sum())
        return torch.cat([fresh(k), drawn[k:]]) if k else drawn

    def training_law(
        self, target: GaussianMixture, model: GaussianMixture, past: GaussianMixture, index: int
    ) -> GaussianMixture:
        """The blend α p + (1−α) p̂^i; arguments as for ``Regime``."""
        return target.blend(model, self.alpha)


@dataclass(frozen=True)
class Replace:
    """Train on N points of the current model and on nothing else.

    >>> Replace()
    Replace()
    """

    def training_set(
        self,
        fresh: Callable[[int], Tensor],
        drawn: Tensor,
        past: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """The points of the model; arguments as for ``Regime``."""
        return drawn

    def training_law(
        self, target: GaussianMixture, model: GaussianMixture, past: GaussianMixture, index: int
    ) -> GaussianMixture:
        """The law of the model; arguments as for ``Regime``."""
        return model


@dataclass(frozen=True)
class Accumulate:
    """Train on everything that came before, the first fresh points included, and N new points.

    >>> Accumulate()
    Accumulate()
    """

    def training_set(
        self,
        fresh: Callable[[int], Tensor],
        drawn: Tensor,
        past: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """Past and new points; arguments as for ``Regime``.

        Raises:
            ValueError: the past is not known.
        """
        if past is None:
            remedy = "accumulation needs all that came before; continue from checkpoints, by folder=…"
            _checks.refuse("past", None, remedy)
        return torch.cat([past, drawn])

    def training_law(
        self, target: GaussianMixture, model: GaussianMixture, past: GaussianMixture, index: int
    ) -> GaussianMixture:
        """The average of p and all models so far; arguments as for ``Regime``."""
        return past.blend(model, (index + 1) / (index + 2)).merge()
