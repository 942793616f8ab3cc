"""The ledger: verdicts follow from numbers, in every combination."""

import json

import pytest

from scoredrift import Estimate, ledger


def record(kind, value, bound, **more):
    return getattr(ledger, kind)("C1", "s", value, bound, seed=1, scale="quick", **more)


@pytest.mark.parametrize(
    ("kind", "value", "bound", "verdict"),
    [
        ("at_most", 1.0, 2.0, "holds"),
        ("at_most", 2.0, 1.0, "fails"),
        ("at_most", Estimate(1.04, 0.01), 1.0, "undecided"),
        ("at_most", Estimate(1.06, 0.01), 1.0, "fails"),
        ("at_most", 1.06, Estimate(1.0, 0.01), "fails"),  # the error of either side counts
        ("at_most", Estimate(1.06, 0.01), Estimate(1.0, 0.01), "undecided"),
        ("at_least", 2.0, 1.0, "holds"),
        ("at_least", 1.0, 2.0, "fails"),
        ("at_least", Estimate(0.96, 0.01), 1.0, "undecided"),
        ("equal", Estimate(1.04, 0.01), 1.0, "holds"),
        ("equal", Estimate(1.06, 0.01), 1.0, "fails"),
        ("equal", Estimate(0.94, 0.01), 1.0, "fails"),
        ("equal", 1.0, 1.0 + 1e-12, "fails"),
    ],
)
def test_verdict_follows_from_the_numbers(kind, value, bound, verdict):
    assert record(kind, value, bound).verdict == verdict


def test_a_tolerance_widens_an_equality_only_by_itself():
    assert record("equal", 1.09, 1.0, tolerance=0.1).verdict == "holds"
    assert record("equal", 1.11, 1.0, tolerance=0.1).verdict == "fails"


HOLDS, FAILS = record("at_most", 1, 2), record("at_most", 2, 1)
NOISY = record("at_most", Estimate(1.01, 0.01), 1)
MENDED, STILL_WRONG = record("at_most", 1, 2, correction=True), record("at_most", 2, 1, correction=True)
MEASURED = ledger.measured("C1", "s", 1.0, seed=1, scale="quick")


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([], "not yet examined"),
        ([HOLDS], "holds"),
        ([HOLDS, MEASURED], "holds"),
        ([HOLDS, FAILS], "fails as stated"),
        ([HOLDS, FAILS, MENDED], "holds with correction"),
        ([FAILS, MENDED, STILL_WRONG], "fails as stated"),
        ([HOLDS, NOISY], "undecided"),
        ([MEASURED], "measured"),
        ([STILL_WRONG], "undecided"),
    ],
)
def test_verdict_of_a_claim(checks, verdict):
    claim = ledger.claims()[0]
    assert ledger.verdict(claim, checks) == verdict


def test_a_statement_that_nobody_knows_stays_unknown():
    unknown = [c for c in ledger.claims() if c.known == "unknown"]
    assert [ledger.verdict(c, []) for c in unknown] == ["unknown", "unknown"]


def test_every_claim_of_the_paper_has_a_row():
    ids = [c.id for c in ledger.claims()]
    assert len(set(ids)) == len(ids)
    assert {f"C{k}" for k in range(1, 18)} <= set(ids)


def test_records_survive_the_notebook():
    data, metadata = FAILS._repr_mimebundle_()
    outputs = json.loads(json.dumps([{"data": data, "metadata": metadata}, {"output_type": "stream"}]))
    (found,) = ledger.collect(outputs, "book/chapter")
    assert (found.verdict, found.value, found.bound, found.chapter) == ("fails", 2.0, 1.0, "book/chapter")


def test_json_has_every_claim_with_its_verdict():
    rows = json.loads(ledger.as_json([HOLDS]))
    assert [r["id"] for r in rows] == [c.id for c in ledger.claims()]
    assert rows[0]["verdict"] == "holds"
    assert rows[0]["checks"][0]["bound"] == 2.0
    assert rows[1]["verdict"] == "not yet examined"


@pytest.mark.parametrize(
    ("claim", "value", "message"),
    [
        ("C99", 1.0, r"claim = 'C99'.*use one of"),
        ("C1", float("nan"), "value = nan"),
        ("C1", float("inf"), "value = inf"),
    ],
)
def test_bad_records_are_refused(claim, value, message):
    with pytest.raises(ValueError, match=message):
        ledger.at_most(claim, "s", value, 1.0, seed=None, scale="quick")


def test_html_is_escaped():
    check = ledger.at_most("C1", "a <b> & c", 1, 2, seed=None, scale="quick")
    assert "a &lt;b&gt; &amp; c" in check._repr_mimebundle_()[0]["text/html"]
