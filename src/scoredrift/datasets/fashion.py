"""Fashion-MNIST: 60 000 + 10 000 grey pictures of clothes, 28 × 28, in ten classes.

Source: Xiao, Rasul and Vollgraf 2017 (arXiv 1708.07747). The files are IDX files (the format of MNIST), packed by
gzip. Packers differ, so what is checked is the SHA-256 of the content.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.datasets.files import DataFiles
from scoredrift.datasets.images import LabelledImages

CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
SOURCE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_NAME = "fashion-mnist"
_MAGIC = {1: b"\0\0\x08\x01", 3: b"\0\0\x08\x03"}  # bytes, one axis or three
# What the authors publish (MD5 of the packed file) and what it holds (SHA-256 of the content).
_FILES = {
    ("train", "images"): (
        "train-images-idx3-ubyte.gz",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    ("train", "labels"): (
        "train-labels-idx1-ubyte.gz",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    ("test", "images"): (
        "t10k-images-idx3-ubyte.gz",
        "bef4ecab320f06d8554ea6380940ec79",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    ("test", "labels"): (
        "t10k-labels-idx1-ubyte.gz",
        "bb300cfdad3c16e7a12a480ee83cd310",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


def fashion_mnist(
    part: str = "train", *, folder: Path | str | None = None, download: bool = False
) -> LabelledImages:
    """Pictures of Fashion-MNIST, from the first of these places that has them:

    ``folder``, or else ``$SCOREDRIFT_DATA/fashion-mnist``, Debian's package dataset-fashion-mnist, and the
    cache into which ``download=True`` puts them (26 MB).

    Args:
        part: "train", 60 000 images, or "test", 10 000.
        folder: where the IDX files lie, packed as published or unpacked.
        download: fetch what is not there.

    Returns:
        Images ``[n, 1, 28, 28]``, labels, names of the classes.

    Raises:
        ValueError: another part; files that are not to be found, cannot be fetched, or are damaged.
        ImportError: pooch is missing, with ``download``.

    >>> fashion_mnist("validation")
    Traceback (most recent call last):
    ...
    ValueError: part = 'validation': choose 'train' or 'test'
    """
    if part not in ("train", "test"):
        _checks.refuse("part", repr(part), "choose 'train' or 'test'")
    files = DataFiles(_NAME, SOURCE, (DEBIAN,), "install Debian's dataset-fashion-mnist")
    folders = files.folders(folder)
    arrays = []
    for kind in ("images", "labels"):
        name, md5, sha256 = _FILES[part, kind]
        path = files.find(partial(_packed_or_not, name), folders)
        if path is None and not download:
            files.missing(name, folders)
        if path is None:
            path = files.fetch(name, f"md5:{md5}", folders[-1])
        arrays.append(read_idx(path, sha256=sha256))
    images, labels = arrays
    return LabelledImages(images[:, None], labels.long(), CLASSES)


def _packed_or_not(name: str, folder: Path) -> Path | None:
    candidates = (folder / name, folder / name.removesuffix(".gz"))
    return next((path for path in candidates if path.exists()), None)


def read_idx(path: Path | str, *, sha256: str | None = None) -> Tensor:
    """Bytes of an IDX file with one axis (labels) or three (images), packed by gzip or not.

    Args:
        path: the file.
        sha256: of the content, unpacked; None for any.

    Returns:
        Bytes, shape ``[n]`` or ``[n, H, W]``.

    Raises:
        ValueError: a file that is not there, damaged, no such file, or another one.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
    >>> read_idx(path)
    tensor([7, 9], dtype=torch.uint8)
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        _checks.refuse("path", path, f"it cannot be read ({error}); get the file again")
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        _checks.refuse(
            "path", path, f"it is not the file that was published, or damaged ({len(content)} bytes)"
        )
    axes = next((axes for axes, magic in _MAGIC.items() if content[:4] == magic), None)
    if axes is None:
        _checks.refuse("path", path, "no IDX file of bytes with one axis or three")
    start = 4 + 4 * axes
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    size = int(torch.tensor(shape).prod())
    if len(content) != start + size:
        remedy = f"{start + size} bytes are to hold an array {shape}; get the file again"
        _checks.refuse("path", f"{path}, {len(content)} bytes", remedy)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).reshape(shape)
