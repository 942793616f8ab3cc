"""Code that was edited between two calls in one folder: a run knows its fit and its measurement by what they do."""

import os
import random
import runpy
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from helpers import seeded
from scoredrift import FreshFraction, Gaussian, recurse
from scoredrift.generations import gaussian_fit
from scoredrift.runs import Checkpoints, describe

NORMAL = Gaussian(torch.zeros(2), torch.eye(2))


def run(fit=gaussian_fit, target=NORMAL, **changes):
    settings = {"regime": FreshFraction(0.5), "generations": 3, "size": 20, "seed": 1}
    return recurse(fit, target, **(settings | changes))


# Edited code. Each text makes a measurement; the edit changes what it returns.
SOURCES = {
    "constant": ("def measure(g): return {'x': g.index * 1.0}", "1.0", "2.0"),
    "lambda": ("measure = [lambda g: {'x': 1.0}, lambda g: {'x': 2.0}][0]", "[0]", "[1]"),
    "default": ("def measure(g, k=1): return {'x': k}", "k=1", "k=2"),
    "keyword": ("def measure(g, *, k=1): return {'x': k}", "k=1", "k=2"),
    "nested": ("def measure(g):\n def inner(): return 1\n return {'x': inner()}", "return 1", "return 2"),
    "comprehension": ("def measure(g): return {'x': sum([i + 1 for i in range(3)])}", "+ 1", "+ 2"),
    "closure": ("def make(k): return lambda g: {'x': k}\nmeasure = make(1)", "(1)", "(2)"),
    "closure's function": (
        "def make(f): return lambda g: {'x': f()}\nmeasure = make(lambda: 1)",
        ": 1",
        ": 2",
    ),
    "global": ("K = 1\ndef measure(g): return {'x': K}", "K = 1", "K = 2"),
    "type": ("K = 1\ndef measure(g): return {'x': K / 3}", "K = 1", "K = 1.0"),
    "tensor": ("import torch\nK = torch.ones(2)\ndef measure(g): return {'x': K}", "ones(2)", "zeros(2)"),
    "function": ("def f(): return 1\ndef measure(g): return {'x': f()}", "return 1", "return 2"),
    "two deep": ("def h(): return 1\ndef f(): return h()\ndef measure(g): return {'x': f()}", "n 1", "n 2"),
    "set": ("def measure(g): return {'x': 'a' in {'a', 'b'}}", "{'a', 'b'}", "{'c', 'b'}"),
    "attribute": ("def measure(g): return {'x': measure.k}\nmeasure.k = 1", "k = 1", "k = 2"),
    "callable": ("class M:\n def __call__(self, g): return {'x': 1}\nmeasure = M()", "1}", "2}"),
    "state": (
        "class M:\n def __init__(self, k): self.k = k\n def __call__(self, g): return {'x': self.k}\n"
        "measure = M(1)",
        "(1)",
        "(2)",
    ),
    "slots": (
        "class M:\n __slots__ = ('k',)\n def __call__(self, g): return {'x': self.k}\n"
        "measure = M(); measure.k = 1",
        "k = 1",
        "k = 2",
    ),
    "base": (
        "class B:\n def f(self): return 1\nclass M(B):\n def __call__(self, g): return {'x': self.f()}\n"
        "measure = M()",
        "return 1",
        "return 2",
    ),
    "method": ("class M:\n def m(self, g): return {'x': 1}\nmeasure = M().m", "1}", "2}"),
    "property": (
        "class M:\n @property\n def k(self): return 1\n def __call__(self, g): return {'x': self.k}\n"
        "measure = M()",
        "return 1",
        "return 2",
    ),
    "class attribute": (
        "class M:\n k = 1\n @classmethod\n def m(cls, g): return {'x': cls.k}\nmeasure = M.m",
        "k = 1",
        "k = 2",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass M:\n k: int = 1\n"
        " def __call__(self, g): return {'x': self.k * 3}\nmeasure = M()",
        "* 3",
        "* 4",
    ),
    "named tuple": (
        "from typing import NamedTuple\nclass M(NamedTuple):\n k: int = 1\n"
        " def __call__(self, g): return {'x': self.k * 3}\nmeasure = M()",
        "* 3",
        "* 4",
    ),
    "partial": (
        "from functools import partial\ndef f(g, k): return {'x': k + 1}\nmeasure = partial(f, k=1)",
        "+ 1",
        "+ 2",
    ),
    "decorator": (
        "import functools\ndef twice(k):\n def wrap(f):\n  @functools.wraps(f)\n"
        "  def inner(g): return {'x': k * f(g)}\n  return inner\n return wrap\n"
        "@twice(1)\ndef measure(g): return 3",
        "twice(1)",
        "twice(2)",
    ),
    "cached": (
        "import functools\n@functools.cache\ndef f(): return 1\ndef measure(g): return {'x': f()}",
        "return 1",
        "return 2",
    ),
    "without gradients": ("import torch\n@torch.no_grad()\ndef measure(g): return {'x': 1}", "1}", "2}"),
    "imported": ("def measure(g):\n from users import f\n return {'x': f()}", "f()", "f() + 1"),
    "network": (
        "import torch\nnet = torch.nn.Dropout(0.1)\ndef measure(g): return {'x': net(torch.ones(3))}",
        "0.1",
        "0.2",
    ),
}


