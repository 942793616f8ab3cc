"""Fits for the recursion: kernel densities, exact or simulated, and memories.

A kernel density with bandwidth h, trained on points c_j, generates the law of its flow at t0,

    Σ_j (1/N) N(a(t0) c_j, a(t0)² h² + v(t0)),

if its reverse process starts from its own q_T and runs without error: ``KernelFit`` draws from this
law directly. ``SimulatedKernelFit`` starts from N(0, I) and takes time steps, as the source paper did
for all that we know; ``NormalStartFit`` starts there, too, but makes no error of steps. As N → ∞ the
first maps a law q to the law of a(t0)(X + h ξ) + √v(t0) ξ', which keeps Gaussian mixtures Gaussian
mixtures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift import process as ou
from scoredrift.laws import Gaussian, GaussianMixture, KernelDensity
from scoredrift.paths import EulerMaruyama, Integrator, VectorField, simulate
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import Flow


@dataclass(frozen=True)
class KernelFit:
    """Fit a kernel density and generate from it exactly, without a solver.

    Args:
        bandwidth: h > 0, in the units of the data.
        process: forward process; generation stops at its t0.

    Raises:
        ValueError: h ≤ 0.

    >>> fit = KernelFit(0.6, OrnsteinUhlenbeck())
    >>> generated = fit(torch.zeros(5, 2), generator=torch.Generator())
    >>> round(generated.bandwidth, 4)  # √(a² h² + v) at t0
    0.6105
    """

    bandwidth: float
    process: OrnsteinUhlenbeck

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidth", _checks.width("bandwidth", self.bandwidth))
        _checks.process(self.process)

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> KernelDensity:
        """Law that the model generates; fitting takes no randomness.

        Args:
            data: training set, shape ``[n, d]``.
            generator: unused.
        """
        return KernelDensity(data, self.bandwidth).diffuse(self.process.t_min)

    def limit(self, law: GaussianMixture) -> GaussianMixture:
        """Law that the model generates when it is trained on infinitely many points of ``law``.

        Args:
            law: training law q.

        Returns:
            The law of a(t0)(X + h ξ) + √v(t0) ξ' with X ~ q.

        >>> from scoredrift.laws import mixture_of_five
        >>> KernelFit(0.6, OrnsteinUhlenbeck()).limit(mixture_of_five()).variances[0]
        tensor(0.7255, dtype=torch.float64)
        """
        _checks.able("law", law, "blur", "diffuse")
        return law.blur(self.bandwidth).diffuse(self.process.t_min)


@dataclass(frozen=True)
class SimulatedKernelFit:
    """Fit a kernel density and generate from it literally: N(0, I) at T, then time steps to t0.

    Source: arXiv 2602.16601, App. G.1 (500 Euler–Maruyama steps; the grid is not known to us).

    Args:
        bandwidth: h > 0, in the units of the data.
        process: forward process.
        steps: number of time steps on the uniform grid.
        integrator: numerical method.

    Raises:
        ValueError: h ≤ 0, or steps that are not a positive integer.

    >>> fit = SimulatedKernelFit(0.6, OrnsteinUhlenbeck(), steps=10)
    >>> model = fit(torch.zeros(5, 2), generator=torch.Generator())
    >>> model.sample(3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """

    bandwidth: float
    process: OrnsteinUhlenbeck
    steps: int = 500
    integrator: Integrator = field(default_factory=EulerMaruyama)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidth", _checks.width("bandwidth", self.bandwidth))
        _checks.process(self.process)
        _checks.count("steps", self.steps)

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> SimulatedModel:
        """Model that draws by simulation; fitting takes no randomness.

        Args:
            data: training set, shape ``[n, d]``.
            generator: unused.
        """
        score = Flow(KernelDensity(data, self.bandwidth), self.process)
        return SimulatedModel(
            score, self.process.uniform_grid(self.steps), self.integrator, torch.zeros_like(data[0])
        )


@dataclass(frozen=True)
class SimulatedModel:
    """A score with a numerical method: what users of diffusion models call a model.

    Args:
        score: s(x, t).
        grid: decreasing times, shape ``[K + 1]``.
        integrator: numerical method.
        origin: a zero vector that gives dimension, dtype and device, shape ``[d]``.

    >>> grid = OrnsteinUhlenbeck().uniform_grid(10)
    >>> model = SimulatedModel(lambda x, t: -x, grid, EulerMaruyama(), torch.zeros(2))
    >>> model.sample(3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """

    score: VectorField
    grid: Tensor
    integrator: Integrator
    origin: Tensor

    def __post_init__(self) -> None:
        if _checks.floating("origin", self.origin).ndim != 1:
            _checks.refuse("origin.shape", list(self.origin.shape), "pass one point of R^d, [d]")

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points: N(0, I) at the first time of the grid, then steps to the last.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the model.

        Returns:
            Points, shape ``[n, d]``.

        Raises:
            ValueError: n that is not a positive integer, or what ``simulate`` refuses.
        """
        _checks.count("n", n)
        dtype, device = self.origin.dtype, self.origin.device
        _checks.generator_on(generator, device)
        start = torch.randn(n, len(self.origin), generator=generator, dtype=dtype, device=device)
        return simulate(self.score, start, self.grid, self.integrator, generator=generator)


@dataclass(frozen=True)
class NormalStartFit:
    """Fit a kernel density and run its reverse process without steps, but from N(0, I).

    Between ``KernelFit`` and ``SimulatedKernelFit``: what a simulation with infinitely many steps would
    generate. Given Y_T = y, the reverse process leads back to centre j with probability r_j(y), the
    responsibility at time T, and along the Ornstein–Uhlenbeck bridge to

        N(a c_j + k (y − a_T c_j), (v_h − k a' v_h) I),     k = a' v_h/v_{h,T},  a' = a(T − t0),

    where a, v_h and a_T, v_{h,T} are scale and variance of the kernel density at t0 and T.

    Args:
        bandwidth: h > 0, in the units of the data.
        process: forward process.

    Raises:
        ValueError: h ≤ 0.

    >>> model = NormalStartFit(0.6, OrnsteinUhlenbeck())(torch.zeros(5, 2), generator=torch.Generator())
    >>> model.sample(3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """

    bandwidth: float
    process: OrnsteinUhlenbeck

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidth", _checks.width("bandwidth", self.bandwidth))
        _checks.process(self.process)

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> NormalStartModel:
        """Model that draws from N(0, I) backwards; fitting takes no randomness.

        Args:
            data: training set, shape ``[n, d]``.
            generator: unused.
        """
        return NormalStartModel(KernelDensity(data, self.bandwidth), self.process)


@dataclass(frozen=True)
class NormalStartModel:
    """Reverse process of a kernel density's flow, started from N(0, I); see ``NormalStartFit``.

    Args:
        density: the kernel density.
        process: forward process.

    >>> model = NormalStartModel(KernelDensity(torch.zeros(5, 2), 1.0), OrnsteinUhlenbeck())
    >>> model.sample(3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """

    density: KernelDensity
    process: OrnsteinUhlenbeck

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points; takes n × N exponentials, a block of points at a time.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the centres.

        Returns:
            Points, shape ``[n, d]``.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.
        """
        n = _checks.count("n", n)
        _checks.generator_on(generator, self.density.device)
        early, late = self.density.diffuse(self.process.t_min), self.density.diffuse(self.process.t_max)
        v_early, v_late = early.bandwidth**2, late.bandwidth**2
        kept = float(ou.scale(self.process.duration))  # a'
        gain = kept * v_early / v_late
        dtype, device = self.density.dtype, self.density.device
        points = []
        for rows in torch.arange(n).split(max(1, 2**24 // len(late.centres))):
            y, noise = torch.randn(
                2, len(rows), self.density.dim, generator=generator, dtype=dtype, device=device
            )
            u = torch.rand(len(rows), 1, generator=generator, dtype=dtype, device=device)
            logits = torch.cdist(y, late.centres).square() / (-2 * v_late)
            steps = torch.softmax(logits, dim=1).cumsum(1)
            chosen = torch.searchsorted(steps, u * steps[:, -1:])[:, 0].clamp(max=steps.shape[1] - 1)
            centre = early.centres[chosen] + gain * (y - late.centres[chosen])
            points.append(centre + math.sqrt(v_early - gain * kept * v_early) * noise)
        return torch.cat(points)


@dataclass(frozen=True)
class Memory:
    """The control h → 0: a model that has learned its training set by heart.

    Args:
        process: generation stops at its t0, so each point comes back as a(t0) c + √v(t0) ξ; None
            for t0 → 0, where the points come back as they are.

    >>> Memory()(torch.ones(5, 2), generator=torch.Generator()).sample(
    ...     2, generator=torch.Generator().manual_seed(0))
    tensor([[1., 1.],
            [1., 1.]])
    """

    process: OrnsteinUhlenbeck | None = None

    def __post_init__(self) -> None:
        if self.process is not None:
            _checks.process(self.process)

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> KernelDensity | Resampling:
        """Model that draws training points; arguments as for ``KernelFit``."""
        _checks.points("data", data)
        if self.process is None:
            return Resampling(data)
        t0 = self.process.t_min
        return KernelDensity(float(ou.scale(t0)) * data, math.sqrt(float(ou.variance(t0))))

    def limit(self, law: GaussianMixture) -> GaussianMixture:
        """Law that the model generates when it is trained on infinitely many points of ``law``.

        Args:
            law: training law q.

        Returns:
            The law of X_{t0} with X_0 ~ q, or q itself.

        >>> from scoredrift.laws import mixture_of_five
        >>> Memory().limit(mixture_of_five()).variances[0]
        tensor(0.3600, dtype=torch.float64)
        """
        return law if self.process is None else law.diffuse(self.process.t_min)


@dataclass(frozen=True)
class Resampling:
    """Draws with replacement from a fixed set of points.

    Args:
        points: shape ``[n, d]``.

    >>> Resampling(torch.ones(5, 2)).sample(1, generator=torch.Generator())
    tensor([[1., 1.]])
    """

    points: Tensor

    def __post_init__(self) -> None:
        _checks.points("points", self.points)
        if self.points.numel() == 0:
            _checks.refuse("points.shape", list(self.points.shape), "pass one or more points of R^d")

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n of the points with replacement, shape ``[n, d]``.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the points.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.
        """
        _checks.count("n", n)
        _checks.generator_on(generator, self.points.device)
        chosen = torch.randint(len(self.points), (n,), generator=generator, device=self.points.device)
        return self.points[chosen]


def gaussian_fit(data: Tensor, *, generator: torch.Generator) -> Gaussian:
    """Maximum-likelihood Gaussian as a fit for the recursion.

    Args:
        data: training set, shape ``[n, d]``, n > d.
        generator: unused.

    Returns:
        The fitted law.

    >>> gaussian_fit(torch.tensor([[-1.0], [1.0]]), generator=torch.Generator()).covariance
    tensor([[1.]])
    """
    return Gaussian.fit(data)
