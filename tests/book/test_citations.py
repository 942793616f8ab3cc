"""Citations: the same names and year are one work."""

from collections import Counter
from pathlib import Path

import chapters

BOOK = chapters.Book(Path(__file__).resolve().parents[2])


def test_names_and_year_tell_works_apart() -> None:
    entries = BOOK.bibliography.entries.items()
    cited = Counter((chapters.authors(entry), BOOK.years[key]) for key, entry in entries)
    assert [work for work, number in cited.items() if number > 1] == []
    assert {BOOK.years[key][:4] for key, _ in entries} == {entry.fields["year"] for _, entry in entries}


def test_letters_follow_the_order_of_the_list() -> None:
    ordered = sorted(BOOK.bibliography.entries.values(), key=chapters.ByNames().sorting_key)
    several = [(chapters.authors(e), BOOK.years[e.key]) for e in ordered if len(BOOK.years[e.key]) > 4]
    assert several == sorted(several)
    assert ("Khelifa et al.", "2026c") in several
    assert BOOK.cite("khelifa2026error")[1] == BOOK.years["khelifa2026error"]


def test_names_are_those_of_the_authors_and_not_of_latex() -> None:
    names = [chapters.authors(entry) for entry in BOOK.bibliography.entries.values()]
    assert "Topsøe" in names
    assert [name for name in names if set(name) & set("\\{}~")] == []


def test_no_author_is_called_others() -> None:
    entries = BOOK.bibliography.entries.items()
    assert [key for key, entry in entries if any(str(p) == "others" for p in entry.persons["author"])] == []
