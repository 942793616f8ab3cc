"""What the two studies that judge the room ``pipelines`` are made of: by closed forms and independent routes."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate, stats

from helpers import seeded
from scoredrift import Estimate
from scoredrift.experiments import (
    NAIVE,
    PUSHES,
    RETRAININGS,
    Categories,
    CellView,
    DriftMeasure,
    MixtureFit,
    Retraining,
    Share,
    Spread,
    View,
    first_generations,
    hotelling,
    kernel_permutations,
    naive_forecasts,
    run_pipeline,
    watch_run,
)
from scoredrift.generations import Generation, gaussian_fit, histogram_divergence
from scoredrift.laws import Gaussian
from scoredrift.pipelines import Course, Evidence

HERE = {"seed": 3, "device": "cpu", "folder": None, "progress": False}


def gaussian(mean):
    return Gaussian(mean, torch.eye(len(mean), dtype=torch.float64))


def test_shares_have_the_intervals_of_clopper_and_pearson():
    """Ends are where the tails of the binomial law are 0.025."""
    share = Share.of(7, 40)
    assert stats.binom.sf(6, 40, share.low) == pytest.approx(0.025)
    assert stats.binom.cdf(7, 40, share.high) == pytest.approx(0.025)
    assert Share.of(0, 10).low == 0
    for arguments, named in (((3, 2), "hits"), ((0, 0), "total"), ((-1, 2), "hits")):
        with pytest.raises(ValueError, match=f"^{named} = "):
            Share.of(*arguments)


@pytest.mark.parametrize("shift", [[0.3, 0.0, -0.1], [0.0, 0.0, 0.0]])
def test_the_drift_that_came_is_measured_without_a_bias(shift):
    """Of a Gaussian that is off by a known shift, in features that are whitened by other points."""
    shift = torch.tensor(shift, dtype=torch.float64)
    wanted = float(shift.square().sum())
    loop = Retraining(gaussian_fit, gaussian(0 * shift), View(3), 100, 0.5, (0.2, 0.8))
    there = Generation(0, torch.zeros(2, 3), gaussian(shift), torch.zeros(2, 3), seeded(0), None)
    found = []
    for run in range(200):
        measure = DriftMeasure.of(loop, 1_000, judged=500, last=0, generator=seeded(run))
        found.append(measure(there)["drift"])
    gaps = torch.tensor([one.sigmas_from(wanted) for one in found])
    assert abs(Estimate.from_samples(torch.tensor([one.value for one in found])).sigmas_from(wanted)) < 5
    assert float(gaps.std()) < 1.25
    assert float(gaps.std()) > (0.8 if wanted else 0.4)  # where D is zero the error is on the safe side


def test_rules_of_thumb_are_what_they_are_called():
    """Drifts 1, 4, 9 of shifts 1, 2, 3, of so many points that chance is nothing."""
    g = seeded(1)

    def sample(shift):
        return torch.randn(40_000, 1, generator=g, dtype=torch.float64) + shift

    course = Course.of(sample(0), [sample(shift) for shift in (1.0, 2.0, 3.0)], alpha=0.5)
    added = (1 + 1.5**2 + 2**2) / 3  # 1, 2 − ½, 3 − 1
    last, line, noise = naive_forecasts(course, 4)
    assert last == pytest.approx(9, rel=0.05)
    assert line == pytest.approx(14 / 3 + 3 * 4, rel=0.05)
    assert noise == pytest.approx(9 * 0.5**4 + added * (1 + 0.25), rel=0.05)
    anew = naive_forecasts(course, 2, alpha=0.2)[NAIVE.index("noise")]
    assert anew == pytest.approx(added * (1 + 0.8**2 + 0.8**4), rel=0.05)


def test_a_histogram_drifts_as_its_closed_form_says():
    """The whole way of a retraining loop: recursion, view of cells, what came."""
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    loop = Retraining(RETRAININGS["cells"].fit, Categories(weights), CellView(4), 100, 0.3, (0.1, 0.9))
    small = {"known": 500, "seen": 500, "judged": 4_000, "generations": 4, "runs": 40}
    runs = [run_pipeline(small, pipeline="cells", run=run, own=loop, **HERE)["drift"] for run in range(40)]
    for k, alpha in enumerate((0.3, 0.1, 0.9)):
        for i in (0, 4):
            found = Estimate.from_samples(torch.stack([one[i, k, 0] for one in runs]))
            wanted = histogram_divergence(4, 100, alpha=alpha, generation=i)
            assert abs(found.sigmas_from(wanted)) < 5, (alpha, i)


@pytest.mark.parametrize("name", [name for name in RETRAININGS if not name.startswith("network")])
def test_learners_draw_what_they_have_seen(name):
    """Mean and variances of the data come back, but for the smoothing and the noise."""
    loop = RETRAININGS[name]
    g = seeded(2)
    data = loop.target.sample(4_000, generator=g)
    drawn = loop.fit(data, generator=g).sample(4_000, generator=g)
    spread = data.std(0)
    assert float(((drawn.mean(0) - data.mean(0)) / spread).abs().max()) < 5 * (2 / 4_000) ** 0.5
    assert float((drawn.std(0) / spread).min()) > 0.9
    assert float((drawn.std(0) / spread).max()) < 1.3


def test_a_fitted_mixture_has_the_components_of_the_data():
    far = torch.cat([torch.randn(300, 2, generator=seeded(k)).double() + 20 * k for k in range(2)])
    law = MixtureFit(2)(far, generator=seeded(0))
    assert sorted(round(float(x) / 20) for x in law.means[:, 0]) == [0, 1]
    assert float((law.weights - 0.5).abs().max()) < 1e-6


@pytest.mark.parametrize(("mean", "log_variance"), [(0.3, 0.0), (0.0, 0.3), (-0.2, -0.4)])
def test_distances_of_a_spread_are_integrals(mean, log_variance):
    law = Spread(torch.tensor([mean, 0.0]).double(), torch.tensor([log_variance, 0.0]).double())
    model, data = stats.norm(mean, math.exp(log_variance / 2)), stats.norm()
    square = integrate.quad(lambda x: model.pdf(x) ** 2 / data.pdf(x), -12, 12)[0]
    assert law.divergence == pytest.approx(square - 1, abs=1e-6)
    second = integrate.quad(lambda x: model.pdf(x) * (x**2 - 1) / 2**0.5, -12, 12)[0]
    assert law.drift == pytest.approx(mean**2 + second**2, abs=1e-6)
    assert law.drift <= law.divergence
    assert law.drawn_back(0.01).divergence == pytest.approx(0.01, rel=1e-6)
    assert law.drawn_back(9.0) is law


@pytest.mark.parametrize("m", [1, 4])
def test_hotelling_is_the_regression_of_a_label_on_features(m):
    """Both are one F test."""
    g = seeded(9)
    x, y = (torch.randn(n, m, generator=g, dtype=torch.float64) + 0.1 * k for k, n in enumerate((70, 50)))
    label = torch.cat([torch.zeros(70), torch.ones(50)]).double()[:, None]
    design = torch.cat([torch.ones(120, 1).double(), torch.cat([x, y])], 1)
    left = float((label - design @ torch.linalg.lstsq(design, label).solution).square().sum())
    all_of_it = float((label - label.mean()).square().sum())
    wanted = stats.f.sf((all_of_it - left) / m / (left / (119 - m)), m, 119 - m)
    assert hotelling(x, y) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("test", ["hotelling", "permuted"])
def test_probabilities_of_tests_are_uniform_where_nothing_differs(test):
    found = []
    for run in range(200):
        g = seeded(run)
        x, y = (torch.randn(60, 3, generator=g, dtype=torch.float64) for _ in range(2))
        found.append(hotelling(x, y) if test == "hotelling" else kernel_permutations(x, y, 99, generator=g))
    assert stats.kstest(found, "uniform").pvalue > 1e-6
    assert min(found) < 0.1


def test_permutations_are_those_of_the_unbiased_distance():
    """Against the distance written out, with the same permutations."""
    g = seeded(3)
    x, y = (torch.randn(12, 2, generator=g, dtype=torch.float64) + k for k in (0.0, 0.6))

    def distance(one, other):
        def kernel(a, b):
            return (1 + a @ b.T / 2) ** 3

        n = len(one)
        inside = [(kernel(a, a).sum() - kernel(a, a).trace()) / (n * (n - 1)) for a in (one, other)]
        return float(inside[0] + inside[1] - 2 * kernel(one, other).mean())

    both, numbers = torch.cat([x, y]), seeded(4)
    beyond = 1
    for _ in range(199):
        order = torch.randperm(24, generator=numbers)
        first = order < 12
        beyond += distance(both[first], both[~first]) >= distance(x, y) * (1 - 1e-12)
    assert kernel_permutations(x, y, 199, generator=seeded(4)) == pytest.approx(beyond / 200)


SMALL = {"size": 500, "known": 1_000, "part": 60, "permutations": 19, "generations": 8, "tolerance": 0.2}


@pytest.mark.parametrize("kind", list(PUSHES))
def test_a_watched_loop_stays_within_its_tolerance_or_does_not(kind):
    history = watch_run(SMALL, kind=kind, run=1, **HERE)
    if kind == "calibration":
        assert history.keys() == ["frechet", "kernel"]
        return
    outside = history["within"] < 1 / 1.2 - 1e-6
    if PUSHES[kind].gated:
        assert not outside.any()
    if kind == "edge":
        assert float(history["within"][-1]) == pytest.approx(1 / 1.2, abs=1e-6)
    if kind == "fast":
        assert bool(outside[-1])
    assert history["forecast"].shape == (1, 6, 2)


def test_a_run_that_is_known_in_part_is_the_course_of_that_part():
    g = seeded(5)
    data, *seen = torch.randn(7, 200, 3, generator=g, dtype=torch.float64)
    for count in (3, 5):
        one = first_generations(Course.of(data, seen, alpha=0.3), count)
        other = Course.of(data, seen[:count], alpha=0.3)
        assert one.forecast(9) == pytest.approx(other.forecast(9))


def test_evidence_in_a_loop_is_that_of_its_looks():
    """The largest log W of all generations so far, from the points that the next one was trained on."""
    history = watch_run(SMALL | {"size": 800}, kind="fast", run=2, **HERE)
    assert bool((history["evidence"].diff() >= 0).all())
    alarm = history["evidence"] >= -math.log(0.8 * 0.05)
    seen = Evidence.against(torch.randn(200, 2, generator=seeded(8)), tolerance=0.2)
    assert (seen.alarm, bool(alarm[0])) == (False, False)


@pytest.mark.parametrize(
    ("run_one", "what"), [(watch_run, {"kind": "edge"}), (run_pipeline, {"pipeline": "gaussian"})]
)
def test_another_device_is_refused(run_one, what):
    """Else the result would say that it came from there."""
    with pytest.raises(ValueError, match=r"^device = cuda: .* on the CPU"):
        run_one({}, **what, run=0, seed=1, device="cuda", folder=None, progress=False)
