"""What several test files need: seeded randomness, mixtures, quadrature, the Monte Carlo gate."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from scoredrift import Estimate, GaussianMixture

repeatable = settings(deadline=None, max_examples=25, derandomize=True)


_WITHOUT = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none")


def needs_cuda(test):
    """Marks a test ``cuda``, by which benchmarks/cuda_tests.py finds it, and skips it without a device."""
    return pytest.mark.cuda(_WITHOUT(test))


# Values of a parameter of tests that run on both, in a file that mentions needs_cuda.
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, _WITHOUT])]


def seeded(seed: int, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def random_mixture(seed: int, components: int = 3, dim: int = 2) -> GaussianMixture:
    g = seeded(seed)
    return GaussianMixture(
        torch.softmax(torch.randn(components, generator=g, dtype=torch.float64), 0),
        2 * torch.randn(components, dim, generator=g, dtype=torch.float64),
        0.2 + 1.5 * torch.rand(components, generator=g, dtype=torch.float64),
    )


def mixtures(max_dim: int = 3) -> st.SearchStrategy[GaussianMixture]:
    return st.builds(
        random_mixture,
        seed=st.integers(0, 10**6),
        components=st.integers(1, 4),
        dim=st.integers(1, max_dim),
    )


def gaussian(mean: list[float], variance: float) -> GaussianMixture:
    return GaussianMixture(
        torch.ones(1, dtype=torch.float64),
        torch.tensor([mean], dtype=torch.float64),
        torch.tensor([variance], dtype=torch.float64),
    )


def photographs(n, dim, seed):
    """Centres as images have them: a few smooth patterns, a little noise, of norms that differ."""
    g = seeded(seed)
    patterns = torch.randn(20, dim, generator=g)
    mixture = torch.randn(n, 20, generator=g) @ patterns / 20**0.5
    return (0.5 * mixture + 0.1 * torch.randn(n, dim, generator=g)).clamp(-1, 1)


def points(seed: int, n: int, dim: int) -> Tensor:
    return 3 * torch.randn(n, dim, generator=seeded(seed), dtype=torch.float64)


def line(low: float = -14.0, high: float = 14.0, count: int = 1401) -> Tensor:
    return torch.linspace(low, high, count, dtype=torch.float64)


def density_on(law: GaussianMixture, nodes: Tensor) -> Tensor:
    return law.log_density(nodes[:, None]).exp()


def normal_density(x: Tensor, mean: float | Tensor, variance: float | Tensor) -> Tensor:
    variance = torch.as_tensor(variance, dtype=x.dtype)
    return torch.exp(-0.5 * (x - mean) ** 2 / variance) / (2 * torch.pi * variance).sqrt()


def jacobian_trace(field, x: Tensor) -> Tensor:
    jacobian = torch.autograd.functional.jacobian(field, x)
    return torch.einsum("njnj->n", jacobian)


def within(estimate: Estimate, reference: float | Estimate, sigmas: float = 5.0) -> bool:
    gap = estimate - reference
    # An estimate without spread still carries rounding.
    return abs(gap.value) <= sigmas * gap.stderr + 1e-12 * abs(estimate.value)


def worst_sigmas(samples: Tensor, references: Tensor) -> float:
    """Largest distance, in standard errors, between means of samples [n, …] and references […]."""
    columns = samples.flatten(1).T
    wanted = references.flatten().tolist()
    return max(
        abs(Estimate.from_samples(column).sigmas_from(reference))
        for column, reference in zip(columns, wanted, strict=True)
    )


def affine_law(integrator, score, mean: float, variance: float, grid: Tensor) -> tuple[float, float]:
    """Mean and variance of the simulated law in 1-D, exactly, for a score that is affine in x.

    Then a step is x' = origin + slope x + kick ξ, so three evaluations reveal it: no Monte Carlo.
    """
    x = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    noise = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    for t, t_next in pairwise(grid.tolist()):
        origin, at_one, at_noise = integrator.step(score, x, t, t_next, noise)[:, 0].tolist()
        slope, kick = at_one - origin, at_noise - origin
        mean, variance = origin + slope * mean, slope**2 * variance + kick**2
    return mean, variance
