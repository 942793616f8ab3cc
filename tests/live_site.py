"""A page with all live forms, as the directive and Sphinx make it, to be served to a browser."""

from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("calculator", "densities", "coherence", "infinite")
PAGE = "# Live forms\n\n" + "\n".join(
    f":::{{live}} {kind}\n:alt: Still of {kind}.\nWithout JavaScript: {kind}, $x_1$.\n:::\n" for kind in KINDS
)


def build(folder: Path, page: str = PAGE) -> Path:
    """Build a page, and one without live forms; the folder that is to be served."""
    source = folder / "source"
    source.mkdir()
    (source / "index.md").write_text(page + "\n```{toctree}\nplain\n```\n", encoding="utf-8")
    (source / "plain.md").write_text("# A page without any\n", encoding="utf-8")
    Sphinx(
        str(source),
        None,
        str(folder / "html"),
        str(folder / "trees"),
        "html",
        confoverrides={
            "extensions": ["myst_parser", "live_tools", "sphinx-mathjax-offline"],
            "html_css_files": ["book.css"],
            "html_js_files": ["book.js"],
            "html_static_path": [str(ROOT / "book/_static")],
            "html_theme": "sphinx_book_theme",
            "myst_enable_extensions": ["colon_fence", "dollarmath"],
            "suppress_warnings": ["app"],  # of a second build in one process: what it registers is there
        },
        status=None,
        warningiserror=True,
    ).build()
    return folder / "html"
