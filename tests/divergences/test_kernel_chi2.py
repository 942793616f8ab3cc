"""χ² of kernel densities in closed form, against quadrature and against the closed form of mixtures."""

import math

import pytest
import torch

from helpers import line, points, seeded
from scoredrift.divergences import chi2_on_nodes, kernel_chi2, mixture_gram, outer_chi2
from scoredrift.laws import GaussianMixture, KernelDensity, mixture_of_five, on_nodes
from scoredrift.process import OrnsteinUhlenbeck

OU = OrnsteinUhlenbeck()
NORMAL = GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in ([1.0], [[0.0]], [0.36])))


@pytest.mark.parametrize(("h", "t0"), [(0.6, 0.02), (0.1, 0.02), (0.2, 0.5)])
def test_chi2_of_a_kernel_density_is_the_integral(h, t0):
    process = OrnsteinUhlenbeck(t0, 4.0)
    centres, nodes = 0.4 * points(1, 7, 5), line(-14, 14, 4001)
    found = kernel_chi2(centres, h, 0.6, process)
    for one, chi2 in zip(centres, found, strict=True):
        model = KernelDensity(one[:, None], h).diffuse(t0)
        laws = on_nodes(model, nodes), on_nodes(NORMAL.diffuse(t0), nodes)
        assert float(chi2) == pytest.approx(chi2_on_nodes(*laws, nodes), rel=1e-6)


def test_kernels_wider_than_twice_the_law_have_no_chi2():
    assert torch.isinf(kernel_chi2(torch.zeros(2, 3).double(), 0.9, 0.6, OU)).all()
    assert torch.isfinite(kernel_chi2(torch.zeros(2, 3).double(), 0.8, 0.6, OU)).all()


def test_the_outer_part_is_a_lower_bound_and_all_of_one_kernel():
    """With one point there is nothing else: 1 + χ² in closed form; with more, less than the whole."""
    data = mixture_of_five()
    start = GaussianMixture(
        *(
            v[:1] / (v[:1] if v.ndim == 1 and k == 0 else 1)
            for k, v in enumerate((data.weights, data.means, data.variances))
        )
    )
    centres = start.sample(1, generator=seeded(3))
    found = outer_chi2(centres, start, 0.3, OU, generator=seeded(4), draws=20_000)
    model = GaussianMixture(torch.ones(1).double(), centres, torch.full((1,), 0.09).double()).diffuse(0.02)
    whole = 1 + float(mixture_gram(start.diffuse(0.02), [model])[0, 0])
    assert found == pytest.approx(whole, rel=0.02)
    many = NORMAL.sample(40, generator=seeded(5))
    part = outer_chi2(many, NORMAL, 0.3, OU, generator=seeded(6), draws=4000, outermost=10)
    assert 0 < part < 1 + float(kernel_chi2(many[None, :, 0], 0.3, 0.6, OU))
    all_of_them = outer_chi2(many, NORMAL, 0.3, OU, generator=seeded(6), draws=4000, outermost=40)
    squares = sum(1 + float(kernel_chi2(one[None], 0.3, 0.6, OU)) for one in many) / 40**2
    assert all_of_them == pytest.approx(squares, rel=0.05)


BAD = [
    ("centres.shape", lambda: kernel_chi2(torch.zeros(3).double(), 0.6, 0.6, OU)),
    ("bandwidth = 0.0", lambda: kernel_chi2(torch.zeros(1, 3).double(), 0.0, 0.6, OU)),
    ("sigma = nan", lambda: kernel_chi2(torch.zeros(1, 3).double(), 0.6, math.nan, OU)),
    ("bandwidth = 0.9", lambda: outer_chi2(torch.zeros(3, 1).double(), NORMAL, 0.9, OU, generator=seeded(0))),
    ("centres.shape", lambda: outer_chi2(torch.zeros(3, 2).double(), NORMAL, 0.3, OU, generator=seeded(0))),
]


@pytest.mark.parametrize(("words", "call"), BAD, ids=[b[0] for b in BAD])
def test_bad_input_is_named(words, call):
    with pytest.raises(ValueError, match=words):
        call()
