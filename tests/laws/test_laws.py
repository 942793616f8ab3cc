"""Blends and Gaussians, against mixtures, autograd, quadrature, torch.distributions and sampling."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal

from helpers import (
    gaussian,
    jacobian_trace,
    line,
    mixtures,
    normal_density,
    points,
    random_mixture,
    repeatable,
    seeded,
    worst_sigmas,
)
from scoredrift import Blend, Flow, FunctionScore, Gaussian, KernelDensity, OrnsteinUhlenbeck
from scoredrift.laws import elapsed

OU = OrnsteinUhlenbeck()
LAWS = {
    "mixture": random_mixture(0),
    "kernels": KernelDensity(points(1, 7, 2), 0.8),
    "weighted kernels": KernelDensity(
        points(2, 3, 2), 0.5, torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)
    ),
}


def random_gaussian(seed, dim=2):
    g = seeded(seed)
    root = torch.randn(dim, dim, generator=g, dtype=torch.float64)
    mean = 2 * torch.randn(dim, generator=g, dtype=torch.float64)
    return Gaussian(mean, root @ root.T + 0.1 * torch.eye(dim).double())


LAWS["gaussian"] = random_gaussian(3)
LAWS["blend"] = Blend((0.3, 0.5, 0.2), (LAWS["mixture"], LAWS["weighted kernels"], LAWS["gaussian"]))
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
gaussians = st.builds(random_gaussian, seed=st.integers(0, 10**6), dim=st.integers(1, 4))


def times(n):
    """One time for each of n points, zero and t0 among them."""
    return torch.cat([torch.tensor([0.0, 0.02]), torch.linspace(0.1, 4, n - 2)]).double()


@each_law
def test_score_is_the_gradient_of_the_log_density(law):
    x = points(4, 30, 2).requires_grad_(True)
    (gradient,) = torch.autograd.grad(law.at(x, times(30)).log_density.sum(), x)
    torch.testing.assert_close(law.at(x.detach(), times(30)).score, gradient, rtol=1e-9, atol=1e-9)


@each_law
def test_score_divergence_is_the_trace_of_the_jacobian_of_the_score(law):
    x, t = points(5, 20, 2), times(20)
    automatic = jacobian_trace(lambda y: law.at(y, t).score, x)
    torch.testing.assert_close(law.at(x, t).score_divergence, automatic, rtol=1e-8, atol=1e-8)
    flowing = Flow(law, OU)
    exact = flowing.divergence(x, 0.3)
    torch.testing.assert_close(FunctionScore(flowing).divergence(x, 0.3), exact, rtol=1e-8, atol=1e-8)


@each_law
def test_one_time_for_all_points_is_as_good_as_one_for_each(law):
    x, t = points(6, 8, 2), times(8)
    one_by_one = [law.at(x[i : i + 1], float(t[i])) for i in range(8)]
    together = [torch.cat(parts) for parts in zip(*one_by_one, strict=True)]
    torch.testing.assert_close(list(law.at(x, t)), together, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(law.log_density(x), law.at(x, 0.0).log_density)


@each_law
def test_sampling_repeats_to_the_bit_for_a_seed(law):
    first, again, other = (law.sample(50, generator=seeded(seed)) for seed in (5, 5, 6))
    assert first.dtype == law.dtype
    assert first.shape == (50, law.dim)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@repeatable
@given(p=mixtures(), alpha=st.floats(0.01, 0.99), seed=st.integers(0, 100))
def test_blend_of_mixtures_is_the_mixture_of_all_components(p, alpha, seed):
    q, x, t = random_mixture(seed, 2, p.dim), points(seed, 12, p.dim), times(12)
    both = Blend((alpha, 1 - alpha), (p, q))
    pooled = p.blend(q, alpha)
    assert (both.dim, both.dtype, both.device) == (pooled.dim, pooled.dtype, pooled.device)
    torch.testing.assert_close(both.at(x, t), pooled.at(x, t), rtol=1e-9, atol=1e-9)


def test_blend_of_single_precision_agrees_with_double():
    p, q, x = random_mixture(19), random_gaussian(20), points(20, 20, 2)
    p_single, q_single = p.to(dtype=torch.float32), Gaussian(q.mean.float(), q.covariance.float())
    rough = Blend((0.6, 0.4), (p_single, q_single))
    parts = [*rough.at(x.float(), 0.5), rough.sample(5, generator=seeded(0))]
    assert {part.dtype for part in parts} == {rough.dtype} == {torch.float32}
    exact = list(Blend((0.6, 0.4), (p, q)).at(x, 0.5))
    torch.testing.assert_close([part.double() for part in parts[:3]], exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("t", [0.0, 0.5])
def test_blend_of_unlike_laws_mixes_their_densities(t):
    p, model, x = LAWS["mixture"], LAWS["kernels"], points(7, 40, 2)
    mixed = 0.3 * p.diffuse(t).log_density(x).exp() + 0.7 * model.diffuse(t).log_density(x).exp()
    blended = Blend((0.3, 0.7), (p, model)).at(x, t).log_density
    torch.testing.assert_close(blended, mixed.log(), rtol=1e-10, atol=1e-10)


def test_blend_of_blends_multiplies_the_weights_and_blend_of_one_law_is_that_law():
    p, q, r = LAWS["mixture"], LAWS["kernels"], LAWS["gaussian"]
    nested = Blend((0.6, 0.4), (Blend((0.25, 0.75), (p, q)), Blend((1.0,), (r,))))
    flat, x, t = Blend((0.15, 0.45, 0.4), (p, q, r)), points(9, 20, 2), times(20)
    torch.testing.assert_close(nested.at(x, t), flat.at(x, t), rtol=1e-10, atol=1e-10)


def test_blend_samples_its_parts_by_weight_and_in_random_order():
    centres = torch.tensor([[-100.0], [0.0], [100.0]]).double()
    parts = (KernelDensity(centres[:1], 1.0), gaussian([0.0], 1.0), KernelDensity(centres[2:], 2.0))
    x = Blend((0.2, 0.3, 0.5), parts).sample(20_000, generator=seeded(0))[:, 0]
    visits = torch.stack([x < -50, x.abs() < 50, x > 50], 1).double()
    assert worst_sigmas(visits, torch.tensor([0.2, 0.3, 0.5])) < 5
    pairs = visits.reshape(-1, 2, 3)
    alike = (pairs[:, 0] * pairs[:, 1]).sum(1, keepdim=True)
    assert worst_sigmas(alike, torch.tensor([0.2**2 + 0.3**2 + 0.5**2])) < 5


def test_samples_of_a_blend_have_its_mean_and_covariance():
    p, q = random_mixture(10), random_gaussian(11)
    x = Blend((0.35, 0.65), (p, q)).sample(40_000, generator=seeded(1))
    mean = 0.35 * p.mean() + 0.65 * q.mean
    assert worst_sigmas(x, mean) < 5
    off_p, off_q, centred = p.mean() - mean, q.mean - mean, x - mean
    spread_p, spread_q = p.covariance() + off_p.outer(off_p), q.covariance + off_q.outer(off_q)
    assert worst_sigmas(centred[:, :, None] * centred[:, None, :], 0.35 * spread_p + 0.65 * spread_q) < 5


@repeatable
@given(law=gaussians, t=st.floats(0.0, 5.0))
def test_gaussian_density_and_score_are_those_of_torch_distributions(law, t):
    x, a = points(12, 20, law.dim).requires_grad_(True), math.exp(-t / 2)
    covariance = a**2 * law.covariance + (1 - a**2) * torch.eye(law.dim).double()
    density = MultivariateNormal(a * law.mean, covariance).log_prob(x)
    (score,) = torch.autograd.grad(density.sum(), x)
    found = law.at(x.detach(), t)
    torch.testing.assert_close([found.log_density, found.score], [density, score], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("t", [0.02, 0.7, 4.0])
def test_gaussian_flow_is_the_convolution_with_the_transition_kernel(t):
    law, nodes, y = random_gaussian(13, dim=1), line(-20, 20, 4001), line(-4, 4, 9)
    kernel = normal_density(y[:, None], math.exp(-t / 2) * nodes, 1 - math.exp(-t))
    convolved = torch.trapezoid(kernel * law.log_density(nodes[:, None]).exp(), nodes)
    torch.testing.assert_close(law.at(y[:, None], t).log_density.exp(), convolved, rtol=1e-9, atol=1e-12)


@repeatable
@given(mean=st.floats(-3, 3), variance=st.floats(0.05, 5), dim=st.integers(1, 4))
def test_isotropic_gaussian_is_a_mixture_of_one(mean, variance, dim):
    law = Gaussian(torch.full((dim,), mean).double(), variance * torch.eye(dim).double())
    mixture, x, t = gaussian([float(m) for m in law.mean], variance), points(14, 12, dim), times(12)
    torch.testing.assert_close(law.at(x, t), mixture.at(x, t), rtol=1e-9, atol=1e-9)


def test_gaussian_samples_have_its_mean_and_covariance():
    law = random_gaussian(15, dim=3)
    x = law.sample(40_000, generator=seeded(2))
    assert worst_sigmas(x, law.mean) < 5
    centred = x - law.mean
    assert worst_sigmas(centred[:, :, None] * centred[:, None, :], law.covariance) < 5


@pytest.mark.parametrize(("n", "dim"), [(2, 1), (4, 3), (50, 2)])
def test_gaussian_fit_has_the_mean_and_the_biased_covariance_of_the_data(n, dim):
    data = 5 + points(16, n, dim)
    law = Gaussian.fit(data)
    torch.testing.assert_close(law.mean, data.sum(0) / n)
    torch.testing.assert_close(law.covariance, torch.cov(data.T, correction=0).reshape(dim, dim))


def test_gaussian_of_single_precision_agrees_with_double():
    law, x, t = random_gaussian(17, dim=3), points(17, 20, 3), times(20)
    rough = Gaussian(law.mean.float(), law.covariance.float()).at(x.float(), t.float())
    assert {part.dtype for part in rough} == {torch.float32}
    torch.testing.assert_close([part.double() for part in rough], list(law.at(x, t)), rtol=1e-4, atol=1e-4)


P, Q, X = LAWS["mixture"], LAWS["kernels"], points(18, 3, 2)
EYE = torch.eye(2).double()
FAR = SimpleNamespace(dim=2, dtype=torch.float64, device=torch.device("cuda"))


def normal(mean=EYE[0], covariance=EYE):
    return Gaussian(mean, covariance)


REFUSED = [
    # what the message begins with, a word of the remedy, and the call
    ("weights = 0 weights for 0 laws", "one or more", lambda: Blend((), ())),
    ("weights = 1 weights for 2 laws", "one weight for each", lambda: Blend((1.0,), (P, Q))),
    ("weights = 0.0", "(0.0, 1.0]", lambda: Blend((1.0, 0.0), (P, Q))),
    ("weights = -0.5", "(0.0, 1.0]", lambda: Blend((0.5, -0.5), (P, Q))),
    ("weights = 1.5", "(0.0, 1.0]", lambda: Blend((1.5, 0.5), (P, Q))),
    ("weights = nan", "finite", lambda: Blend((math.nan, 0.5), (P, Q))),
    ("weights = sum 0.9", "divide by their sum", lambda: Blend((0.5, 0.4), (P, Q))),
    ("laws.dim = 1", "first law has 2", lambda: Blend((0.5, 0.5), (P, gaussian([0.0], 1.0)))),
    ("laws.dtype = torch.float32", "float64", lambda: Blend((0.5, 0.5), (P, Q.to(dtype=torch.float32)))),
    ("laws.device = cuda", "first law has cpu", lambda: Blend((0.5, 0.5), (P, FAR))),
    ("n = 0", "≥ 1", lambda: Blend((1.0,), (P,)).sample(0, generator=seeded(0))),
    ("generator = None", "manual_seed", lambda: Blend((1.0,), (P,)).sample(3, generator=None)),
    ("x.shape = [3, 1]", "[n, 2]", lambda: Blend((0.5, 0.5), (P, Q)).at(X[:, :1])),
    ("t = -1.0", "times", lambda: elapsed(-1.0, X)),
    ("t = nan", "times", lambda: elapsed(math.nan, X)),
    ("t = -1.0", "times", lambda: elapsed(torch.tensor([0.0, -1.0, 1.0]), X)),
    ("t.shape = [2]", "3 points", lambda: elapsed(torch.zeros(2), X)),
    ("t.shape = [3, 1]", "one time", lambda: elapsed(torch.zeros(3, 1), X)),
    ("t = 0.01", "[0.02, 4.0]", lambda: Flow(Blend((0.5, 0.5), (P, Q)), OU)(X, 0.01)),
    ("t = 4.5", "[0.02, 4.0]", lambda: Flow(Blend((0.5, 0.5), (P, Q)), OU).divergence(X, 4.5)),
    ("mean.shape = [2, 2]", "[d]", lambda: normal(mean=EYE)),
    ("mean.shape = [0]", "[d]", lambda: normal(mean=EYE[0, :0])),
    ("mean = 1 of 2 entries are NaN", "remove", lambda: normal(mean=EYE[0] / EYE[1])),
    ("covariance.shape = [1, 2]", "[2, 2]", lambda: normal(covariance=EYE[:1])),
    ("covariance.shape = [3, 3]", "[n, 2]", lambda: normal(covariance=torch.eye(3).double())),
    ("covariance.dtype = torch.float32", "convert", lambda: normal(covariance=torch.eye(2))),
    ("covariance = not symmetric", "(Σ + Σᵀ)/2", lambda: normal(covariance=EYE + EYE[[0, 0]])),
    ("covariance = not positive", "ridge", lambda: normal(covariance=EYE - 1)),
    ("covariance = not positive", "eigenvalue 0", lambda: normal(covariance=0 * EYE)),
    ("data.shape = [2, 2]", "more points", lambda: Gaussian.fit(X[:2])),
    ("data.shape = [2]", "[n, d]", lambda: Gaussian.fit(X[0])),
    ("x.shape = [3, 1]", "[n, 2]", lambda: normal().at(X[:, :1])),
    ("x.dtype = torch.float32", "convert", lambda: normal().log_density(X.float())),
    ("n = 0", "≥ 1", lambda: normal().sample(0, generator=seeded(0))),
    ("generator = 7", "manual_seed", lambda: normal().sample(2, generator=7)),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[" | ".join(row[:2]) for row in REFUSED])
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]
