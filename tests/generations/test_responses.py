"""The linear response of a learner: read back from recursions whose response is known."""

from __future__ import annotations

import pytest
import torch

from helpers import seeded
from scoredrift import Accumulate, FreshFraction, Gaussian, KernelFit, OrnsteinUhlenbeck, Replace, recurse
from scoredrift.generations import accumulated, linear_response, response_forecast


def paths(response, bias, *, alpha, generations, runs=1, noise=0.0, seed=0):
    """Runs of δ' = (1−α) A δ + b + noise."""
    g, found = seeded(seed), []
    state = torch.zeros(runs, len(bias), dtype=torch.float64)
    for _ in range(generations + 1):
        fresh = noise * torch.randn(state.shape, generator=g, dtype=torch.float64)
        state = (1 - alpha) * state @ response.T + bias + fresh
        found.append(state)
    return torch.stack(found, dim=1)


def a_response(m=4, seed=1):
    g = seeded(seed)
    turn = torch.randn(m, m, generator=g, dtype=torch.float64)
    values = torch.linspace(0.2, 1.6, m, dtype=torch.float64)
    return turn @ torch.diag(values) @ torch.linalg.inv(turn), values, torch.randn(m, generator=g).double()


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_eigenvalues_are_those_of_the_response(alpha):
    response, values, bias = a_response()
    found = linear_response(paths(response, bias, alpha=alpha, generations=4), alpha=alpha)
    assert torch.allclose(found.eigenvalues, values, rtol=1e-3)
    assert found.missed < 1e-6


def test_a_turning_response_has_complex_eigenvalues():
    turn = torch.tensor([[0.0, -1.1], [1.1, 0.0]], dtype=torch.float64)
    found = linear_response(paths(turn, torch.ones(2).double(), alpha=0.5, generations=2), alpha=0.5)
    assert torch.allclose(found.eigenvalues.abs(), torch.full((2,), 1.1).double())
    assert bool(found.eigenvalues.is_complex())


@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.9, 1.0])
def test_a_forecast_is_the_recursion_itself_where_it_is_linear(alpha):
    response, _, bias = a_response()
    pilot = paths(response, bias, alpha=0.5, generations=4, runs=3)
    said = response_forecast(pilot, before=0.5, regime=FreshFraction(alpha), generations=12)
    wanted = paths(response, bias, alpha=alpha, generations=12)[0].square().sum(1)
    assert [one.value for one in said] == pytest.approx(wanted.tolist(), rel=1e-6)


def test_a_forecast_for_all_that_came_before_is_the_recursion_itself():
    """The pool's deviation is averaged by hand here: m' = m + (δ − m)/(n + 2)."""
    response, _, bias = a_response()
    pilot = paths(response, bias, alpha=0.5, generations=4, runs=3)
    said = response_forecast(pilot, before=0.5, regime=Accumulate(), generations=12)
    pool, wanted = torch.zeros(4, dtype=torch.float64), []
    for n in range(13):
        delta = response @ pool + bias
        wanted.append(float(delta.square().sum()))
        pool = pool + (delta - pool) / (n + 2)
    assert [one.value for one in said] == pytest.approx(wanted, rel=1e-6)


def test_a_forecast_without_fresh_data_is_the_limit_of_little():
    response, _, bias = a_response()
    pilot = paths(response, bias, alpha=0.5, generations=4, runs=3)
    none, little = (
        response_forecast(pilot, before=0.5, regime=regime, generations=8)
        for regime in (Replace(), FreshFraction(1e-9))
    )
    assert [one.value for one in none] == pytest.approx([one.value for one in little], rel=1e-6)
    assert none[8].value > 2 * none[1].value


def test_accumulated_noise_is_the_sum_of_the_closed_form():
    bias = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    pilot = paths(torch.eye(3).double(), bias, alpha=0.5, generations=1, runs=400, noise=0.2, seed=4)
    said = response_forecast(pilot, before=0.5, regime=Accumulate(), generations=6)
    for n, one in enumerate(said):
        sums = accumulated(n)
        wanted = sums.bias**2 * float(bias.square().sum()) + sums.noise * 3 * 0.04
        assert abs(one.sigmas_from(wanted)) < 5
        assert one.stderr < 0.15 * wanted


