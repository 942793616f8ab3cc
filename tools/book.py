"""Build the book: `python tools/book.py html | notebooks | address`.

html       executes the chapters (cached) and renders them into _build/html, warnings as errors;
notebooks  executes the chapters and writes the notebook beside each source;
address    writes the repository address from _config.yml into README, CITATION and pyproject.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

import chapters

ROOT = Path(__file__).resolve().parents[1]


def fingerprint(root: Path) -> str:
    """Hash of all that decides what a cell computes, beside the cell itself."""
    digest = hashlib.sha256(sys.version.encode())
    inputs = [*sorted((root / "src").rglob("*.py")), *sorted((root / "src").rglob("*.toml"))]
    for path in [*inputs, root / "constraints.txt"]:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def html(root: Path) -> int:
    """Render the book; return the exit status of jupyter-book.

    Jupyter's cache knows the code of a chapter, not the package that it imports, so a change of
    the package clears the cache. All but the cache is built afresh: a second build on the leavings
    of a failed one would forget its warnings.
    """
    build = root / "_build"
    stamp, mark = build / "fingerprint", fingerprint(root)
    if not stamp.exists() or stamp.read_text() != mark:
        shutil.rmtree(build, ignore_errors=True)
    for leaving in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(build / leaving, ignore_errors=True)
    build.mkdir(exist_ok=True)
    stamp.write_text(mark)
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        str(root),
        "-W",
        "-n",
        "--keep-going",
    ]
    return subprocess.run(command, check=False).returncode


def address(root: Path) -> dict[str, str]:
    """Texts of README, CITATION and pyproject that follow from the repository address.

    Returns:
        File name to the text it should have.
    """
    url = yaml.safe_load((root / "_config.yml").read_text())["repository"]["url"]
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    first = Path("book/part1/ou-bridge.ipynb")
    lines = {
        "README.md": ("<!-- address -->", f"[![Open in Colab]({badge})]({chapters.colab_url(url, first)})\n"),
        "CITATION.cff": ("# address", f"repository-code: {url}\n"),
        "pyproject.toml": ("[project.urls]", f'Repository = "{url}"\n'),
    }
    wanted = {}
    for name, (marker, line) in lines.items():
        old = (root / name).read_text()
        block = re.search(re.escape(marker) + r"\n(.+\n)*", old)  # up to the next empty line
        if block is None:
            raise ValueError(f"{name}: the line {marker!r}, under which the address is written, is missing")
        wanted[name] = old[: block.start()] + f"{marker}\n{line if url else ''}" + old[block.end() :]
    return wanted


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=("html", "notebooks", "address"))
    parser.add_argument("pages", nargs="*", help="notebooks: only these sources")
    options = parser.parse_args()
    if options.task == "html":
        return html(ROOT)
    if options.task == "address":
        for name, text in address(ROOT).items():
            (ROOT / name).write_text(text)
        return 0
    for page in chapters.Book(ROOT).pages():
        if not options.pages or str(page) in options.pages:
            chapters.Book(ROOT).write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