def made(source, *, line=0, file="users_script.py"):
    scope = {"__name__": "users_script"}
    exec(compile("\n" * line + source, file, "exec"), scope)
    return scope["measure"]


@pytest.fixture(autouse=True)
def users(monkeypatch):
    """A module of the user's, which functions import."""
    module = types.ModuleType("users")
    exec("def f(): return 1\ndef g(): return 1", vars(module))
    monkeypatch.setitem(sys.modules, "users", module)
    return module


@pytest.mark.parametrize("kind", SOURCES)
def test_an_edited_measurement_is_another_run(kind, tmp_path):
    source, old, new = SOURCES[kind]
    assert source.count(old) == 1
    one, same = made(source), made(source, line=7, file="/elsewhere/copy.py")
    other = made(source.replace(old, new))
    assert describe(one) == describe(same), "neither line nor path count"
    assert describe(one) != describe(other)
    first = run(measure=one, folder=tmp_path, generations=1)
    assert len(run(measure=same, folder=tmp_path, generations=1)) == len(first) == 2
    with pytest.raises(ValueError, match=r"^measure = .*choose another folder"):
        run(measure=other, folder=tmp_path)


def test_a_loop_over_lambdas_gives_each_its_own_numbers_or_an_error(tmp_path):
    """The first wrote -1 for its generations; the second must not be told so."""
    for k in (-1.0, 1.0):
        folder = tmp_path if k < 0 else tmp_path / "other"
        assert run(measure=lambda g: {"x": k}, folder=folder)["x"].unique().tolist() == [k]  # noqa: B023
    with pytest.raises(ValueError, match=r"^measure = .* of other code, or of other values it reads"):
        run(measure=lambda g: {"x": k}, folder=tmp_path)


def test_an_edited_fit_and_an_edited_module_are_other_runs(tmp_path, users):
    def fit(data, *, generator):
        return Gaussian(users.f() * torch.zeros(2), torch.eye(2))

    run(fit, folder=tmp_path)
    users.g = lambda: 2  # which is not read
    assert len(run(fit, folder=tmp_path)) == 4
    users.f = lambda: 2
    with pytest.raises(ValueError, match=r"^fit = .*choose another folder"):
        run(fit, folder=tmp_path)


def test_a_description_is_the_same_in_every_process_and_after_any_number_of_calls(tmp_path, capfd):
    def f(x):
        return len({"a", "b", "c"} | {str(x)})

    before = describe(f)
    assert sum(f(i) for i in range(5000)) == 20_000
    assert describe(f) == before
    here, there = tmp_path / "one" / "script.py", tmp_path / "two" / "script.py"
    lines = "import json, re, torch\nfrom scoredrift.runs import describe\nfrom scoredrift import *\n"
    lines += "WORDS = {'a', 'b', 'c', 'd'}\nLETTER = re.compile('[ab]')\n"
    lines += "def f(x): return x in WORDS or LETTER.match(x) or x in {'e', 'f', 'g'}\n"
    lines += "print(json.dumps(describe([f, KernelFit(0.6, OrnsteinUhlenbeck()), torch.nn.Linear])))"
    for i, script in enumerate((here, there)):
        script.parent.mkdir()
        script.write_text("\n" * i + lines, encoding="utf-8")
    runpy.run_path(str(here), run_name="__main__")
    hash_seed = {"PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    told = subprocess.check_output([sys.executable, there], env=os.environ | hash_seed)
    assert told.decode() == capfd.readouterr().out


def test_what_pickle_cannot_store_and_random_states_are_refused_by_name():
    generator, file = seeded(0), open(os.devnull, encoding="utf-8")  # noqa: SIM115
    for held in (generator, np.random.default_rng(0), random.Random(0), [generator], {"a": generator}):
        with pytest.raises(ValueError, match=r"^variable held of .* = .*not known later"):
            describe(lambda g: held)  # noqa: B023
    with file, pytest.raises(ValueError, match=r"^variable file of .* = .*cannot be known"):
        describe(lambda g: file)


def test_descriptions_tell_numbers_of_different_types_apart_and_compare_nan(tmp_path):
    def store(value):
        return Checkpoints(tmp_path, {"value": describe(value)})

    for value in (float("nan"), 1, {1: 2}, {1, 2}, np.float32(0.1), {"a": np.arange(3)}):
        store(value).write(0, torch.zeros(1, 1), torch.zeros(1, 1), [{}])
        assert store(value).newest(0) is not None
        for other in (1.0, True, "1", {"1": 2}, [1, 2], {"a": np.arange(3.0)}):
            with pytest.raises(ValueError, match=r"^value = "):
                store(other).newest(0)
        for path in tmp_path.iterdir():
            path.unlink()
