"""Denoising score matching: the loss whose minimum is the score.

With X_t = a X_0 + √v ε and a network that predicts ε,

    L = ∫_{t0}^{T} w(t) E‖ε̂(X_t, t) − ε‖² dt,        and for w = 1/v:   L(ŝ) = L(s*) + ε*²,

since ŝ − s* = −(ε̂ − E[ε | X_t])/√v: the loss and the score-error energy of the theory differ by a number
that no network can change (Vincent 2011, doi 10.1162/NECO_a_00142).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift import process as ou
from scoredrift.process import OrnsteinUhlenbeck, TimeSampler, log_uniform_times

Weighting = Callable[[Tensor], Tensor]


def by_energy(t: Tensor) -> Tensor:
    """Weight w(t) = 1/v(t), with which a difference of losses is a difference of energies ε*².

    Args:
        t: times > 0, any shape.

    Returns:
        Weights, shape of t.

    >>> by_energy(torch.tensor([2.0]).log())
    tensor([2.])
    """
    return 1 / ou.variance(_checks.noisy("t", t))


def evenly(t: Tensor) -> Tensor:
    """Weight w(t) = 1: the error of the predicted noise, alike at every time.

    Args:
        t: times, any shape.

    Returns:
        Ones, shape of t.

    >>> evenly(torch.tensor([0.5]))
    tensor([1.])
    """
    return torch.ones_like(_checks.noisy("t", t))


def spread_times(
    process: OrnsteinUhlenbeck, n: int, *, generator: torch.Generator, times: TimeSampler = log_uniform_times
) -> ou.RandomTimes:
    """n times that share one random number, evenly spread over the quantiles: u_k = (u + k)/n.

    Each of them has the density of the sampler, so that means stay unbiased; together they leave no gap
    larger than 1/n, which takes the noise of the choice of times out of a batch.
    Source: Kingma et al. 2021 (arXiv 2107.00630), appendix I.1.

    Args:
        process: gives t0 and T.
        n: number of times ≥ 1.
        generator: source of the one number; the times are on its device.
        times: density of the times.

    Returns:
        Times and weights, each ``[n]``, float64, in increasing order.

    >>> u = spread_times(OrnsteinUhlenbeck(1.0, 2.0), 4, generator=torch.Generator(), times=ou.uniform_times)
    >>> torch.allclose(u.t.diff(), torch.tensor(0.25).double())
    True
    """
    n = _checks.count("n", n)
    _checks.process(process)
    _checks.generator_on(generator)
    u = torch.rand(1, generator=generator, dtype=torch.float64, device=generator.device)
    steps = torch.arange(n, dtype=torch.float64, device=generator.device)
    return times(process, ((u + steps) / n).clamp(max=1.0))


def denoising_terms(
    network: Callable[[Tensor, Tensor], Tensor],
    points: Tensor,
    noise: Tensor,
    at: ou.RandomTimes,
    weighting: Weighting = by_energy,
) -> Tensor:
    """Terms w(τ) ‖ε̂(a x_0 + √v ε, τ) − ε‖² of the denoising loss, one for each point.

    Args:
        network: predicts ε from points ``[n, d]`` and times ``[n]``; called with gradients as they are.
        points: x_0, shape ``[n, d]``.
        noise: ε, shape ``[n, d]``.
        at: times τ and their weights, each ``[n]``; the weights of the times are multiplied in.
        weighting: w.

    Returns:
        Terms, shape ``[n]``, of which the mean is an unbiased estimate of L.

    Raises:
        ValueError: points, noise or a prediction that do not fit each other.

    >>> silent = torch.nn.Module()
    >>> silent.forward = lambda x, t: 0 * x
    >>> at = ou.uniform_times(OrnsteinUhlenbeck(1.0, 2.0), torch.rand(3))
    >>> denoising_terms(silent, torch.zeros(3, 2), torch.ones(3, 2), at, evenly)
    tensor([2., 2., 2.])
    """
    _checks.points("points", points)
    _checks.points("noise", noise, points.shape[1], like=points)
    _checks.vectors("noise", noise, points)
    return _unchecked_terms(network, points, noise, at, weighting)


def _unchecked_terms(
    network: Callable[[Tensor, Tensor], Tensor],
    points: Tensor,
    noise: Tensor,
    at: ou.RandomTimes,
    weighting: Weighting,
) -> Tensor:
    """``denoising_terms`` of points and noise that are known to be fit, as in each step of a training."""
    clock = at.t.to(points.dtype)
    scale, spread = ou.scale(at.t).to(points.dtype), ou.variance(at.t).sqrt().to(points.dtype)
    predicted = network(scale[:, None] * points + spread[:, None] * noise, clock)
    if predicted.shape != noise.shape:
        remedy = f"a network that predicts the noise returns {list(noise.shape)}"
        _checks.refuse("network(x, t).shape", list(predicted.shape), remedy)
    weight = (at.weight * weighting(at.t)).to(points.dtype)
    return weight * (predicted.to(points.dtype) - noise).square().sum(1)
