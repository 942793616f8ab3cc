"""Paths: integrators, energies, ratios, audits."""

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
    Input,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.scores import Net, shrink
from scoredrift import Estimate, Flow, Gaussian, OrnsteinUhlenbeck, paths
from scoredrift.paths import (
    Ancestral,
    Energy,
    EulerMaruyama,
    ExponentialIntegrator,
    HeunFlow,
    LogRatio,
    Martingale,
    PathRatios,
    Step,
    Trajectory,
)
from scoredrift.process import log_uniform_times
from scoredrift.scores import ConstantField, FunctionScore, LinearField, ScaledField, ScoreDifference

EXEMPT = {
    "paths.Finding": "a tuple of results, without arithmetic",
    "paths.Functional": "a protocol",
    "paths.GeneratedLaw": "a tuple of results, without arithmetic",
    "paths.Integrator": "a protocol",
    "paths.Step": "a tuple of inputs, that the functionals look at",
    "paths.StochasticIntegrator": "a protocol",
    "paths.VectorField": "a type",
}


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def normal(dim=2, variance=1.0, dtype=torch.float64):
    return Gaussian(torch.zeros(dim, dtype=dtype), variance * torch.eye(dim, dtype=dtype))


X = torch.randn(5, 2, generator=torch.Generator().manual_seed(10), dtype=torch.float64)
NOISE = torch.randn(5, 2, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
OU = OrnsteinUhlenbeck(0.5, 2.5)
FLOW, WIDE, LINE = Flow(normal(), OU), Flow(normal(variance=1.5), OU), Flow(normal(1), OU)
L = OU.duration
GRID = OU.uniform_grid(4)
FINE = OU.uniform_grid(40)
FEW = "two draws have a mean, but no standard error to hold it against"
FAR = "a step that leaves the range of numbers, which simulate refuses"


def unseen(x, t):
    return shrink(x.detach(), t)


# e = −½ x on N(0, I₂), written in many ways: ε*² = ¼ d L = 1, η = 2 (1 − e^{−L})²/L.
ERROR = FLOW.error(FunctionScore(shrink))
EQUAL = (
    Variation("a network", FLOW.error(FunctionScore(Net())), RIGHT, True),
    Variation("a network in float32", FLOW.error(FunctionScore(Net(torch.float32))), RIGHT, True, 1e-5),
    Variation("a network in bfloat16", FLOW.error(FunctionScore(Net(torch.bfloat16))), RIGHT, True, 3e-2),
    Variation("a linear field", FLOW.inject(LinearField(-0.5 * torch.eye(2).double())), RIGHT, True),
    Variation("a scaled field", FLOW.inject(ScaledField(-0.5, FunctionScore(lambda x, t: x))), RIGHT, True),
    Variation("a sum", FLOW.inject(0.5 * FunctionScore(lambda x, t: -x)), RIGHT, True),
)
NOT_ONE = tuple(
    Variation(f"a {type(bad).__name__}", bad, REFUSED)
    for bad in (None, 1.0, "e", shrink, Net(), FLOW, torch.ones(2))
)
BROKEN = tuple(
    Variation(label, FLOW.inject(FunctionScore(f)), REFUSED)
    for label, f in (
        ("nan", lambda x, t: x * NAN),
        ("inf", lambda x, t: x + INF),
        ("of one column", lambda x, t: x[:, :1]),
        ("numbers", lambda x, t: x.sum(1)),
        ("numpy arrays", lambda x, t: x.detach().numpy()),
        ("nothing", lambda x, t: None),
        ("complex", lambda x, t: x + 1j),
        ("of another dimension", ConstantField(torch.ones(3).double())),
        ("in float32", ConstantField(torch.ones(2))),
    )
)
HIDDEN = (Variation("without a graph", FLOW.error(FunctionScore(unseen)), EITHER, True),)
UNKNOWN = (
    Variation(
        "against a score of unknown law",
        ScoreDifference(FunctionScore(shrink), FunctionScore(lambda x, t: -x)),
        REFUSED,
    ),
)
BARE = (
    Variation("with a bare network", FLOW.error(Net()), EITHER, True),
    Variation("with None", FLOW.error(None), REFUSED),
    Variation("with a number", FLOW.inject(1.0), REFUSED),
)


class Errors(Input):
    """An error in float64."""

    def single(self):
        return Flow(normal(dtype=torch.float32), OU).error(FunctionScore(shrink))


def error(**skipped):
    return Errors(ERROR, *EQUAL, *NOT_ONE, *BROKEN, *HIDDEN, *UNKNOWN, *BARE, **skipped)


STEPS = (EulerMaruyama(), ExponentialIntegrator(), Ancestral(), HeunFlow())
NO_STEP = tuple(
    Variation(f"a {type(bad).__name__}", bad, REFUSED) for bad in (1.0, "euler", torch.ones(2), EulerMaruyama)
)
GRIDS = (
    Variation("reversed", GRID.flip(0), REFUSED),
    Variation("one time twice", tensor(2.5, 2.5, 0.5), REFUSED),
    Variation("of one time", tensor(2.5), REFUSED),
    Variation("with a time below zero", tensor(2.5, -0.5), REFUSED),
)


def grid(plain=GRID):
    return Tensors(plain, *GRIDS)


def seed(n):
    return torch.Generator().manual_seed(n)


def linear_step(method, x, t, t_next, noise):
    """One step for s = −1.5 x, from the formulas of the methods."""
    x, noise, d = array(x, 2), array(noise, 2), t - t_next
    assert 0 <= t_next < t < INF
    assert x.shape == noise.shape
    s = -1.5
    if isinstance(method, EulerMaruyama):
        return x * (1 + (0.5 + s) * d) + math.sqrt(d) * noise
    if isinstance(method, ExponentialIntegrator):
        return x * (math.exp(d / 2) + 2 * math.expm1(d / 2) * s) + math.sqrt(math.expm1(d)) * noise
    if isinstance(method, HeunFlow):
        k = 0.5 * (1 + s)
        return x * (1 + d * k + 0.5 * (d * k) ** 2)
    v, v_next, v_gap = (-math.expm1(-u) for u in (t, t_next, d))
    datum = x * (1 + v * s) / math.exp(-t / 2)
    mean = (math.exp(-t_next / 2) * v_gap * datum + math.exp(-d / 2) * v_next * x) / v
    return mean + math.sqrt(v_next * v_gap / v) * noise


def spans(grid, low=None):
    g = array(grid, 1)
    assert len(g) > 1
    assert (np.diff(g) < 0).all()
    assert g[-1] >= 0
    if low:
        assert abs(g[0] - 2.5) < 1e-6
        assert abs(g[-1] - 0.5) < 1e-6
    return g


def walk(x, grid, generator, functional=None):
    """Euler–Maruyama for s = −1.5 x, in numpy."""
    y, g = array(x, 2), spans(grid)
    states, martingale, energy = [y], 0.0, 0.0
    for t, t_next in zip(g[:-1], g[1:], strict=True):
        noise = array(torch.randn(x.shape, generator=generator, dtype=x.dtype))
        e = -0.5 * y
        martingale = martingale + (e * noise).sum(1) * math.sqrt(t - t_next)
        energy = energy + (e**2).sum(1) * (t - t_next)
        y = linear_step(EulerMaruyama(), y, t, t_next, noise)
        states.append(y)
    return np.array(states), martingale, energy


def run(make, read, integrator=EulerMaruyama()):
    def call(x, grid, generator):
        functional = make()
        paths.simulate(shrink, x, grid, integrator, generator=generator, functionals=[functional])
        return read(functional)

    return call


def e(x, t):
    return -0.5 * x


PATH = {"x": Tensors(X), "grid": grid(), "generator": Seeded(2)}


def enough(n, value, least=2):
    assert n >= least
    return value


def held_energy_right(grid):
    """Exact score on N(0, I₂): b̂ − b = −½ (X_held − X), so ∫ ½ d (1 − e^{−(held − t)/2}) dt."""
    g = spans(grid, 0.5)
    return float(sum((t - n) - 2 * -math.expm1(-(t - n) / 2) for t, n in zip(g[:-1], g[1:], strict=True)))


def wide_energy(on_learned):
    """e = −x/s_t + x with s_t = 1 + ½ e^{−t}: ∫ d (1 − 1/s)² E x² dt."""
    t = np.linspace(0.5, 2.5, 20001)
    s = 1 + 0.5 * np.exp(-t)
    f = 2 * (1 - 1 / s) ** 2 * (s if on_learned else 1)
    return float(np.trapezoid(f, t))


def ratio(draws):
    """E e^Z, and the energy."""
    return [
        Estimate.from_samples(draws.log_ratio.double().exp()),
        Estimate.from_samples(draws.bracket.double()),
    ]


def rest(log_ratio, bracket):
    z, b = array(log_ratio, 1), array(bracket, 1)
    assert z.shape == b.shape
    assert len(z) >= 100
    assert (b >= 0).all()
    f = (np.exp(z) - 1 - z - 0.5 * b) ** 2
    assert np.isfinite(f).all()
    return Estimate(float(f.mean()), 0.0)


def audited(log_ratios, brackets):
    z, b = array(log_ratios, 1), array(brackets, 1)
    assert z.shape == b.shape
    assert len(z) >= 100
    assert (b >= 0).all()
    assert b.any()
    assert np.isfinite(np.exp(z)).all()
    return [float(np.exp(z).mean()), float(b.mean()), float(((b / b.mean()) ** 2).mean())]


NODES = torch.linspace(-8, 8, 201, dtype=torch.float64)
DENSITY = torch.exp(-0.5 * NODES**2) / math.sqrt(2 * math.pi)
DRAWS = torch.randn(200, generator=seed(12), dtype=torch.float64)
ON = [NODES, DENSITY]


def evolved(density, nodes, grid):
    """Variance of the law after the steps: density has to be N(0, 1) on nodes that cover it."""
    p, x, g = array(density, 1), array(nodes, 1), spans(grid)
    assert len(x) > 1
    h = x[1] - x[0]
    assert h > 0
    assert np.allclose(np.diff(x), h)
    assert p.shape == x.shape
    assert (p >= 0).all()
    assert abs(p.sum() * h - 1) < 1e-6
    assert h < math.sqrt(min(-np.diff(g)))
    mean, variance = (p * x).sum() * h, (p * x**2).sum() * h
    for t, t_next in zip(g[:-1], g[1:], strict=True):
        slope = 1 - 0.5 * (t - t_next)
        mean, variance = slope * mean, slope**2 * variance + (t - t_next)
    assert abs(mean) + 5.5 * math.sqrt(variance) < x[-1]
    return float(variance)


ENTRIES = [
    *(
        Entry(
            f"paths.{type(method).__name__}",
            lambda score, x, t, t_next, noise, method=method: method.step(score, x, t, t_next, noise),
            {
                "score": Input(
                    shrink,
                    Variation("network", Net(), RIGHT, True),
                    *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "s")),
                    Variation("of one column", lambda x, t: x[:, :1], REFUSED),
                ),
                "x": Tensors(X),
                "t": Numbers(1.0, **{"1e+30": FAR, "1e+200": FAR}),
                "t_next": Numbers(0.5),
                "noise": Tensors(NOISE),
            },
            lambda score, x, t, t_next, noise, method=method: linear_step(method, x, t, t_next, noise),
            wide={
                "d = 3072": {"x": torch.ones(2, 3072).double(), "noise": torch.ones(2, 3072).double()},
                "d = 1": {"x": X[:, :1], "noise": NOISE[:, :1]},
            },
        )
        for method in STEPS
    ),
    Entry(
        "paths.stochastic",
        lambda integrator: str(paths.stochastic(integrator)),
        {"integrator": Input(EulerMaruyama(), Variation("Heun", HeunFlow(), REFUSED), *NO_STEP)},
        lambda integrator: "EulerMaruyama()",
    ),
    Entry(
        "paths.simulate",
        lambda score, x, grid, integrator, generator: paths.simulate(
            score, x, grid, integrator, generator=generator
        ),
        {
            "score": Input(
                shrink,
                Variation("network", Net(), RIGHT, True),
                Variation("float32 network", Net(torch.float32), RIGHT, True, 1e-5),
                Variation("nan", lambda x, t: x * NAN, REFUSED),
                *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "s")),
            ),
            **PATH,
            "integrator": Input(EulerMaruyama(), Variation("None", None, REFUSED), *NO_STEP),
        },
        lambda score, x, grid, integrator, generator: walk(x, grid, generator)[0][-1],
        single=None,
        wide={"d = 3072": {"x": torch.ones(2, 3072).double()}},
    ),
    Entry(
        "paths.simulate.functionals",
        lambda functionals: paths.simulate(
            shrink, X, GRID, EulerMaruyama(), generator=seed(2), functionals=functionals
        ),
        {
            "functionals": Input(
                (),
                Variation("a list", [Trajectory()], RIGHT, True),
                *(
                    Variation(f"{b}"[:20], b, REFUSED)
                    for b in (None, 1.0, Trajectory(), [None], [Trajectory] * 1, [Trajectory()] * 2)
                ),
            )
        },
        lambda functionals: walk(X, GRID, seed(2))[0][-1],
    ),
    Entry(
        "paths.Trajectory",
        run(Trajectory, lambda f: f.states),
        PATH,
        lambda x, grid, generator: walk(x, grid, generator)[0],
        single=None,
    ),
    Entry(
        "paths.Energy",
        run(lambda: Energy(e), lambda f: f.values),
        PATH,
        lambda x, grid, generator: walk(x, grid, generator)[2],
        single=None,
    ),
    Entry(
        "paths.Martingale",
        run(lambda: Martingale(e), lambda f: f.values),
        PATH,
        lambda x, grid, generator: walk(x, grid, generator)[1],
        single=None,
    ),
    Entry(
        "paths.LogRatio",
        run(lambda: LogRatio(e), lambda f: f.values),
        PATH,
        lambda x, grid, generator: (lambda w: w[1] - 0.5 * w[2])(walk(x, grid, generator)),
        single=None,
    ),
    *(
        Entry(
            f"paths.{kind.__name__}.record",
            lambda error, x, t, t_next, noise, kind=kind: (
                lambda f: (f.record(Step(x, t, t_next, noise, x)), f.values)[1]
            )(kind(error)),
            {
                "error": Input(
                    e,
                    Variation("nan", lambda x, t: x * NAN, REFUSED),
                    Variation("one column", lambda x, t: x[:, :1], REFUSED),
                    *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "e")),
                ),
                "x": Tensors(X),
                "t": Numbers(1.0),
                "t_next": Numbers(0.5),
                "noise": Tensors(NOISE),
            },
            lambda error, x, t, t_next, noise, kind=kind: recorded(kind, x, t, t_next, noise),
        )
        for kind in (Energy, Martingale, LogRatio)
    ),
    Entry("paths.decreasing", lambda grid: np.array(paths.decreasing(grid)), {"grid": grid()}, spans),
    Entry(
        "paths.spanning",
        lambda grid, process: np.array(paths.spanning(grid, process)),
        {"grid": grid(), "process": Input(OU, *(Variation(str(b), b, REFUSED) for b in (None, 1.0, "ou")))},
        lambda grid, process: spans(grid, 0.5),
    ),
    Entry(
        "paths.exact_paths",
        lambda flow, grid, n, generator: [
            Estimate.from_samples(one.square().sum(1).double())
            for one in paths.exact_paths(flow, grid, n, generator=generator)
        ],
        {
            "flow": Input(
                FLOW, *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, normal(), shrink))
            ),
            "grid": grid(),
            "n": Counts(400, **dict.fromkeys("0123", FEW)),
            "generator": Seeded(4),
        },
        lambda flow, grid, n, generator: (
            [2.0 for t in spans(grid) if (t <= 2.5) or 1 / 0] * (1 if n > 1 else 1 // 0)
        ),
        single=None,
    ),
    Entry(
        "paths.evolve_density",
        lambda density, nodes, grid: variance_of(
            paths.evolve_density(lambda x, t: -x, density, nodes, grid, EulerMaruyama()), nodes
        ),
        {"density": Tensors(DENSITY), "nodes": Tensors(NODES), "grid": grid()},
        evolved,
        rtol=1e-6,
        single=1e-4,
    ),
    Entry(
        "paths.generate_on_nodes",
        lambda error, nodes, grid: (lambda f: [variance_of(f.density, nodes), f.energy])(
            paths.generate_on_nodes(error, nodes, grid)
        ),
        {
            "error": Errors(
                LINE.inject(LinearField(-0.5 * torch.eye(1).double())),
                *NOT_ONE,
                Variation("on a plane", ERROR, REFUSED),
                Variation("nan", LINE.inject(FunctionScore(lambda x, t: x * NAN)), REFUSED),
            ),
            "nodes": Tensors(NODES),
            "grid": grid(FINE),
        },
        lambda error, nodes, grid: generated(nodes, grid),
        rtol=1e-5,
        single=None,
    ),
    Entry(
        "paths.ideal_energy",
        lambda error, n, generator: paths.ideal_energy(error, n, generator=generator),
        {"error": error(), "n": Counts(400, **dict.fromkeys("123", FEW)), "generator": Seeded(5)},
        lambda error, n, generator: enough(n, 0.5 * L),
    ),
    Entry(
        "paths.ideal_energy.times",
        lambda times: paths.ideal_energy(ERROR, 400, generator=seed(5), times=times),
        {
            "times": Input(
                log_uniform_times,
                *(Variation(f"a {type(b).__name__}", b, REFUSED) for b in (None, 1.0, "log")),
            )
        },
        lambda times: 0.5 * L,
    ),
    Entry(
        "paths.learned_energy",
        lambda error, n, generator: paths.learned_energy(error, n, generator=generator),
        {
            "error": Input(FLOW.error(WIDE), *NOT_ONE, Variation("of no flow", ERROR, REFUSED)),
            "n": Counts(400, **dict.fromkeys("123", FEW)),
            "generator": Seeded(6),
        },
        lambda error, n, generator: enough(n, wide_energy(True)),
    ),
    Entry(
        "paths.held_energy",
        lambda error, grid, integrator, n, generator: paths.held_energy(
            error, grid, integrator, n, generator=generator
        ),
        {
            "error": Input(FLOW.error(FLOW), *NOT_ONE),
            "grid": grid(),
            "integrator": Input(
                EulerMaruyama(),
                Variation("Heun", HeunFlow(), REFUSED),
                Variation("None", None, REFUSED),
                *NO_STEP,
            ),
            "n": Counts(400, **dict.fromkeys("123", FEW)),
            "generator": Seeded(7),
        },
        lambda error, grid, integrator, n, generator: enough(n, held_energy_right(grid)),
        single=None,
    ),
    Entry(
        "paths.exact_ratios",
        lambda error, n, grid, generator: ratio(paths.exact_ratios(error, n, grid, generator=generator)),
        {
            "error": Input(FLOW.error(WIDE), *NOT_ONE, Variation("of no flow", ERROR, REFUSED)),
            "n": Counts(400, **dict.fromkeys("0123", FEW)),
            "grid": grid(FINE),
            "generator": Seeded(8),
        },
        lambda error, n, grid, generator: enough(n, (spans(grid, 0.5), [1.0, wide_energy(False)])[1]),
        rtol=1e-2,
        single=None,
    ),
    Entry(
        "paths.simulated_ratios",
        lambda error, n, grid, generator: ratio(paths.simulated_ratios(error, n, grid, generator=generator)),
        {
            "error": error(),
            "n": Counts(400, **dict.fromkeys("0123", FEW)),
            "grid": grid(FINE),
            "generator": Seeded(9),
        },
        lambda error, n, grid, generator: enough(n, (spans(grid, 0.5), [1.0, 0.5 * L])[1]),
        rtol=4e-2,
        single=4e-2,
    ),
    Entry(
        "paths.PathRatios",
        lambda log_ratio, bracket: Estimate(PathRatios(log_ratio, bracket).squared_rest().value),
        {"log_ratio": Tensors(0.25 * DRAWS), "bracket": Tensors(DRAWS.abs())},
        rest,
        single=1e-4,
    ),
    Entry(
        "paths.audit",
        lambda log_ratios, brackets: (lambda a: [a.mean.value, a.energy.value, a.bracket_ratio.value])(
            paths.audit(log_ratios, brackets)
        ),
        {"log_ratios": Tensors(0.25 * DRAWS), "brackets": Tensors(0.5 + DRAWS.abs())},
        audited,
        single=1e-5,
    ),
    Entry(
        "paths.Audit",
        lambda mean, bracket_tail: (lambda a: [a.delta, a.gamma, a.bracket_tail])(
            paths.Audit(None, mean, None, Estimate(0.5), Estimate(1.0, 0.1, tail=0.25), bracket_tail)
        ),
        {
            "mean": Input(
                Estimate(1.0, 0.1, tail=0.25),
                *(Variation(str(b), b, REFUSED) for b in (None, 1.0, Estimate(1.0))),
            ),
            "bracket_tail": Numbers(0.125),
        },
        lambda mean, bracket_tail: [3.0, 2.0, float(bracket_tail)],
    ),
]


def generated(nodes, grid):
    """Variance and energy of the exponential integrator with s = −1.5 x, started from N(0, 1)."""
    x, g, v, energy = array(nodes, 1), spans(grid, 0.5), 1.0, 0.0
    assert len(x) > 1
    assert x[1] > x[0]
    assert np.allclose(np.diff(x), x[1] - x[0])
    assert x[-1] > 6
    for t, t_next in zip(g[:-1], g[1:], strict=True):
        d = t - t_next
        energy += d * 0.25 * v
        v = (math.exp(d / 2) - 3 * math.expm1(d / 2)) ** 2 * v + math.expm1(d)
    return [v, energy]


def variance_of(density, nodes):
    p, x = array(density, 1), array(nodes, 1)
    return float((p * x**2).sum() * (x[1] - x[0]))


def recorded(kind, x, t, t_next, noise):
    x, noise = array(x, 2), array(noise, 2)
    assert x.shape == noise.shape
    assert 0 <= t_next < t < INF
    d = float(t) - float(t_next)
    energy, martingale = 0.25 * (x**2).sum(1) * d, -0.5 * (x * noise).sum(1) * math.sqrt(d)
    return {Energy: energy, Martingale: martingale, LogRatio: martingale - 0.5 * energy}[kind]
