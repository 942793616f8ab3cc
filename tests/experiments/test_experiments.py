"""Experiments: what they compute, what they store, and the command line in front of them."""

import json
import re
from functools import partial
from pathlib import Path

import joblib
import pytest
import torch
from typer.testing import CliRunner

from scoredrift import Estimate, Flow, KernelFit, OrnsteinUhlenbeck, mixture_of_five
from scoredrift.cli import app
from scoredrift.experiments import (
    ALPHAS,
    EXACT,
    EXPERIMENTS,
    RESULTS,
    Experiment,
    benchmark,
    picture,
    run_cases,
    stored,
)
from scoredrift.generations import FreshFraction, History, recurse_laws
from scoredrift.paths import ideal_energy, learned_energy
from scoredrift.runs import UNKNOWN, Checkpoints, load

TINY = {"about": "a second", "size": 400, "generations": 2, "runs": 2}
LITERAL = {"about": "a second", "size": 40, "generations": 2, "runs": 1, "steps": 10}
PROVENANCE = {"command", "commit", "date", "device", "seconds", "seed", "threads", "versions"}


@pytest.fixture
def tiny(monkeypatch):
    experiment = Experiment("tiny", "a small mixture", {"quick": TINY, "medium": LITERAL}, EXACT.task)
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment)
    return experiment


def call(*words: str):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_results_are_stored_with_their_provenance(tiny, tmp_path):
    path = tiny.run("quick", out=tmp_path, seed=3)
    result = stored("tiny", "quick", tmp_path)
    assert result.provenance.keys() >= PROVENANCE
    assert result.provenance["seed"] == 3
    assert result.note["settings"] == TINY
    assert [path] == list(tmp_path.iterdir())  # checkpoints are gone
    for alpha in ALPHAS:
        assert result.values[f"{alpha}/second_moment"].shape == (2, 3, 10)
        assert result.values[f"{alpha}/picture"].shape == (3, 80, 80)


def test_the_seed_decides_and_workers_do_not(tiny, tmp_path):
    values = [
        load(tiny.run("quick", out=tmp_path / str(i), seed=seed, workers=workers))[0]
        for i, (seed, workers) in enumerate([(3, 1), (3, 2), (4, 1)])
    ]
    assert all(torch.equal(values[0][name], values[1][name]) for name in values[0])
    assert not torch.equal(values[0]["0.5/mean"], values[2]["0.5/mean"])


def test_a_dask_cluster_runs_an_experiment_to_the_same_numbers(tiny, tmp_path):
    """Processes of a cluster that see one folder; without a number of workers, joblib is asked."""
    distributed = pytest.importorskip("distributed")
    here = load(tiny.run("quick", out=tmp_path / "here", seed=3))[0]
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        there = load(tiny.run("quick", out=tmp_path / "there", seed=3, workers=None))[0]
    assert here.keys() == there.keys()
    assert all(torch.equal(value, there[name]) for name, value in here.items())


def named(alpha, run, size=0, **rest):
    return History(({"name": torch.tensor([1000 * alpha, size, run])},), torch.zeros(1, 1))


def test_runs_of_all_combinations_come_to_their_names():
    """Whole runs are computed one after the other; the values of a combination are those of its runs."""
    options = {"seed": 0, "device": "cpu", "folder": Path(), "workers": 1, "progress": False}
    found = run_cases(named, {"runs": 3}, over={"alpha": (0.1, 0.5), "size": (7, 8, 9)}, **options)
    for alpha in (0.1, 0.5):
        for size in (7, 8, 9):
            wanted = [[1000 * alpha, size, run] for run in range(3)]
            assert found[f"{alpha}/{size}/name"][:, 0].tolist() == wanted


