"""One generation from samples alone: laws whose answer is known; honest errors; what changes nothing."""

import math
import re

import numpy as np
import pytest
import torch

from helpers import density_on, line, seeded, within
from scoredrift import Estimate, GaussianMixture
from scoredrift.divergences import mixture_gram
from scoredrift.generations import decompose, step_from_samples

NAN, INF = math.nan, math.inf
NAMES = ("before", "after", "forcing", "cross")


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def normal(g, *shape):
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def values(step):
    return [getattr(step, name).value for name in NAMES]


def errors(step):
    return [getattr(step, name).stderr for name in NAMES]


def exact(delta, w, alpha):
    """‖δ‖², ‖δ'‖², ‖w‖², δ·w for vectors in units of the data's spread."""
    after = (1 - alpha) * delta + w
    return [float(x) for x in (delta @ delta, after @ after, w @ w, delta @ w)]


MIX = double([[1.3, 0.4], [-0.2, 0.6]])  # x = ξ MIXᵀ has the covariance MIX MIXᵀ
SPREADS = (1.0, 1.4, 0.7)


def gaussians(g, counts, delta, w, alpha):
    """Data of spread one; models with means δ and (1 − α) δ + w, and other spreads; all times MIX, moved."""
    means = (torch.zeros_like(delta), delta, (1 - alpha) * delta + w)
    mix = MIX if len(delta) == 2 else torch.eye(len(delta), dtype=torch.float64)
    return [
        (mean + spread * normal(g, n, len(delta))) @ mix.T + 3.0
        for n, mean, spread in zip(counts, means, SPREADS, strict=True)
    ]


def by_hand(data, model, next_model, alpha, blocks=50):
    """Values and errors of the four terms and the cosine: numpy loops, one block left out at a time."""

    def terms(x, y, z):
        root = np.linalg.cholesky(np.linalg.inv(np.cov(x, rowvar=False).reshape(x.shape[1], -1)))
        delta = (y.mean(0) - x.mean(0)) @ root
        new = (z.mean(0) - x.mean(0)) @ root
        w = (z.mean(0) - alpha * x.mean(0) - (1 - alpha) * y.mean(0)) @ root
        squares = [delta @ delta, new @ new, w @ w, delta @ w]
        return np.array([*squares, delta @ w / np.sqrt(delta @ delta * (w @ w))])

    samples = [np.asarray(sample, dtype=float) for sample in (data, model, next_model)]
    samples = [x[torch.randperm(len(x), generator=seeded(len(x))).numpy()] for x in samples]
    whole = terms(*samples)
    value, variance = whole.copy(), np.zeros_like(whole)
    for k in range(3):
        rows = []
        for block in np.array_split(np.arange(len(samples[k])), blocks):
            others = list(samples)
            others[k] = np.delete(samples[k], block, axis=0)
            rows.append(terms(*others))
        mean = sum(rows) / blocks
        value -= (blocks - 1) * (mean - whole)
        variance += (blocks - 1) / blocks * sum((row - mean) ** 2 for row in rows)
    return value, np.sqrt(variance)


# Against laws that are known


def test_estimates_are_unbiased_and_their_errors_honest():
    """Small samples of unequal sizes, many seeds."""
    alpha, delta, w = 0.3, double([0.5, 0.2]), double([0.1, -0.4])
    truth, steps = exact(delta, w, alpha), []
    for seed in range(80):
        samples = gaussians(seeded(seed), (160, 110, 135), delta, w, alpha)
        steps.append(step_from_samples(*samples, alpha=alpha))
    found, reported = double([values(step) for step in steps]), double([errors(step) for step in steps])
    for column, wanted in zip(found.T, truth, strict=True):
        assert within(Estimate.from_samples(column), wanted)
    ratios = found.std(0) / reported.mean(0)
    assert ((ratios > 0.8) & (ratios < 1.2)).all()


def test_chance_alone_is_taken_off():
    """Three samples of one law: without the correction ‖δ‖² would be m (1/n + 1/n') on average."""
    zero, found = double([0.0, 0.0]), []
    for seed in range(20):
        g = seeded(1000 + seed)
        samples = [normal(g, n, 2) for n in (150, 130, 120)]
        found.append(values(step_from_samples(*samples, alpha=0.4)))
    columns = [Estimate.from_samples(column) for column in double(found).T]
    assert all(within(column, wanted) for column, wanted in zip(columns, exact(zero, zero, 0.4), strict=True))
    assert columns[0].stderr < 0.2 * 2 * (1 / 150 + 1 / 130)  # so that it would have been seen
    assert (double(found)[:, :3] < 0).any(0).all()


