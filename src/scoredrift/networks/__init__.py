"""Networks that learn a score from data: architectures, denoising losses, and a training that can be resumed.

ε̂(x, t) ≈ E[ε | X_t = x],        ŝ = −ε̂/√v.
"""

from scoredrift.networks.architectures import (
    PointNetwork,
    image_unet,
    initialised,
    log_noise_level,
    patch_transformer,
)
from scoredrift.networks.losses import Weighting, by_energy, denoising_terms, evenly, spread_times
from scoredrift.networks.recipes import Recipe, Trained
from scoredrift.networks.training import train

__all__ = [
    "PointNetwork",
    "Recipe",
    "Trained",
    "Weighting",
    "by_energy",
    "denoising_terms",
    "evenly",
    "image_unet",
    "initialised",
    "log_noise_level",
    "patch_transformer",
    "spread_times",
    "train",
]
