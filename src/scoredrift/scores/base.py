"""Scores: vector fields in space and time that know their divergence.

A score is a vector field s(x, t) with a divergence; anything with these three methods will do:

    s(x, t)                            x: [n, d], t: [] or [n]   →  [n, d]
    s.divergence(x, t)                 ∇·s                       →  [n]
    s.value_and_divergence(x, t)       both, often for the price of one

The same holds for any field e(x, t) that may be added to a score: see ``InjectedField``. A class that
inherits from ``Field`` has to say the last of the three only, and gets ``push + 0.3 * spin``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.scores.arithmetic import Field


@dataclass(frozen=True, eq=False, repr=False)
class FunctionScore(Field):
    """Any function or network of (x, t) as a score; its divergence is the exact trace of its Jacobian.

    The trace takes d backward passes, so this is for low dimension and for checks. A ``torch.nn.Module``
    is called with times of shape ``[n]``, in the precision of its parameters (times in float32 at least);
    values come back in the dtype of the points. Its parameters get no gradients, and it stays in the mode
    that it is in: where there is dropout or batch normalisation, ``eval()`` comes first. Autocast that is in
    force around a call is switched off: a network that wants it says so in its ``forward``.

    The divergence needs a graph from x to the values. A function that leaves none, or leaves a part out,
    because it runs under ``torch.no_grad``, detaches or goes through numpy, has no known divergence and is
    refused. What escapes: a part whose share in the slope is below one percent or below the rounding of half
    precision, or that is cut off at fewer than half of the 16 points that are looked at.

    Args:
        function: maps x ``[n, d]`` and t (``[]`` or ``[n]``) to ``[n, d]``, row by row. ``simulate`` has one
            time for all points, ``ideal_energy`` one for each; ``t.reshape(-1, 1)`` suits both.
        dtype: precision that it takes its points in, if not theirs or that of its parameters.
        constant: it does not depend on x, and needs no graph.

    Raises:
        ValueError: on a call, x that is not a batch of finite points, a value of another shape, a network
            in several precisions or on another device; where the divergence is wanted, a function whose
            graph does not show how it depends on x.

    >>> shrink = FunctionScore(lambda x, t: -x)
    >>> shrink.divergence(torch.ones(2, 3), 1.0)
    tensor([-3., -3.])
    >>> wider = FunctionScore(lambda x, t: -x / (1 + t.reshape(-1, 1)))
    >>> wider(torch.ones(1, 2), 1.0), wider(torch.ones(2, 1), torch.tensor([1.0, 3.0])).T
    (tensor([[-0.5000, -0.5000]]), tensor([[-0.5000, -0.2500]]))
    """

    function: Callable[[Tensor, Tensor], Tensor]
    dtype: torch.dtype | None = None
    constant: bool = False

    def __post_init__(self) -> None:
        if not (self.dtype is None or (isinstance(self.dtype, torch.dtype) and self.dtype.is_floating_point)):
            _checks.refuse("dtype", self.dtype, "pass a floating one, such as torch.float32")

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value of the function, shape ``[n, d]``."""
        _checks.points("x", x)
        _checks.times("t", t, x, 0.0, math.inf)
        if self.dtype is None and not isinstance(self.function, torch.nn.Module):
            t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        return _numerics.evaluate(self.function, x, t, dtype=self.dtype)

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value ``[n, d]`` and divergence ``[n]``; arguments as for the class.

        >>> FunctionScore(lambda x, t: x**2).value_and_divergence(torch.ones(1, 2), 1.0)
        (tensor([[1., 1.]]), tensor([4.]))
        """
        with self._recording(x, t) as (inputs, values, depends):
            trace = torch.zeros(len(x), dtype=x.dtype, device=x.device)
            for j in range(x.shape[1] if depends else 0):
                (row,) = torch.autograd.grad(values[:, j].sum(), inputs, retain_graph=True)
                trace = trace + row[:, j]
        return values.detach(), trace.detach()

    def _recording(self, x: Tensor, t: float | Tensor) -> AbstractContextManager[tuple[Tensor, Tensor, bool]]:
        _checks.points("x", x)
        inner = _numerics.precision(self.function, x) if self.dtype is None else self.dtype
        return _numerics.recording(self, x, t, constant=self.constant, dtype=inner)


@dataclass(frozen=True, eq=False, repr=False)
class ProbedScore(Field):
    """Any function of (x, t) as a score, its divergence estimated by random probes (Hutchinson).

        ∇·s ≈ (1/R) Σ_r z_r · ∂_x(z_r · s),        z_r ∈ {−1, 1}^d, or N(0, I), new in every call.

    The estimate is unbiased, so what is linear in it stays unbiased; R backward passes instead of d. With S the
    symmetric part of the Jacobian its variance is 2 (‖S‖² − Σ S_jj²)/R for signs and 2 ‖S‖²/R for normal probes, so
    that signs are never worse.
    Networks are called, and functions without a graph are refused, as by ``FunctionScore``.
    Source: Hutchinson 1990 (doi 10.1080/03610919008812866).

    Args:
        function: maps x ``[n, d]`` and t (``[]`` or ``[n]``) to ``[n, d]``, row by row.
        probes: R ≥ 1.
        generator: source of the probes, on the device of the points.
        dtype, constant: as for ``FunctionScore``.
        normal: take z ~ N(0, I) instead of signs.

    Raises:
        ValueError: R < 1; on a call, what ``FunctionScore`` refuses, or a generator on another device.

    >>> probed = ProbedScore(lambda x, t: -x, 1, torch.Generator().manual_seed(0))
    >>> probed.divergence(torch.ones(2, 3), 1.0)  # exact, since the Jacobian is diagonal
    tensor([-3., -3.])
    """

    function: Callable[[Tensor, Tensor], Tensor]
    probes: int
    generator: torch.Generator
    dtype: torch.dtype | None = None
    constant: bool = False
    normal: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "probes", _checks.count("probes", self.probes))
        self._exact()

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value of the function, shape ``[n, d]``."""
        return self._exact()(x, t)

    def _exact(self) -> FunctionScore:
        return FunctionScore(self.function, self.dtype, self.constant)

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value ``[n, d]`` and the estimate of its divergence ``[n]``; arguments as for the class.

        >>> probed = ProbedScore(lambda x, t: -x, 1, torch.Generator().manual_seed(0))
        >>> probed.value_and_divergence(torch.ones(1, 2), 1.0)
        (tensor([[-1., -1.]]), tensor([-2.]))
        """
        _checks.points("x", x)
        _checks.generator_on(self.generator, x.device)
        with self._exact()._recording(x, t) as (inputs, values, depends):
            trace = torch.zeros(len(x), dtype=x.dtype, device=x.device)
            for _ in range(self.probes if depends else 0):
                probe = self._probe(x)
                (row,) = torch.autograd.grad((values * probe).sum(), inputs, retain_graph=True)
                trace = trace + (row * probe).sum(1) / self.probes
        return values.detach(), trace.detach()

    def _probe(self, x: Tensor) -> Tensor:
        draw = torch.randn if self.normal else torch.rand
        z = draw(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        return z if self.normal else torch.where(z < 0.5, -1.0, 1.0).to(x.dtype)
