"""One case with every answer in closed form, through score, simulator, functionals and divergence.

q = N(0, I), constant error c, L = T − t0. The learned law at t0 is N(2(1 − e^{−L/2}) c, I), so with
ε*² = ‖c‖² L and η = 4(1 − e^{−L/2})²/L the divergence is χ² = exp(η ε*²) − 1 = exp(‖shift‖²) − 1.
"""

import math

import pytest
import torch

from helpers import affine_law, gaussian, seeded, within, worst_sigmas
from scoredrift import (
    ConstantField,
    Estimate,
    EulerMaruyama,
    FlowScore,
    OrnsteinUhlenbeck,
    ScoreError,
    SumScore,
    simulate,
)
from scoredrift.divergences import kl
from scoredrift.girsanov import Energy, Martingale, ideal_energy

OU = OrnsteinUhlenbeck()
L = OU.duration
RESPONSE = 2 * (1 - math.exp(-L / 2))
C = torch.tensor([0.3, -0.2], dtype=torch.float64)
NORMAL = gaussian([0.0, 0.0], 1.0)
EXACT = FlowScore(NORMAL, OU)
LEARNED = SumScore(EXACT, ConstantField(C))
ERROR = ScoreError(LEARNED, EXACT)
GRID = OU.uniform_grid(100)


def euler_law(grid):
    """Mean per unit of push and variance of the Euler–Maruyama law, exactly."""
    return affine_law(EulerMaruyama(), lambda x, t: 1 - x, 0.0, 1.0, grid)


def run(score, seed):
    g, energy, martingale = seeded(seed), Energy(ERROR), Martingale(ERROR)
    start = NORMAL.sample(5000, generator=g)
    end = simulate(score, start, GRID, EulerMaruyama(), generator=g, functionals=[energy, martingale])
    return end, energy, martingale


@pytest.fixture(scope="module")
def learned_run():
    return run(LEARNED, 0)


@pytest.fixture(scope="module")
def ideal_run():
    return run(EXACT, 1)


def test_ideal_energy_is_the_square_of_the_error_times_the_duration():
    assert within(ideal_energy(ERROR, NORMAL, OU, 10_000, generator=seeded(2)), 0.13 * L)


def test_energy_along_every_path_is_the_same_number(learned_run, ideal_run):
    for _, energy, _ in (learned_run, ideal_run):
        torch.testing.assert_close(
            energy.values, torch.full_like(energy.values, 0.13 * L), rtol=1e-11, atol=0
        )


def test_martingale_has_the_energy_as_variance(ideal_run):
    _, _, martingale = ideal_run
    assert within(Estimate.from_samples(martingale.values), 0.0)
    assert within(Estimate.from_samples(martingale.values**2), 0.13 * L)


def test_the_response_to_a_push_is_the_closed_form_up_to_the_step():
    coarse, fine = (euler_law(OU.uniform_grid(k)) for k in (200, 400))
    for at_coarse, at_fine, limit in zip(coarse, fine, (RESPONSE, 1.0), strict=True):
        assert at_coarse - limit == pytest.approx(2 * (at_fine - limit), rel=0.02)
        assert 2 * at_fine - at_coarse == pytest.approx(limit, abs=1e-4)


def test_learned_law_is_the_shifted_normal(learned_run):
    end, _, _ = learned_run
    response, spread = euler_law(GRID)
    assert worst_sigmas(end, response * C) < 5
    centred = end - response * C
    assert worst_sigmas(centred[:, :, None] * centred[:, None, :], spread * torch.eye(2)) < 5


def test_likelihood_ratios_move_the_ideal_mean_to_the_learned_one(ideal_run):
    """Girsanov: E_{P*}[e^Z Y_t0] is the mean of the learned law. A wrong sign of M shows here."""
    end, energy, martingale = ideal_run
    ratio = torch.exp(martingale.values - 0.5 * energy.values)
    response, _ = euler_law(GRID)
    assert worst_sigmas(ratio[:, None] * end, response * C) < 5


def test_chi_square_is_the_exponential_of_observability_times_energy():
    """χ²(p̂ ‖ q) = E_q[(p̂/q)²] − 1, by Monte Carlo with the densities of the closed-form laws."""
    learned = gaussian((RESPONSE * C).tolist(), 1.0)
    observability, energy = 4 * (1 - math.exp(-L / 2)) ** 2 / L, 0.13 * L
    x = NORMAL.sample(100_000, generator=seeded(3))
    ratio = torch.exp(learned.log_density(x) - NORMAL.log_density(x))
    chi_square = Estimate.from_samples((ratio - 1) ** 2)
    assert within(chi_square, math.exp(observability * energy) - 1)
    assert math.exp(observability * energy) == pytest.approx(math.exp(RESPONSE**2 * 0.13), rel=1e-12)
    assert within(kl(learned, NORMAL, 10_000, generator=seeded(4)), 0.5 * observability * energy)
