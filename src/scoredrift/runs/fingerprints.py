"""What a run depends on, described so that two runs can be compared: settings, and the code behind them.

A checkpoint belongs to a run if both were described alike. Numbers, texts, tensors and dataclasses are
described by what they hold, other objects by what pickle would store. A function or a class is described
by a digest of all that its calls depend on and that is not an argument:

    bytecode, defaults, what its closure holds, its attributes (of a class: methods and bases),
    and the same for every global that it reads, as deep as it goes.

Code that came with Python or with an installed package ends the descent: name and version stand for it.

The digest takes bytecode, not source: a source file may have been edited since it was imported, and
lambdas of one line share theirs. So it does not depend on line numbers, paths or comments; it does depend
on the Python version (3.11, 3.12, …), which stands beside it, and on docstrings.
"""

from __future__ import annotations

import contextlib
import copyreg
import dataclasses
import dis
import functools
import hashlib
import importlib
import importlib.metadata
import json
import math
import operator
import os
import random
import sys
import types
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoredrift import _checks

RANDOM = (torch.Generator, np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)

_PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
_STANDARD_LIBRARY = os.path.dirname(os.__file__)
_MAPPINGS = (dict, types.MappingProxyType)
_IN_C = (
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)


def describe(thing: Any) -> Any:
    """What a run depends on, in a form that JSON holds and two runs can compare.

    Args:
        thing: settings: numbers, texts, tensors, functions, classes, dataclasses, containers of such, and
            objects that pickle could store.

    Returns:
        Nested lists and dictionaries of numbers and texts.

    Raises:
        ValueError: what cannot be known: a random generator, or an object with a state that pickle cannot
            store; the message names the variable that holds it.

    >>> describe({"size": 3, "weights": (0.5, 0.5)})
    {'size': 3, 'weights': [0.5, 0.5]}
    >>> half, third = [lambda x, n=n: x / n for n in (2, 3)]
    >>> describe(half) == describe(third)
    False
    """
    return _Description().of(thing)


def held_by(function: types.FunctionType) -> list[Any]:
    """What a function brings along beside its code and arguments.

    Args:
        function: any function written in Python.

    Returns:
        Its defaults, what its closure holds, and the globals that it reads, unless it is an installed
        package's.

    >>> held_by(lambda x, n=2: x / n)
    [2]
    """
    if not isinstance(function, types.FunctionType):
        _checks.refuse("function", repr(function), "pass a function written in Python")
    cells = [_content(cell) for cell in function.__closure__ or ()]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    if _installed(function.__code__.co_filename):
        return [*defaults, *cells]
    known = function.__globals__
    return [*defaults, *cells, *(known[name] for name in sorted(_reads(function.__code__) & known.keys()))]


