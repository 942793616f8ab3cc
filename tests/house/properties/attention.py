"""More of the table of ``laws``: attention."""

import numpy as np
import torch
from property_cases import Counts, Entry, Tensors, array

from properties.laws_oracles import FAR, LOST, M, T, W, X, at_least_one, seen, wide
from scoredrift import attention


def pruned(y, gain, centres, log_weights):
    sketch = attention.centre_sketch(centres, log_weights)
    return attention.pruned_moments(y, gain, sketch, tolerance=1e-12).moments


def lengths(centres, log_weights):
    """What a sketch keeps whatever its directions are: origin, ‖c‖² in two ways, ‖c‖ and the weights."""
    sketch = attention.centre_sketch(centres, log_weights)
    key = sketch.keys[0]
    return sketch.origin, key[:, :-3].square().sum(1), key[:, -3], -2 * key[:, -2], key[:, -1]


def lengths_wanted(centres, log_weights):
    centres = array(centres, 2)
    log_weights = np.zeros(len(centres)) if log_weights is None else array(log_weights, 1)
    assert centres.size
    assert log_weights.shape == centres.shape[:1]
    squares = ((centres - centres.mean(0)) ** 2).sum(1)
    return centres.mean(0), squares, squares**0.5, squares, log_weights


EXEMPT = {
    "attention.CentreSketch": "a tuple of results, without arithmetic",
    "attention.Moments": "a tuple of results, without arithmetic",
    "attention.Pruned": "a tuple of results, without arithmetic",
    "attention.worth_a_sketch": "compares three sizes with constants",
}

ENTRIES = [
    *(
        Entry(
            f"attention.{name}",
            function,
            {
                "y": Tensors(X, FAR, one_1e30=LOST),
                "gain": Tensors(T + 0.5),
                "centres": Tensors(M),
                "log_weights": Tensors(W.log(), all_1e30=LOST),
            },
            lambda y, gain, centres, log_weights: seen(y, gain, centres, log_weights),
            rtol=1e-8,
            wide={
                f"d = {d}": {"y": wide(d)[1], "centres": wide(d)[0], "gain": torch.ones(3).double()}
                for d in (1, 3072)
            }
            | {"no weights": {"log_weights": None}},
        )
        for name, function in (
            ("softmax_moments", attention.softmax_moments),
            ("plain_moments", attention.plain_moments),
            ("pruned_moments", pruned),
        )
    ),
    Entry(
        "attention.centre_sketch",
        lengths,
        {"centres": Tensors(M), "log_weights": Tensors(W.log())},
        lengths_wanted,
        rtol=1e-6,
    ),
    Entry(
        "attention.local_blocks",
        lambda y, rows: sorted(set(attention.local_blocks(y, rows).flatten().tolist())),
        {"y": Tensors(X), "rows": Counts(2)},
        lambda y, rows: (at_least_one(rows), list(range(len(array(y, 2)))))[1],
    ),
]
