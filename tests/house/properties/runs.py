"""Runs, files and experiments: what is no mathematics, but takes arguments."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from property_cases import EITHER, NAN, REFUSED, RIGHT, Counts, Entry, Input, Variation

from properties.runs_oracles import (
    DEVICES,
    PATHS,
    X,
    checkpoint,
    in_folder,
    kept,
    lock,
    power,
    right_stream,
    stream,
    tensor,
    text_of,
    whole,
)
from scoredrift import runs

EXEMPT = {
    "runs.RANDOM": "a constant",
    "runs.UNKNOWN": "a constant",
    "runs.Saved": "a tuple of results, without arithmetic",
    "runs.commit": "takes nothing",
    "runs.machine": "takes nothing",
}

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
]
