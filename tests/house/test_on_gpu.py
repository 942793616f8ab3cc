"""The GPU in one command: budget, failures, resumption, limits and provenance, rehearsed on the CPU."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import cuda_tests
import on_gpu
from on_gpu import Run, Step
from scoredrift.experiments import LITERAL, benchmark, stored
from scoredrift.runs import load, provenance, save, save_json

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = LITERAL.scales["paper"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(on_gpu, "GRACE", 0.3)


def about(rehearsal=False, **changes):
    origin = provenance(seed=2602, device="cpu") | changes
    return {"provenance": origin, "rehearsal": rehearsal, "minutes": 0.1}


def step(out, name, code, **options):
    """A step that runs a line of Python, in which ``out`` is the folder and ``file`` its own file."""
    head = f"import os, signal, subprocess, sys, time; from pathlib import Path; out = Path({str(out)!r}); "
    head += f"file = out / '{name}.json'; until = sys.argv[-1]; "
    return Step(name, [sys.executable, "-S", "-c", head + code], f"{name}.json", **options)


def statuses(out):
    steps = json.loads((out / "summary.json").read_text(encoding="utf-8"))["steps"]
    return {name: record["status"] for name, record in steps.items()}


def test_a_step_that_fails_or_hangs_loses_neither_its_own_nor_the_others_results(tmp_path):
    began = time.monotonic()
    steps = [
        step(tmp_path, "fails", "file.write_text('half'); sys.exit(3)"),
        step(
            tmp_path,
            "hangs",
            "file.write_text('half'); print('begun', flush=True); time.sleep(99)",
            share=0.05,
        ),
        step(tmp_path, "partial", "file.write_text('half'); sys.exit(75)"),
        step(tmp_path, "good", "file.write_text('all')"),
    ]
    assert not Run(tmp_path, 60, about()).all(steps)
    assert time.monotonic() - began < 60
    wanted = {"fails": "failed", "hangs": "out of time", "partial": "partial", "good": "done"}
    assert statuses(tmp_path) == wanted
    assert [(tmp_path / s.file).read_text(encoding="utf-8") for s in steps] == ["half", "half", "half", "all"]
    log = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "hangs | begun" in log
    assert "failed: fails, hangs" in log


def printed(out, name):
    """First word that a step printed."""
    return next(
        x for x in (out / "log.txt").read_text(encoding="utf-8").splitlines() if f"{name} | " in x
    ).split()[-1]


def is_gone(pid):
    stat = Path("/proc") / pid / "stat"
    return not stat.exists() or stat.read_text(encoding="utf-8").split()[2] == "Z"


def test_a_step_that_leaves_nothing_has_failed(tmp_path):
    assert not Run(tmp_path, 300, about()).all([step(tmp_path, "empty", "pass")])
    assert statuses(tmp_path) == {"empty": "no result"}


def test_partial_is_no_failure(tmp_path):
    assert Run(tmp_path, 300, about()).all([step(tmp_path, "partial", "file.touch(); sys.exit(75)")])


def test_the_whole_ends_in_time_and_says_what_was_not_begun(tmp_path):
    began = time.monotonic()
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); import os; print(os.getpid(), flush=True); "
    stubborn += "time.sleep(30)"
    steps = [step(tmp_path, "hangs", stubborn), step(tmp_path, "late", "file.write_text('all')")]
    assert not Run(tmp_path, 4, about()).all(steps)
    assert time.monotonic() - began < 25  # it would sleep for 30
    assert statuses(tmp_path) == {"hangs": "out of time", "late": "no time"}
    assert is_gone(printed(tmp_path, "hangs"))


def test_what_a_stopped_step_had_started_is_stopped_with_it(tmp_path):
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(99)"
    code = f"subprocess.Popen([sys.executable, '-S', '-c', {child!r}]).wait()"
    Run(tmp_path, 4, about()).all([step(tmp_path, "parent", code)])
    assert is_gone(printed(tmp_path, "parent"))


def test_a_step_is_told_when_to_stop_before_it_is_stopped(tmp_path):
    code = "assert sys.argv[-2] == '--until'; file.write_text(until)"
    steps = [
        step(tmp_path, "told", code, share=0.5, reserve=100),
        step(tmp_path, "not", "file.write_text(until)"),
    ]
    began = time.time()
    assert Run(tmp_path, 1000, about()).all(steps)
    assert float((tmp_path / "told.json").read_text(encoding="utf-8")) == pytest.approx(began + 400, abs=30)
    assert (tmp_path / "not.json").read_text(encoding="utf-8") == "-c"  # no word was added


def test_another_call_repeats_what_did_not_end_and_skips_the_rest(tmp_path):
    code = "n = len(file.read_text()) if file.exists() else 0; file.write_text('x' * (n + 1)); "
    steps = [
        step(tmp_path, "fails", code + "sys.exit(n == 0)"),
        step(tmp_path, "partial", code + "sys.exit(75 if n == 0 else 0)"),
        step(tmp_path, "good", code),
    ]

    def counts():
        return [len((tmp_path / s.file).read_text(encoding="utf-8")) for s in steps]

    assert not Run(tmp_path, 300, about()).all(steps)
    assert counts() == [1, 1, 1]
    assert Run(tmp_path, 300, about()).all(steps)
    assert counts() == [2, 2, 1]
    assert Run(tmp_path, 300, about()).all(steps)
    assert counts() == [2, 2, 1]
    assert Run(tmp_path, 300, about(commit="another")).all(steps)
    assert counts() == [3, 3, 2]
    (tmp_path / "good.json").unlink()
    assert Run(tmp_path, 300, about(commit="another")).all(steps)
    assert counts() == [3, 3, 1]
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").count("good: done before") == 2


def test_a_call_that_is_interrupted_says_which_step_it_was_in(tmp_path, monkeypatch):
    run = Run(tmp_path, 5, about())

    def interrupted(process, timeout):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.all([step(tmp_path, "one", "pass"), step(tmp_path, "two", "pass")])
    assert statuses(tmp_path) == {"one": "interrupted"}


def test_rehearsal_and_results_do_not_mix(tmp_path):
    assert Run(tmp_path, 300, about(rehearsal=True)).all([step(tmp_path, "one", "file.write_text('')")])
    with pytest.raises(ValueError, match=r"^out = .*: holds a rehearsal; choose another folder"):
        Run(tmp_path, 5, about())


def test_the_folder_stays_small_and_without_drafts(tmp_path):
    (tmp_path / ".gitignore").write_text("*", encoding="utf-8")  # not ours
    draft = "(out / '.state.safetensors.0123456789abcdef0123456789abcdef').write_bytes(bytes(9)); "
    chatty = "file.touch(); print('x' * 3_000_000)"
    assert Run(tmp_path, 300, about()).all([step(tmp_path, "chatty", draft + chatty)])
    left = {".gitignore", "chatty.json", "log.txt", "summary.json"}
    assert {path.name for path in tmp_path.iterdir()} == left
    assert (tmp_path / "log.txt").stat().st_size <= on_gpu.MOST_LOG
    large = step(tmp_path, "large", "file.write_bytes(bytes(16_000_000))")
    assert not Run(tmp_path, 300, about()).all([large])
    assert statuses(tmp_path)["large"] == "done"
    (tmp_path / "large.json").unlink()
    many = step(tmp_path, "many", "file.touch(); [(out / str(i)).touch() for i in range(9)]")
    assert not Run(tmp_path, 300, about()).all([many])
    assert statuses(tmp_path)["many"] == "done"


def test_the_summary_says_where_everything_comes_from(tmp_path):
    Run(tmp_path, 300, about()).all([step(tmp_path, "one", "file.write_text('abc')")])
    found = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert found["provenance"].keys() >= {"command", "commit", "date", "device", "matmul", "seed", "versions"}
    assert found["rehearsal"] is False
    record = found["steps"]["one"]
    assert record.keys() == {"command", "commit", "device", "exit", "seconds", "status"}
    assert found["files"]["one.json"] == 3


def test_steps_fit_into_the_time_and_the_folder():
    for rehearse in (False, True):
        steps = on_gpu.steps(Path("out"), rehearse=rehearse)
        assert sum(s.share for s in steps[:-1]) <= 0.8  # figure 1, the last, goes on in another call
        assert len({s.file for s in steps}) + len({"state", "summary", "log"}) <= on_gpu.MOST_FILES
        assert all(("--rehearse" in s.command) == rehearse for s in steps)


def test_float32_products_stay_in_float32(monkeypatch):
    monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")
    assert on_gpu.environment()["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] == "0"
    assert on_gpu.environment()["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT / "src")


def test_what_is_missing_is_named_at_once_with_the_remedy(monkeypatch):
    monkeypatch.delenv("SCOREDRIFT_COMMIT", raising=False)
    assert on_gpu.not_ready(rehearse=True) is None
    with monkeypatch.context() as patch:
        patch.setitem(on_gpu.NEEDED, "no_such_module", "no-such-package")
        assert "has no no-such-package: pip install" in on_gpu.not_ready(rehearse=False)
        assert "pip download" in on_gpu.not_ready(rehearse=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "sees no CUDA device" in on_gpu.not_ready(rehearse=False)
    monkeypatch.setenv("PATH", "")  # no git
    assert "set SCOREDRIFT_COMMIT" in on_gpu.not_ready(rehearse=True)
    monkeypatch.setenv("SCOREDRIFT_COMMIT", "0123456789ab")
    assert on_gpu.not_ready(rehearse=True) is None
    assert provenance(seed=1, device="cpu")["commit"] == "0123456789ab"


def outcome(name, **changes):
    usual = {
        "nodeid": name,
        "when": "call",
        "passed": False,
        "skipped": False,
        "longrepr": "",
        "duration": 0.1,
    }
    return SimpleNamespace(**usual | changes)


def test_a_run_of_tests_in_which_all_were_skipped_is_a_failure(tmp_path):
    path = tmp_path / cuda_tests.FILE
    recorder = cuda_tests.Recorder(path, {"provenance": {}})
    skipped = {"outcome": "skipped", "skipped": True, "longrepr": ("file", 1, "Skipped: no device")}
    recorder.pytest_runtest_logreport(outcome("a", when="setup", **skipped))
    assert (
        json.loads(path.read_text(encoding="utf-8"))["tests"][0]["reason"] == "Skipped: no device"
    )  # without an end
    assert not json.loads(path.read_text(encoding="utf-8"))["complete"]
    assert not recorder.finish(0)
    recorder.pytest_runtest_logreport(outcome("b", when="setup", outcome="passed", passed=True))
    recorder.pytest_runtest_logreport(outcome("b", outcome="passed", passed=True))
    assert recorder.finish(0)
    assert not recorder.finish(3)
    assert recorder.report["passed"] == 1
    recorder.pytest_collectreport(outcome("c", outcome="failed", longrepr="E" * 9999))
    assert not recorder.finish(0)
    assert len(json.loads(path.read_text(encoding="utf-8"))["tests"][-1]["reason"]) == cuda_tests.LONGEST
    assert not cuda_tests.Recorder(path, {"provenance": {}}).finish(5)


@pytest.fixture
def finished(tmp_path):
    """A folder as a complete run leaves it, and what to change in its files."""

    def make(*, commit="0123456789ab", reached=SETTINGS["generations"], tests=None, rehearsal=None):
        origin = provenance(seed=2602, device="cpu") | {"commit": commit, "seconds": 1.0}
        mark = {"rehearsal": True} if rehearsal else {}
        save_json(tmp_path / "benchmark-cuda.json", mark | {"provenance": origin, "rows": []})
        note = {"experiment": "mixture-literal", "scale": "paper", "settings": dict(SETTINGS)}
        told = {"reached": reached, "provenance": origin}
        name = "mixture-literal-paper.safetensors"
        save(tmp_path / name, {"0.1/mean": torch.zeros(1, reached + 1, 10)}, note | told)
        summary = {"provenance": origin, "complete": True, "passed": 9, "failed": 0} | (tests or {})
        save_json(tmp_path / "cuda-tests.json", summary)
        return tmp_path

    return make


def test_results_are_stored_where_chapters_load_them(finished, tmp_path):
    results = tmp_path / "results"
    on_gpu.store(finished(), results, partial=False)
    assert stored("mixture-literal", "paper", results).values["0.1/mean"].shape == (1, 21, 10)
    assert benchmark("cuda", results)["rows"] == []
    on_gpu.store(finished(reached=12), results, partial=True)
    with pytest.raises(ValueError, match="reached generation 12 of 20 only"):
        stored("mixture-literal", "paper", results)
    assert stored("mixture-literal", "paper", results, partial=True).note["reached"] == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rehearsal": True}, "a rehearsal's"),
        ({"reached": 12}, "reached generation 12 of 20 only; say so, and pass partial=True"),
        ({"commit": "0123456789ab+"}, "uncommitted code"),
        ({"tests": {"failed": 1}}, "no CUDA tests that passed"),
        ({"tests": {"passed": 0}}, "no CUDA tests that passed"),
        ({"tests": {"complete": False}}, "no CUDA tests that passed"),
        ({"tests": {"rehearsal": True}}, "no CUDA tests that passed"),
        ({"tests": {"provenance": {"commit": "another"}}}, "no CUDA tests that passed"),
    ],
    ids=str,
)
def test_what_proves_nothing_is_not_stored(finished, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        on_gpu.store(finished(**changes), tmp_path / "results", partial=False)
    assert not (tmp_path / "results").exists()


def test_the_rehearsal_from_the_command_line(tmp_path, monkeypatch):
    """The whole rehearsal, ``make gpu REHEARSE=1``, takes a minute; these are its parts, without plans and tests."""
    own = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--rehearse", "--until", "0"]
    ran = subprocess.Popen(
        [*own, "--out", str(tmp_path)], env=on_gpu.environment(), stdout=subprocess.DEVNULL
    )
    monkeypatch.setenv("SCOREDRIFT_COMMIT", "0123456789ab")
    # An hour, of which it takes two minutes: what is tested are the parts, and not how busy the machine is.
    monkeypatch.setattr(sys, "argv", ["on_gpu.py", "--rehearse", "--out", str(tmp_path), "--minutes", "60"])
    assert on_gpu.main(lambda out, rehearse: on_gpu.steps(out, rehearse=rehearse)[2:]) == 0
    assert ran.wait() == 0
    assert statuses(tmp_path) == {"training": "done", "pixels": "done", "figure 1": "done"}
    rows = json.loads((tmp_path / "benchmark-training-cuda.json").read_text(encoding="utf-8"))["rows"]
    assert {row["name"] for row in rows if row["median"] > 0} == {"ours", "plain", "of_diffusers"}
    values, note = load(tmp_path / "fashion-pixels-rehearsal.safetensors")
    assert (note["rehearsal"], note["reached"]) == (True, 1)
    assert values["0.5/pictures"].shape[:2] == (1, 2)
    values, note = load(tmp_path / "mixture-literal-rehearsal.safetensors")
    assert note["rehearsal"] is True
    assert values["0.9/second_moment"].shape == (1, 5, 10)
    rows = json.loads((tmp_path / "benchmark-cuda.json").read_text(encoding="utf-8"))
    groups = {"score", "step", "parts", "ceiling", "lists", "images", "profile"}
    assert {row["group"] for row in rows["rows"]} == groups
    assert len(rows["left_out"]) > 10
    assert rows["provenance"]["seconds"] > 0
    with pytest.raises(ValueError, match="a rehearsal's"):
        on_gpu.store(tmp_path, tmp_path / "results", partial=True)
