"""Noises on the points of a law: X_t = a x + √v ε at random times, and integrals over time from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift import process as ou
from scoredrift.observability.futures import batches
from scoredrift.process import OrnsteinUhlenbeck, TimeSampler, log_uniform_times

# Of states x_t, times and targets −ε/√v, a number for each row, or several.
Term = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class NoiseDesign:
    """How noises and times are drawn for each point.

    Args:
        times: density of the times; weights that hold a factor λ(t) weigh the losses and energies by it.
        strata: K ≥ 1, strata of equal probability.
        noises: m ≥ 1, independent draws in each stratum.
        antithetic: take a x + √v ε and a x − √v ε together.

    Raises:
        ValueError: K < 1, m < 1, or times that are no function.

    >>> NoiseDesign(strata=4, noises=2).cost
    16
    """

    times: TimeSampler = log_uniform_times
    strata: int = 4
    noises: int = 2
    antithetic: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "strata", _checks.count("strata", self.strata))
        object.__setattr__(self, "noises", _checks.count("noises", self.noises))
        if not callable(self.times):
            _checks.refuse("times", repr(self.times), "pass a function of times, such as log_uniform_times")

    @property
    def cost(self) -> int:
        """Evaluations of each score for each point."""
        return self.strata * self.noises * (2 if self.antithetic else 1)

    def integrals(
        self,
        term: Term,
        points: Tensor,
        spans: Sequence[OrnsteinUhlenbeck],
        generator: torch.Generator,
        batch: int = 65_536,
    ) -> Tensor:
        """Draw ∫ E[term] dt over each span of time, m times for each point.

        Args:
            term: of states x_t ``[r, d]``, times ``[r]`` and targets −ε/√v ``[r, d]``; it returns numbers
                ``[r, …]``.
            points: x, shape ``[n, d]``.
            spans: B processes, of which only the times t0 and T matter.
            generator: source of randomness, on the device of the points.
            batch: largest number of states together, but never fewer than those of one point.

        Returns:
            Draws, shape ``[n, m, B, …]``, float64; those of one point share it.

        Raises:
            ValueError: times or weights of another shape than the quantiles that they were asked for; a
                generator on another device.

        >>> design, g = NoiseDesign(), torch.Generator().manual_seed(0)
        >>> spans = [OrnsteinUhlenbeck(1.0, 3.0)]
        >>> found = design.integrals(lambda x, t, target: t, torch.zeros(500, 1), spans, g)  # ∫ t dt = 4
        >>> found.shape, abs(float(found.mean()) - 4) < 0.05
        (torch.Size([500, 2, 1]), True)
        """
        _checks.points("points", points)
        _checks.generator_on(generator, points.device)
        found, first = [], 0
        for size in batches(len(points), self.cost * len(spans), batch):
            x = points[first : first + size]
            found.append(torch.stack([self._over(span, term, x, generator) for span in spans], 2))
            first += size
        return torch.cat(found)

    def _over(self, span: OrnsteinUhlenbeck, term: Term, x: Tensor, generator: torch.Generator) -> Tensor:
        """Integral over one span, ``[n, m, …]``."""
        shape = (len(x), self.noises, self.strata)
        u = torch.rand(shape, generator=generator, dtype=torch.float64, device=x.device)
        strata = torch.arange(self.strata, dtype=torch.float64, device=x.device)
        drawn = self.times(span, (strata + u) / self.strata)
        if not (isinstance(drawn, tuple) and len(drawn) == 2):
            _checks.refuse("design.times(process, u)", type(drawn).__name__, "return RandomTimes(t, weight)")
        for name, one in zip(("t", "weight"), drawn, strict=True):
            if one.shape != u.shape:
                remedy = f"return one for each quantile, {list(u.shape)}"
                _checks.refuse(f"design.times(process, u).{name}.shape", list(one.shape), remedy)
        t, weight = drawn
        noise = torch.randn((*shape, x.shape[1]), generator=generator, dtype=x.dtype, device=x.device)
        centre = ou.scale(t).to(x.dtype)[..., None] * x[:, None, None, :]
        root = ou.variance(t).sqrt().to(x.dtype)[..., None]
        when, signs = t.to(x.dtype).flatten(), (1.0, -1.0) if self.antithetic else (1.0,)
        each = [
            term((centre + sign * root * noise).flatten(0, 2), when, (-sign * noise / root).flatten(0, 2))
            for sign in signs
        ]
        mean = torch.stack(each).double().mean(0)
        shares = weight.double().flatten() / self.strata
        weighed = shares.reshape(-1, *[1] * (mean.ndim - 1)) * mean
        return weighed.unflatten(0, shape).sum(2)
