"""What comes of a call of the table: the right answer, a refusal, or neither."""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from property_cases import REFUSED, RIGHT, Case, Entry
from torch import Tensor

from scoredrift import Estimate


def answer(case: Case) -> str:
    """ "right" or "refused"; otherwise what went wrong, beginning with another word."""
    once = not torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # or only the first of a kind is seen
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with case.mode() if case.mode else warnings.catch_warnings():
                found = numbers(case.entry.call(**case.arguments()))
    except Exception as error:
        if _is_refusal(error):
            return "refused" if case.wanted != RIGHT else f"refuses what is valid: {error}"
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"fails with {type(error).__name__}: {error} ({where.name}, line {where.lineno})"[:500]
    finally:
        torch.set_warn_always(not once)
    if case.wanted == REFUSED:
        return f"answers {_short(found)} where there is no answer"
    try:
        right = _right(case)
    except Exception as error:
        return f"answers {_short(found)} where there is no answer ({type(error).__name__}: {error})"[:500]
    return _compared(found, right, case.rtol, case.entry.atol)


def _is_refusal(error: Exception) -> bool:
    """A ValueError that ``_checks.refuse`` raised, perhaps with a place added."""
    if type(error) is not ValueError or " = " not in str(error) or ": " not in str(error):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return last.name == "refuse" or (last.name == "placed" and _is_refusal(error.__cause__))


def _right(case: Case) -> list[Any]:
    if case.entry.right is not None:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            right = numbers(case.entry.right(**case.arguments()))
        if any(bool(np.isnan(one).any()) for one in right if not isinstance(one, Estimate | str)):
            raise ValueError("not a number")
        return right
    if not (case.same or case.wanted == RIGHT):
        raise ValueError("and no other road to it")
    return plain_numbers(case.entry)


@functools.cache
def _plain(identity: int, entry: Callable[[], Any]) -> list[Any]:
    return numbers(entry())


def plain_numbers(entry: Entry) -> list[Any]:
    """Numbers of the plain call, taken once."""
    return _plain(id(entry), entry.plain)


def _compared(found: list[Any], right: list[Any], rtol: float, atol: float) -> str:
    if len(found) != len(right):
        return f"has {len(found)} parts where {len(right)} are right"
    for one, other in zip(found, right, strict=True):
        if isinstance(other, str):
            if one != other:
                return f"says {one!r} where {other!r} is right"
        elif isinstance(one, Estimate):
            reference = other.value if isinstance(other, Estimate) else float(other)
            if isinstance(other, Estimate) or not one.stderr:
                fits = np.isclose(one.value, reference, rtol=rtol, atol=atol)
            else:
                fits = abs(one.value - reference) <= 5 * one.stderr + rtol * abs(reference) + atol
            if not fits:
                return f"is {one!r} where {reference} is right"
        else:
            one, other = np.asarray(one), np.asarray(other)
            if one.shape != other.shape:
                return f"has shape {one.shape} where {other.shape} is right"
            # A row of a matrix has one scale; numbers of a vector each have their own.
            size = np.abs(other).max(-1, keepdims=True, initial=0.0) if other.ndim > 1 else np.abs(other)
            with np.errstate(invalid="ignore"):
                near = (np.abs(one - other) <= max(atol, rtol) + rtol * size) | (one == other)
            if not near.all():
                return f"is {_short([one])} where {_short([other])} is right"
    return "right"


def numbers(thing: Any) -> list[Any]:
    """All numbers of an answer, in order: arrays in float64, estimates, texts."""
    if thing is None or isinstance(thing, str):
        return [str(thing)]
    if isinstance(thing, Estimate):
        return [thing]
    if isinstance(thing, Tensor):
        kept = thing.detach()
        return [(kept.double() if not kept.is_complex() else kept).numpy()]
    if isinstance(thing, bool | int | float | np.ndarray | np.generic):
        return [np.asarray(thing, dtype=np.float64)]
    if isinstance(thing, Mapping):
        return [part for key in sorted(thing) for part in numbers(thing[key])]
    if is_dataclass(thing):
        return [part for one in fields(thing) for part in numbers(getattr(thing, one.name))]
    return [part for one in thing for part in numbers(one)]


def _short(parts: list[Any]) -> str:
    return ", ".join(str(one).replace("\n", "") for one in parts)[:160]
