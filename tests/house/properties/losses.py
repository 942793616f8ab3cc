"""Energies of networks: by losses, by level, and in two parts."""

from itertools import combinations_with_replacement

import numpy as np
import torch
from property_cases import (
    NAN,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Input,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.paths_oracles import ERROR, FEW, FLOW, OU, error, seed
from properties.scores_oracles import Net, shrink
from scoredrift import observability
from scoredrift.observability import EnergyByLevel, NoiseDesign, Polynomials, RadialFunctions, Together
from scoredrift.process import uniform_times
from scoredrift.scores import FunctionScore, LinearField

EXEMPT = {
    "observability.ErrorParts": "a tuple of results, without arithmetic",
    "observability.PlaneSplit": "a tuple of results, without arithmetic",
}


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


EDGES = tensor(0.5, 1.0, 2.5)
POINTS = torch.randn(200, 2, generator=torch.Generator().manual_seed(31), dtype=torch.float64)
NODES = torch.linspace(-8.0, 8.0, 81, dtype=torch.float64)
FOUR = tensor([-1.0, 0.5], [0.25, 2.0], [1.5, -0.5], [0.0, 1.0])
AT = tensor([0.5, -0.25], [1.0, 2.0])


def spans(edges):
    edges = array(edges, 1)
    assert len(edges) > 1
    assert (np.diff(edges) > 0).all()
    assert edges[0] > 0
    return edges


def moments(points, edges):
    """∫ (E‖X_t‖²/n …) between the edges: ∫ a² and ∫ v."""
    edges = spans(edges)
    shrunk = np.exp(-edges[:-1]) - np.exp(-edges[1:])
    return shrunk * (array(points, 2) ** 2).sum(1).mean(), np.diff(edges) - shrunk


def difference(points, edges, k=1.5, other=1.0):
    """L(−k x) − L(−k' x) at the points: (k² − k'²) E‖X_t‖² − 2 (k − k') d, integrated."""
    d = array(points, 2).shape[1]
    assert d
    assert len(points) > 1
    sizes, noises = moments(points, edges)
    return list((k**2 - other**2) * (sizes + d * noises) - 2 * (k - other) * d * np.diff(array(edges)))


def along(points, edges):
    """(E[D·(ŝ + ε/√v)])²/E‖D‖² for D = −½ x, in each level: both means follow from differences of losses."""
    size = np.array(difference(points, edges, 0.5, 0.0)) + np.diff(array(edges)) * array(points).shape[1]
    inner = 0.5 * (np.array(difference(points, edges)) + size)  # ‖D‖² = 2 D·(ŝ − g) − difference
    assert len(points) > 3
    levels = inner**2 / np.where(size > 0, size, 1)
    return [*levels, levels.sum()]


def loss(points, k=1.5):
    d, ends = array(points, 2).shape[1], np.array([0.5, 2.5])
    inverse = np.diff(ends + np.log1p(-np.exp(-ends)))
    return float(difference(points, ends, k, 0.0)[0] + d * inverse[0])


SAME = (
    Variation("a function", shrink, RIGHT, True),
    Variation("a network", Net(), RIGHT, True),
    Variation("a network in float32", FunctionScore(Net(torch.float32)), RIGHT, True, 1e-5),
    Variation("a network in bfloat16", FunctionScore(Net(torch.bfloat16)), RIGHT, True, 3e-2),
    Variation("a linear field", LinearField(-1.5 * torch.eye(2).double()), RIGHT, True),
)
WRONG = (
    *(Variation(f"a {type(bad).__name__}", bad, REFUSED) for bad in (None, 1.0, "s", torch.ones(2), Net)),
    *(
        Variation(label, f, REFUSED)
        for label, f in (
            ("nan", lambda x, t: x * NAN),
            ("of one column", lambda x, t: x[:, :1]),
            ("numbers", lambda x, t: x.sum(1)),
            ("numpy arrays", lambda x, t: x.numpy()),
            ("complex", lambda x, t: x + 1j),
        )
    ),
)
HALF = "the field has two columns"


def score():
    return Input(shrink, *SAME[1:], *WRONG)


def exact():
    return Input(lambda x, t: -x, Variation("a flow", FLOW, RIGHT, True), *WRONG)


def points(**skipped):
    return Tensors(POINTS, two=FEW, **skipped)


PROCESS = Input(
    OU, *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "ou", OU.uniform_grid(3)))
)
DESIGNS = (
    Variation("plain", NoiseDesign(antithetic=False), RIGHT),
    Variation("uniform", NoiseDesign(uniform_times, 8, 3), RIGHT),
    Variation("None", None, RIGHT),
    *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (1.0, "paired", NoiseDesign, uniform_times)),
    Variation("times that are none", NoiseDesign(lambda process, u: u), REFUSED),
    Variation("too few times", NoiseDesign(lambda process, u: uniform_times(process, u[..., :1])), REFUSED),
)
BASES = (
    Variation("radial too", Together((Polynomials(2), RadialFunctions(10))), RIGHT),
    Variation("of degree three", Polynomials(3), RIGHT),
    *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "polynomials", Polynomials)),
    Variation("of points alone", lambda x: lambda y: y, REFUSED),
    Variation("without gradients", lambda x: lambda y: (y, y), REFUSED),
)


