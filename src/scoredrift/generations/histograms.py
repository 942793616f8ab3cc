"""The smallest model that makes sampling errors only: a histogram, retrained on its own draws.

A law on K cells is estimated by the frequencies of n draws of the training mixture,

    n p̂^{i+1} ~ Multinomial(n, q_i),      q_i = α p + (1 − α) p̂^i.

Its errors have mean zero whatever came before, so their coherence is zero on average, the forcing is
E B = (1/n) (Σ_k q_k/p_k − Σ_k q_k²/p_k), and with D_0 = 0

    E D_{i+1} = (1 − α)² (1 − 1/n) E D_i + (K − 1)/n,
    E D_∞ = (K − 1)/(n − (n − 1)(1 − α)²) ≈ (K − 1)/(n α (2 − α)).

Proof. E q = p if E p̂^i = p, so that E Σ q_k/p_k = K, and Σ q_k²/p_k = 1 + (1 − α)² D_i.

Source: ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoredrift import _checks


def histogram_recursion(
    data: Tensor, draws: int, *, alpha: float, generations: int, runs: int, generator: torch.Generator
) -> Tensor:
    """Frequencies in the generations 0, …, N of histograms that are retrained on their own draws.

    Args:
        data: p, probabilities of K cells, shape ``[K]``, float64.
        draws: n, the draws that each generation is trained on.
        alpha: fresh fraction α in (0, 1].
        generations: N ≥ 0.
        runs: number of independent recursions.
        generator: source of randomness, on the device of ``data``.

    Returns:
        Frequencies, shape ``[N + 1, runs, K]``; generation 0 is trained on the data alone.

    Raises:
        ValueError: numbers out of range, or ``data`` that are not probabilities.

    >>> p = torch.full((4,), 0.25, dtype=torch.float64)
    >>> g = torch.Generator().manual_seed(0)
    >>> path = histogram_recursion(p, 100, alpha=0.5, generations=3, runs=2, generator=g)
    >>> path.shape, float(path[3, 0].sum())
    (torch.Size([4, 2, 4]), 1.0)
    """
    _checks.probabilities("data", data)
    draws, runs = _checks.count("draws", draws), _checks.count("runs", runs)
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    generations = _checks.count("generations", generations, least=0)
    _checks.generator_on(generator, data.device)
    models = []
    trained_on = data.expand(runs, -1)
    for _ in range(generations + 1):
        cells = torch.multinomial(trained_on, draws, replacement=True, generator=generator)
        counts = torch.zeros_like(trained_on).scatter_add(1, cells, torch.ones_like(cells, dtype=data.dtype))
        models.append(counts / draws)
        trained_on = alpha * data + (1 - alpha) * models[-1]
    return torch.stack(models)


def histogram_divergence(cells: int, draws: int, *, alpha: float, generation: int) -> float:
    """Expected divergence E D_i = E χ²(p̂^i‖p) of a retrained histogram.

        E D_{i+1} = (1 − α)² (1 − 1/n) E D_i + (K − 1)/n,      E D_0 = (K − 1)/n

    Args:
        cells: K ≥ 1, the number of cells with data.
        draws: n ≥ 1.
        alpha: fresh fraction α in (0, 1].
        generation: i ≥ 0.

    Returns:
        E D_i, without unit; whatever the data law.

    Raises:
        ValueError: numbers out of range.

    Source: ours.

    >>> round(histogram_divergence(10, 100, alpha=0.5, generation=0), 4)
    0.09
    >>> round(histogram_divergence(10, 100, alpha=0.5, generation=99), 4)  # 9/(100 · 0.75) = 0.12
    0.1196
    """
    cells, draws = _checks.count("cells", cells), _checks.count("draws", draws)
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    generation = _checks.count("generation", generation, least=0)
    if alpha == 1 or draws == 1:
        return (cells - 1) / draws
    # The factor of each generation is e^−rate, and its distance from one may be far below rounding.
    rate = -2 * math.log1p(-alpha) - math.log1p(-1 / draws)
    return (cells - 1) / draws * math.expm1(-(generation + 1) * rate) / math.expm1(-rate)
