"""Total variation by futures: closed forms for normal and quadratic responses, and laws by quadrature."""

import math

import pytest
import torch

from helpers import gaussian, line, random_mixture, seeded, within
from on_a_line import ERRORS, EXACT, truth
from scoredrift import ConstantField, Flow, Gaussian, LinearField, OrnsteinUhlenbeck
from scoredrift.divergences import pinsker, total_variation, total_variation_on_nodes
from scoredrift.laws import on_nodes
from scoredrift.observability import PairDesign, by_pairs, in_closed_form, total_variation_by_futures
from scoredrift.paths import generate_on_nodes

OU = OrnsteinUhlenbeck()
L = OU.duration
FLAT = Flow(Gaussian(torch.zeros(3).double(), torch.eye(3).double()), OU)
NORMAL = 0.5 * math.sqrt(2 / math.pi)  # ½ E|ξ|


def bounds(error, n=4000, seed=0, **options):
    return total_variation_by_futures(error, n, generator=seeded(seed), **options)


def test_a_push_has_a_normal_response():
    push = FLAT.inject(ConstantField(torch.tensor([0.03, -0.04, 0.12]).double()))
    found, sure = bounds(push), in_closed_form(push)
    half = NORMAL * math.sqrt(sure.visible.value)
    assert half == pytest.approx(0.5 * 0.13 * 2 * (1 - math.exp(-L / 2)) * math.sqrt(2 / math.pi))
    assert within(found.least, half)
    assert within(found.most, half)
    assert within(found.energy, 0.13**2 * L)
    assert within(found.lower, half - 0.5 * 0.13**2 * L)
    assert within(found.upper, half + 0.5 * 0.13**2 * L)
    # and the law that comes out is shifted by m: TV = 2 Φ(|m|/2) − 1
    shift = 0.13 * 2 * (1 - math.exp(-L / 2))
    assert found.lower.value < math.erf(shift / math.sqrt(8)) < found.upper.value


def test_a_stretch_has_a_quadratic_response():
    """For e = w x on N(0, 1), u = w (1 − e^{−L})(ξ² − 1), and E|ξ² − 1| = 4 φ(1)."""
    flat = Flow(Gaussian(torch.zeros(1).double(), torch.eye(1).double()), OU)
    found = bounds(flat.inject(LinearField(0.02 * torch.eye(1).double())))
    half = 0.5 * 0.02 * (1 - math.exp(-L)) * 4 * math.exp(-0.5) / math.sqrt(2 * math.pi)
    assert found.least.sigmas_from(half) < 5
    assert found.most.sigmas_from(half) > -5
    assert found.least.value > 0.9 * half
    assert found.most.value < 1.1 * half


def test_a_rotation_is_not_seen():
    spin = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 0]]).double()
    found = bounds(FLAT.inject(LinearField(0.1 * spin)))
    assert abs(found.least.value) < 1e-12
    assert found.most.value < 1e-12
    assert within(found.energy, 0.02 * L)
    assert within(found.upper, 0.5 * 0.02 * L)


@pytest.mark.parametrize("name", ERRORS)
def test_half_the_mean_response_is_enclosed_on_a_mixture(name):
    error, known = ERRORS[name], truth(name)
    half = 0.5 * float(known.mass @ abs(known.u))
    found = bounds(error)
    assert found.least.sigmas_from(half) < 5
    assert found.most.sigmas_from(half) > -5
    assert within(found.energy, known.energy)
    root = 0.5 * math.sqrt(known.visible)
    assert found.most.value < root + 5 * found.most.stderr


def test_more_futures_close_the_gap():
    error = EXACT.inject(ConstantField(0.1 * torch.ones(1).double()))
    gaps = []
    for m in (2, 64):
        found = bounds(error, design=PairDesign(strata=2, futures=m, antithetic=True))
        gaps.append(found.most.value - found.least.value)
    assert 0 <= gaps[1] < 0.5 * gaps[0]


def test_the_law_that_comes_out_lies_between():
    nodes = line(-9, 9, 901)
    for size in (0.05, 0.15):
        error = EXACT.inject(ConstantField(size * torch.ones(1).double()))
        made, unmoved = (
            generate_on_nodes(
                EXACT.inject(ConstantField(c * torch.ones(1).double())), nodes, OU.geometric_grid(80)
            )
            for c in (size, 0.0)
        )
        apart = total_variation_on_nodes(made.density, unmoved.density, nodes)
        found = bounds(error)
        assert found.lower.value < apart < found.upper.value


def test_a_wider_law_in_three_dimensions():
    law = random_mixture(5, dim=3)
    flow, model = Flow(law, OU), Flow(law.blur(0.25), OU)
    apart = total_variation(model.marginal(), flow.marginal(), 20_000, generator=seeded(1))
    found = bounds(flow.error(model))
    assert found.lower.value < apart.value < found.upper.value
    assert found.upper.value <= pinsker(0.5 * found.energy).value
    assert within(found.energy, by_pairs(flow.error(model), 4000, generator=seeded(2)).energy)


def test_a_large_error_is_bounded_by_pinsker():
    found = bounds(FLAT.inject(ConstantField(torch.ones(3).double())))
    assert found.upper.value == pytest.approx(math.sqrt(1 - math.exp(-1.5 * L)), rel=1e-3)
    assert found.lower.value < 0


def test_on_nodes_of_an_infinite_chi2():
    """A law so wide that χ² is infinite has a response all the same, and a bound."""
    law = gaussian([0.0], 0.36)
    flow, model = Flow(law, OU), Flow(law.blur(0.6), OU)
    nodes = line(-12, 12, 2401)
    apart = total_variation_on_nodes(*(on_nodes(one.marginal(), nodes) for one in (model, flow)), nodes)
    found = bounds(flow.error(model))
    assert 0 < apart < found.upper.value


def test_bounds_that_rest_on_rare_inventions_are_not_trusted():
    law = gaussian([0.0], 1.0)
    flow = Flow(law, OU)
    inventive = Flow(law.blend(gaussian([5.0], 1.0), 0.99), OU)
    found = bounds(flow.error(inventive), n=1000)
    assert not any(one.trusted for one in (found.energy, found.lower, found.upper))
    wider = bounds(flow.error(Flow(law.blur(0.2), OU)), n=1000)
    assert all(one.trusted for one in wider)
    assert wider.energy.tail is not None
    rather = bounds(flow.error(Flow(law.blend(gaussian([1.0], 1.0), 0.99), OU)), n=1000, seed=1)
    assert not rather.energy.trusted
    assert rather.lower.trusted  # its error is nearly all from the response
    assert bounds(flow.error(inventive), n=99).energy.tail is None  # too few to see one
