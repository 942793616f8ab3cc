"""The paper's protocols, at three scales, with results that carry their provenance.

``scoredrift run NAME --scale SCALE`` runs an experiment; chapters load what it stored.
"""

from scoredrift.experiments.abreast import always_pictured, run_abreast
from scoredrift.experiments.base import RESULTS, Experiment, Result, benchmark, file_name, run_cases, stored
from scoredrift.experiments.bounds import BANDWIDTHS, BOUNDS, Bounds, one_generation
from scoredrift.experiments.mixture import ALPHAS, EXACT, LITERAL, Measure, moments, picture, run_case

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment for experiment in (EXACT, LITERAL, BOUNDS, BANDWIDTHS)
}

__all__ = [
    "ALPHAS",
    "BANDWIDTHS",
    "BOUNDS",
    "EXACT",
    "EXPERIMENTS",
    "LITERAL",
    "RESULTS",
    "Bounds",
    "Experiment",
    "Measure",
    "Result",
    "always_pictured",
    "benchmark",
    "file_name",
    "moments",
    "one_generation",
    "picture",
    "run_abreast",
    "run_case",
    "run_cases",
    "stored",
]
