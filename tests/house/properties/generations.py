"""Generations: recursions, how their errors add up, what is forgotten."""

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

from properties.laws import M, V, W, X, at_least_one, draws, kernels_at, late, mixture_at
from scoredrift import Estimate, EulerMaruyama, Gaussian, GaussianMixture, OrnsteinUhlenbeck, generations
from scoredrift.generations import (
    Accumulate,
    FreshFraction,
    Generation,
    GenerationStep,
    History,
    KernelFit,
    Memory,
    NormalStartFit,
    Replace,
    Resampling,
    SimulatedKernelFit,
    SimulatedModel,
)

EXEMPT = {
    "generations.Contributions": "a tuple of results, without arithmetic",
    "generations.Fit": "a protocol",
    "generations.LawGeneration": "a tuple of results, without arithmetic",
    "generations.Measured": "a type",
    "generations.Regime": "a protocol",
    "generations.SampledStep": "a tuple of results, without arithmetic",
}


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

ENTRIES = [
    Entry(
        "generations.decompose",
        lambda data, model, next_model, alpha: generations.decompose(data, model, next_model, alpha=alpha),
        {"data": Tensors(P), "model": Tensors(P1), "next_model": Tensors(P2), **ALPHA},
        decomposed,
        single=1e-6,
    ),
    Entry(
        "generations.gram",
        lambda data, model: generations.gram(data, [data, model]),
        {"data": Tensors(P), "model": Tensors(P1)},
        lambda data, model: (lambda p, m: np.array([[0, 0], [0, ((m - p) ** 2 / some(p)).sum()]]))(
            *cells(data, model)
        ),
        single=1e-6,
    ),
    Entry(
        "generations.gram.models",
        lambda models: generations.gram(P, models),
        {
            "models": Input(
                [P1],
                Variation("a tuple", (P1,), RIGHT, True),
                Variation("a matrix", P1[None], EITHER, True),
                *(
                    Variation(f"{type(b)} {b}"[:30], b, REFUSED)
                    for b in ([], None, 1.0, "x", [None], [P1, P1[:2]])
                ),
            )
        },
        lambda models: np.array([[0.375]]),
    ),
    Entry(
        "generations.steps",
        lambda products, alpha: [[s.forcing, s.cross] for s in generations.steps(products, alpha=alpha)],
        {"products": Tensors(GRAM), **ALPHA},
        stepped,
    ),
    Entry(
        "generations.contributions",
        lambda products, alpha: (lambda c: [list(map(float, c.exact)), c.start, c.total])(
            generations.contributions(products, alpha=alpha)
        ),
        {"products": Tensors(GRAM), **ALPHA},
        contributed,
    ),
    Entry(
        "generations.GenerationStep",
        lambda before, forcing, cross: GenerationStep(0.5, before, 1.0, forcing, cross).coherence,
        {
            "before": Numbers(4.0, inf=IS_NAN),
            "forcing": Numbers(0.25, inf=IS_NAN),
            "cross": Numbers(0.5, nan=IS_NAN, inf=IS_NAN),
        },
        lambda before, forcing, cross: (
            lambda b, f: finite_number(cross) / math.sqrt(b) / math.sqrt(f) if b and f else 0.0
        )(*sizes(before, forcing)),
    ),
    Entry(
        "generations.refreshed",
        generations.refreshed,
        {"divergence": Numbers(2.0), **ALPHA},
        lambda divergence, alpha: (lambda d, a: 0.0 if a == 1 else (1 - a) ** 2 * d)(
            sizes(divergence)[0], fraction(alpha)
        ),
    ),
    Entry(
        "generations.discounted",
        lambda start, forcings, alpha, coherence: generations.discounted(
            start, forcings, alpha=alpha, coherence=coherence
        ),
        {
            "start": Numbers(0.5),
            "forcings": Input(
                [1.0, 0.5],
                Variation("a tuple", (1.0, 0.5), RIGHT, True),
                Variation("an array", np.array([1.0, 0.5]), RIGHT, True),
                Variation("a tensor", tensor(1.0, 0.5), EITHER, True),
                Variation("empty", [], RIGHT),
                *(Variation(f"{b}"[:12], b, REFUSED) for b in (None, 1.0, "x", [None], [NAN], [-1.0], ["a"])),
            ),
            **ALPHA,
            "coherence": Numbers(0.5),
        },
        discounted,
    ),
    Entry(
        "generations.steady_state",
        lambda forcing, alpha, coherence: generations.steady_state(forcing, alpha=alpha, coherence=coherence),
        {"forcing": Numbers(0.5), **ALPHA, "coherence": Numbers(0.5)},
        steady,
    ),
    Entry(
        "generations.half_life",
        generations.half_life,
        ALPHA,
        lambda alpha: 0.0 if alpha == 1 else math.log(2) / -math.log1p(-fraction(alpha)),
    ),
    Entry(
        "generations.divergence_floor",
        lambda innovation, alpha: generations.divergence_floor(innovation, alpha=alpha),
        {"innovation": Numbers(0.5), **ALPHA},
        lambda innovation, alpha: fraction(alpha) * finite(innovation) / (2 - float(alpha)) ** 2,
    ),
    Entry(
        "generations.paper_floor",
        lambda eta, energy, alpha: generations.paper_floor(eta, energy, alpha=alpha),
        {"eta": Numbers(0.5), "energy": Numbers(8.0), **ALPHA},
        lambda eta, energy, alpha: (
            fraction(alpha)
            * (late(eta) if eta <= 1 and not isinstance(eta, bool) else 1 / 0)
            * finite(energy)
            / 16
            / (1 + (1 - float(alpha)) ** 2)
        ),
    ),
    Entry(
        "generations.histogram_divergence",
        lambda cells, draws, alpha, generation: generations.histogram_divergence(
            cells, draws, alpha=alpha, generation=generation
        ),
        {"cells": Counts(10), "draws": Counts(100), **ALPHA, "generation": Counts(5)},
        retrained,
    ),
    Entry(
        "generations.histogram_recursion",
        histogram,
        {
            "data": Tensors(P),
            "draws": Counts(50),
            **ALPHA,
            "generations": Counts(3),
            "runs": Counts(
                400, **{"1": "one run has no error", "2": "two have none", "3": "three have none"}
            ),
            "generator": Seeded(1),
        },
        lambda data, draws, alpha, generations, runs, generator: (
            (runs >= 1 or 1 / 0) * retrained(len(some(*cells(data))), draws, alpha, generations)
        ),
        single=None,
    ),
    Entry(
        "generations.step_from_samples",
        sampled,
        {
            "data": Tensors(FEATURES[0]),
            "model": Tensors(FEATURES[1] + 0.5, zeros=ATOM, all_1e30=ATOM),
            "next_model": Tensors(FEATURES[2] + 1.0, zeros=ATOM, all_1e30=ATOM),
            **ALPHA,
        },
        samples,
    ),
    Entry(
        "generations.gaussian_fit",
        lambda data: (lambda g: [g.mean, g.covariance])(generations.gaussian_fit(data, generator=None)),
        {"data": Tensors(X)},
        lambda data: fitted(data),
    ),
    Entry(
        "generations.KernelFit",
        lambda data, bandwidth: KernelFit(bandwidth, OU)(data, generator=None).at(
            X.to(data.dtype) if isinstance(data, torch.Tensor) and data.is_floating_point() else X
        ),
        {"data": Tensors(M, all_1e30="plain arithmetic has no digits left there"), "bandwidth": Numbers(0.5)},
        lambda data, bandwidth: kernels_at(
            A0 * array(data, 2), math.sqrt(A0**2 * positive(bandwidth) ** 2 + V0), None, X
        ),
    ),
    Entry(
        "generations.KernelFit.limit",
        lambda law: KernelFit(0.5, OU).limit(law).at(X),
        {"law": Input(MIXTURE, *NO_LAW)},
        lambda law: mixture_at(W, A0 * M, A0**2 * (V + 0.25) + V0, X),
    ),
    *(
        Entry(
            f"generations.{kind.__name__}.process",
            lambda process, kind=kind: str(kind(0.5, process)),
            {"process": Input(OU, *NO_PROCESS)},
            lambda process, kind=kind: str(kind(0.5, OU)),
        )
        for kind in (KernelFit, NormalStartFit, SimulatedKernelFit)
    ),
    Entry(
        "generations.NormalStartFit",
        drawn(NormalStartFit),
        {
            "data": Tensors(0.25 * M, one_1e30=START, all_1e30=START),
            "bandwidth": Numbers(0.5, **dict.fromkeys(("1e+30", "2.0", "1e-30", "1e-200"), START)),
            "generator": Seeded(2),
        },
        lambda data, bandwidth, generator: kernel_moments(data, positive(bandwidth)),
        single=None,
        rtol=0.05,
    ),
    Entry(
        "generations.NormalStartModel",
        lambda n, generator: draws(NormalStartFit(0.5, OU)(0.25 * M, generator=None), n, generator),
        {"n": Counts(400), "generator": Seeded(3)},
        lambda n, generator: at_least_one(n) and kernel_moments(0.25 * M, 0.5),
        rtol=0.05,
    ),
    Entry(
        "generations.SimulatedKernelFit",
        lambda data, bandwidth, steps, generator: draws(
            SimulatedKernelFit(bandwidth, OU, steps)(data, generator=generator), 400, generator
        ),
        {
            "data": Fixed(0.25 * M),
            "bandwidth": Numbers(0.5, **dict.fromkeys(("1e+30", "2.0", "1e-30", "1e-200"), START)),
            "steps": Counts(60, **dict.fromkeys("123", "too coarse to be near the law")),
            "generator": Seeded(4),
        },
        lambda data, bandwidth, steps, generator: (
            at_least_one(steps),
            kernel_moments(data, positive(bandwidth)),
        )[1],
        single=None,
        rtol=0.15,
    ),
    Entry(
        "generations.SimulatedModel",
        lambda score, grid, integrator, n, generator: draws(
            SimulatedModel(score, grid, integrator, torch.zeros(2).double()), n, generator
        ),
        {
            "score": Input(lambda x, t: -x, *NO_LAW),
            "grid": Tensors(OU.uniform_grid(20)),
            "integrator": Input(EulerMaruyama(), *NO_LAW),
            "n": Counts(400, **dict.fromkeys("123", "slow, and in the table of the laws")),
            "generator": Seeded(5),
        },
        lambda score, grid, integrator, n, generator: (at_least_one(n), falling(grid), [0.0, 1.0, 0.0, 1.0])[
            2
        ],
        rtol=0.08,
        single=None,
    ),
    Entry(
        "generations.Memory",
        lambda data, process: draws(
            Memory(process)(data, generator=None), 400, torch.Generator().manual_seed(6)
        ),
        {"data": Tensors(M), "process": Input(OU, NO_PROCESS[1], NO_PROCESS[2])},
        lambda data, process: kernel_moments(data, 0.0),
        single=None,
    ),
    Entry(
        "generations.Resampling",
        lambda points, n, generator: draws(Resampling(points), n, generator),
        {"points": Tensors(M), "n": Counts(400), "generator": Seeded(7)},
        lambda points, n, generator: at_least_one(n) and list(second(array(points, 2))),
        single=None,
    ),
    Entry(
        "generations.FreshFraction",
        lambda alpha: Estimate.from_samples(
            FreshFraction(alpha).training_set(
                lambda n: torch.ones(n, 1).double(),
                torch.zeros(2000, 1).double(),
                None,
                generator=torch.Generator().manual_seed(8),
            )[:, 0]
        ),
        ALPHA,
        fraction,
    ),
    Entry(
        "generations.FreshFraction.law",
        lambda regime, law: regime.training_law(MIXTURE, law, None, 0).at(X),
        {"regime": Fixed(FreshFraction(0.5)), "law": Laws(MIXTURE.blur(1.0))},
        lambda regime, law: mixture_at(torch.cat([W, W]) / 2, torch.cat([M, M]), torch.cat([V, V + 1]), X),
        single=None,
    ),
    Entry(
        "generations.Replace",
        lambda law: Replace().training_law(MIXTURE, law, None, 0).at(X),
        {"law": Fixed(MIXTURE.blur(1.0))},
        lambda law: mixture_at(W, M, V + 1, X),
    ),
    Entry(
        "generations.Accumulate",
        lambda past, law: Accumulate().training_law(MIXTURE, law, past, 0).at(X),
        {"past": Input(MIXTURE, Variation("None", None, REFUSED)), "law": Laws(MIXTURE.blur(1.0))},
        lambda past, law: mixture_at(torch.cat([W, W]) / 2, torch.cat([M, M]), torch.cat([V, V + 1]), X),
        single=None,
    ),
    Entry(
        "generations.law_of_training",
        lambda regime, index: generations.law_of_training(
            regime, MIXTURE, lambda i: MIXTURE.blur(1.0), index
        ).at(X),
        {"regime": Input(Replace(), *NO_LAW), "index": Counts(1)},
        lambda regime, index: (
            mixture_at(W, M, V + 1 if index else V, X) if index >= 0 and index == int(index) else 1 / 0
        ),
    ),
    Entry(
        "generations.recurse_laws",
        lambda learn, target, regime, count: generations.recurse_laws(
            learn, target, regime=regime, generations=count
        )[-1].model.at(X),
        {
            "learn": Input(lambda law: law.blur(1.0), *NO_LAW),
            "target": Input(MIXTURE, *NO_LAW),
            "regime": Input(Replace(), *NO_LAW),
            "count": Counts(2),
        },
        lambda learn, target, regime, count: mixture_at(W, M, V + 1 + (count if count >= 0 else 1 / 0), X),
    ),
    Entry(
        "generations.recurse",
        lambda generations, size: means_of(generations=generations, size=size),
        {
            "generations": Counts(2),
            "size": Counts(20, **dict.fromkeys("123", "two points or three do not settle a variance")),
        },
        shrunk,
    ),
    Entry(
        "generations.recurse.parts",
        lambda fit, target, regime: recursed(fit=fit, target=target, regime=regime, measure=spread_of).keys(),
        {
            "fit": Input(
                fit_gaussian,
                *WORDS,
                Variation("a fit that fits nothing", lambda data, *, generator: None, REFUSED),
                Variation("a model of one point", lambda data, *, generator: Resampling(data[:0]), REFUSED),
            ),
            "target": Input(LINE, *WORDS),
            "regime": Input(Replace(), *WORDS),
        },
        lambda fit, target, regime: ["variance"],
    ),
    Entry(
        "generations.recurse.measure",
        lambda measure: recursed(measure=measure).keys(),
        {"measure": Input(spread_of, *WORDS[1:], *BAD_MEASURES)},
        lambda measure: ["variance"],
    ),
    Entry(
        "generations.recurse.seed",
        lambda seed, device: recursed(seed=seed, device=device, measure=spread_of)["variance"],
        {
            "seed": Counts(
                1, Variation("a tuple", (1,), EITHER, True), **dict.fromkeys("0123", "another draw")
            ),
            "device": Input(
                "cpu",
                Variation("a device", torch.device("cpu"), RIGHT, True),
                *(Variation(str(b), b, REFUSED) for b in ("nowhere", "cuda:7", "meta", 1.5)),
            ),
        },
        None,
    ),
    Entry(
        "generations.History",
        lambda name: (
            History(({"a": tensor(1.0)}, {"a": tensor(2.0)}), X)["a"]
            if name is None
            else len(History(({"a": tensor(1.0)},), X))
        ),
        {"name": Fixed("a")},
        lambda name: 1,
    ),
    Entry(
        "generations.Generation",
        lambda index: str(Generation(index, X, LINE, X, torch.Generator(), None)),
        {"index": Fixed(0)},
        lambda index: "Generation(0: trained on [5, 2], drawn [5, 2], model Gaussian)",
    ),
]


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
