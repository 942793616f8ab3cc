"""Regimes: what the next generation is trained on.

    FreshFraction(α)   N points of q_i = α p + (1−α) p̂^i;
    Selected(α, f, κ)  the same, but of the model's points only the share κ with the largest f(x);
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
from scoredrift.laws import Blend, GaussianMixture, Law


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

    def training_law(self, target: Law, model: Law, past: Law | None, index: int) -> Law:
        """Law of that training set when N → ∞: a mixture if all laws are mixtures, else a ``Blend``.

        Args:
            target: p.
            model: p̂^i.
            past: law that the current model was trained on; None where it is not known.
            index: i.
        """

    def shares(self, index: int) -> Tensor:
        """Shares of p̂^0, …, p̂^i in that law, ``[i + 1]``, float64; the rest is p's.

        Args:
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
        if getattr(alpha, "shape", None) == () and hasattr(alpha, "item"):  # of NumPy or torch
            alpha = alpha.item()
        if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 < alpha <= 1:
            remedy = "pass a number in (0, 1]; for no fresh data use Replace()"
            _checks.refuse("alpha", repr(self.alpha), remedy)
        object.__setattr__(self, "alpha", float(alpha))

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

    def training_law(self, target: Law, model: Law, past: Law | None, index: int) -> Law:
        """The blend α p + (1−α) p̂^i; arguments as for ``Regime``."""
        return _blend(target, model, self.alpha)

    def shares(self, index: int) -> Tensor:
        """1 − α for the last model; arguments as for ``Regime``."""
        return _of_the_last(index, 1 - self.alpha)


@dataclass(frozen=True)
class Selected(FreshFraction):
    """Fresh points and, of the model's N points, the share κ that somebody likes best, drawn with replacement.

    Which law that is depends on the quality, so that there is neither a ``training_law`` nor a forecast from shares.

    Args:
        alpha: fresh fraction α ∈ (0, 1].
        quality: f, of points ``[n, d]``, shape ``[n]``; the larger, the better.
        kept: κ ∈ (0, 1].

    Raises:
        ValueError: α or κ outside (0, 1]; later, a quality that is not one finite number for each point.

    >>> middle = Selected(0.5, lambda x: -x.square().sum(1), kept=0.1)
    >>> g = torch.Generator().manual_seed(0)
    >>> drawn = torch.randn(1000, 1, generator=g)
    >>> chosen = middle.training_set(lambda n: torch.full((n, 1), 9.0), drawn, None, generator=g)
    >>> bool((chosen[chosen < 9].abs() < 0.2).all())
    True
    """

    quality: Callable[[Tensor], Tensor]
    kept: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.quality):
            _checks.refuse("quality", repr(self.quality), "pass a function of points, [n, d] to [n]")
        kept = _checks.number("kept", self.kept, low=0.0, high=1.0, open_low=True)
        object.__setattr__(self, "kept", kept)

    def training_set(
        self,
        fresh: Callable[[int], Tensor],
        drawn: Tensor,
        past: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """Fresh points first, then chosen ones; arguments as for ``Regime``."""
        n, found = len(drawn), self.quality(drawn)
        if not isinstance(found, Tensor) or found.shape != (n,) or not _checks.holds(found.isfinite()):
            told = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
            _checks.refuse("quality(x)", told, f"return one finite number for each point, [{n}]")
        chosen = found.topk(max(1, round(self.kept * n))).indices
        best = drawn[chosen.sort().values]  # in their own order, which no rounding of the quality turns
        again = torch.randint(len(best), (n,), generator=generator, device=drawn.device)
        return super().training_set(fresh, best[again], past, generator=generator)

    def training_law(self, target: Law, model: Law, past: Law | None, index: int) -> Law:
        """Not known.

        Raises:
            ValueError: always.
        """
        _checks.refuse("regime", "Selected", "the law of points that were selected has no formula; draw them")

    def shares(self, index: int) -> Tensor:
        """Not known.

        Raises:
            ValueError: always.
        """
        _checks.refuse("regime", "Selected", "what was selected is no share of a model's law")


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

    def training_law(self, target: Law, model: Law, past: Law | None, index: int) -> Law:
        """The law of the model; arguments as for ``Regime``."""
        return model

    def shares(self, index: int) -> Tensor:
        """One for the last model; arguments as for ``Regime``."""
        return _of_the_last(index, 1.0)


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

    def earlier(self, training: Tensor, index: int, before: int) -> Tensor:
        """Training set of an earlier generation, which a later one contains.

        Args:
            training: training set of generation ``index``, shape ``[(index + 1) N, d]``.
            index: of a generation.
            before: of one before it.
        """
        size = len(training) // (index + 1)
        return training[: (before + 1) * size]

    def training_law(self, target: Law, model: Law, past: Law | None, index: int) -> Law:
        """The average of p and all models so far; arguments as for ``Regime``.

        Raises:
            ValueError: the law of the past is not known.
        """
        if past is None:
            _checks.refuse("past", None, "pass the law that the current model was trained on")
        share = (index + 1) / (index + 2)
        if isinstance(past, GaussianMixture) and isinstance(model, GaussianMixture):
            return past.blend(model, share).merge()
        if isinstance(past, Blend) and tuple(past.weights) == (1 / (index + 1),) * (index + 1):
            return Blend(
                (1 / (index + 2),) * (index + 2), (*past.laws, model)
            )  # one blend, not one in another
        return _blend(past, model, share)

    def shares(self, index: int) -> Tensor:
        """1/(i + 2) for each model; arguments as for ``Regime``."""
        return torch.full((index + 1,), 1 / (index + 2), dtype=torch.float64)


def law_of_training(regime: Regime, target: Law, model: Callable[[int], Law], index: int) -> Law:
    """Law that generation ``index`` is trained on, from the models before it.

    Args:
        regime: what each generation is trained on.
        target: p.
        model: p̂^i as a function of i < index; only ``Accumulate`` asks for more than the last.
        index: ≥ 0; generation 0 is trained on the target.

    >>> from scoredrift.laws import mixture_of_five
    >>> p = mixture_of_five()
    >>> q = law_of_training(Accumulate(), p, lambda i: p.blur(0.5 + i), 3)
    >>> q.weights.reshape(4, 5).sum(1)  # p and three models, a quarter each
    tensor([0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    index = _checks.count("index", index, least=0)
    _checks.able("regime", regime, "training_law")
    past: Law | None = target if index <= 1 else None
    if isinstance(regime, Accumulate):
        past = target
        for earlier in range(index - 1):
            past = regime.training_law(target, model(earlier), past, earlier)
    return regime.training_law(target, model(index - 1), past, index - 1) if index else target


def _of_the_last(index: int, share: float) -> Tensor:
    shares = torch.zeros(index + 1, dtype=torch.float64)
    shares[-1] = share
    return shares


def _blend(first: Law, second: Law, share: float) -> Law:
    if isinstance(first, GaussianMixture) and isinstance(second, GaussianMixture):
        return first.blend(second, share)
    for law in (first, second):
        if share < 1 and not hasattr(law, "at"):
            remedy = "blending densities needs laws that have one; this one only draws points"
            _checks.refuse("law", type(law).__name__, remedy)
    return first if share == 1 else Blend((share, 1 - share), (first, second))
