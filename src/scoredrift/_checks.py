"""Bad input is refused at the door, by an error that names parameter, value and remedy."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

FLOATING = (torch.float32, torch.float64)

# Times are rounded when they pass through float32: 0.02 becomes 0.019999999553.
_TIME_SLACK = 1e-6

# For fewer rows that differ, it may be chance that each occurs an even number of times.
_TOO_MANY_TIES = 20


def refuse(name: str, value: Any, remedy: str) -> NoReturn:
    """Raise the one kind of error that bad input gets.

    >>> refuse("steps", 0, "pass a positive integer")
    Traceback (most recent call last):
    ...
    ValueError: steps = 0: pass a positive integer
    """
    raise ValueError(f"{name} = {value}: {remedy}")


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say where something went wrong: in the message of a refusal, in a note to any other error.

    >>> with placed("fit of generation 3"):
    ...     refuse("steps", 0, "pass a positive integer")
    Traceback (most recent call last):
    ...
    ValueError: steps = 0: pass a positive integer (in fit of generation 3)
    """
    try:
        yield
    except Exception as error:
        if type(error) is ValueError:
            raise ValueError(f"{error} (in {place})") from error
        error.add_note(f"in {place}")
        raise


def count(name: str, value: int, *, least: int = 1) -> int:
    """Return ``value`` as an int if it is an integer of at least ``least``, of Python, NumPy or torch."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        refuse(name, repr(value), f"pass an integer ≥ {least}")
    return number


def number(
    name: str, value: float, *, low: float = -math.inf, high: float = math.inf, open_low: bool = False
) -> float:
    """Return ``value`` as a float if it is finite and lies between ``low`` and ``high``."""
    if isinstance(value, bool) or not isinstance(value, Real):
        refuse(name, repr(value), "pass a real number")
    try:
        result = float(value)
    except OverflowError:
        refuse(name, "an integer beyond the range of numbers", "pass a finite number")
    inside = (result > low if open_low else result >= low) and result <= high
    if not (math.isfinite(result) and inside):
        refuse(name, value, f"pass a finite number in {'(' if open_low else '['}{low}, {high}]")
    return result


def width(name: str, value: float, *, open_low: bool = True) -> float:
    """Return ``value`` as a float if it is positive (or zero) and has a square."""
    result = number(name, value, low=0.0, open_low=open_low)
    if result > 1e150:
        refuse(name, value, "its square exceeds the range of numbers")
    return result


def holds(mask: Tensor) -> bool:
    """Whether all entries are true; taken for granted where nobody can look: in torch.func.vmap, torch.compile."""
    if torch.compiler.is_compiling():
        return True
    try:
        return bool(mask.all())
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        return True


def finite(value: Tensor) -> bool:
    """Whether no entry is NaN or infinite."""
    # Both survive a sum, which is far cheaper than a look at every entry; but a sum can overflow.
    return holds(torch.isfinite(value.detach().sum())) or holds(torch.isfinite(value))


def followed(*values: Tensor) -> bool:
    """Whether automatic differentiation, in any mode, or torch.func follows these tensors."""
    if torch.is_grad_enabled() and any(value.requires_grad for value in values):
        return True
    return any(unpack_dual(value).tangent is not None or transformed(value) for value in values)


def transformed(value: Tensor) -> bool:
    """Whether a transform of torch.func has wrapped the tensor; taken for no, where torch does not tell."""
    functorch = getattr(torch._C, "_functorch", None)  # private to torch, and nothing public says it
    wrapped = getattr(functorch, "is_functorch_wrapped_tensor", None)
    return wrapped is not None and wrapped(value)


def representable(density: Tensor, divergence: Tensor) -> None:
    """Refuse points so far, or laws so narrow, that log-densities or scores leave the range of numbers."""
    if not (finite(density) and finite(divergence)):
        wrong = int((~(density.isfinite() & divergence.isfinite())).sum())
        told = f"out of the range of {density.dtype} at {wrong} of {len(density)} points"
        refuse("log-density", told, "take points nearer to the law, or float64 (law.to, x.double())")


def sum_to_one(name: str, weights: Tensor) -> None:
    """Refuse weights whose sum is off by more than the rounding of a softmax or of a division by the sum."""
    total = weights.detach().double().sum()
    if not holds((total - 1).abs() <= 64 * min(len(weights), 128) * torch.finfo(weights.dtype).eps):
        refuse(f"{name}.sum()", float(total), "weights sum to one; divide by their sum")


def floating(name: str, value: Any) -> Tensor:
    """Return ``value`` if it is a finite float32 or float64 tensor."""
    if not isinstance(value, Tensor):
        refuse(name, type(value).__name__, "pass a torch.Tensor (torch.as_tensor converts arrays)")
    if value.dtype not in FLOATING:
        refuse(f"{name}.dtype", value.dtype, "pass float32 or float64 (tensor.double() converts)")
    if value.is_meta:
        refuse(f"{name}.device", value.device, "pass a tensor that holds numbers")
    if not finite(value):
        bad = int((~torch.isfinite(value)).sum())
        refuse(name, f"{bad} of {value.numel()} entries are NaN or infinite", "remove them before the call")
    return value


def points(name: str, x: Any, dim: int | None = None, like: Tensor | None = None) -> Tensor:
    """Return ``x`` if it is a batch of points, ``[n, d]``, in the dtype and on the device of ``like``."""
    floating(name, x)
    if x.ndim != 2 or (dim is not None and x.shape[1] != dim):
        wanted = f"[n, {'d' if dim is None else dim}]"
        refuse(f"{name}.shape", list(x.shape), f"pass a batch of points of shape {wanted}")
    if like is not None:
        if x.dtype != like.dtype:
            refuse(f"{name}.dtype", x.dtype, f"the model is in {like.dtype}; convert one with .to(dtype)")
        if x.device != like.device:
            refuse(f"{name}.device", x.device, f"the model is on {like.device}; move one with .to(device)")
    return x


def real(name: str, value: Any) -> Tensor:
    """Return ``value``, a number or a tensor of any shape, as a tensor in float64."""
    if isinstance(value, Tensor) and (value.is_complex() or value.is_meta):
        refuse(name, f"a tensor of {value.dtype} on {value.device}", "pass real numbers")
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        refuse(name, repr(value)[:80], "pass a number or a tensor")


def times(name: str, t: float | Tensor, x: Tensor, low: float, high: float) -> Tensor:
    """Return ``t`` as a tensor of shape ``[]`` or ``[n]`` beside ``x``, if it lies in [low, high]."""
    if isinstance(t, Tensor) and (t.is_meta or t.is_complex()):
        refuse(name, f"a tensor of {t.dtype} on {t.device}", "pass real numbers")
    try:
        value = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        refuse(name, repr(t)[:80], "pass a number, or a tensor with one for each point")
    if value.ndim > 1 or (value.ndim == 1 and value.shape[0] != x.shape[0]):
        remedy = f"pass one time, or one for each of the {x.shape[0]} points"
        refuse(f"{name}.shape", list(value.shape), remedy)
    slack = _TIME_SLACK * max(1.0, abs(low))
    outside = ~((value >= low - slack) & (value <= high * (1 + _TIME_SLACK)))
    if not holds(~outside):
        worst = float(value[outside][0]) if value.ndim else float(value)
        wider = "" if math.isinf(high) else ", or widen t_min, t_max of the process"
        refuse(name, worst, f"pass times in [{low}, {high}]{wider}")
    if not holds(value.isfinite()):
        refuse(name, math.inf, "pass finite times ≥ 0")
    return value


def noisy(name: str, t: Any) -> Tensor:
    """Return ``t``, if it is a floating tensor of positive, finite times: at t = 0 there is no noise."""
    floating(name, t)
    fine = (t > 0) & t.isfinite()
    if not holds(fine):
        remedy = "pass finite times > 0: at t = 0 there is no noise to predict"
        refuse(name, float(t[~fine].flatten()[0]), remedy)
    return t


def probabilities(name: str, law: Any) -> Tensor:
    """Return ``law`` if it holds probabilities of cells."""
    law = floating(name, law)
    if law.ndim != 1 or law.numel() == 0:
        refuse(f"{name}.shape", list(law.shape), "pass one probability for each cell, [K]")
    whole = float(law.detach().sum())
    if bool((law < 0).any()) or abs(whole - 1) > 1e-9:
        total = f"sum {whole:.9g}, least {float(law.detach().min()):.3g}"
        refuse(name, total, "pass probabilities ≥ 0 in float64 that sum to one")
    return law


def vectors(name: str, value: Any, x: Tensor) -> Tensor:
    """Return ``value`` if it holds one vector for each of the points ``x``."""
    if not isinstance(value, Tensor):
        refuse(name, type(value).__name__, "return a torch.Tensor")
    if value.shape != x.shape:
        refuse(f"{name}.shape", list(value.shape), f"return one vector for each point, {list(x.shape)}")
    if value.device != x.device:
        refuse(f"{name}.device", value.device, f"return it on {x.device}, where the points are")
    return value


def shape(name: str, value: Any, wanted: list[int]) -> Tensor:
    """The tensor, if it has the shape that is wanted."""
    if not isinstance(value, Tensor):
        refuse(name, type(value).__name__, "return a torch.Tensor")
    if list(value.shape) != wanted:
        refuse(f"{name}.shape", list(value.shape), f"return one number for each point, {wanted}")
    if value.is_complex():
        refuse(f"{name}.dtype", value.dtype, "return real numbers")
    return value


def spacing(name: str, nodes: Any) -> float:
    """Return the distance of ``nodes`` if they are two or more, increasing and equally spaced."""
    remedy = "use torch.linspace(low, high, m, dtype=torch.float64) with m ≥ 2"
    floating(name, nodes)
    if nodes.ndim != 1 or nodes.numel() < 2:
        refuse(f"{name}.shape", list(nodes.shape), remedy)
    nodes = nodes.detach()
    distance = float(nodes[-1] - nodes[0]) / (nodes.numel() - 1)
    rounding = 8 * torch.finfo(nodes.dtype).eps * float(nodes.abs().max())
    if not distance > 0 or bool(((nodes.diff() - distance).abs() > rounding).any()):
        refuse(name, "unequal spacing or not increasing", remedy)
    return distance


def increasing(name: str, edges: Any) -> Tensor:
    """Return ``edges`` in float64 if they are two or more numbers that increase."""
    floating(name, edges)
    if edges.ndim != 1 or len(edges) < 2 or not bool((edges.diff() > 0).all()):
        refuse(name, f"of shape {list(edges.shape)}", "pass two or more times that increase, [B + 1]")
    return edges.detach().double()


def on_intervals(edges: Any, name: str, values: Any) -> None:
    """Refuse edges that do not increase, or anything but one value between two of them."""
    increasing("edges", edges)
    floating(name, values)
    if list(values.shape) != [len(edges) - 1]:
        refuse(f"{name}.shape", list(values.shape), f"pass one for each interval, [{len(edges) - 1}]")
    points(name, values[None], like=edges)


def density(name: str, values: Any, nodes: Tensor, *, most_dims: int = 1) -> Tensor:
    """Return ``values`` if they are a density on ``nodes``, or on a product grid of up to ``most_dims``."""
    floating(name, values)
    shapes = [list(nodes.shape) * dims for dims in range(1, most_dims + 1)]
    if list(values.shape) not in shapes:
        wanted = " or ".join(str(shape) for shape in shapes)
        refuse(f"{name}.shape", list(values.shape), f"pass one value for each node, {wanted}")
    points(name, values.reshape(-1, 1), 1, like=nodes)
    if not bool((values >= 0).all()):
        refuse(name, float(values.min()), "densities are ≥ 0")
    return values


def byte_images(name: str, images: Any) -> Tensor:
    """The images, if they are bytes ``[n, C, H, W]``, one or more."""
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        refuse(f"{name}.dtype", kind, "pass bytes, torch.uint8")
    if images.ndim != 4 or 0 in images.shape:
        refuse(f"{name}.shape", list(images.shape), "pass images [n, C, H, W]")
    return images


def no_copies(name: str, rows: Tensor) -> None:
    """Refuse rows that all occur twice, or three times, and so on: a sample that was repeated.

    Single ties are let pass, for a law may have atoms; but that all of twenty or more rows occur an even
    number of times does not happen to independent draws.
    """
    for values in (rows[:, 0], rows):  # the first column alone nearly always settles it
        occurs = torch.unique(values.detach(), dim=0, return_counts=True)[1]
        times = math.gcd(*occurs.tolist())
        if times == 1:
            return
    if len(occurs) >= _TOO_MANY_TIES:
        remedy = "pass independent draws, each of them once"
        refuse(name, f"all of {len(occurs)} different rows, {times} or more times each", remedy)


def sample(name: str, x: Any, *, least: int = 2, copies: bool = False) -> Tensor:
    """Return ``x`` if it is a sample of ``least`` points or more; with ``copies``, points may repeat."""
    points(name, x)
    if len(x) < least or not x.shape[1]:
        refuse(f"{name}.shape", list(x.shape), f"pass {least} or more points, [n, d]")
    if not copies:
        no_copies(name, x)
    return x


def able(name: str, thing: Any, *methods: str) -> Any:
    """Return ``thing`` if it has all of the methods or attributes."""
    for method in methods:
        if isinstance(thing, Tensor) or not hasattr(thing, method):
            refuse(name, f"a {type(thing).__name__}", f"pass an object with {', '.join(methods)}")
    return thing


def process(thing: Any) -> Any:
    """Return ``thing`` if it has the times of a forward process."""
    return able("process", thing, "t_min", "t_max", "diffuse")


def listed(name: str, thing: Any) -> Any:
    """Return ``thing`` if it is a list, a tuple or the like."""
    if isinstance(thing, str) or not (hasattr(thing, "__len__") and hasattr(thing, "__getitem__")):
        refuse(name, f"a {type(thing).__name__}", "pass a list, also of one")
    return thing


def kind_of(device: Any) -> torch.device:
    """Return ``device`` as a torch device, whether or not this machine has it."""
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        refuse("device", repr(device), f"{str(error).splitlines()[0]}; pass a torch device, such as cpu")


def target(device: Any = None, dtype: Any = None) -> None:
    """Refuse a device that there is not, or a dtype that no law is in."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype in FLOATING):
        refuse("dtype", dtype, "pass float32 or float64, as torch.float32")
    if device is None:
        return
    present(device)
    if torch.device(device).type == "meta":
        refuse("device", repr(device), "pass a device that holds numbers")


def present(device: Any) -> None:
    """Refuse a device that torch does not see."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        refuse("device", repr(device), f"{str(error).splitlines()[0]}; pass cpu, or a device that torch sees")


def generator_on(generator: Any, device: torch.device | None = None) -> torch.Generator:
    """Return ``generator`` if it is a ``torch.Generator``, on ``device`` where one is given."""
    if not isinstance(generator, torch.Generator):
        refuse("generator", repr(generator), "pass torch.Generator(device).manual_seed(seed)")
    if device is not None and generator.device.type != device.type:
        refuse("generator.device", generator.device, f"make it on {device}, where the model is")
    return generator
