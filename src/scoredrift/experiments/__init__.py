"""The paper's protocols, at three scales, with results that carry their provenance.

``scoredrift run NAME --scale SCALE`` runs an experiment; chapters load what it stored.
"""

from scoredrift.experiments.base import Experiment, Result, benchmark, stored
from scoredrift.experiments.bounds import BANDWIDTHS, BOUNDS
from scoredrift.experiments.mixture import EXACT, LITERAL

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment for experiment in (EXACT, LITERAL, BOUNDS, BANDWIDTHS)
}

__all__ = ["EXPERIMENTS", "Experiment", "Result", "benchmark", "stored"]
