"""What is right for the table of ``observability``, by other roads; and the inputs it is asked with."""

import math

import numpy as np
import torch
from property_cases import REFUSED, RIGHT, Counts, Seeded, Tensors, Variation, array

from properties.paths_oracles import FEW, OU, L, spans
from scoredrift import Estimate, observability
from scoredrift.observability import PairDesign
from scoredrift.process import log_uniform_times, uniform_times


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


ENERGY = 0.5 * L


ETA = 2 * (1 - math.exp(-L)) ** 2 / L


FINE = OU.geometric_grid(30)


ROUGH = OU.geometric_grid(12)


PLAIN = PairDesign(log_uniform_times, 4, 2)


SEEDED = {"generator": Seeded(20)}


EDGES = tensor(0.5, 1.0, 2.5)


DRAWS = torch.randn(120, generator=torch.Generator().manual_seed(13), dtype=torch.float64)


def pair(found):
    return [found.energy, found.visible]


def enough(n, least=2):
    assert n >= least
    return [ENERGY, ETA * ENERGY]


def counts(n, *fewer):
    return Counts(n, **dict.fromkeys(("1", "2", "3", *fewer), FEW))


def response(x):
    """u(x) = −∫ E[2 (−½)… | x] dt for e = −½ x: ½ (d − ‖x‖²)… in closed form."""
    x = array(x, 2)
    assert x.shape[1] == 2
    return 0.5 * (1 - math.exp(-L)) * (2 - (x**2).sum(1))


def responses(error, x, generator, design, batch):
    """Means of u at the first points, over many draws of each."""
    found = observability.response(
        error,
        x.repeat(200, 1) if isinstance(x, torch.Tensor) and x.ndim == 2 else x,
        generator=generator,
        design=design,
        batch=batch,
    )
    return [Estimate.from_samples(one) for one in found.reshape(200, -1).T]


def marginal(x):
    """dp̂/dq of s = −1.5 x against N(0, 1) in R²: p̂ is normal with the variance below."""
    x = array(x, 2)
    assert x.shape[1] == 2
    v = math.exp(-2 * L) + (1 - math.exp(-2 * L)) / 2
    return 1 / v * np.exp(0.5 * (x**2).sum(1) * (1 - 1 / v))


ROUNDS = "it rounds, and so is not affine to the precision of the law"


V = math.exp(-2 * L) + (1 - math.exp(-2 * L)) / 2


CHI2 = 1 / (V * (2 - V)) - 1


X = 0.5 * torch.randn(3, 2, generator=torch.Generator().manual_seed(14), dtype=torch.float64)


def ratios(error, x, grid, generator):
    many = x.repeat(200, 1) if isinstance(x, torch.Tensor) and x.ndim == 2 else x
    found = observability.marginal_ratio(error, many, grid, generator=generator)
    return [Estimate.from_samples(one) for one in found.reshape(200, -1).T]


def spanned(grid, value):
    spans(grid, 0.5)
    return value


def numbers_of(x):
    assert array(x, 2).shape[1] == 2
    return x


DESIGNS = (
    Variation("antithetic", PairDesign(log_uniform_times, 2, 2, antithetic=True), RIGHT),
    Variation(
        "without divergence",
        PairDesign(log_uniform_times, 2, 2, antithetic=True, divergence_free=True),
        RIGHT,
    ),
    Variation("uniform", PairDesign(uniform_times, 4, 2), RIGHT),
    Variation("None", None, RIGHT),
    *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (1.0, "pairs", PairDesign)),
)


POINTS = {"x": Tensors(X, **{"one_1e30": "exp of 1e60", "all_1e30": "exp of 1e60", "no_columns": "no space"})}


def small():
    """χ² of s = −1.1 x."""
    r = 1.2
    v = math.exp(-r * L) + (1 - math.exp(-r * L)) / r
    return 1 / (v * (2 - v)) - 1


def means(energy, visible):
    e, v = array(energy, 1), array(visible, 1)
    assert e.shape == v.shape
    assert len(e) >= 2
    assert (e >= 0).all()
    n = math.sqrt(len(e))
    return [
        Estimate(
            float(one.mean()),
            float(np.std(one / (np.abs(one).max() or 1), ddof=1) * np.abs(one).max() / n)
            if np.ptp(one)
            else 0.0,
        )
        for one in (e, v)
    ] + [Estimate(float(v.mean() / e.mean()) if e.any() else 0.0)]


def edges_of(edges, values):
    edges, values = array(edges, 1), array(values, 1)
    assert len(edges) == len(values) + 1
    assert len(values)
    assert (np.diff(edges) > 0).all()
    return edges, values


def stepped(edges, values, t):
    edges, values = edges_of(edges, values)
    return values[np.searchsorted(edges[1:-1], array(t))]


def quantiles(edges, shares, u):
    edges, shares = edges_of(edges, shares)
    assert (shares > 0).all()
    assert abs(shares.sum() - 1) < 1e-9
    assert edges[0] >= 0.5
    assert edges[-1] <= 2.5
    u = array(u)
    assert ((u >= 0) & (u <= 1)).all()
    t = np.interp(u, np.concatenate([[0], shares.cumsum()]), edges)
    return t, (np.diff(edges) / shares)[np.searchsorted(shares.cumsum()[:-1], u)]
