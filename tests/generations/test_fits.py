"""The normal start as a fit of its own, against importance weights and in closed form."""

import math

import pytest
import torch

from helpers import seeded, within, worst_sigmas
from scoredrift import (
    Estimate,
    EulerMaruyama,
    Flow,
    Gaussian,
    KernelDensity,
    KernelFit,
    OrnsteinUhlenbeck,
    mixture_of_five,
    simulate,
)
from scoredrift.generations import Memory, NormalStartFit

OU = OrnsteinUhlenbeck()
UNUSED = torch.Generator()


def test_one_centre_has_a_closed_form():
    """With one centre the reverse process is linear: mean and variance by hand, even for a short horizon."""
    ou, h, c = OrnsteinUhlenbeck(0.1, 0.8), 0.7, 2.0
    model = NormalStartFit(h, ou)(torch.full((1, 1), c, dtype=torch.float64), generator=UNUSED)
    draws = model.sample(100_000, generator=seeded(0))[:, 0]
    b0 = math.exp(-0.1) * h**2 + 1 - math.exp(-0.1)
    b_end = math.exp(-0.8) * h**2 + 1 - math.exp(-0.8)
    pull = math.exp(-0.35) * b0 / b_end
    mean = math.exp(-0.05) * c - pull * math.exp(-0.4) * c
    variance = b0 - math.exp(-0.35) * pull * b0 + pull**2  # what the bridge leaves open, and Var Y_T = 1
    assert within(Estimate.from_samples(draws), mean)
    assert within(Estimate.from_samples((draws - mean) ** 2), variance)


def test_it_agrees_with_weighting_exact_draws():
    """The start tilts the law of the path by ν(Y_T)/g_T(Y_T) and changes nothing else."""
    ou, data = OrnsteinUhlenbeck(0.05, 1.5), mixture_of_five(dim=2)
    kernel = KernelDensity(data.sample(200, generator=seeded(1)), 0.6)
    exact = kernel.diffuse(ou.t_min).sample(200_000, generator=seeded(2))
    late = ou.diffuse(exact, ou.t_min, ou.t_max, generator=seeded(3))
    normal = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    weight = (normal.log_density(late) - kernel.diffuse(ou.t_max).log_density(late)).exp()
    started = NormalStartFit(0.6, ou)(kernel.centres, generator=UNUSED).sample(100_000, generator=seeded(4))
    changed = []
    for f in (lambda x: x[:, 0] ** 2, lambda x: x.prod(1), lambda x: (x.norm(dim=1) < 2).double()):
        ours, theirs = Estimate.from_samples(f(started)), Estimate.from_samples(weight * f(exact))
        assert abs(ours.sigmas_from(theirs)) < 5
        changed.append(abs(ours.sigmas_from(Estimate.from_samples(f(exact)))))
    assert max(changed) > 10  # the start matters here


def test_it_is_what_many_steps_from_a_normal_start_generate():
    ou = OrnsteinUhlenbeck(0.1, 1.5)
    centres = mixture_of_five(dim=2).sample(50, generator=seeded(5))
    start = torch.randn(4000, 2, generator=seeded(6), dtype=torch.float64)
    score = Flow(KernelDensity(centres, 0.8), ou)
    stepped = simulate(score, start, ou.uniform_grid(300), EulerMaruyama(), generator=seeded(7))
    direct = NormalStartFit(0.8, ou)(centres, generator=UNUSED).sample(100_000, generator=seeded(8))
    for f in (lambda x: x[:, 0], lambda x: x[:, 1] ** 2, lambda x: x.prod(1)):
        one, other = Estimate.from_samples(f(stepped)), Estimate.from_samples(f(direct))
        assert abs(one.sigmas_from(other)) < 5


def test_with_a_long_horizon_the_start_does_not_matter():
    ou, data = OrnsteinUhlenbeck(0.02, 12.0), mixture_of_five()
    centres = data.sample(300, generator=seeded(9))
    exact = KernelFit(0.6, ou)(centres, generator=UNUSED)
    draws = NormalStartFit(0.6, ou)(centres, generator=UNUSED).sample(50_000, generator=seeded(10))
    second = (exact.centres.T @ exact.centres) / 300 + exact.bandwidth**2 * torch.eye(10, dtype=torch.float64)
    assert worst_sigmas(draws[:, :, None] * draws[:, None], second) < 5


@pytest.mark.parametrize(("process", "moved"), [(None, False), (OU, True)])
def test_the_limit_of_a_memory(process, moved):
    law = Memory(process).limit(mixture_of_five())
    expected = mixture_of_five().diffuse(0.02) if moved else mixture_of_five()
    assert torch.equal(law.variances, expected.variances)
    assert torch.equal(law.means, expected.means)


def test_bad_bandwidths_are_refused():
    with pytest.raises(ValueError, match=r"^bandwidth = 0: pass a finite number in \(0"):
        NormalStartFit(0, OU)
