"""The paper's protocols, at three scales, with results that carry their provenance.

``scoredrift run NAME --scale SCALE`` runs an experiment; chapters load what it stored.
"""

from scoredrift.experiments.abreast import always_pictured, run_abreast
from scoredrift.experiments.base import RESULTS, Experiment, Result, benchmark, file_name, run_cases, stored
from scoredrift.experiments.bounds import BANDWIDTHS, BOUNDS, Bounds, one_generation
from scoredrift.experiments.fashion import Look, Pictures, digits_pictures, fashion_pictures
from scoredrift.experiments.fashion_classifier import FASHION_FEATURES, fashion_features
from scoredrift.experiments.fashion_codes import (
    FASHION,
    FASHION_PILOT,
    CodeLaw,
    code_fit,
    run_codes,
    through_code,
)
from scoredrift.experiments.fashion_forecasts import FASHION_FORECAST, respread, spread_forecast
from scoredrift.experiments.fashion_pixels import FASHION_PIXELS, ByteFit, ByteModel, pixel_fit, run_pixels
from scoredrift.experiments.forecasts import (
    constant_forecast,
    exact_stop_forecast,
    forcings,
    two_part_forecast,
)
from scoredrift.experiments.mixture import ALPHAS, EXACT, LITERAL, Measure, moments, picture, run_case
from scoredrift.experiments.neural import (
    NEURAL_LINE,
    NEURAL_PILOT,
    NEURAL_RECIPES,
    NEURAL_SPLIT,
    LineMeasure,
    equal_cells,
    line_fit,
    mass_below,
    masses_between,
    run_line,
)
from scoredrift.experiments.neural_sizes import (
    LEARNERS,
    NEURAL_MEMORY,
    NEURAL_SIZE,
    RepeatedFit,
    SizeMeasure,
    as_mixture,
    run_memory,
    run_size,
    two_energies,
)
from scoredrift.experiments.neural_ten import (
    NEURAL_TEN,
    NEURAL_TEN_PILOT,
    TenMeasure,
    masses_of_shells,
    run_ten,
    ten_fit,
)
from scoredrift.experiments.picture_measure import PictureMeasure, in_features

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        EXACT,
        LITERAL,
        BOUNDS,
        BANDWIDTHS,
        NEURAL_SPLIT,
        NEURAL_PILOT,
        NEURAL_LINE,
        NEURAL_RECIPES,
        NEURAL_SIZE,
        NEURAL_MEMORY,
        NEURAL_TEN_PILOT,
        NEURAL_TEN,
        FASHION_FEATURES,
        FASHION_PILOT,
        FASHION_FORECAST,
        FASHION,
        FASHION_PIXELS,
    )
}

__all__ = [
    "ALPHAS",
    "BANDWIDTHS",
    "BOUNDS",
    "EXACT",
    "EXPERIMENTS",
    "FASHION",
    "FASHION_FEATURES",
    "FASHION_FORECAST",
    "FASHION_PILOT",
    "FASHION_PIXELS",
    "LEARNERS",
    "LITERAL",
    "NEURAL_LINE",
    "NEURAL_MEMORY",
    "NEURAL_PILOT",
    "NEURAL_RECIPES",
    "NEURAL_SIZE",
    "NEURAL_SPLIT",
    "NEURAL_TEN",
    "NEURAL_TEN_PILOT",
    "RESULTS",
    "Bounds",
    "ByteFit",
    "ByteModel",
    "CodeLaw",
    "Experiment",
    "LineMeasure",
    "Look",
    "Measure",
    "PictureMeasure",
    "Pictures",
    "RepeatedFit",
    "Result",
    "SizeMeasure",
    "TenMeasure",
    "always_pictured",
    "as_mixture",
    "benchmark",
    "code_fit",
    "constant_forecast",
    "digits_pictures",
    "equal_cells",
    "exact_stop_forecast",
    "fashion_features",
    "fashion_pictures",
    "file_name",
    "forcings",
    "in_features",
    "line_fit",
    "mass_below",
    "masses_between",
    "masses_of_shells",
    "moments",
    "one_generation",
    "picture",
    "pixel_fit",
    "respread",
    "run_abreast",
    "run_case",
    "run_cases",
    "run_codes",
    "run_line",
    "run_memory",
    "run_pixels",
    "run_size",
    "run_ten",
    "spread_forecast",
    "stored",
    "ten_fit",
    "through_code",
    "two_energies",
    "two_part_forecast",
]
