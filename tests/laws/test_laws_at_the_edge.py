"""Laws where numbers are large, few, narrow, half or hidden: the right value, or an error that says why."""

import math

import pytest
import torch

from helpers import points, random_mixture, seeded
from scoredrift import Blend, Gaussian, GaussianMixture, KernelDensity
from scoredrift.laws import Marginal

SINGLE = {"rtol": 2e-3, "atol": 0.0}


def tensor(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def dense(seed, dim=2):
    root = torch.randn(dim, dim, generator=seeded(seed), dtype=torch.float64)
    return Gaussian(points(seed, 1, dim)[0], root @ root.T + 0.3 * torch.eye(dim).double())


LAWS = {
    "mixture": random_mixture(0),
    "kernels": KernelDensity(points(1, 7, 2), 0.8),
    "weighted kernels": KernelDensity(points(2, 3, 2), 0.5, tensor(0.7, 0.1, 0.2)),
    "gaussian": dense(3),
}
LAWS["blend"] = Blend((0.3, 0.7), (LAWS["mixture"], LAWS["kernels"]))
LAWS["marginal"] = Marginal(LAWS["blend"], 0.4)
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


# Far from the origin, and far from all components: two peaks N((u, ±b), v I), side by side, at (x, y). With
# y small against x, the score is (u − x, b tanh(b y/v) − y)/v, its divergence (b/v)² sech²(b y/v) − 2/v.


def two_peaks(u, b, v, point):
    x, y = point
    lean = math.tanh(b * y / v)
    peaks = (math.exp(-0.5 * (y - s * b) ** 2 / v) / (4 * math.pi * v) for s in (-1, 1))
    log_density = math.log(sum(peaks)) - 0.5 * (x - u) ** 2 / v
    return log_density, [(u - x) / v, (b * lean - y) / v], (b / v) ** 2 * (1 - lean**2) - 2 / v


def as_kernels(means, v):
    return KernelDensity(means, math.sqrt(v))


def as_mixture(means, v):
    count = len(means)
    return GaussianMixture(means.new_full((count,), 1 / count), means, means.new_full((count,), v))


@pytest.mark.parametrize("shape", [as_kernels, as_mixture])
@pytest.mark.parametrize("distance", [0.0, 3.0, 1000.0])
@pytest.mark.parametrize("place", [0.0, 1024.0])
def test_two_peaks_seen_from_far_in_single_precision(shape, place, distance):
    b, v = 0.125, 0.0078125  # exact in binary, so that all errors are ours
    law = shape(tensor([place, -b], [place, b], dtype=torch.float32), v)
    found = law.at(tensor([place + distance, 0.03125], dtype=torch.float32))
    for one, wanted in zip(found, two_peaks(place, b, v, (place + distance, 0.03125)), strict=True):
        torch.testing.assert_close(one[0], torch.tensor(wanted), **SINGLE)


def clusters(at, dtype=torch.float32):
    return tensor(*([x, y] for x in (at, -at) for y in (-0.1, 0.0, 0.1)), dtype=dtype)


def test_kernels_in_clusters_a_thousand_apart_keep_their_digits():
    """The mean of such queries is far from all of them."""
    x = tensor([-1000.0, 0.03], [1000.0, 0.05], dtype=torch.float32)
    found = KernelDensity(clusters(1000.0), 0.1).at(x)
    for i, y in enumerate((0.03, 0.05)):
        pull = [math.exp(-50 * (y - c) ** 2) for c in (-0.1, 0.0, 0.1)]
        mean, square = ((pull[2] + sign * pull[0]) * 0.1**k / sum(pull) for k, sign in ((1, -1), (2, 1)))
        torch.testing.assert_close(
            found.score[i], torch.tensor([0.0, 100 * (mean - y)]), rtol=1e-4, atol=1e-4
        )
        wanted = torch.tensor(1e4 * (square - mean**2) - 200)
        torch.testing.assert_close(found.score_divergence[i], wanted, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.score[:, 1], torch.tensor([-1.371, -2.330]), rtol=3e-4, atol=0)


def queries_in_clusters(n):
    g = seeded(0)
    x = clusters(300.0)[torch.randint(6, (n,), generator=g)]
    return x + 0.1 * torch.randn(n, 2, generator=g)


def worst_in_clusters(found, x):
    """Largest error of the score, in units of its usual size, 1/h."""
    exact = as_mixture(clusters(300.0, torch.float64), 0.01)
    far = x.double()
    return float((found.double() - exact.score(far)).norm(dim=1).max()) * 0.1


def test_twenty_thousand_queries_in_two_clusters_are_all_right():
    x = queries_in_clusters(20_000)
    assert worst_in_clusters(KernelDensity(clusters(300.0), 0.1).score(x), x) < 1e-3


NARROW = {
    "mixture": as_mixture(torch.zeros(2, 1), 1e-4),
    "kernels": as_kernels(torch.zeros(2, 1), 1e-4),
    "gaussian": Gaussian(torch.zeros(1), 1e-4 * torch.eye(1)),
}
NARROW["blend"] = Blend((0.5, 0.5), (NARROW["gaussian"], NARROW["mixture"]))
NARROW["marginal"] = Marginal(NARROW["blend"], 0.0)


@pytest.mark.parametrize("law", NARROW.values(), ids=NARROW)
def test_hundreds_of_widths_away_nothing_cancels(law):
    x = torch.tensor([[3.0], [1.0]])
    found = law.at(x)
    torch.testing.assert_close(found.score, -1e4 * x, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.score_divergence, torch.tensor([-1e4, -1e4]), rtol=1e-5, atol=0)


def test_components_of_unequal_widths_seen_from_far():
    """The wide one alone counts: score −(x − 1)/0.01; a narrow one of the same place adds nothing."""
    law = GaussianMixture(torch.tensor([0.5, 0.5]), torch.ones(2, 1), torch.tensor([1e-4, 1e-2]))
    found = law.at(torch.tensor([[9.0]]))
    torch.testing.assert_close(found.score, torch.tensor([[-800.0]]), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.score_divergence, torch.tensor([-100.0]), rtol=1e-5, atol=0)


# Weights that do not sum to one.


@each_dtype
@pytest.mark.parametrize(("n", "total"), [(100_000, 0.5), (200_000, 0.0), (100_000, 0.99), (5, 1.001)])
def test_weights_of_another_sum_are_refused_however_many(dtype, n, total):
    weights = torch.full((n,), total / n, dtype=dtype)
    with pytest.raises(ValueError, match=r"weights.* = .*(divide by their sum|positive)"):
        GaussianMixture(weights, torch.zeros(n, 1, dtype=dtype), torch.ones(n, dtype=dtype))
    with pytest.raises(ValueError, match=r"weights.* = .*(divide by their sum|positive)"):
        KernelDensity(torch.zeros(n, 1, dtype=dtype), 1.0, weights)


@each_dtype
@pytest.mark.parametrize("n", [3, 1000, 1_000_000])
def test_weights_made_by_a_division_or_a_softmax_are_accepted(dtype, n):
    z = torch.rand(n, generator=seeded(0), dtype=dtype)
    for weights in (z / z.sum(), torch.softmax(3 * z, 0), torch.full((n,), 1 / n, dtype=dtype)):
        assert GaussianMixture(weights, z[:, None], torch.ones(n, dtype=dtype)).dim == 1
        assert KernelDensity(z[:, None], 1.0, weights).dim == 1


def test_a_hundred_thousand_equal_components_merge_without_loss():
    n = 100_000
    merged = GaussianMixture(torch.full((n,), 1 / n), torch.zeros(n, 1), torch.ones(n)).merge()
    torch.testing.assert_close(merged.weights, torch.ones(1), rtol=1e-6, atol=0)


# Automatic precision, automatic differentiation and function transforms.


@each_law
def test_autocast_changes_nothing(law):
    law, x = law.to(dtype=torch.float32), points(4, 50, 2).float()
    plain = [*law.at(x, 0.3), law.sample(5, generator=seeded(0))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [*law.at(x, 0.3), law.sample(5, generator=seeded(0))]
    for one, other in zip(inside, plain, strict=True):
        assert torch.equal(one, other)


def test_autocast_changes_no_moments_and_no_fit():
    law, x = LAWS["mixture"].to(dtype=torch.float32), points(4, 50, 2).float()
    plain = [law.mean(), law.covariance(), Gaussian.fit(x).covariance]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [law.mean(), law.covariance(), Gaussian.fit(x).covariance]
    assert all(torch.equal(one, other) for one, other in zip(inside, plain, strict=True))


@each_law
def test_second_derivatives_of_the_log_density_by_every_route(law):
    """∇∇ log q has the score's Jacobian, and the score's divergence for its trace."""
    x = points(5, 4, 2)

    def log_density(y):
        return law.log_density(y[None])[0]

    found = law.at(x)
    twice = torch.stack([torch.autograd.functional.hessian(log_density, y) for y in x])
    torch.testing.assert_close(torch.func.vmap(torch.func.hessian(log_density))(x), twice)
    torch.testing.assert_close(twice.diagonal(dim1=1, dim2=2).sum(1), found.score_divergence)
    forward = torch.func.vmap(torch.func.jacfwd(lambda y: law.score(y[None])[0]))(x)
    torch.testing.assert_close(forward, twice)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(log_density))(x), found.score)
    torch.testing.assert_close(torch.func.vmap(log_density)(x), found.log_density)
    later = torch.func.vmap(lambda t: law.at(x, t).score)(tensor(0.0, 0.5))
    torch.testing.assert_close(later[1], law.at(x, 0.5).score)


