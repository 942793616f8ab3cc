"""The interface of a law: what happens at points is its own, all else follows."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Laplace

from helpers import gaussian, points, random_mixture, seeded
from scoredrift import Blend, Gaussian, GaussianMixture, KernelDensity, mixture_of_five
from scoredrift.laws import Evaluation, Law, Marginal

LAWS = {
    "mixture": random_mixture(0),
    "kernels": KernelDensity(points(1, 7, 2), 0.8),
    "weighted kernels": KernelDensity(
        points(2, 3, 2), 0.5, torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)
    ),
    "gaussian": Gaussian(torch.ones(2).double(), torch.tensor([[2.0, -0.5], [-0.5, 0.4]]).double()),
}
LAWS["blend"] = Blend((0.3, 0.7), (LAWS["mixture"], LAWS["kernels"]))
LAWS["marginal"] = Marginal(LAWS["blend"], 0.4)
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


class Exponentials(Law):
    """Two-sided exponential law on the line; its flow is not known."""

    dim, dtype, device = 1, torch.float64, torch.device("cpu")

    def sample(self, n, *, generator):
        flat = torch.rand(n, 2, generator=generator, dtype=torch.float64).log()
        return flat[:, :1] - flat[:, 1:]

    def at(self, x, t=0.0):
        return Evaluation(-x[:, 0].abs() - math.log(2), -x.sign(), torch.zeros(len(x)).double())


def test_a_law_of_ones_own_needs_its_flow_and_a_sampler_only():
    law, x = Exponentials(), points(0, 5, 1)
    torch.testing.assert_close(law.log_density(x), Laplace(0.0, 1.0).log_prob(x[:, 0]))
    assert torch.equal(law.score(x), -x.sign())
    assert torch.equal(law.score_divergence(x), torch.zeros(5).double())
    assert law.diffuse(0.3).sample(4, generator=seeded(0)).shape == (4, 1)
    assert law.to(device="cpu", dtype=torch.float64) is law
    assert Blend((0.5, 0.5), (law, gaussian([0.0], 1.0))).at(x).score.shape == (5, 1)
    assert repr(law) == "Exponentials(d = 1, float64)"
    with pytest.raises(ValueError, match=r"Exponentials.to = torch.float32: define to"):
        law.to(dtype=torch.float32)
    with pytest.raises(TypeError, match="abstract"):
        type("Incomplete", (Law,), {})()


@each_law
def test_flows_add_their_times(law):
    x, t = points(10, 6, 2), torch.linspace(0, 2, 6).double()
    later = law.diffuse(0.3)
    assert isinstance(later, Law)
    torch.testing.assert_close(later.at(x, t), law.at(x, 0.3 + t))
    torch.testing.assert_close(later.diffuse(0.5).at(x, 0.25), law.at(x, 1.05))
    torch.testing.assert_close(Marginal(law, 0.3).at(x, t), law.at(x, 0.3 + t))
    assert (later.dim, later.dtype, later.device) == (law.dim, law.dtype, law.device)
    with pytest.raises(ValueError, match=r"t = -0.1"):
        later.at(x, -0.1)
    with pytest.raises(ValueError, match=r"t = -0.1"):
        later.diffuse(-0.1)


def test_families_that_are_closed_stay_in_their_family():
    assert type(LAWS["mixture"].diffuse(0.5)) is GaussianMixture
    assert type(LAWS["kernels"].diffuse(0.5)) is KernelDensity
    assert type(LAWS["gaussian"].diffuse(0.5)) is Gaussian
    assert type(LAWS["marginal"].diffuse(0.5)) is Marginal


@each_law
def test_every_law_changes_its_precision(law):
    x = points(11, 6, 2)
    rough = law.to(dtype=torch.float32, device="cpu")
    assert rough.dtype == torch.float32
    assert rough.to(dtype=torch.float64).dtype == torch.float64
    parts = [part.double() for part in rough.at(x.float(), 0.3)]
    torch.testing.assert_close(parts, list(law.at(x, 0.3)), rtol=1e-4, atol=1e-4)


@each_law
def test_laws_compare_by_identity(law):
    assert law == law
    assert law != law.to(dtype=torch.float32)
    assert len({law, law}) == 1


def test_texts_of_laws_are_short():
    p = mixture_of_five()
    assert repr(p) == "GaussianMixture(5 components, d = 10, float64)"
    assert repr(gaussian([0.0], 1.0)) == "GaussianMixture(1 component, d = 1, float64)"
    assert repr(KernelDensity(torch.zeros(9, 2), 0.6)) == "KernelDensity(9 centres, h = 0.6, d = 2, float32)"
    assert repr(Gaussian(torch.zeros(2), torch.eye(2))) == "Gaussian(d = 2, float32)"
    assert repr(Blend((0.5, 0.5), (p, p))) == "Blend(2 laws, d = 10, float64)"
    text = "Marginal(GaussianMixture(5 components, d = 10, float64), t = 0.5)"
    assert repr(Marginal(p, 0.5)) == text


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_integers_and_numbers_of_numpy_are_numbers(kind):
    p = mixture_of_five(kind(2))
    assert p.sample(kind(3), generator=seeded(0)).shape == (3, 2)
    both = Blend(np.array([0.5, 0.5]), (p, KernelDensity(p.means, np.float64(0.6))))
    assert both.sample(kind(3), generator=seeded(0)).shape == (3, 2)
    assert torch.equal(both.diffuse(np.float64(0.5)).log_density(p.means), both.at(p.means, 0.5).log_density)
    for wrong in (np.bool_(True), True, 3.0, np.float64(3.0), kind(0)):
        with pytest.raises(ValueError, match=r"n = .*pass an integer"):
            p.sample(wrong, generator=seeded(0))