def monomials(degree, x, at=AT):
    """Values and gradients at two places, by enumeration."""
    x, at = array(x, 2), array(at, 2)
    assert at.shape[1] == 2
    assert not isinstance(degree, bool)
    assert degree >= 1
    assert len(x) > 1
    assert x.shape[1] == 2
    m, s = x.mean(0), x.std(0)
    z, s = (at - m) / np.where(s > 0, s, 1), np.where(s > 0, s, 1)
    values, slopes = [np.ones(len(at))], [np.zeros(at.shape)]
    for k in range(1, int(degree) + 1):
        for chosen in combinations_with_replacement(range(2), k):
            p, r = chosen.count(0), chosen.count(1)
            values.append(z[:, 0] ** p * z[:, 1] ** r)
            first = p * z[:, 0] ** max(p - 1, 0) * z[:, 1] ** r / s[0]
            slopes.append(np.stack([first, r * z[:, 0] ** p * z[:, 1] ** max(r - 1, 0) / s[1]], 1))
    return [np.stack(values, 1), np.stack(slopes, 1)]


def bumps(count, reach, x):
    x, at = array(x, 2), AT.numpy()
    assert not isinstance(count, bool)
    assert x.shape[1] == 2
    assert 2 <= count <= len(x)
    c = x[: int(count)]
    apart = np.sqrt(((c[:, None] - c) ** 2).sum(2)) + np.diag(np.full(len(c), np.inf))
    h = float(reach) * apart.min(1).mean()
    assert h > 0
    gap = (c - at[:, None]) / h
    value = np.exp(-0.5 * (gap**2).sum(2))
    return [value, value[..., None] * gap / h]


def potential(x, coefficients):
    value, slope = monomials(1, FOUR, x)
    c = array(coefficients, 1)
    assert c.shape == (3,)
    return [value @ c, np.einsum("njd,j->nd", slope, c)]


def averages(edges, draws):
    edges, draws = spans(edges), array(draws, 2)
    assert len(draws) > 1
    assert draws.shape[1] == len(edges) - 1
    return [*draws.mean(0), *(draws.mean(0) / np.diff(edges)), draws.sum(1).mean()]


def read(found):
    return [*found.levels, found.total]


def values(found):
    return [one.value for one in (*found.levels, *found.densities, found.total)]


def widths(n, edges, least=2):
    assert n >= least
    edges = spans(edges)
    assert edges[0] > 0.5 - 1e-6
    assert edges[-1] < 2.5 + 1e-6
    return [*(0.5 * np.diff(edges)), 0.5 * (edges[-1] - edges[0])]


def parts(found):
    return [*found.energy.levels, found.energy.total, found.least, found.most]


def counts(n):
    return Counts(n, **dict.fromkeys("123", FEW))


def enough(n, value, least=1):
    assert n >= least
    return value


PAIR = {"first": score(), "second": exact(), "points": points(), "generator": Seeded(30)}

