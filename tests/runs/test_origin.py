"""Whose commit it is: of a checkout, of an installed package, of a copy inside somebody else's repository."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import scoredrift
from scoredrift.runs import commit, origin, provenance

ROOT = Path(__file__).parents[2]


def git(folder, *words):
    who = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True).stdout.decode()


def package(root):
    """A copy of the file that says the commit, in a package of the name."""
    folder = root / "scoredrift"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("", encoding="utf-8")
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("SCOREDRIFT_COMMIT", raising=False)
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("", encoding="utf-8")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "theirs")
    return tmp_path


def test_a_repository_around_an_installed_package_is_not_its_own(elsewhere):
    wheel = package(elsewhere / ".venv/lib/python3.11/site-packages")
    assert origin._commit(wheel) == "released"
    assert origin._commit(package(elsewhere / "copied")) == "unknown, perhaps modified"


def test_a_checkout_says_its_commit_and_whether_files_differ(elsewhere, monkeypatch):
    own = package(elsewhere / "src")
    assert origin._commit(own) == "unknown, perhaps modified"  # not part of that repository
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-qm", "ours")
    head = git(elsewhere, "rev-parse", "--short=12", "HEAD").strip()
    monkeypatch.setenv("GIT_DIR", str(ROOT / ".git"))  # as in a hook of another repository
    assert origin._commit(own) == head
    (own / "__init__.py").write_text("x = 1", encoding="utf-8")
    assert origin._commit(own) == head + "+"
    monkeypatch.setenv("SCOREDRIFT_COMMIT", "0123456789ab")  # a copy with a history of its own
    assert origin._commit(own) == "0123456789ab"


def test_a_checkout_that_git_refuses_to_look_at_is_not_released(elsewhere, monkeypatch):
    own = package(elsewhere / "src")
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-qm", "ours")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")  # no git
        assert origin._commit(own) == "unknown, perhaps modified"
        patch.setenv("SCOREDRIFT_COMMIT", "0123456789ab")
        assert origin._commit(own) == "0123456789ab"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give a folder to somebody else")
    for path in (elsewhere, elsewhere / ".git"):
        shutil.chown(path, 12345)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # which may trust all folders
    assert origin._commit(own) == "unknown, perhaps modified"


def test_the_package_s_own_commit_is_the_checkout_s(monkeypatch):
    monkeypatch.delenv("SCOREDRIFT_COMMIT", raising=False)
    if not (ROOT / ".git").exists() or Path(scoredrift.__file__).parent != ROOT / "src" / "scoredrift":
        pytest.skip("not run from a checkout")
    assert commit().rstrip("+") == git(ROOT, "rev-parse", "--short=12", "HEAD").strip()


def test_a_command_is_kept_without_the_folder_of_its_result(monkeypatch):
    for words in (["--out", "/home/me/results", "--resume"], ["--out=/home/me/results", "--resume"]):
        monkeypatch.setattr("sys.argv", ["/usr/bin/scoredrift", "run", "fashion", *words])
        assert provenance(seed=1, device="cpu")["command"] == "scoredrift run fashion --resume"


@pytest.mark.parametrize("words", [["--more-of", "/home/me/before.npz"], ["--more-of=/home/me/before.npz"]])
def test_a_command_is_kept_without_any_folder_of_the_machine(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["/usr/bin/scoredrift", "run", "fashion", *words, "--resume"])
    kept = provenance(seed=1, device="cpu")["command"]
    assert kept.replace("=", " ") == "scoredrift run fashion --more-of before.npz --resume"
