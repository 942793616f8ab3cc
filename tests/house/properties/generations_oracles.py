"""What is right for the table of ``generations``, by other roads; and the inputs it is asked with."""

import math

import numpy as np
import torch
from property_cases import INF, NAN, REFUSED, Numbers, Variation, array

from properties.laws_oracles import M, V, W, draws, late
from scoredrift import Estimate, Gaussian, GaussianMixture, OrnsteinUhlenbeck, generations
from scoredrift.generations import Replace


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


OU = OrnsteinUhlenbeck()


A0, V0 = math.exp(-0.01), -math.expm1(-0.02)


P, P1, P2 = tensor(0.5, 0.25, 0.25), tensor(0.25, 0.5, 0.25), tensor(0.25, 0.25, 0.5)


MIXTURE = GaussianMixture(W, M, V)


LINE = Gaussian(tensor(0.0), torch.eye(1).double())


ATOM = "one row many times is one row: an atom"


START = "from N(0, I) nobody gets so far: another law"


IS_NAN = "∞ has no coherence, and the answer is not a number"


ALPHA = {"alpha": Numbers(0.5)}


GRAM = tensor([1.0, 0.5, 0.25], [0.5, 0.75, 0.5], [0.25, 0.5, 1.5])


FEATURES = [
    torch.randn(120, 2, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (1, 2, 3)
]


NO_PROCESS = tuple(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "ou"))


NO_LAW = tuple(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "law", torch.ones(3)))


def fraction(alpha):
    assert not isinstance(alpha, bool)
    assert 0 < alpha <= 1
    return float(alpha)


def sizes(*values):
    for value in values:
        assert value >= 0
        assert not isinstance(value, bool)
    return [float(value) for value in values]


def cells(*laws):
    found = [array(law, 1) for law in laws]
    for law in found:
        assert law.shape == found[0].shape
        assert law.size
        assert (law >= 0).all()
        assert abs(law.sum() - 1) < 1e-9
    return found


def decomposed(data, model, next_model, alpha):
    (p, m, n), alpha = cells(data, model, next_model), fraction(alpha)
    assert (p > 0).all()
    q = alpha * p + (1 - alpha) * m
    d, d1, w = m / p - 1, n / p - 1, (n - q) / p
    return [alpha, p @ d**2, p @ d1**2, p @ w**2, p @ (d * w), ((n - q) ** 2 / q).sum(), ""]


def square(x):
    x = array(x, 2)
    assert x.shape[0] == x.shape[1] > 1
    assert np.allclose(x, x.T, rtol=0, atol=1e-9 * np.abs(np.diag(x)).max())
    return x


def stepped(products, alpha):
    g, a = square(products), fraction(alpha)
    keep = 1 - a
    return [
        [max(g[i + 1, i + 1] - 2 * keep * g[i, i + 1] + keep**2 * g[i, i], 0.0), g[i, i + 1] - keep * g[i, i]]
        for i in range(len(g) - 1)
    ]


def contributed(products, alpha):
    g, a = square(products), fraction(alpha)
    n, keep = len(g) - 1, 1 - a
    weights = [keep ** (n - 1 - i) for i in range(n)]
    return [*(w * (g[i + 1, n] - keep * g[i, n]) for i, w in enumerate(weights)), keep**n * g[0, n], g[n, n]]


def discounted(start, forcings, alpha, coherence):
    a, c = fraction(alpha), float(coherence)
    assert not isinstance(coherence, bool)
    assert 0 <= c <= 1
    (d,), found = sizes(start), []
    for b in sizes(*forcings):
        d = (1 - a) ** 2 * d + b + 2 * (1 - a) * c * math.sqrt(d) * math.sqrt(b)
        found.append(d)
    return found


def steady(forcing, alpha, coherence):
    (b,), a, c = sizes(forcing), fraction(alpha), float(coherence)
    assert not isinstance(coherence, bool)
    assert -1 <= c <= 1
    assert b < INF
    if b == 0:
        return 0.0
    if a < 1e-150 and c > 0:
        return INF
    keep, rest = (1 - a) * c, a * (2 - a)
    root = math.sqrt(keep**2 + rest)
    return b * ((keep + root) / rest if keep > 0 else 1 / (root - keep)) ** 2


def finite(x):
    assert x < INF
    return sizes(x)[0]


def retrained(cells, draws, alpha, generation):
    a, cells, draws = fraction(alpha), int(cells), int(draws)
    assert min(cells, draws) >= 1
    assert generation >= 0
    d = (cells - 1) / draws
    for _ in range(generation):
        d = (1 - a) ** 2 * (1 - 1 / draws) * d + (cells - 1) / draws
    return d


def histogram(data, draws, alpha, generations, runs, generator):
    """The mean of D in the last generation."""
    found = generations_of(data, draws, alpha, generations, runs, generator)
    return Estimate.from_samples(((found[-1] - data) ** 2 / data).sum(1).double())


