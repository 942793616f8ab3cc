"""CIFAR-10: 50 000 + 10 000 coloured pictures, 32 × 32, of ten kinds of animals and vehicles.

Source: Krizhevsky 2009 (Learning multiple layers of features from tiny images, University of Toronto). The files are
the binary version: records of a label and 3 × 1024 bytes, red, green and blue, row by row; each is checked by its
SHA-256. A collection of the training images as JPEG files is read, too; its pixels are not quite those that were
published.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from scoredrift import _checks
from scoredrift.datasets.files import DataFiles
from scoredrift.datasets.images import LabelledImages

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SOURCE = "https://www.cs.toronto.edu/~kriz/"
ARCHIVE = "cifar-10-binary.tar.gz"
JPEGS = "cifar10_train_jpeg.npz"
JPEG_NOTE = "re-encoded as JPEG: pixels differ slightly from those that were published"
_NAME, _FOLDER = "cifar-10", "cifar-10-batches-bin"
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_ARCHIVE_HASH = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_FILES = {  # SHA-256 of each batch
    "train": {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    },
    "test": {"test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
}


def cifar10(
    part: str = "train", *, folder: Path | str | None = None, download: bool = False
) -> LabelledImages:
    """Pictures of CIFAR-10, from the first of these places that has them:

    ``folder``, or else ``$SCOREDRIFT_DATA/cifar-10`` and the cache into which ``download=True`` puts them (170 MB).
    In each, the batches themselves come first, in the folder or in its ``cifar-10-batches-bin``, then the archive of
    the binary version, then, for the training images, the collection of JPEG files.

    Args:
        part: "train", 50 000 images, or "test", 10 000.
        folder: where the files lie.
        download: fetch what is not there.

    Returns:
        Images ``[n, 3, 32, 32]``, labels, names of the classes, and a note if they are JPEG files.

    Raises:
        ValueError: another part; files that are not to be found, cannot be fetched, or are damaged.
        ImportError: pooch is missing, with ``download``.

    >>> cifar10("validation")
    Traceback (most recent call last):
    ...
    ValueError: part = 'validation': choose 'train' or 'test'
    """
    if part not in _FILES:
        _checks.refuse("part", repr(part), "choose 'train' or 'test'")
    files = DataFiles(_NAME, SOURCE)
    folders = files.folders(folder)

    def look(at: Path) -> LabelledImages | None:
        for batches in (at, at / _FOLDER):
            if all((batches / name).exists() for name in _FILES[part]):
                contents = {name: _bytes_of(batches / name) for name in _FILES[part]}
                return _of_batches(batches, part, contents)
        if (at / ARCHIVE).exists():
            return _of_batches(at / ARCHIVE, part, _unpacked(at / ARCHIVE, part))
        if part == "train" and (at / JPEGS).exists():
            return read_jpegs(at / JPEGS)
        return None

    found = files.find(look, folders)
    if found is None and not download:
        files.missing(ARCHIVE, folders)
    if found is None:
        files.fetch(ARCHIVE, _ARCHIVE_HASH, folders[-1])
        found = look(folders[-1])
    assert found is not None
    return found


def read_batch(content: bytes, *, sha256: str | None = None, name: str = "content") -> LabelledImages:
    """Images of one batch of the binary version.

    Args:
        content: records of 3073 bytes.
        sha256: of the content; None for any.
        name: what errors call it.

    Raises:
        ValueError: no whole records, labels that there are not, or another file than the one that was published.

    >>> read_batch(bytes([9]) + bytes(3072)).labels
    tensor([9])
    """
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        remedy = f"it is not the file that was published, or damaged ({len(content)} bytes); get it again"
        _checks.refuse("path", name, remedy)
    if not content or len(content) % _RECORD:
        _checks.refuse("path", f"{name}, {len(content)} bytes", f"a batch has records of {_RECORD} bytes")
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].long()
    if int(labels.max()) >= len(CLASSES):
        _checks.refuse("path", f"{name}, label {int(labels.max())}", "labels are 0 to 9; get the file again")
    return LabelledImages(records[:, 1:].reshape(-1, *_SHAPE), labels, CLASSES)


def read_jpegs(path: Path | str) -> LabelledImages:
    """Images from a collection of JPEG files in one ``.npz``.

    Args:
        path: with ``data``, all files one after another, ``offsets`` ``[n + 1]`` of their ends, and ``labels`` ``[n]``.

    Returns:
        Images ``[n, 3, 32, 32]`` with the note that their pixels differ from what was published.

    Raises:
        ValueError: a file that is damaged, has other arrays, or holds pictures of another size.

    >>> read_jpegs("nothing.npz")
    Traceback (most recent call last):
    ...
    ValueError: path = nothing.npz: it cannot be read ([Errno 2] No such file or directory: 'nothing.npz'); get it again
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            data, offsets, labels = (arrays[name] for name in ("data", "offsets", "labels"))
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        _checks.refuse("path", path, f"it cannot be read ({error}); get it again")
    whole = (
        data.dtype == np.uint8
        and data.ndim == offsets.ndim == labels.ndim == 1
        and len(offsets) == len(labels) + 1 > 1
        and offsets[0] == 0
        and offsets[-1] == len(data)
        and bool((np.diff(offsets) > 0).all())
        and bool((labels < len(CLASSES)).all())
    )
    if not whole:
        _checks.refuse("path", path, "data, offsets and labels do not fit each other; get it again")
    images = np.empty((len(labels), *_SHAPE), dtype=np.uint8)
    for k in range(len(labels)):
        images[k] = _decoded(data[offsets[k] : offsets[k + 1]].tobytes(), f"{path}, image {k}")
    return LabelledImages(
        torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)), CLASSES, JPEG_NOTE
    )


def _decoded(content: bytes, name: str) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        _checks.refuse("path", name, f"no JPEG file ({error}); get it again")
    if pixels.shape != (*_SHAPE[1:], 3):
        _checks.refuse("path", f"{name}, shape {list(pixels.shape)}", "pictures are 32 × 32 in three colours")
    return pixels.transpose(2, 0, 1)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _checks.refuse("path", path, f"it cannot be read ({error}); get it again")


def _unpacked(path: Path, part: str) -> dict[str, bytes]:
    """Batches of a part from the archive, without unpacking anything to the disk."""
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                if member.isfile() and name in _FILES[part]:
                    file = archive.extractfile(member)
                    assert file is not None
                    contents[name] = file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        _checks.refuse("path", path, f"it cannot be read ({error}); get it again")
    if lost := sorted(_FILES[part].keys() - contents.keys()):
        _checks.refuse("path", path, f"it has no {', '.join(lost)}; get it again")
    return contents


def _of_batches(where: Path, part: str, contents: dict[str, bytes]) -> LabelledImages:
    batches = [
        read_batch(contents[name], sha256=sha256, name=f"{where / name}")
        for name, sha256 in _FILES[part].items()
    ]
    images, labels = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("images", "labels"))
    return LabelledImages(images, labels, CLASSES)
