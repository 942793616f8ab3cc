"""Programs as a user writes them, with what the documentation says, and another route to every number.

Five errors are allowed. What has a closed form is compared with it; the rest with plain torch, or with another
estimator.
"""

import math
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from scipy.integrate import quad

sys.path.insert(0, str(Path(__file__).parent / "programs"))

import budget_from_samples
import own_fit
import own_network
import sampling
import sweep

from scoredrift import Estimate, Flow, FunctionScore, GaussianMixture
from scoredrift.observability import by_regression, chi2_by_futures


def score_by_hand(law, x, t):
    """∇ log q_t of a mixture of isotropic Gaussians, by differentiating a sum of exponentials."""
    a, v = math.exp(-t / 2), 1 - math.exp(-t)
    x, variances = x.detach().requires_grad_(), a**2 * law.variances + v
    squares = (x[:, None] - a * law.means).square().sum(2)
    log_q = torch.logsumexp(
        law.weights.log() - x.shape[1] / 2 * variances.log() - squares / (2 * variances), 1
    )
    return torch.autograd.grad(log_q.sum(), x)[0]


@pytest.fixture(scope="module")
def trained():
    return own_network.main()


@torch.no_grad()
def network_error(network, x, t):
    learned = network(x.float(), torch.full((len(x),), t)).double()
    with torch.enable_grad():
        return learned - score_by_hand(own_network.LAW, x, t)


def noised(law, n, t, g):
    parts = torch.multinomial(law.weights, n, replacement=True, generator=g)
    variances = math.exp(-t) * law.variances[parts] + 1 - math.exp(-t)
    noise = torch.randn(n, 2, generator=g, dtype=torch.float64)
    return math.exp(-t / 2) * law.means[parts] + variances.sqrt()[:, None] * noise


def test_energy_of_a_network_is_that_of_plain_torch(trained):
    g, ou, total = torch.Generator().manual_seed(7), own_network.OU, Estimate(0.0)
    edges = torch.logspace(math.log10(ou.t_min), math.log10(ou.t_max), 41, dtype=torch.float64).tolist()
    for left, right in pairwise(edges):
        middle = math.sqrt(left * right)  # the midpoint rule in log t
        e = network_error(trained["network"], noised(own_network.LAW, 2000, middle, g), middle)
        total = total + middle * math.log(right / left) * Estimate.from_samples(e.square().sum(1))
    assert abs(trained["ideal"].sigmas_from(total)) < 5
    assert abs(trained["observability"].energy.sigmas_from(total)) < 5


def test_learned_energy_is_that_of_a_loop_in_plain_torch(trained):
    g, network = torch.Generator().manual_seed(8), trained["network"]
    y, energy = torch.randn(4000, 2, generator=g, dtype=torch.float64), torch.zeros(4000, dtype=torch.float64)
    grid = own_network.OU.geometric_grid(100).tolist()
    for t, t_next in pairwise(grid):
        energy += (t - t_next) * network_error(network, y, t).square().sum(1)
        with torch.no_grad():
            held, half = network(y.float(), torch.full((4000,), t)).double(), math.exp((t - t_next) / 2)
        noise = torch.randn(4000, 2, generator=g, dtype=torch.float64)
        y = half * y + 2 * (half - 1) * held + math.sqrt(half**2 - 1) * noise
    assert abs(trained["learned"].sigmas_from(Estimate.from_samples(energy))) < 5


def test_observability_of_a_network_is_that_of_a_regression_or_a_little_more(trained):
    error = Flow(own_network.LAW, own_network.OU).error(FunctionScore(trained["network"]))
    grid, g = own_network.OU.geometric_grid(60), torch.Generator().manual_seed(9)
    found = trained["observability"].eta.sigmas_from(by_regression(error, 6000, grid=grid, generator=g).eta)
    assert -5 < found < 10  # a regression misses a part of u


