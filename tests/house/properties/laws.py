"""Laws, their flows, and the attention behind the kernel densities."""

import math

import numpy as np
import torch
from property_cases import (
    EITHER,
    INF,
    NAN,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Fixed,
    Input,
    Laws,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)
from scipy.special import logsumexp

from scoredrift import Estimate, attention, laws
from scoredrift.laws import Blend, Gaussian, GaussianMixture, KernelDensity, Marginal

EXEMPT = {
    "laws.Evaluation": "a tuple of results, without arithmetic",
    "laws.Law": "abstract; its methods are in the table by those of its kinds",
    "laws.Source": "a protocol",
    "attention.Moments": "a tuple of results, without arithmetic",
}


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def components(weights, means, variances, t=0.0):
    """Weights [J], means [n or 1, J, d] and variances [n or 1, J] of the flow of a mixture at times []/[n]."""
    weights, means, variances = array(weights, 1), array(means, 2), array(variances, 1)
    assert weights.shape == variances.shape == means.shape[:1]
    assert means.size
    t = array(t).reshape(-1, 1)
    assert ((t >= 0) & (t < INF)).all()
    a, v = np.exp(-0.5 * t), -np.expm1(-t)
    return weights, a[:, :, None] * means, a**2 * variances + v


def mixture_at(weights, means, variances, x, t=0.0):
    """log q, ∇ log q and its divergence of a mixture of isotropic Gaussians, plainly."""
    x = array(x, 2)
    weights, means, variances = components(weights, means, variances, t)
    assert (weights >= 0).all()
    assert (variances > 0).all()
    assert abs(weights.sum() - 1) < 1e-6
    assert x.shape[1] == means.shape[2]
    assert len(x) in (len(x), len(means))
    weights, means, variances = weights[weights > 0], means[:, weights > 0], variances[:, weights > 0]
    gap = means - x[:, None]
    logs = np.log(weights) - 0.5 * (gap**2).sum(2) / variances
    logs = logs - 0.5 * x.shape[1] * np.log(2 * np.pi * variances)
    share = np.exp(logs - logs.max(1, keepdims=True))
    share = share / share.sum(1, keepdims=True)
    u = gap / variances[:, :, None]
    score = (share[:, :, None] * u).sum(1)
    scatter = (share * ((u - score[:, None]) ** 2).sum(2)).sum(1)
    return logsumexp(logs, axis=1), score, scatter - x.shape[1] * (share / variances).sum(1)


def gaussian_at(mean, covariance, x, t=0.0):
    mean, covariance, x = array(mean, 1), array(covariance, 2), array(x, 2)
    assert covariance.shape == (len(mean),) * 2
    assert mean.size
    assert x.shape[1] == len(mean)
    assert np.allclose(covariance, covariance.T, rtol=1e-5)
    assert np.linalg.eigvalsh(covariance)[0] > 0
    t = np.broadcast_to(array(t).reshape(-1), len(x))
    assert ((t >= 0) & (t < INF)).all()
    found = []
    for point, when in zip(x, t, strict=True):
        spread = math.exp(-when) * covariance - math.expm1(-when) * np.eye(len(mean))
        precision = np.linalg.inv(spread)
        gap = point - math.exp(-0.5 * when) * mean
        log_norm = 0.5 * np.linalg.slogdet(2 * np.pi * spread)[1]
        found.append((-0.5 * gap @ precision @ gap - log_norm, -precision @ gap, -np.trace(precision)))
    logs, scores, traces = zip(*found, strict=True) if found else ((), (), ())
    return np.array(logs), np.array(scores).reshape(x.shape), np.array(traces)


def kernels_at(centres, bandwidth, weights, x, t=0.0):
    centres = array(centres, 2)
    assert not isinstance(bandwidth, bool)
    assert bandwidth > 0
    weights = np.full(len(centres), 1 / len(centres)) if weights is None else array(weights, 1)
    assert (weights > 0).all()
    return mixture_at(weights, centres, np.full(len(centres), float(bandwidth) ** 2), x, t)


def draws(law, n, generator=None):
    """First and second moments of what a law draws, n at a time until there are many, as estimates."""
    got = [law.sample(n, generator=generator)]
    assert len(got[0]) == n
    while sum(map(len, got)) < 400:
        got.append(law.sample(n, generator=generator))
    x = torch.cat(got).double()
    return [Estimate.from_samples(one**power) for one in x.T for power in (1, 2)]


