"""Set-up: pins that hold on every Python, releases that are gone, and what is said about them.

Nothing is installed here: uv resolves, which takes seconds.
"""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import environment
from environment import Difference, compared, fitting, nearest, pins, versions, with_pins

PINNED = environment.PINS.read_text(encoding="utf-8")
# Set-up has said what it had to replace here; a pin that is gone from the index is no failure.
GONE = compared(pins(PINNED), versions(environment.installed()))
LOCK = with_pins(PINNED, {one.name: one.taken.partition("+")[0] for one in GONE})
SECONDS = 240  # for a slow network; 2 to 20 s here
FORKED = """Sphinx==7.4.7
soupsieve==2.10 ; python_full_version < '3.11.5'
soupsieve==4.1.2 ; python_full_version >= '3.11.5'
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Skips where no package index answers."""
    asked = tmp_path_factory.mktemp("index") / "asked.in"
    asked.write_text("packaging", encoding="utf-8")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", str(asked)]
    done = subprocess.run(
        command, env=environment.settings_for_uv(), capture_output=True, text=True, check=False
    )
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr


def timed_fitting(text, python):
    began = time.monotonic()
    chosen, differences = fitting(text, python)
    assert time.monotonic() - began < SECONDS
    without_tags = {name: v.partition("+")[0] for name, v in versions(chosen.splitlines()).items()}
    return without_tags, differences


@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0"])
def test_every_pin_can_be_had_on_every_python(index, python, capsys):
    chosen, differences = timed_fitting(LOCK, python)
    assert differences == []
    assert "not to be had" not in capsys.readouterr().err
    assert chosen.items() <= pins(LOCK, python).items()  # nothing is needed beside what is pinned


@pytest.mark.parametrize("python", ["3.11.0", "3.14.0"])
def test_a_release_that_does_not_exist_is_named_and_the_nearest_is_taken(index, python, capsys):
    chosen, differences = timed_fitting(with_pins(LOCK, {"numpy": "2.4.999"}), python)
    ((name, pinned, taken),) = differences
    assert (name, pinned) == ("numpy", "2.4.999")
    assert taken.startswith("2.4.")
    assert (
        f"numpy==2.4.999 is not to be had for this Python; nearest release: {taken}"
        in capsys.readouterr().err
    )
    assert chosen.items() - {("numpy", taken)} <= pins(LOCK, python).items()


def test_a_release_for_newer_pythons_is_named_and_the_nearest_is_taken(index, capsys):
    """What set-up met: soupsieve 4.1.2 needs Python 3.11.5."""
    planted = with_pins(LOCK, {"soupsieve": "4.1.2"})
    assert timed_fitting(planted, "3.11.5")[1] == []
    chosen, differences = timed_fitting(planted, "3.11.0")
    ((name, pinned, taken),) = differences
    assert (name, pinned) == ("soupsieve", "4.1.2")
    assert "soupsieve==4.1.2 is not to be had" in capsys.readouterr().err
    assert chosen.items() - {("soupsieve", taken)} <= pins(LOCK, "3.11.0").items()


def test_packages_that_pin_each_other_move_together_and_no_others(index, capsys):
    """pydantic asks for one release of its core, so the nearest one would not do."""
    chosen, differences = timed_fitting(with_pins(LOCK, {"pydantic-core": "2.1.999"}), "3.11.0")
    assert "pydantic-core" in {one.name for one in differences} <= {"pydantic", "pydantic-core"}
    assert "pydantic-core==2.1.999 is not to be had" in capsys.readouterr().err
    others = {item for item in chosen.items() if not item[0].startswith("pydantic")}
    assert others <= pins(LOCK, "3.11.0").items()


def test_torch_too_is_replaced(index, capsys):
    _, differences = timed_fitting(with_pins(LOCK, {"torch": "2.13.999"}), "3.13.0")
    torch = next(one for one in differences if one.name == "torch")
    assert torch.taken.startswith("2.13.")
    assert {one.name for one in differences} <= {"torch", "triton"}
    assert "torch==2.13.999 is not to be had" in capsys.readouterr().err


def test_pip_alone_names_what_is_missing_too(index, capsys):
    text = environment.fitting_by_pip("packaging==24.999\nsix==1.17.0\n")
    kept = versions(text.splitlines())
    assert kept["six"] == "1.17.0"
    assert kept["packaging"].startswith("24.")
    assert "packaging==24.999 is not to be had" in capsys.readouterr().err


def test_a_marker_says_which_pin_holds():
    assert pins(FORKED, "3.11.4") == {"sphinx": "7.4.7", "soupsieve": "2.10"}
    assert pins(FORKED, "3.11.5") == pins(FORKED, "3.14.0") == {"sphinx": "7.4.7", "soupsieve": "4.1.2"}


def test_a_replaced_pin_holds_everywhere_and_a_dropped_one_nowhere():
    assert pins(with_pins(FORKED, {"soupsieve": "3.0"}), "3.11.4")["soupsieve"] == "3.0"
    assert with_pins(FORKED, {"soupsieve": None, "sphinx": "8.0"}) == "sphinx==8.0\n"


