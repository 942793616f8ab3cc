"""Downloads, launch buttons and scripts of the chapters.

The download button gives the reader's notebook, the one committed beside the source; the theme
would offer the notebook that Sphinx executed, with raw directives in its text. Launch buttons need
the public address of the repository (_config.yml) and are left out while there is none.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def without_address(app: Sphinx, config: Config) -> None:
    """Drop the launch buttons of a repository without an address; the theme would fail on them."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options["launch_buttons"] = {}


def reader_notebook(app: Sphinx, page: str) -> Path:
    """The committed notebook of a page."""
    return Path(app.srcdir, f"{page}.ipynb")


def offer(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Tell the download button of a page about its notebook."""
    if reader_notebook(app, page).exists():
        context["ipynb_source"] = f"{page}.ipynb"


def without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Drop the scripts of thebe, which Jupyter Book always adds (twice), and which the book does not use."""
    context["script_files"] = [s for s in context["script_files"] if "thebe" not in str(s).lower()]


def copy(app: Sphinx, exception: Exception | None) -> None:
    """Put the notebooks where the download buttons point."""
    if exception is None and app.builder.format == "html":
        for page in app.env.found_docs:
            if reader_notebook(app, page).exists():
                shutil.copyfile(reader_notebook(app, page), Path(app.outdir, "_sources", f"{page}.ipynb"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers, before the theme builds its buttons (its priority is 501)."""
    app.connect("config-inited", without_address)
    app.connect("html-page-context", offer, priority=400)
    app.connect("html-page-context", without_thebe)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
