"""Runs, files and experiments: what is no mathematics, but takes arguments."""

import tempfile
from pathlib import Path

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
    Laws,
    Seeded,
    Tensors,
    Variation,
    array,
)

from scoredrift import (
    Gaussian,
    GaussianMixture,
    KernelDensity,
    OrnsteinUhlenbeck,
    experiments,
    runs,
)
from scoredrift.generations import Generation, KernelFit

EXEMPT = {
    "runs.RANDOM": "a constant",
    "runs.UNKNOWN": "a constant",
    "runs.Saved": "a tuple of results, without arithmetic",
    "runs.commit": "takes nothing",
    "runs.machine": "takes nothing",
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


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


OU = OrnsteinUhlenbeck()
X = torch.randn(6, 2, generator=torch.Generator().manual_seed(15), dtype=torch.float64)
LAW = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.ones(1).double())
DEVICES = tuple(Variation(repr(b), b, REFUSED) for b in ("nowhere", 1.5, None, []))
PATHS = tuple(Variation(repr(b), b, REFUSED) for b in (None, 1.0, [], b"x"))


def stream(seed, part, device):
    return torch.rand(3, generator=runs.generator_for(seed, part, "fit", device=device), dtype=torch.float64)


def right_stream(seed, part, device):
    """From the definition: words of the path doubled, names odd."""
    if isinstance(part, str):
        return stream(1, "2", "cpu")
    for one in (seed, part):
        assert int(one) == one
        assert one >= 0
    words = (2 * int(part), 2 * int.from_bytes(b"fit", "big") + 1)
    state = int(
        np.random.SeedSequence(int(seed), spawn_key=words).generate_state(1, np.uint64)[0] >> np.uint64(1)
    )
    return torch.rand(3, generator=torch.Generator().manual_seed(state), dtype=torch.float64)


def kept(tensors, note):
    with tempfile.TemporaryDirectory() as folder:
        runs.save(Path(folder) / "a", tensors, note)
        values, told = runs.load(Path(folder) / "a")
        return [values[name] for name in sorted(values)], str(told)


def in_folder(call):
    with tempfile.TemporaryDirectory() as folder:
        return call(Path(folder))


def text_of(value):
    import json

    return str(runs.describe(value) == runs.describe(json.loads(json.dumps(value))))


def generation(x):
    return Generation(0, x, LAW, x, torch.Generator(), None)


def counted(x):
    x = array(x, 2)
    assert x.shape[1] >= 2
    inside = ((x[:, :2] >= -8) & (x[:, :2] < 8)).all(1)
    return np.histogram2d(x[inside, 0], x[inside, 1], bins=np.linspace(-8, 8, 81))[0]


def power(base, exp):
    return base**exp


def one_generation(model, trained_on, process, draws, generator):
    found = experiments.one_generation(model, trained_on, process, draws, generator=generator)
    return [found["ideal_energy"], found["learned_energy"]]


def energies(on_learned):
    """Against N(0, I₂) the model N(0, 1.25 I₂)."""
    t = np.geomspace(0.02, 4, 20001)
    s = 1 + 0.25 * np.exp(-t)
    return float(np.trapezoid(2 * (1 - 1 / s) ** 2 * (s if on_learned else 1), t))


def enough(n, value):
    assert n >= 100
    return value


RESULT = experiments.Result(
    {f"{a}/kl": torch.full((3, 2), a).double() for a in (0.25, 0.5)},
    {"settings": {"runs": 3, "generations": 1}, "provenance": {"seed": 1}},
)
EDGE = "on the edge of two cells, but for less than rounding"
TINY = {"size": 30, "generations": 1, "runs": 1}

