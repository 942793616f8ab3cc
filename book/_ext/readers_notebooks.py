"""Downloads, launch buttons and scripts of the chapters.

The download button gives a reader's notebook with the outputs of the run that made the page, so that
both show the same numbers; the theme would offer the notebook that Sphinx executed, with raw directives
in its text. Launch buttons need the public address of the repository (_config.yml) and are left out
while there is none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

import chapters
import execution


def without_address(app: Sphinx, config: Config) -> None:
    """Drop the launch buttons of a repository without an address; the theme would fail on them."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options["launch_buttons"] = {}


def has_notebook(app: Sphinx, page: str) -> bool:
    """Whether a page has code, and so a notebook."""
    return Path(app.srcdir, f"{page}.ipynb").exists()


def offer(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Tell the download button of a page about its notebook."""
    if has_notebook(app, page):
        context["ipynb_source"] = f"{page}.ipynb"


def without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Drop the scripts of thebe, which Jupyter Book always adds (twice), and which the book does not use."""
    context["script_files"] = [s for s in context["script_files"] if "thebe" not in str(s).lower()]


def write(app: Sphinx, exception: Exception | None) -> None:
    """Put the notebooks where the download buttons point."""
    if exception is None and app.builder.format == "html":
        book = chapters.Book(Path(app.srcdir))
        for page in (Path(f"{name}.md") for name in app.env.found_docs if has_notebook(app, name)):
            executed = execution.kept(book, page)
            if executed is None:
                raise ValueError(f"{page}: no outputs of this build; build with tools/book.py")
            target = Path(app.outdir, "_sources", page.with_suffix(".ipynb"))
            target.write_text(chapters.as_text(book.plain(page, executed)), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers, before the theme builds its buttons (its priority is 501)."""
    app.connect("config-inited", without_address)
    app.connect("html-page-context", offer, priority=400)
    app.connect("html-page-context", without_thebe)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
