"""Features of samples that lie on a disk: folders of pictures, and arrays.

Pictures are made 32 × 32 in three colours and looked at by a fixed network of random convolutions, the same for
everybody, so that features of different runs can be compared; or by a network of one's own. Arrays of numbers are
taken for features as they are. Only features are kept, so that the number of pictures does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from scoredrift import _checks
from scoredrift.datasets import FeatureNetwork, random_features
from scoredrift.runs import place

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_SIDE, _SEED, _BATCH = 32, 2602, 1000


class SampleFeatures(NamedTuple):
    """Features of a sample, and what of it could not be read.

    Args:
        values: ``[n, m]``, float32 or as they were stored.
        broken: names of pictures that could not be read.

    >>> SampleFeatures(torch.zeros(5, 2), ("a.png",)).broken
    ('a.png',)
    """

    values: Tensor
    broken: tuple[str, ...]


@cache
def standard_features() -> FeatureNetwork:
    """The fixed network of random convolutions: 32 features of pictures 32 × 32 in three colours.

    >>> standard_features().features(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([2, 32])
    """
    return random_features((3, _SIDE, _SIDE), generator=torch.Generator().manual_seed(_SEED), features=_SIDE)


def read_features(
    path: Path | str, *, look: Callable[[Tensor], Tensor] | None = None, progress: bool = False
) -> SampleFeatures:
    """Features of what lies at a path.

    Args:
        path: a folder of pictures; or an array, ``.npy`` or ``.safetensors`` with one tensor: features ``[n, m]``, or
            pictures of bytes, ``[n, H, W]``, ``[n, H, W, 3]`` or ``[n, 3, H, W]``.
        look: makes features ``[k, m]`` of pictures of bytes ``[k, 3, 32, 32]``; None for ``standard_features``.
        progress: show a progress bar.

    Returns:
        SampleFeatures; pictures of a folder in the order of their names.

    Raises:
        ValueError: nothing there, no picture that can be read, or arrays of another kind.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "points.npy"
    >>> np.save(path, np.zeros((5, 3)))
    >>> read_features(path).values.shape
    torch.Size([5, 3])
    """
    path = place(path)
    if not path.exists():
        _checks.refuse("path", path, "there is nothing; pass a folder of pictures, .npy or .safetensors")
    if path.is_dir():
        names = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        if not names:
            _checks.refuse("path", path, f"no pictures there ({', '.join(PICTURES)})")
        return _of_pictures(path, (_opened(name) for name in names), len(names), look, progress)
    array = _array(path)
    if array.ndim == 2 and np.issubdtype(array.dtype, np.floating):
        return SampleFeatures(torch.from_numpy(np.array(array)), ())
    pictured = array.ndim == 3 or (array.ndim == 4 and 3 in array.shape[1::2])
    if array.dtype != np.uint8 or not pictured:
        remedy = "pass features [n, m] of floating point, or pictures of bytes"
        _checks.refuse("path", f"{path}, {array.dtype} {list(array.shape)}", remedy)
    colours_first = array.ndim == 4 and array.shape[3] != 3
    drawn = (
        (f"{path.name}[{k}]", Image.fromarray(one.transpose(1, 2, 0) if colours_first else one))
        for k, one in enumerate(array)
    )
    return _of_pictures(path, drawn, len(array), look, progress)


def _of_pictures(
    path: Path,
    pictures: Iterator[tuple[str, Image.Image | None]],
    count: int,
    look: Callable[[Tensor], Tensor] | None,
    progress: bool,
) -> SampleFeatures:
    """Features of pictures that come one by one, a batch at a time."""
    look = standard_features().features if look is None else look
    broken: list[str] = []

    def small() -> Iterator[Tensor]:
        for name, picture in tqdm(pictures, total=count, disable=not progress, desc=path.name):
            try:
                if picture is None:
                    raise OSError
                shrunk = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                broken.append(name)
                continue
            yield torch.from_numpy(np.array(shrunk)).permute(2, 0, 1)

    rest, values, done = small(), None, 0
    while batch := list(islice(rest, _BATCH)):
        found = look(torch.stack(batch))
        # All in one place from the start: many small pieces between large temporaries would keep the allocator from
        # using the memory of the latter again.
        values = found.new_empty(count, *found.shape[1:]) if values is None else values
        values[done : done + len(found)] = found
        done += len(found)
    if values is None:
        _checks.refuse("path", path, f"none of {count} pictures can be read, such as {broken[0]}")
    return SampleFeatures(values[:done].clone(), tuple(broken))


def _opened(path: Path) -> tuple[str, Image.Image | None]:
    try:
        with Image.open(path) as picture:
            return path.name, picture.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return path.name, None


def _array(path: Path) -> Any:
    """An array from a file, mapped into memory where that is possible; no pickles."""
    remedy = "it cannot be read as an array; pass .npy, or .safetensors with one tensor"
    if path.suffix not in (".npy", ".safetensors"):
        _checks.refuse("path", path, remedy)
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            found = file.get_tensor(names[0]) if len(names) == 1 else None
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        _checks.refuse("path", path, f"{remedy} ({error})")
    if found is None:
        _checks.refuse("path", path, f"it has {len(names)} tensors; pass a file with one")
    return found
