"""Paths of the reverse process, and what Girsanov's theorem charges for a wrong drift.

dY = [½ Y + s(Y, t)] dt + dB̄    (backwards in time),        ε*² = E_{P*} ∫ ‖e(Y_t, t)‖² dt.
"""

from scoredrift.paths.assumptions import Audit, Finding, audit
from scoredrift.paths.functionals import Energy, LogRatio, Martingale
from scoredrift.paths.girsanov import energy_times, held_energy, ideal_energy, learned_energy
from scoredrift.paths.integrators import (
    Ancestral,
    EulerMaruyama,
    ExponentialIntegrator,
    HeunFlow,
    Integrator,
    StochasticIntegrator,
    VectorField,
    stochastic,
)
from scoredrift.paths.line import (
    GeneratedLaw,
    generate_on_nodes,
    generated_mixture,
    ideal_energy_on_nodes,
)
from scoredrift.paths.ratios import PathRatios, exact_ratios, simulated_ratios
from scoredrift.paths.simulation import (
    Functional,
    Step,
    Trajectory,
    decreasing,
    evolve_density,
    exact_paths,
    simulate,
    spanning,
)

__all__ = [
    "Ancestral",
    "Audit",
    "Energy",
    "EulerMaruyama",
    "ExponentialIntegrator",
    "Finding",
    "Functional",
    "GeneratedLaw",
    "HeunFlow",
    "Integrator",
    "LogRatio",
    "Martingale",
    "PathRatios",
    "Step",
    "StochasticIntegrator",
    "Trajectory",
    "VectorField",
    "audit",
    "decreasing",
    "energy_times",
    "evolve_density",
    "exact_paths",
    "exact_ratios",
    "generate_on_nodes",
    "generated_mixture",
    "held_energy",
    "ideal_energy",
    "ideal_energy_on_nodes",
    "learned_energy",
    "simulate",
    "simulated_ratios",
    "spanning",
    "stochastic",
]
