"""Works that the same names published in one year are cited as 2026a, 2026b, ..., in the text and in the list.

The letters are those of ``chapters.Book.years``, which the notebooks have, too. Labels of the list are what
the text says: names and year.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

import chapters


class NamesAndYear(BaseLabelStyle):
    """Labels such as “Khelifa et al. 2026a”."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        """Label of each entry."""
        for entry in sorted_entries:
            yield f"{chapters.authors(entry)} {entry.fields['year']}"


class ListOfWorks(Style):
    """The list of works, sorted and labelled by names and year."""

    default_sorting_style = "names_and_year"
    default_label_style = "names_and_year"


def give_letters(app: Sphinx) -> None:
    """Write the letters into the years that sphinxcontrib-bibtex has read."""
    entries = app.env.get_domain("cite").bibdata.data.entries
    for key, year in chapters.Book(Path(app.srcdir)).years.items():
        entries[key].fields["year"] = year


def setup(app: Sphinx) -> dict[str, bool]:
    """Register styles and hook."""
    register_plugin("pybtex.style.sorting", "names_and_year", chapters.ByNames)
    register_plugin("pybtex.style.labels", "names_and_year", NamesAndYear)
    register_plugin("pybtex.style.formatting", "names_and_year", ListOfWorks)
    app.connect("builder-inited", give_letters, priority=600)  # sphinxcontrib-bibtex reads at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