def generations_of(data, draws, alpha, generations_, runs, generator):
    return generations.histogram_recursion(
        data, draws, alpha=alpha, generations=generations_, runs=runs, generator=generator
    )


def kernel_moments(data, bandwidth, spread=V0):
    """Moments of the law that a kernel density generates at t0."""
    x = array(data, 2)
    assert x.size
    b = A0**2 * late(bandwidth) ** 2 + spread
    second = (A0**2 * x**2).mean(0) + b
    return [float(one) for pair in zip(A0 * x.mean(0), second, strict=True) for one in pair]


def positive(x):
    assert 0 < x < INF
    assert not isinstance(x, bool)
    return float(x)


def drawn(fit):
    def call(data, bandwidth, generator, **rest):
        return draws(fit(bandwidth, OU, **rest)(data, generator=generator), 400, generator)

    return call


def samples(data, model, next_model, alpha):
    """Before, after and forcing without what is taken off; only whether the squares are near them."""
    x, y, z = (array(one, 2) for one in (data, model, next_model))
    a = fraction(alpha)
    assert x.shape[1] == y.shape[1] == z.shape[1] >= 1
    assert min(map(len, (x, y, z))) >= max(100, 10 * x.shape[1])
    for one in (x, y, z):
        assert len(np.unique(one, axis=0)) == len(one)
    assert not any(np.array_equal(*pair) for pair in ((x, y), (x, z), (y, z)))
    scale = np.cov((x / np.abs(x).max(0)).T).reshape(x.shape[1], -1)
    assert np.linalg.cond(scale / np.sqrt(np.outer(np.diag(scale), np.diag(scale)))) < 1e10
    inverse = np.linalg.inv(np.cov(x.T).reshape(x.shape[1], -1))
    gaps = [y.mean(0) - x.mean(0), z.mean(0) - x.mean(0), z.mean(0) - a * x.mean(0) - (1 - a) * y.mean(0)]
    return [float(gap @ inverse @ gap) for gap in gaps]


def sampled(data, model, next_model, alpha):
    step = generations.step_from_samples(data, model, next_model, alpha=alpha)
    return [
        Estimate(one.value, one.stderr + 0.05 * abs(one.value) + 0.02)
        for one in (step.before, step.after, step.forcing)
    ]


def fit_gaussian(data, *, generator):
    return Gaussian.fit(data)


def recursed(**changes):
    options = {
        "fit": fit_gaussian,
        "target": LINE,
        "regime": Replace(),
        "generations": 2,
        "size": 50,
        "seed": 1,
        "measure": None,
    }
    options |= changes
    fit, target = options.pop("fit"), options.pop("target")
    return generations.recurse(fit, target, **options)


def spread_of(generation):
    return {"variance": generation.drawn.var()}


def means_of(**changes):
    """E of the variance in the last generation, over runs."""
    found = [recursed(seed=(seed, 3), measure=spread_of, **changes)["variance"] for seed in range(30)]
    return Estimate.from_samples(torch.stack([one[-1] for one in found]).double())


def shrunk(generations, size):
    """E s² of N points of the last model: each fit takes 1 − 1/N."""
    assert generations >= 0
    assert size >= 2
    return (1 - 1 / size) ** (generations + 1)


WORDS = tuple(
    Variation(f"a {type(b).__name__} {b}"[:24], b, REFUSED) for b in (None, 1.0, "x", torch.ones(2))
)


BAD_MEASURES = tuple(
    Variation(label, lambda generation, value=value: value, REFUSED)
    for label, value in (
        ("nothing", None),
        ("a number", 1.0),
        ("nan", {"a": NAN}),
        ("a text", {"a": "x"}),
        ("None by name", {"a": None}),
        ("a name that is none", {1: 1.0}),
        ("a list", {"a": [1.0]}),
        ("complex", {"a": 1j}),
        ("an array of texts", {"a": np.array(["x"])}),
        ("a tensor of nan", {"a": torch.tensor([NAN])}),
    )
)


def some(p):
    assert (p > 0).all()
    return p


def finite_number(x):
    assert math.isfinite(x)
    assert not isinstance(x, bool)
    return float(x)


def fitted(data):
    x = array(data, 2)
    assert len(x) > x.shape[1] >= 1
    covariance = np.atleast_2d(np.cov(x.T, bias=True))
    assert np.linalg.eigvalsh(covariance)[0] > 0
    return [x.mean(0), covariance]


def falling(grid):
    g = array(grid, 1)
    assert len(g) > 1
    assert (np.diff(g) < 0).all()
    assert g[-1] >= 0
    return g


def second(x):
    assert x.size
    for column in x.T:
        yield float(column.mean())
        yield float((column**2).mean())
