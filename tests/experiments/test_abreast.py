"""Runs side by side within a time: the same numbers as one after the other, wherever they are cut."""

import itertools

import pytest
import torch

from helpers import needs_cuda
from scoredrift.experiments import (
    ALPHAS,
    EXACT,
    LITERAL,
    Experiment,
    file_name,
    mixture,
    run_abreast,
    stored,
)
from scoredrift.runs import load

LAST = 4
SETTINGS = {"about": "a second", "size": 40, "generations": LAST, "runs": 2, "steps": 4}
TINY = Experiment("tiny", "a small mixture", {"quick": SETTINGS}, EXACT.task)


class Clock:
    """Time that passes by a second with every look."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


def advance(out, **changes):
    options = {"experiment": TINY, "device": "cpu", "seed": 3, "say": lambda line: None} | changes
    return run_abreast("quick", out=out, **options)


def result(out):
    return load(out / file_name("tiny", "quick"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    options = {"seed": 3, "device": "cpu", "workers": 1, "progress": False}
    return EXACT.task(SETTINGS, folder=tmp_path_factory.mktemp("whole"), **options)


def assert_same(values, wanted):
    assert values.keys() == wanted.keys()
    assert all(torch.equal(values[name], wanted[name]) for name in wanted)


def test_side_by_side_gives_what_one_after_the_other_gives(tmp_path, whole):
    assert advance(tmp_path) == LAST
    values, note = result(tmp_path)
    assert_same(values, whole)
    assert note["reached"] == LAST
    assert note["precision"] == "torch.float32"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-quick.safetensors"]
    assert stored("tiny", "quick", tmp_path).provenance["resumed"] is False


@pytest.mark.parametrize("patience", [4, 9, 14, 40])
def test_wherever_time_ends_all_alphas_are_at_one_generation_and_go_on_to_the_same_numbers(
    tmp_path, whole, patience
):
    clock, calls = Clock(), 0
    while advance(tmp_path, clock=clock, until=clock.now + patience) < LAST:
        calls += 1
        assert calls < 50, "no progress"
        if not (tmp_path / file_name("tiny", "quick")).exists():
            continue
        values, note = result(tmp_path)
        reached = note["reached"]
        for alpha in ALPHAS:
            for name in ("mean", "second_moment"):
                wanted = whole[f"{alpha}/{name}"][:, : reached + 1]
                assert torch.equal(values[f"{alpha}/{name}"], wanted)
            if reached == LAST // 2:  # the whole has a picture of it, too
                assert torch.equal(values[f"{alpha}/picture"][2], whole[f"{alpha}/picture"][1])
            if reached < LAST:
                with pytest.raises(ValueError, match=f"reached generation {reached} of {LAST} only; say so"):
                    stored("tiny", "quick", tmp_path)
                assert stored("tiny", "quick", tmp_path, partial=True).note["reached"] == reached
    assert calls > 0
    values, note = result(tmp_path)
    assert_same(values, whole)
    assert note["provenance"]["resumed"] is True
    assert len(note["parts"]) == calls + 1
    assert note["provenance"]["seconds"] == pytest.approx(sum(part["seconds"] for part in note["parts"]))


def test_no_generation_is_begun_that_would_end_too_late(tmp_path, monkeypatch):
    """Each generation takes 10 s by the clock, so from 20 s on none fits into 31."""
    times = []

    def clock():
        return 10.0 * len(times)

    true = mixture.Measure.__call__
    monkeypatch.setattr(mixture.Measure, "__call__", lambda *words: times.append(1) or true(*words))
    assert advance(tmp_path, clock=clock, until=30.9) == 0
    assert len(times) == 2


@pytest.mark.parametrize("at", [1, 2, 6, 17])
def test_a_kill_costs_at_most_one_generation_of_one_alpha(tmp_path, whole, monkeypatch, at):
    true, counter = mixture.Measure.__call__, itertools.count(1)

    def measure(self, generation):
        if next(counter) == at:
            raise KeyboardInterrupt
        return true(self, generation)

    with monkeypatch.context() as patch:
        patch.setattr(mixture.Measure, "__call__", measure)
        with pytest.raises(KeyboardInterrupt):
            advance(tmp_path)
        assert advance(tmp_path) == LAST
    assert_same(result(tmp_path)[0], whole)
    # Two runs share their generation 0 among three alphas; all the others are computed once.
    assert next(counter) - 1 == 2 * (1 + 3 * LAST) + 1


def test_what_is_complete_is_not_computed_again(tmp_path, monkeypatch):
    advance(tmp_path)
    monkeypatch.setattr(mixture.Measure, "__call__", lambda *words: pytest.fail("computed again"))
    assert advance(tmp_path) == LAST
    with pytest.raises(ValueError, match=r"^seed = 4: .*tiny-quick.* has 3; choose another folder"):
        advance(tmp_path, seed=4)


def test_a_state_of_other_settings_is_refused(tmp_path):
    clock = Clock()
    assert advance(tmp_path, clock=clock, until=20) < LAST
    with pytest.raises(ValueError, match=r"^seed = 4: .*state.* has 3; choose another folder"):
        advance(tmp_path, seed=4)
    with pytest.raises(ValueError, match=r"^size = 41: .*choose another folder"):
        advance(tmp_path, settings=SETTINGS | {"size": 41})
    with pytest.raises(ValueError, match=r"^scale = 'huge': choose one of quick"):
        run_abreast("huge", out=tmp_path, device="cpu", experiment=TINY)


def test_a_rehearsal_is_no_result(tmp_path):
    advance(tmp_path, settings=SETTINGS)
    with pytest.raises(ValueError, match="a rehearsal's: its sizes are tiny"):
        stored("tiny", "quick", tmp_path, partial=True)


def test_the_state_of_the_paper_s_run_is_small_enough_to_carry(tmp_path):
    paper = LITERAL.scales["paper"]
    exact = {key: value for key, value in paper.items() if key != "steps"} | {"generations": 1}
    clock = Clock()
    advance(tmp_path, settings=exact, clock=clock, until=12)
    drawn, moments, picture = 4 * 10 * paper["size"], 2 * 8 * 10, 4 * 80 * 80
    size = (tmp_path / "tiny-quick-state.safetensors").stat().st_size
    assert size > 3 * drawn
    assert size + 3 * (paper["generations"] + 1) * (moments + picture) < 15_000_000


@needs_cuda
def test_on_cuda_a_run_that_was_cut_ends_with_the_numbers_of_one_that_was_not(tmp_path):
    settings = SETTINGS | {"size": 3000, "runs": 1}
    once, parts, clock = tmp_path / "once", tmp_path / "parts", Clock()
    assert advance(once, device="cuda", settings=settings) == LAST
    while advance(parts, device="cuda", settings=settings, clock=clock, until=clock.now + 9) < LAST:
        pass
    assert_same(result(parts)[0], result(once)[0])
