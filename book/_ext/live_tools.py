"""Sphinx directive {live}: a calculator, or a picture with controls, that needs neither kernel nor network.

    :::{live} calculator
    :alt: What the still shows, in words.
    Sentences for readers without JavaScript, and for Jupyter.
    :::

The page has a still and these sentences until a script puts the live form in their place. The still is
computed when the page is built, at the settings at which the live form starts.
"""

from __future__ import annotations

import base64
import html
import json

import live_stills
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

# Settings at which a live form starts. They travel to the script with the page.
SETTINGS: dict[str, dict[str, float]] = {
    "calculator": {
        "bias": 0.001,
        "biasError": 0.0001,
        "noise": 0.002,
        "noiseError": 0.0001,
        "alpha": 0.1,
        "tolerated": 0.05,
        "generations": 30,
    },
    "densities": {"alpha": 0.1, "bandwidth": 0.2, "generation": 10},
    "coherence": {"alpha": 0.3, "coherence": 0.5, "before": 1.0, "forcing": 0.25},
    "infinite": {"ratio": 1.8},
}


def opening(name: str, alt: str) -> str:
    """What stands before the sentences: the place of the live form, and its still."""
    settings = html.escape(json.dumps(SETTINGS[name]), quote=True)
    still = base64.b64encode(live_stills.svg(name, SETTINGS[name])).decode()
    image = f'<img src="data:image/svg+xml;base64,{still}" alt="{html.escape(alt, quote=True)}">'
    return (
        f'<div class="live" data-live="{name}" data-settings="{settings}">'
        f'<figure class="align-default">{image}</figure>'
    )


class live_form(nodes.General, nodes.Element):  # noqa: N801  (docutils names its nodes so)
    """Place of a live form, with its name and the text of its still; its children are the sentences."""


class LiveDirective(SphinxDirective):
    """{live} name, with a text for the still, and sentences for those who get no live form."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012  (docutils reads it from the class)
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Still and sentences."""
        name, alt = self.arguments[0], self.options.get("alt", "").strip()
        if name not in SETTINGS:
            raise self.error(f"live = {name}: choose one of {', '.join(SETTINGS)}")
        if not alt:
            raise self.error(f"alt of {{live}} {name} = nothing: say in words what the still shows")
        self.assert_has_content()
        place = live_form(name=name, alt=alt)
        self.state.nested_parse(self.content, self.content_offset, place)
        return [place]


def visit(translator: HTML5Translator, node: live_form) -> None:
    """Begin the place."""
    translator.body.append(opening(node["name"], node["alt"]))


def depart(translator: HTML5Translator, node: live_form) -> None:
    """End it."""
    translator.body.append("</div>")


def sentences_alone(translator: object, node: live_form) -> None:
    """What is not a web page has the sentences."""


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, object], doctree: nodes.document | None
) -> None:
    """Load script and style on pages that have a live form."""
    if doctree is not None and any(doctree.findall(live_form)):
        app.add_js_file("live/live.js", type="module")
        app.add_css_file("live/live.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; other handlers that sort through a page's scripts come later (500)."""
    others = (sentences_alone, sentences_alone)
    app.add_node(live_form, html=(visit, depart), latex=others, text=others)
    app.add_directive("live", LiveDirective)
    app.connect("html-page-context", add_scripts, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
