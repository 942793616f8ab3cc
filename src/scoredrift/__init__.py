"""Score errors in diffusion models, and the drift they cause in recursive training."""

from scoredrift._version import __version__
from scoredrift.estimates import Estimate
from scoredrift.generations import Accumulate, FreshFraction, KernelFit, Replace, SimulatedKernelFit, recurse
from scoredrift.laws import (
    Blend,
    Gaussian,
    GaussianMixture,
    KernelDensity,
    Law,
    mixture_of_five,
    mixture_of_three,
)
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
    Field,
    Flow,
    FunctionScore,
    Images,
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
    "Field",
    "Flow",
    "FreshFraction",
    "FunctionScore",
    "Gaussian",
    "GaussianMixture",
    "HeunFlow",
    "Images",
    "InjectedField",
    "KernelDensity",
    "KernelFit",
    "Law",
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
    "mixture_of_three",
    "recurse",
    "simulate",
]
