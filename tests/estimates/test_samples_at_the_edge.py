"""Samples in an order, on a plane, or more than once: the right number, or an error that says what to do."""

import re

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from helpers import seeded, within
from scoredrift import Estimate
from scoredrift.divergences import classifier_bounds, knn_kl
from scoredrift.generations import step_from_samples


def normal(g, *shape):
    return torch.randn(*shape, generator=g, dtype=torch.float64)


# Rows in an order


def classes(features, seed, ordered, n=5000):
    """Three samples of ten Gaussians far apart, by label or as drawn."""
    g, centres = seeded(seed), 3 * normal(seeded(99), 10, features)
    samples = []
    for _ in range(3):
        labels = torch.randint(10, (n,), generator=g)
        labels = labels.sort().values if ordered else labels
        samples.append(centres[labels] + normal(g, n, features))
    return samples


@pytest.mark.parametrize("features", [8, 64])
def test_rows_sorted_by_label_show_no_deviation_where_there_is_none(features):
    """Blocks of one label would take ten times too much off: ‖δ‖² = −0.24 ± 0.02, or −0.37 ± 0.04."""
    step = step_from_samples(*classes(features, 0, ordered=True), alpha=0.5)
    for square in (step.before, step.after, step.forcing):
        assert within(square, 0.0)
        assert square.stderr < 0.01
    assert step.coherence is None


def test_the_order_of_the_rows_does_not_matter_beyond_chance():
    samples = classes(8, 1, ordered=False, n=1000)
    samples[1] = samples[1] + 0.5
    squares = []
    for seed in range(40):
        g = seeded(seed)
        mixed = [x[torch.randperm(len(x), generator=g)] for x in samples]
        squares.append(step_from_samples(*mixed, alpha=0.5).before)
    values = torch.tensor([one.value for one in squares], dtype=torch.float64)
    assert float(values.std()) < 0.2 * squares[0].stderr
    by_size = step_from_samples(*(x[x[:, 0].argsort()] for x in samples), alpha=0.5).before
    assert abs(by_size.value - float(values.mean())) < 5 * float(values.std())
    assert by_size.stderr == pytest.approx(squares[0].stderr, rel=0.5)


def test_the_same_rows_give_the_same_numbers():
    samples = classes(4, 2, ordered=True, n=500)
    assert step_from_samples(*samples, alpha=0.3) == step_from_samples(*samples, alpha=0.3)


def test_features_of_a_network_need_no_detaching():
    samples = classes(4, 3, ordered=False, n=500)
    attached = [x.requires_grad_() for x in samples]
    plain = [x.detach() for x in samples]
    assert step_from_samples(*attached, alpha=0.3) == step_from_samples(*plain, alpha=0.3)


# Rows more than once


G = seeded(7)
X, Y, Z = normal(G, 300, 2) + 0.5, normal(G, 300, 2), normal(G, 300, 2)
THRICE = "all of 100 different rows, 3 or more times each: pass independent draws"


@pytest.mark.parametrize(
    ("begins", "call"),
    [
        ("data = " + THRICE, lambda: step_from_samples(X[:100].repeat(3, 1), Y, Z, alpha=0.5)),
        ("model = " + THRICE, lambda: step_from_samples(X, Y[:100].repeat_interleave(3, 0), Z, alpha=0.5)),
        ("model = the points of data", lambda: step_from_samples(X, X.clone(), Z, alpha=0.5)),
        ("next_model = the points of data", lambda: step_from_samples(X, Y, X, alpha=0.5)),
        ("next_model = the points of model", lambda: step_from_samples(X, Y, Y, alpha=0.5)),
        ("x = " + THRICE, lambda: knn_kl(X[:100].repeat(3, 1), Y)),
        ("y = " + THRICE, lambda: knn_kl(X, Y[:100].repeat(3, 1))),
        ("x = " + THRICE, lambda: classifier_bounds(X[:100].repeat(3, 1), Y)),
        ("y = points equal to 300 of the 300 points of x", lambda: knn_kl(X, X)),
        ("y = points equal to 150 of the 300 points of x", lambda: knn_kl(X, torch.cat([X[:150], Y[:150]]))),
        ("x = points equal to 300 of the 450 points of x", lambda: knn_kl(torch.cat([X, X[:150]]), Y)),
    ],
)
def test_a_sample_that_repeats_itself_or_another_is_refused(begins, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)):
        call()