@pytest.mark.parametrize(
    ("pinned", "releases", "found"),
    [
        ("2.4.9", ["2.3.5", "2.4.8", "2.4.10", "2.4.11", "3.0"], "2.4.10"),
        ("2.4.9", ["2.4.3", "2.4.8", "2.5.0"], "2.4.8"),
        ("2.4.9", ["1.9", "2.3.5", "2.5.0", "2.6.0", "3.0"], "2.5.0"),
        ("4.1.2", ["2.9", "2.10"], "2.10"),
        ("1.5", ["2.0", "3.0"], "2.0"),
        ("2.13.0", ["2.13.1rc1", "2.14.0+cpu"], "2.14.0"),
        ("1.0", [], None),
    ],
)
def test_the_nearest_release_is_of_the_narrowest_series(pinned, releases, found):
    assert nearest(pinned, releases) == found


def test_a_build_tag_is_no_difference_and_a_package_that_is_missing_is_none():
    wanted = {"torch": "2.13.0", "numpy": "2.4.6", "scipy": "1.17.1"}
    found = {"torch": "2.13.0+cpu", "numpy": "2.5.5", "other": "1.0"}
    assert compared(wanted, found) == [Difference("numpy", "2.4.6", "2.5.5")]


def test_installed_is_sorted_and_tells_versions():
    found = environment.installed()
    assert found == sorted(found)
    assert versions(found)["pytest"] == pytest.__version__


def configured(monkeypatch, listed):
    done = subprocess.CompletedProcess([], 0, stdout=listed)
    monkeypatch.setattr(environment, "_pip", lambda *_, **__: done)
    for variable in [*environment.UV_VARIABLES.values(), "UV_INDEX_STRATEGY"]:
        monkeypatch.delenv(variable, raising=False)


def test_uv_looks_where_pip_looks_and_tells_no_password(monkeypatch, capfd):
    configured(
        monkeypatch,
        ":env:.find-links='/one /two'\n"
        "global.extra-index-url='https://user:secret@a.invalid/simple\\nfile:///b'\n"
        "global.find-links='/overruled'\n"
        "global.index-url='https://c.invalid/simple'\n",
    )
    found = environment.settings_for_uv()
    assert found["UV_FIND_LINKS"] == "/one,/two"
    assert found["UV_INDEX"] == "https://user:secret@a.invalid/simple file:///b"
    assert found["UV_DEFAULT_INDEX"] == "https://c.invalid/simple"
    assert "secret" not in "".join(capfd.readouterr())


def test_what_is_set_for_uv_wins(monkeypatch):
    configured(monkeypatch, "global.index-url='https://c.invalid/simple'\n")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine.invalid/simple")
    assert environment.settings_for_uv() == {"UV_INDEX_STRATEGY": "unsafe-best-match"} | dict(os.environ)


def test_without_uv_pip_installs_and_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(environment, "_pip", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert environment.install() == 0
    assert "WITHOUT UV" in capsys.readouterr().err
    assert pins((tmp_path / "constraints.txt").read_text(encoding="utf-8")) == pins(PINNED)


def test_what_was_taken_instead_is_said_last(capsys):
    environment._report([Difference("numpy", "2.4.6", "2.5.5")])
    assert "numpy: pinned 2.4.6, installed 2.5.5" in capsys.readouterr().err


def test_a_python_without_ensurepip_gets_the_remedy(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    assert environment.setup(tmp_path / "venv") == 1
    assert "apt-get install python3-venv" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()


def test_an_older_python_is_told_what_is_needed():
    source = Path(environment.__file__)
    ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 7))  # or it would see a syntax error
    older = f"import runpy, sys; sys.version_info = (3, 8, 0); runpy.run_path({str(source)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", older], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("scoredrift needs Python 3.11 or newer")


@pytest.mark.parametrize(
    ("planted", "says"),
    [({}, "pinned packages have their pinned versions"), ({"torch": "1.2.3"}, "1 have other versions")],
)
def test_the_page_on_reproducibility_shows_what_differs(planted, says, tmp_path, monkeypatch):
    from sphinx.application import Sphinx

    monkeypatch.setattr(environment, "PINS", tmp_path / "constraints.txt")
    exact = "\n".join(one.partition("+")[0] for one in environment.installed())
    environment.PINS.write_text(with_pins(exact, planted), encoding="utf-8")
    (tmp_path / "conf.py").write_text("extensions = ['versions_page']\n", encoding="utf-8")
    (tmp_path / "index.rst").write_text("Page\n====\n\n.. versions::\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(environment.ROOT / "book/_ext"))
    Sphinx(tmp_path, tmp_path, tmp_path / "out", tmp_path / "trees", "text", status=None).build()
    page = " ".join((tmp_path / "out/index.txt").read_text(encoding="utf-8").split())
    assert says in page
    assert ("1.2.3" in page) == bool(planted)
    assert f"Python {sys.version.split()[0]}" in page
