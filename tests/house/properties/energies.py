"""More of the table of ``paths``: energies."""

import torch
from property_cases import NAN, REFUSED, Counts, Entry, Input, Numbers, Seeded, Tensors, Variation

from properties.paths_oracles import (
    DENSITY,
    DRAWS,
    ERROR,
    FEW,
    FINE,
    FLOW,
    LINE,
    NO_STEP,
    NODES,
    NOT_ONE,
    WIDE,
    Errors,
    L,
    audited,
    enough,
    error,
    evolved,
    generated,
    grid,
    held_energy_right,
    normal,
    ratio,
    rest,
    seed,
    spans,
    variance_of,
    wide_energy,
)
from properties.scores_oracles import shrink
from scoredrift import Estimate, paths
from scoredrift.paths import EulerMaruyama, HeunFlow, PathRatios
from scoredrift.process import log_uniform_times
from scoredrift.scores import FunctionScore, LinearField

EXEMPT: dict[str, str] = {}

ENTRIES = [
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
        "paths.energy_times",
        lambda error, points, generator: paths.ideal_energy(
            error, 400, generator=seed(5), times=paths.energy_times(error, points=points, generator=generator)
        ),
        {"error": error(), "points": Counts(40), "generator": Seeded(5)},
        lambda error, points, generator: enough(points, 0.5 * L),
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
