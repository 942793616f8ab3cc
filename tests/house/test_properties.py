"""Every public function, with every kind of input: right, or refused by name, value and remedy.

The table is in ``properties``, a file or two for each room; ``property_cases`` says how it is read.
"""

import functools
import importlib
import re
from collections import Counter

import pytest
from properties import (
    attention,
    budgets,
    designs,
    divergences,
    energies,
    estimates,
    experiments,
    fields,
    fits,
    generations,
    laws,
    losses,
    networks,
    observability,
    paths,
    pictures,
    pipelines,
    predictors,
    process,
    runs,
    samples,
    scores,
    variation,
)
from property_answers import answer
from property_cases import EITHER, REFUSED, RIGHT, Case, Counts, Entry, cases_of

import scoredrift

ROOMS = (
    "attention",
    "datasets",
    "divergences",
    "estimates",
    "experiments",
    "generations",
    "laws",
    "networks",
    "observability",
    "paths",
    "pipelines",
    "runs",
    "scores",
)
TABLES = (
    *(process, laws, samples, attention, scores, fields, predictors),
    *(estimates, divergences, paths, energies, observability, designs, losses),
    *(generations, budgets, fits, networks, runs, experiments, variation, pictures, pipelines),
)
ENTRIES = [entry for table in TABLES for entry in table.ENTRIES]
CASES = [case for entry in ENTRIES for case in cases_of(entry)]
EXEMPT = {name: reason for table in TABLES for name, reason in table.EXEMPT.items()}

found = functools.cache(answer)
NO_PLACE = re.compile(" at 0x[0-9a-f]*")  # in memory, which differs from process to process


@pytest.mark.parametrize(
    "case", CASES, ids=[NO_PLACE.sub("", f"{case.entry.name}, {case.label}") for case in CASES]
)
def test_answers_are_right_or_refused(case):
    assert found(case) in ({case.wanted} if case.wanted != EITHER else {RIGHT, REFUSED})


def public_names():
    return {
        f"{room}.{name}" for room in ROOMS for name in importlib.import_module(f"scoredrift.{room}").__all__
    }


def test_every_public_name_is_in_the_table_or_left_out_for_a_reason():
    tried = {".".join(entry.name.split(".")[:2]) for entry in ENTRIES}
    assert not tried & EXEMPT.keys()
    assert all(EXEMPT.values())
    assert (tried | EXEMPT.keys()) - public_names() == {name for name in tried if name.startswith("process.")}
    assert not public_names() - tried - EXEMPT.keys()


def test_what_the_package_exports_at_the_top_comes_from_a_room():
    rooms = [importlib.import_module(f"scoredrift.{room}") for room in (*ROOMS, "process")]
    below = {id(thing) for room in rooms for thing in vars(room).values()}
    assert {name for name in scoredrift.__all__ if id(getattr(scoredrift, name)) not in below} == {
        "__version__"
    }


def test_no_case_is_there_twice():
    twice = Counter((case.entry.name, case.label) for case in CASES)
    assert {name for name, times in twice.items() if times > 1} == set()


def test_counts(capsys):
    """So that the table cannot shrink, or refuse its way out, unnoticed."""
    answers = Counter(found(case) for case in CASES)
    with capsys.disabled():
        print(
            f"\n{len(public_names())} public names, {len(EXEMPT)} left out; {len(ENTRIES)} calls, {len(CASES)} cases:"
        )
        print(f"{answers[RIGHT]} right values, {answers[REFUSED]} refusals")
    assert answers.keys() == {RIGHT, REFUSED}
    assert answers[RIGHT] >= 5100
    assert answers[REFUSED] >= 7200


# The table has to notice what it is there for.


def case(call, right, wanted, value=1):
    entry = Entry("made.up", call, {"n": Counts(1)}, right)
    return Case(entry, "", {"n": value}, wanted, True, 1e-9)


@pytest.mark.parametrize(
    ("call", "begins"),
    [
        (lambda n: n + 1e-6, "is "),
        (lambda n: [n, n], "has 2 parts"),
        (lambda n: [][n], "fails with IndexError"),
        (lambda n: int("x"), "fails with ValueError"),
        (lambda n: scoredrift.OrnsteinUhlenbeck(2.0, n), "refuses what is valid"),
    ],
)
def test_wrong_answers_are_seen(call, begins):
    assert answer(case(call, lambda n: n, RIGHT)).startswith(begins)


def test_answers_where_there_is_none_are_seen():
    assert answer(case(lambda n: n, lambda n: n, REFUSED)).startswith("answers")
    assert answer(case(lambda n: n, lambda n: 1 / 0, EITHER)).startswith("answers")
    assert answer(case(lambda n: float("nan"), lambda n: n, EITHER)).startswith("is nan")
