"""Divergences from samples, against closed forms for Gaussians and against fresh draws."""

import math
import re

import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.tree import DecisionTreeClassifier

from helpers import gaussian, seeded
from scoredrift import Estimate
from scoredrift.tails import tail_shape
from scoredrift.two_samples import classifier_bounds, knn_kl

NAN = math.nan


def samples(shift, n, m, dim=1, seed=0):
    """Draws of N(shift, I) and of N(0, I), for which KL = d shift²/2 and χ² = exp(d shift²) − 1."""
    g = seeded(seed)
    return (
        gaussian([shift] * dim, 1.0).sample(n, generator=g),
        gaussian([0.0] * dim, 1.0).sample(m, generator=g),
    )


class Oracle(BaseEstimator):
    """Believes in the log-ratio of N(shift, I) and N(0, I), with a share of draws from the first."""

    def __init__(self, shift, share=0.5):
        self.shift, self.share = shift, share

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        log_ratio = torch.as_tensor(self.shift * (X - self.shift / 2).sum(1))
        chance = torch.sigmoid(log_ratio + math.log(self.share / (1 - self.share)))
        return torch.stack([1 - chance, chance], 1).numpy()


def test_neighbours_follow_their_formula_point_by_point():
    x, y = samples(0.5, 50, 60, 3)
    rho = torch.cdist(x, x).sort(1).values[:, 2]
    nu = torch.cdist(x, y).sort(1).values[:, 1]
    wanted = float((3 * torch.log(nu / rho)).mean()) + math.log(60 / 49)
    assert knn_kl(x, y, neighbours=2).value == pytest.approx(wanted, rel=1e-9)


def test_the_error_of_neighbours_is_the_jackknife_of_leaving_points_out():
    n, m, k = 40, 30, 3
    x, y = samples(0.5, n, m, 2)
    without_x = torch.tensor([knn_kl(x[torch.arange(n) != j], y, neighbours=k).value for j in range(n)])
    without_y = torch.tensor([knn_kl(x, y[torch.arange(m) != j], neighbours=k).value for j in range(m)])
    of_x = (n - 1) / n * float((without_x - without_x.mean()).square().sum())
    of_y = m / (m - 1) * float((without_y - without_y.mean()).square().sum())
    assert knn_kl(x, y, neighbours=k).stderr == pytest.approx(math.hypot(of_x**0.5, of_y**0.5), rel=1e-4)


@pytest.mark.parametrize(("n", "m", "dim"), [(1000, 1000, 2), (700, 2000, 1)])
@pytest.mark.parametrize("neighbours", [1, 5])
def test_neighbours_find_the_gaussian_divergence_and_its_error(n, m, dim, neighbours):
    shift = 0.7
    runs = [knn_kl(*samples(shift, n, m, dim, seed), neighbours=neighbours) for seed in range(25)]
    values = torch.tensor([run.value for run in runs], dtype=torch.float64)
    mean, exact = Estimate.from_samples(values), dim * shift**2 / 2
    assert abs(mean.value - exact) < 0.1 * exact + 5 * mean.stderr
    reported = sum(run.stderr for run in runs) / len(runs)
    # The spread over 25 runs is known to 14 %.
    assert 0.7 * float(values.std()) < reported < 2.6 * float(values.std())


def test_neighbours_find_nothing_between_draws_of_one_law():
    values = torch.tensor([knn_kl(*samples(0.0, 1000, 1000, 2, seed)).value for seed in range(25)])
    assert abs(Estimate.from_samples(values).sigmas_from(0.0)) < 5


def test_a_few_equal_points_and_single_precision_are_no_obstacle():
    x, y = samples(0.5, 500, 500)
    value = knn_kl(x, y).value
    assert knn_kl(x.float(), y.float()).value == pytest.approx(value, abs=1e-3)
    x[1], y[3] = x[0], x[0]
    assert knn_kl(x, y).value == pytest.approx(value, abs=0.05)


@pytest.mark.parametrize(("n", "m", "fewest"), [(200, 200, 100), (400, 200, 100), (200, 600, 100)])
def test_bounds_saturate_where_the_training_points_show_no_more(n, m, fewest):
    bounds = classifier_bounds(*samples(50.0, n, m), classifier=Oracle(50.0, n / (n + m)))
    # Every point is told apart: f = ±½ log N.
    root = math.sqrt(fewest)
    assert bounds.kl.value == pytest.approx(math.log(root) - 1 / root + 1)
    assert bounds.chi2.value == pytest.approx(2 * root - 1 / fewest - 1)