def moments(weights, means, variances):
    """What ``draws`` should give for a mixture."""
    weights, means, variances = (array(one) for one in (weights, means, variances))
    second = means**2 + variances[:, None]
    return [float(one) for pair in zip(weights @ means, weights @ second, strict=True) for one in pair]


g = torch.Generator().manual_seed(5)
X = 2 * torch.randn(5, 2, generator=g, dtype=torch.float64)
W, M, V = tensor(0.25, 0.5, 0.25), torch.randn(3, 2, generator=g, dtype=torch.float64), tensor(0.5, 0.25, 1.0)
MU, SIGMA = tensor(0.5, -1.0), tensor([1.0, 0.25], [0.25, 0.5])
MIXTURE, GAUSSIAN, KERNELS = GaussianMixture(W, M, V), Gaussian(MU, SIGMA), KernelDensity(M, 0.5, W)
BLEND = Blend((0.25, 0.75), (MIXTURE, MIXTURE.blur(1.0)))
T = tensor(0.5, 0.0, 1.0, 2.0, 0.25)
TIMES = (
    Variation("a number", 0.5, RIGHT),
    Variation("zero", 0.0, RIGHT),
    Variation("numpy float", np.float32(0.5), RIGHT),
    Variation("an int", 1, RIGHT),
    Variation("1e4", torch.full((5,), 1e4, dtype=torch.float64), RIGHT),
    Variation("a negative number", -0.5, REFUSED),
    Variation("nan", NAN, REFUSED),
    Variation("inf", INF, REFUSED),
    Variation("as columns", T[:, None], REFUSED),
    Variation("of float32", T.float(), RIGHT),
    Variation("a list of words", ["a"] * 5, REFUSED),
)
FAR = Variation("far", X + 1e6, RIGHT)
LOST = "plain arithmetic has no digits left there, so nobody knows what is right"


def at(make, **parts):
    """Entry of the flow of a kind of law, from its parts."""

    def call(x, t, **given):
        return make(**given).at(x, t)

    return call


def wide(dim, n=3):
    g = torch.Generator().manual_seed(dim)
    means, x = (torch.randn(n, dim, generator=g, dtype=torch.float64) for _ in range(2))
    return means, x


