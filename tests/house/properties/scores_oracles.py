"""What is right for the table of ``scores``, by other roads; and the inputs it is asked with."""

import math

import numpy as np
import torch
from property_cases import EITHER, INF, NAN, REFUSED, RIGHT, Tensors, Variation, array

from properties.laws_oracles import late
from scoredrift import Estimate, Gaussian, OrnsteinUhlenbeck, process, scores
from scoredrift.scores import Flow


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


class Net(torch.nn.Module):
    """s(x, t) = −(1 + w) x, in any precision."""

    def __init__(self, dtype=torch.float64, w=0.5):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(-1 - w, dtype=dtype))

    def forward(self, x, t):
        return self.slope * x


def shrink(x, t):
    return -1.5 * x


def unseen(x, t):
    return shrink(x.detach(), t)


X = 2 * torch.randn(5, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


T = tensor(0.5, 0.25, 1.0, 2.0, 4.0)


OU = OrnsteinUhlenbeck()


NORMAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())


EXACT = Flow(NORMAL, OU)


SPIN = tensor([0.0, 0.5], [-0.5, 0.0])


WAVE = tensor([0.5, -1.0], [0.25, 2.0])


TIMES = (
    Variation("a number", 0.5, RIGHT),
    Variation("numpy", np.float32(0.5), RIGHT),
    Variation("an int", 1, RIGHT),
    Variation("negative", -0.5, REFUSED),
    Variation("nan alone", NAN, REFUSED),
    Variation("as columns", T[:, None], REFUSED),
    Variation("of float32", T.float(), RIGHT),
)


FOREVER = Variation("one inf", tensor(0.5, INF), RIGHT)


PLACED = dict.fromkeys(
    ("one_nan", "one_inf", "one_-inf"), "not a number comes out, and the estimators say where"
)
HUGE = "rounding of 1e30 is larger than the other entries"


THROUGH = "a network: what goes in comes out, and FunctionScore looks at what goes in"


# The same function by other means: with the rounding of their precision.
SAME = (
    Variation("network", Net(), RIGHT, True),
    Variation("network in eval", Net().eval(), RIGHT, True),
    Variation("network in float32", Net(torch.float32), RIGHT, True, 1e-6),
    Variation("network in bfloat16", Net(torch.bfloat16), RIGHT, True, 2e-2),
    Variation("frozen network", Net().requires_grad_(False), RIGHT, True),
    Variation("compiled by partial", lambda x, t: Net()(x, t), RIGHT, True),
    Variation("in float32 inside", lambda x, t: -1.5 * x.float(), RIGHT, True, 1e-6),
)


# What nobody can use; and what leaves no graph, so that only its values can be used.
WRONG = tuple(
    Variation(label, f, REFUSED)
    for label, f in (
        ("of one column", lambda x, t: x[:, :1]),
        ("numbers", lambda x, t: x.sum(1)),
        ("transposed", lambda x, t: x.T),
        ("numpy arrays", lambda x, t: -1.5 * x.detach().numpy()),
        ("lists", lambda x, t: [0.0]),
        ("None inside", lambda x, t: None),
        ("complex", lambda x, t: -1.5 * x + 1j * x),
    )
) + tuple(Variation(f"a {type(bad).__name__}", bad, REFUSED) for bad in (None, 1.0, "f", torch.ones(2)))


HIDDEN = tuple(
    Variation(label, f, EITHER, True)
    for label, f in (
        ("detached", unseen),
        ("without grad", torch.no_grad()(shrink)),
        ("in inference mode", torch.inference_mode()(shrink)),
        ("by numpy", lambda x, t: torch.from_numpy(-1.5 * x.detach().numpy())),
    )
)


def value_and_divergence(field, x, t, **rest):
    return scores.evaluated("field", field, x, t)


def of(make):
    """Call of a field that is made of its parts."""
    return lambda x, t, **parts: make(**parts).value_and_divergence(x, t)


