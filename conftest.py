"""Settings of nbval, which runs every chapter as a test and compares every text output."""

import importlib.util

import pytest

# Triton comes with CUDA builds of torch, and from PyPI for Linux only.
collect_ignore = [] if importlib.util.find_spec("triton") else ["src/scoredrift/kde_triton.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item, "output_timeout"):  # a notebook cell; nbval gives outputs five seconds
            item.output_timeout = 60
