"""Paths: integrators, energies, ratios, audits."""

import numpy as np
import torch
from property_cases import NAN, REFUSED, RIGHT, Entry, Input, Numbers, Tensors, Variation

from properties.paths_oracles import (
    FAR,
    GRID,
    NO_STEP,
    NOISE,
    OU,
    PATH,
    STEPS,
    X,
    e,
    grid,
    linear_step,
    recorded,
    run,
    seed,
    spans,
    walk,
)
from properties.scores_oracles import Net, shrink
from scoredrift import paths
from scoredrift.paths import Energy, EulerMaruyama, HeunFlow, LogRatio, Martingale, Step, Trajectory

EXEMPT = {
    "paths.Finding": "a tuple of results, without arithmetic",
    "paths.Functional": "a protocol",
    "paths.GeneratedLaw": "a tuple of results, without arithmetic",
    "paths.Integrator": "a protocol",
    "paths.Step": "a tuple of inputs, that the functionals look at",
    "paths.StochasticIntegrator": "a protocol",
    "paths.VectorField": "a type",
}

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
]