ENTRIES = [
    Entry(
        "laws.GaussianMixture.at",
        at(GaussianMixture),
        {
            "weights": Tensors(W),
            "means": Tensors(M),
            "variances": Tensors(V),
            "x": Tensors(X, FAR),
            "t": Tensors(T, *TIMES),
        },
        mixture_at,
        wide={f"d = {dim}": {"means": wide(dim)[0], "x": wide(dim)[1], "t": 0.5} for dim in (1, 3072)}
        | {"a weight of zero": {"weights": tensor(0.5, 0.5, 0.0)}},
    ),
    Entry(
        "laws.Gaussian.at",
        at(Gaussian),
        {"mean": Tensors(MU), "covariance": Tensors(SIGMA), "x": Tensors(X, FAR), "t": Tensors(T, *TIMES)},
        gaussian_at,
        wide={
            f"d = {d}": {
                "mean": torch.ones(d).double(),
                "covariance": torch.eye(d).double(),
                "x": wide(d)[1],
                "t": 0.5,
            }
            for d in (1, 64)
        },
    ),
    Entry(
        "laws.KernelDensity.at",
        at(KernelDensity),
        {
            "centres": Tensors(M, all_1e30=LOST),
            "bandwidth": Numbers(0.5),
            "weights": Tensors(W),
            "x": Tensors(X, FAR, one_1e30=LOST, all_1e30=LOST),
            "t": Tensors(T, *TIMES),
        },
        kernels_at,
        wide={f"d = {dim}": {"centres": wide(dim)[0], "x": wide(dim)[1], "t": 0.5} for dim in (1, 3072)}
        | {"no weights": {"weights": None}},
    ),
    Entry(
        "laws.Blend.at",
        lambda law, fraction, x, t: Blend((fraction, 0.75), (law, law.blur(1.0))).at(x, t),
        {"law": Fixed(MIXTURE), "fraction": Numbers(0.25), "x": Tensors(X, FAR), "t": Tensors(T, *TIMES)},
        lambda law, fraction, x, t: mixture_at(
            np.concatenate([positive(fraction) * W, 0.75 * W]),
            torch.cat([M, M]),
            torch.cat([V, V + 1]),
            x,
            t,
        ),
        single=None,
    ),
    Entry(
        "laws.Blend",
        lambda laws, weights: Blend(weights, laws).at(X),
        {
            "laws": Input(
                (MIXTURE, MIXTURE.blur(1.0)),
                Variation("a list", [MIXTURE, MIXTURE.blur(1.0)], RIGHT, True),
                Variation("empty", (), REFUSED),
                Variation("of two dimensions", (MIXTURE, laws.mixture_of_three()), REFUSED),
                Variation("of two dtypes", (MIXTURE, MIXTURE.to(dtype=torch.float32)), REFUSED),
                *(Variation(str(bad), (MIXTURE, bad), REFUSED) for bad in (None, 1.0, "law")),
                Variation("one law", MIXTURE, REFUSED),
                Variation("None alone", None, REFUSED),
            ),
            "weights": Input(
                (0.25, 0.75),
                Variation("a list", [0.25, 0.75], RIGHT, True),
                Variation("tensor", tensor(0.25, 0.75), EITHER, True),
                Variation("array", np.array([0.25, 0.75]), RIGHT, True),
                Variation("float32", np.array([0.25, 0.75], dtype=np.float32), RIGHT, True),
                *(
                    Variation(str(bad), bad, REFUSED)
                    for bad in (
                        (),
                        (1.0,),
                        (0.5, 0.4),
                        (0.0, 1.0),
                        (NAN, 1.0),
                        (-0.5, 1.5),
                        ("a", "b"),
                        None,
                        0.5,
                    )
                ),
            ),
        },
        lambda laws, weights: mixture_at(
            torch.cat([0.25 * W, 0.75 * W]), torch.cat([M, M]), torch.cat([V, V + 1]), X
        ),
    ),
    Entry(
        "laws.Marginal.at",
        lambda law, start, x, t: Marginal(law, start).at(x, t),
        {"law": Laws(MIXTURE), "start": Numbers(0.5), "x": Tensors(X), "t": Tensors(T, *TIMES)},
        lambda law, start, x, t: mixture_at(W, M, V, x, late(start) + array(t)),
    ),
    *(
        Entry(
            f"laws.{type(law).__name__}.{name}",
            lambda law, x, name=name: getattr(law, name)(x),
            {"law": Fixed(law), "x": Tensors(X, one_1e30=LOST)},
            lambda law, x, oracle=oracle, part=part: oracle(x)[part],
            single=None,
        )
        for law, oracle in (
            (MIXTURE, lambda x: mixture_at(W, M, V, x)),
            (GAUSSIAN, lambda x: gaussian_at(MU, SIGMA, x)),
            (KERNELS, lambda x: kernels_at(M, 0.5, W, x)),
            (Marginal(MIXTURE, 0.5), lambda x: mixture_at(W, M, V, x, 0.5)),
        )
        for part, name in enumerate(("log_density", "score", "score_divergence"))
    ),
    *(
        Entry(
            f"laws.{type(law).__name__}.sample",
            draws,
            {"law": Fixed(law), "n": Counts(400), "generator": Seeded(1)},
            lambda law, n, generator, right=right: at_least_one(n) and right,
            single=None,
        )
        for law, right in (
            (MIXTURE, moments(W, M, V)),
            (GAUSSIAN, [0.5, 1.25, -1.0, 1.5]),
            (KERNELS, moments(W, M, 0.25 * torch.ones(3))),
            (BLEND, moments(W, M, V + 0.75)),
            (Marginal(MIXTURE, math.log(4.0)), moments(W, 0.5 * M, 0.25 * V + 0.75)),
        )
    ),
    *(
        Entry(
            f"laws.{type(law).__name__}.diffuse",
            lambda law, t: law.diffuse(t).at(X),
            {"law": Fixed(law), "t": Numbers(0.5)},
            lambda law, t, oracle=oracle: oracle(min(late(t), 1e4)),
            single=None,
        )
        for law, oracle in (
            (MIXTURE, lambda t: mixture_at(W, M, V, X, t)),
            (GAUSSIAN, lambda t: gaussian_at(MU, SIGMA, X, t)),
            (KERNELS, lambda t: kernels_at(M, 0.5, W, X, t)),
            (Marginal(MIXTURE, 0.5), lambda t: mixture_at(W, M, V, X, t + 0.5)),
        )
    ),
    Entry(
        "laws.GaussianMixture.blend",
        lambda law, other, fraction: law.blend(other, fraction).at(X),
        {"law": Fixed(MIXTURE), "other": Laws(MIXTURE.blur(1.0)), "fraction": Numbers(0.25)},
        lambda law, other, fraction: mixture_at(
            np.concatenate([positive(fraction) * W, (1 - late(fraction)) * W]),
            torch.cat([M, M]),
            torch.cat([V, V + 1]),
            X,
        ),
        single=None,
    ),
    Entry(
        "laws.GaussianMixture.blur",
        lambda law, h: law.blur(h).at(X),
        {"law": Fixed(MIXTURE), "h": Numbers(0.5)},
        lambda law, h: mixture_at(W, M, V + late(h) ** 2, X),
        single=None,
    ),
    Entry(
        "laws.GaussianMixture.moments",
        lambda weights, means, variances: [
            f(GaussianMixture(weights, means, variances))
            for f in (GaussianMixture.mean, GaussianMixture.covariance)
        ],
        {"weights": Tensors(W), "means": Tensors(M), "variances": Tensors(V)},
        lambda weights, means, variances: first_two(weights, means, variances),
    ),
    *(
        Entry(
            f"laws.GaussianMixture.{name}",
            lambda weights, name=name: getattr(
                GaussianMixture(weights, torch.cat([M[:1], M[:1], M[1:2]]), V[:1].expand(3)), name
            )().at(X),
            {"weights": Tensors(tensor(0.25, 0.75, 0.0))},
            lambda weights: mixture_at(weights, torch.cat([M[:1], M[:1], M[1:2]]), V[:1].expand(3), X),
            single=None,
        )
        for name in ("merge", "without_empty")
    ),
    *(
        Entry(
            f"laws.{type(law).__name__}.to",
            lambda law, dtype, device: law.to(dtype=dtype, device=device).at(
                X if dtype in (None, torch.float64) else X.float()
            ),
            {
                "law": Fixed(law),
                "dtype": Input(
                    torch.float64,
                    Variation("None", None, RIGHT, True),
                    Variation("float32", torch.float32, RIGHT, True, 1e-5),
                    *(
                        Variation(str(bad), bad, REFUSED)
                        for bad in (
                            torch.float16,
                            torch.bfloat16,
                            torch.int64,
                            torch.complex64,
                            "float32",
                            1.0,
                        )
                    ),
                ),
                "device": Input(
                    "cpu",
                    Variation("None", None, RIGHT, True),
                    Variation("a device", torch.device("cpu"), RIGHT, True),
                    Variation("a word", "nowhere", REFUSED),
                    Variation("a missing device", "cuda:7", REFUSED),
                    Variation("meta", "meta", REFUSED),
                ),
            },
            lambda law, dtype, device, oracle=oracle: oracle(),
            single=None,
        )
        for law, oracle in (
            (MIXTURE, lambda: mixture_at(W, M, V, X)),
            (GAUSSIAN, lambda: gaussian_at(MU, SIGMA, X)),
            (KERNELS, lambda: kernels_at(M, 0.5, W, X)),
            (
                BLEND,
                lambda: mixture_at(
                    torch.cat([0.25 * W, 0.75 * W]), torch.cat([M, M]), torch.cat([V, V + 1]), X
                ),
            ),
        )
    ),
    Entry(
        "laws.Gaussian.fit",
        lambda data: Gaussian.fit(data),
        {"data": Tensors(X)},
        lambda data: fitted(data),
        wide={"d = 1": {"data": X[:, :1]}},
    ),
    Entry(
        "laws.elapsed",
        lambda t, x: laws.elapsed(t, x),
        {"t": Tensors(T, *(one for one in TIMES if one.label != "1e4")), "x": Tensors(X)},
        lambda t, x: np.minimum(still(t, x), 400.0).reshape(-1, 1),
    ),
    Entry(
        "laws.mixture_of_three",
        lambda dtype: laws.mixture_of_three(dtype=dtype).at(dots(dtype)),
        {
            "dtype": Input(
                torch.float64,
                *(
                    Variation(str(d), d, w, True, 1e-5)
                    for d, w in (
                        (torch.float32, RIGHT),
                        (torch.float16, REFUSED),
                        (torch.int64, REFUSED),
                        (torch.bool, REFUSED),
                        (None, EITHER),
                        ("float64", REFUSED),
                    )
                ),
            )
        },
        lambda dtype: mixture_at(
            tensor(0.3, 0.45, 0.25),
            tensor([-2.2], [0.4], [2.6]),
            tensor(0.04, 0.1225, 0.0625),
            dots(torch.float64),
        ),
        atol=1e-9,
    ),
    Entry(
        "laws.mixture_of_five",
        lambda dim, sigma, centre: laws.mixture_of_five(dim, sigma=sigma, centre=centre).at(
            torch.ones(1, int(dim)).double()
        ),
        {"dim": Counts(3), "sigma": Numbers(0.5), "centre": Numbers(4.0)},
        lambda dim, sigma, centre: five(dim, sigma, centre),
        single=None,
    ),
    Entry(
        "laws.on_nodes",
        laws.on_nodes,
        {
            "law": Laws(laws.mixture_of_three()),
            "nodes": Tensors(torch.linspace(-3, 3, 7, dtype=torch.float64)),
        },
        lambda law, nodes: np.exp(
            mixture_at(
                tensor(0.3, 0.45, 0.25),
                tensor([-2.2], [0.4], [2.6]),
                tensor(0.04, 0.1225, 0.0625),
                array(nodes, 1)[:, None],
            )[0]
        ),
    ),
    Entry(
        "laws.summary",
        lambda law: laws.summary(law, "a"),
        {
            "law": Laws(
                MIXTURE, of_another_dimension="has another summary", in_float32_alone="has another summary"
            )
        },
        lambda law: "GaussianMixture(a, d = 2, float64)",
        single=None,
    ),
    *(
        Entry(
            f"attention.{name}",
            getattr(attention, name),
            {
                "y": Tensors(X, FAR, one_1e30=LOST),
                "gain": Tensors(T + 0.5),
                "centres": Tensors(M),
                "log_weights": Tensors(W.log(), all_1e30=LOST),
            },
            lambda y, gain, centres, log_weights: seen(y, gain, centres, log_weights),
            rtol=1e-8,
            wide={
                f"d = {d}": {"y": wide(d)[1], "centres": wide(d)[0], "gain": torch.ones(3).double()}
                for d in (1, 3072)
            }
            | {"no weights": {"log_weights": None}},
        )
        for name in ("softmax_moments", "plain_moments")
    ),
    Entry(
        "attention.local_blocks",
        lambda y, rows: sorted(set(attention.local_blocks(y, rows).flatten().tolist())),
        {"y": Tensors(X), "rows": Counts(2)},
        lambda y, rows: (at_least_one(rows), list(range(len(array(y, 2)))))[1],
    ),
]


