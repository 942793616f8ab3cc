"""Score errors in diffusion models, and the drift they cause in recursive training.

The names that are used most are here. The rest is in packages named after the nouns of the theory:
``from scoredrift.divergences import kl``; ``help("scoredrift.divergences")`` opens
with its formulas, and ``__all__`` of a package is what it offers.

    process          the Ornstein–Uhlenbeck forward process, time grids, random times
    laws             laws q whose q_t and ∇ log q_t are known
    scores           s*, ŝ and e = ŝ − s*; networks and fields as scores
    networks         architectures, and training by denoising score matching
    datasets         images, the law of their pixels, a code and features
    paths            reverse paths, integrators, functionals; the energies ε*² and ε̂²
    divergences      KL and χ², from densities and from samples; whether χ² is finite
    observability    u(x), η and dp̂/dq
    generations      retraining on one's own samples; D, B and coherence; steady states
    estimates        value ± standard error, means over runs
    runs             seeds, checkpoints, sweeps, provenance
    notebook, plots  tables and pictures
    experiments      the paper's protocols
"""

import importlib
from typing import Any

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

_ROOMS = ("divergences", "experiments", "ledger", "notebook", "observability", "plots")


def __getattr__(name: str) -> Any:
    """Packages that are imported when they are first asked for."""
    if name in _ROOMS:
        return importlib.import_module(f"scoredrift.{name}")
    raise AttributeError(f"module 'scoredrift' has no attribute {name!r}")
