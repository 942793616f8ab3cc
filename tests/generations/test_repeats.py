"""Bias and noise from retraining, and the drift that they forecast, against simulation and closed forms."""

import pytest
import torch

from scoredrift.estimates import Estimate
from scoredrift.generations import BiasAndNoise, bias_of_repeats, discounted, forecast

B = torch.tensor([0.2, -0.1, 0.0], dtype=torch.float64)


def noisy(runs, generator, spread=0.3):
    return B + spread * torch.randn(runs, 3, generator=generator, dtype=torch.float64)


def test_both_parts_are_unbiased_and_their_errors_honest():
    g = torch.Generator().manual_seed(0)
    found = [bias_of_repeats(noisy(8, g)) for _ in range(2000)]
    for part, truth in (("bias", 0.05), ("noise", 0.27)):
        values = torch.tensor([getattr(one, part).value for one in found])
        errors = torch.tensor([getattr(one, part).stderr for one in found])
        assert abs(float(values.mean()) - truth) < 5 * float(values.std()) / 2000**0.5
        assert 0.9 < float(errors.square().mean().sqrt() / values.std()) < 1.35  # leaving out errs upwards


def test_pairs_are_what_they_are_said_to_be():
    w = noisy(5, torch.Generator().manual_seed(1))
    pairs = [w[r] @ w[s] for r in range(5) for s in range(5) if r != s]
    found = bias_of_repeats(w)
    assert found.bias.value == pytest.approx(float(sum(pairs)) / 20)
    assert found.bias.value + found.noise.value == pytest.approx(float(w.square().sum(1).mean()))


def test_generations_of_a_run_are_no_repeats():
    """A deviation that each run keeps for itself over the generations is noise, not bias."""
    g = torch.Generator().manual_seed(2)
    own = torch.randn(40, 1, 3, generator=g, dtype=torch.float64)
    found = bias_of_repeats(own.expand(40, 6, 3))
    assert abs(found.bias.sigmas_from(0.0)) < 5
    assert abs(found.noise.sigmas_from(3.0)) < 5
    assert found.noise.stderr > 0.1  # six generations are no six runs


def test_the_forecast_is_what_a_simulated_learner_does():
    g = torch.Generator().manual_seed(3)
    alpha, runs = 0.3, 20_000
    d = torch.zeros(runs, 3, dtype=torch.float64)
    said = forecast(BiasAndNoise(Estimate(0.05), Estimate(0.27)), alpha=alpha, generations=6)
    for expected in said:
        d = (1 - alpha) * d + noisy(runs, g)
        sizes = d.square().sum(1)
        assert abs(float(sizes.mean()) - expected.value) < 5 * float(sizes.std()) / runs**0.5


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_pure_bias_and_pure_noise_are_the_two_laws_of_forgetting(alpha):
    for parts, coherence in (((0.2, 0.0), 1.0), ((0.0, 0.2), 0.0)):
        said = forecast(BiasAndNoise(*map(Estimate, parts)), alpha=alpha, generations=5)
        law = discounted(0.2, [0.2] * 5, alpha=alpha, coherence=coherence)
        assert [one.value for one in said] == pytest.approx([0.2, *law])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: bias_of_repeats(torch.ones(2, 3)), r"three or more trainings"),
        (lambda: bias_of_repeats(torch.ones(3)), r"forcings\.shape"),
        (lambda: bias_of_repeats(torch.full((3, 2), torch.nan)), "forcings"),
        (lambda: forecast(BiasAndNoise(Estimate(1.0), Estimate(1.0)), alpha=0.0, generations=1), "alpha"),
        (
            lambda: forecast(BiasAndNoise(Estimate(1.0), Estimate(1.0)), alpha=0.5, generations=-1),
            "generations",
        ),
    ],
)
def test_bad_input_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
