"""Files that are either whole or refused: tensors with a note, written in one step, read by digest.

A file is in the safetensors format. Its metadata carry a note (a dictionary in JSON) and a SHA-256
digest of names, types, shapes, values and note. Writing goes to a temporary file that then takes the
name, so an interruption leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from scoredrift import _checks


def save(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
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
    whole = torch.contiguous_format  # and copied, since the format refuses tensors that share memory
    values = {name: value.detach().cpu().clone(memory_format=whole) for name, value in tensors.items()}
    text = json.dumps(note, sort_keys=True, ensure_ascii=False)
    write(path, to_bytes(values, metadata={"note": text, "sha256": _digest(values, text)}))


def save_json(path: Path, thing: Any) -> None:
    """Write what JSON can hold to ``path``, atomically and for people to read.

    Args:
        path: file to write; its folder is made where it is missing.
        thing: dictionaries, lists, numbers and texts.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.json"
    >>> save_json(path, {"rows": []})
    >>> json.loads(path.read_text())
    {'rows': []}
    """
    write(path, (json.dumps(thing, indent=1, ensure_ascii=False) + "\n").encode())


def write(path: Path, data: bytes) -> None:
    """Write bytes to a temporary file beside ``path``, which then takes its name.

    Args:
        path: file to write; its folder is made where it is missing.
        data: all that the file is to hold.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.txt"
    >>> write(path, b"done")
    >>> path.read_text()
    'done'
    """
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


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
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
    remedy = "delete it and compute it anew"
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
    text = metadata.get("note", "")
    if metadata.get("sha256") != _digest(values, text):
        _checks.refuse("file", path, f"its contents do not match its SHA-256 digest; {remedy}")
    return values, json.loads(text)


def _digest(values: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(values):
        value = values[name]
        digest.update(f"{name} {value.dtype} {list(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def describe(thing: Any) -> Any:
    """What a run depends on, in a form that JSON holds and two runs can compare.

    Dataclasses are described by their fields, tensors and arrays by shape and digest, functions by their
    name alone, so two lambdas of one scope look alike.

    Args:
        thing: settings: numbers, texts, tensors, dataclasses, functions, partial functions, or
            lists and dictionaries of such.

    Returns:
        Nested lists and dictionaries of numbers and texts.

    Raises:
        ValueError: an object that is none of these.

    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> describe(OrnsteinUhlenbeck())
    {'OrnsteinUhlenbeck': {'t_min': 0.02, 't_max': 4.0}}
    >>> describe(save)
    'scoredrift.runs.storage.save'
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, Tensor):
        value = thing.detach().cpu().contiguous()
        return {"tensor": list(value.shape), "sha256": _digest({"": value}, "")[:16]}
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [describe(value) for value in thing]
    if isinstance(thing, functools.partial):
        return {"partial": [describe(thing.func), describe(thing.args), describe(thing.keywords)]}
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {field.name: describe(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
        return {type(thing).__name__: fields}
    if isinstance(thing, np.generic):
        return describe(thing.item())
    if isinstance(thing, np.ndarray):
        return describe(torch.as_tensor(thing))
    if inspect.ismethod(thing):
        return {"method": [thing.__func__.__qualname__, describe(thing.__self__)]}
    if isinstance(thing, torch.dtype | torch.device | Path):
        return str(thing)
    if not hasattr(thing, "__qualname__"):
        remedy = "pass a function, a dataclass or a partial, so that runs can be compared"
        _checks.refuse("settings", repr(thing), remedy)
    return f"{thing.__module__}.{thing.__qualname__}"
