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
        A generator; streams of different paths are independent for all that is known.

    Raises:
        ValueError: a negative seed.

    >>> generator_for(1, 0, "fit").initial_seed() == generator_for(1, 0, "fit").initial_seed()
    True
    >>> generator_for(1, 0, "fit").initial_seed() == generator_for(1, 1, "fit").initial_seed()
    False
    """
    _checks.count("seed", seed, least=0)
    words = [part if isinstance(part, int) else int.from_bytes(part.encode(), "big") for part in path]
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(words))
    state = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device).manual_seed(state)
