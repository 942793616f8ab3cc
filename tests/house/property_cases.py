"""A table of calls, and how their inputs are varied; each answer has to be right, or a refusal.

An ``Entry`` is a small valid call of a public function, its inputs by name, and ``right``: the answer from
the same inputs by another road, a closed form or float64 arithmetic in numpy. Each input knows its
variations. A variation is one of three kinds:

    RIGHT      the content is the same, and the package promises to take it: the answer has to be right;
    REFUSED    nobody can give an answer: the package has to refuse;
    EITHER     right or refused, nothing else.

Where ``right`` raises or is not a number there is no right answer, and the package has to refuse. Without
``right`` the answer of the plain call is the right one, and an input of other content has to be refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scoredrift import Gaussian

RIGHT, REFUSED, EITHER = "right", "refused", "either"
NAN, INF = math.nan, math.inf


class Variation(NamedTuple):
    """Another value of an input: what has to come of it, and whether its content is that of the plain one."""

    label: str
    value: Any
    wanted: str
    same: bool = False
    rtol: float = 0.0


class Input:
    """An input with one plain value; further ``variations`` come on top of those of its kind."""

    def __init__(self, plain: Any, *variations: Variation, **skipped: str) -> None:
        self.plain, self.more, self.skipped = plain, variations, skipped

    def value(self) -> Any:
        """The plain value, new where a call would change it."""
        return self.plain

    def single(self) -> Any:
        """The plain value in float32."""
        return self.plain

    def own(self) -> Iterator[Variation]:
        """Variations of the kind."""
        yield from ()

    def variations(self) -> Iterator[Variation]:
        """All variations but those that are skipped, each for a reason."""
        known = {one.label: one for one in (*self.own(), *self.more)}
        spaced = {label.replace("_", " ").strip() for label in self.skipped}
        assert spaced <= known.keys(), spaced - known.keys()
        yield from (one for label, one in known.items() if label not in spaced)


class Fixed(Input):
    """An input that is not varied."""


class Tensors(Input):
    """A tensor in float64, of any shape with at least one axis."""

    def single(self) -> Tensor:
        return self.plain.float()

    def own(self) -> Iterator[Variation]:
        x: Tensor = self.plain
        with torch.inference_mode():
            inference = x.clone()
        strided = x.repeat_interleave(2, dim=-1)[..., ::2]
        yield Variation("strided", strided, RIGHT, True)
        yield Variation("transposed", x.mT.contiguous().mT if x.ndim > 1 else strided, RIGHT, True)
        yield Variation("requires grad", x.clone().requires_grad_(True), RIGHT, True)
        yield Variation("inference tensor", inference, RIGHT, True)
        for dtype, rtol in ((torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
            yield Variation(f"{dtype} alone", x.to(dtype), EITHER, rtol=rtol)
        for dtype in (torch.complex128, torch.int64):
            yield Variation(f"{dtype} alone", x.to(dtype), EITHER, rtol=1e-6)
        yield Variation("bool", x > 0, EITHER)
        yield Variation("on another device", x.to("meta"), REFUSED)
        yield Variation("numpy", x.numpy(), EITHER, True)
        yield Variation("list", x.tolist(), EITHER, True)
        yield Variation("None", None, EITHER)
        yield Variation("a number", 0.5, EITHER)
        yield Variation("a text", "x", REFUSED)
        for bad in (NAN, INF, -INF):
            worse = x.clone()
            worse.reshape(-1)[-1] = bad
            yield Variation(f"one {bad}", worse, REFUSED)
        large = x.clone()
        large.reshape(-1)[-1] = 1e30
        yield Variation("one 1e30", large, EITHER)
        yield Variation("all 1e30", torch.full_like(x, 1e30), EITHER)
        yield Variation("tiny", 1e-30 * x, EITHER)
        yield Variation("zeros", torch.zeros_like(x), EITHER)
        yield Variation("negative", -x, EITHER)
        yield Variation("empty", x[:0], EITHER)
        yield Variation("one", x[:1], EITHER)
        yield Variation("two", x[:2], EITHER)
        yield Variation("duplicates", torch.cat([x, x]), EITHER)
        yield Variation("one more axis", x[None], EITHER)
        yield Variation("one axis less", x[0], EITHER)
        if x.ndim > 1:
            yield Variation("no columns", x[..., :0], EITHER)
            yield Variation("one column", x[..., :1], EITHER)
            yield Variation("twice the columns", torch.cat([x, x], -1), EITHER)


class Numbers(Input):
    """A real number that float32 and halves hold exactly."""

    def own(self) -> Iterator[Variation]:
        x = float(self.plain)
        for kind in (np.float64, np.float32, Fraction):
            yield Variation(kind.__name__, kind(x), RIGHT, True)
        if x == int(x):
            yield Variation("int", int(x), RIGHT, True)
            yield Variation("int64", np.int64(x), RIGHT, True)
        yield Variation("float16", np.float16(x), EITHER, True)
        yield Variation("torch", torch.tensor(x, dtype=torch.float64), EITHER, True)
        yield Variation("array", np.array(x), EITHER, True)
        for label, value in (
            ("text", str(x)),
            ("list", [x]),
            ("complex", complex(x, 1)),
            ("object", object()),
        ):
            yield Variation(label, value, REFUSED)
        yield Variation("None", None, EITHER)
        yield Variation("nan", NAN, REFUSED)
        for value in (INF, -INF, 0.0, 1.0, 2.0, -x, 1e30, 1e-30, 1e200, 1e-200, True, 10**400):
            yield Variation(f"{str(value)[:6]}{'…' if len(str(value)) > 6 else ''}", value, EITHER)


class Counts(Input):
    """An integer."""

    def own(self) -> Iterator[Variation]:
        n: int = self.plain
        for kind in (np.int64, np.int32, np.uint16):
            yield Variation(kind.__name__, kind(n), RIGHT, True)
        yield Variation("torch", torch.tensor(n), EITHER, True)
        for value in (0, 1, 2, 3):
            yield Variation(str(value), value, EITHER)
        yield Variation("array", np.array(n), EITHER, True)
        yield Variation("float", float(n), EITHER, True)
        for value in (-1, n + 0.5, str(n), [n], NAN, INF, object()):
            yield Variation(f"{type(value).__name__} {value}"[:12], value, REFUSED)
        yield Variation("None", None, EITHER)
        yield Variation("True", True, EITHER)


class Elsewhere(torch.Generator):
    """A generator that says that it is on another device."""

    @property
    def device(self) -> torch.device:
        return torch.device("meta")


class Seeded(Input):
    """A ``torch.Generator``; the plain value is its seed."""

    def value(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.plain)

    def own(self) -> Iterator[Variation]:
        yield Variation("on another device", Elsewhere(), REFUSED)
        for value in (None, 42, "cpu", np.random.default_rng(0)):
            yield Variation(type(value).__name__, value, REFUSED)


class Laws(Input):
    """A law; ``plain`` is one in float64."""

    def single(self) -> Any:
        return self.plain.to(dtype=torch.float32)

    def own(self) -> Iterator[Variation]:
        dim = self.plain.dim + 1
        other = Gaussian(torch.zeros(dim, dtype=torch.float64), torch.eye(dim, dtype=torch.float64))
        yield Variation("of another dimension", other, REFUSED)
        yield Variation("in float32 alone", self.single(), EITHER, True, 1e-5)
        for value in (None, 1.0, "law", torch.zeros(3, 2), torch.nn.Linear(2, 2)):
            yield Variation(f"a {type(value).__name__}", value, REFUSED)


@dataclass(frozen=True, eq=False)
class Entry:
    """A public name, a small valid call of it, and what is right; ``wide`` are inputs in other dimensions."""

    name: str
    call: Callable[..., Any]
    inputs: Mapping[str, Input]
    right: Callable[..., Any] | None = None
    rtol: float = 1e-9
    atol: float = 1e-12
    single: float | None = 2e-5
    wide: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def plain(self) -> Any:
        """The answer to the valid call."""
        return self.call(**{name: one.value() for name, one in self.inputs.items()})


@dataclass(frozen=True, eq=False)
class Case:
    """One call of the table."""

    entry: Entry
    label: str
    changes: Mapping[str, Any]
    wanted: str
    same: bool
    rtol: float
    mode: Callable[[], Any] | None = None

    def arguments(self) -> dict[str, Any]:
        return {name: one.value() for name, one in self.entry.inputs.items()} | dict(self.changes)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Another precision of all that is made without one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


MODES: dict[str, Callable[[], Any]] = {
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "autocast bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "default float64": lambda: default_dtype(torch.float64),
    "default bfloat16": lambda: default_dtype(torch.bfloat16),
}


def cases_of(entry: Entry) -> Iterator[Case]:
    """The plain call, in several modes; everything in float32; and each input varied by itself."""
    yield Case(entry, "plain", {}, RIGHT, True, entry.rtol)
    if isinstance(entry.inputs.get("x"), Tensors) and isinstance(entry.inputs.get("t"), Tensors):
        x = entry.inputs["x"].plain
        for label, some in (
            ("no point", x[:0]),
            ("one point", x[:1]),
            ("each point twice", torch.cat([x, x])),
        ):
            yield Case(
                entry,
                label,
                {"x": some, "t": 0.5},
                EITHER if label == "no point" else RIGHT,
                True,
                entry.rtol,
            )
    for label, mode in MODES.items():
        yield Case(entry, label, {}, RIGHT, True, entry.rtol, mode)
    if entry.single is not None:
        halved = {name: one.single() for name, one in entry.inputs.items() if not isinstance(one, Seeded)}
        if any(halved[name] is not entry.inputs[name].plain for name in halved):
            yield Case(entry, "all float32", halved, RIGHT, False, entry.single)
    for label, changes in entry.wide.items():
        yield Case(entry, label, changes, RIGHT, False, entry.rtol)
    for name, one in entry.inputs.items():
        for varied in one.variations():
            rtol = max(entry.rtol, varied.rtol)
            yield Case(
                entry, f"{name}: {varied.label}", {name: varied.value}, varied.wanted, varied.same, rtol
            )


def array(x: Any, ndim: int | None = None) -> np.ndarray:
    """Whatever holds numbers as a float64 array, if it has the wanted number of axes: the oracles' door."""
    found = np.asarray(x.detach().double() if isinstance(x, Tensor) else x, dtype=np.float64)
    assert ndim is None or found.ndim == ndim, found.shape
    return found