def test_laws_with_atoms_are_no_repeated_samples():
    """The draws of a law on few points meet by chance: ‖δ‖² is that of the frequencies."""
    found = []
    for seed in range(20):
        g = seeded(seed)
        atoms = normal(seeded(0), 50, 2)
        samples = [atoms[torch.randint(50, (400,), generator=g)] for _ in range(3)]
        found.append(step_from_samples(*samples, alpha=0.5).before.value)
    assert within(Estimate.from_samples(torch.tensor(found, dtype=torch.float64)), 0.0)
    even = torch.tensor([[0.0], [1.0]], dtype=torch.float64).repeat(100, 1)  # two cells, 100 draws in each
    other = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64).repeat(60, 1)
    third = torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64).repeat(60, 1)
    assert step_from_samples(even, other, third, alpha=0.5).before.value < 0.2


# Points on a plane


def plane(n=2000, seed=0):
    """Draws of two normal laws in the plane, (0.5, 0.5) apart: KL = 0.25."""
    g = seeded(seed)
    return normal(g, n, 2) + 0.5, normal(g, n, 2)


def constant(columns):
    return lambda x: torch.cat([x, torch.ones(len(x), columns, dtype=x.dtype)], 1)


def embedded(x):
    return x @ normal(seeded(1), 2, 10) + 3.0


def thin(width):
    return lambda x: torch.cat([x, width * x.flip(0)[:, :1].sin()], 1)


@pytest.mark.parametrize(
    ("change", "flat", "dims"),
    [
        (constant(1), 1, 3),
        (constant(8), 8, 10),
        (constant(100), 100, 102),
        (embedded, 8, 10),
        (lambda x: embedded(x).float(), 8, 10),
        (lambda x: torch.cat([x, x.sum(1, keepdim=True)], 1), 1, 3),
        (thin(1e-9), 1, 3),
        (thin(1e-3), 1, 3),
    ],
)
def test_neighbours_refuse_points_that_fill_fewer_dimensions_than_they_have(change, flat, dims):
    """In d dimensions of which r are filled the answer would be d/r times the divergence."""
    x, y = plane()
    with pytest.raises(
        ValueError, match=rf"^x, y = hardly any spread in {flat} of {dims} directions.*leave out"
    ):
        knn_kl(change(x), change(y))


def test_neighbours_of_a_common_scale_are_found_in_any_unit():
    x, y = plane()
    value = knn_kl(x, y)
    assert abs(value.sigmas_from(0.25)) < 5
    for scale in (1e-150, 1e-6, 1e6, 1e120):
        assert knn_kl(scale * x, scale * y).value == pytest.approx(value.value, rel=1e-6)


@pytest.mark.parametrize("dim", [1, 5, 30])
def test_dimensions_that_are_filled_are_not_refused(dim):
    g = seeded(dim)
    found = knn_kl(normal(g, 300, dim), normal(g, 300, dim))
    assert abs(found.value) < 5 * found.stderr + 0.1 * dim**0.5


@pytest.mark.parametrize("change", [constant(8), embedded])
def test_bounds_of_a_classifier_hold_on_a_plane_as_well(change):
    """They hold for every classifier, and nothing in them counts dimensions."""
    x, y = plane(4000)
    bounds = classifier_bounds(change(x), change(y), classifier=LogisticRegression())
    assert abs(bounds.kl.sigmas_from(0.25)) < 5
    assert abs(bounds.chi2.sigmas_from(torch.tensor(0.5).expm1().item())) < 5