ENTRIES = [
    Entry(
        "runs.generator_for",
        stream,
        {
            "seed": Counts(1),
            "part": Counts(2, Variation("str 2", "2", RIGHT)),
            "device": Input(
                "cpu",
                Variation("a device", torch.device("cpu"), RIGHT, True),
                *(one for one in DEVICES if one.value is not None),
                Variation("cuda", "cuda:7", REFUSED),
                Variation("meta", "meta", REFUSED),
            ),
        },
        right_stream,
    ),
    Entry(
        "runs.seed_words",
        lambda seed: [float(word) for word in runs.seed_words(seed)],
        {
            "seed": Counts(
                7,
                Variation("a tuple", (7,), RIGHT, True),
                Variation("too large", 2**128, REFUSED),
                Variation("no seed", (), REFUSED),
            )
        },
        lambda seed: [float(seed[0] if isinstance(seed, tuple) else whole(seed))],
    ),
    Entry(
        "runs.cases",
        lambda axis: len(runs.cases(alpha=axis, run=(0, 1))),
        {
            "axis": Input(
                (0.25, 0.5),
                Variation("a list", [1, 2], RIGHT, True),
                Variation("an array", np.array([1, 2]), RIGHT, True),
                Variation("a tensor", tensor(1.0, 2.0), RIGHT, True),
                Variation("empty", (), REFUSED),
                *(Variation(repr(b), b, REFUSED) for b in (None, 1.0)),
            )
        },
        lambda axis: 4,
    ),
    Entry(
        "runs.sweep",
        lambda task, cases, workers: runs.sweep(task, cases, workers=workers),
        {
            "task": Input(
                power,
                Variation("built in", pow, RIGHT, True),
                *(Variation(repr(b), b, REFUSED) for b in (None, 1.0, "pow")),
            ),
            "cases": Input(
                [{"base": 2, "exp": 3}],
                Variation("a tuple", ({"base": 2, "exp": 3},), RIGHT, True),
                *(Variation(repr(b)[:30], b, REFUSED) for b in ([], None, 1.0, [1.0], [None], "x")),
            ),
            "workers": Counts(1, Variation("None", None, RIGHT), **dict.fromkeys("23", "starts processes")),
        },
        lambda task, cases, workers: [8.0] if workers is None or workers >= 1 else 1 / 0,
    ),
    Entry(
        "runs.place",
        lambda path: str(runs.place(path)),
        {"path": Input("results/new", Variation("a path", Path("results/new"), RIGHT, True), *PATHS)},
        lambda path: str(Path("results/new")),
    ),
    Entry(
        "runs.save",
        kept,
        {
            "tensors": Input(
                {"a": X},
                Variation("strided", {"a": X.T.contiguous().T}, RIGHT, True),
                Variation("with gradients", {"a": X.clone().requires_grad_(True)}, RIGHT, True),
                *(
                    Variation(repr(b)[:30], b, REFUSED)
                    for b in (
                        None,
                        1.0,
                        {"a": 1.0},
                        {"a": None},
                        {"a": X.numpy()},
                        {1: X},
                        {"a": X.to("meta")},
                    )
                ),
            ),
            "note": Input(
                {"seed": 1},
                *(
                    Variation(repr(b)[:30], b, REFUSED)
                    for b in (None, {"a": X}, {"a": object()}, {"a": {1, 2}})
                ),
            ),
        },
        lambda tensors, note: [X, str({"seed": 1})],
    ),
    Entry(
        "runs.save.path",
        lambda path: runs.save(path, {"a": X}, {}),
        {"path": Input(Path(tempfile.gettempdir()) / "scoredrift-property", *PATHS)},
        lambda path: None,
    ),
    Entry(
        "runs.load",
        lambda path: (
            runs.save(Path(tempfile.gettempdir()) / "scoredrift-property", {"a": X}, {}),
            runs.load(path)[0]["a"],
        )[1],
        {
            "path": Input(
                Path(tempfile.gettempdir()) / "scoredrift-property",
                Variation("a folder", tempfile.gettempdir(), REFUSED),
                Variation("a text file", __file__, REFUSED),
                *PATHS,
            )
        },
        lambda path: X,
    ),
    *(
        Entry(
            f"runs.{name}",
            lambda path, name=name: str(getattr(runs, name)(path)),
            {
                "path": Input(
                    Path("no-such-file"),
                    Variation("a text", "no-such-file", EITHER, True),
                    Variation("a folder", Path(tempfile.gettempdir()), EITHER, True),
                    *PATHS,
                )
            },
            lambda path, right=right: right,
        )
        for name, right in (("is_foreign", "False"), ("note_of", "None"))
    ),
    Entry(
        "runs.save_json",
        lambda thing: in_folder(
            lambda folder: (runs.save_json(folder / "a", thing), (folder / "a").read_text(encoding="utf-8"))[
                1
            ]
        ),
        {
            "thing": Input(
                {"a": [1]}, *(Variation(repr(b)[:30], b, REFUSED) for b in (X, object(), {1, 2}, {"a": X}))
            )
        },
        lambda thing: '{\n "a": [\n  1\n ]\n}\n',
    ),
    Entry(
        "runs.write",
        lambda path, data: in_folder(
            lambda folder: (
                runs.write(folder / path if isinstance(path, str) else path, data),
                (folder / path).read_bytes().decode(),
            )[1]
        ),
        {
            "path": Input("a", *PATHS),
            "data": Input(
                b"done",
                Variation("a bytearray", bytearray(b"done"), EITHER, True),
                *(Variation(repr(b)[:20], b, REFUSED) for b in (None, 1.0, "done", X)),
            ),
        },
        lambda path, data: "done",
    ),
    Entry(
        "runs.locked",
        lambda folder: in_folder(lambda own: lock(own if folder == "own" else folder)),
        {"folder": Input("own", Variation("a file", __file__, REFUSED), *PATHS)},
        lambda folder: "held",
    ),
    Entry(
        "runs.Checkpoints",
        lambda folder: in_folder(lambda own: checkpoint(own if folder == "own" else folder)),
        {"folder": Input("own", *PATHS)},
        lambda folder: X,
    ),
    Entry(
        "runs.describe",
        text_of,
        {"value": Input({"a": [1, 2.5, "x"]}, Variation("nan", NAN, EITHER, True))},
        lambda value: "True",
    ),
    Entry(
        "runs.describe.unknown",
        lambda thing: str(runs.describe({"a": thing})),
        {
            "thing": Input(
                1,
                *(
                    Variation(repr(type(b)), b, REFUSED)
                    for b in (torch.Generator(), np.random.default_rng(0), (i for i in [1]))
                ),
            )
        },
        lambda thing: "{'a': 1}",
    ),
    Entry(
        "runs.held_by",
        lambda function: [float(one) for one in runs.held_by(function)],
        {
            "function": Input(
                lambda x, n=2: n, *(Variation(repr(b), b, REFUSED) for b in (None, 1.0, "f", pow))
            )
        },
        lambda function: [2.0],
    ),
    *(
        Entry(
            f"runs.{name}",
            lambda device, name=name: str(len(getattr(runs, name)(device)) > 0),
            {"device": Input("cpu", Variation("a device", torch.device("cpu"), RIGHT, True), *DEVICES)},
            lambda device: "True",
        )
        for name in ("device_name", "versions")
    ),
    Entry(
        "runs.provenance",
        lambda seed, device: runs.provenance(seed=seed, device=device)["seed"],
        {
            "seed": Counts(7),
            "device": Input("cpu", Variation("a device", torch.device("cpu"), RIGHT, True), *DEVICES),
        },
        lambda seed, device: whole(seed),
    ),
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


def whole(n):
    assert not isinstance(n, bool)
    assert n >= 0
    return float(n)


def some(a):
    assert a.size
    return a


def narrow():
    """The flow of N(0, ¼ I₂) against that of N(0, I₂)."""
    t = np.geomspace(0.02, 4, 20001)
    s = 1 - 0.75 * np.exp(-t)
    return float(np.trapezoid(2 * (1 - 1 / s) ** 2, t))


def lock(folder):
    with runs.locked(folder):
        return "held"


def checkpoint(folder):
    store = runs.Checkpoints(folder, {"seed": 1})
    store.write(0, X, X, [{}])
    return store.newest(3).drawn
