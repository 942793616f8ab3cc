"""How much fresh data: against recursions of points, against each other, and bad input."""

from __future__ import annotations

import math

import pytest
import torch

from helpers import seeded
from scoredrift import Estimate
from scoredrift.generations import (
    Accumulate,
    BiasAndNoise,
    FreshFraction,
    Replace,
    best_fraction,
    forecast,
    recurse,
    scheduled_drift,
)
from scoredrift.laws import Gaussian
from scoredrift.pipelines import Budget, Course

DIM, SIZE, PUSH = 3, 200, 0.05


def parts(bias, noise, *errors):
    one, two = errors or (0.0, 0.0)
    return BiasAndNoise(Estimate(bias, one), Estimate(noise, two))


class Pushed:
    """A model that draws about the mean of its data, always too far by b in every direction."""

    def __init__(self, mean):
        self.mean = mean + PUSH

    def sample(self, n, *, generator):
        return self.mean + torch.randn(n, DIM, generator=generator, dtype=torch.float64)


def learn(data, *, generator):
    return Pushed(data.mean(0))


def drifts(regime, runs, generations):
    """‖mean‖² of the model of the last generation of each run."""
    standard = Gaussian(torch.zeros(DIM, dtype=torch.float64), torch.eye(DIM, dtype=torch.float64))
    found = []
    for run in range(runs):
        history = recurse(
            learn,
            standard,
            regime=regime,
            generations=generations,
            size=SIZE,
            seed=(7, run),
            measure=lambda generation: {"drift": float(generation.model.mean.square().sum())},
        )
        found.append(float(history["drift"][-1]))
    return Estimate.from_samples(torch.tensor(found, dtype=torch.float64))


# The mean of n points has noise of 1/n in each direction; fresh and synthetic points have the same spread.
PARTS = parts(DIM * PUSH**2, DIM / SIZE)


@pytest.mark.parametrize("generation", [1, 6])
def test_three_regimes_against_recursions_of_points(generation):
    told = Budget(PARTS).regimes(generation, alpha=0.4)
    # A fraction of each batch is fresh by chance, but where it comes from does not matter for a mean of its own.
    for said, regime in zip(told, (FreshFraction(0.4), Replace(), Accumulate()), strict=True):
        measured = drifts(regime, 400, generation)
        # which points are fresh is drawn: (1 − α) in the mean, and a scatter of α (1 − α)/n times the deviation
        assert measured.stderr < 0.05 * said.value
        assert abs(measured.value - said.value) < 5 * measured.stderr + 0.01 * said.value, regime


def test_the_fraction_keeps_the_drift_of_a_recursion():
    """Solve for α, run with it for as long as it remembers, and look."""
    tolerated = 0.05
    alpha = Budget(PARTS).fraction(tolerated).value
    measured = drifts(FreshFraction(alpha), 300, 25)
    assert 0.4 < alpha < 0.6
    assert abs(measured.sigmas_from(tolerated)) < 5
    assert measured.stderr < 0.05 * tolerated


def run_of(g, bias, noise, alpha, generations, m=8, n=2_000):
    """The course of one run whose deviations are known to have these parts."""
    b = torch.zeros(m, dtype=torch.float64)
    b[0], delta, samples = math.sqrt(bias), torch.zeros(m, dtype=torch.float64), []
    for _ in range(generations + 1):
        kick = torch.randn(m, generator=g, dtype=torch.float64)
        delta = (1 - alpha) * delta + b + math.sqrt(noise / m) * kick
        samples.append(torch.randn(n, m, generator=g, dtype=torch.float64) + delta)
    return Course.of(torch.randn(n, m, generator=g, dtype=torch.float64), samples, alpha=alpha)


def test_intervals_hold_the_truth_as_often_as_they_say():
    truth = Budget(parts(0.02, 0.03)).fraction(0.3).value
    held, runs = 0, 200
    for run in range(runs):
        told = Budget.of_course(run_of(seeded(run), 0.02, 0.03, 0.4, 6)).interval(0.3, within=0.8)
        assert told.low <= told.value <= told.high
        held += told.low <= truth <= told.high
    assert held / runs > 0.8 - 5 * math.sqrt(0.16 / runs)


