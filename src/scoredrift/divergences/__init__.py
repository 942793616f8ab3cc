"""Divergences between laws: from densities, from Gaussian mixtures, from samples.

    KL(P‖Q) = ∫ log(dP/dQ) dP,        χ²(P‖Q) = ∫ (dP/dQ − 1)² dQ,

and divergences that are always finite: total variation, and relatives of χ².
"""

from scoredrift.divergences.bounded import (
    Finiteness,
    GoodSet,
    chi2_finite,
    good_set_chi2,
    midpoint_chi2,
    pinsker,
    total_variation,
)
from scoredrift.divergences.densities import (
    Density,
    chi2,
    chi2_on_nodes,
    kl,
    kl_on_nodes,
    log_density_at,
    total_variation_on_nodes,
)
from scoredrift.divergences.fixed_set import fixed_set_chi2, fixed_set_gram
from scoredrift.divergences.kernels import kernel_chi2, outer_chi2
from scoredrift.divergences.overlaps import mixture_gram
from scoredrift.divergences.samples import Classifier, ClassifierBounds, classifier_bounds, knn_kl

__all__ = [
    "Classifier",
    "ClassifierBounds",
    "Density",
    "Finiteness",
    "GoodSet",
    "chi2",
    "chi2_finite",
    "chi2_on_nodes",
    "classifier_bounds",
    "fixed_set_chi2",
    "fixed_set_gram",
    "good_set_chi2",
    "kernel_chi2",
    "kl",
    "kl_on_nodes",
    "knn_kl",
    "log_density_at",
    "midpoint_chi2",
    "mixture_gram",
    "outer_chi2",
    "pinsker",
    "total_variation",
    "total_variation_on_nodes",
]