def test_a_forecast_with_noise_is_right_within_its_error():
    """Where the response is one, so that noise fades as the forecast has it."""
    bias = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    pilot = paths(torch.eye(3).double(), bias, alpha=0.5, generations=1, runs=400, noise=0.05, seed=3)
    said = response_forecast(pilot, before=0.5, regime=FreshFraction(0.2), generations=6)
    keep = 0.8 ** torch.arange(7, dtype=torch.float64)
    wanted = keep.cumsum(0) ** 2 * bias.square().sum() + 3 * 0.0025 * (keep**2).cumsum(0)
    for one, exact in zip(said, wanted.tolist(), strict=True):
        assert abs(one.sigmas_from(exact)) < 5
        assert one.stderr < 0.2 * exact


@pytest.mark.parametrize("last", [0, 3])
def test_noise_counts_once_where_nothing_is_handed_on(last):
    """Without synthetic data every generation is the first: ‖b‖² and the noise of one training."""
    bias = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    pilot = paths(torch.eye(3).double(), bias, alpha=0.5, generations=1, runs=400, noise=0.2, seed=4)
    said = response_forecast(pilot, before=0.5, regime=FreshFraction(1.0), generations=last)[last]
    assert abs(said.sigmas_from(float(bias.square().sum()) + 3 * 0.04)) < 5
    assert said.stderr < 0.02


def test_a_kernel_density_hands_deviations_on_as_they_are():
    """A kernel adds h² to the second moment, whatever the law: bias h², response one."""
    law = Gaussian(torch.zeros(1).double(), torch.eye(1).double())
    process = OrnsteinUhlenbeck(1e-4, 8.0)
    second = torch.stack(
        [
            recurse(
                KernelFit(0.5, process),
                law,
                regime=FreshFraction(0.5),
                generations=1,
                size=40_000,
                seed=(7, run),
                measure=lambda generation: {"second": generation.drawn.square().mean() - 1},
            )["second"]
            for run in range(8)
        ]
    )[:, :, None]
    found = linear_response(second, alpha=0.5)
    own = torch.stack([linear_response(second[k : k + 1], alpha=0.5).eigenvalues[0] for k in range(8)])
    assert abs(float(found.eigenvalues[0]) - 1) < 5 * float(own.std() / 8**0.5)
    assert float(own.std() / 8**0.5) < 0.1


@pytest.mark.parametrize(
    ("deviations", "alpha", "what"),
    [
        (torch.zeros(3, 3, 4), 0.0, "alpha"),
        (torch.zeros(3, 3, 4), 1.0, "alpha = 1"),
        (torch.zeros(3, 1, 4), 0.5, r"deviations\.shape"),
        (torch.zeros(3, 4), 0.5, r"deviations\.shape"),
        (torch.zeros(3, 4, 2), 0.5, r"deviations\.shape"),
        (torch.full((3, 3, 4), float("nan")), 0.5, "deviations"),
        (None, 0.5, "deviations"),
    ],
)
def test_what_says_nothing_of_a_response_is_refused(deviations, alpha, what):
    with pytest.raises(ValueError, match=f"^{what}"):
        linear_response(deviations, alpha=alpha)


def test_a_regime_that_keeps_its_shares_to_itself_is_refused():
    with pytest.raises(ValueError, match=r"^regime"):
        response_forecast(torch.rand(3, 2, 3), before=0.5, regime=0.5, generations=3)


def test_a_forecast_needs_three_runs():
    with pytest.raises(ValueError, match=r"^deviations\.shape = \[2, 2, 3\]: pass three runs"):
        response_forecast(torch.rand(2, 2, 3), before=0.5, regime=FreshFraction(0.1), generations=3)
