"""The form that every chapter has: a head, folded book-keeping, takeaways, an exercise that checks itself."""

import re
from pathlib import Path

import nbformat
import pytest

import chapters
import reading

ROOT = Path(__file__).resolve().parents[2]
BOOK = chapters.Book(ROOT)
CHAPTERS = [page for page in BOOK.pages() if BOOK.numbers[page] is not None]
HEAD = re.compile(
    r"^:::\{admonition\} (?P<minutes>\d+) minutes\n:class: chapter-head\n\n(?P<body>.*?)^:::$", re.M | re.S
)
LEDGER = re.compile(r"\bledger\.(at_most|at_least|equal|measured)\(")


def cells(page: Path) -> list[nbformat.NotebookNode]:
    return [c for c in BOOK.read(page).cells if c.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_a_head_says_how_long_what_for_and_what_is_needed(page: Path) -> None:
    head = HEAD.search(BOOK.read(page).cells[0].source)
    assert head is not None
    found = reading.minutes(BOOK.read(page))
    assert int(head["minutes"]) == 5 * round(found / 5), f"{found:.1f} minutes"
    assert found < 37.5
    assert {"**You need**", "**You will be able to**"} <= set(re.findall(r"\*\*[^*]+\*\*", head["body"]))


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_drawing_and_checks_are_folded(page: Path) -> None:
    for cell in cells(page):
        if cell.metadata.get("mystnb", {}).get("figure"):
            assert "hide-input" in tags(cell), cell.source
        if LEDGER.search(cell.source):
            assert "check" in tags(cell), cell.source
        if "check" in tags(cell):  # it compares what other cells have computed
            assert LEDGER.search(cell.source)
            assert "print(" not in cell.source


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_results_are_said_where_they_stand(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert 2 <= len(re.findall(r"^:::\{admonition\} Takeaway$", text, re.M)) <= 6


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_an_exercise_checks_itself(page: Path) -> None:
    turns = [c for c in cells(page) if "your_turn(" in c.source]
    assert turns
    assert all(re.search(r"^guess = \.\.\.", c.source, re.M) for c in turns)


@pytest.mark.parametrize("page", BOOK.numbers, ids=str)
def test_numbers_of_chapters_in_links_are_right(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for number, target in re.findall(r"\[(?:[Cc]hapters? )?(\d+)\]\(([\w./-]+\.md)\)", text):
        found = ((ROOT / page).parent / target).resolve().relative_to(ROOT)
        assert int(number) == BOOK.numbers[found], f"{number} for {target}"


def test_cards_of_the_front_page_have_the_numbers_of_their_chapters() -> None:
    text = (ROOT / "book/intro.md").read_text(encoding="utf-8")
    cards = re.findall(r"^:::\{grid-item-card\} (?:(\d+)\. )?.*\n:link: (\S+)$", text, re.M)
    assert {Path(f"book/{link}.md"): int(number or 0) for number, link in cards} == {
        page: BOOK.numbers[page] for page in CHAPTERS
    }


def test_practice_is_where_the_front_page_promises_it() -> None:
    text = (ROOT / "book/intro.md").read_text(encoding="utf-8")
    assert "“In practice”" in text
    item = next(line for line in text.splitlines() if "**You run a pipeline.**" in line)
    pages = [Path("book") / link for link in re.findall(r"\]\((part\d/[\w-]+\.md)\)", item)]
    assert len(pages) >= 6
    for page in pages:
        assert "\n**In practice:** " in (ROOT / page).read_text(encoding="utf-8"), page


@pytest.mark.parametrize("page", CHAPTERS, ids=str)
def test_captions_name_no_colour_that_the_dark_turns_round(page: Path) -> None:
    notebook = BOOK.read(page)
    texts = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    texts += [c.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for c in notebook.cells]
    assert [word for text in texts for word in re.findall(r"\b(?:[Bb]lack|[Ww]hite)\b", text)] == []
