"""Monte Carlo numbers: a mean, its standard error, and whether the tail of the draws lets one believe it.

mean ± s/√n        if the draws have a variance, which the shape k̂ < ½ of their tail says.
"""

from scoredrift.estimates.means import Estimate, as_estimate
from scoredrift.estimates.runs import Means, jackknife, over_runs
from scoredrift.estimates.tails import FEWEST, FEWEST_IN_TAIL, tail_shape
from scoredrift.estimates.typesetting import typeset

__all__ = [
    "FEWEST",
    "FEWEST_IN_TAIL",
    "Estimate",
    "Means",
    "as_estimate",
    "jackknife",
    "over_runs",
    "tail_shape",
    "typeset",
]
