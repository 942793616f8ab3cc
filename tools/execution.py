"""Execute the pages of the book side by side, each once.

What was executed is kept in the cache from which the book is rendered (jupyter-cache), so that
rendering runs nothing again and the notebooks for readers are made from the same run. The cache
knows a page by the code and the metadata of its cells; what else decides their outputs is the
caller's affair.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from joblib import Parallel, delayed
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.main import JupyterCacheBase
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from chapters import MACHINE, Book

# Asked of a kernel when its cells have run: on what kind of machine did they?
ASK = "import json\nfrom scoredrift.runs import machine\nprint(json.dumps(machine()))"


class ExecutionError(RuntimeError):
    """Pages that could not be executed, with what their kernels said."""


@dataclass(frozen=True)
class Run:
    """One execution of a page.

    Args:
        page: source, relative to the root of the book.
        notebook: what was executed, with outputs.
        seconds: how long it took.
        error: what the kernel said where a cell failed, or None.
    """

    page: Path
    notebook: NotebookNode
    seconds: float
    error: str | None


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(root: Path, page: Path, seed_offset: int = 0) -> Run:
    """Execute the code cells of a page in its folder, as far as it goes; a failure is part of the answer.

    Args:
        root: folder of the book.
        page: source, relative to it.
        seed_offset: by how much the seed of the page is moved (``scoredrift.notebook.current_seed``);
            if at all, cells after a failing one run, too.
    """
    book = Book(root)
    notebook = book.read(page)
    notebook.cells.append(nbformat.v4.new_code_cell(ASK))
    client = NotebookClient(
        notebook,
        timeout=book.cell_timeout,
        coalesce_streams=True,
        record_timing=False,  # it would change the metadata of cells, by which the cache knows them
        allow_errors=seed_offset > 0,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str((root / page).parent)}},
    )
    began = time.perf_counter()
    error = None
    try:
        client.execute(env=os.environ | {"SEED_OFFSET": str(seed_offset)})
        asked = notebook.cells.pop()
        if not client.allow_errors:  # otherwise the answer, too, may be an error
            notebook.metadata[MACHINE] = json.loads(asked.outputs[0].text)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as failure:
        error = str(failure)
    return Run(page, notebook, time.perf_counter() - began, error)


def _cached(cache: JupyterCacheBase, notebook: NotebookNode) -> NotebookNode | None:
    """The page with the outputs that the cache has for its code, or None."""
    try:
        kept = ("kernelspec", "language_info", MACHINE)
        _, found = cache.merge_match_into_notebook(notebook, nb_meta=kept)
    except KeyError:
        return None
    return found


def _cache(book: Book) -> JupyterCacheBase:
    folder = book.root / "_build/.jupyter_cache"
    folder.mkdir(parents=True, exist_ok=True)
    return get_cache(str(folder))


def kept(book: Book, page: Path) -> NotebookNode | None:
    """A page with the outputs that were last computed for its code, or None if it was not executed."""
    return _cached(_cache(book), book.read(page))


def executed(book: Book, pages: Iterable[Path]) -> dict[Path, NotebookNode]:
    """Pages with their outputs: from the cache where it has them, else executed now.

    Args:
        book: the book.
        pages: sources with code cells, relative to its root.

    Returns:
        Executed notebook of each page.

    Raises:
        ExecutionError: some page could not be executed; what the others computed is kept.
    """
    cache = _cache(book)
    found = {page: _cached(cache, book.read(page)) for page in pages}
    missing = [page for page, notebook in found.items() if notebook is None]
    missing.sort(key=lambda page: (book.root / page).stat().st_size, reverse=True)  # the longest first
    tasks = (delayed(run)(book.root, page) for page in missing)
    workers = max(1, min(len(missing), cores()))
    failed = []
    for done in Parallel(workers, backend="threading", return_as="generator_unordered")(tasks):
        print(f"{done.page}: {'FAILED after ' if done.error else ''}{done.seconds:.0f} s", flush=True)
        if done.error:
            failed.append(f"{done.page}:\n{done.error}")
            continue
        _keep(cache, book.root / done.page, done.notebook, done.seconds)
        found[done.page] = done.notebook
    if failed:
        raise ExecutionError("\n".join(failed))
    return {page: notebook for page, notebook in found.items() if notebook is not None}


def _keep(cache: JupyterCacheBase, path: Path, notebook: NotebookNode, seconds: float) -> None:
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