def test_curvature_of_a_gaussian_is_minus_its_precision():
    law = dense(3)
    curvature = torch.func.hessian(lambda y: law.log_density(y[None])[0])(torch.ones(2).double())
    torch.testing.assert_close(curvature, -torch.linalg.inv(law.covariance))


@pytest.mark.parametrize("x", [0.5, 2.0, -40.0])
def test_a_component_without_weight_has_derivatives(x):
    """∂ log q/∂π_k = q_k/q, whatever π_k; the score of q is that of the other component."""
    weights, point = tensor(1.0, 0.0).requires_grad_(), tensor([x]).requires_grad_()
    law = GaussianMixture(weights, tensor([0.0], [3.0]), tensor(1.0, 2.0))
    density = law.log_density(point)
    assert float(density.detach()) == pytest.approx(-0.5 * x**2 - 0.5 * math.log(2 * math.pi))
    by_weight, by_point = torch.autograd.grad(density.sum(), [weights, point], create_graph=True)
    ratio = math.exp(0.5 * x**2 - 0.25 * (x - 3) ** 2) / math.sqrt(2)
    torch.testing.assert_close(by_weight.detach(), tensor(1.0, ratio))
    assert float(by_point.detach()) == -x
    (mixed,) = torch.autograd.grad(by_weight[1], point)
    torch.testing.assert_close(mixed, tensor([ratio * (x - (x - 3) / 2)]))
    lone = law.at(point)
    torch.testing.assert_close(lone.score_divergence.detach(), tensor(-1.0))


