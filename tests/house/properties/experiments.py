"""More of the table of ``runs``: experiments."""

import numpy as np
import torch
from property_cases import (
    NAN,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Fixed,
    Input,
    Laws,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.runs_oracles import (
    DEVICES,
    EDGE,
    LAW,
    OU,
    RESULT,
    TINY,
    X,
    counted,
    energies,
    enough,
    generation,
    in_folder,
    narrow,
    one_generation,
    some,
    tensor,
    whole,
)
from scoredrift import Gaussian, KernelDensity, experiments
from scoredrift.generations import Generation, KernelFit

EXEMPT = {
    "experiments.ALPHAS": "a constant",
    "experiments.BANDWIDTHS": "an experiment with its settings",
    "experiments.BOUNDS": "an experiment with its settings",
    "experiments.EXACT": "an experiment with its settings",
    "experiments.EXPERIMENTS": "a constant",
    "experiments.LITERAL": "an experiment with its settings",
    "experiments.RESULTS": "a constant",
    "experiments.run_case": "what the experiments are made of: its settings are theirs, its numbers those of recurse",
    "experiments.run_cases": "what the experiments are made of: its settings are theirs, its numbers those of recurse",
    "experiments.Experiment": "run by run_abreast and the command line, which have tests of their own",
}

ENTRIES = [
    Entry(
        "experiments.moments",
        lambda x: (lambda m: [m["mean"], m["second_moment"]])(experiments.moments(generation(x))),
        {"x": Tensors(X)},
        lambda x: (lambda a: [some(a).mean(0), (a**2).mean(0)])(array(x, 2)),
    ),
    Entry("experiments.picture", experiments.picture, {"x": Tensors(X, tiny=EDGE)}, counted),
    Entry(
        "experiments.Measure",
        lambda x: experiments.Measure((0,))(generation(x))["picture"],
        {"x": Tensors(X, tiny=EDGE)},
        lambda x: counted(x) if len(x) else 1 / 0,
    ),
    Entry(
        "experiments.Bounds",
        lambda draws: (lambda m: m["ideal_energy"])(
            experiments.Bounds(KernelFit(0.5, OU), draws)(
                Generation(
                    0,
                    0 * X[:1],
                    KernelDensity(0 * X[:1], 0.5),
                    X,
                    torch.Generator().manual_seed(1),
                    None,
                    lambda: LAW,
                )
            )
        ),
        {"draws": Counts(200)},
        lambda draws: enough(draws, narrow()),
        rtol=0.2,
    ),
    Entry(
        "experiments.one_generation",
        one_generation,
        {
            "model": Laws(Gaussian(torch.zeros(2).double(), 1.25 * torch.eye(2).double())),
            "trained_on": Laws(LAW),
            "process": Input(OU, *(Variation(repr(b), b, REFUSED) for b in (None, 1.0, "ou"))),
            "draws": Counts(200),
            "generator": Seeded(1),
        },
        lambda model, trained_on, process, draws, generator: enough(draws, [energies(False), energies(True)]),
    ),
    Entry(
        "experiments.Result",
        lambda where: RESULT.at("kl", **where),
        {
            "where": Input(
                {"alpha": 0.5, "run": 0},
                Variation("numpy", {"alpha": np.float32(0.5), "run": np.int64(0)}, RIGHT, True),
                *(
                    Variation(repr(b), b, REFUSED)
                    for b in (
                        {"alpha": 0.3},
                        {"run": 7},
                        {"run": -1},
                        {"beta": 1},
                        {"alpha": None},
                        {"alpha": "x"},
                        {"alpha": [0.5]},
                        {"alpha": NAN},
                    )
                ),
            )
        },
        lambda where: tensor(0.5, 0.5),
    ),
    Entry(
        "experiments.always_pictured",
        lambda settings: str(experiments.always_pictured(settings, 0.5, KernelFit(0.5, OU), LAW)),
        {
            "settings": Input(
                {"generations": 2},
                *(
                    Variation(repr(b), b, REFUSED)
                    for b in (None, {}, {"generations": -1}, {"generations": 1.5}, {"generations": None})
                ),
            )
        },
        lambda settings: "Measure(pictured=(0, 1, 2))",
    ),
    Entry(
        "experiments.benchmark",
        lambda name: str(sorted(experiments.benchmark(name))),
        {"name": Input("cpu", *(Variation(repr(b), b, REFUSED) for b in ("nothing", None, 1.0, "")))},
        lambda name: "['provenance', 'rows']",
    ),
    Entry(
        "experiments.benchmarks",
        lambda name: str(sorted(experiments.benchmarks(name))),
        {"name": Input("training", *(Variation(repr(b), b, REFUSED) for b in ("nothing", None, 1.0, "")))},
        lambda name: "['cuda']",
    ),
    Entry(
        "experiments.file_name",
        experiments.file_name,
        {"name": Fixed("mixture"), "scale": Fixed("paper")},
        lambda name, scale: "mixture-paper.safetensors",
    ),
    Entry(
        "experiments.stored",
        lambda name, scale: str(experiments.stored(name, scale).note["scale"]),
        {
            "name": Input("bounds", *(Variation(repr(b), b, REFUSED) for b in ("nothing", None, 1.0, ""))),
            "scale": Input("paper", *(Variation(repr(b), b, REFUSED) for b in ("giant", None, 1.0, ""))),
        },
        lambda name, scale: scale,
    ),
    Entry(
        "experiments.run_abreast",
        lambda seed, device: in_folder(
            lambda folder: experiments.run_abreast(
                "rehearsal",
                out=folder,
                device=device,
                seed=seed,
                settings=TINY,
                experiment=experiments.EXACT,
                alphas=(0.5,),
                say=lambda line: None,
            )
        ),
        {"seed": Counts(1), "device": Input("cpu", *DEVICES)},
        lambda seed, device: whole(seed) * 0 + 1,
    ),
]