def test_what_a_network_generates_obeys_the_bound(trained):
    bound = 0.5 * trained["learned"] + trained["start"]
    assert trained["kl"].sigmas_from(bound) < 5
    # A KL is below log(1 + χ²), which needs no neighbours.
    error = Flow(own_network.LAW, own_network.OU).error(FunctionScore(trained["network"]))
    grid = own_network.OU.geometric_grid(30)
    chi2 = chi2_by_futures(error, 1000, grid, generator=torch.Generator().manual_seed(10))
    assert trained["kl"].sigmas_from(math.log1p(chi2.value + 5 * chi2.stderr)) < 5
    assert trained["kl"].sigmas_from(0.0) > -5


@pytest.fixture(scope="module")
def histograms():
    return own_fit.main()


def test_a_resumed_run_is_the_run(histograms):
    for found in histograms.values():
        resumed, straight = found["resumed"], found["straight"]
        assert len(found["files"]) == 2  # the last two of three generations
        assert resumed.keys() == ["drift", "mean"]
        assert all(torch.equal(resumed[name], straight[name]) for name in resumed.keys())  # noqa: SIM118
        assert torch.equal(resumed.model.probabilities, straight.model.probabilities)
        p = own_fit.cells_of(own_fit.DATA)
        assert torch.isclose(((resumed.model.probabilities - p) ** 2 / p).sum(), resumed["drift"][-1])


@pytest.mark.parametrize(("name", "kept"), [("fresh", 0.7), ("replace", 1.0)])
def test_drift_of_a_histogram_is_that_of_multinomial_draws(histograms, name, kept):
    """E D' = (1 − 1/N) (1 − α)² E D + (K − 1)/N for K cells and N points, from E D_0 = (K − 1)/N."""
    noise = len(own_fit.EDGES) / own_fit.SIZE
    expected = noise
    for drifts in histograms[name]["drift"].T:
        assert abs(Estimate.from_samples(drifts).sigmas_from(expected)) < 5
        expected = (1 - 1 / own_fit.SIZE) * kept**2 * expected + noise


@pytest.fixture(scope="module")
def normal():
    one = torch.ones(1, dtype=torch.float64)
    return sampling.main(GaussianMixture(one, torch.zeros(1, 2, dtype=torch.float64), 0.25 * one), seed=1)


def width(t):
    """Variance of X_t from N(0, 1/4)."""
    return 0.25 * math.exp(-t) + 1 - math.exp(-t)


def linear_step(name, t, t_next):
    """Factor of y and variance of the noise of one step with the score −y/σ_t²."""
    gap, slope = t - t_next, -1 / width(t)
    if name == "EulerMaruyama":
        return 1 + (0.5 + slope) * gap, gap
    if name == "ExponentialIntegrator":
        return math.exp(gap / 2) + 2 * (math.exp(gap / 2) - 1) * slope, math.exp(gap) - 1
    if name == "Ancestral":
        v, v_gap, v_next = (1 - math.exp(-s) for s in (t, gap, t_next))
        denoised = (1 + v * slope) / math.exp(-t / 2)
        mean = (math.exp(-t_next / 2) * v_gap * denoised + math.exp(-gap / 2) * v_next) / v
        return mean, v_next * v_gap / v
    middle = 1 - 1 / width(t - gap / 2)
    return 1 + gap / 2 * middle * (1 + gap / 4 * (1 + slope)), 0.0


@pytest.mark.parametrize("name", ["EulerMaruyama", "ExponentialIntegrator", "Ancestral", "MidpointFlow"])
@pytest.mark.parametrize("grid", ["uniform", "geometric"])
def test_moments_of_every_method_are_those_of_a_linear_recursion(normal, grid, name):
    times = getattr(sampling.OU, f"{grid}_grid")(20).tolist()
    variance, variation = width(sampling.OU.t_max), 0.0
    for t, t_next in pairwise(times):
        factor, noise = linear_step(name, t, t_next)
        variation += (factor - 1) ** 2 * variance + noise
        variance = factor**2 * variance + noise
    found = normal[grid, name]
    assert abs(found["moment"].sigmas_from(2 * variance)) < 5
    assert abs(found["variation"].sigmas_from(2 * variation)) < 5


