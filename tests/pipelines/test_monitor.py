"""The monitor: what it says of stable and of drifting pipelines, and that nothing which it was shown is lost."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch

from helpers import seeded
from scoredrift import Estimate, Flow, OrnsteinUhlenbeck, mixture_of_three
from scoredrift.pipelines import Course, ExcessEnergy, Monitor, monitor
from scoredrift.runs import locked


def sample(g, shift=0.0, n=1_500, m=6):
    return torch.randn(n, m, generator=g, dtype=torch.float64) + shift


def deviations(bias, alpha, generations):
    """Of every mean, with a bias that is always the same."""
    return [bias * (1 - (1 - alpha) ** (i + 1)) / alpha for i in range(generations)]


def watched(bias, *, generations=6, alpha=0.2, folder=None, seed=0, **options):
    g = seeded(seed)
    one = Monitor(sample(g, n=4_000), alpha=alpha, tolerance=0.1, folder=folder, **options)
    for shift in deviations(bias, alpha, generations):
        one.look(sample(g, shift))
    return one


def test_a_stable_pipeline_is_left_in_peace():
    for seed in range(10):
        for reading in watched(0.01, seed=seed).readings:
            assert not reading.alarm
            assert reading.drift.value < 0.1


def test_a_warning_comes_before_the_drift_and_an_alarm_after_it():
    found = watched(0.04, generations=20).readings
    outside = next(i for i, one in enumerate(found) if one.drift.value > 0.1)
    warned = next(i for i, one in enumerate(found) if one.warning)
    alarmed = next(i for i, one in enumerate(found) if one.alarm)
    assert warned < outside <= alarmed
    assert all(one.alarm for one in found[alarmed:])
    assert "warning: the forecast leaves the tolerance" in str(found[warned])
    assert "ALARM" in str(found[alarmed])


def test_what_a_reading_knows_grows_with_the_generations():
    first, second, third = watched(0.05, generations=3).readings
    assert (first.parts, first.forecast, first.warning) == (None, None, False)
    assert second.parts.bias.value == pytest.approx(6 * 0.05**2, abs=5 * second.parts.bias.stderr)
    assert second.forecast is None
    wanted = 6 * deviations(0.05, 0.2, 11)[10] ** 2
    assert third.forecast.low < wanted < third.forecast.high
    late = watched(0.05, generations=4, horizon=2).readings[-1]
    assert late.horizon == 4  # a generation that has been is not forecast


def test_a_folder_goes_on_where_it_stopped(tmp_path):
    whole = watched(0.04)
    half = watched(0.04, generations=3, folder=tmp_path)
    g = seeded(0)
    data = sample(g, n=4_000)
    rest = [sample(g, shift) for shift in deviations(0.04, 0.2, 6)][3:]
    again = Monitor(data, alpha=0.2, tolerance=0.1, folder=tmp_path)
    assert [one.as_json() for one in again.readings] == [one.as_json() for one in half.readings]
    for features in rest:
        again.look(features)
    lines = (tmp_path / monitor.LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [one.as_json() for one in whole.readings]


KILLED = """
    import torch
    from scoredrift.pipelines import Monitor

    g = torch.Generator().manual_seed(0)
    def sample(n): return torch.randn(n, 6, generator=g, dtype=torch.float64)
    one = Monitor(sample(4000), alpha=0.2, tolerance=0.1, folder={folder!r})
    for _ in range(len(one.readings)):
        sample(1500)
    print(len(one.readings), flush=True)
    while len(one.readings) < 40:
        one.look(sample(1500))
        print(len(one.readings), flush=True)
