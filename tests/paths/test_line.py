"""Laws generated on the line and path ratios, against closed forms and against each other."""

import math

import pytest
import torch

from helpers import gaussian, line, seeded
from scoredrift.divergences import kl_on_nodes
from scoredrift.estimates import Estimate
from scoredrift.laws import Marginal, mixture_of_five, mixture_of_three, on_nodes
from scoredrift.paths import (
    ExponentialIntegrator,
    evolve_density,
    exact_ratios,
    generate_on_nodes,
    generated_mixture,
    learned_energy,
    simulate,
    simulated_ratios,
)
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import ConstantField, Flow, FunctionScore, LinearField

OU = OrnsteinUhlenbeck()
THREE, NODES = Flow(mixture_of_three(), OU), line(-9, 9, 801)
WIDER = Flow(THREE.law.blur(0.3), OU)


def test_the_law_of_another_flow_is_generated_with_its_energy():
    """KL(p̂‖q) = ½ ε̂² + KL(g_T‖q_T), here with g_T = q_T in the simulation, so up to the start."""
    error = THREE.error(WIDER)
    coarse, fine = (generate_on_nodes(error, NODES, OU.geometric_grid(k)) for k in (80, 160))
    wanted = on_nodes(Marginal(WIDER.law, OU.t_min), NODES)
    gap = [kl_on_nodes(found.density, wanted, NODES) for found in (coarse, fine)]
    assert gap[1] < 0.4 * gap[0] < 1e-3
    energy = learned_energy(error, 40_000, generator=seeded(1))
    assert abs(energy.sigmas_from(2 * fine.energy - coarse.energy)) < 5


def test_a_push_moves_a_normal_law():
    """dm/ds = ½ m + c − m for N(0, 1): the mean at t0 is 2c (1 − e^{−L/2}), and ε̂² = c² L."""
    flow = Flow(gaussian([0.0], 1.0), OU)
    found = generate_on_nodes(
        flow.inject(ConstantField(torch.tensor([0.3]).double())), NODES, OU.uniform_grid(400)
    )
    spacing = float(NODES[1] - NODES[0])
    mean = float(found.density @ NODES) * spacing
    assert mean == pytest.approx(0.6 * (1 - math.exp(-OU.duration / 2)), rel=3e-3)
    assert found.energy == pytest.approx(0.09 * OU.duration)


def test_exact_and_simulated_ratios_agree():
    """On a small blur, whose start is worth nothing: both have E e^Z = 1 and the same E⟨M⟩ and E Z."""
    error = THREE.error(Flow(THREE.law.blur(0.1), OU))
    exact = exact_ratios(error, 20_000, OU.geometric_grid(200), generator=seeded(2))
    simulated = simulated_ratios(error, 20_000, OU.geometric_grid(200), generator=seeded(3))
    for ratios in (exact, simulated):
        assert abs(Estimate.from_samples(ratios.log_ratio.exp()).sigmas_from(1)) < 5
        half = Estimate.from_samples(ratios.martingale)
        assert abs(half.sigmas_from(0)) < 5  # a martingale, on ideal paths
    for name in ("log_ratio", "bracket"):
        one, other = (Estimate.from_samples(getattr(r, name)) for r in (exact, simulated))
        assert abs(one.sigmas_from(other)) < 5, name


def test_the_squared_rest_of_a_push_is_known():
    """On N(0, 1): M ~ N(0, s²) with s² = c² L, so E(e^Z − 1 − M)² = e^{s²} − 1 − s²."""
    flow = Flow(gaussian([0.0], 1.0), OU)
    push = flow.inject(ConstantField(torch.tensor([0.2]).double()))
    found = simulated_ratios(push, 20_000, OU.uniform_grid(20), generator=seeded(4)).squared_rest()
    size = 0.04 * OU.duration
    assert abs(found.sigmas_from(math.expm1(size) - size)) < 5
    assert found.tail is not None


BAD = [
    (
        "error.learned = FunctionScore",
        lambda: exact_ratios(
            THREE.error(FunctionScore(lambda x, t: -x)), 10, OU.geometric_grid(4), generator=seeded(0)
        ),
    ),
    (
        "learned.process = Ornstein",
        lambda: exact_ratios(
            THREE.error(Flow(WIDER.law, OrnsteinUhlenbeck(0.1))),
            10,
            OU.geometric_grid(4),
            generator=seeded(0),
        ),
    ),
    ("grid", lambda: exact_ratios(THREE.error(WIDER), 10, OU.geometric_grid(4)[1:], generator=seeded(0))),
    (
        "error.exact.dim = 10",
        lambda: generate_on_nodes(
            Flow(mixture_of_five(), OU).inject(LinearField(torch.eye(10).double())),
            NODES,
            OU.geometric_grid(4),
        ),
    ),
]


@pytest.mark.parametrize(("words", "call"), BAD, ids=[b[0] for b in BAD])
def test_bad_input_is_named(words, call):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_generated_mixture_is_the_law_of_the_sampler():
    """Draws of the sampler itself agree with its distribution function, and with the density evolved on nodes."""
    flow = Flow(mixture_of_three(), OU)
    grid = OU.geometric_grid(40)

    def score(x, t):
        return flow(x, t) + 0.3 * torch.tanh(x - 1)

    start = torch.exp(-(NODES**2) / 2) / (2 * torch.pi) ** 0.5
    law = generated_mixture(score, start, NODES, grid)
    evolved = evolve_density(score, start, NODES, grid, ExponentialIntegrator())
    assert torch.allclose(on_nodes(law, NODES), evolved, rtol=1e-6, atol=1e-10)
    g, n = torch.Generator().manual_seed(0), 40_000
    x = torch.randn(n, 1, generator=g, dtype=torch.float64)
    x = simulate(score, x, grid, ExponentialIntegrator(), generator=g)
    for draws in (x, law.sample(n, generator=g)):
        for at in (-2.0, -0.5, 0.0, 1.0, 2.0):
            share = float(law.weights @ torch.special.ndtr((at - law.means[:, 0]) / law.variances.sqrt()))
            below = float((draws < at).double().mean())
            assert abs(below - share) < 5 * (share * (1 - share) / n) ** 0.5


def test_a_generated_mixture_needs_two_steps():
    start = torch.exp(-(NODES**2) / 2) / (2 * torch.pi) ** 0.5
    with pytest.raises(ValueError, match=r"grid\.shape .*two or more steps"):
        generated_mixture(lambda x, t: -x, start, NODES, OU.geometric_grid(1))
