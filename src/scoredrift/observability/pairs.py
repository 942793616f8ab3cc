"""The pair estimator: two independent futures of the same point.

From x ~ q_{t0} draw X_τ, the forward process at a random time τ, twice independently. With w the
importance weight of the time and a = −w (𝒜_τ e)(X_τ),

    E[a | x] = u(x),    so    E[a a'] = E[u(x)²] = η ε*².

No trajectory, no grid, no regression, no bias. What is done about the variance:

* The control β(t) ℓ with ℓ = e·ξ − √v ∇·e (module ``futures``). At late times s* ≈ −ξ/√v, so that
  e·(s* + ξ/√v) is small where 𝒜e is not; at early times 𝒜e hardly depends on ξ. The best β moves
  from one to the other.
* Times follow the noise that is left, and can be stratified: K strata of equal probability, one draw
  in each, for each of m futures. The draws are independent given x, so products across strata need
  no second future, and the unbiased estimate of u(x)² is

      (Σ_k ā_k)² − Σ_k s_k²/m,    s_k² the sample variance over the futures of stratum k.

* Antithetic futures a(t) x ± √v ξ cancel everything odd in ξ.
* A pilot run (``plan``) finds β, the density of times, and the cheapest K and m.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.observability.futures import Futures, PairDesign, batches, draw_futures
from scoredrift.observability.pilot import PILOT_COST, plan
from scoredrift.observability.result import Observability
from scoredrift.scores import ErrorField, flow_of


@_numerics.estimator
def by_pairs(
    error: ErrorField,
    n: int,
    *,
    generator: torch.Generator,
    design: PairDesign | None = None,
    pilot: int = 200,
    batch: int = 65_536,
) -> Observability:
    """Observability by independent futures of the same point: E[G G'] = η ε*².

    Ours; formulas at the head of the module. The energy is estimated from the same evaluations.

    Args:
        error: e with its divergence and the exact score; a ``divergence_free`` design uses only their
            values.
        n: number of points x ≥ 2; each costs ``design.cost`` evaluations.
        generator: source of randomness, on the device of the law.
        design: how the futures are drawn; found by ``plan`` if it is None, at a cost that is counted.
        pilot: number of points of the pilot run, if there is one.
        batch: largest number of points evaluated together, but never fewer than the cost of one x;
            bounds the memory. (It also fixes the
            order of the random numbers, so another value gives another draw.)

    Returns:
        Observability: ε*², η ε*² and η with standard errors and cost.

    Raises:
        ValueError: n < 2, a generator on another device, an error of wrong shape or not finite.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(2), torch.eye(2)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(torch.ones(2)))
    >>> found = by_pairs(push, 2000, generator=torch.Generator().manual_seed(0))
    >>> abs(found.eta.sigmas_from(0.74904)) < 5
    True
    """
    began, planned = time.perf_counter(), design is None
    design, found = _futures_of_points(error, n, generator=generator, design=design, pilot=pilot, batch=batch)
    energies, squares = [], []
    for one in found:
        draws = one.draws.double().mean(-1)
        noise = draws.var(2).sum(1) / design.futures
        squares.append(draws.mean(2).sum(1).square() - noise)
        energies.append(one.energy.double())
    return Observability.from_draws(
        torch.cat(energies),
        torch.cat(squares),
        evaluations=n * design.cost + (pilot * PILOT_COST if planned else 0),
        seconds=time.perf_counter() - began,
    )


def _futures_of_points(
    error: ErrorField,
    n: int,
    *,
    generator: torch.Generator,
    design: PairDesign | None,
    pilot: int,
    batch: int,
    least: int = 2,
) -> tuple[PairDesign, Iterator[Futures]]:
    """Futures of n points of q_{t0}, batch by batch, and their design; one that is planned has ``least`` or more.

    Bad input is refused at once, and not when the first batch is asked for.
    """
    _checks.count("n", n, least=2)
    _checks.count("batch", batch)
    _checks.count("pilot", pilot, least=20)
    if not (design is None or isinstance(design, PairDesign)):
        _checks.refuse("design", repr(design), "pass PairDesign(…), or None for what plan finds")
    flow = flow_of(error)
    _checks.generator_on(generator, flow.law.device)
    if design is None:
        design = plan(error, generator=generator, points=pilot, batch=batch)
        design = replace(design, futures=max(design.futures, least))
    sizes = batches(n, design.cost, batch)
    drawn = (flow.sample(size, generator=generator) for size in sizes)
    chosen = design
    return design, (draw_futures(error, x, chosen, generator) for x in drawn)


@_numerics.estimator
def response(
    error: ErrorField,
    x: Tensor,
    *,
    generator: torch.Generator,
    design: PairDesign | None = None,
    batch: int = 65_536,
) -> Tensor:
    """Unbiased estimates of u(x) = E[M | Y_{t0} = x], to first order the relative change of density at x.

    Args:
        error: e with its divergence and the exact score.
        x: points at t0, shape ``[n, d]``.
        generator: source of randomness, on the device of ``x``.
        design: how the futures are drawn.
        batch: largest number of points evaluated together.

    Returns:
        One independent estimate for each point, shape ``[n]``, float64.

    Raises:
        ValueError: x that is not a batch of points, a generator on another device, a bad error.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.scores import Flow
    >>> q, ou = Gaussian(torch.zeros(1), torch.eye(1)), OrnsteinUhlenbeck()
    >>> push = Flow(q, ou).inject(ConstantField(torch.ones(1)))
    >>> g, design = torch.Generator().manual_seed(0), PairDesign(antithetic=True)
    >>> u = response(push, torch.ones(4000, 1), generator=g, design=design)
    >>> abs(float(u.mean()) - 1.7266) < 0.05  # 2 (1 − e^{−L/2}) x
    True
    """
    _checks.points("x", x)
    _checks.generator_on(generator, x.device)
    _checks.count("batch", batch)
    found, first = [torch.empty(0, dtype=torch.float64, device=x.device)], 0
    design = PairDesign() if design is None else design
    if not isinstance(design, PairDesign):
        _checks.refuse("design", repr(design), "pass PairDesign(…), or what plan returns")
    for size in batches(len(x), design.cost, batch):
        futures = draw_futures(error, x[first : first + size], design, generator)
        found.append(futures.draws.double().mean(dim=(2, 3)).sum(1))
        first += size
    return torch.cat(found)
