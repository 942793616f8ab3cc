"""Evidence of drift: how often an alarm is false at the very edge of the tolerance, and how soon a true one comes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from helpers import seeded
from scoredrift.pipelines import Evidence


def runs_with_alarm(shift, *, runs, looks, n, m=1, tolerance=0.04, reference=4_000, level=0.05):
    """Generation of the first alarm in each run whose generations are off by a shift; None without one."""
    found = []
    for run in range(runs):
        g = seeded(run)
        seen = Evidence.against(
            torch.randn(reference, m, generator=g, dtype=torch.float64), tolerance=tolerance, level=level
        )
        off = torch.zeros(m, dtype=torch.float64)
        off[0] = seen.margin if shift is None else shift
        first = None
        for look in range(looks):
            seen = seen.look(torch.randn(n, m, generator=g, dtype=torch.float64) + off)
            if seen.alarm:
                first = look
                break
        found.append(first)
    return found


def test_at_the_edge_an_alarm_is_false_as_seldom_as_was_said():
    """The mean is off by all that is tolerated, on one axis: the wealth is a martingale, one in twenty is the most."""
    runs = 300
    false = sum(one is not None for one in runs_with_alarm(None, runs=runs, looks=10, n=400))
    assert 0 < false <= runs * 0.05 + 5 * math.sqrt(runs * 0.05 * 0.95)


def test_without_drift_there_is_no_alarm():
    assert not any(runs_with_alarm(0.0, runs=40, looks=10, n=500, m=10))


def test_a_small_reference_does_not_alarm():
    """Twenty features and four hundred points of the data, whose mean is off by what chance makes it."""
    runs = 100
    found = runs_with_alarm(0.0, runs=runs, looks=10, n=1_000, m=20, tolerance=0.0, reference=400)
    assert sum(one is not None for one in found) <= runs * 0.05 + 5 * math.sqrt(runs * 0.05 * 0.95)


def test_drift_is_seen_the_sooner_the_larger_it_is():
    delays = []
    for shift in (0.4, 0.6, 1.0):
        found = runs_with_alarm(shift, runs=40, looks=20, n=300, m=10)
        assert all(one is not None for one in found)
        delays.append(sum(found) / len(found))
    assert delays[0] > delays[1] > delays[2]
    assert delays[2] < 1


def test_all_directions_are_looked_at():
    g = seeded(1)
    data = torch.randn(4_000, 6, generator=g, dtype=torch.float64) @ torch.randn(6, 6, generator=g).double()
    for axis in range(6):
        for sign in (1.0, -1.0):
            seen = Evidence.against(data, tolerance=0.01)
            off = torch.linalg.solve(seen.whitening, sign * torch.eye(6, dtype=torch.float64)[axis])
            fresh = data[torch.randint(4_000, (800,), generator=g)]
            assert seen.look(fresh + off).alarm


def test_an_alarm_stays_and_looks_do_not_change_what_was():
    g = seeded(2)
    data = torch.randn(2_000, 2, generator=g, dtype=torch.float64)
    begun = Evidence.against(data, tolerance=0.01)
    alarmed = begun.look(torch.randn(1_000, 2, generator=g, dtype=torch.float64) + 1)
    later = alarmed.look(torch.randn(50_000, 2, generator=g, dtype=torch.float64))
    assert alarmed.alarm
    assert later.alarm
    assert later.log_wealth < alarmed.log_wealth
    assert (len(begun.wealth), begun.log_wealth, begun.highest) == (0, pytest.approx(0), 0)


def test_parts_of_a_generation_count_as_one():
    """In whole blocks, however the points come."""
    g = seeded(3)
    data = torch.randn(2_000, 3, generator=g, dtype=torch.float64)
    x = torch.randn(1_000, 3, generator=g, dtype=torch.float64) + 0.2
    begun = Evidence.against(data, tolerance=0.01)
    whole, parts = begun.look(x), begun
    for part in x.split(200):
        parts = parts.look(part)
    assert len(parts.wealth) == 5
    torch.testing.assert_close(parts.wealth[:1], whole.wealth)


def test_what_is_lost_within_the_tolerance_is_not_waited_for():
    """Nineteen generations without drift, then one far outside: a single wealth would have to win all of it back."""
    g = seeded(5)
    seen = Evidence.against(torch.randn(4_000, 3, generator=g, dtype=torch.float64), tolerance=0.1)
    for _ in range(19):
        seen = seen.look(torch.randn(1_000, 3, generator=g, dtype=torch.float64))
    first = float(torch.logsumexp(seen.wealth[0], 0)) - math.log(seen.wealth.shape[1])
    assert first < -2
    assert seen.log_wealth > math.log(1 / 40)  # what began last, and what has not begun
    seen = seen.look(torch.randn(200, 3, generator=g, dtype=torch.float64) + 1)
    assert seen.alarm
    assert float(torch.logsumexp(seen.wealth[0], 0)) - math.log(seen.wealth.shape[1]) < Evidence.enough(0.05)


def test_weights_of_all_beginnings_add_up_to_one():
    """Wealth that neither wins nor loses stays one, however many looks there were."""
    seen = Evidence.against(torch.randn(500, 2, generator=seeded(6)), tolerance=0.1)
    for looks in (0, 1, 2, 50):
        still = replace(seen, wealth=torch.zeros(looks, seen.wealth.shape[1], dtype=torch.float64))
        assert still.log_wealth == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("data", [[-1.0, 1.0] * 50, [0.0] * 99 + [100.0]])
def test_wealth_by_hand(data):
    """One axis, two points: the first block bets nothing, the second along the first. A long tail is cut."""
    points = torch.tensor(data, dtype=torch.float64)[:, None]
    known = (points - points.mean()) / points.std()
    seen = Evidence.against(points, tolerance=0.01).look(
        points.mean() + 0.3 * points.std() * torch.ones(1, 1)
    )
    assert seen.log_wealth == pytest.approx(0)
    seen = seen.look(points.mean() + 2 * points.std() * torch.ones(1, 1))
    gain = 2 - float(known.clamp(-5, 5).mean()) - seen.margin
    won = float(torch.log1p(seen.stakes * gain).exp().mean())
    wanted = won / 2 + won / 6 + 1 / 3  # begun with the first look, with the second, and not yet
    assert seen.log_wealth == pytest.approx(math.log(wanted))


DATA = torch.randn(100, 2, generator=seeded(4))


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("tolerance", {"tolerance": -1.0}),
        ("tolerance", {"tolerance": math.nan}),
        ("level", {"level": 0.0}),
        ("level", {"level": 1.0}),
        ("data", {"data": DATA * math.nan}),
        ("data", {"data": torch.cat([DATA, DATA[:, :1]], 1)}),
        ("data", {"data": torch.ones(100, 2)}),
        ("data.shape", {"data": DATA[:19]}),
        ("data.shape", {"data": DATA[:, 0]}),
        ("data.dtype", {"data": DATA.long()}),
    ],
)
def test_bad_input_is_refused(named, arguments):
    with pytest.raises(ValueError, match=f"^{named} = "):
        Evidence.against(**({"data": DATA, "tolerance": 0.1} | arguments))


@pytest.mark.parametrize(
    ("named", "features"),
    [
        ("features.shape", torch.zeros(5, 3)),
        ("features.shape", torch.zeros(0, 2)),
        ("features", torch.full((5, 2), math.inf)),
        ("features.dtype", torch.zeros(5, 2, dtype=torch.int64)),
    ],
)
def test_bad_looks_are_refused(named, features):
    with pytest.raises(ValueError, match=f"^{named} = "):
        Evidence.against(DATA, tolerance=0.1).look(features)
