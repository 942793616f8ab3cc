"""The linear response of a learner: what it makes of a deviation that it is handed, and a forecast from that.

A network trained on a law that is off by a small δ generates one that is off by b + A δ: its bias, and its response
to what is there already. Trained on a share 1 − α of its own samples,

    δ_0 = b,      δ_{i+1} = (1−α) A δ_i + b,      δ_n = Σ_{k ≤ n} (1−α)^k A^k b.

A = 1 is the recursion with a constant bias. An eigenvalue λ > 1 amplifies, and if A^k b has a share in its direction,
drift grows without bound, as far as linearity goes, for all fresh fractions below the critical

    α_c = 1 − 1/λ.

Trained on all models so far, with shares s_j of the j-th, a generation is handed Σ_j s_j δ_j instead of (1−α) δ_i.

Differences of successive generations of a pilot are A^k b, times (1−α)^k: a Krylov sequence, from which the eigenvalues
that matter are read as in dynamic mode decomposition. Source: ours; the decomposition is that of Schmid 2010 (J. Fluid
Mech. 656, 5–28, doi 10.1017/S0022112010001217).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate, jackknife
from scoredrift.generations.regimes import Regime


class LinearResponse(NamedTuple):
    """What a pilot says of the response of a learner.

    Args:
        sequence: A^k b for k = 0, …, G, mean over the runs, shape ``[G + 1, m]``.
        recurrence: c with A^G b ≈ Σ_{j<G} c_j A^j b, shape ``[G]``.
        missed: ‖A^G b − Σ c_j A^j b‖/‖A^G b‖: how far the sequence is from closing.

    >>> path = torch.tensor([[[1.0, 1.0], [2.0, 1.5], [3.0, 1.75]]]).double()  # b = (1, 1), A = diag(2, 1)
    >>> [round(value, 6) for value in linear_response(path, alpha=0.5).eigenvalues.tolist()]
    [1.0, 2.0]
    """

    sequence: Tensor
    recurrence: Tensor
    missed: float

    @property
    def eigenvalues(self) -> Tensor:
        """Of A in the span of the sequence, by size; complex ones as complex numbers, ``[G]``."""
        order = len(self.recurrence)
        companion = torch.zeros(order, order, dtype=torch.float64)
        companion[1:, :-1] = torch.eye(order - 1, dtype=torch.float64)
        companion[:, -1] = self.recurrence
        found = torch.linalg.eigvals(companion)
        found = found[found.abs().argsort()]
        return found.real if bool((found.imag.abs() < 1e-9).all()) else found

    def continued(self, last: int) -> Tensor:
        """A^k b for k = 0, …, last, shape ``[last + 1, m]``: measured, then by the recurrence."""
        terms = list(self.sequence)
        order = len(self.recurrence)
        while len(terms) <= last:
            terms.append(sum(c * term for c, term in zip(self.recurrence, terms[-order:], strict=True)))
        return torch.stack(terms[: last + 1])


def linear_response(deviations: Tensor, *, alpha: float) -> LinearResponse:
    """Response of a learner from a few generations of a few runs at one fresh fraction.

    Args:
        deviations: δ_0, …, δ_G of each run, shape ``[R, G + 1, m]``, with G ≥ 1 and m ≥ G; generation 0 is trained
            on the data alone.
        alpha: fresh fraction α of the runs, in (0, 1).

    Raises:
        ValueError: α outside (0, 1), or deviations of another shape or not finite.

    >>> bias, response = torch.tensor([0.1, 0.2]).double(), torch.tensor([[1.2, 0.0], [0.1, 0.5]]).double()
    >>> path = [bias]
    >>> for _ in range(2):
    ...     path.append(0.5 * response @ path[-1] + bias)
    >>> [round(value, 6) for value in linear_response(torch.stack(path)[None], alpha=0.5).eigenvalues.tolist()]
    [0.5, 1.2]
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    if alpha == 1:
        _checks.refuse("alpha", alpha, "without synthetic data there is no response to see")
    _checks.floating("deviations", deviations)
    if (
        deviations.ndim != 3
        or deviations.shape[1] < 2
        or not 0 < deviations.shape[1] - 1 <= deviations.shape[2]
    ):
        remedy = "pass [runs, generations, features], two generations or more, and no fewer features than responses"
        _checks.refuse("deviations.shape", list(deviations.shape), remedy)
    _checks.real("deviations", deviations)
    mean = deviations.detach().double().mean(0)
    powers = (1 - alpha) ** torch.arange(len(mean), dtype=torch.float64)
    steps = torch.cat([mean[:1], mean.diff(dim=0)])
    sequence = steps / powers[:, None]
    basis, last = sequence[:-1].T, sequence[-1]
    recurrence = torch.linalg.lstsq(basis, last[:, None]).solution[:, 0]
    missed = float((last - basis @ recurrence).norm() / last.norm())
    return LinearResponse(sequence, recurrence, missed)


