"""Runs that were edited, shared, interrupted or misused: what cannot be known is refused, nothing is lost."""

import copy
import dataclasses
import multiprocessing
import pickle
import random
import re
import threading
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers import seeded
from scoredrift import (
    Accumulate,
    FreshFraction,
    Gaussian,
    KernelFit,
    OrnsteinUhlenbeck,
    Replace,
    mixture_of_five,
    recurse,
)
from scoredrift.generations import History, gaussian_fit, recurse_laws
from scoredrift.laws import Blend
from scoredrift.runs import generator_for, load, locked, place, save, sweep

NORMAL = Gaussian(torch.zeros(2), torch.eye(2))


def run(fit=gaussian_fit, target=NORMAL, **changes):
    settings = {"regime": FreshFraction(0.5), "generations": 3, "size": 20, "seed": 1}
    return recurse(fit, target, **(settings | changes))


def streams(seed):
    """Start of the stream of every purpose in two generations."""
    pairs = [(i, purpose) for i in (0, 1) for purpose in ("fresh", "fit", "sample", "measure")]
    return {tuple(torch.rand(3, generator=generator_for(seed, *pair)).tolist()) for pair in pairs}


def test_runs_of_neighbouring_seeds_share_no_stream():
    seeds = [1, 2, 3, (1, 0), (1, 1), (2, 0), (2, 1), (1, 0, 0), (1, 1, 0), (0, 1)]
    assert len(set().union(*(streams(seed) for seed in seeds))) == 8 * len(seeds)
    one, other = run(seed=(1, 1)), run(seed=(2, 0))
    assert not torch.isin(one.drawn, other.drawn).any()
    assert torch.equal(one.drawn, run(seed=(np.int64(1), 1)).drawn)
    assert torch.equal(run(seed=1).drawn, run(seed=(1,)).drawn), "of one number is the number"


def test_numbers_that_numpy_would_confuse_are_no_seeds():
    with pytest.raises(ValueError, match=r"^path = 4294967296: "):  # would be the path (0, 1)
        generator_for(1, 2**32)
    for wrong in (2**128, (1, 2**31), (), (1, -1), (1, 0.5), "1", [1, 2], None, True, (True,)):
        with pytest.raises(ValueError, match=r"^seed = "):
            run(seed=wrong)


