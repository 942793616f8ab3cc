"""A letter of the book has one meaning in a part, and the page on notation gives it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book/notation.md").read_text(encoding="utf-8")
PARTS = {"I": "part1", "II": "part2", "III": "part3", "IV": "part4", "V": "part5"}
TEXTS = {
    (part, path.stem): path.read_text(encoding="utf-8")
    for part, folder in PARTS.items()
    for path in sorted((ROOT / "book" / folder).glob("*.md"))
}
TEXTS["III", "best-floor"] = (ROOT / "book/back/best-floor.md").read_text(
    encoding="utf-8"
)  # a proof of part III

MATHS = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$", re.DOTALL)
CELL = re.compile(r"^```\{code-cell\}.*?^```$", re.DOTALL | re.MULTILINE)
CAPTION = re.compile(r"^---$.*?^---$", re.DOTALL | re.MULTILINE)
WORDS = re.compile(r"\\(?:mathrm|operatorname|text|begin|end)\s*(?:\{[^}]*\}|[a-zA-Z])|L\^[12]")
LETTER = re.compile(
    r"((?:\\(?:hat|bar|tilde|mathcal|mathbb)\s*\{?\s*)*)"
    r"(\\[a-zA-Z]+|e(?!\^)|[a-df-zA-Z]|(?<=\\mathbb )1)"  # not e^x
)
GREEK = re.compile(
    "(var)?(alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|upsilon"
    "|phi|chi|psi|omega)|ell",
    re.IGNORECASE,
)


def formulas(text: str) -> list[str]:
    """What stands between dollar signs, in prose, displays and captions, but not in code."""
    text = CELL.sub(lambda cell: " ".join(CAPTION.findall(cell.group())), text)
    return [display or inline for display, inline in MATHS.findall(text)]


def letters(formula: str) -> list[str]:
    """Letters with their marks: ``\\hat{\\mathbb P}_K`` has ``hat mathbb P`` and ``K``."""
    return [
        " ".join([*re.findall("[a-z]+", marks), name.lstrip("\\")])
        for marks, name in LETTER.findall(WORDS.sub(" ", formula))
        if len(name) == 1 or GREEK.fullmatch(name[1:])
    ]


def letters_of(text: str) -> set[str]:
    return {letter for formula in formulas(text) for letter in letters(formula)}


def entries(page: str) -> list[tuple[set[str], set[str], str]]:
    """Parts, letters and meaning of each entry; the first letter of a formula in front is the one meant."""
    found = []
    for heading, section in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE):
        parts = set(PARTS) if heading == "Everywhere" else set(re.findall(r"\b(?:I+|IV|V)\b", heading))
        for term, meaning in re.findall(r"^(\$.+)\n: (.+)$", section, re.MULTILINE):
            found.append((parts, {letters(formula)[0] for formula in formulas(term)}, meaning))
    return found


def free(page: str) -> set[str]:
    (sentence,) = re.findall(r"^Free names, .*", page, re.MULTILINE)
    return letters_of(sentence)


def twice(page: str) -> list[tuple[str, str]]:
    """Part and letter of what has two meanings there."""
    found = []
    for part in PARTS:
        known = [*free(page), *(x for parts, names, _ in entries(page) if part in parts for x in names)]
        found += [(part, letter) for letter in sorted(set(known)) if known.count(letter) > 1]
    return found


def unknown(text: str, page: str, part: str) -> set[str]:
    """Letters of a text that the page does not have for its part."""
    return letters_of(text) - free(page).union(*(x for parts, x, _ in entries(page) if part in parts))


def missing(page: str) -> set[str]:
    """Names in code that the page gives and the package does not have."""
    found = set()
    for path in (ROOT / "src/scoredrift").rglob("*.py"):
        found.update(path.relative_to(ROOT / "src").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.AnnAssign):
                found.add(ast.unparse(node.target))
    given = " ".join(code for *_, meaning in entries(page) for code in re.findall("`([^`]+)`", meaning))
    return set(re.findall(r"[a-zA-Z_]\w+", given)) - found


def test_no_letter_has_two_meanings_in_a_part() -> None:
    assert twice(PAGE) == []
    assert len(entries(PAGE)) == PAGE.count("\n: ") > 60


@pytest.mark.parametrize(("part", "chapter"), TEXTS)
def test_every_letter_of_a_chapter_is_on_the_page(part: str, chapter: str) -> None:
    assert unknown(TEXTS[part, chapter], PAGE, part) == set()


def test_every_entry_is_used_where_the_page_says() -> None:
    used = {part: set().union(*(letters_of(t) for (p, _), t in TEXTS.items() if p == part)) for part in PARTS}
    unused = {(part, x) for parts, names, _ in entries(PAGE) for part in parts for x in names - used[part]}
    everywhere = {x for parts, names, _ in entries(PAGE) if parts == set(PARTS) for x in names}
    assert {(part, x) for part, x in unused if x not in everywhere} == set()
    assert everywhere <= set().union(*used.values())


def test_names_in_code_exist() -> None:
    assert missing(PAGE) == set()


def test_faults_are_found() -> None:
    assert twice(PAGE.replace("## Part I\n", "## Part I\n\n$\\hat b_i$\n: another.\n")) == [("I", "hat b")]
    assert ("II", "x") in twice(PAGE.replace("## Part II\n", "## Part II\n\n$x_0$\n: a point.\n"))
    text = r"$\hat{\mathbb P}(\tilde b) = \int Ce^{-\zeta}\,\mathrm dx$ in $L^2(p)$, $\mathcal N(0, \mathrm{Id})$"
    assert letters(formulas(text)[0]) == ["hat mathbb P", "tilde b", "C", "zeta", "x"]
    assert unknown(text, PAGE, "II") == {"tilde b", "zeta"}
    cell = "```{code-cell} ipython3\n---\ncaption: $\\zeta$\n---\nf'$\\iota$'\n```"
    assert unknown(cell, PAGE, "I") == {"zeta"}
    assert missing(PAGE.replace("`by_pairs`", "`by_triples`")) == {"by_triples"}
