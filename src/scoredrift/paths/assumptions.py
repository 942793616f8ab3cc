"""The assumptions of the two-sided bounds, audited on the paths of a score error.

With Z = log dP̂/dP* and ⟨M⟩ = ∫ ‖e‖² dt along a path, the paper (arXiv 2602.16601) assumes

    A1  E_{P̂}⟨M⟩ = ε̂² < ∞;
    A2  E_{P*} e^Z = 1 (Novikov: E_{P*} e^{⟨M⟩/2} < ∞ suffices);
    A3  E_{P*} e^{(1+δ)Z} < ∞ for some δ > 1;
    A4  E_{P*}⟨M⟩^{2+γ} ≤ K ε*^{2(2+γ)} for some γ > max(2, 4/(δ − 1)),

A3 and A4 with constants that serve all late generations (known to us second-hand; the form of A4 is
inferred). These are statements on moments, and no finite number of draws proves that a moment exists. What
draws do show is the tail: if that of a positive variable has the Pareto shape k, the moment of order κ exists
for κ < 1/k. So δ < 1/k − 1 for the k of e^Z, and A3 says the same as k < ½: a log-ratio whose exponential
has a variance, χ²(P̂‖P*) < ∞, with something to spare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import FEWEST, Estimate, tail_shape

# Root-mean-square error of k̂ (module tails): closer to a threshold the draws do not tell.
_MARGIN = 0.1


class Finding(NamedTuple):
    """What the draws say about one assumption.

    Args:
        assumption: A1 to A4.
        holds: True or False as far as the draws show, which is not a proof; None where they cannot tell.
        reason: the numbers behind it, as a sentence.

    >>> print(Finding("A3", None, "k̂ of exp(Z) is 0.52"))
    A3 cannot tell: k̂ of exp(Z) is 0.52
    """

    assumption: str
    holds: bool | None
    reason: str

    def __str__(self) -> str:
        said = {
            True: "holds as far as the draws show",
            False: "meets draws that speak against it",
            None: "cannot tell",
        }[self.holds]
        return f"{self.assumption} {said}: {self.reason}"


@dataclass(frozen=True)
class Audit:
    """Moments behind the assumptions A1 to A4, with the tails that tell which can be believed.

    Args:
        learned: ε̂² on learned paths, or None if none were given.
        mean: E e^Z on ideal paths.
        novikov: E e^{⟨M⟩/2}, or None where it exceeds the range of numbers.
        energy: ε*² on ideal paths.
        bracket_ratio: E⟨M⟩²/ε*⁴, the constant K that the proofs need of A4 (γ = 0); at least one.
        bracket_tail: shape k̂ of the tail of ⟨M⟩.

    Raises:
        ValueError: a moment, other than the energy, whose tail was not examined.

    >>> from scoredrift.estimates import Estimate
    >>> sure = Estimate(1.0, 0.01, tail=0.2)
    >>> found = Audit(sure, sure, sure, Estimate(0.3), sure, bracket_tail=0.1)
    >>> found.delta, found.gamma
    (4.0, 2.0)
    >>> [finding.holds for finding in found.findings]
    [True, True, True, True]
    """

    learned: Estimate | None
    mean: Estimate
    novikov: Estimate | None
    energy: Estimate
    bracket_ratio: Estimate
    bracket_tail: float

    def __post_init__(self) -> None:
        for name in ("learned", "mean", "novikov", "bracket_ratio"):
            moment = getattr(self, name)
            if not (isinstance(moment, Estimate) or (moment is None and name in ("learned", "novikov"))):
                _checks.refuse(name, repr(moment), "pass an Estimate")
            if moment is not None and moment.tail is None:
                _checks.refuse(
                    name, moment, "examine the tail: Estimate.from_samples(draws, check_tail=True)"
                )
        shape = Estimate(0.0, tail=self.bracket_tail).tail  # which refuses what is no number
        if shape is None:
            _checks.refuse("bracket_tail", None, "pass the shape that tail_shape returns")
        object.__setattr__(self, "bracket_tail", shape)

    @property
    def delta(self) -> float:
        """Largest δ for which E e^{(1+δ)Z} seems to exist, 1/k̂ − 1; ∞ for k̂ ≤ 0."""
        return 1 / _tail(self.mean) - 1 if _tail(self.mean) > 0 else math.inf

    @property
    def gamma(self) -> float:
        """Threshold max(2, 4/(δ − 1)) that the γ of A4 has to exceed; ∞ for δ ≤ 1."""
        return max(2.0, 4 / (self.delta - 1)) if self.delta > 1 else math.inf

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the draws say about A1 (if learned paths were given) to A4.

        >>> from scoredrift.estimates import Estimate
        >>> heavy, light = (Estimate(1.0, 0.1, tail=k) for k in (0.8, 0.1))
        >>> found = Audit(None, heavy, light, Estimate(0.3), light, bracket_tail=0.1)
        >>> print(*found.findings[1:], sep="\\n")
        A3 meets draws that speak against it: exp(Z) has moments up to order 1/k̂ = 1.2, and more than 2 are needed
        A4 cannot tell: without A3 no γ is large enough
        """
        return (*self._first(), self._second(), self._third(), self._fourth())

    def _first(self) -> tuple[Finding, ...]:
        if self.learned is None:
            return ()
        holds = True if _tail(self.learned) < 1 - _MARGIN else None
        return (Finding("A1", holds, f"ε̂² = {self.learned}"),)

    def _second(self) -> Finding:
        mean = f"E exp(Z) = {self.mean}"
        if self.mean.trusted and not abs(self.mean.sigmas_from(1)) < 5:
            return Finding("A2", False, f"{mean}, not one")
        if self.novikov is not None and _tail(self.novikov) < 1 - _MARGIN:
            return Finding("A2", True, f"{mean}; Novikov's moment is {self.novikov}")
        return Finding("A2", True if self.mean.trusted else None, mean)

    def _third(self) -> Finding:
        k = _tail(self.mean)
        order = f"{1 / k:.2g}" if k > 0 else "∞"
        reason = f"exp(Z) has moments up to order 1/k̂ = {order}, and more than 2 are needed"
        if math.isinf(k) and k > 0:
            return Finding("A3", None, "the mean of exp(Z) rests on too few draws to see a tail")
        if abs(k - 0.5) <= _MARGIN:
            return Finding("A3", None, reason)
        return Finding("A3", k < 0.5, reason)

    def _fourth(self) -> Finding:
        if math.isinf(self.gamma):
            return Finding("A4", None, "without A3 no γ is large enough")
        order = 2 + self.gamma
        reason = f"γ > {self.gamma:.3g} calls for a moment of ⟨M⟩ of order {order:.3g}"
        exists = self.bracket_tail < (1 - _MARGIN) / order
        holds = True if exists and self._third().holds else None
        return Finding("A4", holds, f"{reason}; k̂ of ⟨M⟩ is {self.bracket_tail:.2g}")

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)