"""


def test_killed_at_any_moment_it_loses_nothing(tmp_path):
    """Five times without warning: what had been answered is in the log, and the rest comes to the same numbers."""
    code = textwrap.dedent(KILLED.format(folder=str(tmp_path)))
    counted = 0
    for after in (3, 1, 4, 2, 5):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        begun = int(process.stdout.readline())
        assert begun >= counted
        for _ in range(after):
            counted = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        lines = (tmp_path / monitor.LOG).read_text(encoding="utf-8").splitlines()
        assert len([json.loads(line) for line in lines]) >= counted
    g = seeded(0)
    data = sample(g, n=4_000)
    again, anew = (
        Monitor(data, alpha=0.2, tolerance=0.1, folder=tmp_path),
        Monitor(data, alpha=0.2, tolerance=0.1),
    )
    for _ in again.readings:
        anew.look(sample(g))
    assert [one.as_json() for one in again.readings] == [one.as_json() for one in anew.readings]


def test_a_line_that_is_missing_or_broken_is_written_again(tmp_path):
    kept = watched(0.04, generations=3, folder=tmp_path)
    log = tmp_path / monitor.LOG
    whole = log.read_text(encoding="utf-8")
    for left in (whole[:-20], "", "no JSON"):
        log.write_text(left, encoding="utf-8")
        Monitor(kept.data, alpha=0.2, tolerance=0.1, folder=tmp_path)
        assert log.read_text(encoding="utf-8") == whole


def test_a_full_disk_is_an_error_and_the_look_can_be_repeated(tmp_path, monkeypatch):
    kept = watched(0.04, generations=2, folder=tmp_path)
    features = sample(seeded(9), 0.1)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(monitor, "save", full)
        with pytest.raises(OSError, match="No space"):
            kept.look(features)
    assert len(kept.readings) == 2
    assert kept.look(features).generation == 2


def test_another_pipeline_is_refused(tmp_path):
    kept = watched(0.04, generations=1, folder=tmp_path)
    for other, named in (
        ({"alpha": 0.3}, "alpha"),
        ({"tolerance": 0.2}, "tolerance"),
        ({"horizon": 5}, "horizon"),
    ):
        with pytest.raises(
            ValueError, match=f"^folder = .*begun with another {named}; choose another folder"
        ):
            Monitor(kept.data, **({"alpha": 0.2, "tolerance": 0.1, "folder": tmp_path} | other))
    with pytest.raises(ValueError, match=r"^folder = .*begun with another data;"):
        Monitor(kept.data + 1, alpha=0.2, tolerance=0.1, folder=tmp_path)
    (tmp_path / monitor.SETTINGS).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^folder = .*monitor.json is damaged"):
        Monitor(kept.data, alpha=0.2, tolerance=0.1, folder=tmp_path)


def test_points_that_are_handed_on_are_counted_as_such(tmp_path):
    one, other = (watched(0.05, generations=3, reused=reused) for reused in (True, False))
    g = seeded(0)
    data = sample(g, n=4_000)
    seen = [sample(g, shift) for shift in deviations(0.05, 0.2, 3)]
    whole = Course.of(data, seen, alpha=0.2, reused=True)
    assert one.readings[-1].parts.noise.value == pytest.approx(whole.parts.noise.value)
    assert one.readings[-1].parts.noise.value > other.readings[-1].parts.noise.value
    watched(0.05, generations=1, folder=tmp_path, reused=True)
    with pytest.raises(ValueError, match=r"^folder = .*begun with another reused"):
        watched(0.05, generations=1, folder=tmp_path)


def test_two_at_a_time_are_refused(tmp_path):
    kept = watched(0.04, generations=1, folder=tmp_path)
    with locked(tmp_path), pytest.raises(ValueError, match=r"^folder = .*another run is at work"):
        kept.look(sample(seeded(8)))
    assert len(kept.readings) == 1


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("alpha", {"alpha": 0.0}),
        ("tolerance", {"tolerance": 0.0}),
        ("tolerance", {"tolerance": math.inf}),
        ("horizon", {"horizon": 0}),
        ("level", {"level": 1.0}),
        ("data.shape", {"data": torch.zeros(5, 2)}),
    ],
)
def test_bad_settings_are_refused(named, arguments):
    with pytest.raises(ValueError, match=f"^{named} = "):
        Monitor(**({"data": sample(seeded(1)), "alpha": 0.2, "tolerance": 0.1} | arguments))


@pytest.mark.parametrize(
    "bad", [torch.zeros(100, 5), torch.full((100, 6), math.nan), torch.zeros(10, 6).double()]
)
def test_bad_samples_are_refused_and_not_counted(bad, tmp_path):
    kept = watched(0.04, generations=1, folder=tmp_path)
    with pytest.raises(ValueError, match=r"^(features|generations\[1\])(\.shape)? = "):
        kept.look(bad)
    assert len(kept.readings) == 1
    assert len(list(tmp_path.glob("generation-*"))) == 1


OU = OrnsteinUhlenbeck(0.05, 4.0)
LAW = mixture_of_three()
TRUE = Flow(LAW, OU)


def pushed(by):
    """The exact score with a constant error, of energy by² a unit of time."""
    return lambda x, t: TRUE(x, t) + by


def against_truth(**options):
    return ExcessEnergy(LAW.sample(3000, generator=seeded(8)), TRUE, OU, levels=3, **options)


def test_the_excess_over_the_exact_score_is_the_energy_by_level():
    found = against_truth()(pushed(0.5))
    widths = OU.geometric_grid(3).flip(0).diff()
    for one, width in zip(found.levels, widths.tolist(), strict=True):
        assert abs(one.sigmas_from(0.25 * width)) < 5
    assert abs(found.total.sigmas_from(0.25 * (OU.t_max - OU.t_min))) < 5


def test_all_scores_see_the_same_points_and_noises():
    excess = against_truth()
    one, other = excess(pushed(0.3)), excess(pushed(0.3))
    assert one.levels == other.levels
    assert excess(TRUE).total == Estimate(0.0, 0.0)
    assert against_truth(seed=1)(pushed(0.3)).total != one.total


def test_a_score_that_gets_worse_at_one_level_is_seen_there():
    middle = OU.geometric_grid(3).flip(0)[1:3].tolist()

    def worse(x, t):
        return TRUE(x, t) + 0.5 * ((t > middle[0]) & (t < middle[1])).to(x.dtype)[:, None]

    low, inside, high = against_truth()(worse).levels
    assert (low.value, high.value) == (0, 0)
    assert inside.value > 5 * inside.stderr


def test_a_monitor_with_scores_keeps_their_excess(tmp_path):
    g = seeded(0)
    data, later = sample(g, n=4_000), [sample(g) for _ in range(3)]
    options = {"alpha": 0.2, "tolerance": 0.1, "folder": tmp_path, "excess": against_truth()}
    one = Monitor(data, **options)
    one.look(later[0], score=TRUE)
    one.look(later[1], score=pushed(0.2))
    one.look(later[2])
    again = Monitor(data, **options)
    assert [str(reading) for reading in again.readings] == [str(reading) for reading in one.readings]
    assert again.readings[2].excess is None
    assert again.readings[1].excess.levels == one.readings[1].excess.levels
    lines = [json.loads(line) for line in (tmp_path / monitor.LOG).read_text(encoding="utf-8").splitlines()]
    assert lines[0]["excess"]["total"] == [0.0, 0.0]
    assert lines[1]["excess"]["total"][0] == pytest.approx(0.04 * 3.95, rel=0.2)
    assert lines[2]["excess"] is None
    assert f"energy over the reference's: {again.readings[1].excess.total}" in str(again.readings[1])
    with pytest.raises(ValueError, match="begun with another excess"):
        Monitor(data, **options | {"excess": None})


def test_a_score_without_a_reference_and_a_bad_score_are_refused_and_nothing_is_kept():
    g = seeded(0)
    without = Monitor(sample(g), alpha=0.2, tolerance=0.1)
    with pytest.raises(ValueError, match="score = a score: give the monitor something to compare it with"):
        without.look(sample(g), score=TRUE)
    watching = Monitor(sample(g), alpha=0.2, tolerance=0.1, excess=against_truth())
    with pytest.raises(ValueError, match=r"first\(x, t\)"):
        watching.look(sample(g), score=lambda x, t: x[:, :0])
    assert (len(without.readings), len(watching.readings)) == (0, 0)
    with pytest.raises(ValueError, match="excess = 3: pass ExcessEnergy"):
        Monitor(sample(g), alpha=0.2, tolerance=0.1, excess=3)
    with pytest.raises(ValueError, match="reference = a int: pass a score"):
        ExcessEnergy(torch.randn(9, 1), 3)
