"""Gaussian mixtures, against quadrature, autograd and sampling."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import (
    density_on,
    gaussian,
    jacobian_trace,
    line,
    mixtures,
    needs_cuda,
    normal_density,
    points,
    random_mixture,
    repeatable,
    seeded,
    worst_sigmas,
)
from scoredrift import Flow, GaussianMixture, OrnsteinUhlenbeck, mixture_of_five

OPERATIONS = {
    "as built": lambda q: q,
    "diffused": lambda q: q.diffuse(0.7),
    "blurred": lambda q: q.blur(0.6),
    "blended": lambda q: q.blend(q.blur(1.0).diffuse(0.5), 0.3),
}
operations = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@operations
@repeatable
@given(q=mixtures(max_dim=1))
def test_density_integrates_to_one_on_the_line(operation, q):
    nodes = line()
    assert float(torch.trapezoid(density_on(operation(q), nodes), nodes)) == pytest.approx(1, abs=1e-9)


@operations
@pytest.mark.parametrize("seed", [0, 1])
def test_density_integrates_to_one_in_the_plane(operation, seed):
    nodes = line(count=281)
    grid = torch.cartesian_prod(nodes, nodes)
    density = operation(random_mixture(seed, dim=2)).log_density(grid).exp().reshape(281, 281)
    total = torch.trapezoid(torch.trapezoid(density, nodes), nodes)
    assert float(total) == pytest.approx(1, abs=1e-8)


@operations
@repeatable
@given(q=mixtures(), seed=st.integers(0, 100))
def test_score_is_the_gradient_of_the_log_density(operation, q, seed):
    law = operation(q)
    x = points(seed, 20, q.dim).requires_grad_(True)
    (gradient,) = torch.autograd.grad(law.log_density(x).sum(), x)
    torch.testing.assert_close(law.score(x), gradient, rtol=1e-9, atol=1e-9)


@operations
@repeatable
@given(q=mixtures(), seed=st.integers(0, 100))
def test_score_divergence_is_the_trace_of_the_jacobian_of_the_score(operation, q, seed):
    law = operation(q)
    x = points(seed, 10, q.dim)
    torch.testing.assert_close(law.score_divergence(x), jacobian_trace(law.score, x), rtol=1e-9, atol=1e-8)


@repeatable
@given(q=mixtures(), seed=st.integers(0, 100))
def test_single_precision_agrees_with_double(q, seed):
    x = points(seed, 20, q.dim)
    single, x_single = q.to(dtype=torch.float32), x.float()
    for method in ("log_density", "score", "score_divergence"):
        rough = getattr(single, method)(x_single)
        assert rough.dtype == torch.float32
        torch.testing.assert_close(rough.double(), getattr(q, method)(x), rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("t", [0.02, 0.4, 4.0])
@pytest.mark.parametrize("method", ["__call__", "divergence", "log_density"])
def test_flow_at_time_t_is_the_diffused_mixture(t, method):
    q = random_mixture(5, dim=3)
    x, still = points(1, 20, 3), q.diffuse(t)
    named = {"__call__": still.score, "divergence": still.score_divergence, "log_density": still.log_density}
    flowing = getattr(Flow(q, OrnsteinUhlenbeck()), method)
    torch.testing.assert_close(flowing(x, t), named[method](x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("method", ["__call__", "divergence", "log_density"])
def test_each_row_may_have_its_own_time(method):
    ou = OrnsteinUhlenbeck()
    flowing = getattr(Flow(random_mixture(6, dim=3), ou), method)
    x, t = points(2, 12, 3), ou.geometric_grid(11)
    one_by_one = torch.cat([flowing(x[i : i + 1], float(t[i])) for i in range(12)])
    torch.testing.assert_close(flowing(x, t), one_by_one, rtol=1e-12, atol=1e-12)


@repeatable
@given(q=mixtures(max_dim=1), t=st.floats(0.05, 5.0))
def test_diffusing_is_the_convolution_with_the_transition_kernel(q, t):
    elapsed, nodes, y = torch.tensor(t, dtype=torch.float64), line(), line(-4, 4, 9)
    kernel = normal_density(y[:, None], torch.exp(-elapsed / 2) * nodes, 1 - torch.exp(-elapsed))
    convolved = torch.trapezoid(kernel * density_on(q, nodes), nodes)
    torch.testing.assert_close(density_on(q.diffuse(t), y), convolved, rtol=1e-9, atol=1e-12)


@repeatable
@given(q=mixtures(max_dim=1), bandwidth=st.floats(0.1, 2.0))
def test_blurring_is_the_convolution_with_the_kernel(q, bandwidth):
    nodes, y = line(-20, 20, 4001), line(-4, 4, 9)
    kernel = normal_density(y[:, None], nodes, bandwidth**2)
    convolved = torch.trapezoid(kernel * density_on(q, nodes), nodes)
    torch.testing.assert_close(density_on(q.blur(bandwidth), y), convolved, rtol=1e-9, atol=1e-12)


@repeatable
@given(p=mixtures(max_dim=1), q=mixtures(max_dim=1), alpha=st.floats(0.01, 1.0))
def test_blending_mixes_the_densities(p, q, alpha):
    nodes = line()
    mixed = alpha * density_on(p, nodes) + (1 - alpha) * density_on(q, nodes)
    torch.testing.assert_close(density_on(p.blend(q, alpha), nodes), mixed, rtol=1e-11, atol=1e-300)


@repeatable
@given(p=mixtures(), seed=st.integers(10**7, 10**8), alpha=st.floats(0.05, 0.95))
def test_merging_counts_equal_components_once_and_keeps_the_law(p, seed, alpha):
    q = random_mixture(seed, 2, p.dim)
    thrice = p.blend(q, alpha).blend(p, 0.4).blend(q, 0.7)
    merged, x = thrice.merge(), points(seed, 20, p.dim)
    assert len(merged.weights) == len(p.weights) + len(q.weights)
    torch.testing.assert_close(merged.at(x, 0.1), thrice.at(x, 0.1), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(merged.mean(), thrice.mean())
    torch.testing.assert_close(merged.covariance(), thrice.covariance())


def test_merging_keeps_components_apart_that_differ_in_width_only():
    wide, narrow = gaussian([0.5, 1.0], 2.0), gaussian([0.5, 1.0], 1.0)
    merged = wide.blend(narrow, 0.25).blend(wide, 0.8).merge()
    assert dict(zip(merged.variances.tolist(), merged.weights.tolist(), strict=True)) == pytest.approx(
        {2.0: 0.4, 1.0: 0.6}
    )


@repeatable
@given(q=mixtures(), s=st.floats(0.0, 3.0), t=st.floats(0.0, 3.0))
def test_diffusing_twice_is_diffusing_for_the_sum(q, s, t):
    x = points(3, 20, q.dim)
    twice, once = q.diffuse(s).diffuse(t), q.diffuse(s + t)
    torch.testing.assert_close(twice.log_density(x), once.log_density(x), rtol=1e-11, atol=1e-11)


@operations
def test_sample_has_the_mean_and_covariance_of_the_mixture(operation):
    law = operation(random_mixture(8, components=4, dim=3))
    x = law.sample(40_000, generator=seeded(0))
    assert worst_sigmas(x, law.mean()) < 5
    centred = x - law.mean()
    assert worst_sigmas(centred[:, :, None] * centred[:, None, :], law.covariance()) < 5


def test_mean_and_covariance_are_integrals_of_the_density():
    law, nodes = random_mixture(9, dim=2), line(count=281)
    grid = torch.cartesian_prod(nodes, nodes)
    mass = law.log_density(grid).exp() * (nodes[1] - nodes[0]) ** 2
    mean = mass @ grid
    torch.testing.assert_close(law.mean(), mean, rtol=0, atol=1e-7)
    centred = grid - mean
    torch.testing.assert_close(law.covariance(), (mass[:, None] * centred).T @ centred, rtol=0, atol=1e-6)


def test_samples_visit_components_by_weight():
    far = torch.tensor([[-100.0], [0.0], [100.0]], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.0, 0.8], dtype=torch.float64)
    x = GaussianMixture(weights, far, torch.ones(3, dtype=torch.float64)).sample(20_000, generator=seeded(1))
    visits = torch.stack([x[:, 0] < -50, x[:, 0] > 50], 1).double()
    assert worst_sigmas(visits, weights[[0, 2]]) < 5
    assert not bool((x.abs() < 50).any())


def test_components_of_weight_zero_are_harmless():
    q = random_mixture(10, dim=2)
    ghost = torch.tensor([[0.3, 0.1]], dtype=torch.float64)
    haunted = GaussianMixture(
        torch.cat([q.weights, torch.zeros(1, dtype=torch.float64)]),
        torch.cat([q.means, ghost]),
        torch.cat([q.variances, torch.full((1,), 1e-8, dtype=torch.float64)]),
    )
    x = torch.cat([points(4, 20, 2), ghost])
    for method in ("log_density", "score", "score_divergence"):
        torch.testing.assert_close(getattr(haunted, method)(x), getattr(q, method)(x), rtol=1e-12, atol=1e-12)


def test_mixture_of_five_is_the_law_of_the_paper():
    q = mixture_of_five()
    centres = {(0.0, 0.0), (4.0, 4.0), (4.0, -4.0), (-4.0, 4.0), (-4.0, -4.0)}
    assert {tuple(row) for row in q.means[:, :2].tolist()} == centres
    assert q.means.shape == (5, 10)
    assert not bool(q.means[:, 2:].any())
    torch.testing.assert_close(q.weights, torch.full((5,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(q.variances, torch.full((5,), 0.36, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampling_repeats_to_the_bit_for_a_seed(dtype):
    q = mixture_of_five(dtype=dtype)
    first, again, other = (q.sample(100, generator=seeded(seed)) for seed in (5, 5, 6))
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@needs_cuda
@pytest.mark.parametrize("method", ["log_density", "score", "score_divergence"])
def test_cuda_agrees_with_cpu(method):
    q, x = random_mixture(11, dim=4), points(5, 100, 4)
    there = getattr(q.to(device="cuda"), method)(x.cuda())
    torch.testing.assert_close(there.cpu(), getattr(q, method)(x), rtol=1e-10, atol=1e-10)


@needs_cuda
def test_samples_on_cuda_have_the_mean_of_the_mixture():
    q = random_mixture(12, dim=3)
    x = q.to(device="cuda").sample(40_000, generator=seeded(0, "cuda"))
    assert worst_sigmas(x.cpu(), q.mean()) < 5
