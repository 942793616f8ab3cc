"""Experiments and their command line where something is in the way; and axes of results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from scoredrift.cli import app
from scoredrift.experiments import EXACT, EXPERIMENTS, Experiment, Result, run_abreast, stored
from scoredrift.runs import load, locked, save

ROOT = Path(__file__).parents[2]
TINY = {"about": "a second", "size": 40, "generations": 2, "runs": 2}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    experiment = Experiment("tiny", "a small mixture – five peaks, α by α", {"quick": TINY}, EXACT.task)
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment)
    return experiment


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def one_line(answer, message):
    assert answer.exit_code == 2
    assert [answer.stderr.startswith("scoredrift: "), answer.stderr.count("\n")] == [True, 1], answer.stderr
    assert message in answer.stderr


def test_a_folder_that_is_a_file_is_answered_in_one_line(tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        one_line(call("run", "tiny", "--out", out), "choose a folder that can be written to")
        listed = call("list", "--folder", out)
        assert (listed.exit_code, "a small mixture" in listed.stdout) == (0, True)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_written_to_is_answered_in_one_line(tmp_path, monkeypatch):
    def no(self, *words, **options):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", no)
        one_line(call("run", "tiny", "--out", tmp_path), "Permission denied; choose a folder")


def test_a_full_disk_is_answered_in_one_line_and_leaves_no_half_result(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        answer = call("run", "tiny", "--out", tmp_path)
        assert answer.exit_code == 2
        assert answer.stderr.splitlines()[-1] == "scoredrift: [Errno 28] No space left on device"
    assert not (tmp_path / "tiny-quick.safetensors").exists()
    assert call("run", "tiny", "--out", tmp_path, "--resume").exit_code == 0


def test_damaged_and_foreign_results_take_one_line_of_the_list(tmp_path):
    path = tmp_path / "tiny-quick.safetensors"
    for spoil in (lambda: path.write_bytes(b"half"), lambda: save(path, {}, {"mine": 1})):
        spoil()
        listed = call("list", "--folder", tmp_path)
        assert listed.exit_code == 0
        (line,) = (line for line in listed.stdout.splitlines() if "of no use" in line)
        assert "tiny-quick.safetensors" in line
    with pytest.raises(ValueError, match=r"^result = .*no result of an experiment"):
        stored("tiny", "quick", tmp_path)


def test_nothing_is_overwritten_without_force(tiny, tmp_path):
    assert call("run", "tiny", "--out", tmp_path, "--seed", 1).exit_code == 0
    before = (tmp_path / "tiny-quick.safetensors").read_bytes()
    for seed in (1, 2):
        one_line(call("run", "tiny", "--out", tmp_path, "--seed", seed), "holds the result of seed 1")
    assert (tmp_path / "tiny-quick.safetensors").read_bytes() == before
    assert call("run", "tiny", "--out", tmp_path, "--seed", 2, "--force").exit_code == 0
    assert stored("tiny", "quick", tmp_path).provenance["seed"] == 2
    (tmp_path / "tiny-quick.safetensors").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"^out = .*holds something; .*force=True"):
        tiny.run("quick", out=tmp_path)


def test_bad_input_leaves_no_checkpoints_that_would_stop_the_next_run(tmp_path):
    for word in ("--seed", "--workers"):
        one_line(call("run", "tiny", "--out", tmp_path, word, -1), f"{word[2:]} = -1")
    assert list(tmp_path.iterdir()) == []
    assert call("run", "tiny", "--out", tmp_path).exit_code == 0


def test_two_runs_of_one_experiment_in_a_folder_are_refused(tiny, tmp_path):
    with locked(tmp_path / "tiny-quick-checkpoints"):
        one_line(call("run", "tiny", "--out", tmp_path, "--resume"), "another run is at work there")
    with locked(tmp_path), pytest.raises(ValueError, match="another run is at work there"):
        run_abreast("quick", out=tmp_path, device="cpu", experiment=tiny)


def test_a_latin_1_terminal_shows_the_list(tmp_path):
    code = "from scoredrift import cli, experiments as e; one = e.EXPERIMENTS['bounds']\n"
    code += "e.EXPERIMENTS['bounds'] = type(one)('bounds', 'α – p̂', one.scales, one.task); cli.app(['list'])"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"bounds: ? ? p" in ran.stdout


def test_texts_and_the_home_folder_are_folders(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert tiny.run("quick", out="text") == Path("text/tiny-quick.safetensors")
    tiny.run("quick", out="~/results")
    for folder in ("text", "~/text", "~/results", tmp_path / "text"):
        assert torch.isfinite(stored("tiny", "quick", folder)["mean"]).all()
    assert "stored in ~/results" in call("list", "--folder", "~/results").stdout
    assert run_abreast("quick", out="~/abreast", device="cpu", experiment=tiny, say=lambda line: None) == 2
    assert (tmp_path / "abreast/tiny-quick.safetensors").exists()
    assert not (tmp_path / "~").exists()


def test_neighbouring_seeds_of_an_experiment_share_no_run(tiny, tmp_path):
    one, other = (load(tiny.run("quick", out=tmp_path / str(seed), seed=seed))[0] for seed in (1, 2))
    assert not torch.isin(one["0.5/mean"], other["0.5/mean"]).any()


def test_results_say_how_their_random_numbers_follow_from_the_seed(tiny, tmp_path):
    tiny.run("quick", out=tmp_path)
    assert stored("tiny", "quick", tmp_path).provenance["streams"] == "(seed, run)"
    assert stored("bounds", "paper").provenance["streams"] == "seed + run"
    with pytest.raises(
        ValueError, match=r"^seed = .*choose another folder"
    ):  # no state of its own to go on from
        run_abreast("quick", out=tmp_path, device="cpu", experiment=tiny)


def test_stored_numbers_have_named_axes():
    bounds, widths, figure = (stored(*one) for one in (("bounds", "paper"), ("bandwidths", "paper"), FIGURE))
    assert {name: len(values) for name, values in bounds.axes.items()} == {
        "alpha": 2,
        "run": 3,
        "generation": 21,
    }
    assert bounds["kl"].shape == (2, 3, 21, 2)
    for alpha in (0.1, 0.5):
        kept = bounds.values[f"{alpha}/kl"]
        assert torch.equal(bounds.at("kl", alpha=alpha), kept)
        assert torch.equal(bounds.at("kl", alpha=torch.tensor(alpha), run=2, generation=20), kept[2, 20])
    assert list(widths.axes) == ["alpha", "bandwidth", "run", "generation"]
    assert widths.axes["generation"] == (0, 1, 20)
    kept = widths.values["0.5/0.3/eta"]
    assert torch.equal(widths.at("eta", alpha=0.5, bandwidth=0.3, generation=20), kept[:, 2])
    assert figure.axes_of("picture") == {"alpha": (0.1, 0.5, 0.9), "generation": (0, 10, 20)}
    assert torch.equal(figure.at("picture", alpha=0.9, generation=10), figure.values["0.9/picture"][1])
    assert "picture" in figure
    assert "kl" not in figure
    assert repr(figure) == "Result(mixture-literal medium: mean, picture, second_moment)"
    assert figure != stored(*FIGURE)  # and does not raise


FIGURE = ("mixture-literal", "medium")


def test_new_results_have_the_axes_that_their_experiment_says(tiny, tmp_path):
    tiny.run("quick", out=tmp_path)
    found = stored("tiny", "quick", tmp_path)
    assert found.axes == {"alpha": (0.1, 0.5, 0.9), "run": (0, 1), "generation": (0, 1, 2)}
    assert torch.equal(found["mean"][1], found.values["0.5/mean"])
    run_abreast("quick", out=tmp_path / "abreast", device="cpu", experiment=tiny, say=lambda line: None)
    other = stored("tiny", "quick", tmp_path / "abreast")
    assert other.axes == found.axes
    assert torch.equal(other["picture"], found["picture"])


def result(values, **note):
    return Result(values, {"settings": {"runs": 1, "generations": 1}, "provenance": {}} | note)


TWO = {f"{h}/{name}": torch.full((1, 2), h) for h in (10.0, 9.0) for name in ("a", "b/c")}
WRONG = [
    (lambda r: r.at("a", width=1), "^width = 1: the axes of 'a' are h, run, generation"),
    (lambda r: r.at("a", h=1.0), "^h = 1.0: choose one of 9.0, 10.0"),
    (lambda r: r.at("a", run=-1), "^run = -1: choose one of 0"),
]


@pytest.mark.parametrize(("ask", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_not_on_an_axis_is_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(result(TWO, axes=["h"]))


def test_axes_are_in_the_order_of_numbers_and_must_fit_the_settings():
    found = result(TWO, axes=["h"])
    assert found["b/c"][:, 0, 0].tolist() == [9.0, 10.0]  # as texts, "10.0" comes first
    with pytest.raises(KeyError, match="'z' was not measured"):
        found["z"]
    with pytest.raises(ValueError, match=r"^a\.shape = \[1, 2\]: the settings speak of"):
        result(TWO, axes=["h"], settings={"runs": 3, "generations": 1}).axes_of("a")


def test_values_of_different_shapes_are_taken_one_at_a_time():
    points = {f"{n}/points": torch.full((2, 1, n), float(n)) for n in (3, 5)}
    found = result(points, axes=["size"], settings={"runs": 2, "generations": 0})
    assert found.at("points", size=5).shape == (2, 1, 5)
    assert found.at("points", size=3, run=1, generation=0).tolist() == [3.0, 3.0, 3.0]
    with pytest.raises(
        ValueError, match=r"points\.shape = \[2, 1, 3\], \[2, 1, 5\]: they differ: take some by at"
    ):
        found["points"]


def test_what_was_measured_now_and_then_has_no_axis_of_generations():
    values = {"0.5/often": torch.zeros(2, 4), "0.5/twice": torch.zeros(2, 2, 7)}
    found = result(values, axes=["alpha"], settings={"runs": 2, "generations": 3})
    assert list(found.axes_of("often")) == ["alpha", "run", "generation"]
    assert list(found.axes_of("twice")) == ["alpha", "run"]
    assert found.at("twice", run=0, alpha=0.5).shape == (2, 7)
    assert list(found.axes) == ["alpha", "run", "generation"]
    with pytest.raises(ValueError, match=r"^generation = 1: the axes of 'twice' are alpha, run"):
        found.at("twice", generation=1)
