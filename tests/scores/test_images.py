"""Networks of images, between images and points."""

import pytest
import torch
from torch.testing import assert_close

from helpers import jacobian_trace, points, seeded
from scoredrift import EulerMaruyama, FunctionScore, OrnsteinUhlenbeck, ProbedScore, simulate
from scoredrift.scores import Images

OU = OrnsteinUhlenbeck()
GRID = OU.uniform_grid(5)


SHAPE = (3, 8, 8)


class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.net = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images, t):
        assert images.shape[1:] == SHAPE
        assert t.shape == images.shape[:1]
        return torch.tanh(self.net(images)) * t[:, None, None, None]


def test_a_network_of_images_is_a_score_of_points():
    network, x = Convolution(), points(2, 5, 192)
    adapted = Images(network, SHAPE)
    t = torch.linspace(0.1, 2, 5)
    for when in (0.5, t):
        wanted = network(x.float().reshape(5, *SHAPE), torch.as_tensor(when).expand(5)).reshape(5, -1)
        assert_close(FunctionScore(adapted)(x, when), wanted.double())
        value, trace = ProbedScore(adapted, 2, seeded(0)).value_and_divergence(x, when)
        assert_close(value, wanted.double())
        assert trace.shape == (5,)
    exact = FunctionScore(adapted).divergence(x[:2], 0.5)
    wanted = jacobian_trace(lambda y: adapted(y, torch.tensor(0.5)), x[:2].float())
    assert_close(exact, wanted.double(), rtol=1e-4, atol=1e-5)


def test_images_are_simulated_in_double_precision_by_a_network_in_single():
    adapted = Images(Convolution(), SHAPE)
    ends = simulate(adapted, points(3, 4, 192), GRID, EulerMaruyama(), generator=seeded(0))
    assert ends.dtype == torch.float64
    images = adapted.to_images(ends)
    assert images.shape == (4, *SHAPE)
    assert torch.equal(adapted.to_points(images), ends)
    assert torch.equal(images[1, 2, 3], ends[1, 2 * 64 + 3 * 8 : 2 * 64 + 4 * 8])


def test_images_in_another_memory_format_are_the_same_points():
    adapted, images = Images(Convolution(), SHAPE), torch.rand(4, *SHAPE, generator=seeded(0))
    assert torch.equal(
        adapted.to_points(images.to(memory_format=torch.channels_last)), adapted.to_points(images)
    )


def test_the_adapter_leaves_a_module_as_it_was():
    network = Convolution().eval()
    Images(network, SHAPE)
    assert not network.training
    assert Images(lambda images, t: -images, SHAPE).dim == 192


class Output:
    """What models of diffusers return."""

    def __init__(self, sample):
        self.sample = sample


def test_images_that_come_in_an_object_are_taken_out():
    network = Convolution()
    wrapped = Images(lambda images, t: Output(network(images, t)), SHAPE)
    x = points(2, 5, 192).float()
    assert torch.equal(FunctionScore(wrapped)(x, 0.5), FunctionScore(Images(network, SHAPE))(x, 0.5))
    bare = FunctionScore(lambda x, t: Output(-x))
    assert torch.equal(bare(x, 0.5), -x)


def test_images_take_what_another_clock_reads():
    x = points(2, 5, 192).float()
    wanted = Convolution()(x.reshape(5, *SHAPE), torch.full((5,), -0.5)).flatten(1)
    assert torch.equal(Images(Convolution(), SHAPE)(x, -0.5), wanted)


IMAGE = Images(lambda images, t: images, SHAPE)
REFUSED = [
    ("points.shape = [5, 10]", "[n, 192]", lambda: IMAGE(torch.zeros(5, 10), 1.0)),
    ("points.shape = [5, 3, 8, 8]", "[n, 192]", lambda: IMAGE.to_images(torch.zeros(5, *SHAPE))),
    ("images.shape = [5, 192]", "[n, 3, 8, 8]", lambda: IMAGE.to_points(torch.zeros(5, 192))),
    ("images.shape = [5, 8, 8, 3]", "[n, 3, 8, 8]", lambda: IMAGE.to_points(torch.zeros(5, 8, 8, 3))),
    ("images.shape = list", "[n, 3, 8, 8]", lambda: IMAGE.to_points([1.0])),
    ("shape = 0", "≥ 1", lambda: Images(torch.nn.Identity(), (3, 0, 8))),
    ("shape = 2.5", "integer", lambda: Images(torch.nn.Identity(), (3, 2.5))),
    (
        "network(images, t).shape = [5, 1, 8, 8]",
        "[5, 3, 8, 8]",
        lambda: FunctionScore(Images(lambda images, t: images[:, :1], SHAPE))(torch.zeros(5, 192), 1.0),
    ),
    (
        "network(images, t) = Output",
        "sample",
        lambda: FunctionScore(Images(lambda images, t: Output([1.0]), SHAPE))(torch.zeros(5, 192), 1.0),
    ),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_images_that_do_not_fit_are_refused(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]
