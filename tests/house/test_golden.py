"""One case with every answer in closed form, through score, simulator, functionals, observability, divergence.

q = N(0, I), constant error c, L = T − t0. The learned law at t0 is N(2(1 − e^{−L/2}) c, I), so with
ε*² = ‖c‖² L and η = 4(1 − e^{−L/2})²/L the divergence is χ² = exp(η ε*²) − 1 = exp(‖shift‖²) − 1.
"""

import math

import pytest
import torch
from sklearn.linear_model import LinearRegression

from helpers import affine_law, gaussian, line, seeded, within, worst_sigmas
from scoredrift import (
    ConstantField,
    Estimate,
    EulerMaruyama,
    Flow,
    OrnsteinUhlenbeck,
    SumScore,
    simulate,
)
from scoredrift.divergences import chi2, chi2_on_nodes, kl
from scoredrift.observability import by_pairs, by_regression, by_trajectories, chi2_by_futures, in_closed_form
from scoredrift.paths import Energy, LogRatio, Martingale, ideal_energy

OU = OrnsteinUhlenbeck()
L = OU.duration
RESPONSE = 2 * (1 - math.exp(-L / 2))
ETA = 4 * (1 - math.exp(-L / 2)) ** 2 / L
C = torch.tensor([0.3, -0.2], dtype=torch.float64)
NORMAL = gaussian([0.0, 0.0], 1.0)
EXACT = Flow(NORMAL, OU)
LEARNED = SumScore(EXACT, ConstantField(C))
ERROR = EXACT.error(LEARNED)
GRID = OU.uniform_grid(100)


def euler_law(grid):
    """Mean per unit of push and variance of the Euler–Maruyama law, exactly."""
    return affine_law(EulerMaruyama(), lambda x, t: 1 - x, 0.0, 1.0, grid)


def run(score, seed):
    g, energy, martingale, ratio = seeded(seed), Energy(ERROR), Martingale(ERROR), LogRatio(ERROR)
    start, watchers = NORMAL.sample(5000, generator=g), [energy, martingale, ratio]
    end = simulate(score, start, GRID, EulerMaruyama(), generator=g, functionals=watchers)
    return end, energy, martingale, ratio


@pytest.fixture(scope="module")
def learned_run():
    return run(LEARNED, 0)


@pytest.fixture(scope="module")
def ideal_run():
    return run(EXACT, 1)


def test_ideal_energy_is_the_square_of_the_error_times_the_duration():
    assert within(ideal_energy(ERROR, 10_000, generator=seeded(2)), 0.13 * L)


def test_energy_along_every_path_is_the_same_number(learned_run, ideal_run):
    for _, energy, _, _ in (learned_run, ideal_run):
        torch.testing.assert_close(
            energy.values, torch.full_like(energy.values, 0.13 * L), rtol=1e-11, atol=0
        )


def test_martingale_has_the_energy_as_variance(ideal_run):
    _, _, martingale, _ = ideal_run
    assert within(Estimate.from_samples(martingale.values), 0.0)
    assert within(Estimate.from_samples(martingale.values**2), 0.13 * L)


def test_the_response_to_a_push_is_the_closed_form_up_to_the_step():
    coarse, fine = (euler_law(OU.uniform_grid(k)) for k in (200, 400))
    for at_coarse, at_fine, limit in zip(coarse, fine, (RESPONSE, 1.0), strict=True):
        assert at_coarse - limit == pytest.approx(2 * (at_fine - limit), rel=0.02)
        assert 2 * at_fine - at_coarse == pytest.approx(limit, abs=1e-4)


def test_learned_law_is_the_shifted_normal(learned_run):
    end, _, _, _ = learned_run
    response, spread = euler_law(GRID)
    assert worst_sigmas(end, response * C) < 5
    centred = end - response * C
    assert worst_sigmas(centred[:, :, None] * centred[:, None, :], spread * torch.eye(2)) < 5


def test_likelihood_ratios_move_the_ideal_mean_to_the_learned_one(ideal_run):
    """Girsanov: E_{P*}[e^Z Y_t0] is the mean of the learned law. A wrong sign of M shows here."""
    end, _, _, ratio = ideal_run
    response, _ = euler_law(GRID)
    assert worst_sigmas(ratio.values.exp()[:, None] * end, response * C) < 5


