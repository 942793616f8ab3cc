"""A run has its own random numbers, and ends with the same digits however rudely it is interrupted."""

import math
import random
import sys
import time
from itertools import product

import pytest
import torch

from killing import killed_at_the_end, needs_forkserver, wait_until
from scoredrift import KernelDensity, KernelFit, OrnsteinUhlenbeck, mixture_of_five
from scoredrift.generations import Accumulate, FreshFraction, Replace, recurse
from scoredrift.runs import generator_for


def test_the_same_path_is_the_same_stream_and_any_other_is_another():
    names = product([0, 1, 2**40], [(), (0,), (1,), (0, 1), (1, 0), (10,), ("a",), ("ab",), ("a", "b")])
    long = product([5, 6], product(range(1000), ["fit", "sample"]))
    paths = [(seed, *path) for seed, path in [*names, *long]]
    first, again = ([tuple(torch.rand(3, generator=generator_for(*p)).tolist()) for p in paths] for _ in "12")
    assert first == again
    assert len(set(first)) == len(paths)


def test_streams_of_neighbouring_paths_are_uncorrelated():
    streams = [generator_for(0, i, name) for i in range(60) for name in ("fit", "measure")]
    draws = torch.stack([torch.randn(1000, generator=g, dtype=torch.float64) for g in streams])
    products = draws @ draws.T / math.sqrt(1000)
    assert float(products.triu(1).abs().max()) < 6  # 7140 standard normals, nearly


class Spy:
    """Target, fit, model, regime and measurement in one, which notes the seeds of its generators."""

    def __init__(self):
        self.seeds = []

    def __call__(self, data, *, generator):
        self.seeds.append(generator.initial_seed())
        return self

    def sample(self, n, *, generator):
        self.seeds.append(generator.initial_seed())
        return torch.randn(n, 1, generator=generator)

    def training_set(self, fresh, drawn, past, *, generator):
        self.seeds.append(generator.initial_seed())
        return torch.cat([fresh(1), drawn])

    def measure(self, generation):
        self.seeds.append(generation.generator.initial_seed())
        return {}


def test_every_purpose_of_every_generation_has_a_stream_of_its_own():
    spy = Spy()
    for seed in (1, 2):
        recurse(spy, spy, regime=spy, generations=3, size=5, seed=seed, measure=spy.measure)
    assert len(set(spy.seeds)) == len(spy.seeds) == 2 * (4 + 3 * 5)


def exactly(history):
    """All that a history holds, in a form that compares types and all digits."""
    measured = [{name: (x.dtype, x.tolist()) for name, x in one.items()} for one in history.measured]
    return measured, history.drawn.tolist()


def noisy(data, *, generator):
    """A fit with randomness of its own."""
    rows = torch.randint(len(data), (len(data),), generator=generator)
    return KernelDensity(data[rows], 0.5)


def curious(*, looks_back=True):
    """A measurement that uses all it is given."""

    def measure(generation):
        seen = {"noise": torch.rand(2, generator=generation.generator), "max": float(generation.drawn.max())}
        seen["model"] = generation.model.log_density(generation.training[:3])
        if looks_back and generation.previous is not None:
            seen["before"] = generation.previous.log_density(generation.drawn[:3])
        return seen

    return measure


def run(folder=None, calls=None, at=None, **changes):
    """A run that notes the seeds of its fits, and is interrupted where generation ``at`` would be measured.

    From outside: what fit and measure hold belongs to the settings of a run.
    """
    settings = {"fit": noisy, "target": mixture_of_five(2), "size": 40, "seed": 3, "folder": folder}
    settings |= {"regime": FreshFraction(0.5), "generations": 6, "measure": curious()}

    def watched(seed, index, purpose, **rest):
        generator = generator_for(seed, index, purpose, **rest)
        if purpose == "fit" and calls is not None:
            calls.append(generator.initial_seed())
        if (index, purpose) == (at, "measure"):
            raise KeyboardInterrupt
        return generator

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[recurse.__module__], "generator_for", watched)
        return recurse(**settings | changes)


def test_the_seed_decides_every_digit_of_a_run():
    assert exactly(run()) == exactly(run())
    one, other = run(), run(seed=4)
    assert not torch.isin(one.drawn, other.drawn).any()
    assert not torch.isin(one["noise"], other["noise"]).any()


def interrupted(folder, at, **changes):
    with pytest.raises(KeyboardInterrupt):
        run(folder, at=at, **changes)


@pytest.mark.parametrize("regime", [FreshFraction(0.5), Replace(), Accumulate()], ids=repr)
@pytest.mark.parametrize("at", [0, 1, 3, 6])
def test_a_resumed_run_ends_as_if_nothing_had_happened(tmp_path, regime, at):
    interrupted(tmp_path, at, regime=regime)
    assert exactly(run(tmp_path, regime=regime)) == exactly(run(regime=regime))