@pytest.mark.parametrize("grid", ["uniform", "geometric"])
def test_exact_paths_have_the_law_on_every_grid(normal, grid):
    times = getattr(sampling.OU, f"{grid}_grid")(20).tolist()
    variation = sum(width(s) + width(t) - 2 * math.exp(-(t - s) / 2) * width(s) for t, s in pairwise(times))
    assert abs(normal[grid, "exact"]["moment"].sigmas_from(2 * width(sampling.OU.t_min))) < 5
    assert abs(normal[grid, "exact"]["variation"].sigmas_from(2 * variation)) < 5


@pytest.mark.parametrize(("name", "linear"), [("EulerMaruyama", 0.0), ("ExponentialIntegrator", 0.5)])
@pytest.mark.parametrize("grid", ["uniform", "geometric"])
def test_price_of_a_step_is_an_integral_in_closed_form(normal, grid, name, linear):
    """½ Σ ∫ E‖b̂ − b‖² dt with b = (½ − 1/σ_t²) y; the held part is that of y at the start of the step."""

    def square(t, start):
        held, now = 0.5 - linear - 1 / width(start), 0.5 - linear - 1 / width(t)
        covariance = math.exp(-(start - t) / 2) * width(t)
        return held**2 * width(start) + now**2 * width(t) - 2 * held * now * covariance

    times = getattr(sampling.OU, f"{grid}_grid")(20).tolist()
    price = sum(quad(square, s, t, args=(t,))[0] for t, s in pairwise(times))  # ½ · 2 dimensions
    assert abs(normal[grid, name]["price"].sigmas_from(price)) < 5


def test_exact_paths_of_a_mixture_and_a_method_without_noise():
    law, ou = sampling.LAW, sampling.OU
    found = sampling.main(k=40, n=5000)
    moment = float((law.weights * (law.means.square().sum(1) + 2 * law.variances)).sum())
    exact = math.exp(-ou.t_min) * moment + 2 * (1 - math.exp(-ou.t_min))
    for key in found:
        if key[1] in ("exact", "MidpointFlow"):
            assert abs(found[key]["moment"].value - exact) < 5 * found[key]["moment"].stderr + 0.01
    assert "price" not in found["uniform", "MidpointFlow"]


def test_a_sweep_finds_the_mean_variance_that_a_gaussian_learner_keeps():
    """E v' = (1 − 1/N) V and E m'² = (1 − α)² E m² + V/N with V = α + (1 − α) E v + α (1 − α) E m²."""
    found, size = sweep.main(), sweep.SIZE
    for alpha, means in found["means"].items():
        square, variance = 1 / size, 1 - 1 / size
        for i in range(sweep.GENERATIONS + 1):
            assert abs(means.estimate(i).sigmas_from(variance)) < 5
            total = alpha + (1 - alpha) * variance + alpha * (1 - alpha) * square
            square, variance = (1 - alpha) ** 2 * square + total / size, (1 - 1 / size) * total
    assert str(found["table"]).count("±") == 6
    elsewhere = sweep.sweep(sweep.task, [{"alpha": 0.4, "run": 1}, {"alpha": 0.1, "run": 0}], workers=2)
    assert torch.equal(elsewhere[0], sweep.task(0.4, 1))


def test_a_budget_from_samples_is_the_root_of_the_recursion():
    """D = (1 − α)² D + B + 2 (1 − α) c √(D B) at D = tolerance: α = 1 + c r − √(1 − r² (1 − c²)), r = √(B/D)."""
    tolerance, cosine = 0.2, math.cos(budget_from_samples.ANGLE)
    found = budget_from_samples.main(tolerance=tolerance)
    assert abs(found["step"].forcing.sigmas_from(budget_from_samples.FORCING)) < 5
    assert abs(found["step"].coherence.sigmas_from(cosine)) < 5
    r = math.sqrt(budget_from_samples.FORCING / tolerance)
    assert abs(found["alpha"].sigmas_from(1 + cosine * r - math.sqrt(1 - r**2 * (1 - cosine**2)))) < 5
    assert 0.005 < found["alpha"].stderr < 0.1
