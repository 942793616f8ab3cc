"""How functions and networks are called: in what precision, with what gradients, and what they show.

Estimators run without gradients and, whatever autocast is in force around them, in the precision of
their inputs; where a derivative is needed, ``recording`` takes it from a graph of its own. A graph may
not tell the whole truth: what runs under ``torch.no_grad``, is detached or goes through numpy is a
constant to it. So before a graph is believed it is held against finite differences at a few points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import torch
from torch import Tensor

from scoredrift import _checks

P = ParamSpec("P")
R = TypeVar("R")
Call = Callable[[Tensor, "float | Tensor"], Tensor]

_HALVES = (torch.float16, torch.bfloat16)
_ROWS = 16  # points at which a graph is held against finite differences
_STEPS = (8e-3, 1e-3)  # of the differences: where two disagree, the values are too rough to judge by
_OFF = 0.01  # relative deviation that is no rounding


@contextmanager
def full_precision() -> Iterator[None]:
    """Arithmetic in the precision of its inputs, whatever autocast is in force outside."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def own_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function compute in the precision of its inputs."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with full_precision():
            return function(*args, **kwargs)

    return run


def estimator(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function run without gradients and in the precision of its inputs."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.no_grad(), full_precision():
            return function(*args, **kwargs)

    return run


def precision(function: Any, x: Tensor) -> torch.dtype:
    """Precision that a function computes in: for a network that of its parameters, else that of x."""
    if not isinstance(function, torch.nn.Module):
        inside = getattr(function, "precision", None)  # of a score that holds a network
        return inside(x) if callable(inside) else x.dtype
    held: list[Tensor] = [p for p in function.parameters() if p.is_floating_point()]
    held = held or [b for b in function.buffers() if b.is_floating_point()]
    kinds = {p.dtype for p in held}
    if len(kinds) > 1:
        names = ", ".join(sorted(map(str, kinds)))
        _checks.refuse(
            "function", f"a network in {names}", "say which it takes: FunctionScore(network, dtype)"
        )
    if held and held[0].device != x.device:
        remedy = f"the network is on {held[0].device}; move one with .to(device)"
        _checks.refuse("x.device", x.device, remedy)
    return kinds.pop() if kinds else x.dtype


def evaluate(
    function: Any,
    x: Tensor,
    t: float | Tensor,
    name: str = "function(x, t)",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Value of a function or network at points, shape ``[n, d]``, in the dtype of the points.

    A network, or any function whose ``dtype`` is stated, gets the points in its precision and times
    ``[n]`` in the same, but in float32 at least.
    """
    if not callable(function) or isinstance(function, type):
        _checks.refuse(
            name, f"a {type(function).__name__}", "pass a function of (x, t), a network or a score"
        )
    if dtype is not None or isinstance(function, torch.nn.Module):
        _checks.times("t", t, x, 0.0, float("inf"))
        return called(function, x, t, name, dtype)
    with full_precision():
        value = function(x, t)
    return _returned(name, value, x)


def called(
    function: Any, x: Tensor, reading: float | Tensor, name: str, dtype: torch.dtype | None = None
) -> Tensor:
    """As ``evaluate``, for what reads another clock than ours: any real numbers, ``[]`` or ``[n]``.

    They come as ``[n]`` in the precision of the function, in float32 at least.
    """
    inner = precision(function, x) if dtype is None else dtype
    clock = torch.float32 if inner in _HALVES else inner
    when = torch.as_tensor(reading, dtype=clock, device=x.device).expand(len(x))
    try:
        with full_precision():
            value = function(x.to(inner), when)
    except RuntimeError as problem:
        if inner not in _HALVES or "dtype" not in str(problem):
            raise
        remedy = "times come in float32, for 0.02 is no number of 8 bits; convert what is made of them"
        _checks.refuse("t.dtype", f"float32, beside x in {inner} ({problem})", remedy)
    return _returned(name, value, x)


def tensor_in(value: Any) -> Any:
    """The tensor ``sample`` of the object that models of diffusers return; anything else as it is."""
    inside = getattr(value, "sample", None)
    return inside if isinstance(inside, Tensor) else value


def _returned(name: str, value: Any, x: Tensor) -> Tensor:
    value = _checks.vectors(name, tensor_in(value), x)
    if value.is_complex():
        _checks.refuse(f"{name}.dtype", value.dtype, "return real numbers")
    return value.to(x.dtype)


@contextmanager
def recording(
    call: Call, x: Tensor, t: float | Tensor, *, constant: bool, dtype: torch.dtype
) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Points and values with a graph between them, and whether the values depend on the points at all.

    Args:
        call: the function, row by row.
        x: points, shape ``[n, d]``.
        t: time, shape ``[]`` or ``[n]``.
        constant: a function without a graph is declared to be constant in x.
        dtype: precision that it computes in.

    Raises:
        ValueError: no graph between points and values, or one that differences of the values contradict.
    """
    if _checks.transformed(x):
        remedy = "divergences are taken outside of torch.func; inside, differentiate the function itself"
        _checks.refuse("x", "a tensor of a torch.func transform", remedy)
    with torch.inference_mode(False), torch.enable_grad(), full_precision():  # backward passes, too
        inputs = (x.clone() if x.is_inference() else x.detach()).requires_grad_(True)
        _checks.times("t", t, x, 0.0, float("inf"))
        t = t if isinstance(t, Tensor) else torch.as_tensor(t, dtype=torch.float64)
        t = t.clone() if t.is_inference() else t.detach()
        try:
            depends = _depends(call, inputs, t, constant, dtype)
            values = call(inputs, t)
        except RuntimeError as problem:
            if not any(hint in str(problem) for hint in ("nference tensor", "numpy() on Tensor")):
                raise
            _unknown(str(problem))
        yield inputs, values, depends


def _depends(call: Call, x: Tensor, t: Tensor, constant: bool, dtype: torch.dtype) -> bool:
    """Whether the values depend on x, as their graph says and differences of them bear out."""
    if not x.numel():
        return False
    x = x.detach()[:_ROWS].clone().requires_grad_(True)
    t = t[:_ROWS] if t.ndim else t
    k = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
    along, left = torch.cos(k), torch.sin(2 * k)  # two directions with nothing in common
    values = call(x, t)
    gradient = None
    if values.requires_grad:
        (gradient,) = torch.autograd.grad((values * left).sum(), x, allow_unused=True)
    reach = (x.detach().abs().amax(1) / 100).clamp(min=1)
    moves, differences, sizes = [], [], []
    for step in _STEPS:
        shift = (step * reach)[:, None] * along
        ahead, behind = (
            call((x + sign * shift).detach().requires_grad_(True), t).detach() for sign in (1, -1)
        )
        moves.append(ahead - behind)
        differences.append((moves[-1] * left).sum(1) / (2 * step * reach))
        sizes.append((torch.maximum(ahead.abs(), behind.abs()) * left).norm(dim=1) / (step * reach))
    if gradient is None:
        if constant and not any(bool((move != 0).any()) for move in moves):
            return False
        _unknown("no graph to x, with which it changes" if constant else "no graph to x")
    slope = (gradient * along).sum(1)
    coarse, fine = differences
    eps = max(torch.finfo(kind).eps for kind in (dtype, torch.float32))  # some compute in float32 inside
    slack = 4 * (fine - coarse).abs() + 50 * eps * torch.maximum(*sizes)
    wrong = (slope - fine).abs() > _OFF * torch.maximum(slope.abs(), fine.abs()) + slack
    wrong &= slope.abs() <= sizes[1]  # else the values change within a step by more than their size
    if 2 * int(wrong.sum()) > len(x):
        row = int(wrong.nonzero()[0])
        seen = f"a graph with slope {float(slope[row]):.4g} where its values have {float(fine[row]):.4g}"
        _unknown(seen)
    return True


def _unknown(value: str) -> NoReturn:
    remedy = (
        "its divergence is unknown; let all of it record a graph (no torch.no_grad, inference_mode, "
        ".detach() or numpy inside), or, if it does not depend on x, declare that: ConstantField(c), "
        "FunctionScore(f, constant=True)"
    )
    _checks.refuse("function(x, t)", value, remedy)
