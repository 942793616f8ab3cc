"""Settings of nbval, which runs every chapter as a test and compares every output with the committed one."""

import functools
import importlib.util
import json
import types

import pytest

from agreement import Rule
from chapters import MACHINE
from execution import ASK

# Triton comes with CUDA builds of torch, and from PyPI for Linux only.
collect_ignore_glob = [] if importlib.util.find_spec("triton") else ["src/scoredrift/attention/triton*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item, "output_timeout"):  # a cell of a notebook
            item.output_timeout = 60  # seconds; nbval gives outputs five
            item.compare_outputs = types.MethodType(_agree, item)


def _agree(cell: pytest.Item, new: list, kept: list, skip_compare: object = None) -> bool:
    """What nbval asks of a cell: whether its outputs agree; tools/agreement.py says what that means."""
    wrote, runs = cell.parent.nb.metadata.get(MACHINE), _machine(cell.parent)
    tags = cell.cell.metadata.get("tags", [])
    cell.comparison_traceback = Rule.of_cell(wrote == runs, tags).outputs(kept, new)
    if cell.comparison_traceback and wrote != runs:
        cell.comparison_traceback.append(f"written on {wrote}, compared as numbers with {runs}")
    return not cell.comparison_traceback


@functools.cache
def _machine(notebook: pytest.File) -> dict:
    """The kind of machine on which the kernel of a notebook runs, asked of the kernel itself."""
    said: list[str] = []
    notebook.kernel.kc.execute_interactive(
        ASK,
        store_history=False,
        allow_stdin=False,
        timeout=60,
        output_hook=lambda message: said.append(message["content"].get("text", "")),
    )
    return json.loads("".join(said))