@pytest.mark.parametrize(("n", "m"), [(20_000, 20_000), (30_000, 10_000), (8000, 32_000)])
def test_the_true_ratio_gives_the_divergences_themselves(n, m):
    shift = 0.6
    bounds = classifier_bounds(*samples(shift, n, m), classifier=Oracle(shift, n / (n + m)))
    assert abs(bounds.kl.sigmas_from(shift**2 / 2)) < 5
    assert abs(bounds.chi2.sigmas_from(math.expm1(shift**2))) < 5
    assert bounds.kl.stderr < 0.02
    assert bounds.chi2.stderr < 0.04
    assert bounds.chi2.trusted


@pytest.mark.parametrize("believed", [0.0, 0.3, 1.0, -0.6])
def test_any_ratio_gives_the_lower_bound_that_belongs_to_it(believed):
    shift, n = 0.6, 20_000
    bounds = classifier_bounds(*samples(shift, n, n), classifier=Oracle(believed))
    # E_P[f], E_Q[e^f] and the like for f = b (x − b/2) in closed form.
    kl = believed * (shift - believed / 2)
    chi2 = 2 * math.exp(believed * shift) - math.exp(believed**2) - 1
    assert kl < shift**2 / 2
    assert chi2 < math.expm1(shift**2)
    assert abs(bounds.kl.sigmas_from(kl)) < 5
    assert abs(bounds.chi2.sigmas_from(chi2)) < 5


@pytest.mark.parametrize(("n", "m"), [(300, 900), (900, 300)])
def test_errors_of_the_bounds_are_the_spread_over_fresh_draws(n, m):
    shift = 0.6
    oracle = Oracle(shift, n / (n + m))
    runs = [classifier_bounds(*samples(shift, n, m, seed=seed), classifier=oracle) for seed in range(100)]
    for estimates in ([run.kl for run in runs], [run.chi2 for run in runs]):
        spread = float(torch.tensor([each.value for each in estimates]).std())
        reported = sum(each.stderr for each in estimates) / len(estimates)
        assert reported == pytest.approx(spread, rel=0.3)  # a hundred runs know the spread to 7 %


@pytest.mark.parametrize("folds", [2, 5])
def test_learned_bounds_come_close_to_the_divergences(folds):
    x, y = samples(0.5, 4000, 3000, 2)
    bounds = classifier_bounds(x, y, classifier=LogisticRegression(), folds=folds)
    assert abs(bounds.kl.sigmas_from(0.25)) < 5
    assert abs(bounds.chi2.sigmas_from(math.expm1(0.5))) < 5
    trees = classifier_bounds(x, y, folds=folds)
    assert 0.1 < trees.kl.value < 0.25 + 5 * trees.kl.stderr
    assert trees.chi2.value < math.expm1(0.5) + 5 * trees.chi2.stderr


def test_the_classifier_of_the_caller_is_left_as_it_was():
    classifier = LogisticRegression()
    classifier_bounds(*samples(0.5, 200, 200), classifier=classifier)
    assert not hasattr(classifier, "coef_")


def test_draws_learned_by_heart_are_not_counted():
    learned = DecisionTreeClassifier(random_state=0)
    bounds = classifier_bounds(*samples(0.0, 1000, 1000), classifier=learned)
    assert bounds.kl.value < 0
    assert bounds.chi2.value < 0


