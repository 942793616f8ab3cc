"""MyST to the Markdown that Jupyter and Colab understand.

The book's sources use MyST directives and roles, which a plain notebook would show raw. Here every
construct that the book uses has a plain form: theorems become quoted blocks, solutions become
folded details, equations carry their number as a tag, references become numbers, citations become
links. A construct without a plain form is an error, never raw text in a reader's notebook.

Numbers follow Sphinx: equations, figures, exercises and theorem-like blocks (one counter for all
of these) are counted within each numbered chapter, and through all pages that have no number.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field

FENCE = re.compile(r"^(?P<fence>:{3,}|`{3,})\{(?P<name>[\w:-]+)\}\s*(?P<argument>.*)$")
OPTION = re.compile(r"^:(?P<key>[\w-]+):\s*(?P<value>.*)$")
ROLE = re.compile(r"\{(?P<name>[\w:-]+)\}`(?P<body>[^`]+)`")
EQUATION = re.compile(r"^\$\$\s*$\n(?P<body>.*?)\n^\$\$ \((?P<label>[\w:-]+)\)[ \t]*$", re.M | re.S)
TARGET = re.compile(r"^\((?P<label>[\w:-]+)\)=\s*\n+(?:#+\s*(?P<title>.+))?", re.M)
LEFTOVER = re.compile(r"\{[\w:-]+\}`|^:{3,}|^`{3,}\{|^\([\w:-]+\)=\s*$", re.M)
LINK = re.compile(r"\]\((?P<path>[\w./-]+)\.md(?P<anchor>#[\w-]+)?\)")

THEOREMS = {
    f"prf:{kind}": kind.capitalize()
    for kind in (
        "theorem",
        "proposition",
        "lemma",
        "corollary",
        "definition",
        "assumption",
        "remark",
        "example",
    )
}
NOTES = {"note": "Note", "tip": "Tip", "important": "Important", "warning": "Warning"}


class NoPlainFormError(ValueError):
    """A MyST construct that has no plain form here."""


@dataclass(frozen=True)
class Label:
    """Something that can be referred to: its kind, number or title, and its page."""

    kind: str
    text: str
    page: str


@dataclass
class Labels:
    """All labels of the book."""

    entries: dict[str, Label] = field(default_factory=dict)

    def __getitem__(self, label: str) -> Label:
        if label not in self.entries:
            raise NoPlainFormError(f"label {label!r} is not defined in any chapter")
        return self.entries[label]

    def add(self, label: str, entry: Label) -> None:
        """Enter a label once."""
        if label in self.entries:
            raise NoPlainFormError(
                f"label {label!r} is defined on {self.entries[label].page} and {entry.page}"
            )
        self.entries[label] = entry


@dataclass(frozen=True)
class Block:
    """A directive: name, argument, options and body."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


def split(text: str) -> list[str | Block]:
    """Split Markdown into plain stretches and directives (nested ones stay in the bodies)."""
    parts: list[str | Block] = []
    plain: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        opening = FENCE.match(line)
        if not opening:
            plain.append(line)
            continue
        inside: list[str] = []
        for inner in lines:
            if inner.strip() == opening["fence"]:
                break
            inside.append(inner)
        else:
            raise NoPlainFormError(f"directive {line!r} is not closed by {opening['fence']!r}")
        options: dict[str, str] = {}
        while inside and (option := OPTION.match(inside[0])):
            options[option["key"]] = option["value"].strip()
            inside.pop(0)
        parts.append("\n".join(plain))
        plain = []
        parts.append(
            Block(opening["name"], opening["argument"].strip(), options, "\n".join(inside).strip("\n"))
        )
    parts.append("\n".join(plain))
    return parts


class Counter:
    """Numbers the labelled things of one page and enters them into the labels.

    Args:
        labels: labels of the whole book.
        page: path of the page.
        chapter: number of the page, or None.
        counts: how far the pages before have counted, by series; it is counted on from there.
    """

    def __init__(
        self, labels: Labels, page: str, chapter: int | None, counts: dict[str, int] | None = None
    ) -> None:
        self.labels, self.page, self.chapter = labels, page, chapter
        self._counts = {} if counts is None else counts

    def number(self, series: str, kind: str, label: str | None) -> None:
        """Count one thing of a series."""
        self._counts[series] = self._counts.get(series, 0) + 1
        count = self._counts[series]
        if label:
            self.labels.add(
                label, Label(kind, f"{self.chapter}.{count}" if self.chapter else str(count), self.page)
            )

    def scan(self, text: str) -> None:
        """Count everything in a stretch of Markdown."""
        for part in split(text):
            if isinstance(part, Block):
                label = part.options.get("label")
                if part.name in THEOREMS:
                    self.number("theorem", THEOREMS[part.name], label)
                elif part.name == "exercise":
                    self.number("exercise", "Exercise", label)
                elif part.name == "figure":
                    self.number("figure", "Figure", part.options.get("name"))
                self.scan(part.body)
            else:
                for equation in EQUATION.finditer(part):
                    self.number("equation", "Equation", equation["label"])
                for target in TARGET.finditer(part):
                    if target["title"]:
                        self.labels.add(target["label"], Label("Section", target["title"].strip(), self.page))


