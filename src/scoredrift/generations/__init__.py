"""Generation after generation: training on one's own samples, and how the errors add up.

q_i = α p + (1 − α) p̂^i,        p̂^{i+1} = fit(q_i),        D_{i+1} = (1 − α)² D_i + B_i + 2 (1 − α) ⟨δ_i, w_i⟩.
"""

from scoredrift.generations.accumulation import (
    Contributions,
    GenerationStep,
    contributions,
    decompose,
    gram,
    steps,
)
from scoredrift.generations.budgets import (
    BestFraction,
    BiasAndNoise,
    best_fraction,
    bias_and_noise,
    fresh_points_needed,
)
from scoredrift.generations.certificates import FloorCertificate, certify_floor, uniform_excess
from scoredrift.generations.curation import Curated, curate
from scoredrift.generations.enclosures import quadratic_ceilings
from scoredrift.generations.features import SampledStep, step_from_samples
from scoredrift.generations.fits import (
    KernelFit,
    Memory,
    NormalStartFit,
    NormalStartModel,
    Resampling,
    SimulatedKernelFit,
    SimulatedModel,
    gaussian_fit,
)
from scoredrift.generations.floor_potentials import FloorPotential, floor_potential, sharp_floor_constant
from scoredrift.generations.forgetting import (
    Accumulated,
    accumulated,
    discounted,
    divergence_floor,
    half_life,
    paper_floor,
    refreshed,
    steady_state,
)
from scoredrift.generations.histograms import histogram_divergence, histogram_recursion
from scoredrift.generations.history import Generation, History, Measured
from scoredrift.generations.intervals import Intervals
from scoredrift.generations.limit import LawGeneration, recurse_laws
from scoredrift.generations.network_fits import (
    LineFit,
    LineModel,
    NetworkFit,
    NetworkModel,
    WarmStart,
)
from scoredrift.generations.recursion import Fit, recurse
from scoredrift.generations.regimes import (
    Accumulate,
    FreshFraction,
    Regime,
    Replace,
    Selected,
    law_of_training,
)
from scoredrift.generations.repeats import bias_of_repeats, forecast
from scoredrift.generations.responses import LinearResponse, linear_response, response_forecast
from scoredrift.generations.schedules import fresh_fraction_needed, scheduled_drift
from scoredrift.generations.surds import Surd, room_below_zero

__all__ = [
    "Accumulate",
    "Accumulated",
    "BestFraction",
    "BiasAndNoise",
    "Contributions",
    "Curated",
    "Fit",
    "FloorCertificate",
    "FloorPotential",
    "FreshFraction",
    "Generation",
    "GenerationStep",
    "History",
    "Intervals",
    "KernelFit",
    "LawGeneration",
    "LineFit",
    "LineModel",
    "LinearResponse",
    "Measured",
    "Memory",
    "NetworkFit",
    "NetworkModel",
    "NormalStartFit",
    "NormalStartModel",
    "Regime",
    "Replace",
    "Resampling",
    "SampledStep",
    "Selected",
    "SimulatedKernelFit",
    "SimulatedModel",
    "Surd",
    "WarmStart",
    "accumulated",
    "best_fraction",
    "bias_and_noise",
    "bias_of_repeats",
    "certify_floor",
    "contributions",
    "curate",
    "decompose",
    "discounted",
    "divergence_floor",
    "floor_potential",
    "forecast",
    "fresh_fraction_needed",
    "fresh_points_needed",
    "gaussian_fit",
    "gram",
    "half_life",
    "histogram_divergence",
    "histogram_recursion",
    "law_of_training",
    "linear_response",
    "paper_floor",
    "quadratic_ceilings",
    "recurse",
    "recurse_laws",
    "refreshed",
    "response_forecast",
    "room_below_zero",
    "scheduled_drift",
    "sharp_floor_constant",
    "steady_state",
    "step_from_samples",
    "steps",
    "uniform_excess",
]