def test_a_seed_makes_the_bounds_repeatable_and_shuffles_the_folds():
    x, y = samples(0.5, 300, 300)
    once, again, other = (
        classifier_bounds(x, y, classifier=LogisticRegression(), seed=seed) for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other


def test_the_default_classifier_is_seeded_trees_that_stop_early():
    x, y = samples(0.5, 300, 300)
    trees = HistGradientBoostingClassifier(early_stopping=True, random_state=3)
    assert classifier_bounds(x, y, seed=3) == classifier_bounds(x, y, classifier=trees, seed=3)


@pytest.mark.parametrize(("spread_of_p", "spread_of_q"), [(2.5, 0.5), (0.5, 2.5)])
def test_the_heavier_tail_of_the_two_means_is_reported(spread_of_p, spread_of_q):
    x, y = samples(0.0, 4000, 4000)
    x, y = spread_of_p * x, spread_of_q * y
    shift, most = 0.4, 0.5 * math.log(2000)
    ratio_of_p, ratio_of_q = (torch.exp((shift * (z[:, 0] - shift / 2)).clamp(-most, most)) for z in (x, y))
    tails = [tail_shape(ratio_of_p), tail_shape(ratio_of_q**2)]
    assert (tails[0] > tails[1] + 0.1) == (spread_of_p > spread_of_q)
    reported = classifier_bounds(x, y, classifier=Oracle(shift)).chi2.tail
    assert reported == pytest.approx(max(tails), abs=1e-6)


def test_a_ratio_with_a_heavy_tail_is_not_trusted():
    bounds = classifier_bounds(*samples(2.0, 20_000, 20_000), classifier=Oracle(2.0))
    # log r² has a standard deviation of four; the clip at r = 100 comes far out.
    assert not bounds.chi2.trusted


X, Y = samples(0.5, 200, 150, 2)
MANY = samples(0.5, 1000, 1, 2)[0]
REFUSED = [
    ("x = ndarray", "torch.as_tensor", lambda: knn_kl(X.numpy(), Y)),
    ("x.shape = [200]", "[n, d]", lambda: knn_kl(X[:, 0], Y)),
    ("y.shape = [150, 1]", "[n, 2]", lambda: knn_kl(X, Y[:, :1])),
    ("y.dtype = torch.float32", "torch.float64", lambda: knn_kl(X, Y.float())),
    ("x = 1 of 2 entries are NaN", "remove", lambda: knn_kl(torch.tensor([[0.0], [NAN]]), Y)),
    ("neighbours = 0", "≥ 1", lambda: knn_kl(X, Y, neighbours=0)),
    ("x.shape = [6, 2]", "at least 7", lambda: knn_kl(X[:6], Y)),
    ("y.shape = [5, 2]", "at least 6", lambda: knn_kl(X, Y[:5])),
    ("x.shape = [200, 0]", "one or more dimensions", lambda: knn_kl(X[:, :0], Y[:, :0])),
    ("x = 5 or more points equal", "duplicates", lambda: knn_kl(torch.cat([MANY, MANY[:1].repeat(5, 1)]), Y)),
    (
        "y = 1 or more points equal",
        "duplicates",
        lambda: knn_kl(MANY, torch.cat([Y, MANY[:3]]), neighbours=1),
    ),
    ("y = points equal to 3 of the 200", "duplicates", lambda: knn_kl(X, torch.cat([Y, X[:3]]))),
    ("x = points equal to 6 of the 203", "duplicates", lambda: knn_kl(torch.cat([X, X[:3]]), Y)),
    ("x = all of 100 different rows, 2 or", "once", lambda: knn_kl(X[:100].repeat(2, 1), Y)),
    ("y = all of 75 different rows, 2 or", "once", lambda: classifier_bounds(X, Y[:75].repeat(2, 1))),
    ("x.shape = [99, 2]", "at least 100", lambda: classifier_bounds(X[:99], Y)),
    ("y.shape = [99, 2]", "at least 100", lambda: classifier_bounds(X, Y[:99])),
    ("y.shape = [150, 1]", "[n, 2]", lambda: classifier_bounds(X, Y[:, :1])),
    ("folds = 1", "≥ 2", lambda: classifier_bounds(X, Y, folds=1)),
    ("folds = 151", "at most 150", lambda: classifier_bounds(X, Y, folds=151)),
    ("seed = -1", "≥ 0", lambda: classifier_bounds(X, Y, seed=-1)),
    ("classifier = RidgeC", "predict_proba", lambda: classifier_bounds(X, Y, classifier=RidgeClassifier())),
    ("classifier = str", "scikit-learn", lambda: classifier_bounds(X, Y, classifier="trees")),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[case[0] for case in REFUSED])
def test_bad_input_is_refused_by_name_and_with_a_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)) as caught:
        call()
    assert remedy in str(caught.value)
