"""One run's bias, noise and forecast: against recursions whose bias and noise are known."""

from __future__ import annotations

import math

import pytest
import torch

from helpers import seeded
from scoredrift import Estimate
from scoredrift.generations import bias_of_repeats, step_from_samples
from scoredrift.pipelines import Course

MIX = torch.randn(
    8, 8, generator=seeded(0), dtype=torch.float64
)  # features are whitened: this must not matter


def path(bias, noise, alpha, generations, g, m=8):
    """Deviations δ_0, …, each ``[m]``: w = b + noise, the latter the same in all directions."""
    b = torch.zeros(m, dtype=torch.float64)
    b[0] = math.sqrt(bias)
    found, delta = [], torch.zeros(m, dtype=torch.float64)
    for _ in range(generations + 1):
        drawn = torch.randn(m, generator=g, dtype=torch.float64)
        delta = (1 - alpha) * delta + b + math.sqrt(noise / m) * drawn
        found.append(delta)
    return found


def course(deviations, alpha, g, n=600):
    """The course from samples of Gaussians that are off by them."""

    def sample(delta):
        z = torch.randn(n, len(delta), generator=g, dtype=torch.float64)
        return (z + delta) @ MIX[: len(delta), : len(delta)] + 3

    data = sample(torch.zeros_like(deviations[0]))
    return Course.of(data, [sample(delta) for delta in deviations], alpha=alpha)


def test_drift_bias_and_noise_are_right_on_average():
    """Over many runs: estimates without a bias of their own, whose errors are not too small."""
    found = {"drift": [], "bias": [], "noise": []}
    wanted = []
    for run in range(300):
        g = seeded(run)
        deviations = path(0.02, 0.03, 0.3, 3, g)
        one = course(deviations, 0.3, g)
        wanted.append(float(deviations[3].square().sum()))
        found["drift"].append(one.drift(3).value - wanted[-1])
        found["bias"].append(one.parts.bias.value - 0.02)
        found["noise"].append(one.parts.noise.value - 0.03)
    for name, gaps in found.items():
        assert abs(Estimate.from_samples(torch.tensor(gaps)).sigmas_from(0)) < 5, name


def test_chance_is_taken_out_of_small_samples():
    """Nothing drifts, and samples are so small that chance alone would look like a drift of a third."""
    gaps = {"first": [], "last": [], "bias": [], "noise": []}
    for run in range(300):
        g = seeded(run)
        one = course([torch.zeros(8, dtype=torch.float64)] * 3, 0.5, g, n=60)
        gaps["first"].append(one.drift(0).value)
        gaps["last"].append(one.drift(2).value)
        gaps["bias"].append(one.parts.bias.value)
        gaps["noise"].append(one.parts.noise.value)
    for name, found in gaps.items():
        found = Estimate.from_samples(torch.tensor(found))
        assert found.stderr < 0.02
        assert abs(found.sigmas_from(0)) < 5, name


@pytest.mark.parametrize(("bias", "noise"), [(0.05, 0.0), (0.0, 0.05), (0.03, 0.03)])
def test_forecasts_are_right_on_average(bias, noise):
    """The next generation, a later one, and both under another fresh fraction, against the mean that is known."""
    cases = ((0.3, 4), (0.3, 9), (0.1, 2), (0.6, 5))
    gaps = [[] for _ in cases]
    for run in range(150):
        g = seeded(run)
        deviations = path(bias, noise, 0.3, 3, g)
        one = course(deviations, 0.3, g)
        for found, (alpha, n) in zip(gaps, cases, strict=True):
            gone = (1 - (1 - alpha) ** (n + 1)) / alpha
            mean = bias * gone**2
            mean += noise * (1 - (1 - alpha) ** (2 * (n + 1))) / (alpha * (2 - alpha))
            found.append(one.forecast(n, alpha=alpha).value / mean - 1)
    for case, found in zip(cases, gaps, strict=True):
        assert abs(Estimate.from_samples(torch.tensor(found)).sigmas_from(0)) < 5, case


