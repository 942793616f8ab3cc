"""Score errors in diffusion models, and the drift they cause in recursive training."""

from scoredrift.estimates import Estimate
from scoredrift.integrators import Ancestral, EulerMaruyama, ExponentialIntegrator, HeunFlow
from scoredrift.mixtures import GaussianMixture, mixture_of_five
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import ConstantField, FunctionScore, MixtureScore, ScoreError, SumScore
from scoredrift.simulate import Trajectory, exact_paths, simulate

__version__ = "0.1.0"

__all__ = [
    "Ancestral",
    "ConstantField",
    "Estimate",
    "EulerMaruyama",
    "ExponentialIntegrator",
    "FunctionScore",
    "GaussianMixture",
    "HeunFlow",
    "MixtureScore",
    "OrnsteinUhlenbeck",
    "ScoreError",
    "SumScore",
    "Trajectory",
    "exact_paths",
    "mixture_of_five",
    "simulate",
]
