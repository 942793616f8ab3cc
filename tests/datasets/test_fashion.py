"""Readers of Fashion-MNIST: what is not the published file is refused, wherever it comes from."""

from __future__ import annotations

import gzip
import http.server
import threading
from functools import partial

import numpy as np
import pytest
import torch

from helpers import seeded
from scoredrift.datasets import (
    PixelLaw,
    PrincipalComponents,
    fashion,
    fashion_mnist,
    files,
    read_idx,
    to_bytes,
)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


IMAGES = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
LABELS = np.array([3, 9], dtype=np.uint8)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder with tiny files that pass for the published ones."""
    import hashlib

    files = {}
    for part, kind in (("train", "images"), ("train", "labels")):
        content = idx(IMAGES if kind == "images" else LABELS)
        name = fashion._FILES[part, kind][0]
        packed = gzip.compress(content)
        (tmp_path / name).write_bytes(packed)
        files[part, kind] = (name, hashlib.md5(packed).hexdigest(), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(fashion, "_FILES", files)
    return tmp_path


def test_images_and_labels_are_those_of_the_files(published):
    data = fashion_mnist("train", folder=published)
    assert np.array_equal(data.images[:, 0].numpy(), IMAGES)
    assert data.labels.tolist() == [3, 9]
    assert data.classes[9] == "boot"


def test_unpacked_files_will_do(published):
    for path in list(published.iterdir()):
        (published / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(fashion_mnist("train", folder=published).images) == 2


@pytest.mark.parametrize("harm", ["cut", "bit", "packed", "empty"])
def test_damaged_files_are_refused(published, harm):
    path = published / fashion._FILES["train", "images"][0]
    content = bytearray(gzip.decompress(path.read_bytes()))
    if harm == "cut":
        path.write_bytes(gzip.compress(content[:-1]))
    elif harm == "bit":
        content[500] ^= 1
        path.write_bytes(gzip.compress(content))
    elif harm == "packed":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^path = .*train-images"):
        fashion_mnist("train", folder=published)


def test_missing_files_name_the_ways_to_get_them(tmp_path):
    with pytest.raises(
        ValueError, match=r"^file = train-images.*dataset-fashion-mnist.*download=True.*folder="
    ) as e:
        fashion_mnist("train", folder=tmp_path)
    assert str(tmp_path) in str(e.value)


def test_the_folder_of_the_environment_comes_first(published, monkeypatch):
    monkeypatch.setenv(files.WHERE, str(published.parent))
    monkeypatch.setattr(fashion, "_NAME", published.name)
    assert len(fashion_mnist("train").images) == 2


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\0\0\x09\x01\0\0\0\x01\x05", "no IDX file"),
        (b"\0\0\x08\x01\0\0\0\x02\x05", "10 bytes"),
        (b"\0\0\x08\x01\0\0\0\x01\x05\x06", "9 bytes"),
        (b"\0\0\x08\x03\0\0\0\x01", "bytes"),
        (b"", "no IDX file"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, content, what):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^path = .*{what}"):
        read_idx(path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(published):
    """An address that serves the files."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=published)) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()


def test_downloads_are_checked_and_kept(server, published, tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setattr(fashion, "SOURCE", server)
    place = tmp_path / "cache"
    assert len(fashion_mnist("train", folder=place, download=True).images) == 2
    for path in published.glob("*.gz"):
        path.unlink()
    assert len(fashion_mnist("train", folder=place, download=True).images) == 2  # nothing is fetched again


def test_a_download_that_is_another_file_is_refused(server, published, tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setattr(fashion, "SOURCE", server)
    (published / fashion._FILES["train", "images"][0]).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"^file = train-images.*could not be fetched"):
        fashion_mnist("train", folder=tmp_path / "cache", download=True)
    assert not list((tmp_path / "cache").glob("train-images*"))


def test_a_server_that_is_down_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setattr(fashion, "SOURCE", "http://127.0.0.1:1/")
    with pytest.raises(ValueError, match=r"^file = train-images.*could not be fetched"):
        fashion_mnist("train", folder=tmp_path, download=True)


def test_grey_levels_are_spread_evenly_and_come_back():
    images = torch.randint(0, 256, (5, 1, 3, 4), generator=seeded(0), dtype=torch.uint8)
    law = PixelLaw(images)
    x = law.sample(20_000, generator=seeded(1))
    back = to_bytes(x, (1, 3, 4))
    same = (back.flatten(1)[:, None] == images.flatten(1)[None]).all(2)
    assert bool((same.sum(1) == 1).all()), "every point is one of the images again"
    shares = same.double().mean(0)
    assert bool(((shares - 0.2).abs() < 5 * (0.16 / 20_000) ** 0.5).all())
    within = 128 * (x + 1) - back.flatten(1)
    n = within.numel()
    assert abs(float(within.double().mean()) - 0.5) < 5 * (1 / 12 / n) ** 0.5
    assert abs(float(within.double().var()) - 1 / 12) < 5 * (1 / 180 / n) ** 0.5


def test_components_are_those_of_the_covariance():
    g = seeded(2)
    x = torch.randn(4000, 6, generator=g, dtype=torch.float64) @ torch.randn(
        6, 6, generator=g, dtype=torch.float64
    )
    code = PrincipalComponents.fit(x, 3)
    values, _ = torch.linalg.eigh(torch.cov(x.T))
    top = values.flip(0)[:3]
    assert code.scale**2 == pytest.approx(float(top.mean()))
    assert code.explained == pytest.approx(float(top.sum() / values.sum()))
    assert torch.allclose(torch.cov(code.encode(x).T), torch.diag(top / top.mean()), atol=1e-9)
    away = x - code.decode(code.encode(x))
    assert float(away.square().sum(1).mean()) == pytest.approx(float(values[:3].sum()) * 3999 / 4000)
    # A code is the same to the sign, whatever the solver makes of it.
    assert bool((code.directions.gather(1, code.directions.abs().argmax(1, keepdim=True)) > 0).all())
