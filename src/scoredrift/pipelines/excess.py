"""What a score has lost on the data: its energy over that of a reference, by the level of noise.

The loss that a training shows is one on the mixture that it is trained on: it can be flat, or fall, while the model
moves away from the data, since its own points are easy for it. On points of the data that nobody was trained on,

    L(ŝ) − L(ŝ_0) = ε*²(ŝ) − ε*²(ŝ_0),

with ŝ_0 the score of a reference, as of generation 0. The two see the same points, times and noises, so that far
smaller differences show than in the losses themselves; which level of noise they come from says what is lost: shapes
at high levels, texture at low ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.observability import EnergyByLevel, loss_difference_by_level
from scoredrift.paths import VectorField
from scoredrift.process import OrnsteinUhlenbeck


@dataclass(frozen=True, eq=False)
class ExcessEnergy:
    """Compares scores with a reference on points of the data, each with the same noises.

    Args:
        points: of the data, on which neither was trained, shape ``[n, d]``.
        reference: ŝ_0(x, t), such as ``from_diffusers(network, scheduler)`` of generation 0.
        process: gives t0 and T.
        levels: number of levels of noise, evenly spaced in the logarithm of time.
        seed: of the noises.

    Raises:
        ValueError: points that are fewer than two, not finite or repeated; numbers outside their range.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(2000, 2, generator=g, dtype=torch.float64)
    >>> excess = ExcessEnergy(x, lambda x, t: -x, OrnsteinUhlenbeck(0.1, 4.0), levels=2)
    >>> found = excess(lambda x, t: -x + 0.5)  # ‖e‖² = 0.5 at all times
    >>> abs(found.total.sigmas_from(0.5 * 3.9)) < 5
    True
    """

    points: Tensor = field(repr=False)
    reference: VectorField
    process: OrnsteinUhlenbeck = field(default_factory=OrnsteinUhlenbeck)
    levels: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.sample("points", self.points)
        if not callable(self.reference) or isinstance(self.reference, type):
            _checks.refuse(
                "reference", f"a {type(self.reference).__name__}", "pass a score, a function of (x, t)"
            )
        _checks.process(self.process)
        object.__setattr__(self, "levels", _checks.count("levels", self.levels))
        object.__setattr__(self, "seed", _checks.count("seed", self.seed, least=0))

    def __call__(self, score: VectorField) -> EnergyByLevel:
        """ε*²(ŝ) − ε*²(ŝ_0) by the level of noise.

        Args:
            score: ŝ(x, t).

        Raises:
            ValueError: a score of wrong shape, or not finite.
        """
        generator = torch.Generator(self.points.device).manual_seed(self.seed)
        edges = self.process.geometric_grid(self.levels).flip(0)
        return loss_difference_by_level(score, self.reference, self.points, edges, generator=generator)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides its numbers beside the scores, in a form that JSON holds."""
        content = self.points.detach().double().cpu().contiguous().numpy().tobytes()
        ends = [self.process.t_min, self.process.t_max]
        return {
            "points": hashlib.sha256(content).hexdigest(),
            "times": ends,
            "levels": self.levels,
            "seed": self.seed,
        }
