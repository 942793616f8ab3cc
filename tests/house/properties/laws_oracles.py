"""What is right for the table of ``laws``, by other roads; and the inputs it is asked with."""

import math

import numpy as np
import torch
from property_cases import INF, NAN, REFUSED, RIGHT, Variation, array
from scipy.special import logsumexp

from scoredrift import Estimate
from scoredrift.laws import Blend, Gaussian, GaussianMixture, KernelDensity


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
