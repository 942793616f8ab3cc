"""Text is read and written in UTF-8, whatever the locale."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def without_encoding(tree):
    """Lines on which a file is opened as text, or read or written as one, in the locale's encoding."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or "encoding" in {word.arg for word in node.keywords}:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        words = [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
        binary = any(
            isinstance(word, ast.Constant) and word.value in ("rb", "wb", "ab", "r+b") for word in words
        )
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        first_is_encoding = name == "read_text" and node.args
        if name in ("read_text", "write_text", "open") and not (
            binary or owner in ("os", "Image", "tarfile") or first_is_encoding
        ):
            yield node.lineno


@pytest.mark.parametrize("folder", ["src", "tools", "tests", "benchmarks", "book"])
def test_text_is_read_and_written_in_utf_8(folder):
    files = [*(ROOT / folder).rglob("*.py"), ROOT / "conftest.py"]
    parsed = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
    found = {f"{path.relative_to(ROOT)}:{line}" for path in files for line in without_encoding(parsed[path])}
    assert not found


def test_the_search_for_encodings_sees_every_way_to_forget_them():
    bad = "p.read_text()\np.write_text('x')\nopen('x')\np.open('w')\nopen('x', mode='a')"
    good = "p.read_text('utf-8')\np.open('rb')\nopen('x', mode='wb')\nos.open('x')\nImage.open('x')"
    good += "\np.write_text('x', encoding='utf-8')"
    assert list(without_encoding(ast.parse(bad))) == [1, 2, 3, 4, 5]
    assert list(without_encoding(ast.parse(good))) == []
