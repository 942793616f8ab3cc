"""Divergences from samples alone: x ~ P and y ~ Q, no density in sight.

**Nearest neighbours.** With ρ_i the distance from x_i to its k-th nearest neighbour among the other n − 1
points of P and ν_i to its k-th nearest among the m points of Q, k/(n ρ^d) and k/(m ν^d) estimate the two
densities up to a common factor, and

    KL(P‖Q) ≈ (1/n) Σ_i d log(ν_i/ρ_i) + log(m/(n − 1)).

**A classifier.** One that tells P from Q knows their ratio: f = logit c(x) + log(m/n) estimates log dP/dQ.
Whatever f is, R̂ = e^f > 0 gives lower bounds, with equality at the true ratio R = dP/dQ:

    KL(P‖Q) ≥ E_P[f] − E_Q[e^f] + 1,        χ²(P‖Q) ≥ 2 E_P[R̂] − E_Q[R̂²] − 1.

Proof. E_P[f] = E_Q[R f], and E_Q[R log R] minus the first right-hand side is E_Q[R φ(R̂/R)] with
φ(y) = y − 1 − log y ≥ 0. In the same way E_Q[R² − 1] minus the second is E_Q[(R − R̂)²] ≥ 0.

With f fitted on other draws than those that are averaged, the averages are bounds in expectation.

Source: Wang, Kulkarni, Verdú, IEEE Trans. Inf. Theory 55(5), 2392–2405, 2009, doi
10.1109/TIT.2009.2016060 (neighbours); Nguyen, Wainwright, Jordan, arXiv 0809.0853 (the bound on KL).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import FEWEST, Estimate, tail_shape

Floats = NDArray[np.float64]

# Of the distance of a neighbour along one axis, in root mean square. Where the points spread by less in some
# direction, their law has fewer dimensions than coordinates, as far as neighbours can see.
_THINNEST = 0.5

# Of points that equal another: draws of a density do so by rounding alone.
_MOST_TIES = 0.01


class Classifier(Protocol):
    """A scikit-learn classifier with probabilities.

    >>> from sklearn.linear_model import LogisticRegression
    >>> classifier: Classifier = LogisticRegression()
    """

    def fit(self, X: Any, y: Any) -> Any:
        """Learn the labels y of the points X."""

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the labels, one column for each."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, from which an unfitted copy is made."""


class ClassifierBounds(NamedTuple):
    """Lower bounds, in expectation, on the divergences of P from Q.

    Args:
        kl: bound on KL(P‖Q), in nats.
        chi2: bound on χ²(P‖Q), without unit; its tail is the heavier one of its two means.

    >>> ClassifierBounds(Estimate(0.4, 0.1), Estimate(1.1, 0.2, tail=0.3)).kl.value
    0.4
    """

    kl: Estimate
    chi2: Estimate