@pytest.mark.parametrize("alpha", [0.2, 0.7])
def test_squares_among_the_features_see_a_change_of_spread(alpha):
    """φ = (x, x²) under N(0, 1) has covariance diag(1, 2); E φ = (m, m² + v)."""
    g, moments = seeded(1), [(0.0, 1.0), (0.3, 1.5), (-0.2, 0.8)]
    samples = [mean + math.sqrt(v) * normal(g, 40_000, 1) for mean, v in moments]
    step = step_from_samples(*(torch.cat([x, x**2], 1) for x in samples), alpha=alpha)
    root = double([1.0, math.sqrt(0.5)])
    zero, delta, after = (double([m, m**2 + v - 1]) * root for m, v in moments)
    truth = exact(delta, after - (1 - alpha) * delta - alpha * zero, alpha)
    for name, wanted in zip(NAMES, truth, strict=True):
        assert within(getattr(step, name), wanted), name
    assert within(step.coherence, truth[3] / math.sqrt(truth[0] * truth[2]))


@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_indicators_of_cells_see_the_whole_divergence(alpha):
    """All but one of the cells: their span with the constants is everything, so nothing is missed."""
    laws = [double(law) for law in ([0.1, 0.2, 0.3, 0.4], [0.2, 0.25, 0.15, 0.4], [0.2, 0.3, 0.25, 0.25])]
    g = seeded(2)
    cells = [torch.multinomial(law, 30_000, replacement=True, generator=g) for law in laws]
    samples = [torch.nn.functional.one_hot(x, 4)[:, :3].double() for x in cells]
    found, wanted = step_from_samples(*samples, alpha=alpha), decompose(*laws, alpha=alpha)
    for name in (*NAMES, "coherence"):
        assert within(getattr(found, name), getattr(wanted, name)), name


def test_it_is_a_lower_bound_on_the_divergence_that_grows_with_the_features():
    """Powers up to 1, 2, 5: what their span sees, by sums on nodes."""
    one, g, nodes = torch.ones(1, dtype=torch.float64), seeded(3), line(-12, 12, 1201)
    data = GaussianMixture(one, double([[0.0]]), one)
    model = GaussianMixture(double([0.7, 0.3]), double([[0.2], [-0.8]]), double([0.9, 1.4]))
    samples = [law.sample(20_000, generator=g) for law in (data, model, model)]
    p, gap = density_on(data, nodes) * 0.02, (density_on(model, nodes) - density_on(data, nodes)) * 0.02
    whole, seen = float(mixture_gram(data, [model])), []
    for powers in (1, 2, 5):
        phi, *features = (
            torch.cat([x**k for k in range(1, powers + 1)], 1) for x in (nodes[:, None], *samples)
        )
        phi = phi - p @ phi
        seen.append(float(gap @ phi @ torch.linalg.solve(phi.T @ (p[:, None] * phi), phi.T @ gap)))
        step = step_from_samples(*features, alpha=0.5)
        assert within(step.before, seen[-1])
        assert within(step.after, seen[-1])
        assert step.before.value - 5 * step.before.stderr <= whole
    assert 2 * seen[0] < 1.5 * seen[1] < seen[2] < whole


def test_it_is_finite_where_the_divergence_is_not():
    g, one = seeded(4), torch.ones(1, dtype=torch.float64)
    data = GaussianMixture(one, double([[0.0]]), one)
    assert mixture_gram(data, [data.blur(1.5)])[0, 0] == INF
    samples = [law.sample(20_000, generator=g) for law in (data, data.blur(1.5), data.blur(1.5))]
    step = step_from_samples(*(torch.cat([x, x**2], 1) for x in samples), alpha=0.5)
    assert within(step.before, 0.5 * 2.25**2)


# The coherence


