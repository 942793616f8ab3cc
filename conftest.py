"""Settings of nbval, which runs every chapter as a test, and of parallel runs."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item, "output_timeout"):  # a notebook cell; nbval gives outputs five seconds
            item.output_timeout = 60
        # A test module stays with one worker, for the sake of its fixtures; only the builds of
        # miniature books, which share nothing and take longest, are handed out one by one.
        module = item.nodeid.partition("::")[0]
        if not module.endswith("test_pipeline.py"):
            item.add_marker(pytest.mark.xdist_group(module))