def handed_on(alpha, generations, g, *, n=150, m=4, bias=0.03):
    """A loop that fits the mean of a mixture of its own points and fresh ones: the points of each generation."""
    mean, deviations, samples = torch.zeros(m, dtype=torch.float64), [], []
    b = torch.zeros(m, dtype=torch.float64)
    b[0] = math.sqrt(bias)
    training = torch.randn(n, m, generator=g, dtype=torch.float64)
    for _ in range(generations + 1):
        mean = training.mean(0) + b
        deviations.append(mean)
        drawn = mean + torch.randn(n, m, generator=g, dtype=torch.float64)
        samples.append(drawn)
        fresh = torch.rand(n, generator=g, dtype=torch.float64) < alpha
        training = torch.where(fresh[:, None], torch.randn(n, m, generator=g, dtype=torch.float64), drawn)
    return deviations, samples


def test_points_that_are_handed_on_are_no_chance():
    """Drift, noise and forecasts from the points that the next generation is trained on, in small samples."""
    alpha, n, m, bias = 0.3, 150, 4, 0.03
    names = ("drift", "bias", "noise", "ahead", "anew", "noise if they were others")
    gaps = {name: [] for name in names}
    for run in range(400):
        g = seeded(run)
        deviations, samples = handed_on(alpha, 12, g, n=n, m=m, bias=bias)
        came, _ = handed_on(0.6, 5, g, n=n, m=m, bias=bias)
        data = torch.randn(4_000, m, generator=g, dtype=torch.float64)
        one, other = (Course.of(data, samples[:4], alpha=alpha, reused=reused) for reused in (True, False))
        found = (
            one.drift(3).value - float(deviations[3].square().sum()),
            one.parts.bias.value - bias,
            one.parts.noise.value - m / n,  # of the mean of a training set
            one.forecast(12).value - float(deviations[12].square().sum()),
            one.forecast(5, alpha=0.6).value - float(came[5].square().sum()),
            other.parts.noise.value - m / n,
        )
        for name, gap in zip(names, found, strict=True):
            gaps[name].append(gap)
    off = {name: Estimate.from_samples(torch.tensor(found)) for name, found in gaps.items()}
    for name in names[:-1]:
        assert abs(off[name].sigmas_from(0)) < 5, name
    assert off["noise"].stderr < 0.1 * m / n
    assert off[names[-1]].sigmas_from(0) < -5


def test_an_interval_knows_that_noise_to_come_is_random():
    """After thirty generations bias and noise are well known, and what comes is not: half of it in an interval of ½."""
    runs, hits = 150, 0
    for run in range(runs):
        g = seeded(run)
        deviations = path(0.0, 0.5, 0.3, 42, g, m=2)
        told = course(deviations[:31], 0.3, g, n=200).forecast(42, within=0.5)
        hits += told.low <= float(deviations[42].square().sum()) <= told.high
    assert abs(hits / runs - 0.5) < 5 * math.sqrt(0.25 / runs)


def test_errors_of_a_drift_are_those_of_its_sample():
    gaps = []
    for run in range(200):
        g = seeded(run)
        deviations = path(0.05, 0.0, 0.5, 2, g)
        one = course(deviations, 0.5, g, n=1_000).drift(2)
        gaps.append(one.sigmas_from(float(deviations[2].square().sum())))
    scatter = torch.tensor(gaps).std()
    assert 0.8 < float(scatter) < 1.25


def test_a_step_is_that_of_three_samples():
    g = seeded(3)
    deviations = path(0.2, 0.05, 0.4, 1, g)

    def sample(delta):
        return torch.randn(4_000, 8, generator=g, dtype=torch.float64) + delta

    data, first, second = sample(torch.zeros(8)), sample(deviations[0]), sample(deviations[1])
    one = Course.of(data, [first, second], alpha=0.4)
    other = step_from_samples(data, first, second, alpha=0.4)
    forcing = one.products[0, 1, 1]
    assert float(forcing) == pytest.approx(other.forcing.value, rel=0.02)
    assert one.drift(1).value == pytest.approx(other.after.value, rel=0.02)
    assert one.drift(1).stderr == pytest.approx(other.after.stderr, rel=0.5)