def _tail(moment: Estimate) -> float:
    assert moment.tail is not None  # as an Audit makes sure
    return moment.tail


def audit(log_ratios: Tensor, brackets: Tensor, *, learned: Tensor | None = None) -> Audit:
    """Audit of A1 to A4 from paths: the functional ``LogRatio`` records what is needed.

    Args:
        log_ratios: Z of each ideal path, shape ``[n]``, n ≥ 100. (For the score of a flow, Z is
            log(p̂/q) at the end of the path, up to the start.)
        brackets: ⟨M⟩ = ∫ ‖e‖² dt ≥ 0 of the same paths, shape ``[n]``.
        learned: ∫ ‖e‖² dt of learned paths, shape ``[m]``, m ≥ 100; without it A1 is left out.

    Returns:
        Audit. Where ⟨M⟩ is the same on all paths its tail is −∞, and all moments exist.

    Raises:
        ValueError: fewer than 100 draws, shapes that differ, NaN or infinite draws, negative brackets, an
            energy of zero, or an e^Z that exceeds the range of numbers.

    >>> import torch
    >>> z = 0.5 * torch.randn(4000, generator=torch.Generator().manual_seed(0)).double() - 0.125
    >>> print(audit(z, torch.full_like(z, 0.25)))  # a push on N(0, I): Z is normal, ⟨M⟩ constant
    A2 holds as far as the draws show: E exp(Z) = 0.9975 ± 0.0087; Novikov's moment is 1.133
    A3 holds as far as the draws show: exp(Z) has moments up to order 1/k̂ = 5.2, and more than 2 are needed
    A4 holds as far as the draws show: γ > 2 calls for a moment of ⟨M⟩ of order 4; k̂ of ⟨M⟩ is -inf
    """
    for name, draws in (("log_ratios", log_ratios), ("brackets", brackets), ("learned", learned)):
        if draws is None and name == "learned":
            continue
        draws = _checks.floating(name, draws)
        if draws.ndim != 1 or draws.numel() < FEWEST:
            _checks.refuse(f"{name}.shape", list(draws.shape), f"pass at least {FEWEST} paths, shape [n]")
        if draws is not log_ratios and bool((draws < 0).any()):
            _checks.refuse(name, float(draws.min()), "the integral of a square is not negative")
    if brackets.shape != log_ratios.shape:
        remedy = f"one number for each path, {list(log_ratios.shape)}"
        _checks.refuse("brackets.shape", list(brackets.shape), remedy)
    ratios = log_ratios.double().exp()
    if not _checks.finite(ratios):
        largest = float(log_ratios.max())
        _checks.refuse("log_ratios", largest, "exp(Z) exceeds the range of numbers: no moment can be told")
    size = brackets.double()
    energy = Estimate.from_samples(size)
    if energy.value == 0:
        _checks.refuse("brackets", 0, "the error is zero on all paths: there is nothing to audit")
    novikov = (0.5 * size).exp()
    return Audit(
        None if learned is None else Estimate.from_samples(learned, check_tail=True),
        Estimate.from_samples(ratios, check_tail=True),
        Estimate.from_samples(novikov, check_tail=True) if _checks.finite(novikov) else None,
        energy,
        Estimate.from_samples((size / energy.value).square(), check_tail=True),
        tail_shape(size),
    )
