"""Tables: aligned, no wider than a page, and with the same numbers in text and in HTML."""

import html
import math
import re

import numpy as np
import pytest
import torch

from scoredrift import Estimate
from scoredrift.notebook import Table, table, your_turn

LAWS = [
    {"law": "blur, h = 0.1", "α": 0.1, "D": Estimate(0.5783, 0.012), "last": 20, "D finite": True},
    {"law": "memory", "α": 0.25, "D": Estimate(12.1, 1.04), "last": 7, "D finite": False},
    {"law": "resampling", "α": 0.9, "D": Estimate(-2.8e-4, 6.2e-4), "last": None},
]


def test_numbers_stand_at_the_right_and_texts_at_the_left():
    assert str(table(LAWS, {"law": "", "α": ".2f", "D": "", "last": "d", "D finite": ""})) == (
        "law               α                 D  last  D finite\n"
        "blur, h = 0.1  0.10     0.578 ± 0.012    20  yes\n"
        "memory         0.25        12.1 ± 1.0     7  no\n"
        "resampling     0.90  (-2.8 ± 6.2)e-04     –  –"
    )


def test_rows_without_names_have_no_header():
    assert str(table([(1, "a"), (10, "b c")])) == " 1  a\n10  b c"
    assert str(table([(1, "a"), (10, "b c")], ["n", "kind"])) == " n  kind\n 1  a\n10  b c"
    assert str(table([Estimate(1.0, 0.1), 2.0] for _ in range(2))).count("\n") == 1


def test_columns_choose_and_order():
    shown = str(table(LAWS, ["last", "law"]))
    assert shown.splitlines()[:2] == ["last  law", "  20  blur, h = 0.1"]
    assert str(table(LAWS)).startswith("law ")  # all of them, in the order in which they come up


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.123456, "", "0.1235"),
        (1234567.0, "", "1.235e+06"),
        (1234567, "", "1234567"),
        (np.int64(3), "", "3"),
        (np.float32(0.5), ".2f", "0.50"),
        (np.bool_(True), "", "yes"),
        (torch.tensor(2.5, requires_grad=True), ".1f", "2.5"),
        (torch.tensor(False), "", "no"),
        (Estimate(1.2349, 0.0123), ".2f", "1.23 ± 0.01"),
        (Estimate(3.98), "", "3.98"),
        (Estimate(2.0, 0.1, 0.81), "", "2.00 ± 0.10 (k̂ = 0.81)"),
        (Estimate(2.0, 0.1, 0.81), ".1f", "2.0 ± 0.1 (k̂ = 0.81)"),
        (Estimate(2.0, 0.1, 0.2), "", "2.00 ± 0.10"),
        (float("inf"), ".3f", "inf"),
        (0.25, ".0%", "25%"),
        ("(noise)", ".3f", "(noise)"),
        (None, ".3f", "–"),
    ],
)
def test_a_cell_of_every_kind(value, digits, shown):
    assert table([[value]], {"x": digits}).cells == ((shown,),)


def test_accents_take_no_room():
    lines = str(table([("p̂", 1.0), ("q", 2.0)], ["law", "ε̂²"])).splitlines()
    assert lines == ["law  ε̂²", "p̂     1", "q     2"]


def test_a_text_among_numbers_stands_with_them():
    assert str(table([(0.5,), ("(noise)",)], {"cosine": ".2f"})).splitlines()[1:] == ["   0.50", "(noise)"]


WIDE = {
    "generation": 1,
    "deviation of the model before, ‖δ‖²": Estimate(0.3181, 0.0243),
    "error of the new one, ‖w‖²": Estimate(0.3171, 0.0241),
    "coherence of the two": Estimate(0.9561, 0.0172),
    "√D over its bound": 0.98,
}


def test_long_names_are_broken_before_a_table_leaves_the_page():
    lines = str(table([WIDE])).splitlines()
    assert max(map(len, lines)) <= 76
    assert lines[-1].split()[1:4] == ["0.318", "±", "0.024"]
    words = " ".join(lines[:-1]).split()
    assert sorted(words) == sorted(" ".join(WIDE).split())
    # Where there is room they stay on one line.
    short = dict(list(WIDE.items())[:2])
    assert len(str(table([short])).splitlines()) == 2


def test_data_may_force_a_table_off_the_page_but_columns_never_touch():
    long = "x" * 80
    shown = str(table([(long, 1.0, "a")], ["a long name of a column", "n", "t"]))
    assert shown.splitlines()[-1] == f"{long}  1  a"
    numbers = table([[0.1234567890] * 12] * 3, {f"n{k}": ".9f" for k in range(12)})
    assert all("  " in line.strip() for line in str(numbers).splitlines())
    assert re.findall(r"\S+", str(numbers).splitlines()[1]) == ["0.123456789"] * 12


def test_no_line_ends_in_blanks():
    assert all(line == line.rstrip() for line in str(table(LAWS)).splitlines())


def test_jupyter_shows_the_same_texts():
    shown = table(LAWS, {"law": "", "D": "", "D finite": ""})
    page = shown._repr_html_()
    cells = [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]
    assert cells == [cell for row in shown.cells for cell in row]
    assert re.findall(r"<th [^>]*>(.*?)</th>", page) == ["law", "D", "D finite"]
    assert page.count("right") == 4  # one column of numbers, with its name
    assert repr(shown) == str(shown)
    assert "<thead>" not in table([(1, 2)])._repr_html_()
    assert "&lt;b&gt;" in table([("<b>",)])._repr_html_()
    assert isinstance(shown, Table)
    assert shown == table(LAWS, {"law": "", "D": "", "D finite": ""})


REFUSED = [
    ("rows = none", "at least one", lambda: table([])),
    ("rows = dictionaries and sequences", "one kind", lambda: table([{"a": 1}, (1,)])),
    ("rows[1] = 1 cells", "2 cells", lambda: table([(1, 2), (1,)])),
    ("rows[0] = 2 cells", "pass 1 cells", lambda: table([(1, 2)], ["a"])),
    ("rows[0] = 'ab'", "sequence of cells", lambda: table(["ab", "cd"])),
    ("columns = 'c'", "the rows have a, b", lambda: table([{"a": 1, "b": 2}], ["a", "c"])),
    ("columns = '.3q'", "such as .3f", lambda: table([(1.0,)], {"a": ".3q"})),
    ("columns = 'd'", "suits 0.5", lambda: table([(0.5,)], {"a": "d"})),
    ("columns = 'd'", "suits Estimate", lambda: table([(Estimate(0.5),)], {"a": "d"})),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[case[0] for case in REFUSED])
def test_bad_tables_are_refused_by_name_and_with_a_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)) as caught:
        call()
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("guess", "truth", "said"),
    [
        (..., 2.0, "Your turn"),
        (2, 2.0, "Right: 2 for 2."),
        (1.81, 2.0, "Right"),
        (1.79, 2.0, "1.79 is too low"),
        (-1.79, -2.0, "-1.79 is too high"),
        (0.3, Estimate(0.0, 0.1), "Right"),  # within the error of what was computed
        (0.6, Estimate(0.0, 0.1), "0.6 is too high"),
        (1, 0.0, "1 is too high"),
    ],
)
def test_a_prediction_is_judged(guess, truth, said):
    assert your_turn(guess, truth).startswith(said)


@pytest.mark.parametrize("guess", ["2", None, math.nan, 1j])
def test_a_prediction_is_a_number(guess):
    with pytest.raises(ValueError, match="guess = "):
        your_turn(guess, 2.0)