@dataclass(frozen=True)
class Translator:
    """Turns the Markdown of one page into plain Markdown.

    Args:
        labels: labels of the whole book.
        page: path of the page, to resolve links.
        cite: gives a citation key its authors, year and address.
        picture: gives the path of a picture an address that works in any folder.
        glued: numbers that the cells of the page handed to the prose.
    """

    labels: Labels
    page: str
    cite: Callable[[str], tuple[str, str, str]]
    picture: Callable[[str], str]
    glued: dict[str, str]

    def __call__(self, text: str) -> str:
        """Translate one cell; raise ``NoPlainFormError`` if something has no plain form."""
        plain = "\n".join(p if isinstance(p, str) else self._block(p) for p in map(self._plain, split(text)))
        plain = re.sub(r"\n{3,}", "\n\n", plain).strip("\n")
        left = LEFTOVER.search(plain)
        if left:
            raise NoPlainFormError(f"{self.page}: no plain form for {left.group(0)!r}")
        return plain

    def _plain(self, part: str | Block) -> str | Block:
        if isinstance(part, Block):
            return part
        part = EQUATION.sub(lambda m: f"$$\n{m['body']} \\tag{{{self.labels[m['label']].text}}}\n$$", part)
        part = TARGET.sub(lambda m: m.group(0).split("\n", 1)[1], part)
        part = LINK.sub(lambda m: f"]({m['path']}.ipynb{m['anchor'] or ''})", part)
        return ROLE.sub(self._role, part)

    def _role(self, match: re.Match[str]) -> str:
        name, body = match["name"], match["body"]
        if name == "eq":
            return f"({self.labels[body].text})"
        if name in ("prf:ref", "numref"):
            return f"{self.labels[body].kind} {self.labels[body].text}"
        if name == "ref":
            titled = re.match(r"(.+?)\s*<([\w:-]+)>$", body)
            entry = self.labels[titled[2] if titled else body]
            return (
                titled[1]
                if titled
                else f"{entry.kind} {entry.text}"
                if entry.kind != "Section"
                else f"“{entry.text}”"
            )
        if name == "doc":
            titled = re.match(r"(.+?)\s*<(.+)>$", body)
            if not titled:
                raise NoPlainFormError(f"{self.page}: give {{doc}}`{body}` a title: {{doc}}`title <path>`")
            return f"[{titled[1]}]({posixpath.splitext(titled[2])[0]}.ipynb)"
        if name == "glue:text":
            if body not in self.glued:
                raise NoPlainFormError(f"{self.page}: no cell quotes the number {body!r}")
            return self.glued[body]
        if name in ("cite:t", "cite:p", "cite"):
            cited = [self.cite(key.strip()) for key in body.split(",")]
            if name == "cite:t":
                return ", ".join(f"[{who} ({year})]({url})" for who, year, url in cited)
            return "(" + "; ".join(f"[{who}, {year}]({url})" for who, year, url in cited) + ")"
        raise NoPlainFormError(f"{self.page}: no plain form for the role {name!r}")

    def _block(self, block: Block) -> str:
        body = self(block.body)
        label = block.options.get("label", "")
        if block.name in THEOREMS or block.name == "exercise":
            if not label:
                raise NoPlainFormError(f"{self.page}: give the {block.name} a label")
            entry = self.labels[label]
            title = f" ({self._plain(block.argument)})" if block.argument else ""
            head = f"**{entry.kind} {entry.text}{title}.** "
            return _quoted(head + body) if block.name in THEOREMS else f"\n{head}{body}\n"
        if block.name == "prf:proof":
            return f"\n**Proof.** {body} ∎\n"
        if block.name == "solution":
            entry = self.labels[block.argument]
            summary = f"<summary><b>Solution</b> of {entry.kind} {entry.text}</summary>"
            return f"\n<details>\n{summary}\n\n{body}\n\n</details>\n"
        if block.name == "figure":
            entry = self.labels[block.options["name"]]
            image = self.picture(block.argument)
            caption = f"*{entry.kind} {entry.text}.* {' '.join(body.split())}"
            return f"\n![{block.options['alt']}]({image})\n\n{caption}\n"
        if block.name == "live":  # its form needs the page; a notebook has what is said without it
            return f"\n{body}\n"
        if block.name == "grid":  # cards become a list
            return "\n" + re.sub(r"\n{2,}(?=\* )", "\n", body) + "\n"
        if block.name == "grid-item-card":
            title = (
                f"[{block.argument}]({block.options['link']}.ipynb)"
                if "link" in block.options
                else block.argument
            )
            return f"\n* **{title}.** {' '.join(body.split())}"
        if block.name in NOTES:
            return _quoted(f"**{NOTES[block.name]}.** {body}")
        if block.name == "admonition":
            return _quoted(f"**{block.argument}.** {body}")
        raise NoPlainFormError(f"{self.page}: no plain form for the directive {block.name!r}")


def _quoted(text: str) -> str:
    return "\n" + "\n".join(f"> {line}".rstrip() for line in text.split("\n")) + "\n"