def knn_kl(x: Tensor, y: Tensor, *, neighbours: int = 5) -> Estimate:
    """Divergence KL(P‖Q) ≈ (1/n) Σ d log(ν_i/ρ_i) + log(m/(n − 1)) from k-th nearest neighbours.

    It is consistent but **biased**: the densities are taken as constant out to the k-th neighbour. Between
    Gaussians, at n = m = 1000 and k = 5, it is off by −6 % for a KL of 0.25 in two dimensions, −10 % for a
    KL of 2 in one, −33 % for a KL of 1.25 in ten, and −42 % for a KL of 8 in one, where the points of P see
    only the edge of Q. So it is for low dimensions and KL up to about one. Fewer neighbours: less bias,
    more spread. KL does not change under linear maps, but neighbours do: it is best to give all
    directions the same spread.

    The standard error is that of the jackknife: leaving a point out moves its neighbours on to their next
    neighbour, which is known. That of the terms alone would be up to five times too small, since many terms
    lean on the same few points of Q. Over repeated draws of Gaussians the jackknife came out between
    right and twice too large. It does not contain the bias.

    Args:
        x: points of P, shape ``[n, d]`` with n ≥ k + 2, float32 or float64.
        y: points of Q, shape ``[m, d]`` with m ≥ k + 1, of the same dtype and device.
        neighbours: k ≥ 1.

    Returns:
        Estimate in nats; it can be negative.

    Raises:
        ValueError: too few points, points that do not match or are not finite; points that lie in a
            subspace, or so close to one that neighbours cannot tell; or duplicates: more than one in a
            hundred, or so many that a k-th neighbour lies at distance zero.

    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(2000, 2, generator=g) + 0.5, torch.randn(2000, 2, generator=g)
    >>> print(knn_kl(x, y), "for", 0.25)
    0.254 ± 0.037 for 0.25
    """
    k = _checks.count("neighbours", neighbours)
    own, other = _pair(x, y, k + 2, k + 1)
    n, dim, m = len(own), own.shape[1], len(other)
    # One neighbour more than needed, for the jackknife; among its own kind a point meets itself first.
    to_own, at_own = cKDTree(own).query(own, k + 2)
    to_other, at_other = cKDTree(other).query(own, k + 1)
    rho, at_rho, at_nu = to_own[:, k:], at_own[:, 1 : k + 1], at_other[:, :k]
    nu = to_other[:, k - 1 :]
    for name, nearest in (("x", to_own[:, 1]), ("y", to_other[:, 0])):
        ties = int((nearest == 0).sum())
        if ties > _MOST_TIES * n:
            wrong = f"points equal to {ties} of the {n} points of x"
            _checks.refuse(name, wrong, "remove duplicates: draws of a density do not meet")
    _spread_in_all_directions(own, other, float(np.median(rho[:, 0])))
    for name, distances in (("x", rho[:, 0]), ("y", nu[:, 0])):
        zero = int((distances == 0).sum())
        if zero:
            wrong = f"{k} or more points equal to a point of x, {zero} times"
            _checks.refuse(name, wrong, "remove duplicates, or pass more neighbours; a density has none")
    log_rho, log_nu = np.log(rho), np.log(nu)
    terms = dim * (log_nu[:, 0] - log_rho[:, 0])
    from_x = terms + dim * _moved(at_rho, log_rho[:, 1] - log_rho[:, 0], n)
    from_y = dim * m / n * _moved(at_nu, log_nu[:, 1] - log_nu[:, 0], m)
    errors = [Estimate.from_samples(torch.from_numpy(each)).stderr for each in (from_x, from_y)]
    return Estimate(float(terms.mean()) + math.log(m / (n - 1)), math.hypot(*errors))