def test_intervals_are_as_wide_as_the_errors():
    narrow, wide = (Budget(parts(0.02, 0.03, 0.002 * k, 0.003 * k)).interval(0.3) for k in (1, 2))
    assert wide.high - wide.low == pytest.approx(2 * (narrow.high - narrow.low), rel=0.05)
    few = Budget(parts(0.02, 0.03, 0.002, 0.003), degrees=2).interval(0.3)
    assert few.high - few.low > 1.5 * (narrow.high - narrow.low)


def test_an_interval_without_an_end_says_so():
    told = Budget(parts(0.04, 0.04, 0.02, 0.02)).interval(0.1)
    assert told.high == math.inf
    assert 0 < told.low < told.value < 1


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_coherence_tells_bias_from_noise(alpha):
    """A run that always repeats itself is all bias, one that never does is all noise; between, forwards and back."""
    all_bias, none = (Budget.of_coherence(0.01, c, alpha=alpha).parts for c in (1.0, 0.0))
    assert all_bias.bias.value == pytest.approx(0.01)
    assert all_bias.noise.value == pytest.approx(0, abs=1e-12)
    assert none.bias.value == pytest.approx(0, abs=1e-12)
    assert none.noise.value == pytest.approx(0.01)
    bias, noise = 0.02, 0.03
    drift = bias / alpha**2 + noise / (alpha * (2 - alpha))
    coherence = (bias / alpha) / math.sqrt(drift * (bias + noise))  # ⟨E δ, b⟩ = ‖b‖²/α
    found = Budget.of_coherence(Estimate(bias + noise, 0.005), coherence, alpha=alpha)
    assert found.parts.bias.value == pytest.approx(bias)
    assert found.parts.noise.value == pytest.approx(noise)
    assert found.drift(alpha).value == pytest.approx(drift)
    assert found.drift(alpha).stderr == pytest.approx(drift / 10)


def test_all_else_is_what_generations_say():
    measured = parts(0.01, 0.02, 0.001, 0.002)
    budget = Budget(measured, size=1_000)
    assert budget.drift(0.3, 7) == forecast(measured, alpha=0.3, generations=7)[-1]
    assert budget.drift(0.3).value == pytest.approx(budget.drift(0.3, 200).value)
    assert budget.drift(0.3).stderr == pytest.approx(budget.drift(0.3, 200).stderr)
    assert budget.best(500) == best_fraction(measured.bias, measured.noise * 1_000, 500)
    fractions, sizes = [0.2, 0.6], [500, 2_000, 1_000]
    assert budget.schedule(fractions, sizes) == scheduled_drift(measured, fractions, [0.5, 2.0, 1.0])
    assert Budget(measured).schedule(fractions) == scheduled_drift(measured, fractions)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: Budget((0.1, 0.2)), "parts"),
        (lambda: Budget(BiasAndNoise(0.1, 0.2)), "parts"),
        (lambda: Budget(parts(math.nan, 0.1)), "parts"),
        (lambda: Budget(parts(0.1, 0.1, math.inf, 0.0)), "parts"),
        (lambda: Budget(PARTS, size=0), "size"),
        (lambda: Budget(PARTS, degrees=-1), "degrees"),
        (lambda: Budget(PARTS).drift(0.0), "alpha"),
        (lambda: Budget(PARTS).drift(1.5), "alpha"),
        (lambda: Budget(PARTS).drift(0.5, -1), "generation"),
        (lambda: Budget(PARTS).fraction(0.01), "drift"),
        (lambda: Budget(PARTS).fraction(-1.0), "drift"),
        (lambda: Budget(PARTS).interval(0.05, within=1.0), "within"),
        (lambda: Budget(PARTS).best(100), "size"),
        (lambda: Budget(PARTS).schedule([0.5], [1, 2]), "size"),
        (lambda: Budget(PARTS, size=10).schedule([0.5], [1]), "sizes"),
        (lambda: Budget(PARTS).regimes(-1, alpha=0.5), "generation"),
        (lambda: Budget.of_course(PARTS), "course"),
        (lambda: Budget.of_coherence(-0.1, 0.5, alpha=0.5), "forcing"),
        (lambda: Budget.of_coherence(0.1, 1.5, alpha=0.5), "coherence"),
        (lambda: Budget.of_coherence(0.1, 0.5, alpha=1.0), "alpha"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{name}"):
        call()


def test_one_generation_has_no_parts():
    with pytest.raises(ValueError, match="two or more"):
        Budget.of_course(run_of(seeded(0), 0.01, 0.01, 0.5, 0))
