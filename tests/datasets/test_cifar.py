"""Readers of CIFAR-10: batches, archive and JPEG files go through one door; other files are refused."""

from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from scoredrift.datasets import cifar, cifar10, files, read_batch, read_jpegs

NAMES = ("data_batch_1.bin", "data_batch_2.bin")


def pictures(n=4, seed=0):
    """Smooth pictures, which JPEG files keep nearly, and labels."""
    rng = np.random.default_rng(seed)
    corner = np.linspace(0, 1, 32)
    slopes = rng.uniform(-60, 60, (n, 3, 2))
    x = 128 + slopes[..., 0, None, None] * corner[:, None] + slopes[..., 1, None, None] * corner
    return x.astype(np.uint8), rng.integers(0, 10, n).astype(np.uint8)


def batch(seed):
    images, labels = pictures(seed=seed)
    return np.concatenate([labels[:, None], images.reshape(len(labels), -1)], 1).tobytes()


def packed(images, labels):
    contents = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=95)
        contents.append(np.frombuffer(file.getvalue(), np.uint8))
    return {
        "data": np.concatenate(contents),
        "offsets": np.cumsum([0, *map(len, contents)]),
        "labels": labels,
    }


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder with two small batches that pass for the published ones."""
    contents = {name: batch(seed) for seed, name in enumerate(NAMES)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(cifar, "_FILES", {"train": hashes, "test": {"test_batch.bin": "0" * 64}})
    return tmp_path


def archived(folder, names=NAMES):
    """The batches of a folder as an archive in it, and no longer beside it."""
    with tarfile.open(folder / cifar.ARCHIVE, "w:gz") as archive:
        for name in names:
            archive.add(folder / name, f"cifar-10-batches-bin/{name}")
    for name in NAMES:
        (folder / name).unlink()


def test_batches_are_images_and_labels(published):
    data = cifar10(folder=published)
    wanted = [pictures(seed=seed) for seed in (0, 1)]
    assert np.array_equal(data.images.numpy(), np.concatenate([images for images, _ in wanted]))
    assert np.array_equal(data.labels.numpy(), np.concatenate([labels for _, labels in wanted]))
    assert (data.classes[0], data.note) == ("airplane", "")


def test_the_archive_will_do_and_so_will_its_folder(published):
    once = cifar10(folder=published)
    inner = published / "cifar-10-batches-bin"
    inner.mkdir()
    for name in NAMES:
        (inner / name).write_bytes((published / name).read_bytes())
    archived(published)
    assert torch.equal(cifar10(folder=published).images, once.images)
    for name in NAMES:
        (inner / name).unlink()
    assert torch.equal(cifar10(folder=published).images, once.images)


def test_jpegs_are_read_with_a_note(tmp_path):
    images, labels = pictures(6, seed=3)
    np.savez(tmp_path / cifar.JPEGS, **packed(images, labels))
    data = cifar10(folder=tmp_path)
    assert float((data.images.float() - torch.from_numpy(images).float()).abs().mean()) < 4
    assert data.labels.tolist() == labels.tolist()
    assert "JPEG" in data.note
    assert "JPEG" in data.part(1, 3).note
    assert data.part(1, 3).labels.tolist() == labels[1:3].tolist()
    with pytest.raises(ValueError, match=r"^file = cifar-10-binary.tar.gz: not in"):
        cifar10("test", folder=tmp_path)  # which the collection does not have


@pytest.mark.parametrize("harm", ["bit", "cut", "empty"])
def test_damaged_batches_are_refused(published, harm):
    path = published / NAMES[1]
    content = bytearray(path.read_bytes())
    content[77] ^= 1
    path.write_bytes({"bit": content, "cut": content[:-5], "empty": b""}[harm])
    with pytest.raises(
        ValueError, match=r"^path = .*data_batch_2.bin: it is not the file that was published"
    ):
        cifar10(folder=published)


@pytest.mark.parametrize("harm", ["cut", "member", "other"])
def test_damaged_archives_are_refused(published, harm):
    archived(published, NAMES[: 1 if harm == "member" else 2])
    path = published / cifar.ARCHIVE
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif harm == "other":
        path.write_bytes(b"a page that says sorry")
    with pytest.raises(ValueError, match=r"^path = .*cifar-10-binary.tar.gz.*get it again"):
        cifar10(folder=published)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "records of 3073"),
        (bytes(3072), "records of 3073"),
        (bytes([10]) + bytes(3072), "label 10"),
    ],
)
def test_files_without_whole_records_are_refused(content, what):
    with pytest.raises(ValueError, match=f"^path = .*{what}"):
        read_batch(content)


IMAGES, LABELS = pictures(3, seed=5)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"labels": LABELS[:2]}, "do not fit"),
        ({"labels": LABELS + 10}, "do not fit"),
        ({"offsets": np.array([0, 5, 3, 9])}, "do not fit"),
        ({"offsets": np.array([0, 1, 2, 3])}, "do not fit"),
        ({"data": np.zeros(4)}, "do not fit"),
    ],
)
def test_collections_that_do_not_fit_are_refused(tmp_path, changes, what):
    np.savez(tmp_path / "some.npz", **(packed(IMAGES, LABELS) | changes))
    with pytest.raises(ValueError, match=f"^path = .*{what}"):
        read_jpegs(tmp_path / "some.npz")


def test_collections_of_something_else_are_refused(tmp_path):
    path = tmp_path / "some.npz"
    whole = packed(IMAGES, LABELS)
    spoilt = whole["data"].copy()
    spoilt[whole["offsets"][1] : whole["offsets"][1] + 20] = 0
    np.savez(path, **(whole | {"data": spoilt}))
    with pytest.raises(ValueError, match=r"^path = .*image 1: no JPEG file"):
        read_jpegs(path)
    np.savez(path, **packed(IMAGES[:, :, :16], LABELS))
    with pytest.raises(ValueError, match=r"^path = .*image 0, shape \[16, 32, 3\]: pictures are 32 × 32"):
        read_jpegs(path)
    np.savez(path, data=whole["data"])
    with pytest.raises(ValueError, match=r"^path = .*cannot be read"):
        read_jpegs(path)
    np.savez(path, **(whole | {"labels": np.array([{}, {}, {}], dtype=object)}))  # a pickle
    with pytest.raises(ValueError, match=r"^path = .*cannot be read"):
        read_jpegs(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"^path = .*cannot be read"):
        read_jpegs(path)


def test_the_folder_of_the_environment_comes_first(published, monkeypatch):
    monkeypatch.setenv(files.WHERE, str(published.parent))
    monkeypatch.setattr(cifar, "_NAME", published.name)
    assert len(cifar10().images) == 8


def test_missing_files_name_the_ways_to_get_them(tmp_path):
    with pytest.raises(ValueError, match=r"^file = cifar-10.*download=True.*folder=…") as e:
        cifar10(folder=tmp_path)
    assert str(tmp_path) in str(e.value)


def test_a_server_that_is_down_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setattr(cifar, "SOURCE", "http://127.0.0.1:1/")
    with pytest.raises(ValueError, match=r"^file = cifar-10.*could not be fetched"):
        cifar10(folder=tmp_path, download=True)