def classifier_bounds(
    x: Tensor, y: Tensor, *, classifier: Classifier | None = None, folds: int = 2, seed: int = 0
) -> ClassifierBounds:
    """Bounds KL ≥ E_P[f] − E_Q[e^f] + 1 and χ² ≥ 2 E_P[R̂] − E_Q[R̂²] − 1 from a classifier of x and y.

    Each fold gets the log-ratio f that was learned on the others, clipped to |f| ≤ ½ log N with N the
    smaller number of training points of a kind: then no single draw adds more than one to the mean
    of R̂². So neither bound can exceed ½ log N + 1 and 2√N − 1. The bounds hold in expectation for every
    classifier, and are tight where it is good and calibrated; a negative value says only that it is not.
    The standard errors take the held-out draws as independent, which they are once the classifiers
    are fixed; that the folds trade places as training data is neglected.

    Args:
        x: points of P, shape ``[n, d]`` with n ≥ 100, float32 or float64.
        y: points of Q, shape ``[m, d]`` with m ≥ 100, of the same dtype and device.
        classifier: any scikit-learn classifier with probabilities, copied before it is fitted; None for
            gradient-boosted trees with early stopping (without it they are far too sure of themselves).
        folds: number of folds ≥ 2.
        seed: for the shuffling of the folds and the default classifier.

    Returns:
        ClassifierBounds.

    Raises:
        ValueError: too few points, points that do not match or are not finite, more folds than points of
            a kind, the same points over and over, or a classifier without probabilities.

    >>> from sklearn.linear_model import LogisticRegression
    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(4000, 2, generator=g) + 0.5, torch.randn(4000, 2, generator=g)
    >>> bounds = classifier_bounds(x, y, classifier=LogisticRegression())
    >>> print(bounds.kl, "for", 0.25, "and", bounds.chi2, "for", 0.65)
    0.249 ± 0.017 for 0.25 and 0.677 ± 0.067 for 0.65
    """
    of_p, of_q = _pair(x, y, FEWEST, FEWEST)
    n, m = len(of_p), len(of_q)
    folds, seed = _checks.count("folds", folds, least=2), _checks.count("seed", seed, least=0)
    if folds > min(n, m):
        _checks.refuse("folds", folds, f"pass at most {min(n, m)}, the smaller number of points")
    if classifier is None:
        classifier = HistGradientBoostingClassifier(early_stopping=True, random_state=seed)
    for method in ("fit", "predict_proba", "get_params"):
        if isinstance(classifier, type) or not hasattr(classifier, method):
            remedy = f"pass a scikit-learn classifier with the method {method}"
            _checks.refuse("classifier", type(classifier).__name__, remedy)
    data, is_p = np.concatenate([of_p, of_q]), np.arange(n + m) < n
    log_ratio = np.empty(n + m)
    for train, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(data, is_p):
        number_p = int(is_p[train].sum())
        number_q = len(train) - number_p
        chance = clone(classifier).fit(data[train], is_p[train]).predict_proba(data[held])[:, 1]
        logit = torch.logit(torch.from_numpy(chance).double()).numpy()
        most = 0.5 * math.log(min(number_p, number_q))
        log_ratio[held] = np.clip(logit + math.log(number_q / number_p), -most, most)
    f_p, f_q = torch.from_numpy(log_ratio[:n]), torch.from_numpy(log_ratio[n:])
    r_p, r_q = f_p.exp(), f_q.exp()
    mean = Estimate.from_samples
    kl = mean(f_p) - mean(r_q) + 1.0
    chi2 = 2.0 * mean(r_p) - mean(r_q.square()) - 1.0
    return ClassifierBounds(kl, replace(chi2, tail=max(tail_shape(r_p), tail_shape(r_q.square()))))


def _pair(x: Tensor, y: Tensor, least_x: int, least_y: int) -> tuple[Floats, Floats]:
    """Two batches of points of one dimension as float64 arrays, if there are enough of each."""
    _checks.points("x", x)
    _checks.points("y", y, x.shape[1], like=x)
    for name, points, least in (("x", x, least_x), ("y", y, least_y)):
        if len(points) < least or points.shape[1] == 0:
            remedy = f"pass at least {least} points in one or more dimensions"
            _checks.refuse(f"{name}.shape", list(points.shape), remedy)
        _checks.no_copies(name, points)
    return x.detach().double().cpu().numpy(), y.detach().double().cpu().numpy()


def _spread_in_all_directions(own: Floats, other: Floats, distance: float) -> None:
    """Refuse points whose least spread is small against the distance of neighbours."""
    pooled = np.concatenate([own, other])
    dim = pooled.shape[1]
    spreads = np.linalg.svd(pooled - pooled.mean(0), compute_uv=False) / math.sqrt(len(pooled))
    flat = dim - int((spreads > _THINNEST * distance / math.sqrt(dim)).sum())
    if flat:
        wrong = f"hardly any spread in {flat} of {dim} directions, against neighbours at {distance:.2g}"
        remedy = "leave out what is constant or follows from the rest, rescale to the same spread, or pass more points"
        _checks.refuse("x, y", wrong, remedy)


def _moved(neighbours: NDArray[np.intp], gaps: Floats, count: int) -> Floats:
    """Sum of the gaps over all i that have j among their k neighbours, for each j of ``count``."""
    moved = np.zeros(count)
    np.add.at(moved, neighbours, gaps[:, None])
    return moved
