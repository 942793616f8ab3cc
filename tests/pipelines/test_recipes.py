"""The recipes run as they are printed: each section by itself, its blocks one after the other."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scoredrift.cli import app

PAGE = (Path(__file__).resolve().parents[2] / "book/back/recipes.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_recipe_runs_and_says_something(section, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, said = {}, ""
    for language, code in BLOCK.findall(SECTIONS[section]):
        if language == "python":
            exec(compile(code, section, "exec"), names)
            said += capsys.readouterr().out
        else:
            program, *words = shlex.split(code)
            assert program == "scoredrift"
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.output
            said += done.output
    assert said.strip()
    assert max(map(len, said.splitlines())) <= 120


@pytest.mark.parametrize("section", SECTIONS)
def test_a_recipe_is_short(section):
    text = SECTIONS[section]
    blocks = BLOCK.findall(text)
    assert blocks
    for _, code in blocks:
        lines = [line for line in code.splitlines() if line and not line.startswith(("import ", "from "))]
        assert len(lines) <= 20
        assert max(map(len, code.splitlines())) <= 76
    before, after = BLOCK.sub("", text, count=len(blocks) - 1), BLOCK.split(text)[-1]
    assert before.strip()
    assert after.strip(), "what the output means"


def test_every_recipe_that_needs_diffusers_says_so():
    for text in SECTIONS.values():
        uses = any("diffusers import" in code for _, code in BLOCK.findall(text))
        assert uses == ("Needs `diffusers`" in text)
