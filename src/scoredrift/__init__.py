"""Score errors in diffusion models, and the drift they cause in recursive training."""

from scoredrift.errors import InjectedError, ScoreError, check_divergence
from scoredrift.estimates import Estimate
from scoredrift.fields import ConstantField, LinearField, RotationalField, ScaledField
from scoredrift.fits import KernelFit, SimulatedKernelFit
from scoredrift.gaussians import Gaussian
from scoredrift.integrators import Ancestral, EulerMaruyama, ExponentialIntegrator, HeunFlow
from scoredrift.kde import KernelDensity
from scoredrift.laws import Blend
from scoredrift.mixtures import GaussianMixture, mixture_of_five
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.recursion import recurse
from scoredrift.regimes import Accumulate, FreshFraction, Replace
from scoredrift.scores import FlowScore, FunctionScore, ProbedScore, SumScore
from scoredrift.simulate import Trajectory, exact_paths, simulate

__version__ = "0.1.0"

__all__ = [
    "Accumulate",
    "Ancestral",
    "Blend",
    "ConstantField",
    "Estimate",
    "EulerMaruyama",
    "ExponentialIntegrator",
    "FlowScore",
    "FreshFraction",
    "FunctionScore",
    "Gaussian",
    "GaussianMixture",
    "HeunFlow",
    "InjectedError",
    "KernelDensity",
    "KernelFit",
    "LinearField",
    "OrnsteinUhlenbeck",
    "ProbedScore",
    "Replace",
    "RotationalField",
    "ScaledField",
    "ScoreError",
    "SimulatedKernelFit",
    "SumScore",
    "Trajectory",
    "check_divergence",
    "exact_paths",
    "mixture_of_five",
    "recurse",
    "simulate",
]