ENTRIES = [
    Entry(
        "observability.denoising_loss",
        lambda score, points, process, generator: observability.denoising_loss(
            score, points, process, generator=generator
        ),
        {"score": score(), "points": points(), "process": PROCESS, "generator": Seeded(30)},
        lambda score, points, process, generator: loss(points),
    ),
    Entry(
        "observability.loss_difference",
        lambda first, second, points, process, generator: observability.loss_difference(
            first, second, points, process, generator=generator
        ),
        PAIR | {"process": PROCESS},
        lambda first, second, points, process, generator: difference(points, [0.5, 2.5])[0],
    ),
    Entry(
        "observability.loss_difference.design",
        lambda design, batch: observability.loss_difference(
            shrink, FLOW, POINTS, OU, generator=seed(30), design=design, batch=batch
        ),
        {"design": Input(NoiseDesign(), *DESIGNS), "batch": Counts(4000)},
        lambda design, batch: enough(batch, difference(POINTS, [0.5, 2.5])[0]),
    ),
    Entry(
        "observability.empirical_loss_difference",
        lambda first, second, points, process, generator: observability.empirical_loss_difference(
            first, second, points, process, generator=generator
        ),
        PAIR | {"points": points(one=FEW), "process": PROCESS},
        lambda first, second, points, process, generator: difference(points, [0.5, 2.5])[0],
    ),
    Entry(
        "observability.loss_difference_by_level",
        lambda first, second, points, edges, generator: read(
            observability.loss_difference_by_level(first, second, points, edges, generator=generator)
        ),
        PAIR | {"edges": Tensors(EDGES)},
        lambda first, second, points, edges, generator: (lambda d: [*d, sum(d)])(difference(points, edges)),
    ),
    Entry(
        "observability.energy_by_level",
        lambda error, n, edges, generator: read(
            observability.energy_by_level(error, n, edges, generator=generator)
        ),
        {"error": error(), "n": counts(400), "edges": Tensors(EDGES), "generator": Seeded(32)},
        lambda error, n, edges, generator: widths(n, edges),
    ),
    Entry(
        "observability.energy_bound",
        lambda first, second, points, edges, generator: read(
            observability.energy_bound(first, second, points, edges, generator=generator)
        ),
        PAIR | {"edges": Tensors(EDGES)},
        lambda first, second, points, edges, generator: along(points, edges),
    ),
    Entry(
        "observability.energy_bound.design",
        lambda design, batch: (
            observability.energy_bound(
                shrink, FLOW, POINTS, EDGES, generator=seed(30), design=design, batch=batch
            ).total
        ),
        {"design": Input(NoiseDesign(), *DESIGNS), "batch": Counts(4000)},
        lambda design, batch: enough(batch, along(POINTS, EDGES)[-1]),
    ),
    Entry(
        "observability.EnergyByLevel",
        lambda edges, draws: values(EnergyByLevel.from_draws(edges, draws)),
        {"edges": Tensors(EDGES), "draws": Tensors(POINTS)},
        averages,
    ),
    Entry(
        "observability.NoiseDesign",
        lambda strata, noises: NoiseDesign(strata=strata, noises=noises).cost,
        {"strata": Counts(4), "noises": Counts(2)},
        lambda strata, noises: enough(min(strata, noises), 2 * strata * noises),
    ),
    Entry(
        "observability.NoiseDesign.times",
        lambda times: NoiseDesign(times).cost,
        {
            "times": Input(
                uniform_times,
                *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "log")),
            )
        },
    ),
    Entry(
        "observability.Polynomials",
        lambda degree, x: Polynomials(degree)(x)(AT.to(x.dtype)),
        {"degree": Counts(2), "x": Tensors(FOUR, numpy="no x.dtype", list="no x.dtype")},
        monomials,
    ),
    Entry(
        "observability.RadialFunctions",
        lambda count, reach, x: RadialFunctions(count, reach)(x)(AT),
        {"count": Counts(3), "reach": Numbers(2.0), "x": Tensors(FOUR)},
        bumps,
        single=None,
    ),
    Entry(
        "observability.Together",
        lambda parts: Together(parts)(FOUR)(AT),
        {
            "parts": Input(
                (Polynomials(1), Polynomials(2)),
                Variation("a list", [Polynomials(1), Polynomials(2)], RIGHT, True),
                *(
                    Variation(f"{type(b).__name__} {b}"[:30], b, REFUSED)
                    for b in (None, 1.0, "both", (), (1.0,), Polynomials(2))
                ),
            )
        },
        lambda parts: [
            np.concatenate(both, 1) for both in zip(monomials(1, FOUR), monomials(2, FOUR), strict=True)
        ],
    ),
    Entry(
        "observability.Potential",
        lambda x, coefficients: (lambda phi: [phi(x), phi.gradient(x)])(
            observability.Potential(Polynomials(1)(FOUR), coefficients)
        ),
        {"coefficients": Tensors(tensor(0.5, -1.0, 2.0)), "x": Tensors(AT)},
        potential,
        single=None,
    ),
    Entry(
        "observability.split_by_potentials",
        lambda error, n, edges, generator: parts(
            observability.split_by_potentials(error, Polynomials(2), n, edges, generator=generator)
        ),
        {"error": error(), "n": counts(400), "edges": Tensors(EDGES), "generator": Seeded(33)},
        lambda error, n, edges, generator: [*widths(n, edges, 6), 1.0, 1.0],
        rtol=1e-6,
        single=1e-3,
    ),
    Entry(
        "observability.split_by_potentials.basis",
        lambda basis, batch: parts(
            observability.split_by_potentials(ERROR, basis, 400, EDGES, generator=seed(33), batch=batch)
        ),
        {"basis": Input(Polynomials(2), *BASES), "batch": Counts(300, **dict.fromkeys("123", "slow"))},
        lambda basis, batch: enough(batch, [0.25, 0.75, 1.0, 1.0, 1.0]),
        rtol=1e-3,
    ),
    Entry(
        "observability.split_in_plane",
        lambda error, nodes, t: (lambda found: [found.gradient, found.rotational, found.share])(
            observability.split_in_plane(error, nodes, t)
        ),
        {"error": error(), "nodes": Tensors(NODES), "t": Numbers(1.0)},
        lambda error, nodes, t: (0.5 <= t <= 2.5 or 1 / 0) and [0.5, 0.0, 1.0],
        rtol=1e-6,
        single=1e-3,
    ),
]
