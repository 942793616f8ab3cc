"""Random numbers by name: a stream for each generation and purpose, all from one seed."""

from __future__ import annotations

import numpy as np
import torch

from scoredrift import _checks

_LARGEST_SEED, _LARGEST_STEP = 2**128 - 1, 2**31 - 1  # beyond, numpy's SeedSequence would confuse them


def generator_for(
    seed: int | tuple[int, ...], *path: int | str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Generator whose stream depends on the seed and on a path, such as (generation, purpose).

    Args:
        seed: ≥ 0 and below 2¹²⁸; or several numbers, as (seed, run), the later ones below 2³¹: the stream
            is that of the path that begins with them, (run, *path).
        path: numbers ≥ 0 and below 2³¹, and names.
        device: device of the generator.

    Returns:
        A generator. Torch's CPU generator keeps 32 bits of a seed, so among n streams two coincide with
        probability n²/2³³: one per cent for ten thousand.

    Raises:
        ValueError: numbers that are negative or too large, or no seed.

    >>> generator_for(1, 0, "fit").initial_seed() == generator_for(1, 0, "fit").initial_seed()
    True
    >>> generator_for(1, 0, "fit").initial_seed() == generator_for(1, 1, "fit").initial_seed()
    False
    >>> generator_for((1, 0), "fit").initial_seed() == generator_for(1, "fit").initial_seed()
    False
    """
    first, *later = seed_words(seed)
    # Numbers are even, names are odd, so that none is taken for another.
    words = [
        2 * _at_most("path", part, _LARGEST_STEP)
        if not isinstance(part, str)
        else 2 * int.from_bytes(part.encode(), "big") + 1
        for part in (*later, *path)
    ]
    try:
        generator = torch.Generator(device)
    except (RuntimeError, TypeError, AssertionError) as error:
        _checks.refuse("device", repr(device), f"{str(error).splitlines()[0]}; pass a device that torch sees")
    sequence = np.random.SeedSequence(first, spawn_key=tuple(words))
    state = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return generator.manual_seed(state)


def seed_words(seed: int | tuple[int, ...]) -> list[int]:
    """A seed as the list of its numbers, if it is one.

    Args:
        seed: a number ≥ 0, or a tuple of such.

    Raises:
        ValueError: anything else.

    >>> seed_words(7), seed_words((7, 0))
    ([7], [7, 0])
    """
    words = list(seed) if isinstance(seed, tuple) else [seed]
    if not words:
        _checks.refuse("seed", seed, "pass an integer ≥ 0, or a tuple of such")
    return [_at_most("seed", word, _LARGEST_STEP if i else _LARGEST_SEED) for i, word in enumerate(words)]


def _at_most(name: str, value: int, largest: int) -> int:
    number = _checks.count(name, value, least=0)
    if number > largest:
        _checks.refuse(name, value, f"pass an integer ≤ {largest}")
    return number