@pytest.mark.parametrize(
    ("w", "cosine"),
    [
        ([0.4, 0.0], 1.0),
        ([0.0, 0.4], 0.0),
        ([-0.4, 0.0], -1.0),
        ([0.0, -0.4], 0.0),
        ([0.24, 0.32], 0.6),
        ([-0.32, 0.24], -0.8),
    ],
)
def test_the_coherence_says_whether_the_error_repeats_the_deviation(w, cosine):
    samples = gaussians(seeded(5), (20_000, 18_000, 21_000), double([0.5, 0.0]), double(w), 0.3)
    step = step_from_samples(*samples, alpha=0.3)
    assert abs(step.coherence.value - cosine) < 0.05
    # At its ends the cosine is flat, and what is left of the noise is its square.
    assert step.coherence.stderr < (0.005 if abs(cosine) == 1 else 0.05)
    assert within(step.coherence, cosine) or abs(cosine) == 1


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize(
    ("delta", "w"), [([0.0, 0.0], [0.0, 0.0]), ([0.0, 0.0], [0.6, 0.0]), ([0.6, 0.0], [0.0, 0.0])]
)
def test_there_is_no_coherence_without_deviation_or_without_error(delta, w, alpha):
    samples = gaussians(seeded(6), (1000, 1000, 1000), double(delta), double(w), alpha)
    assert step_from_samples(*samples, alpha=alpha).coherence is None


def test_the_coherence_needs_five_standard_errors_of_both_squares():
    said = []
    for seed in range(8):
        small, large = double([0.8]), double([2.0])
        for delta, w in ((small, large), (large, small)):
            step = step_from_samples(*gaussians(seeded(seed), (300,) * 3, delta, w, 0.5), alpha=0.5)
            clear = min(x.value / x.stderr for x in (step.before, step.forcing)) > 5
            assert (step.coherence is not None) is clear
            said.append(clear)
    assert 3 <= sum(said) <= 13


# Identities


@pytest.mark.parametrize(
    ("counts", "features", "alpha"),
    [
        ((100, 100, 100), 1, 1.0),
        ((150, 101, 137), 1, 0.3),
        ((149, 260, 100), 2, 0.05),
        ((100, 150, 250), 3, 0.8),
        ((230, 199, 103), 4, 0.4),
        ((199, 200, 201), 5, 0.6),
    ],
)
def test_it_is_the_jackknife_over_blocks_and_the_recursion_stays_exact(counts, features, alpha):
    g = seeded(sum(counts))
    turn = normal(g, features, features)
    samples = [normal(g, n, features) @ turn + 0.3 * normal(g, features) for n in counts]
    step = step_from_samples(*samples, alpha=alpha)
    value, error = by_hand(*samples, alpha)
    assert values(step) == pytest.approx(value[:4].tolist(), rel=1e-6, abs=1e-9)
    assert errors(step) == pytest.approx(error[:4].tolist(), rel=1e-6, abs=1e-9)
    (before, after, forcing, cross), keep = values(step), 1 - alpha
    assert after == pytest.approx(keep**2 * before + forcing + 2 * keep * cross, rel=1e-9, abs=1e-10)
    if step.coherence is not None:
        assert step.coherence.value == pytest.approx(value[4], rel=1e-6)
        assert step.coherence.stderr == pytest.approx(error[4], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("seed", "scale"), [(0, 1.0), (1, 1e-4), (2, 1e4)])
def test_mixing_scaling_and_moving_the_features_changes_nothing(seed, scale):
    g = seeded(seed)
    samples = gaussians(g, (410, 430, 420), double([1.1, 0.4]), double([0.6, -1.0]), 0.5)
    turn = scale * (torch.linalg.qr(normal(g, 2, 2)).Q * double([1.0, 3.0]) + 0.2)
    plain = step_from_samples(*samples, alpha=0.5)
    other = step_from_samples(*(x @ turn + 10 * scale * turn[0] for x in samples), alpha=0.5)
    assert values(other) == pytest.approx(values(plain), rel=1e-7, abs=1e-9)
    assert errors(other) == pytest.approx(errors(plain), rel=1e-7, abs=1e-9)
    assert other.coherence.value == pytest.approx(plain.coherence.value, rel=1e-7)


def test_features_far_from_the_origin_lose_no_digits():
    samples = gaussians(seeded(7), (210, 230, 220), double([0.9, 0.4]), double([0.5, -0.6]), 0.5)
    rounded = [(1024 * x).round() / 1024 for x in samples]
    near, far = (step_from_samples(*(x + s for x in rounded), alpha=0.5) for s in (0.0, 2.0**40))
    assert values(far) == pytest.approx(values(near), rel=1e-9)
    assert errors(far) == pytest.approx(errors(near), rel=1e-9)


