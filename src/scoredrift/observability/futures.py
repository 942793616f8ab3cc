"""Futures of a point: the forward process from x at random times, and what the error is there.

A draw in stratum k of K, for x at t0, X_τ = a x + √v ξ and w the importance weight of the time, is

    −(w/K) [𝒜_τ e + β(τ) ℓ](X_τ),    ℓ = e·ξ − √v ∇·e,

so that the sum over the strata has mean u(x) whatever β: by Gaussian integration by parts
E[e(X_t)·ξ | x] = √v E[∇·e(X_t) | x]. With β = 1/√v the divergence drops out, and what is left is

    e·(s* + ξ/√v) = e·(∇ log q_t − ∇ log q_{t|x}),

the error along the difference of two scores, the one of X_t and the one of X_t given x.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift import process as ou
from scoredrift.process import TimeSampler, log_uniform_times
from scoredrift.scores import ErrorField, flow_of


@dataclass(frozen=True)
class PairDesign:
    """How the futures of a point are drawn; ``plan`` finds a good one.

    Args:
        times: density of the times.
        strata: K ≥ 1, strata of equal probability.
        futures: m ≥ 2, independent draws in each stratum.
        antithetic: draw a(t) x ± √v ξ together.
        divergence_free: take β = 1/√v, which needs no divergence; with ``antithetic``, so that near
            t0 the noise ξ/√v meets a difference of two errors.
        control: β(t), a function of times, or None for β = 0.

    Raises:
        ValueError: K < 1, m < 2, or ``divergence_free`` without ``antithetic``.

    >>> PairDesign(strata=4, futures=2, antithetic=True).cost
    16
    """

    times: TimeSampler = log_uniform_times
    strata: int = 4
    futures: int = 2
    antithetic: bool = False
    divergence_free: bool = False
    control: StepFunction | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "strata", _checks.count("strata", self.strata))
        object.__setattr__(self, "futures", _checks.count("futures", self.futures, least=2))
        for name in ("times", "control"):
            if not (callable(getattr(self, name)) or (name == "control" and self.control is None)):
                _checks.refuse(name, repr(getattr(self, name)), "pass a function of times")
        if self.divergence_free and not self.antithetic:
            _checks.refuse("antithetic", False, "draws without a divergence need antithetic=True")

    @property
    def cost(self) -> int:
        """Evaluations of the error for each point x."""
        return self.strata * self.futures * (2 if self.antithetic else 1)


@dataclass(frozen=True, eq=False)
class StepFunction:
    """Function of time that is constant between edges.

    Args:
        edges: increasing, shape ``[B + 1]``, float64.
        values: shape ``[B]``, float64.

    Raises:
        ValueError: edges that do not increase, values that do not fit them, anything not finite.

    >>> StepFunction(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([5.0, 7.0]))(torch.tensor([0.5, 1.5]))
    tensor([5., 7.])
    """

    edges: Tensor = field(repr=False)
    values: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        _checks.on_intervals(self.edges, "values", self.values)

    def __call__(self, t: Tensor) -> Tensor:
        """Value at each time, any shape."""
        _checks.floating("t", t)
        return self.values[torch.searchsorted(self.edges[1:-1], t.contiguous())]


class Futures(NamedTuple):
    """Draws from the futures of n points, in K strata, m for each.

    Args:
        draws: a for each sign of ξ, shape ``[n, K, m, 1 or 2]``.
        energy: draws of ∫ ‖e‖² dt, shape ``[n]``.
        lever: e·ξ − √v ∇·e, which has mean zero given x, shape of ``draws``.

    >>> Futures(torch.zeros(1, 4, 2, 1), torch.zeros(1), torch.zeros(1, 4, 2, 1)).energy
    tensor([0.])
    """

    draws: Tensor
    energy: Tensor
    lever: Tensor


@_numerics.estimator
def draw_futures(error: ErrorField, x: Tensor, design: PairDesign, generator: torch.Generator) -> Futures:
    """Draw the futures of the points and evaluate the error there.

    Args:
        error: the score error.
        x: points at t0, shape ``[n, d]``.
        design: how the futures are drawn.
        generator: source of randomness.

    Returns:
        Futures; the control is in the draws.

    Raises:
        ValueError: x that is not a batch of points, no design, a generator on another device, a bad error.

    >>> from scoredrift.laws import Gaussian
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField, Flow
    >>> flow = Flow(Gaussian(torch.zeros(2), torch.eye(2)), OrnsteinUhlenbeck())
    >>> push, g = flow.inject(ConstantField(torch.ones(2))), torch.Generator().manual_seed(0)
    >>> draw_futures(push, torch.ones(3, 2), PairDesign(), g).draws.shape
    torch.Size([3, 4, 2, 1])
    """
    _checks.points("x", x)
    _checks.generator_on(generator, x.device)
    if not isinstance(design, PairDesign):
        _checks.refuse("design", repr(design), "pass PairDesign(…), or what plan returns")
    process, (n, d) = flow_of(error).process, x.shape
    shape = (n, design.strata, design.futures)
    offsets = torch.arange(design.strata, dtype=torch.float64, device=x.device)[None, :, None]
    u = torch.rand(shape, generator=generator, dtype=torch.float64, device=x.device)
    drawn_times = design.times(process, (offsets + u) / design.strata)
    if not (isinstance(drawn_times, tuple) and len(drawn_times) == 2):
        _checks.refuse(
            "design.times(process, u)", type(drawn_times).__name__, "return RandomTimes(t, weight)"
        )
    t, weight = drawn_times
    for name, drawn in (("t", t), ("weight", weight)):
        if drawn.shape != u.shape:
            remedy = f"return one for each quantile, {list(u.shape)}"
            _checks.refuse(f"design.times(process, u).{name}.shape", list(drawn.shape), remedy)
    weight = weight.to(x.dtype) / design.strata
    gap = (t - process.t_min).clamp(min=0).to(x.dtype)
    xi = torch.randn((*shape, d), generator=generator, dtype=x.dtype, device=x.device)
    centre = ou.scale(gap)[..., None] * x[:, None, None, :]
    root = ou.variance(gap).sqrt()
    signs = (1.0, -1.0) if design.antithetic else (1.0,)
    states = torch.stack([centre + sign * root[..., None] * xi for sign in signs])
    when = t.to(x.dtype).expand(len(signs), *shape).reshape(-1)
    flat = states.reshape(-1, d)
    if design.divergence_free:
        value = error(flat, when)
        exact = _numerics.evaluate(error.exact, flat, when, "exact(x, t)")
        divergence = torch.zeros_like(when)
    else:
        value, divergence, exact = error.at(flat, when)
    _checks.floating("error(x, t)", _checks.vectors("error(x, t)", value, flat))
    _checks.floating("exact(x, t)", _checks.vectors("exact(x, t)", exact, flat))
    wanted = [len(flat)]
    _checks.floating("error.divergence(x, t)", _checks.shape("error.divergence(x, t)", divergence, wanted))
    signed = (len(signs), *shape)
    stein = (divergence + (value * exact).sum(1)).reshape(signed)
    sign = torch.tensor(signs, dtype=x.dtype, device=x.device)[:, None, None, None]
    along = sign * (value.reshape(*signed, d) * xi).sum(-1)  # e·ξ, with ξ the noise of that sign
    lever = along - root * divergence.reshape(signed)
    if design.divergence_free:
        stein = stein + along / root.clamp(min=torch.finfo(x.dtype).tiny)
    elif design.control is not None:
        stein = stein + design.control(t).to(x.dtype) * lever
    energy = (weight * value.square().sum(1).reshape(signed)).mean(dim=(0, 3)).sum(1)
    return Futures((-weight * stein).movedim(0, -1), energy, lever.movedim(0, -1))


def batches(n: int, cost: int, batch: int) -> Iterator[int]:
    """Numbers of points to take together, so that no more than ``batch`` are evaluated at once.

    Args:
        n: points in all.
        cost: evaluations for each.
        batch: largest number of evaluations together.

    Raises:
        ValueError: numbers that are not integers ≥ 1 (n: ≥ 0).

    >>> list(batches(5, 2, 4))
    [2, 2, 1]
    """
    n = _checks.count("n", n, least=0)
    size = max(1, _checks.count("batch", batch) // _checks.count("cost", cost))
    for first in range(0, n, size):
        yield min(size, n - first)
