"""Blends of laws of any kind, as training mixtures q = α p + (1−α) p̂ are.

    q = Σ_i π_i q_i

With r_i = π_i q_i / q the posterior probability of part i and s_i = ∇ log q_i,

    ∇ log q = Σ r_i s_i,        ∇·∇ log q = Σ r_i (∇·s_i + ‖s_i‖²) − ‖∇ log q‖²,

and since the flow is linear in the law, the same holds at every time t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.laws.base import Evaluation, Law, summary


@dataclass(frozen=True, eq=False, repr=False)
class Blend(Law):
    """Blend q = Σ_i π_i q_i of laws of any kind; its flow is the blend of their flows.

    Args:
        weights: π_i > 0, sum one.
        laws: the parts q_i, in one dimension, dtype and device.

    Raises:
        ValueError: no parts, weights that are not positive or do not sum to one, or parts that do
            not match.

    >>> from scoredrift.laws import mixture_of_five
    >>> p = mixture_of_five()
    >>> x = torch.ones(1, 10, dtype=torch.float64)
    >>> both = Blend((0.25, 0.75), (p, p.blur(1.0))).at(x).score
    >>> torch.allclose(both, p.blend(p.blur(1.0), 0.25).at(x).score)
    True
    """

    weights: Sequence[float]
    laws: Sequence[Law]

    def __post_init__(self) -> None:
        for name, parts in (("weights", self.weights), ("laws", self.laws)):
            _checks.listed(name, parts)
        if len(self.laws) == 0 or len(self.weights) != len(self.laws):
            count = f"{len(self.weights)} weights for {len(self.laws)} laws"
            _checks.refuse("weights", count, "pass one weight for each of one or more laws")
        for weight in self.weights:
            _checks.number("weights", weight, low=0.0, high=1.0, open_low=True)
        if abs(sum(self.weights) - 1) > 1e-9:
            _checks.refuse("weights", f"sum {sum(self.weights)}", "weights sum to one; divide by their sum")
        for law in self.laws:
            _checks.able("laws", law, "dim", "dtype", "device")
        first = self.laws[0]
        for law in self.laws[1:]:
            for name in ("dim", "dtype", "device"):
                here, there = getattr(law, name), getattr(first, name)
                if here != there:
                    _checks.refuse(f"laws.{name}", here, f"the first law has {there}; convert one of them")

    def __repr__(self) -> str:
        return summary(self, f"{len(self.laws)} laws")

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Blend:
        """The blend of the parts on another device or in another precision; as for ``Law.to``."""
        _checks.target(device, dtype)
        return Blend(self.weights, [law.to(device=device, dtype=dtype) for law in self.laws])

    @property
    def dim(self) -> int:
        """Dimension d of the parts."""
        return self.laws[0].dim

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parts."""
        return self.laws[0].dtype

    @property
    def device(self) -> torch.device:
        """Device of the parts."""
        return self.laws[0].device

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n independent points: part i with probability π_i, then a point of that part.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the parts.

        Returns:
            Points, shape ``[n, d]``, in random order.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.
        """
        _checks.count("n", n)
        _checks.generator_on(generator, self.device)
        chances = torch.tensor(
            [float(weight) for weight in self.weights], dtype=torch.float64, device=self.device
        )
        part = torch.multinomial(chances, n, replacement=True, generator=generator)
        points = torch.empty(n, self.dim, dtype=self.dtype, device=self.device)
        for i, law in enumerate(self.laws):
            mine = part == i
            if bool(mine.any()):
                points[mine] = law.sample(int(mine.sum()), generator=generator)
        return points

    @_numerics.own_precision
    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence of the flow at time t, formulas above.

        Args:
            x: points, shape ``[n, d]``.
            t: time ≥ 0, shape ``[]`` or ``[n]``.

        Raises:
            ValueError: what the parts refuse.
        """
        parts = [law.at(x, t) for law in self.laws]
        chances = torch.tensor(self.weights, dtype=x.dtype, device=x.device)
        logits = torch.stack([part.log_density for part in parts], dim=1) + chances.log()
        share = torch.softmax(logits, dim=1)
        scores = torch.stack([part.score for part in parts], dim=1)
        own = torch.stack([part.score_divergence for part in parts], dim=1)
        score = (share[:, :, None] * scores).sum(1)
        # Σ r ‖s_i‖² − ‖s‖² would be a small difference of large numbers far from all parts.
        scatter = (scores - score[:, None]).square().sum(2)
        return Evaluation(torch.logsumexp(logits, dim=1), score, (share * (own + scatter)).sum(1))
