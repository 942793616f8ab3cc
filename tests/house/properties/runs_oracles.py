"""What is right for the table of ``runs``, by other roads; and the inputs it is asked with."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from property_cases import REFUSED, Variation, array

from scoredrift import GaussianMixture, OrnsteinUhlenbeck, experiments, runs
from scoredrift.generations import Generation


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
