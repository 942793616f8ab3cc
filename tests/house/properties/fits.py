"""More of the table of ``generations``: fits."""

import math

import torch
from property_cases import (
    EITHER,
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

from properties.generations_oracles import (
    A0,
    ALPHA,
    BAD_MEASURES,
    LINE,
    MIXTURE,
    NO_LAW,
    NO_PROCESS,
    OU,
    START,
    V0,
    WORDS,
    drawn,
    falling,
    fit_gaussian,
    fitted,
    fraction,
    kernel_moments,
    means_of,
    positive,
    recursed,
    second,
    shrunk,
    spread_of,
)
from properties.laws_oracles import M, V, W, X, at_least_one, draws, kernels_at, mixture_at
from scoredrift import Estimate, EulerMaruyama, generations
from scoredrift.generations import (
    Accumulate,
    FreshFraction,
    KernelFit,
    Memory,
    NormalStartFit,
    Replace,
    Resampling,
    SimulatedKernelFit,
    SimulatedModel,
)

EXEMPT: dict[str, str] = {}

ENTRIES = [
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
]
