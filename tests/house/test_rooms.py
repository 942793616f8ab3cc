"""The house, read from its files: doors, names, lengths and runnable examples.

That imports run downwards is a contract of import-linter in pyproject.toml, which `make lint` holds.
"""

import ast
import builtins
import importlib
import inspect
import math
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import scoredrift

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "scoredrift"
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))
}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
INSIDE = {room: {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"} for room in ROOMS}
# Triton is not installed everywhere, so its kernels are rooms of their own, which open where it is.
DOORS = {"scoredrift.attention.triton", "scoredrift.attention.triton_kernels"}
WRITTEN = re.compile(
    r"^\s*(?:>>> |\.\.\. )?((?:from|import) scoredrift\b[^\n(]*(?:\([^)]*\))?)", re.MULTILINE
)
SPEAKERS = ("src/**/*.py", "tests/**/*.py", "tools/*.py", "benchmarks/*.py", "book/**/*.md", "*.md")


def through_walls(statement: str, room: str | None) -> set[str]:
    """Files inside a package that an import statement names, seen from a room or from the street."""
    found = set()
    for node in ast.parse(re.sub(r"\n\s*\.\.\. ", "\n", statement)).body:
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        for name in names:
            parts = name.split(".")
            if len(parts) > 2 and parts[2] in INSIDE.get(parts[1], ()) and parts[1] != room:
                found.add(".".join(parts[:3]))
    return found - DOORS


def test_everybody_comes_through_the_door():
    """Files of a package are imported by their neighbours, and by the tests of their room alone."""
    seen, wrong = 0, {}
    for pattern in SPEAKERS:
        for path in ROOT.glob(pattern):
            place = path.relative_to(ROOT).parts
            room = (
                place[2]
                if place[0] == "src" and len(place) > 3
                else place[1]
                if place[0] == "tests"
                else None
            )
            for statement in WRITTEN.findall(path.read_text(encoding="utf-8")):
                seen += 1
                if excess := through_walls(statement.strip(), room):
                    wrong[path.name] = excess
    assert seen > 300
    assert wrong == {}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import scoredrift.laws.base", {"scoredrift.laws.base"}),
        ("from scoredrift.laws.base import Law", {"scoredrift.laws.base"}),
        ("from scoredrift.laws import (\n    Law,\n    base as b,\n)", {"scoredrift.laws.base"}),
        ("from scoredrift.laws import Law", set()),
        ("from scoredrift.attention import triton", set()),
    ],
)
def test_walls_are_seen_however_they_are_passed(statement, found):
    assert through_walls(statement, None) == found
    assert through_walls(statement, "laws") == set()


def public(room: str) -> list[str]:
    return list(importlib.import_module(f"scoredrift.{room}").__all__)


def test_no_module_is_shadowed():
    """`import scoredrift.x.y as m` gives the module, whatever functions there are."""
    seen = 0
    for found in pkgutil.walk_packages(scoredrift.__path__, "scoredrift."):
        if found.name in DOORS:
            continue
        importlib.import_module(found.name)
        parent, _, name = found.name.rpartition(".")
        assert inspect.ismodule(getattr(importlib.import_module(parent), name)), found.name
        seen += 1
    assert seen > 40


def test_public_names_are_used_once_and_mean_what_they_seem_to():
    counts = Counter(name for room in ROOMS for name in public(room))
    assert [name for name, times in counts.items() if times > 1] == []
    assert sorted(counts.keys() & (vars(builtins).keys() | vars(math).keys())) == []
    things = {
        name: getattr(importlib.import_module(f"scoredrift.{r}"), name) for r in ROOMS for name in public(r)
    }
    for name, thing in things.items():
        if name.endswith(("Error", "Exception", "Warning")):
            assert issubclass(thing, Exception), name


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lists_what_it_hands_out(room):
    names = public(room)
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    defined = {
        node.name
        for stem in INSIDE[room]
        if f"scoredrift.{room}.{stem}" not in DOORS
        for node in ast.parse(FILES[f"{room}.{stem}"].read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    if room != "experiments":  # whose files each have a run_all
        assert defined - set(names) == set()


def test_the_front_door_hands_out_what_the_rooms_do():
    for name in set(scoredrift.__all__) - {"__version__"}:
        owners = [room for room in ROOMS if name in public(room)] + ["process"]
        thing = getattr(scoredrift, name)
        assert thing is getattr(importlib.import_module(f"scoredrift.{owners[0]}"), name)


def test_rooms_open_when_they_are_asked_for():
    """In a process of its own, where nothing was imported before."""
    words = "import scoredrift, sys; assert 'scoredrift.divergences' not in sys.modules; scoredrift.divergences.kl"
    subprocess.run([sys.executable, "-c", words], check=True)
    with pytest.raises(AttributeError, match="no attribute 'attic'"):
        scoredrift.attic  # noqa: B018


@pytest.mark.parametrize("folder", ["src", "tests", "tools", "benchmarks"])
def test_files_are_short_enough_to_read(folder):
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def needs_example(node: ast.stmt) -> bool:
    """Public functions and classes do; protocols and exceptions have nothing to run."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
        return False
    bases = {ast.unparse(base) for base in getattr(node, "bases", [])}
    return not any(base.endswith(("Protocol", "Error", "Exception")) for base in bases)


@pytest.mark.parametrize("module", [name for name in FILES if not name.startswith("_")])
def test_public_functions_and_classes_have_a_runnable_example(module):
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    subjects = [node for node in tree.body if needs_example(node)]
    bare = [node.name for node in subjects if ">>> " not in (ast.get_docstring(node) or "")]
    assert not bare, f"{module}: no example in the docstring of {', '.join(bare)}"