class _Description:
    """One description: what was met before is referred to by its number."""

    def __init__(self) -> None:
        self.met: dict[int, tuple[int, Any]] = {}  # functions and classes, kept alive so that ids stay theirs
        self.inside: list[int] = []  # ids of the containers and objects being described
        self.trail = ["settings"]

    def of(self, thing: Any) -> Any:
        if thing is None or type(thing) in (bool, int, str):
            return thing
        if isinstance(thing, RANDOM):
            _checks.refuse(
                self.trail[-1], repr(thing), "its state is not known later; draw from the generator given"
            )
        if type(thing) is float:
            return thing if math.isfinite(thing) else {"float": repr(thing)}
        if isinstance(thing, Tensor):
            value = thing.detach().cpu().contiguous()
            data = value.reshape(-1).view(torch.uint8).numpy().tobytes()
            return {"tensor": list(value.shape), "dtype": str(value.dtype), "sha256": _sha(data)}
        if isinstance(thing, np.generic) and thing.dtype.kind in "biufU":
            return self.of({"b": bool, "i": int, "u": int, "f": float, "U": str}[thing.dtype.kind](thing))
        if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
            return {"array": list(thing.shape), "dtype": str(thing.dtype), "sha256": _sha(thing.tobytes())}
        if isinstance(thing, types.FunctionType):
            return self._once(thing, self._function)
        if isinstance(thing, type):
            return self._once(thing, self._class)
        if isinstance(thing, types.ModuleType):
            return self._module(thing, vars(thing))
        if isinstance(thing, torch.dtype | torch.device | PurePath | complex | types.EllipsisType):
            return {type(thing).__name__: str(thing)}
        if isinstance(thing, bytes | bytearray):
            return {type(thing).__name__: _sha(bytes(thing))}
        if isinstance(thing, _IN_C):
            return self._in_c(thing)
        if id(thing) in self.inside:
            return {"the one": len(self.inside) - self.inside.index(id(thing))}  # that many levels up
        self.inside.append(id(thing))
        try:
            return self._contents(thing)
        finally:
            self.inside.pop()

    def _contents(self, thing: Any) -> Any:
        if type(thing) in _MAPPINGS:
            if all(type(key) is str for key in thing):
                return {key: self.of(value) for key, value in thing.items()}
            return {"mapping": sorted(([self.of(k), self.of(v)] for k, v in thing.items()), key=_text)}
        if type(thing) in (list, tuple):
            return [self.of(value) for value in thing]
        if type(thing) in (set, frozenset):
            return {"set": sorted((self.of(value) for value in thing), key=_text)}
        if isinstance(thing, functools.partial):
            return {"partial": [self.of(part) for part in (thing.func, thing.args, thing.keywords)]}
        if isinstance(thing, types.MethodType):
            return {"method": [self.of(thing.__func__), self.of(thing.__self__)]}
        if isinstance(thing, staticmethod | classmethod):
            return {type(thing).__name__: self.of(thing.__func__)}
        if isinstance(thing, property):
            return {"property": [self.of(part) for part in (thing.fget, thing.fset, thing.fdel)]}
        if isinstance(thing, functools.cached_property):
            return {"property": self.of(thing.func)}
        if dataclasses.is_dataclass(thing):
            fields = {one.name: self.of(getattr(thing, one.name)) for one in dataclasses.fields(thing)}
            return {_name(type(thing)): fields, "code": self.of(type(thing))}
        if hasattr(thing, "__wrapped__"):
            return {_name(type(thing)): self.of(thing.__wrapped__)}
        return self._as_pickled(thing)

    def _as_pickled(self, thing: Any) -> Any:
        try:
            registered = copyreg.dispatch_table.get(type(thing))  # regular expressions, for one
            stored = registered(thing) if registered else thing.__reduce_ex__(4)
        except Exception as error:
            remedy = f"what it holds cannot be known ({error}); pass functions, dataclasses or plain objects"
            _checks.refuse(self.trail[-1], repr(thing), remedy)
        if isinstance(stored, str):
            return {_name(type(thing)): stored}
        maker, arguments, *state = stored
        parts = [list(part) if i in (1, 2) and part else part for i, part in enumerate(state)]
        return {"object": [self.of(maker), self.of(arguments), *(self.of(part) for part in parts)]}

    def _once(self, thing: Any, describe: Any) -> Any:
        if id(thing) in self.met:
            return {"again": self.met[id(thing)][0]}
        self.met[id(thing)] = (len(self.met), thing)
        return describe(thing)

    def _in_c(self, thing: Any) -> Any:
        name, owner = (
            f"{getattr(thing, '__module__', None)}.{thing.__qualname__}",
            getattr(thing, "__self__", None),
        )
        known = owner is None or isinstance(owner, types.ModuleType | type)
        return name if known else {"method": [name, self.of(owner)]}

    def _function(self, function: types.FunctionType) -> Any:
        home, code = function.__globals__.get("__name__", ""), function.__code__
        installed = _installed(code.co_filename)
        if installed and _at(home, function.__qualname__) is function:
            return f"{home}.{function.__qualname__}{_version(home)}"
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        names = {name for one in _codes(code) for name in one.co_names}
        parts = {
            "code": f"{home}.{code.co_qualname}{_version(home)}" if installed else self._code(code),
            "defaults": [self.of(function.__defaults__), self.of(function.__kwdefaults__)],
            "closure": {name: self._variable(name, function, _content(cell), names) for name, cell in cells},
            "attributes": {k: self.of(v) for k, v in vars(function).items() if k != "__wrapped__"},
        }
        if not installed:
            known = function.__globals__
            read = sorted(_reads(code) & known.keys())
            parts["globals"] = {name: self._variable(name, function, known[name], names) for name in read}
            parts["imports"] = [self._module(module, names) for module in _imports(code, known)]
        return {_name(function): f"{_sha(_text(parts).encode())}, {_PYTHON}"}

    def _variable(self, name: str, function: types.FunctionType, value: Any, names: Iterable[str]) -> Any:
        self.trail.append(f"variable {name} of {function.__qualname__}")
        found = self._module(value, names) if isinstance(value, types.ModuleType) else self.of(value)
        self.trail.pop()
        return found

    def _code(self, code: types.CodeType) -> Any:
        constants = [self._code(x) if isinstance(x, types.CodeType) else self.of(x) for x in code.co_consts]
        counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
        names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
        bytecode = [code.co_code.hex(), code.co_exceptiontable.hex()]
        return [*bytecode, counts, [list(part) for part in names], constants]

    def _class(self, one: type) -> Any:
        parts: dict[str, Any] = {}
        for base in one.__mro__[:-1]:
            if _installed_module(base.__module__) and _at(base.__module__, base.__qualname__) is base:
                parts[_name(base)] = _version(base.__module__)
                if base is one:
                    return _name(base) + _version(base.__module__)
                continue
            for name, value in vars(base).items():
                if _matters(base, name, value):
                    self.trail.append(f"{base.__qualname__}.{name}")
                    parts[f"{_name(base)}.{name}"] = self.of(value)
                    self.trail.pop()
            for field in vars(base).get("__dataclass_fields__", {}).values():
                if field.default_factory is not dataclasses.MISSING:
                    parts[f"{_name(base)}.{field.name}"] = self.of(field.default_factory)
        return {_name(one): f"{_sha(_text(parts).encode())}, {_PYTHON}"}

    def _module(self, module: types.ModuleType, names: Iterable[str]) -> Any:
        """An installed module by its version, another by what is read from it."""
        if _installed_module(module.__name__):
            return {"module": module.__name__ + _version(module.__name__)}
        if id(module) in self.inside:
            return {"module": module.__name__}
        self.inside.append(id(module))
        read = [name for name in sorted(names) if name in vars(module) and not name.startswith("__")]
        found = {}
        for name in read:
            value = vars(module)[name]
            inner = isinstance(value, types.ModuleType)
            found[name] = self._module(value, names) if inner else self.of(value)
        self.inside.pop()
        return {"module": found}


