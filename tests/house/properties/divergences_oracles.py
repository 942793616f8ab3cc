"""What is right for the table of ``divergences``, by other roads; and the inputs it is asked with."""

import math

import numpy as np
import torch
from property_cases import EITHER, INF, NAN, REFUSED, RIGHT, Laws, Seeded, Variation, array
from scipy.integrate import quad

from scoredrift import Blend, Estimate, Gaussian, GaussianMixture, OrnsteinUhlenbeck


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def normal(mean, variance):
    return GaussianMixture(torch.ones(1).double(), tensor([mean]), tensor(variance))


def pdf(x, mean=0.0, variance=1.0):
    return np.exp(-0.5 * (x - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)


P, Q, WIDE = normal(0.5, 1.0), normal(0.0, 1.0), normal(0.0, 1.5)


SAME = (
    Variation("a blend", Blend((1.0,), (P,)), RIGHT, True),
    Variation("a full covariance", Gaussian(tensor(0.5), torch.eye(1).double()), RIGHT, True),
    Variation("a blend of itself", P.blend(P, 0.25), RIGHT, True),
    Variation(
        "with a component of weight zero",
        GaussianMixture(tensor(1.0, 0.0), tensor([0.5], [9.0]), tensor(1.0, 1.0)),
        RIGHT,
        True,
    ),
)


class Odd:
    """A law whose log-density is what it is told, in one dimension."""

    def __init__(self, log_density):
        self.log_density = log_density

    def sample(self, n, *, generator):
        return torch.randn(n, 1, generator=generator, dtype=torch.float64)


ODD = tuple(
    Variation(f"log-density {label}", Odd(f), REFUSED)
    for label, f in (
        ("of columns", lambda x: x),
        ("a number", lambda x: x.sum()),
        ("nan", lambda x: x[:, 0] * NAN),
        ("inf", lambda x: x[:, 0] + INF),
        ("a list", lambda x: [0.0] * len(x)),
        ("None", lambda x: None),
        ("numpy", lambda x: np.zeros(len(x))),
        ("complex", lambda x: x[:, 0] + 1j),
    )
)


NODES = torch.linspace(-8, 9, 171, dtype=torch.float64)


ON_P, ON_Q = (torch.from_numpy(pdf(NODES.numpy(), mean)) for mean in (0.5, 0.0))


SAMPLE = torch.randn(100, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


X, Y = (torch.randn(120, 2, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (8, 9))


OU = OrnsteinUhlenbeck()


def mean(samples, least=2):
    x = array(samples, 1)
    assert len(x) >= least
    return Estimate(
        float(x.mean()),
        float(np.std(x / np.abs(x).max(), ddof=1) * np.abs(x).max() / math.sqrt(len(x)))
        if np.ptp(x)
        else 0.0,
    )


def quotient(numerator, denominator):
    a, b = array(numerator, 1), array(denominator, 1)
    assert a.shape == b.shape
    below = mean(b)
    assert abs(below.value) > 5 * below.stderr
    r = a.mean() / b.mean()
    return Estimate(float(r), float(np.std(a - r * b, ddof=1) / math.sqrt(len(a)) / abs(b.mean())))


def estimate(value, stderr):
    for one in (value, stderr):
        assert np.ndim(one) == 0
        assert one is not None
    assert stderr >= 0
    return float(value), float(stderr)


def runs(table):
    x = array(table)
    assert x.ndim >= 2
    assert x.shape[-1] >= 2
    assert len(x) >= 2
    assert (x[..., 1] >= 0).all()
    r = len(x)
    between = x[..., 0].std(0, ddof=1) / math.sqrt(r)
    return x[..., 0].mean(0), np.maximum(between, np.sqrt((x[..., 1] ** 2).mean(0) / r))


def enough(n, least, value):
    assert n >= least
    return value


def on(p, q, nodes, terms):
    p, q, x = array(p), array(q), array(nodes, 1)
    assert p.shape == q.shape == x.shape
    h = (x[-1] - x[0]) / (len(x) - 1)
    assert h > 0
    assert np.allclose(np.diff(x), h)
    for one in (p, q):
        assert (one >= 0).all()
        assert abs(one.sum() * h - 1) < 1e-3
    values = terms(p, q)
    assert max(values[0], values[-1]) <= 1e-3 * values.max()
    return float(values.sum() * h)


def kl_terms(p, q):
    return p * np.log(p / q) - p + q


def chi2_terms(p, q):
    return (p - q) ** 2 / q


def integral(f):
    return quad(f, -12, 12, epsabs=1e-12)[0]


def midpoint():
    return integral(lambda x: 0.5 * (pdf(x, 0.5) - pdf(x)) ** 2 / (pdf(x, 0.5) + pdf(x)))


def good_set(cap):
    edge = (math.log(cap) + 0.125) / 0.5
    inside = quad(lambda x: (pdf(x, 0.5) - pdf(x)) ** 2 / pdf(x), -12, min(edge, 12))[0]
    return inside, 0.5 * math.erfc((edge - 0.5) / math.sqrt(2))


def of_kernels(centres, bandwidth, sigma):
    c = array(centres, 2)
    assert c.size
    assert 0 < bandwidth < INF
    assert 0 < sigma < INF
    bandwidth, sigma = float(bandwidth), float(sigma)
    a, v = math.exp(-0.01), -math.expm1(-0.02)
    s, b = a**2 * sigma**2 + v, a**2 * bandwidth**2 + v
    if 2 / b <= 1 / s:
        return np.full(len(c), INF)
    found = []
    for row in a * c:
        i, j = row[:, None], row
        r = 2 / b - 1 / s
        parts = np.exp(0.5 * (((i + j) / b) ** 2 / r - (i**2 + j**2) / b))
        found.append(math.sqrt(s / r) / b * parts.mean() - 1)
    return np.array(found)


def fixed_set(points, edge):
    x = array(points, 2)
    assert x.shape[1] == 1
    assert len(x)
    assert -INF < edge < INF
    log_p = -0.5 * x[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    inside = log_p >= edge
    assert inside.any()
    return np.where(inside, np.expm1(np.where(inside, 0.5 * x[:, 0] - 0.125, 0)), 0.0)


KEPT = "not a number stays not a number, and says so"


INFINITE = "arithmetic of infinite numbers is that of floats"


FEW = "two draws have a mean, but no standard error to hold it against"


TAIL = torch.rand(400, generator=torch.Generator().manual_seed(4), dtype=torch.float64) ** -0.5


THEIRS = "the classifier is the caller's, and warns"


ATOM = "one row many times is one row: an atom"


OPTIONS = {"generator": Seeded(1)}


BAD_LAWS = tuple(
    Variation(f"a {type(bad).__name__}", bad, REFUSED)
    for bad in (None, 1.0, "law", torch.zeros(3), torch.nn.Linear(1, 1))
)


OTHER = (
    Variation("of another dimension", Gaussian(torch.zeros(2).double(), torch.eye(2).double()), REFUSED),
    Variation("in float32 alone", Q.to(dtype=torch.float32), EITHER, True, 1e-5),
)


def density(law, *more):
    """An input that only needs draws and log-densities."""
    return Laws(law, *ODD, *more)


def three(f, **more):
    return lambda p, q, n, generator, **rest: f(p, q, n, generator=generator, **more, **rest)


def tail(draws):
    """k̂ by Zhang and Stephens' posterior mean, written with loops over θ; −1 for no tail."""
    x = array(draws, 1)
    assert len(x) >= 100
    far = (
        np.sort(np.abs(x / np.abs(x).max() - np.sort(x / np.abs(x).max())[(len(x) - 1) // 2]))
        if x.any()
        else x
    )
    size = int(min(len(x) / 5, 3 * math.sqrt(len(x))))
    z = far[-size:] - far[-size - 1]
    z = z[z > 0]
    if not len(z):
        return -1.0
    m = 30 + math.isqrt(len(z))
    theta = [
        1 / z[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * z[int(len(z) / 4 + 0.5) - 1])
        for j in range(1, m + 1)
    ]
    ks = [float(np.log1p(-b * z).mean()) for b in theta]
    logs = np.array([len(z) * (math.log(-b / k) - k - 1) for b, k in zip(theta, ks, strict=True)])
    weights = np.exp(logs - logs.max())
    return round(float(np.log1p(-(weights @ theta) / weights.sum() * z).mean()), 2)


def finite(x):
    assert not isinstance(x, str | list | complex)
    assert math.isfinite(x)
    return float(x)


def same(a, b):
    assert a == b
    return True


def index(i, n):
    assert -n <= i < n
    return i


def only(x):
    assert array(x, 2).shape[1] == 1
    return array(x)[:, 0]


def plane(p, q):
    p, q = array(p, 2), array(q, 2)
    assert p.shape == q.shape == (171, 171)
    for one in (p, q):
        assert (one >= 0).all()
        assert abs(one.sum() * 0.01 - 1) < 1e-3
    return [float(f(p, q).sum() * 0.01) for f in (kl_terms, chi2_terms)]


def outermost_of(centres, bandwidth, outermost, draws):
    c = np.abs(array(centres, 2))
    assert c.shape[1] == 1
    assert len(c)
    assert min(outermost, draws) >= 1
    assert 0 < bandwidth < INF
    a, v = math.exp(-0.01), -math.expm1(-0.02)
    b = a**2 * float(bandwidth) ** 2 + v
    assert b < 2
    far = np.sort(a * c[:, 0])[::-1][:outermost]
    # ∫ φ_b(x − c)²/φ_1(x) dx in closed form
    r = 2 / b - 1
    return float(
        (math.sqrt(1 / r) / b * np.exp(0.5 * ((2 * far / b) ** 2 / r - 2 * far**2 / b))).sum() / len(c) ** 2
    )


def near(x, y, neighbours):
    x, y = array(x, 2), array(y, 2)
    assert x.shape[1] == y.shape[1] >= 1
    assert neighbours >= 1
    assert len(x) >= neighbours + 2
    assert len(y) >= neighbours + 1
    for one in (x, y):
        assert len(np.unique(one, axis=0)) == len(one)
    return True


def bounds(x, y, folds, seed):
    assert folds >= 2
    assert seed >= 0
    near(x, y, 98)
    return True