def response_forecast(
    deviations: Tensor, *, before: float, regime: Regime, generations: int
) -> list[Estimate]:
    """Drift E D_0, …, E D_N in another regime, if the learner responds linearly.

        δ_n = A Σ_{j<n} s_j δ_j + b,      s_j: share of model j in what generation n is trained on

    What scatters between the runs is added as noise of constant size, which is handed on as it is.

    Args:
        deviations: of a pilot, as for ``linear_response``, with three runs or more.
        before: its fresh fraction, in (0, 1).
        regime: that asked for, such as ``FreshFraction(0.2)``, ``Replace()`` or ``Accumulate()``.
        generations: N ≥ 0.

    Returns:
        One estimate for each generation; errors by leaving out one run at a time.

    Raises:
        ValueError: fewer than three runs, a regime that does not tell its shares, or what ``linear_response`` refuses.

    >>> from scoredrift.generations import FreshFraction
    >>> pilot = torch.tensor([[[1.0, 0.0], [1.5, 0.0]]] * 3).double() + 1e-9 * torch.rand(
    ...     3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> [round(one.value, 3) for one in response_forecast(pilot, before=0.5, regime=FreshFraction(0.9), generations=2)]
    [1.0, 1.21, 1.232]
    """
    _checks.able("regime", regime, "shares")
    generations = _checks.count("generations", generations, least=0)
    _checks.floating("deviations", deviations)
    if deviations.ndim != 3 or len(deviations) < 3:
        _checks.refuse("deviations.shape", list(deviations.shape), "pass three runs or more")
    paths = deviations.detach().double()
    powers, handed_on = _weights(regime, generations)

    def drift(last: int, kept: Tensor) -> float:
        some = paths[kept]
        terms = linear_response(some, alpha=before).continued(generations)
        mean = float((powers[last] @ terms).square().sum())
        added = torch.cat([some[:, :1], some[:, 1:] - (1 - before) * some[:, :-1]], dim=1)
        noise = float(added.var(0).sum(1).mean())
        share = float(handed_on[last].square().sum())
        return mean + noise * (share - 1 / len(some))  # a mean of runs has a share already

    return [jackknife(partial(drift, last), len(paths)) for last in range(generations + 1)]


def _weights(regime: Regime, last: int) -> tuple[Tensor, Tensor]:
    """What δ_0, …, δ_N are made of: coefficients of A^k b, and of the noise of each generation if A = 1."""
    powers = torch.zeros(last + 1, last + 1, dtype=torch.float64)
    handed_on = torch.eye(last + 1, dtype=torch.float64)
    powers[:, 0] = 1.0
    for n in range(1, last + 1):
        shares = regime.shares(n - 1)
        powers[n, 1:] = (shares @ powers[:n])[:-1]
        handed_on[n] += shares @ handed_on[:n]
    return powers, handed_on
