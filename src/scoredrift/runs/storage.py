"""Files that are either whole or refused: tensors with a note, written in one step, read by digest.

A file is in the safetensors format. Its metadata carry a note (a dictionary in JSON) and a SHA-256
digest of names, types, shapes, values and note. Writing goes to a temporary file that then takes the
name, so an interruption leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from scoredrift import _checks


def place(path: Path | str) -> Path:
    """Where a file or folder lies: a text becomes a path, and ``~`` the home of whoever runs it.

    Args:
        path: of a file or folder.

    Raises:
        ValueError: what is no path, or the home of somebody unknown.

    >>> place("results/new").parts
    ('results', 'new')
    """
    if not isinstance(path, str | os.PathLike):
        _checks.refuse("path", repr(path), "pass a text or a pathlib.Path")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        _checks.refuse("path", path, f"{error}; write the folder out")


def save(path: Path | str, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write tensors and note to ``path``, atomically.

    Args:
        path: file to write; its folder is made where it is missing.
        tensors: values by name; they are stored from the CPU.
        note: anything that JSON can hold.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "result.safetensors"
    >>> save(path, {"x": torch.ones(2)}, {"seed": 1})
    >>> load(path)
    ({'x': tensor([1., 1.])}, {'seed': 1})
    """
    for name, value in _checks.able("tensors", tensors, "items").items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.is_meta:
            _checks.refuse(
                f"tensors[{name!r}]", f"a {type(value).__name__}", "pass tensors, with numbers, by name"
            )
    if not isinstance(note, Mapping):
        _checks.refuse("note", repr(note), "pass a dictionary; {} for nothing")
    whole = torch.contiguous_format  # and copied, since the format refuses tensors that share memory
    values = {name: value.detach().cpu().clone(memory_format=whole) for name, value in tensors.items()}
    text = _json("note", note, sort_keys=True)
    write(path, to_bytes(values, metadata={"note": text, "sha256": _digest(values, text)}))


def save_json(path: Path | str, thing: Any) -> None:
    """Write what JSON can hold to ``path``, atomically and for people to read.

    Args:
        path: file to write; its folder is made where it is missing.
        thing: dictionaries, lists, numbers and texts.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.json"
    >>> save_json(path, {"rows": []})
    >>> json.loads(path.read_text(encoding="utf-8"))
    {'rows': []}
    """
    write(path, (_json("thing", thing, indent=1) + "\n").encode())


def write(path: Path | str, data: bytes) -> None:
    """Write bytes to a temporary file beside ``path``, which then takes its name.

    Args:
        path: file to write; its folder is made where it is missing.
        data: all that the file is to hold.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.txt"
    >>> write(path, b"done")
    >>> path.read_text(encoding="utf-8")
    'done'
    """
    path = place(path)
    if not isinstance(data, bytes | bytearray | memoryview):
        _checks.refuse("data", f"a {type(data).__name__}", "pass bytes, as text.encode() gives")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and note from ``path``, if it is whole and unaltered.

    Args:
        path: file that ``save`` wrote.

    Returns:
        Tensors on the CPU, and the note.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, altered or of another kind; the message names it.

    >>> load(Path("no-such-file"))
    Traceback (most recent call last):
    ...
    FileNotFoundError: no-such-file
    """
    path, remedy = place(path), "delete it and compute it anew"
    if path.is_dir():
        _checks.refuse("file", path, f"a folder; {remedy}")
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        _checks.refuse("file", path, f"truncated or not a safetensors file ({error}); {remedy}")
    if "sha256" not in metadata:
        _checks.refuse(
            "file", path, f"no SHA-256 digest: another program's, or damaged; {remedy}, if it is ours"
        )
    text = metadata.get("note", "")
    if metadata.get("sha256") != _digest(values, text):
        _checks.refuse("file", path, f"its contents do not match its SHA-256 digest; {remedy}")
    return values, json.loads(text)


def note_of(path: Path) -> dict[str, Any] | None:
    """Note of a file, whose values are not looked at; None where no note of ``save`` can be read.

    Args:
        path: any file.

    >>> note_of(Path("no-such-file")) is None
    True
    """
    path = place(path)
    try:
        metadata = _metadata(path)
        return json.loads(metadata["note"]) if "sha256" in metadata else None
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def is_foreign(path: Path) -> bool:
    """Whether a file is in the format, whole, and by another program.

    Args:
        path: any file.

    >>> is_foreign(Path("no-such-file"))
    False
    """
    path = place(path)
    try:
        return "sha256" not in _metadata(path)
    except (SafetensorError, OSError):
        return False


def _json(name: str, thing: Any, **options: Any) -> str:
    try:
        return json.dumps(thing, ensure_ascii=False, **options)
    except (TypeError, ValueError) as error:
        _checks.refuse(name, repr(thing)[:80], f"{error}; pass dictionaries, lists, numbers and texts")


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _digest(values: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(values):
        value = values[name]
        digest.update(f"{name} {value.dtype} {list(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
