"""Random numbers by name: a stream for each generation and purpose, all from one seed."""

from __future__ import annotations

import numpy as np
import torch

from scoredrift import _checks


def generator_for(seed: int, *path: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator whose stream depends on the seed and on a path, such as (generation, purpose).

    Args:
        seed: ≥ 0.
        path: numbers ≥ 0 and names.
        device: device of the generator.

    Returns:
        A generator. Torch's CPU generator keeps 32 bits of a seed, so among n streams two coincide with
        probability n²/2³³: one per cent for ten thousand.

    Raises:
        ValueError: negative numbers.

    >>> generator_for(1, 0, "fit").initial_seed() == generator_for(1, 0, "fit").initial_seed()
    True
    >>> generator_for(1, 0, "fit").initial_seed() == generator_for(1, 1, "fit").initial_seed()
    False
    """
    _checks.count("seed", seed, least=0)
    # Numbers are even, names are odd, so that none is taken for another.
    words = [
        2 * _checks.count("path", part, least=0)
        if not isinstance(part, str)
        else 2 * int.from_bytes(part.encode(), "big") + 1
        for part in path
    ]
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(words))
    state = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device).manual_seed(state)
