"""Every public function, with every kind of input: right, or refused by name, value and remedy."""

import pytest

from properties import divergences, laws, observability, paths, scores
from property_cases import answer, cases_of

TABLES = (laws, scores, divergences, paths, observability)
CASES = [case for table in TABLES for entry in table.ENTRIES for case in cases_of(entry)]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.entry.name}, {case.label}" for case in CASES])
def test_answers_are_right_or_refused(case):
    assert answer(case) in ({case.wanted} if case.wanted != "either" else {"right", "refused"})
