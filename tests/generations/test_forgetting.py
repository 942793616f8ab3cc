"""What errors add up to when every generation is trained on all that came before."""

import math

import pytest
import torch
from scipy.special import digamma, polygamma

from helpers import seeded, within
from scoredrift import Estimate, GaussianMixture
from scoredrift.generations import Accumulate, accumulated, recurse_laws


@pytest.mark.parametrize("generation", [0, 1, 2, 10, 1000])
def test_without_fresh_data_harmonic_sums(generation):
    found = accumulated(generation)
    assert found.bias == pytest.approx(digamma(generation + 2) - digamma(1))
    assert found.noise == pytest.approx(math.pi**2 / 6 - float(polygamma(1, generation + 2)))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("generation", [0, 1, 5, 200])
def test_bias_with_fresh_data_in_gamma_functions(alpha, generation):
    i = generation
    product = math.exp(math.lgamma(i + 2 - alpha) - math.lgamma(i + 2) - math.lgamma(2 - alpha))
    assert accumulated(i, alpha=alpha).bias == pytest.approx((1 - (1 - alpha) * product) / alpha)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_noise_by_the_weights_of_every_batch(alpha):
    weights = torch.eye(9, dtype=torch.float64)  # of the noises, in the pool of so many batches
    batches, pool = [], torch.zeros(9, dtype=torch.float64)
    for k in range(9):
        batches.append((1 - alpha) * pool + weights[k])
        pool = torch.stack(batches).mean(0)
        assert accumulated(k, alpha=alpha).noise == pytest.approx(float(pool @ pool))


def test_bias_of_a_kernel_density_on_accumulated_laws():
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    run = recurse_laws(
        lambda law: law.blur(0.1), GaussianMixture(one, zero, one), regime=Accumulate(), generations=12
    )
    for i, generation in enumerate(run):
        variance = float(generation.model.weights @ generation.model.variances)
        assert variance == pytest.approx(1 + 0.01 * accumulated(i).bias)


def test_noise_of_accumulated_histograms():
    n, runs, p = 200, 4000, torch.full((5,), 0.2, dtype=torch.float64)
    g, total, seen = seeded(3), torch.zeros(runs, 5, dtype=torch.float64), p.expand(runs, 5)
    for k in range(1, 9):
        cells = torch.multinomial(seen, n, replacement=True, generator=g)
        total = total.scatter_add(1, cells, torch.ones_like(cells, dtype=torch.float64))
        seen = total / (n * k)
    drift = Estimate.from_samples(((seen - p) ** 2 / p).sum(1))
    assert within(drift, Estimate(4 / n * accumulated(7).noise, 0.005 * 4 / n))
