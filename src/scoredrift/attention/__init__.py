"""Softmax-weighted means over all centres: the arithmetic behind the score of a kernel density.

    w_ij ∝ exp(−g_i ‖y_i − c_j‖²/2),        Σ_j w_ij c_j,    Σ_j w_ij ‖c_j − y_i‖²,    log Σ_j …

in one pass on the CPU. Its twin for CUDA, in Triton, is ``scoredrift.attention.triton``; it is imported only
where Triton is installed.
"""

from scoredrift.attention.balls import CentreBalls
from scoredrift.attention.blocks import local_blocks
from scoredrift.attention.fused import softmax_moments
from scoredrift.attention.plain import Moments, Pruned, plain_moments
from scoredrift.attention.pruning import CentreIndex, centre_index, pruned_moments, worth_an_index
from scoredrift.attention.sketches import CentreSketch

__all__ = [
    "CentreBalls",
    "CentreIndex",
    "CentreSketch",
    "Moments",
    "Pruned",
    "centre_index",
    "local_blocks",
    "plain_moments",
    "pruned_moments",
    "softmax_moments",
    "worth_an_index",
]