def test_many_generations_tell_what_many_runs_tell():
    """The bias is the same thing, whether it repeats between runs or between generations of one."""
    g = seeded(4)
    runs = torch.stack([path(0.1, 0.05, 1.0, 0, g)[0] for _ in range(60)])
    between_runs = bias_of_repeats(runs)
    one = course(path(0.1, 0.05, 0.5, 59, g), 0.5, g).parts
    for name in ("bias", "noise"):
        gap = getattr(between_runs, name) - getattr(one, name)
        assert abs(gap.sigmas_from(0)) < 5


@pytest.mark.parametrize(("bias", "noise"), [(0.02, 0.0), (0.02, 0.02), (0.0, 0.03)])
def test_intervals_hold_what_comes(bias, noise):
    """Ninety of a hundred, in the same run and under other fresh fractions, and no miss of a factor of two hundred."""
    hits = torch.zeros(3)
    runs = 100
    for run in range(runs):
        g = seeded(run)
        deviations = path(bias, noise, 0.3, 10, g)
        one = course(deviations[:4], 0.3, g)
        for k, alpha in enumerate((0.3, 0.1, 0.6)):
            told = one.forecast(10, alpha=alpha)
            came = deviations[10] if k == 0 else path(bias, noise, alpha, 10, g)[10]
            hits[k] += told.low <= float(came.square().sum()) <= told.high
    assert bool((hits / runs > 0.9 - 5 * math.sqrt(0.09 / runs)).all())


def test_a_forecast_without_noise_is_the_law_of_amplitudes():
    g = seeded(5)
    one = course(path(0.05, 0.0, 0.4, 4, g), 0.4, g, n=40_000)
    for alpha, n in ((0.4, 5), (0.4, 12), (0.1, 7), (1.0, 3)):
        told = one.forecast(n, alpha=alpha)
        wanted = 0.05 * ((1 - (1 - alpha) ** (n + 1)) / alpha) ** 2
        assert told.value == pytest.approx(wanted, rel=0.1)
        assert told.low < wanted < told.high


G = seeded(6)
DATA = torch.randn(200, 3, generator=G)
LATER = [torch.randn(200, 3, generator=G) for _ in range(3)]


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("alpha", {"alpha": 0.0}),
        ("alpha", {"alpha": math.nan}),
        ("data", {"data": DATA * math.inf}),
        ("data", {"data": torch.ones(200, 3)}),
        ("data.shape", {"data": DATA[:39]}),
        ("generations", {"generations": []}),
        (r"generations\[1\].shape", {"generations": [LATER[0], LATER[1][:, :2]]}),
        (r"generations\[2\]", {"generations": [*LATER[:2], LATER[2] * math.nan]}),
        (r"generations\[0\].dtype", {"generations": [LATER[0].long()]}),
    ],
)
def test_bad_input_is_refused(named, arguments):
    with pytest.raises(ValueError, match=f"^{named} = "):
        Course.of(**({"data": DATA, "generations": LATER, "alpha": 0.5} | arguments))


def test_what_is_not_known_is_refused():
    one, two = (Course.of(DATA, LATER[:k], alpha=0.5) for k in (1, 2))
    with pytest.raises(ValueError, match=r"^generations = 1: bias and noise"):
        _ = one.parts
    with pytest.raises(ValueError, match=r"^generations = 2: a forecast needs three"):
        two.forecast(10)
    three = Course.of(DATA, LATER, alpha=0.5)
    for arguments, named in (
        ({"generation": 2}, "generation"),
        ({"generation": 5, "alpha": 0.0}, "alpha"),
        ({"generation": 5, "within": 0.0}, "within"),
    ):
        with pytest.raises(ValueError, match=f"^{named} = "):
            three.forecast(**arguments)
    with pytest.raises(ValueError, match=r"^generation = 3: the last one is 2"):
        three.drift(3)
