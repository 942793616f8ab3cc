"""``scoredrift watch`` and what it reads: folders of pictures with broken ones among them, arrays, logs that go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from scoredrift.cli import app
from scoredrift.pipelines import monitor, read_features, standard_features


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def clothes(n, seed, grain=0.0, side=20):
    """Stripes of all kinds, with some grain: pictures of bytes ``[n, side, side, 3]``."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, side)
    turn, phase = rng.uniform(0, 6, (2, n, 1, 1))
    wave = np.sin(turn * x[:, None] + 5 * x + phase)[..., None] * rng.uniform(40, 90, (n, 1, 1, 3))
    return (128 + wave + grain * rng.normal(size=(n, side, side, 3))).clip(0, 255).astype(np.uint8)


def as_folder(path, pictures):
    path.mkdir()
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / f"{k:05}.png")
    return path


def test_folder_and_arrays_of_the_same_pictures_have_the_same_features(tmp_path):
    pictures = clothes(60, 0)
    folder = as_folder(tmp_path / "some", pictures)
    np.save(tmp_path / "last.npy", pictures)
    np.save(tmp_path / "first.npy", pictures.transpose(0, 3, 1, 2))
    save_file({"x": pictures}, tmp_path / "one.safetensors")
    wanted = read_features(folder).values
    assert wanted.shape == (60, 32)
    for name in ("last.npy", "first.npy", "one.safetensors"):
        torch.testing.assert_close(read_features(tmp_path / name).values, wanted)
    grey = np.save(tmp_path / "grey.npy", pictures[..., 0]) or read_features(tmp_path / "grey.npy").values
    assert grey.shape == (60, 32)
    assert not torch.allclose(grey, wanted)


def test_one_looks_with_a_network_of_ones_own(tmp_path):
    np.save(tmp_path / "some.npy", clothes(30, 1))
    found = read_features(
        tmp_path / "some.npy", look=lambda images: images.flatten(1).float().mean(1, keepdim=True)
    )
    assert found.values.shape == (30, 1)
    assert 90 < float(found.values.mean()) < 170


def test_the_fixed_network_is_the_same_for_everybody():
    images = torch.arange(3 * 32 * 32).remainder(251).to(torch.uint8).reshape(1, 3, 32, 32)
    assert standard_features() is standard_features()
    assert float(standard_features().features(images).double().norm()) == pytest.approx(NORM, rel=1e-3)


NORM = 0.118237  # on every machine: whoever changes it makes earlier logs incomparable


def test_broken_pictures_are_named_and_left_out(tmp_path):
    folder = as_folder(tmp_path / "some", clothes(20, 2))
    (folder / "00003.png").write_bytes(b"no picture")
    (folder / "00007.png").write_bytes((folder / "00008.png").read_bytes()[:150])
    (folder / "notes.txt").write_text("not a picture at all", encoding="utf-8")
    found = read_features(folder)
    assert found.broken == ("00003.png", "00007.png")
    assert len(found.values) == 18
    for path in folder.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^path = .*none of 20 pictures can be read, such as 00000.png"):
        read_features(folder)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("nothing", None, "there is nothing"),
        ("some.npy", np.zeros((4, 4), dtype=np.int64), "pass features"),
        ("some.npy", np.zeros((4, 5, 6, 7), dtype=np.uint8), "pass features"),
        ("some.npy", np.zeros((4, 5, 6)), "pass features"),
        ("some.npy", np.array([{}, {}], dtype=object), "cannot be read"),
        ("some.npy", b"no array", "cannot be read"),
        ("some.safetensors", b"no tensors", "cannot be read"),
        ("some.csv", b"1, 2", "cannot be read"),
    ],
)
def test_what_is_no_sample_is_refused(tmp_path, name, content, what):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(ValueError, match=f"^path = .*{what}"):
        read_features(path)


def test_folders_without_pictures_and_files_with_many_tensors_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^path = .*no pictures there"):
        read_features(tmp_path)
    save_file({"x": np.zeros(3), "y": np.zeros(3)}, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match=r"^path = .*it has 2 tensors"):
        read_features(tmp_path / "two.safetensors")