def test_an_interrupted_run_resumes_to_the_same_numbers(tiny, tmp_path, monkeypatch):
    whole = load(tiny.run("quick", out=tmp_path / "whole"))[0]
    true_write, calls = Checkpoints.write, []

    def interrupted(self, index, *state):
        calls.append(index)
        if len(calls) == 8:
            raise KeyboardInterrupt
        true_write(self, index, *state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tiny.run("quick", out=tmp_path / "parts")
    with pytest.raises(ValueError, match=r"^out = .*interrupted run.*--resume"):
        tiny.run("quick", out=tmp_path / "parts")
    resumed = load(tiny.run("quick", out=tmp_path / "parts", resume=True))[0]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert stored("tiny", "quick", tmp_path / "parts").provenance["resumed"] is True


def drawn(alpha, run, seed, **rest):
    g = torch.Generator().manual_seed(seed + run)
    return History(({"a": alpha + torch.rand(2, generator=g)},), torch.zeros(1, 1))


def growing(runs, **other):
    settings = {"about": "a second", "generations": 0, "runs": runs} | other
    return Experiment(
        "grows", "more runs", {"quick": settings}, partial(run_cases, drawn, over={"alpha": (0.1, 0.5)})
    )


def test_further_runs_come_to_those_of_an_earlier_result(tmp_path, monkeypatch):
    whole = load(growing(5).run("quick", out=tmp_path / "whole"))[0]
    first = growing(3).run("quick", out=tmp_path / "first")
    monkeypatch.setitem(EXPERIMENTS, "grows", growing(5))
    there = tmp_path / "there"
    answer = call("run", "grows", "--out", there, "--more-of", first)
    assert answer.exit_code == 0, answer.output
    found = stored("grows", "quick", there)
    assert found.values.keys() == whole.keys()
    assert all(torch.equal(value, found.values[name]) for name, value in whole.items())
    assert found.provenance["begun"] == stored("grows", "quick", tmp_path / "first").provenance


@pytest.mark.parametrize(
    ("runs", "other", "seed", "what"),
    [
        (3, {}, 2602, "has 3 runs: pass one of fewer than 3"),
        (5, {"size": 7}, 2602, "more_of: size"),
        (5, {}, 3, "pass a result of grows, seed 3"),
    ],
)
def test_what_is_no_beginning_of_a_run_is_refused(runs, other, seed, what, tmp_path):
    first = growing(3).run("quick", out=tmp_path / "first")
    with pytest.raises(ValueError, match=what):
        growing(runs, **other).run("quick", out=tmp_path, seed=seed, more_of=first)
    assert not (tmp_path / "grows-quick-checkpoints").exists()


def test_runs_that_measure_something_else_are_refused(tmp_path):
    first = growing(3).run("quick", out=tmp_path / "first")
    other = Experiment(
        "grows", "other numbers", growing(5).scales, partial(run_cases, named, over={"alpha": (0.1, 0.5)})
    )
    with pytest.raises(ValueError, match=r"^more_of = 0.1/a, 0.1/name, .*some of the runs only"):
        other.run("quick", out=tmp_path, more_of=first)
    assert not (tmp_path / "grows-quick.safetensors").exists()


def test_runs_that_are_computed_together_are_not_continued(tiny, tmp_path):
    first = tiny.run("quick", out=tmp_path / "first")
    with pytest.raises(ValueError, match="all at once"):
        tiny.run("quick", out=tmp_path, more_of=first)


def test_energies_approach_those_of_the_twin():
    """At h = 1.2 blur dominates noise: 30 000 points are nearly as good as infinitely many."""
    from scoredrift.experiments import Bounds
    from scoredrift.generations import recurse

    ou, alpha = OrnsteinUhlenbeck(), 0.5
    fit, data = KernelFit(1.2, ou), mixture_of_five(dtype=torch.float32)
    run = recurse(
        fit,
        data,
        regime=FreshFraction(alpha),
        generations=1,
        size=30_000,
        seed=1,
        measure=Bounds(fit, 2000),
    )
    twin = [
        one.model
        for one in recurse_laws(fit.limit, mixture_of_five(), regime=FreshFraction(alpha), generations=1)
    ]
    g = torch.Generator().manual_seed(1)
    for index, law in enumerate((mixture_of_five(), mixture_of_five().blend(twin[0], alpha))):
        model = law.blur(1.2)
        error = Flow(law, ou).error(Flow(model, ou))
        limits = {
            "ideal_energy": ideal_energy(error, 20_000, generator=g),
            "learned_energy": learned_energy(error, 20_000, generator=g),
        }
        for name, limit in limits.items():
            found = Estimate(*run[name][index].tolist())
            assert abs((found - limit).value) < 0.03 * limit.value + 5 * (found - limit).stderr, name
            assert found.stderr < 0.1 * found.value


def test_a_picture_counts_cells_of_the_plane():
    x = torch.tensor([[-8.0, -8.0], [7.99, 0.01], [7.99, 0.01], [8.0, 0.0], [0.0, -9.0]])
    counts = picture(torch.cat([x, torch.zeros(5, 3)], 1))
    assert counts.sum() == 3
    assert counts[0, 0] == 1
    assert counts[79, 40] == 2


def test_command_line_runs_and_lists(tiny, tmp_path):
    answer = call("run", "tiny", "--scale", "medium", "--out", tmp_path, "--seed", 5)
    assert answer.exit_code == 0, answer.output
    assert "stored" in answer.stdout
    assert stored("tiny", "medium", tmp_path).provenance["seed"] == 5
    listed = call("list", "--folder", tmp_path).stdout
    assert re.search(rf"stored in {tmp_path}: \d{{4}}-\d\d-\d\d, .+ s", listed)
    for experiment in EXPERIMENTS.values():
        assert experiment.title in listed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nothing"], "name = 'nothing': choose one of"),
        (["run", "tiny", "--scale", "huge"], "scale = 'huge': choose one of"),
        (["run", "tiny", "--seed", "-1"], "seed = -1: pass an integer"),
        (["run", "tiny", "--workers", "0"], "workers = 0: pass an integer"),
        (["run", "tiny", "--device", "nonsense"], "device = 'nonsense'"),
        (["run", "tiny", "--device", "cuda:99"], "device = 'cuda:99'"),
    ],
)
def test_command_line_answers_bad_input_in_one_line(tiny, tmp_path, words, message):
    answer = call(*words, "--out", tmp_path)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.output


