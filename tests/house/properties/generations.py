"""Generations: recursions, how their errors add up, what is forgotten."""

import math

import numpy as np
import torch
from property_cases import (
    EITHER,
    NAN,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Fixed,
    Input,
    Numbers,
    Seeded,
    Tensors,
    Variation,
)

from properties.generations_oracles import (
    ALPHA,
    ATOM,
    FEATURES,
    GRAM,
    IS_NAN,
    LINE,
    NO_PROCESS,
    OU,
    P1,
    P2,
    P,
    cells,
    contributed,
    decomposed,
    discounted,
    finite,
    finite_number,
    fraction,
    histogram,
    retrained,
    sampled,
    samples,
    sizes,
    some,
    steady,
    stepped,
    tensor,
)
from properties.laws_oracles import X, late
from scoredrift import generations
from scoredrift.generations import (
    Generation,
    GenerationStep,
    History,
    KernelFit,
    NormalStartFit,
    SimulatedKernelFit,
)

EXEMPT = {
    "generations.Contributions": "a tuple of results, without arithmetic",
    "generations.Fit": "a protocol",
    "generations.FloorCertificate": "a result, without arithmetic",
    "generations.FloorPotential": "a result, without arithmetic",
    "generations.Intervals": "enclosures of exact numbers, which have tests of their own",
    "generations.LawGeneration": "a tuple of results, without arithmetic",
    "generations.Measured": "a type",
    "generations.Regime": "a protocol",
    "generations.SampledStep": "a tuple of results, without arithmetic",
    "generations.Surd": "exact numbers, which have tests of their own",
    "generations.certify_floor": "exact numbers, whose refusals have tests of their own",
    "generations.floor_potential": "a search whose result is certified, not trusted",
    "generations.quadratic_ceilings": "enclosures of exact numbers, which have tests of their own",
    "generations.room_below_zero": "exact numbers, which have tests of their own",
    "generations.sharp_floor_constant": "held against the exact constant in tests of its own",
    "generations.uniform_excess": "exact numbers, which have tests of their own",
}

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