@pytest.fixture
def pipeline(tmp_path):
    """Data, and five generations each of which is grainier than the last."""
    np.save(tmp_path / "data.npy", clothes(1_500, 3))
    found = []
    for i in range(5):
        found.append(tmp_path / f"gen{i}.npy")
        np.save(found[-1], clothes(800, 10 + i, grain=6.0 * (i + 1)))
    return tmp_path / "data.npy", found


def test_a_watch_names_what_drifts_and_goes_on(pipeline, tmp_path):
    data, generations = pipeline
    options = ("--alpha", 0.3, "--tolerance", 0.05, "--out", tmp_path / "log")
    began = call("watch", data, *generations[:2], *options)
    assert began.exit_code in (0, 3), began.output
    assert began.stdout.count("(from the log)") == 0
    ended = call("watch", data, *generations, *options)
    assert ended.exit_code == 3, ended.output
    assert ended.stdout.count("(from the log)") == 2
    lines = [line for line in ended.stdout.splitlines() if line.startswith("generation ")]
    assert len(lines) == 5
    assert "ALARM: it has left the tolerance" in lines[-1]
    log = (tmp_path / "log" / monitor.LOG).read_text(encoding="utf-8").splitlines()
    drifts = [json.loads(line)["drift"][0] for line in log]
    assert drifts == sorted(drifts)
    whole = call("watch", data, *generations, "--alpha", 0.3, "--tolerance", 0.05)
    assert [line for line in whole.stdout.splitlines() if line.startswith("generation ")] == [
        line.removesuffix(" (from the log)") for line in lines
    ]


def test_a_watch_knows_of_samples_that_are_trained_on(pipeline, tmp_path):
    data, generations = pipeline
    options = ("--alpha", 0.3, "--tolerance", 0.05, "--out", tmp_path / "log")
    found = call("watch", data, *generations[:2], *options, "--reused")
    assert found.exit_code in (0, 3), found.output
    again = call("watch", data, *generations[:2], *options)
    assert again.exit_code == 2
    assert "begun with another reused" in again.stderr


def test_a_watch_on_real_samples_is_quiet(tmp_path, pipeline):
    data, _ = pipeline
    same = []
    for i in range(4):
        same.append(tmp_path / f"same{i}.npy")
        np.save(same[-1], clothes(800, 50 + i))
    found = call("watch", data, *same, "--alpha", 0.3, "--tolerance", 0.05)
    assert found.exit_code == 0, found.output
    assert "warning" not in found.output


def test_errors_are_one_line(tmp_path, pipeline):
    data, generations = pipeline
    for words, named in (
        ((data, generations[0], "--alpha", 0, "--tolerance", 0.05), "alpha = 0"),
        ((data, generations[0], "--alpha", 0.3, "--tolerance", -1), "tolerance = -1"),
        ((tmp_path / "none", generations[0], "--alpha", 0.3, "--tolerance", 1), "path = "),
    ):
        found = call("watch", *words)
        assert found.exit_code == 2
        assert f"scoredrift: {named}" in found.output


MANY = """
import sys
from pathlib import Path
from scoredrift.pipelines import read_features


def most():  # kB of memory in use at the peak
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


read_features(sys.argv[1])
before = most()
found = read_features(sys.argv[2], progress=True)
print(len(found.values), len(found.broken), most() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc for the memory in use")
def test_a_hundred_thousand_pictures_take_no_more_memory_than_their_features(tmp_path):
    """Names and features are kept, 24 and 13 MB, and the allocator has its ways; the pictures would be 1.2 GB."""
    pictures = clothes(40, 3, side=64)
    names = sorted(as_folder(tmp_path / "some", pictures).iterdir())
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, count in ((few, 2_000), (many, 100_000)):
        folder.mkdir()
        for k in range(count):
            os.link(names[k % len(names)], folder / f"{k:06}.png")
    (many / "040000.png").unlink()
    (many / "040000.png").write_bytes(b"no picture")
    command = [sys.executable, "-c", MANY, str(few), str(many)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read, broken, grown = map(int, done.stdout.split())
    assert (read, broken) == (99_999, 1)
    assert grown < 150_000
    assert "100000/100000" in done.stderr  # the bar
