"""Score errors in diffusion models, and the drift they cause in recursive training."""

from scoredrift._version import __version__
from scoredrift.estimates import Estimate
from scoredrift.generations import Accumulate, FreshFraction, KernelFit, Replace, SimulatedKernelFit, recurse
from scoredrift.laws import Blend, Gaussian, GaussianMixture, KernelDensity, mixture_of_five
from scoredrift.paths import (
    Ancestral,
    EulerMaruyama,
    ExponentialIntegrator,
    HeunFlow,
    Trajectory,
    exact_paths,
    simulate,
)
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import (
    ConstantField,
    Flow,
    FunctionScore,
    InjectedField,
    LinearField,
    ProbedScore,
    RotationalField,
    ScaledField,
    ScoreDifference,
    SumScore,
    check_divergence,
)

__all__ = [
    "Accumulate",
    "Ancestral",
    "Blend",
    "ConstantField",
    "Estimate",
    "EulerMaruyama",
    "ExponentialIntegrator",
    "Flow",
    "FreshFraction",
    "FunctionScore",
    "Gaussian",
    "GaussianMixture",
    "HeunFlow",
    "InjectedField",
    "KernelDensity",
    "KernelFit",
    "LinearField",
    "OrnsteinUhlenbeck",
    "ProbedScore",
    "Replace",
    "RotationalField",
    "ScaledField",
    "ScoreDifference",
    "SimulatedKernelFit",
    "SumScore",
    "Trajectory",
    "__version__",
    "check_divergence",
    "exact_paths",
    "mixture_of_five",
    "recurse",
    "simulate",
]
