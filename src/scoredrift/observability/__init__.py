"""Observability: which share of a score error shows in what is generated.

With M = ∫ e·dB̄ on ideal paths,

    u(x) = E[M | Y_{t0} = x] = −∫_{t0}^{T} E[(𝒜_t e)(X_t) | X_{t0} = x] dt,
    η = Var u(Y_{t0}) / ε*²  ∈ [0, 1],

with X_t given X_{t0} = x the forward process and 𝒜_t e = ∇·e + e·s*. Four ways to η:

    by_pairs          two independent futures of the same x: no solver, no grid, unbiased
    by_trajectories   two reverse trajectories that end in the same x, on a grid
    by_regression     simulate reverse trajectories, regress M on where they end
    in_closed_form    for affine errors on a Gaussian

and, from the same futures, the ratio of the marginals, R(x) = dp̂/dq_{t0}, χ²(p̂‖q_{t0}), and bounds on
their total variation.
"""

from scoredrift.observability.bases import Polynomials, RadialFunctions, Together
from scoredrift.observability.bounds import energy_bound
from scoredrift.observability.closed_form import in_closed_form
from scoredrift.observability.futures import (
    Futures,
    PairDesign,
    StepFunction,
    batches,
    draw_futures,
)
from scoredrift.observability.levels import EnergyByLevel
from scoredrift.observability.losses import (
    denoising_loss,
    empirical_loss_difference,
    energy_by_level,
    loss_difference,
    loss_difference_by_level,
)
from scoredrift.observability.noises import NoiseDesign
from scoredrift.observability.pairs import by_pairs, response
from scoredrift.observability.pilot import PILOT_COST, plan
from scoredrift.observability.plane import PlaneSplit, split_in_plane
from scoredrift.observability.potentials import ErrorParts, Potential, split_by_potentials
from scoredrift.observability.ratio import chi2_by_futures, marginal_ratio
from scoredrift.observability.result import Observability
from scoredrift.observability.trajectories import by_regression, by_trajectories
from scoredrift.observability.variation import VariationBounds, total_variation_by_futures

__all__ = [
    "PILOT_COST",
    "EnergyByLevel",
    "ErrorParts",
    "Futures",
    "NoiseDesign",
    "Observability",
    "PairDesign",
    "PlaneSplit",
    "Polynomials",
    "Potential",
    "RadialFunctions",
    "StepFunction",
    "Together",
    "VariationBounds",
    "batches",
    "by_pairs",
    "by_regression",
    "by_trajectories",
    "chi2_by_futures",
    "denoising_loss",
    "draw_futures",
    "empirical_loss_difference",
    "energy_bound",
    "energy_by_level",
    "in_closed_form",
    "loss_difference",
    "loss_difference_by_level",
    "marginal_ratio",
    "plan",
    "response",
    "split_by_potentials",
    "split_in_plane",
    "total_variation_by_futures",
]