def test_the_log_ratio_is_the_martingale_less_half_the_energy(ideal_run, learned_run):
    for _, energy, martingale, ratio in (ideal_run, learned_run):
        torch.testing.assert_close(ratio.martingales, martingale.values)
        torch.testing.assert_close(ratio.energies, energy.values)
        torch.testing.assert_close(ratio.values, martingale.values - 0.5 * energy.values)


def test_the_likelihood_ratio_has_mean_one_and_the_chi_square_of_paths(ideal_run):
    """E_{P*} e^Z = 1 and E_{P*} e^{2Z} = e^{ε*²}."""
    ratio = ideal_run[3].values.exp()
    assert within(Estimate.from_samples(ratio), 1.0)
    assert within(Estimate.from_samples(ratio.square()), math.exp(0.13 * L))


def test_observability_in_closed_form_and_by_pairs():
    exactly = in_closed_form(ERROR)
    assert exactly.eta.value == pytest.approx(ETA, rel=1e-12)
    found = by_pairs(ERROR, 4000, generator=seeded(5))
    assert within(found.energy, 0.13 * L)
    assert within(found.visible, ETA * 0.13 * L)
    assert within(found.eta, ETA)


def test_observability_by_trajectories_and_by_regression_up_to_the_step():
    """The bias of the regression is known exactly: cov(M, Y) is the response of the simulation."""
    found = by_trajectories(ERROR, 4000, grid=GRID, generator=seeded(6))
    assert found.energy.value == pytest.approx(0.13 * L, rel=1e-9)
    assert within(found.eta, ETA)
    straight = LinearRegression()
    fitted = by_regression(ERROR, 4000, grid=GRID, generator=seeded(7), regressor=straight)
    response, spread = euler_law(GRID)
    assert within(fitted.eta, response**2 / spread / L)
    assert fitted.eta.value == pytest.approx(ETA, rel=0.1)


def test_chi_square_is_the_exponential_of_observability_times_energy():
    """χ²(p̂ ‖ q) by Monte Carlo and on a grid, with the densities of the closed-form laws."""
    learned = gaussian((RESPONSE * C).tolist(), 1.0)
    energy = 0.13 * L
    sampled = chi2(learned, NORMAL, 20_000, generator=seeded(3))
    assert sampled.trusted
    assert within(sampled, math.exp(ETA * energy) - 1)
    nodes = line(-9, 9, 181)
    mesh = torch.cartesian_prod(nodes, nodes)
    p, q = (law.log_density(mesh).exp().reshape(181, 181) for law in (learned, NORMAL))
    assert chi2_on_nodes(p, q, nodes) == pytest.approx(math.exp(ETA * energy) - 1, rel=1e-9)
    assert math.exp(ETA * energy) == pytest.approx(math.exp(RESPONSE**2 * 0.13), rel=1e-12)
    assert within(kl(learned, NORMAL, 10_000, generator=seeded(4)), 0.5 * ETA * energy)


def test_two_futures_give_the_chi_square_of_half_the_push():
    half = EXACT.error(SumScore(EXACT, ConstantField(0.5 * C)))
    found = chi2_by_futures(half, 6000, OU.geometric_grid(40), generator=seeded(5))
    assert within(found, math.exp(0.25 * ETA * 0.13 * L) - 1)


def test_the_rest_beyond_first_order_is_that_of_a_normal_log_ratio(ideal_run):
    """ρ² = E(e^Z − 1 − M)² = e^{ε*²} − 1 − ε*², and |√χ² − √η ε*| ≤ ρ."""
    ratio, energy = ideal_run[3], 0.13 * L
    rest = Estimate.from_samples((ratio.values.exp() - 1 - ratio.martingales) ** 2)
    assert within(rest, math.expm1(energy) - energy)
    gap = math.sqrt(math.expm1(ETA * energy)) - math.sqrt(ETA * energy)
    assert 0 < gap < math.sqrt(rest.value)
