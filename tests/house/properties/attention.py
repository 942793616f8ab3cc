"""More of the table of ``laws``: attention."""

import torch
from property_cases import Counts, Entry, Tensors, array

from properties.laws_oracles import FAR, LOST, M, T, W, X, at_least_one, seen, wide
from scoredrift import attention

EXEMPT = {
    "attention.Moments": "a tuple of results, without arithmetic",
}

ENTRIES = [
    *(
        Entry(
            f"attention.{name}",
            getattr(attention, name),
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
        for name in ("softmax_moments", "plain_moments")
    ),
    Entry(
        "attention.local_blocks",
        lambda y, rows: sorted(set(attention.local_blocks(y, rows).flatten().tolist())),
        {"y": Tensors(X), "rows": Counts(2)},
        lambda y, rows: (at_least_one(rows), list(range(len(array(y, 2)))))[1],
    ),
]