def positive(x):
    assert 0 < x <= 1
    return float(x)


def late(t):
    assert 0 <= t < INF
    return float(t)


def at_least_one(n):
    assert n >= 1
    return n


def still(t, x):
    array(x, 2)
    t = array(t)
    assert t.ndim == 0 or t.shape == (len(x),)
    assert ((t >= 0) & (t < INF)).all()
    return t


def first_two(weights, means, variances):
    mixture_at(weights, means, variances, np.zeros((1, means.shape[1])))
    weights, means, variances = array(weights, 1), array(means, 2), array(variances, 1)
    mean = weights @ means
    second = (weights[:, None, None] * (means[:, :, None] * means[:, None])).sum(0)
    return mean, second - np.outer(mean, mean) + weights @ variances * np.eye(len(mean))


def fitted(data):
    data = array(data, 2)
    covariance = np.atleast_2d(np.cov(data.T, bias=True))
    gaussian_at(data.mean(0), covariance, np.zeros((1, data.shape[1])))
    assert len(data) > data.shape[1]
    return data.mean(0), covariance


def dots(dtype):
    return torch.linspace(-1, 1, 3, dtype=dtype if dtype is torch.float32 else torch.float64)[:, None]


def five(dim, sigma, centre):
    means = np.zeros((5, int(dim)))
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    means[1:, :2] = float(centre) * np.array(signs)
    return mixture_at(np.full(5, 0.2), means, np.full(5, float(sigma) ** 2), np.ones((1, int(dim))))


def seen(y, gain, centres, log_weights):
    y, gain, centres = array(y, 2), array(gain, 1), array(centres, 2)
    log_weights = np.zeros(len(centres)) if log_weights is None else array(log_weights, 1)
    assert len(gain) == len(y)
    assert (gain > 0).all()
    assert centres.size
    assert log_weights.shape == (len(centres),)
    assert centres.shape[1] == y.shape[1]
    away = centres - y[:, None]
    logits = log_weights - 0.5 * gain[:, None] * (away**2).sum(2)
    share = np.exp(logits - logits.max(1, keepdims=True))
    share = share / share.sum(1, keepdims=True)
    shift = (share[:, :, None] * away).sum(1)
    scatter = (share * ((away - shift[:, None]) ** 2).sum(2)).sum(1)
    return shift, scatter, logsumexp(logits, axis=1)