def seen(x, t):
    """The points, where x and t fit each other."""
    x, t = array(x, 2), array(t)
    assert t.ndim == 0 or t.shape == (len(x),)
    assert (t >= 0).all()
    return x


def linear(matrix, x, t):
    x, matrix = seen(x, t), array(matrix, 2)
    assert matrix.shape == (x.shape[1],) * 2
    return x @ matrix.T, np.full(len(x), np.trace(matrix))


def linear_by(slope):
    """Answer of a field s = slope · x with other parts that do not matter."""
    return lambda x, t, **parts: linear(slope * np.eye(seen(x, t).shape[1]), x, t)


def at(x, t):
    return {"x": Tensors(x), "t": Tensors(T, *TIMES)}


def within(low, high, inner):
    def checked(x, t, **rest):
        assert ((array(t) >= low - 1e-6) & (array(t) <= high + 1e-6)).all()
        return inner(x, t, **rest)

    return checked


def constant(value, x, t):
    x, value = seen(x, t), array(value, 1)
    assert len(value) == x.shape[1]
    return np.broadcast_to(value, x.shape), np.zeros(len(x))


def rotational(matrix, x, t):
    matrix = array(matrix, 2)
    assert np.array_equal(matrix, -matrix.T)
    return linear(-matrix, x, t)


def split(matrix, covariance):
    matrix, covariance = array(matrix, 2), array(covariance, 2)
    assert np.allclose(covariance, covariance.T, rtol=1e-5)
    assert np.linalg.eigvalsh(covariance)[0] > 0
    assert covariance.size
    from scipy.linalg import solve_continuous_lyapunov

    gradient = solve_continuous_lyapunov(covariance, matrix @ covariance + covariance @ matrix.T)
    return gradient, matrix - gradient


def moved(x, t_from, t_to, n=80):
    """Means and variances over many draws of X_to given X_from, one for each number of x."""

    def draw(x, t_from, t_to, generator):
        many = torch.stack([OU.diffuse(x, t_from, t_to, generator=generator) for _ in range(n)]).double()
        flat = many.reshape(n, -1)
        return [Estimate.from_samples(one) for one in flat.T]

    return draw


def many(draw):
    """Draws by calls, until there are enough for a mean."""
    found = [draw()]
    while sum(map(len, found)) < 400:
        found.append(draw())
    return torch.cat(found).double()


def integral(sampler, n, generator):
    """∫ t dt by random times."""
    return Estimate.from_samples(
        many(lambda: torch.stack(process.random_times(sampler, OU, n, generator=generator)).prod(0))
    )


def means_at(x, t_from, t_to, generator):
    x = seen(x, t_from)
    seen(x, t_to)
    gap = array(t_to) - array(t_from)
    assert (gap >= 0).all()
    assert (array(t_to) <= 4).all()
    return [float(one) for one in (np.exp(-0.5 * gap).reshape(-1, 1) * x).reshape(-1)]


def factor_of(c):
    assert not isinstance(c, bool)
    assert math.isfinite(c)
    return float(c)


def passed(x, t, tolerance):
    """What check_divergence says of a field that is right: nothing."""
    assert fits(x, 2).size
    seen(x, t)
    assert tolerance is None or late(tolerance) >= 0


def fits(x, dim):
    assert array(x, 2).shape[1] == dim
    return array(x, 2)


def inside(t, low, high):
    assert low <= t <= high
    return t


def stein(value, divergence, exact):
    value, divergence, exact = array(value, 2), array(divergence, 1), array(exact, 2)
    assert value.shape == exact.shape
    assert divergence.shape == (len(value),)
    return divergence + (value * exact).sum(1)


def times(t):
    t = array(t)
    assert (t >= 0).all()
    return t


def ends(t_min, t_max):
    assert 0 < t_min < t_max < INF
    return float(t_min), float(t_max)


def unit(u):
    u = array(u)
    assert ((u >= 0) & (u <= 1)).all()
    return u
