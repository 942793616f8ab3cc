"""More of the table of ``laws``: attention."""

import numpy as np
import torch
from property_cases import Counts, Entry, Tensors, array
from scipy.special import logsumexp

from properties.laws_oracles import FAR, LOST, M, T, W, X, at_least_one, seen, wide
from scoredrift import attention


def pruned(y, gain, centres, log_weights):
    index = attention.centre_index(centres, log_weights)
    return attention.pruned_moments(y, gain, index, tolerance=1e-12).moments


def kept(centres, log_weights):
    """All centres and weights of an index, in their order, and what they add up to."""
    index = attention.centre_index(centres, log_weights)
    order = index.centres[:, 0].argsort()
    total = torch.logsumexp(index.log_masses, 0)
    middle = index.block.bincount().double() @ index.means / len(index.centres)
    weights = torch.zeros(len(order)) if index.log_weights is None else index.log_weights
    return index.centres[order], weights[order], total, middle


def kept_wanted(centres, log_weights):
    centres = array(centres, 2)
    log_weights = np.zeros(len(centres)) if log_weights is None else array(log_weights, 1)
    assert centres.size
    assert log_weights.shape == centres.shape[:1]
    order = centres[:, 0].argsort()
    return centres[order], log_weights[order], logsumexp(log_weights), centres.mean(0)


EXEMPT = {
    "attention.CentreBalls": "a tuple of results, without arithmetic",
    "attention.CentreSketch": "a tuple of results, without arithmetic",
    "attention.CentreIndex": "either of two tuples, without arithmetic",
    "attention.Moments": "a tuple of results, without arithmetic",
    "attention.Pruned": "a tuple of results, without arithmetic",
    "attention.worth_an_index": "compares three sizes with constants",
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
        "attention.centre_index",
        kept,
        {"centres": Tensors(M), "log_weights": Tensors(W.log(), all_1e30=LOST)},
        kept_wanted,
        rtol=1e-6,
    ),
    Entry(
        "attention.local_blocks",
        lambda y, rows: sorted(set(attention.local_blocks(y, rows).flatten().tolist())),
        {"y": Tensors(X), "rows": Counts(2)},
        lambda y, rows: (at_least_one(rows), list(range(len(array(y, 2)))))[1],
    ),
]