def test_missing_and_damaged_results_are_refused_by_name(tiny, tmp_path):
    with pytest.raises(
        ValueError, match=r"result = tiny-quick\.safetensors: not stored; run: scoredrift run"
    ):
        stored("tiny", "quick", tmp_path)
    path = tiny.run("medium", out=tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"tiny-medium\.safetensors"):
        stored("tiny", "medium", tmp_path)


def test_what_the_package_carries_is_small_and_says_where_it_comes_from():
    files = sorted(RESULTS.iterdir())
    assert files
    for path in files:
        assert path.stat().st_size < 2**20, path
        if path.suffix == ".json":
            found = benchmark(path.stem.removeprefix("benchmark-"))
            origin, rows = found["provenance"], found["rows"]
            assert all(row["median"] > 0 for row in rows)
        else:
            values, note = load(path)
            origin = note["provenance"]
            assert EXPERIMENTS[note["experiment"]].scales[note["scale"]] == note["settings"]
            assert not any(torch.isnan(value).any() for value in values.values())
            infinite = {name.split("/")[-1] for name, value in values.items() if torch.isinf(value).any()}
            assert all(name.startswith("gaussian_chi2") for name in infinite), path  # which can be
        assert origin.keys() >= PROVENANCE, path
        assert not origin["commit"].endswith(("+", UNKNOWN)), f"{path} comes from uncommitted code"
        assert not re.search(r'[" =]/', json.dumps(origin)), f"{path} names a folder of the machine"
