"""Settings of nbval, which runs every chapter as a test and compares every text output."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item, "output_timeout"):  # a notebook cell; nbval gives outputs five seconds
            item.output_timeout = 60
