"""Energies from denoising losses, against quadrature on the line and against what the designs promise."""

import copy
import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch

from helpers import random_mixture, seeded
from on_a_line import OU, flow
from scoredrift import (
    Estimate,
    Flow,
    FunctionScore,
    GaussianMixture,
    KernelDensity,
    mixture_of_five,
    mixture_of_three,
)
from scoredrift.observability import (
    EnergyByLevel,
    NoiseDesign,
    by_pairs,
    denoising_loss,
    empirical_loss_difference,
    energy_by_level,
    loss_difference,
    loss_difference_by_level,
)
from scoredrift.paths import ideal_energy
from scoredrift.process import RandomTimes, log_uniform_times, uniform_times
from scoredrift.scores import ConstantField, RotationalField

Q = mixture_of_three()
EXACT = Flow(Q, OU)
EDGES = torch.tensor([OU.t_min, 0.1, 0.5, 2.0, OU.t_max], dtype=torch.float64)
WAVE = FunctionScore(lambda x, t: torch.sin(2 * x + t.reshape(-1, 1)))
PUSH = ConstantField(torch.ones(1, dtype=torch.float64))


class Denoiser(torch.nn.Module):
    """A score made of a prediction of the noise."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        sizes = (2, 48, 48, 1)
        layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = torch.nn.ModuleList(layers).double()

    def forward(self, x, t):
        root = (1 - torch.exp(-t)).sqrt()[:, None]
        h = torch.cat([x, t.log()[:, None]], 1)
        for layer in self.layers[:-1]:
            h = torch.nn.functional.silu(layer(h))
        return -self.layers[-1](h) / root


@cache
def trained():
    """One network after 20, 150 and 1200 steps."""
    net, g = Denoiser(), seeded(1)
    optimiser, kept = torch.optim.Adam(net.parameters(), lr=3e-3), []
    for step in range(1, 1201):
        x = Q.sample(256, generator=g)
        t = log_uniform_times(OU, torch.rand(256, generator=g, dtype=torch.float64)).t
        noise = torch.randn(256, 1, generator=g, dtype=torch.float64)
        root = (1 - torch.exp(-t)).sqrt()[:, None]
        loss = (root * net(torch.exp(-t / 2)[:, None] * x + root * noise, t) + noise).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in (20, 150, 1200):
            kept.append(copy.deepcopy(net))
    return kept


@cache
def networks():
    bad, better, good = trained()
    return {
        "20 steps": bad,
        "150 steps": better,
        "1200 steps": good,
        "blur": Flow(Q.blur(0.3), OU),
        "wave": EXACT + 0.1 * WAVE,
        "small wave": EXACT + 0.01 * WAVE,
    }


def energies(score, law=Q, edges=(OU.t_min, OU.t_max), times=60, nodes=1601, reach=12.0):
    """∫∫ q_t (ŝ − s*)² dx dt between the edges, in numpy; s* and q_t are those of ``on_a_line``."""
    x = np.linspace(-reach, reach, nodes)
    found = []
    for low, high in pairwise(edges):
        total, span = 0.0, math.log(high / low)
        for place, share in zip(*np.polynomial.legendre.leggauss(times), strict=True):
            t = low * math.exp(span * (place + 1) / 2)
            density, exact = flow(law, x, t)
            points = torch.from_numpy(x)[:, None]
            with torch.no_grad():
                learned = score(points, torch.full((nodes,), t, dtype=torch.float64))[:, 0].numpy()
            total += share * span / 2 * t * (x[1] - x[0]) * float(density @ (learned - exact) ** 2)
        found.append(total)
    return found


@cache
def exact(name):
    return energies(networks()[name])[0]


def fresh(n, seed=5):
    return Q.sample(n, generator=seeded(seed))


NAMES = ("20 steps", "150 steps", "1200 steps", "blur", "wave", "small wave")


@pytest.mark.parametrize("name", NAMES)
def test_energy_of_a_network_against_the_exact_score(name):
    found = loss_difference(networks()[name], EXACT, fresh(3000), OU, generator=seeded(6))
    assert abs(found.sigmas_from(exact(name))) < 5
    if name != "small wave":  # whose energy is below what 3000 points show
        assert found.stderr < 0.2 * found.value


def test_networks_range_from_bad_to_good():
    assert exact("20 steps") > 1.5
    assert exact("150 steps") > 0.5
    assert exact("1200 steps") < 0.3
    assert exact("small wave") < 3e-4


@pytest.mark.parametrize("name", [name for name in NAMES if name != "1200 steps"])
def test_a_reference_network_gives_a_lower_bound(name):
    """As tight as the reference is good: worthless for what is better than it, and a bound all the same."""
    found = loss_difference(networks()[name], networks()["1200 steps"], fresh(3000), OU, generator=seeded(7))
    assert abs(found.sigmas_from(exact(name) - exact("1200 steps"))) < 5
    assert found.sigmas_from(exact(name)) < 5
    if name in ("20 steps", "150 steps"):
        assert found.value > 0.8 * exact(name)


def test_a_good_network_taken_for_the_law_is_below_its_own_energy():
    """So that the bound is one by five standard errors, and not by chance."""
    blur, reference = Flow(Q.blur(0.3), OU), Flow(Q.blur(0.25), OU)
    found = loss_difference(blur, reference, fresh(20_000), OU, generator=seeded(8))
    assert found.sigmas_from(energies(blur)[0]) < -5


def test_the_loss_itself():
    """L(s*) = ∫ (d/v − E‖s*‖²) dt."""
    t0, T = OU.t_min, OU.t_max
    constant = (T + math.log1p(-math.exp(-T))) - (t0 + math.log1p(-math.exp(-t0)))
    whole = constant - energies(lambda x, t: torch.zeros_like(x))[0]
    found = denoising_loss(EXACT, fresh(20_000), OU, generator=seeded(9))
    assert abs(found.sigmas_from(whole)) < 5


def test_training_points_are_not_fresh():
    """A score that knows its points by heart is far from the population, and better than s* on its points."""
    law = mixture_of_five()
    train, exact_score = law.sample(100, generator=seeded(10)), Flow(law, OU)
    by_heart = Flow(KernelDensity(train, 0.05), OU)
    truth = ideal_energy(exact_score.error(by_heart), 20_000, generator=seeded(27))
    points = law.sample(2000, generator=seeded(28))
    on_fresh = loss_difference(by_heart, exact_score, points, OU, generator=seeded(11))
    on_train = loss_difference(by_heart, exact_score, train, OU, generator=seeded(11))
    assert abs(on_fresh.sigmas_from(truth)) < 5
    assert on_train.sigmas_from(truth) < -5
    assert on_train.sigmas_from(0.0) < -5


FEW = torch.tensor([[-1.2], [-0.2], [0.1], [1.9], [2.0]], dtype=torch.float64)
ATOMS = GaussianMixture(
    torch.full((5,), 0.2, dtype=torch.float64), FEW, torch.full((5,), 1e-10, dtype=torch.float64)
)


def test_energy_against_the_empirical_law():
    """The points are the law, and its score is attention over them."""
    by_heart, many = Flow(KernelDensity(FEW, 1e-5), OU), NoiseDesign(noises=1000)
    found = empirical_loss_difference(EXACT, by_heart, FEW, OU, generator=seeded(12), design=many)
    truth = energies(EXACT, ATOMS)[0]
    assert abs(found.sigmas_from(truth)) < 5
    assert found.stderr < 0.05 * truth


def spread_over_error(call, repeats=300):
    """Mean of (value − mean)²/se², one if standard errors are honest."""
    found = [call(seed) for seed in range(repeats)]
    values = torch.tensor([one.value for one in found], dtype=torch.float64)
    squares = (values - values.mean()).square() * repeats / (repeats - 1)
    return Estimate.ratio(squares, torch.tensor([one.stderr**2 for one in found], dtype=torch.float64))


def test_standard_errors_know_that_noises_share_their_point():
    pushed, design = EXACT + PUSH, NoiseDesign(strata=2, noises=8)
    ratio = spread_over_error(
        lambda seed: loss_difference(
            pushed, EXACT, fresh(40, seed), OU, generator=seeded(900 + seed), design=design
        )
    )
    assert abs(ratio.sigmas_from(1.0)) < 5
    assert ratio.stderr < 0.15


def test_standard_errors_of_the_empirical_law_are_those_of_the_noise():
    pushed, design = EXACT + PUSH, NoiseDesign(strata=2, noises=8)
    ratio = spread_over_error(
        lambda seed: empirical_loss_difference(
            pushed, EXACT, FEW, OU, generator=seeded(500 + seed), design=design
        )
    )
    assert abs(ratio.sigmas_from(1.0)) < 5
    assert ratio.stderr < 0.15


def test_pairing_takes_nearly_all_of_the_noise():
    """In proportion to the error: 18-fold at 0.1, 180-fold at 0.01."""
    points, design = fresh(2000), NoiseDesign(antithetic=False)
    for size, gain in ((0.1, 10), (0.01, 100)):
        learned = EXACT + size * WAVE
        paired = loss_difference(learned, EXACT, points, OU, generator=seeded(13), design=design)
        naive = denoising_loss(learned, points, OU, generator=seeded(14), design=design) - denoising_loss(
            EXACT, fresh(2000, 15), OU, generator=seeded(16), design=design
        )
        assert naive.stderr > gain * paired.stderr


def test_antithetic_noises_take_the_noise_of_an_invisible_error():
    """Which is all the noise that it has: the mean over the noises is ‖e‖² at every point."""
    law = random_mixture(1)
    exact = Flow(law, OU)
    spin = torch.tensor([[0.0, 0.3], [-0.3, 0.0]], dtype=torch.float64)
    turned, points = exact + RotationalField(spin, exact), law.sample(1000, generator=seeded(17))
    early = torch.tensor([0.02, 0.04], dtype=torch.float64)
    plain, antithetic = (
        loss_difference_by_level(turned, exact, points, early, generator=seeded(18), design=design).total
        for design in (NoiseDesign(antithetic=False, noises=4), NoiseDesign(noises=2))
    )
    assert plain.stderr > 5 * antithetic.stderr


def test_what_a_point_has_of_its_own_is_the_response():
    """sd = 2 √(η ε*²) for a small error and many noises, up to the way from 0 to t0."""
    learned, n = EXACT + 0.01 * PUSH, 2000
    found = loss_difference(
        learned, EXACT, fresh(n), OU, generator=seeded(19), design=NoiseDesign(strata=8, noises=16)
    )
    visible = by_pairs(EXACT.inject(0.01 * PUSH), 4000, generator=seeded(20)).visible.value
    assert found.stderr * math.sqrt(n) == pytest.approx(2 * math.sqrt(visible), rel=0.06)


@pytest.mark.parametrize("name", ["20 steps", "1200 steps", "wave"])
def test_levels(name):
    score = networks()[name]
    truth = energies(score, edges=EDGES.tolist())
    known = energy_by_level(EXACT.error(score), 2000, EDGES, generator=seeded(21))
    paired = loss_difference_by_level(score, EXACT, fresh(3000), EDGES, generator=seeded(22))
    for found in (known, paired):
        assert all(abs(one.sigmas_from(wanted)) < 5 for one, wanted in zip(found.levels, truth, strict=True))
        assert abs(found.total.sigmas_from(sum(truth))) < 5
        assert found.total.value == pytest.approx(sum(one.value for one in found.levels))
    assert known.densities[1].value == pytest.approx(known.levels[1].value / 0.4)


def test_errors_of_a_sum_of_levels_know_that_levels_share_points():
    """A push is seen at the same points in all levels."""
    found = loss_difference_by_level(EXACT + PUSH, EXACT, fresh(3000), EDGES, generator=seeded(23))
    independent = math.sqrt(sum(one.stderr**2 for one in found.levels))
    assert found.total.stderr > 1.1 * independent


def test_times_that_weigh_the_losses():
    """With weights that hold λ(t) = t, energies are ∫ t E‖e‖² dt."""

    def weighted(process, u):
        t, weight = uniform_times(process, u)
        return RandomTimes(t, t * weight)

    found = loss_difference(
        EXACT + 0.5 * PUSH,
        EXACT,
        fresh(3000),
        OU,
        generator=seeded(24),
        design=NoiseDesign(times=weighted, strata=16),
    )
    assert abs(found.sigmas_from(0.25 * (OU.t_max**2 - OU.t_min**2) / 2)) < 5


def test_a_known_error_by_level_agrees_with_quadrature():
    found = energy_by_level(EXACT.error(Flow(Q.blur(0.5), OU)), 4000, EDGES, generator=seeded(25))
    truth = energies(Flow(Q.blur(0.5), OU), edges=EDGES.tolist())
    assert all(abs(one.sigmas_from(wanted)) < 5 for one, wanted in zip(found.levels, truth, strict=True))


def test_memory_is_bounded_by_the_batch():
    most = []

    def counting(x, t):
        most.append(len(x))
        return EXACT(x, t)

    loss_difference(counting, EXACT, fresh(500), OU, generator=seeded(26), batch=800)
    assert max(most) * 2 <= 800 + 1  # of both signs


def test_refusals():
    repeated = fresh(30).repeat(2, 1)
    with pytest.raises(ValueError, match=r"points = all of 30 different rows, 2 or more times each"):
        loss_difference(EXACT, EXACT, repeated, OU, generator=seeded(0))
    with pytest.raises(ValueError, match=r"design.noises = 1: .*take two or more"):
        empirical_loss_difference(EXACT, EXACT, FEW, OU, generator=seeded(0), design=NoiseDesign(noises=1))
    bad = FunctionScore(lambda x, t: x.index_fill(0, torch.tensor(0), math.nan))
    with pytest.raises(ValueError, match=r"first\(x, t\) = 1 of .* entries are NaN"):
        loss_difference(bad, EXACT, fresh(3), OU, generator=seeded(0))
    with pytest.raises(ValueError, match="edges = of shape"):
        loss_difference_by_level(EXACT, EXACT, fresh(3), EDGES.flip(0), generator=seeded(0))
    with pytest.raises(ValueError, match="t = "):  # levels beyond the times that the exact score knows
        energy_by_level(EXACT.error(EXACT), 10, torch.tensor([0.001, 1.0]), generator=seeded(0))
    with pytest.raises(ValueError, match=r"draws.shape"):
        EnergyByLevel.from_draws(EDGES, torch.ones(3, 2))
