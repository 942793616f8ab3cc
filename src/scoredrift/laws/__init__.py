"""Laws whose Ornstein–Uhlenbeck flow is known exactly: log q_t, ∇ log q_t and ∇·∇ log q_t at any point.

GaussianMixture     Σ_k π_k N(m_k, w_k² I), closed under blending, blurring and diffusing
Gaussian            N(μ, Σ) with a full covariance
KernelDensity       (1/N) Σ_j N(c_j, h² I), the learned model of the paper's mixture experiment
Blend, Marginal     Σ_i π_i q_i and q_t, of laws of any kind
"""

from scoredrift.laws.base import Evaluation, Law, Marginal, Source, elapsed, summary
from scoredrift.laws.blends import Blend
from scoredrift.laws.examples import mixture_of_five, mixture_of_three, on_nodes
from scoredrift.laws.gaussian import Gaussian
from scoredrift.laws.kernels import KernelDensity
from scoredrift.laws.mixtures import GaussianMixture

__all__ = [
    "Blend",
    "Evaluation",
    "Gaussian",
    "GaussianMixture",
    "KernelDensity",
    "Law",
    "Marginal",
    "Source",
    "elapsed",
    "mixture_of_five",
    "mixture_of_three",
    "on_nodes",
    "summary",
]
