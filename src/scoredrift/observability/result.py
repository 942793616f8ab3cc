"""What an estimator of observability returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate

NO_ENERGY = "the score error is zero wherever it was looked at, and η is 0 by convention"


@dataclass(frozen=True)
class Observability:
    """Energy, its visible part and their ratio, with what it cost to find out.

    Args:
        energy: ε*², score-error energy on ideal paths.
        visible: η ε*² = Var E[M | Y_{t0}].
        eta: η, estimated as the ratio of the two.
        evaluations: how often e and s* were evaluated at a point.
        seconds: time that it took.
        note: what a reader has to know; empty if there is nothing.

    >>> print(Observability(Estimate(2.0), Estimate(0.5), Estimate(0.25), 0, 0.0))
    η = 0.25 (ε*² = 2, visible 0.5)
    """

    energy: Estimate
    visible: Estimate
    eta: Estimate
    evaluations: int
    seconds: float
    note: str = ""

    @classmethod
    def from_draws(
        cls, energy: Tensor, visible: Tensor, *, evaluations: int, seconds: float
    ) -> Observability:
        """Means of paired draws and their ratio, with the standard error of a ratio (delta method).

            se(η) = sd(v_i − η e_i) / (√n ē)

        Args:
            energy: draws e_i ≥ 0 with mean ε*², shape ``[n]``.
            visible: draws v_i with mean η ε*², from the same points, shape ``[n]``.
            evaluations: evaluations of the error that they took.
            seconds: time that they took.

        Returns:
            Observability; zero energy gives η = 0, with a note.

        Raises:
            ValueError: fewer than two draws, shapes that differ, NaN or infinite draws.

        >>> import torch
        >>> e, v = torch.tensor([1.0, 3.0]), torch.tensor([0.5, 1.5])
        >>> Observability.from_draws(e, v, evaluations=4, seconds=0.0).eta
        Estimate(value=0.5, stderr=0.0)
        """
        for name, draws in (("energy", energy), ("visible", visible)):
            if not isinstance(draws, Tensor):
                _checks.refuse(name, f"a {type(draws).__name__}", "pass draws, shape [n]")
        if energy.shape != visible.shape:
            remedy = f"one number for each draw of the energy, {list(energy.shape)}"
            _checks.refuse("visible.shape", list(visible.shape), remedy)
        total, seen = Estimate.from_samples(energy), Estimate.from_samples(visible)
        if bool((energy < 0).any()):
            _checks.refuse("energy", float(energy.detach().min()), "draws of the energy are ≥ 0")
        if total.value == 0:
            return cls(total, seen, Estimate(0.0), evaluations, seconds, NO_ENERGY)
        eta = seen.value / total.value
        spread = Estimate.from_samples(visible.double() - eta * energy.double()).stderr
        return cls(total, seen, Estimate(eta, spread / total.value), evaluations, seconds)

    def __str__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return f"η = {self.eta} (ε*² = {self.energy}, visible {self.visible}{note})"
