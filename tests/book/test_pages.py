"""Every rendered page in a real browser, without network: what a reader would stumble over.

Screenshots (wide, narrow, dark, print) are left in _build/screenshots for people to look at.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from browsing import CHROMIUM, served
from page_probes import (
    CUT_CODE,
    CUT_FORMULAS,
    LONELY,
    NOT_FOR_PAPER,
    OPENED,
    PALE,
    PROSE,
    RAW,
    TOO_WIDE,
    UNTYPESET,
    WITHOUT_HINT,
    WITHOUT_ROOM,
    WITHOUT_TEXT,
)

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build/html"
SHOTS = ROOT / "_build/screenshots"
PAGES = sorted(str(p.relative_to(HTML)) for p in (HTML / "book").rglob("*.html"))
VIEWS = {"wide": (1280, "light"), "narrow": (390, "light"), "dark": (1280, "dark"), "print": (718, "dark")}

pytestmark = pytest.mark.skipif(
    not CHROMIUM or not PAGES,
    reason="needs Chromium (Debian: apt-get install chromium)"
    if PAGES
    else "needs the rendered book: run `make book`",
)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with served(HTML) as address:
        yield address


@pytest.fixture
def visit(browser, site):
    """Open a page; requests that leave the machine are blocked and remembered, as are complaints."""
    contexts = []

    def open_page(name: str, width: int = 1400, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []

        def gate(route) -> None:
            url = route.request.url
            if url.startswith((site, "data:", "blob:")):
                route.continue_()
            else:
                page.complaints.append(f"request leaves the machine: {url}")
                route.abort()

        context.route("**/*", gate)
        page.on(
            "console", lambda m: page.complaints.append(f"console: {m.text}") if m.type == "error" else None
        )
        page.on("pageerror", lambda e: page.complaints.append(f"exception: {e}"))
        page.on(
            "response", lambda r: page.complaints.append(f"{r.status}: {r.url}") if r.status >= 400 else None
        )
        page.goto(site + name, wait_until="networkidle")
        page.wait_for_function("!window.MathJax || document.documentElement.dataset.fitted")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", PAGES)
def test_page(visit, name: str, view: str) -> None:
    width, scheme = VIEWS[view]
    page = visit(name, width, scheme)
    if view == "print":
        page.emulate_media(media="print", color_scheme=scheme)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.evaluate("fit()")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name.replace('/', '-').removesuffix('.html')}-{view}.png", full_page=True)
    assert page.complaints == []
    raw = RAW.search(page.evaluate(PROSE))
    assert raw is None, f"raw markup on the page: {raw}"
    assert page.evaluate(UNTYPESET) == [], "formulas that MathJax did not typeset"
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert page.evaluate(WITHOUT_TEXT) == [], "images without alternative text, or that did not load"
    assert page.evaluate(TOO_WIDE) == [], "wider than the page"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (
        "the page scrolls sideways"
    )
    assert page.evaluate(CUT_FORMULAS) == [], "formulas that do not fit their line"
    assert page.evaluate(WITHOUT_ROOM) == 0, "displays whose top is cut"
    assert page.evaluate(LONELY) == [], "torn off at the end of a line"
    if view == "narrow":  # on a telephone code scrolls
        assert page.evaluate(WITHOUT_HINT) == [], "goes on at the right, and nothing says so"
        page.evaluate(OPENED)
        assert page.evaluate(CUT_FORMULAS) == [], "formulas of opened blocks that do not fit their line"
        assert page.evaluate(LONELY) == [], "torn off in an opened block"
    else:
        assert page.evaluate(CUT_CODE) == [], "code that does not fit its line"
    if view == "print":
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        assert page.evaluate(NOT_FOR_PAPER) == []
        page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    if view == "dark":
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate(PALE) == [], "pale on a dark page"


def test_chapter_has_theorems_folded_solutions_and_downloads(visit) -> None:
    page = visit("book/part1/ou-bridge.html")
    assert page.locator("div.proof.theorem").count() >= 2
    solution = page.locator("div.solution").first
    assert not solution.locator("mjx-container").first.is_visible()
    solution.locator("button, .toggle-button, summary").first.click()
    assert solution.locator("mjx-container").first.is_visible()


@pytest.mark.parametrize("name", [p for p in PAGES if (ROOT / p).with_suffix(".ipynb").exists()])
def test_a_page_and_its_download_come_from_one_run(visit, name: str) -> None:
    page = visit(name)
    link = page.locator("a[href$='.ipynb']").first.get_attribute("href")
    notebook = nbformat.read((HTML / name).parent / link, as_version=4)
    source = nbformat.read((ROOT / name).with_suffix(".ipynb"), as_version=4)
    assert [cell.source for cell in notebook.cells if cell.cell_type == "code"] == [
        cell.source for cell in source.cells if cell.cell_type == "code"
    ]
    printed = [
        o.text.strip() for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream"
    ]
    shown = [text.strip() for text in page.locator(".cell_output pre").all_text_contents()]
    assert [text for text in printed if text not in shown] == []


def test_numbers_of_theorems_and_equations_are_those_of_the_notebook(visit) -> None:
    text = visit("book/part1/ou-bridge.html").evaluate("document.querySelector('article').textContent")
    notebook = (ROOT / "book/part1/ou-bridge.ipynb").read_text(encoding="utf-8")
    in_book = set(re.findall(r"(?:Theorem|Proposition|Corollary|Exercise|Figure) 1\.\d+", text))
    in_notebook = set(re.findall(r"(?:Theorem|Proposition|Corollary|Exercise|Figure) 1\.\d+", notebook))
    assert in_book == in_notebook
    assert len(in_book) >= 10
    tags = set(re.findall(r"tag\{(1\.\d+)\}", notebook))
    assert tags == set(re.findall(r"\((1\.\d+)\)", text))


def test_search_finds_a_chapter(visit, site: str) -> None:
    page = visit("search.html?q=Girsanov")
    page.wait_for_selector("#search-results li a")
    assert any(
        "ou-bridge" in (a.get_attribute("href") or "") for a in page.locator("#search-results li a").all()
    )


def test_ledger_page_shows_what_the_chapters_recorded(visit) -> None:
    import json

    page = visit("book/back/ledger.html")
    rows = json.loads((HTML / "ledger.json").read_text(encoding="utf-8"))
    shown = {c.get_attribute("id"): c.locator(".verdict").inner_text() for c in page.locator(".claim").all()}
    assert shown == {row["id"]: row["verdict"] for row in rows}
    examined = {row["id"] for row in rows if row["checks"]}
    assert {"O1", "O2", "O3", "O4"} <= examined
    assert page.locator("a[href$='ledger.json']").count() == 1
    edges = {
        kind: page.locator(f".claim-{kind}").first.evaluate("e => getComputedStyle(e).borderLeftColor")
        for kind in ("holds", "fails-as-stated", "not-yet-examined")
    }
    assert len(set(edges.values())) == 3, edges


def test_checks_and_claims_lead_to_each_other(visit) -> None:
    page = visit("book/back/ledger.html")
    targets = [a.get_attribute("href") for a in page.locator(".claim-checks a").all()]
    assert len(targets) > 80
    for chapter in {target.partition("#")[0] for target in targets}:
        shown = visit((Path("book/back") / chapter).as_posix().replace("back/../", ""))
        ids = {e.get_attribute("id") for e in shown.locator(".check").all()}
        wanted = {anchor for name, _, anchor in (t.partition("#") for t in targets) if name == chapter}
        assert ids == wanted
        back = {a.get_attribute("href") for a in shown.locator(".check a").all()}
        assert back
        for href in back:
            assert page.locator(href[href.index("#") :]).count() == 1, href


def test_the_claims_can_be_filtered(visit) -> None:
    page = visit("book/back/ledger.html")
    page.get_by_label("fails as stated", exact=True).check()
    assert set(page.locator(".claim:visible .verdict").all_inner_texts()) == {"fails as stated"}
    page.get_by_label("all", exact=True).check()
    assert page.locator(".claim:visible").count() == page.locator(".claim").count()


def test_works_of_one_year_are_told_apart(visit) -> None:
    page = visit("book/back/bibliography.html")
    labels = [label.strip(" []") for label in page.locator(".citation .label").all_text_contents()]
    assert len(labels) > 60
    assert {f"Khelifa et al. 2026{letter}" for letter in "abc"} <= set(labels)
    assert len(set(labels)) == len(labels)
    cited = visit("book/back/related-work.html").locator("article").inner_text()
    assert all(f"Khelifa et al. [2026{letter}]" in cited for letter in "abc")


def test_checks_of_a_section_are_in_one_closed_block(visit) -> None:
    page = visit("book/part3/rare-tails.html")
    blocks = page.locator("details.checks")
    assert 1 < blocks.count() <= page.locator("article section section").count()
    check = blocks.first.locator(".check").first
    assert not check.is_visible()
    blocks.first.locator("summary").first.click()
    assert check.is_visible()


def test_outcomes_of_checks_are_counted_in_english(visit) -> None:
    heads = visit("book/part2/observability.html").locator("details.checks > summary").all_text_contents()
    assert any("1 fails" in head for head in heads)  # that of the false claim
    wrong = re.compile(r"\b1 (hold|fail)\b|\b([02-9]|\d\d+) (holds|fails)\b")
    assert [head for head in heads if wrong.search(head)] == []


def test_a_dark_page_is_printed_on_white(visit) -> None:
    page = visit("book/part1/ou-bridge.html", scheme="dark")
    figure = page.locator("figure img").first
    look = "e => [getComputedStyle(e).filter, getComputedStyle(document.body).color]"
    on_screen = figure.evaluate(look)
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    on_paper = figure.evaluate(look)
    assert "invert" in on_screen[0]
    assert on_paper[0] == "none"
    assert on_paper[1] != on_screen[1]
    loop = page.locator(".loop")
    assert loop.locator("img:visible").count() == 1
    assert loop.locator("img.still").is_visible()
    page.emulate_media(media="screen", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert figure.evaluate(look) == on_screen
    assert loop.locator("img.moving").is_visible()


def test_times_of_chapters_fit_a_telephone(visit) -> None:
    table = visit("book/back/reproducibility.html", 390).locator("#execution-times table")
    assert table.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
    assert table.locator("th:visible").count() == 2


def test_a_failed_check_is_seen_in_a_closed_block(visit) -> None:
    page = visit("book/part2/observability.html")
    edge = "e => getComputedStyle(e).borderLeftColor + getComputedStyle(e).borderLeftWidth"
    blocks = {b.locator(".check-fails").count() > 0: b for b in page.locator("details.checks").all()}
    assert blocks[True].evaluate(edge) != blocks[False].evaluate(edge)
    blocks[True].evaluate("e => { e.open = true; }")
    outcomes = {blocks[True].locator(f".check-{k}").first.evaluate(edge) for k in ("holds", "fails")}
    assert len(outcomes) == 2


def test_a_chapter_has_its_number_on_paper(visit) -> None:
    page = visit("book/part1/ou-bridge.html")
    page.emulate_media(media="print")
    assert re.match(r"1\.\s+Diffusion", page.locator("h1:visible").inner_text())


def test_a_long_formula_is_broken_after_a_sign(visit) -> None:
    page = visit("book/back/ledger.html", 390)
    formula = page.locator("article span.math mjx-container.long").first
    line = formula.evaluate("e => parseFloat(getComputedStyle(e.closest('p')).lineHeight)")
    assert formula.bounding_box()["height"] > 1.2 * line
    assert formula.evaluate("e => parseFloat(e.style.fontSize) >= parseFloat(e.dataset.size)")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function("!document.querySelector('mjx-container.long')")


def test_dark_pages_have_dark_figures(visit) -> None:
    page = visit("book/part3/rare-tails.html", scheme="dark")
    figures = page.locator("figure img")
    assert figures.count() >= 2
    assert all("invert" in f.evaluate("e => getComputedStyle(e).filter") for f in figures.all())
