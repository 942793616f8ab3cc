"""Kernel densities and energies on learned paths, against mixtures, quadrature and sampling."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from helpers import gaussian, line, points, random_mixture, repeatable, seeded, within, worst_sigmas
from scoredrift import (
    Flow,
    GaussianMixture,
    KernelDensity,
    OrnsteinUhlenbeck,
    mixture_of_five,
)
from scoredrift.divergences import kl
from scoredrift.laws import kernels
from scoredrift.paths import ideal_energy, learned_energy
from scoredrift.process import RandomTimes, log_uniform_times, uniform_times

OU = OrnsteinUhlenbeck()


def chances(seed, n):
    return torch.softmax(2 * torch.randn(n, generator=seeded(seed), dtype=torch.float64), 0)


def pair(seed, n, dim, weighted, bandwidth=0.7):
    """A kernel density and the mixture with the same components."""
    weights, centres = chances(seed, n), points(seed, n, dim)
    if not weighted:
        weights = torch.full_like(weights, 1 / n)
    same = GaussianMixture(weights, centres, torch.full_like(weights, bandwidth**2))
    return KernelDensity(centres, bandwidth, weights if weighted else None), same


estimates = st.builds(
    pair, st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 4), st.booleans(), st.floats(0.1, 3)
)
each_weighting = pytest.mark.parametrize("weighted", [False, True])


@repeatable
@given(laws=estimates, t=st.floats(0, 5))
def test_kernel_density_is_the_mixture_of_its_kernels_at_every_time(laws, t):
    model, same = laws
    assert (model.dim, model.dtype, model.device) == (same.dim, same.dtype, same.device)
    x = points(14, 12, model.dim)
    for time in (0.0, t, torch.linspace(0, 5, 12)):
        torch.testing.assert_close(model.at(x, time), same.at(x, time), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.log_density(x), same.log_density(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.score(x), same.score(x), rtol=1e-9, atol=1e-9)


@repeatable
@given(laws=estimates, s=st.floats(0, 3), t=st.floats(0, 3))
def test_diffused_kernel_density_is_its_law_at_that_time(laws, s, t):
    model, same = laws
    x = points(15, 12, model.dim)
    torch.testing.assert_close(model.diffuse(t).at(x), model.at(x, t), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.diffuse(s).at(x, t), same.diffuse(s + t).at(x), rtol=1e-9, atol=1e-9)
    twice = model.diffuse(s).diffuse(t)
    torch.testing.assert_close(twice.at(x), model.diffuse(s + t).at(x), rtol=1e-9, atol=1e-9)


@each_weighting
@pytest.mark.parametrize("t", [0.0, 0.4])
def test_kernel_density_integrates_to_one_on_the_line(weighted, t):
    model, nodes = pair(16, 9, 1, weighted)[0], line(-20, 20)
    density = model.at(nodes[:, None], t).log_density.exp()
    assert float(torch.trapezoid(density, nodes)) == pytest.approx(1, abs=1e-9)


@each_weighting
def test_kernel_density_samples_have_its_mean_and_covariance(weighted):
    model, same = pair(17, 6, 3, weighted)
    x = model.sample(40_000, generator=seeded(0))
    assert worst_sigmas(x, same.mean()) < 5
    centred = x - same.mean()
    assert worst_sigmas(centred[:, :, None] * centred[:, None, :], same.covariance()) < 5


@pytest.mark.parametrize("weights", [[0.2, 0.2, 0.2, 0.2, 0.2], [0.3, 0.02, 0.5, 0.06, 0.12]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_visit_centres_by_weight(weights, dtype):
    centres = 100 * torch.arange(5)[:, None].to(dtype)
    model = KernelDensity(centres, 1.0, torch.tensor(weights, dtype=dtype))
    x = model.sample(20_000, generator=seeded(1))
    assert x.dtype == dtype
    visits = ((x - centres[:, 0]).abs() < 50).double()
    assert worst_sigmas(visits, torch.tensor(weights)) < 5
    assert torch.equal(x, model.sample(20_000, generator=seeded(1)))


@each_weighting
def test_kernel_density_in_another_precision_is_the_same_law(weighted):
    model, _ = pair(18, 20, 3, weighted)
    rough, x = model.to(dtype=torch.float32), points(19, 30, 3)
    assert rough.dtype == rough.at(x.float(), 0.1).score.dtype == torch.float32
    found = [part.double() for part in rough.at(x.float(), 0.1)]
    torch.testing.assert_close(found, list(model.at(x, 0.1)), rtol=1e-4, atol=1e-4)
    kept = model.to(device="cpu")
    assert kept.dtype == torch.float64
    assert torch.equal(kept.centres, model.centres)


@pytest.mark.parametrize("h", [0.6, 2.0])
@pytest.mark.parametrize("sampler", [uniform_times, log_uniform_times])
def test_energies_of_a_widened_normal_on_ideal_and_on_learned_paths(h, sampler):
    """ŝ = −x/(1 + u h²) with u = e^{−t}, so e = x u h²/(1 + u h²); E x² is 1, or 1 + u h²."""
    q, model = gaussian([0.0], 1.0), gaussian([0.0], 1 + h**2)
    error = Flow(q, OU).error(Flow(model, OU))

    def slope(t):
        return math.exp(-t) * h**2 / (1 + math.exp(-t) * h**2)

    ideal = quad(lambda t: slope(t) ** 2, OU.t_min, OU.t_max)[0]
    learned = quad(lambda t: slope(t) ** 2 * (1 + math.exp(-t) * h**2), OU.t_min, OU.t_max)[0]
    on_ideal = ideal_energy(error, 40_000, generator=seeded(2), times=sampler)
    on_learned = learned_energy(error, 40_000, generator=seeded(3), times=sampler)
    assert within(on_ideal, ideal)
    assert within(on_learned, learned)
    assert not within(on_learned, ideal)


def test_learned_energy_takes_its_times_from_the_sampler():
    def at_one(process, u):
        return RandomTimes(torch.ones_like(u), torch.full_like(u, 7.0))

    law = Flow(gaussian([0.0], 4.0), OU)
    shrunk = Flow(gaussian([0.0], 1.0), OU)  # e at t = 1: x/(1 + 3/e) − x on N(0, 1 + 3/e)
    energy = learned_energy(shrunk.error(law), 20_000, generator=seeded(4), times=at_one)
    wide = 1 + 3 * math.exp(-1)
    assert within(energy, 7 * wide * (1 - 1 / wide) ** 2)


def test_half_the_learned_energy_is_the_divergence_that_the_model_gains():
    """KL(p̂_t0 ‖ q_t0) = ½ ε̂² + KL(p̂_T ‖ q_T), since ŝ is the score of the flow of p̂."""
    q, g = random_mixture(20), seeded(5)
    model = KernelDensity(q.sample(300, generator=g), 0.1)
    error = Flow(q, OU).error(Flow(model, OU))
    near, far = (kl(model.diffuse(t), q.diffuse(t), 20_000, generator=g) for t in (OU.t_min, OU.t_max))
    energy = learned_energy(error, 20_000, generator=g)
    assert within(0.5 * energy + far, near)
    assert not within(0.5 * ideal_energy(error, 20_000, generator=g) + far, near)


NAN, INF = math.nan, math.inf
C = points(21, 3, 2)
X = points(22, 4, 2)
MODEL = KernelDensity(C, 0.5)
FLOW = Flow(MODEL, OU)


def built(weights=None, bandwidth=0.5, centres=C):
    return KernelDensity(centres, bandwidth, None if weights is None else torch.as_tensor(weights).double())


REFUSED = [
    # what the message begins with, a word of the remedy, and the call
    ("bandwidth = 0", "(0.0, inf]", lambda: built(bandwidth=0)),
    ("bandwidth = -1.0", "(0.0, inf]", lambda: built(bandwidth=-1.0)),
    ("bandwidth = nan", "finite", lambda: built(bandwidth=NAN)),
    ("bandwidth = inf", "finite", lambda: built(bandwidth=INF)),
    ("centres.shape = [0, 2]", "N ≥ 1", lambda: built(centres=C[:0])),
    ("centres.shape = [3, 0]", "R^d", lambda: built(centres=C[:, :0])),
    ("centres.shape = [2]", "[n, d]", lambda: built(centres=C[0])),
    ("centres = 1 of 2 entries are NaN", "remove", lambda: built(centres=torch.tensor([[NAN, 1.0]]))),
    ("centres.dtype = torch.int64", "double", lambda: built(centres=torch.ones(2, 2, dtype=torch.int64))),
    ("weights.shape = [2]", "one for each centre, [3]", lambda: built([0.5, 0.5])),
    ("weights.shape = [1, 3]", "one for each centre, [3]", lambda: built([[0.2, 0.3, 0.5]])),
    ("weights = -0.5", "positive", lambda: built([1.0, 0.5, -0.5])),
    ("weights = 0.0", "leave out", lambda: built([0.5, 0.5, 0.0])),
    ("weights = 1 of 3 entries are NaN", "remove", lambda: built([0.5, 0.5, NAN])),
    ("weights.sum() = 0.75", "divide by their sum", lambda: built([0.25, 0.25, 0.25])),
    ("weights.dtype = torch.float32", "convert", lambda: KernelDensity(C, 0.5, torch.ones(3) / 3)),
    ("n = 0", "≥ 1", lambda: MODEL.sample(0, generator=seeded(0))),
    ("generator = None", "manual_seed", lambda: MODEL.sample(2, generator=None)),
    ("x.shape = [4, 1]", "[n, 2]", lambda: MODEL.score(X[:, :1])),
    ("x.dtype = torch.float32", "convert", lambda: MODEL.log_density(X.float())),
    ("x = 4 of 8 entries are NaN", "remove", lambda: MODEL.at(X * torch.tensor([1.0, NAN]))),
    ("t = -1.0", "times", lambda: MODEL.at(X, -1.0)),
    ("t = nan", "times", lambda: MODEL.at(X, NAN)),
    ("t.shape = [3]", "4 points", lambda: MODEL.at(X, torch.ones(3))),
    ("t = -0.1", "[0.0, inf]", lambda: MODEL.diffuse(-0.1)),
    ("t = 0.01", "[0.02, 4.0]", lambda: FLOW(X, 0.01)),
    ("t = 4.5", "[0.02, 4.0]", lambda: FLOW.log_density(X, torch.tensor([1.0, 2.0, 3.0, 4.5]))),
    ("n = 1", "≥ 2", lambda: learned_energy(FLOW.error(FLOW), 1, generator=seeded(0))),
    ("generator = None", "manual_seed", lambda: learned_energy(FLOW.error(FLOW), 9, generator=None)),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[" | ".join(row[:2]) for row in REFUSED])
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]


def test_more_centres_than_fit_on_the_device_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**34))
    room = partial(kernels._room_for, device=torch.device("cuda"))
    room(2**29, 1000)
    with pytest.raises(
        ValueError, match=r"^centres = 1000 on cuda: 3 GiB are needed and 1 GiB are free; use"
    ):
        room(3 * 2**29, 1000)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * C.numel(), 2**34))
    for dtype, needed in ((None, "8.94e-08"), (torch.float32, "4.47e-08")):
        with pytest.raises(ValueError, match=f"^centres = 3 on cuda: {needed} GiB .* fewer, or float32"):
            MODEL.to(device="cuda", dtype=dtype)


def test_an_empty_batch_has_an_empty_answer():
    model = KernelDensity(torch.zeros(5, 3), 1.0)
    assert model.at(torch.zeros(0, 3), 0.1).score.shape == (0, 3)


def test_precision_survives_a_round_trip():
    weights = torch.softmax(torch.randn(1000, generator=seeded(1)), 0).double()
    model = KernelDensity(torch.zeros(1000, 2, dtype=torch.float64), 1.0, weights / weights.sum())
    there = model.to(dtype=torch.float32).to(dtype=torch.float64)
    assert torch.allclose(there.weights, model.weights, atol=1e-6)
    assert mixture_of_five().to(dtype=torch.float32).to(dtype=torch.float64).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_after_the_end_every_law_is_normal(dtype):
    x = torch.tensor([[1.0, -2.0]], dtype=dtype)
    for law in (KernelDensity(3 + torch.zeros(5, 2, dtype=dtype), 1.0), mixture_of_five(dim=2, dtype=dtype)):
        for t in (59.0, 100.0, 1e6):
            assert torch.allclose(law.at(x, t).score, -x, rtol=1e-5), t
        with pytest.raises(ValueError, match="t = inf: pass finite times"):
            law.at(x, math.inf)