def _matters(owner: type, name: str, value: Any) -> bool:
    """Whether an attribute of a class is more than bookkeeping."""
    made = dataclasses.is_dataclass(owner) and isinstance(value, types.FunctionType)
    if made and value.__code__.co_filename == "<string>":
        return False  # what a dataclass makes follows from its fields
    bookkeeping = isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType)
    is_code = isinstance(
        value, types.FunctionType | staticmethod | classmethod | property | functools.partial
    )
    if name.startswith("_abc_") or bookkeeping:
        return False
    return is_code or not (name.startswith("__") and name.endswith("__"))


def _codes(code: types.CodeType) -> list[types.CodeType]:
    inner = [x for x in code.co_consts if isinstance(x, types.CodeType)]
    return [code, *(deep for one in inner for deep in _codes(one))]


def _reads(code: types.CodeType) -> set[str]:
    instructions = [one for each in _codes(code) for one in dis.get_instructions(each)]
    return {one.argval for one in instructions if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}


def _imports(code: types.CodeType, scope: dict[str, Any]) -> list[types.ModuleType]:
    """Modules that a function imports when it is called."""
    found = []
    for each in _codes(code):
        instructions = list(dis.get_instructions(each))
        for level, _, one in zip(instructions, instructions[1:], instructions[2:], strict=False):
            if one.opname == "IMPORT_NAME":
                with contextlib.suppress(ImportError):  # the function knows what to do without it
                    name = "." * level.argval + one.argval
                    found.append(importlib.import_module(name, scope.get("__package__")))
    return found


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return ...  # not yet filled


def _at(module: str, qualname: str) -> Any:
    """What is found under a name, as an import would find it; None for nothing."""
    try:
        return operator.attrgetter(qualname)(sys.modules[module])
    except (AttributeError, KeyError):
        return None


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _installed(file: str) -> bool:
    """Whether a file came with Python or with a package that pip installed."""
    inside = file.startswith((_STANDARD_LIBRARY + os.sep, "<frozen "))
    return inside or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _installed_module(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return _installed(file) if file else name.split(".")[0] in sys.stdlib_module_names


@functools.cache
def _version(module: str) -> str:
    """The text " 1.2" for a module of version 1.2, without what names a build; empty for the standard library."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names:
        return ""
    found = getattr(sys.modules.get(top), "__version__", None)
    if found is None:
        try:
            found = importlib.metadata.version(top)
        except importlib.metadata.PackageNotFoundError:
            return ""
    return " " + str(found).split("+")[0]


def _text(thing: Any) -> str:
    return json.dumps(thing, sort_keys=True)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
