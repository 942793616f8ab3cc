"""The log-ratio Z = log dP̂/dP* and the bracket ⟨M⟩ along paths of the ideal process.

With M = ∫ e·dB̄ and Z = M − ½⟨M⟩. Where both scores belong to flows, P̂ from ĝ_T and P* from q_T, the
ratio of two whole paths is that of their ends,

    Z = log (ĝ_{t0}/q_{t0})(Y_{t0}) − log (ĝ_T/q_T)(Y_T),

without any step; any other error is simulated.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.paths.functionals import LogRatio
from scoredrift.paths.integrators import EulerMaruyama, StochasticIntegrator
from scoredrift.paths.simulation import exact_paths, simulate, spanning
from scoredrift.scores import ErrorField, flow_of, learned_flow_of


class PathRatios(NamedTuple):
    """Log-ratio and bracket of each of n ideal paths.

    Args:
        log_ratio: Z, shape ``[n]``.
        bracket: ⟨M⟩ = ∫ ‖e‖² dt ≥ 0, shape ``[n]``.

    >>> PathRatios(torch.zeros(100), torch.zeros(100)).squared_rest().value
    0.0
    """

    log_ratio: Tensor
    bracket: Tensor

    @property
    def martingale(self) -> Tensor:
        """M = Z + ½⟨M⟩, shape ``[n]``.

        Raises:
            ValueError: parts that do not fit each other, or a negative bracket.
        """
        for name, part in zip(self._fields, self, strict=True):
            _checks.floating(name, part)
        if self.log_ratio.ndim != 1:
            _checks.refuse("log_ratio.shape", list(self.log_ratio.shape), "pass one for each path, [n]")
        _checks.vectors("bracket", self.bracket, self.log_ratio)
        if bool((self.bracket < 0).any()):
            _checks.refuse("bracket", float(self.bracket.min()), "the integral of a square is not negative")
        return self.log_ratio + 0.5 * self.bracket

    def squared_rest(self) -> Estimate:
        """ρ² = E[(e^Z − 1 − M)²], what the amplitude theorem allows between √χ² and √η ε*.

        Returns:
            Estimate with the tail of its draws, without unit.

        Raises:
            ValueError: fewer than 100 paths, or an e^Z that exceeds the range of numbers.
        """
        martingale = self.martingale.double()
        return Estimate.from_samples(
            (self.log_ratio.double().exp() - 1 - martingale).square(), check_tail=True
        )


@_numerics.estimator
def exact_ratios(error: ErrorField, n: int, grid: Tensor, *, generator: torch.Generator) -> PathRatios:
    """Z and ⟨M⟩ along exact ideal paths, where the learned score is that of a flow, too.

    Z has no bias; ⟨M⟩ is a trapezoidal sum on the grid.

    Args:
        error: ``Flow(law, process).error(model)`` with another ``Flow`` of the same process as model.
        n: number of paths ≥ 1.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        generator: source of randomness, on the device of the law.

    Returns:
        PathRatios, each ``[n]``.

    Raises:
        ValueError: scores that are not both flows of one process, a grid that does not run from T to t0,
            a generator on another device.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import Flow
    >>> q, ou = mixture_of_three(), OrnsteinUhlenbeck()
    >>> g = torch.Generator().manual_seed(0)
    >>> error = Flow(q, ou).error(Flow(q.blur(0.2), ou))
    >>> found = exact_ratios(error, 2000, ou.geometric_grid(40), generator=g)
    >>> abs(float(found.log_ratio.exp().mean()) - 1) < 0.1  # a ratio of probabilities has mean one
    True
    """
    ideal, model = flow_of(error), learned_flow_of(error)
    times = spanning(grid, ideal.process)
    states = exact_paths(ideal, grid, n, generator=generator)
    sizes = torch.stack([error(x, t).square().sum(1) for x, t in zip(states, times, strict=True)])
    bracket = torch.trapezoid(sizes, -grid.to(sizes), dim=0)
    first, last = (model.log_density(x, t) - ideal.log_density(x, t) for x, t in _ends(states, times))
    return PathRatios(last - first, bracket)


def _ends(states: Tensor, times: list[float]) -> tuple[tuple[Tensor, float], tuple[Tensor, float]]:
    return (states[0], times[0]), (states[-1], times[-1])


@_numerics.estimator
def simulated_ratios(
    error: ErrorField,
    n: int,
    grid: Tensor,
    *,
    generator: torch.Generator,
    integrator: StochasticIntegrator | None = None,
) -> PathRatios:
    """Z and ⟨M⟩ along simulated ideal paths, by the functional ``LogRatio``, for any error.

    Args:
        error: ``Flow(law, process).error(model)`` or an injected field; the paths start from q_T.
        n: number of paths ≥ 1.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        generator: source of randomness, on the device of the law.
        integrator: method for the reverse SDE; Euler–Maruyama if None, for which Z is the exact
            log-ratio of the two simulations.

    Returns:
        PathRatios, each ``[n]``.

    Raises:
        ValueError: an exact score that is no flow, a grid that does not run from T to t0, and what
            ``simulate`` refuses.

    >>> from scoredrift.laws import mixture_of_three
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField, Flow
    >>> q, ou = mixture_of_three(), OrnsteinUhlenbeck()
    >>> g = torch.Generator().manual_seed(0)
    >>> push = Flow(q, ou).inject(ConstantField(0.3 * torch.ones(1).double()))
    >>> found = simulated_ratios(push, 2000, ou.geometric_grid(40), generator=g)
    >>> abs(float(found.log_ratio.exp().mean()) - 1) < 0.1
    True
    """
    ideal = flow_of(error)
    spanning(grid, ideal.process)
    start = ideal.sample(n, ideal.process.t_max, generator=generator)
    record, method = LogRatio(error), EulerMaruyama() if integrator is None else integrator
    simulate(ideal, start, grid, method, generator=generator, functionals=[record])
    return PathRatios(record.values, record.energies)