def test_a_users_files_among_the_checkpoints_stay_as_they_are(tmp_path):
    theirs = ["generation-0050.safetensors", "generation-final.safetensors", "generation-7.safetensors"]
    for name in theirs:
        save_file({"x": torch.ones(2)}, tmp_path / name)
    texts = [".generation-notes.safetensors.bak", "generation-0060.safetensors"]
    for name in texts:
        (tmp_path / name).write_text("mine", encoding="utf-8")
    before = {name: (tmp_path / name).read_bytes() for name in theirs + texts}
    with pytest.warns(UserWarning, match="generation-0060"):
        run(folder=tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    with (
        pytest.warns(UserWarning, match="generation-0060"),
        pytest.raises(ValueError, match=r"^folder = .*generation-0050\.safetensors .* no checkpoint of ours"),
    ):
        run(folder=tmp_path, generations=50)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_file_in_the_way_is_moved_aside_not_overwritten(tmp_path):
    (tmp_path / "generation-0002.safetensors").write_text("mine", encoding="utf-8")
    with pytest.warns(UserWarning, match="passed over"):
        assert len(run(folder=tmp_path)) == 4
    (aside,) = tmp_path.glob("*.damaged")
    assert aside.read_text(encoding="utf-8") == "mine"


def hold(folder, told, end):
    with locked(folder):
        told.send(True)
        end.wait(60)


def test_a_folder_has_one_run_at_a_time_and_a_killed_one_leaves_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    (here, there), end = context.Pipe(duplex=False), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", there, end))
    process.start()
    assert here.recv()
    with pytest.raises(ValueError, match=r"^folder = .*another run is at work there"):
        run(folder=tmp_path / "run")
    process.kill()
    process.join()
    assert len(run(folder=tmp_path / "run")) == 4
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")] == []


def test_two_runs_of_one_process_in_a_folder_are_refused_too(tmp_path):
    def measure(generation):
        return {"x": len(run(folder=tmp_path))}

    with pytest.raises(ValueError, match=r"another run is at work there; .* \(in measure of generation 0\)$"):
        run(measure=measure, folder=tmp_path)
    assert len(run(folder=tmp_path)) == 4  # and the lock is free again


@dataclasses.dataclass
class Holder:
    held: object


def first(a):
    return a


def reads_a_global(a):
    return torch.rand(1, generator=GLOBAL)


GLOBAL = seeded(0)
HIDING = [
    (first, GLOBAL),
    (first, {"a": [GLOBAL]}),
    (first, Holder((Holder(GLOBAL),))),
    (first, partial(first, GLOBAL)),
    (first, lambda: GLOBAL),
    (partial(first, GLOBAL), 1),
    (lambda a, g=GLOBAL: g, 1),
    (lambda a: reads_a_global(a), 1),
    (first, np.random.default_rng(0)),
    (first, random.Random(0)),
]


@pytest.mark.parametrize(("task", "value"), HIDING, ids=range(len(HIDING)))
def test_a_generator_among_the_arguments_of_a_sweep_is_refused(task, value):
    for workers in (None, 2):
        with pytest.raises(ValueError, match=r"^(task|cases\[0\]\['a'\]) = .*pass a seed with each case"):
            sweep(task, [{"a": value}, {"a": value}], workers=workers)


def test_what_holds_no_generator_is_swept_even_if_no_process_could_have_it():
    lock, loop = threading.Lock(), []
    loop.append(loop)
    for value in (lock, loop, torch.ones(3), Holder(lambda: lock), {1, 2}, generator_for):
        assert sweep(first, [{"a": value}]) == [value]


def collapsed(data, *, generator):
    return gaussian_fit(data, generator=generator) if float(data.std()) > 0.5 else gaussian_fit(0 * data)


class Points:
    def __init__(self, index):
        self.index = index

    def sample(self, n, *, generator):
        if self.index == 2:
            raise RuntimeError("out of memory")
        return torch.randn(n, 2, generator=generator)


def counted(error=None):
    calls = iter(range(9))

    def fit(data, *, generator):
        index = next(calls)
        if index == 2 and error is not None:
            return error()
        return Points(index)

    return fit


WRONG = [
    ({"measure": lambda g: None if g.index == 2 else {}}, r"^measure\(generation 2\) = None: return a dict"),
    ({"measure": lambda g: [1.0]}, r"^measure\(generation 0\) = \[1.0\]: return a dictionary"),
    ({"measure": lambda g: {1: 2.0}}, r"^measure\(generation 0\), name = 1"),
    ({"measure": lambda g: {"a": np.array([1j])}}, r"^measure\(generation 0\)\['a'\] = .*return a number"),
    ({"measure": lambda g: {"a": np.array(["x"])}}, r"^measure\(generation 0\)\['a'\] = .*return a number"),
    ({"fit": counted(lambda: None)}, r"^fit\(generation 2\) = None: return a model that draws"),
    (
        {"fit": counted(lambda: gaussian_fit(torch.zeros(5, 2), generator=seeded(0)))},
        r"^covariance = not positive definite: .* \(in fit of generation 2\)$",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message[1:30] for _, message in WRONG])
def test_errors_say_in_which_generation_they_happened(changes, message):
    with pytest.raises(ValueError, match=message):
        run(**changes)


def test_errors_of_other_kinds_keep_their_kind_and_note_the_generation():
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        run(counted())
    assert caught.value.__notes__ == ["in sample of generation 2"]


def test_a_history_is_read_like_a_dictionary_and_counts_its_generations():
    history = run(measure=lambda g: {"i": g.index} | ({"odd": 1} if g.index % 2 else {}))
    assert (history.keys(), len(history), "odd" in history, "even" in history) == (
        ["i", "odd"],
        4,
        True,
        False,
    )
    assert repr(history) == "History(4 generations of [20, 2]: i, odd)"
    assert (history == history, history == run()) == (True, False)
    with pytest.raises(TypeError, match="not iterable"):
        list(history)


def test_the_last_model_is_there_refitted_or_none(tmp_path):
    models = []
    fit, law = KernelFit(0.6, OrnsteinUhlenbeck()), mixture_of_five(2)
    fresh = run(fit, law, measure=lambda g: models.append(g.model) or {})
    assert fresh.model is models[-1]
    run(fit, law, folder=tmp_path)
    resumed = run(fit, law, folder=tmp_path)  # nothing left to compute
    assert torch.equal(resumed.model.centres, fresh.model.centres)
    assert run(fit, law, after=fresh).model is fresh.model
    for copied in (
        pickle.loads(pickle.dumps(fresh)),
        copy.deepcopy(fresh),
        History(fresh.measured, fresh.drawn),
    ):
        assert copied.model is None
        assert torch.equal(copied.drawn, fresh.drawn)


LINE = torch.linspace(-3, 3, 12).double().reshape(6, 2)


def densities(generation):
    laws = {"q": generation.trained_on, "model": generation.model}
    return {name: law.log_density(LINE).exp() for name, law in laws.items()}


@pytest.mark.parametrize(
    ("regime", "law"),
    [
        (FreshFraction(0.3), lambda laws, i: 0.3 * laws[0] + 0.7 * laws[i]),
        (FreshFraction(1), lambda laws, i: laws[0]),
        (Replace(), lambda laws, i: laws[i]),
        (Accumulate(), lambda laws, i: laws[: i + 1].mean(0)),
    ],
    ids=["fresh", "all fresh", "replace", "accumulate"],
)
def test_generations_are_trained_on_the_law_that_the_regime_says(regime, law, tmp_path):
    """q_{i−1}: p at first, then α p + (1 − α) p̂^{i−1}, p̂^{i−1}, or the plain average of all before."""
    target, fit = mixture_of_five(2), KernelFit(0.6, OrnsteinUhlenbeck())
    for generations in (2, 4):  # resumed
        found = run(fit, target, regime=regime, measure=densities, generations=generations, folder=tmp_path)
    laws = torch.cat([target.log_density(LINE).exp()[None], found["model"]])
    wanted = torch.stack([laws[0], *(law(laws, i) for i in range(1, 5))])
    torch.testing.assert_close(found["q"], wanted, rtol=1e-12, atol=0)


def test_training_laws_of_blends_are_right_whatever_the_past_looks_like():
    p, x = mixture_of_five(2), LINE
    uneven = Blend((0.9, 0.1), (p, p.blur(1.0)))
    q = Accumulate().training_law(p, p.blur(2.0), uneven, 1)
    dense = [law.log_density(x).exp() for law in (p, p.blur(1.0), p.blur(2.0))]
    torch.testing.assert_close(q.log_density(x).exp(), (2 * (0.9 * dense[0] + 0.1 * dense[1]) + dense[2]) / 3)
    laws = [
        one.model for one in recurse_laws(lambda law: law.blur(0.5), p, regime=Accumulate(), generations=2)
    ]
    assert {type(law) for law in laws} == {type(p)}


def test_a_source_without_a_density_has_no_training_law_and_needs_none():
    class Coin:
        def sample(self, n, *, generator):
            return torch.randn(n, 2, generator=generator)

    assert len(run(target=Coin())) == 4
    with pytest.raises(ValueError, match=r"^law = Coin: .* \(in measure of generation 1\)"):
        run(target=Coin(), measure=lambda g: {"name": len(str(g.trained_on))})


def test_texts_and_the_home_folder_are_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    run(folder="~/runs/one")
    assert (tmp_path / "runs/one/generation-0003.safetensors").exists()
    save("~/x.safetensors", {"x": torch.ones(1)}, {})
    assert load("~/x.safetensors")[0]["x"] == 1
    with pytest.raises(ValueError, match=re.escape("path = 3: pass a text")):
        place(3)


def test_numpy_integers_and_zero_dimensional_arrays_are_numbers():
    assert FreshFraction(np.float64(0.5)) == FreshFraction(torch.tensor(0.5)) == FreshFraction(np.array(0.5))
    same = run(size=np.int64(20), generations=np.array(3), seed=torch.tensor(1))
    assert torch.equal(same.drawn, run().drawn)
    for wrong in (np.array([0.5]), np.bool_(True), torch.tensor([0.5])):
        with pytest.raises(ValueError, match=r"^alpha = "):
            FreshFraction(wrong)
    for wrong in (np.float64(20), 20.0, np.array([20]), np.bool_(True), torch.tensor(20.0)):
        with pytest.raises(ValueError, match=r"^size = "):
            run(size=wrong)
