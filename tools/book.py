"""Build the book: `python tools/book.py html | notebooks | address`.

html       executes the chapters (cached) and renders them into _build/html, warnings as errors;
notebooks  executes the chapters and writes the notebook beside each source;
address    writes the repository address from _config.yml into README, CITATION and pyproject.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from nbformat import NotebookNode

import chapters
import environment
import execution

ROOT = Path(__file__).resolve().parents[1]


def fingerprint(root: Path) -> str:
    """Hash of all that decides what a cell computes, beside the cell itself."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted((root / "src").rglob("*")):
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            digest.update(_entry(root, path))
    digest.update("\0".join(environment.installed()).encode())
    digest.update(f"{os.environ.get('SCALE')} {os.environ.get('OMP_NUM_THREADS')}".encode())
    return digest.hexdigest()


def inputs(root: Path) -> str:
    """Hash of all that decides how the rendered pages look."""
    digest = hashlib.sha256(fingerprint(root).encode())
    pages = (p for p in (root / "book").rglob("*") if ".ipynb_checkpoints" not in p.parts)
    for path in sorted([*pages, root / "_config.yml", root / "_toc.yml", root / "constraints.txt"]):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(_entry(root, path))
    return digest.hexdigest()


def _entry(root: Path, path: Path) -> bytes:
    return str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0"


def execute(root: Path) -> dict[Path, NotebookNode]:
    """Execute the pages that have code, or take their outputs from the cache.

    Jupyter's cache knows the code of a page, not the package that it imports, so a change of the
    package, of a library or of the scale clears the cache.
    """
    build = root / "_build"
    stamp, mark = build / "fingerprint", fingerprint(root)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != mark:
        shutil.rmtree(build / ".jupyter_cache", ignore_errors=True)
    build.mkdir(exist_ok=True)
    stamp.write_text(mark, encoding="utf-8")
    book = chapters.Book(root)
    return execution.executed(book, book.pages())


def html(root: Path) -> int:
    """Execute and render the book; return the exit status.

    A book that has not changed since it was last rendered is left as it is. All but the cache is
    built afresh: a second build on the leavings of a failed one would forget its warnings.
    """
    build = root / "_build"
    stamp, mark = build / "rendered", inputs(root)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == mark:
        print("The rendered book is up to date.")
        return 0
    stamp.unlink(missing_ok=True)
    for leaving in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(build / leaving, ignore_errors=True)
    execute(root)
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        str(root),
        "-W",
        "-n",
        "--keep-going",
    ]
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        stamp.write_text(mark, encoding="utf-8")
    return status


def address(root: Path) -> dict[str, str]:
    """Texts of README, CITATION and pyproject that follow from the repository address.

    Returns:
        File name to the text it should have.
    """
    url = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    first = Path("book/part1/ou-bridge.ipynb")
    lines = {
        "README.md": ("<!-- address -->", f"[![Open in Colab]({badge})]({chapters.colab_url(url, first)})\n"),
        "CITATION.cff": ("# address", f"repository-code: {url}\n"),
        "pyproject.toml": ("[project.urls]", f'Repository = "{url}"\n'),
    }
    wanted = {}
    for name, (marker, line) in lines.items():
        old = (root / name).read_text(encoding="utf-8")
        block = re.search(re.escape(marker) + r"\n(.+\n)*", old)  # up to the next empty line
        if block is None:
            raise ValueError(f"{name}: the line {marker!r}, under which the address is written, is missing")
        wanted[name] = old[: block.start()] + f"{marker}\n{line if url else ''}" + old[block.end() :]
    return wanted


def write_address(root: Path) -> int:
    """Write the texts that follow from the repository address."""
    for name, text in address(root).items():
        (root / name).write_text(text, encoding="utf-8")
    return 0


def notebooks(root: Path) -> int:
    """Write the notebook beside the source of each page."""
    for page, notebook in execute(root).items():
        chapters.Book(root).write(page, notebook)
    return 0


TASKS = {"html": html, "notebooks": notebooks, "address": write_address}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    options = parser.parse_args()
    try:
        return TASKS[options.task](ROOT)
    except execution.ExecutionError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