def test_a_near_component_without_weight_is_as_good_as_absent():
    law = GaussianMixture(tensor(1.0, 0.0).requires_grad_(), tensor([0.0], [1000.0]), tensor(1.0, 1.0))
    found = law.at(tensor([1000.0]))
    assert [float(part.detach()) for part in found[1:]] == [-1000.0, -1.0]


# Numbers beyond what a precision holds.


@each_law
@pytest.mark.parametrize("far", [1e20, 1e30])
def test_very_far_points_are_right_or_refused(law, far):
    """Far along one axis the largest component alone counts; beside it, points near the law stay right."""
    x = torch.zeros(3, 2).double()
    x[1, 0] = far
    one = law.at(x[:1])
    found = law.at(x)
    torch.testing.assert_close([part[0] for part in found], [part[0] for part in one])
    step = law.at(2 * x)
    torch.testing.assert_close(step.score[1] / far, 2 * found.score[1] / far)
    assert float(found.score[1, 0]) < -0.05 * far
    with pytest.raises(ValueError, match=r"log-density = out of the range of torch.float32 at 1 of 3 points"):
        law.to(dtype=torch.float32).at(x.float())


@pytest.mark.parametrize("width", [1e-30, 1e30])
def test_widths_whose_squares_leave_the_precision_are_refused(width):
    with pytest.raises(ValueError, match=r"log-density = out of the range"):
        KernelDensity(torch.zeros(2, 1), width).at(torch.ones(1, 1))


# Few points, many dimensions, half precision, strides, equal centres.


@each_law
def test_no_points_have_no_scores(law):
    shapes = [list(part.shape) for part in law.at(torch.zeros(0, 2).double(), 0.5)]
    assert shapes == [[0], [0, 2], [0]]


@each_law
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(law, half):
    with pytest.raises(ValueError, match=r"x.dtype = torch.*float16: pass float32 or float64"):
        law.score(points(6, 3, 2).to(half))
    with pytest.raises(ValueError, match=r"dtype = torch.*float16: pass float32 or float64"):
        law.to(dtype=half)


@each_law
def test_strides_do_not_matter(law):
    x = points(7, 40, 4)
    views = [x[::3, :2], x.T.contiguous().T[:, 1:3], x[:1, :2].expand(9, 2)]
    for view in views:
        assert not view.is_contiguous()
        assert all(map(torch.equal, law.at(view, 0.2), law.at(view.contiguous(), 0.2)))


def test_strides_of_the_parameters_do_not_matter():
    wide, x = points(8, 40, 6), points(9, 5, 3)
    for make in (as_kernels, as_mixture):
        torch.testing.assert_close(
            make(wide[::2, ::2], 0.5).at(x), make(wide[::2, ::2].contiguous(), 0.5).at(x)
        )


@each_dtype
@pytest.mark.parametrize("dim", [1, 3072])
def test_one_centre_any_number_of_times_is_a_normal_law(dim, dtype):
    centre = torch.randn(1, dim, generator=seeded(0), dtype=torch.float64)
    x = 0.5 + torch.randn(9, dim, generator=seeded(1), dtype=torch.float64)
    a, v = math.exp(-0.15), math.exp(-0.3) * 0.25 + 1 - math.exp(-0.3)
    gap = a * centre - x
    wanted = -0.5 * gap.square().sum(1) / v - 0.5 * dim * math.log(2 * math.pi * v), gap / v
    digits = 1e-4 if dtype == torch.float32 else 1e-9
    for count in (1, 5):
        for shape in (as_kernels, as_mixture):
            found = shape(centre.to(dtype).repeat(count, 1), 0.25).at(x.to(dtype), 0.3)
            for one, other in zip(found, (*wanted, tensor(*[-dim / v] * 9)), strict=True):
                torch.testing.assert_close(one.double(), other, rtol=digits, atol=digits)
