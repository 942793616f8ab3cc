"""Laws, their flows, and the attention behind the kernel densities."""

import numpy as np
import torch
from property_cases import (
    EITHER,
    NAN,
    REFUSED,
    RIGHT,
    Entry,
    Fixed,
    Input,
    Laws,
    Numbers,
    Tensors,
    Variation,
    array,
)

from properties.laws_oracles import (
    FAR,
    GAUSSIAN,
    KERNELS,
    LOST,
    MIXTURE,
    MU,
    SIGMA,
    TIMES,
    M,
    T,
    V,
    W,
    X,
    at,
    gaussian_at,
    kernels_at,
    late,
    mixture_at,
    positive,
    tensor,
    wide,
)
from scoredrift import laws
from scoredrift.laws import Blend, Gaussian, GaussianMixture, KernelDensity, Marginal

EXEMPT = {
    "laws.Evaluation": "a tuple of results, without arithmetic",
    "laws.Law": "abstract; its methods are in the table by those of its kinds",
    "laws.Source": "a protocol",
}

ENTRIES = [
    Entry(
        "laws.GaussianMixture.at",
        at(GaussianMixture),
        {
            "weights": Tensors(W),
            "means": Tensors(M),
            "variances": Tensors(V),
            "x": Tensors(X, FAR),
            "t": Tensors(T, *TIMES),
        },
        mixture_at,
        wide={f"d = {dim}": {"means": wide(dim)[0], "x": wide(dim)[1], "t": 0.5} for dim in (1, 3072)}
        | {"a weight of zero": {"weights": tensor(0.5, 0.5, 0.0)}},
    ),
    Entry(
        "laws.Gaussian.at",
        at(Gaussian),
        {"mean": Tensors(MU), "covariance": Tensors(SIGMA), "x": Tensors(X, FAR), "t": Tensors(T, *TIMES)},
        gaussian_at,
        wide={
            f"d = {d}": {
                "mean": torch.ones(d).double(),
                "covariance": torch.eye(d).double(),
                "x": wide(d)[1],
                "t": 0.5,
            }
            for d in (1, 64)
        },
    ),
    Entry(
        "laws.KernelDensity.at",
        at(KernelDensity),
        {
            "centres": Tensors(M, all_1e30=LOST),
            "bandwidth": Numbers(0.5),
            "weights": Tensors(W),
            "x": Tensors(X, FAR, one_1e30=LOST, all_1e30=LOST),
            "t": Tensors(T, *TIMES),
        },
        kernels_at,
        wide={f"d = {dim}": {"centres": wide(dim)[0], "x": wide(dim)[1], "t": 0.5} for dim in (1, 3072)}
        | {"no weights": {"weights": None}},
    ),
    Entry(
        "laws.Blend.at",
        lambda law, fraction, x, t: Blend((fraction, 0.75), (law, law.blur(1.0))).at(x, t),
        {"law": Fixed(MIXTURE), "fraction": Numbers(0.25), "x": Tensors(X, FAR), "t": Tensors(T, *TIMES)},
        lambda law, fraction, x, t: mixture_at(
            np.concatenate([positive(fraction) * W, 0.75 * W]),
            torch.cat([M, M]),
            torch.cat([V, V + 1]),
            x,
            t,
        ),
        single=None,
    ),
    Entry(
        "laws.Blend",
        lambda laws, weights: Blend(weights, laws).at(X),
        {
            "laws": Input(
                (MIXTURE, MIXTURE.blur(1.0)),
                Variation("a list", [MIXTURE, MIXTURE.blur(1.0)], RIGHT, True),
                Variation("empty", (), REFUSED),
                Variation("of two dimensions", (MIXTURE, laws.mixture_of_three()), REFUSED),
                Variation("of two dtypes", (MIXTURE, MIXTURE.to(dtype=torch.float32)), REFUSED),
                *(Variation(str(bad), (MIXTURE, bad), REFUSED) for bad in (None, 1.0, "law")),
                Variation("one law", MIXTURE, REFUSED),
                Variation("None alone", None, REFUSED),
            ),
            "weights": Input(
                (0.25, 0.75),
                Variation("a list", [0.25, 0.75], RIGHT, True),
                Variation("tensor", tensor(0.25, 0.75), EITHER, True),
                Variation("array", np.array([0.25, 0.75]), RIGHT, True),
                Variation("float32", np.array([0.25, 0.75], dtype=np.float32), RIGHT, True),
                *(
                    Variation(str(bad), bad, REFUSED)
                    for bad in (
                        (),
                        (1.0,),
                        (0.5, 0.4),
                        (0.0, 1.0),
                        (NAN, 1.0),
                        (-0.5, 1.5),
                        ("a", "b"),
                        None,
                        0.5,
                    )
                ),
            ),
        },
        lambda laws, weights: mixture_at(
            torch.cat([0.25 * W, 0.75 * W]), torch.cat([M, M]), torch.cat([V, V + 1]), X
        ),
    ),
    Entry(
        "laws.Marginal.at",
        lambda law, start, x, t: Marginal(law, start).at(x, t),
        {"law": Laws(MIXTURE), "start": Numbers(0.5), "x": Tensors(X), "t": Tensors(T, *TIMES)},
        lambda law, start, x, t: mixture_at(W, M, V, x, late(start) + array(t)),
    ),
    *(
        Entry(
            f"laws.{type(law).__name__}.{name}",
            lambda law, x, name=name: getattr(law, name)(x),
            {"law": Fixed(law), "x": Tensors(X, one_1e30=LOST)},
            lambda law, x, oracle=oracle, part=part: oracle(x)[part],
            single=None,
        )
        for law, oracle in (
            (MIXTURE, lambda x: mixture_at(W, M, V, x)),
            (GAUSSIAN, lambda x: gaussian_at(MU, SIGMA, x)),
            (KERNELS, lambda x: kernels_at(M, 0.5, W, x)),
            (Marginal(MIXTURE, 0.5), lambda x: mixture_at(W, M, V, x, 0.5)),
        )
        for part, name in enumerate(("log_density", "score", "score_divergence"))
    ),
    *(
        Entry(
            f"laws.GaussianMixture.{name}",
            lambda weights, name=name: getattr(
                GaussianMixture(weights, torch.cat([M[:1], M[:1], M[1:2]]), V[:1].expand(3)), name
            )().at(X),
            {"weights": Tensors(tensor(0.25, 0.75, 0.0))},
            lambda weights: mixture_at(weights, torch.cat([M[:1], M[:1], M[1:2]]), V[:1].expand(3), X),
            single=None,
        )
        for name in ("merge", "without_empty")
    ),
]
