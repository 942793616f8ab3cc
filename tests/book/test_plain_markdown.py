"""The plain form of every MyST construct that the book uses."""

import pytest

from plain_markdown import Counter, Labels, NoPlainFormError, Translator

SOURCE = """\
(sec-start)=
## The start

$$
x = 1
$$ (eq-one)

:::{prf:theorem} A title
:label: thm-one

Body with {eq}`eq-one`.

$$
y = 2
$$ (eq-two)
:::

:::{prf:proof}
By {prf:ref}`thm-one` and {cite:t}`somebody`.
:::

:::{prf:lemma}
:label: lem-one

Short.
:::

:::{exercise} Try
:label: ex-one

Do it.
:::

:::{solution} ex-one
:class: dropdown

Done, see {ref}`sec-start` and {ref}`the start <sec-start>`.
:::

:::{note}
Numbers: {glue:text}`answer`, {cite:p}`somebody`, [link](../other.md#part).
:::
"""


@pytest.fixture
def translate() -> Translator:
    labels = Labels()
    Counter(labels, "book/page.md", 3).scan(SOURCE)
    return Translator(
        labels,
        "book/page.md",
        cite=lambda key: (key.title(), "1999", f"https://doi.org/{key}"),
        picture=lambda path: f"data:{path}",
        glued={"answer": "42 ± 1"},
    )


@pytest.mark.parametrize(
    "expected",
    [
        "$$\nx = 1 \\tag{3.1}\n$$\n\n",
        "> **Theorem 3.1 (A title).** Body with (3.1).",
        "> y = 2 \\tag{3.2}",
        "**Proof.** By Theorem 3.1 and [Somebody (1999)](https://doi.org/somebody). ∎",
        "> **Lemma 3.2.** Short.",  # one counter for all theorem-like blocks, as in the book
        "**Exercise 3.1 (Try).** Do it.",
        "<details>\n<summary><b>Solution</b> of Exercise 3.1</summary>\n\nDone, see “The start” and the start.",
        "> **Note.** Numbers: 42 ± 1, ([Somebody, 1999](https://doi.org/somebody)), [link](../other.ipynb#part).",
    ],
)
def test_constructs_have_their_plain_form(translate: Translator, expected: str) -> None:
    assert expected in translate(SOURCE)


def test_nothing_raw_is_left(translate: Translator) -> None:
    plain = translate(SOURCE)
    assert not any(
        mark in plain for mark in (":::", "{prf", "{eq}", "{cite", "{ref}", "{glue", ")=\n", ":label:")
    )


def test_figures_travel_inside_the_notebook(translate: Translator) -> None:
    text = "```{figure} map.svg\n:alt: A map\n:name: fig-map\n\nWhere we are.\n```"
    Counter(translate.labels, "book/page.md", 3).scan(text)
    assert translate(text) == "![A map](data:map.svg)\n\n*Figure 3.1.* Where we are."


@pytest.mark.parametrize(
    "text",
    [
        "{unknown}`x`",
        ":::{mystery}\nx\n:::",
        "see {eq}`eq-missing`",
        "{glue:text}`missing`",
        ":::{prf:theorem} Never closed\n:label: thm-open\n",
        ":::{prf:theorem} No label\nx\n:::",
    ],
)
def test_what_has_no_plain_form_is_an_error(translate: Translator, text: str) -> None:
    with pytest.raises(NoPlainFormError):
        translate(text)


def test_cards_become_a_list(translate: Translator) -> None:
    card = ":::{{grid-item-card}} {0}\n:link: part1/{0}\n:link-type: doc\nAbout {0}.\n:::\n"
    grid = "::::{grid} 1 1 2 2\n:gutter: 3\n\n" + card.format("one") + "\n" + card.format("two") + "::::"
    assert (
        translate(grid)
        == "* **[one](part1/one.ipynb).** About one.\n* **[two](part1/two.ipynb).** About two."
    )


def test_a_label_is_defined_once(translate: Translator) -> None:
    with pytest.raises(NoPlainFormError, match="thm-one"):
        Counter(translate.labels, "book/other.md", 4).scan(":::{prf:theorem} T\n:label: thm-one\n\nx\n:::")


def test_pages_without_a_number_are_counted_through() -> None:
    labels, counts = Labels(), dict[str, int]()
    for name in ("one", "two"):
        counter = Counter(labels, f"book/{name}.md", None, counts)
        counter.scan(f":::{{prf:theorem}} T\n:label: thm-{name}\n\nx\n:::")
    assert [labels[label].text for label in ("thm-one", "thm-two")] == ["1", "2"]


def test_a_live_form_becomes_what_is_said_without_it(translate: Translator) -> None:
    text = ":::{live} calculator\n:alt: A still\nWhat $D$ ends at, see {eq}`eq-one`.\n:::"
    assert translate(text) == "What $D$ ends at, see (3.1)."