def test_a_run_interrupted_in_every_generation_ends_as_if_nothing_had_happened(tmp_path):
    for at in range(7):
        interrupted(tmp_path, at)
    assert exactly(run(str(tmp_path))) == exactly(run())


def test_finished_generations_are_not_fitted_again(tmp_path):
    all_calls, calls, measure = [], [], curious(looks_back=False)
    run(calls=all_calls)
    interrupted(tmp_path, 3, measure=measure)
    run(tmp_path, calls, measure=measure)
    assert calls == all_calls[3:]
    run(tmp_path, calls, measure=measure)
    assert calls == all_calls[3:]


def test_a_look_back_after_resumption_repeats_one_fit_with_its_numbers(tmp_path):
    all_calls, calls = [], []
    run(calls=all_calls)
    interrupted(tmp_path, 3)
    run(tmp_path, calls)
    assert calls == [all_calls[3], all_calls[2], *all_calls[4:]]


def test_a_run_can_be_continued_beyond_its_end(tmp_path):
    short = run(tmp_path, generations=3)
    assert exactly(short) == exactly(run(generations=3))
    assert exactly(run(tmp_path)) == exactly(run())


@pytest.mark.parametrize("regime", [FreshFraction(0.5), Replace()], ids=repr)
def test_a_history_is_continued_to_the_same_numbers(regime):
    rest = {"regime": regime, "measure": curious(looks_back=False)}
    short = run(generations=3, **rest)
    assert exactly(run(after=short, **rest)) == exactly(run(**rest))
    assert len(short.measured) == 4  # and is not changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regime": Accumulate()}, "^past = None: .*checkpoints"),
        ({"measure": curious()}, "^model of generation 3 = None: .*checkpoints"),
        ({"generations": 2}, "^generations = 2: the history is of 3 already"),
        ({"folder": "somewhere"}, "^after = a history: .*one of the two"),
    ],
    ids=["past", "looks back", "shorter", "folder"],
)
def test_what_a_history_cannot_continue_is_refused(changes, message):
    short = run(generations=3)
    with pytest.raises(ValueError, match=message):
        run(after=short, **changes)


def test_a_damaged_checkpoint_costs_a_generation_and_not_the_result(tmp_path):
    interrupted(tmp_path, 4)
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=newest.name):
        assert exactly(run(tmp_path)) == exactly(run())


def other(generation):
    return {}


CHANGES = [{"seed": 4}, {"size": 41}, {"regime": Replace()}, {"measure": other}, {"measure": None}]
CHANGES += [{"target": mixture_of_five(2).blur(0.1)}, {"fit": KernelFit(0.5, OrnsteinUhlenbeck())}]
CHANGES += [{"device": "meta"}, {"generations": 4}]  # the last two states are those of 5 and 6


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_other_settings_are_refused_in_the_same_folder(tmp_path, change):
    run(tmp_path)
    with pytest.raises(ValueError, match=f"^{next(iter(change))} = .*another folder"):
        run(tmp_path, **change)


KILLS, GENERATIONS = 20, 40


def moments(generation):
    time.sleep(0.005)
    noise = torch.rand(2, generator=generation.generator)
    return {"second": generation.drawn.square().mean(0), "noise": noise}


def long_run(folder):
    fit, law = KernelFit(0.6, OrnsteinUhlenbeck()), mixture_of_five(dtype=torch.float32)
    rest = {"generations": GENERATIONS, "size": 20_000, "seed": 7, "measure": moments, "folder": folder}
    return recurse(fit, law, regime=FreshFraction(0.5), **rest)


def reached(folder):
    return max((int(path.name[11:15]) for path in folder.glob("generation-*")), default=-1)


def drafts(folder):
    return set(folder.glob(".generation-*"))


@needs_forkserver
def test_a_run_killed_twenty_times_ends_with_the_numbers_of_one_that_was_left_alone(tmp_path):
    choice, ends, in_writing = random.Random(1), [], 0
    for kill in range(KILLS):
        with killed_at_the_end(long_run, tmp_path):
            before, wanted = drafts(tmp_path), reached(tmp_path) + choice.randrange(3)
            wait_until(lambda wanted=wanted: reached(tmp_path) >= wanted)
            if kill % 2:
                wait_until(lambda before=before: drafts(tmp_path) - before)
            else:
                time.sleep(choice.uniform(0, 0.04))
        ends.append(reached(tmp_path))
        in_writing += bool(drafts(tmp_path) - before)
    assert ends == sorted(ends)
    assert len(set(ends)) > 5
    assert in_writing > 2
    assert exactly(long_run(tmp_path)) == exactly(long_run(None))