def test_with_fresh_data_alone_the_forcing_is_all_there_is():
    samples = gaussians(seeded(8), (200, 200, 200), double([0.5, 0.0]), double([0.3, 0.3]), 1.0)
    step = step_from_samples(*samples, alpha=1.0)
    assert (step.forcing.value, step.forcing.stderr) == pytest.approx((step.after.value, step.after.stderr))


def test_single_precision_is_lifted_before_anything_is_summed():
    samples = gaussians(seeded(9), (900, 800, 850), double([1.2, 0.2]), double([1.0, 0.3]), 0.4)
    rounded = [x.float() + 1000 for x in samples]
    found = step_from_samples(*rounded, alpha=0.4)
    assert found == step_from_samples(*(x.double() for x in rounded), alpha=0.4)
    assert values(found) == pytest.approx(values(step_from_samples(*samples, alpha=0.4)), abs=1e-3)
    assert found.coherence is not None


def test_samples_are_left_as_they_were():
    samples = gaussians(seeded(10), (120, 120, 120), double([0.1, 0.0]), double([0.1, 0.0]), 0.5)
    copies = [x.clone() for x in samples]
    step_from_samples(*samples, alpha=0.5)
    assert all(torch.equal(x, y) for x, y in zip(samples, copies, strict=True))


def test_a_hundred_points_are_enough():
    step = step_from_samples(
        *gaussians(seeded(11), (100, 100, 100), double([2.0]), double([1.0]), 0.5), alpha=0.5
    )
    assert within(step.before, 4.0)
    assert within(step.forcing, 1.0)


# Bad input

X, OTHER, THIRD = (normal(seeded(seed), 150, 2) for seed in (12, 13, 14))
BAD = X.clone()
BAD[3, 1] = NAN


def run(data=X, model=OTHER, next_model=THIRD, alpha=0.5):
    return step_from_samples(data, model, next_model, alpha=alpha)


def dependent(gap):
    """A second feature that is the first but for ``gap``."""
    return run(torch.stack([X[:, 0], X[:, 0] + gap * X[:, 1]], 1))


def hardly_ever_different():
    """A second feature that is the first but for one point: without its block they are equal."""
    twice = X[:, :1].repeat(1, 2)
    twice[7, 1] += 1
    return twice


REFUSED = [
    ("alpha = 0.0", lambda: run(alpha=0.0)),
    ("alpha = 1.2", lambda: run(alpha=1.2)),
    ("alpha = nan", lambda: run(alpha=NAN)),
    ("data = ndarray", lambda: run(X.numpy())),
    ("data.dtype = torch.int64", lambda: run(X.long())),
    ("data.shape = [150]", lambda: run(X[:, 0])),
    ("data.shape = [99, 2]", lambda: run(X[:99])),
    ("data.shape = [150, 0]", lambda: run(*[X[:, :0]] * 3)),
    ("data = 1 of 300 entries are NaN", lambda: run(BAD)),
    ("model.shape = [150, 1]", lambda: run(model=X[:, :1])),
    ("model.shape = [99, 2]", lambda: run(model=X[:99])),
    ("model.dtype = torch.float32", lambda: run(model=X.float())),
    ("model = 1 of 300 entries are NaN", lambda: run(model=BAD)),
    ("next_model.shape = [150, 3]", lambda: run(next_model=torch.cat([X, X[:, :1]], 1))),
    ("next_model.shape = [50, 2]", lambda: run(next_model=X[:50])),
    ("next_model.dtype = torch.float32", lambda: run(next_model=X.float())),
    ("next_model = 1 of 300 entries are NaN", lambda: run(next_model=BAD)),
    ("data = features that depend on each other", lambda: dependent(0.0)),
    ("data = features that depend on each other", lambda: dependent(1e-7)),
    ("data = 2 constant features", lambda: run(torch.ones_like(X))),
    ("data = features that depend on each other", lambda: run(hardly_ever_different())),
    ("data.shape = [110, 12]", lambda: run(*[normal(seeded(13), 110, 12)] * 3)),
]


@pytest.mark.parametrize(("begins", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused_by_name_and_value(begins, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)):
        call()


def test_features_that_almost_depend_on_each_other_are_taken():
    dependent(1e-4)
