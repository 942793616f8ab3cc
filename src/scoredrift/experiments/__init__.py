"""The paper's protocols, at three scales, with results that carry their provenance.

``scoredrift run NAME --scale SCALE`` runs an experiment; chapters load what it stored.
"""

from scoredrift.experiments.abreast import always_pictured, run_abreast
from scoredrift.experiments.base import RESULTS, Experiment, Result, benchmark, file_name, run_cases, stored
from scoredrift.experiments.bounds import BANDWIDTHS, BOUNDS, Bounds, one_generation
from scoredrift.experiments.mixture import ALPHAS, EXACT, LITERAL, Measure, moments, picture, run_case
from scoredrift.experiments.neural import (
    NEURAL_LINE,
    NEURAL_PILOT,
    NEURAL_SPLIT,
    LineMeasure,
    equal_cells,
    forcings,
    line_fit,
    line_forecast,
    mass_below,
    run_line,
)

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (EXACT, LITERAL, BOUNDS, BANDWIDTHS, NEURAL_SPLIT, NEURAL_PILOT, NEURAL_LINE)
}

__all__ = [
    "ALPHAS",
    "BANDWIDTHS",
    "BOUNDS",
    "EXACT",
    "EXPERIMENTS",
    "LITERAL",
    "NEURAL_LINE",
    "NEURAL_PILOT",
    "NEURAL_SPLIT",
    "RESULTS",
    "Bounds",
    "Experiment",
    "LineMeasure",
    "Measure",
    "Result",
    "always_pictured",
    "benchmark",
    "equal_cells",
    "file_name",
    "forcings",
    "line_fit",
    "line_forecast",
    "mass_below",
    "moments",
    "one_generation",
    "picture",
    "run_abreast",
    "run_case",
    "run_cases",
    "run_line",
    "stored",
]
