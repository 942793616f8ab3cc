"""One thread for small tensors, since on a busy machine several only wait for one another; and a browser.

Live forms are on a page that Sphinx builds, served to a real browser.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from browsing import CHROMIUM, served

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def live_folder(tmp_path_factory) -> Path:
    import live_site  # which needs Sphinx

    sys.path.append(str(live_site.ROOT / "book/_ext"))
    return live_site.build(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def live_address(live_folder) -> Iterator[str]:
    with served(live_folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if not CHROMIUM:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def see(browser, live_address):
    contexts = []

    def open_page(name: str = "index.html", width: int = 1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on(
            "request", lambda r: r.url.startswith((live_address, "data:")) or page.complaints.append(r.url)
        )
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.goto(live_address + name, wait_until="networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def ask(browser, live_address):
    """Values of functions of a module, called in the browser: infinities and NaN come as they are."""
    page = browser.new_page()
    page.goto(live_address + "index.html")

    def values(module: str, body: str, settings: list) -> list:
        script = f"""async settings => {{
            const m = await import('{live_address}_static/live/{module}.js');
            return settings.map(s => {{ const f = {body}; return f(...s); }});
        }}"""
        return page.evaluate(script, settings)

    yield values
    page.close()
