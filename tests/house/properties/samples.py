"""More of the table of ``laws``: samples."""

import math

import numpy as np
import torch
from property_cases import (
    EITHER,
    REFUSED,
    RIGHT,
    Counts,
    Entry,
    Fixed,
    Input,
    Laws,
    Numbers,
    Seeded,
    Tensors,
    Variation,
    array,
)

from properties.laws_oracles import (
    BLEND,
    GAUSSIAN,
    KERNELS,
    MIXTURE,
    MU,
    SIGMA,
    TIMES,
    M,
    T,
    V,
    W,
    X,
    at_least_one,
    dots,
    draws,
    first_two,
    fitted,
    five,
    gaussian_at,
    kernels_at,
    late,
    mixture_at,
    moments,
    positive,
    still,
    tensor,
)
from scoredrift import laws
from scoredrift.laws import Gaussian, GaussianMixture, Marginal

EXEMPT: dict[str, str] = {}

ENTRIES = [
    *(
        Entry(
            f"laws.{type(law).__name__}.sample",
            draws,
            {"law": Fixed(law), "n": Counts(400), "generator": Seeded(1)},
            lambda law, n, generator, right=right: at_least_one(n) and right,
            single=None,
        )
        for law, right in (
            (MIXTURE, moments(W, M, V)),
            (GAUSSIAN, [0.5, 1.25, -1.0, 1.5]),
            (KERNELS, moments(W, M, 0.25 * torch.ones(3))),
            (BLEND, moments(W, M, V + 0.75)),
            (Marginal(MIXTURE, math.log(4.0)), moments(W, 0.5 * M, 0.25 * V + 0.75)),
        )
    ),
    *(
        Entry(
            f"laws.{type(law).__name__}.diffuse",
            lambda law, t: law.diffuse(t).at(X),
            {"law": Fixed(law), "t": Numbers(0.5)},
            lambda law, t, oracle=oracle: oracle(min(late(t), 1e4)),
            single=None,
        )
        for law, oracle in (
            (MIXTURE, lambda t: mixture_at(W, M, V, X, t)),
            (GAUSSIAN, lambda t: gaussian_at(MU, SIGMA, X, t)),
            (KERNELS, lambda t: kernels_at(M, 0.5, W, X, t)),
            (Marginal(MIXTURE, 0.5), lambda t: mixture_at(W, M, V, X, t + 0.5)),
        )
    ),
    Entry(
        "laws.GaussianMixture.blend",
        lambda law, other, fraction: law.blend(other, fraction).at(X),
        {"law": Fixed(MIXTURE), "other": Laws(MIXTURE.blur(1.0)), "fraction": Numbers(0.25)},
        lambda law, other, fraction: mixture_at(
            np.concatenate([positive(fraction) * W, (1 - late(fraction)) * W]),
            torch.cat([M, M]),
            torch.cat([V, V + 1]),
            X,
        ),
        single=None,
    ),
    Entry(
        "laws.GaussianMixture.blur",
        lambda law, h: law.blur(h).at(X),
        {"law": Fixed(MIXTURE), "h": Numbers(0.5)},
        lambda law, h: mixture_at(W, M, V + late(h) ** 2, X),
        single=None,
    ),
    Entry(
        "laws.GaussianMixture.moments",
        lambda weights, means, variances: [
            f(GaussianMixture(weights, means, variances))
            for f in (GaussianMixture.mean, GaussianMixture.covariance)
        ],
        {"weights": Tensors(W), "means": Tensors(M), "variances": Tensors(V)},
        lambda weights, means, variances: first_two(weights, means, variances),
    ),
    *(
        Entry(
            f"laws.{type(law).__name__}.to",
            lambda law, dtype, device: law.to(dtype=dtype, device=device).at(
                X if dtype in (None, torch.float64) else X.float()
            ),
            {
                "law": Fixed(law),
                "dtype": Input(
                    torch.float64,
                    Variation("None", None, RIGHT, True),
                    Variation("float32", torch.float32, RIGHT, True, 1e-5),
                    *(
                        Variation(str(bad), bad, REFUSED)
                        for bad in (
                            torch.float16,
                            torch.bfloat16,
                            torch.int64,
                            torch.complex64,
                            "float32",
                            1.0,
                        )
                    ),
                ),
                "device": Input(
                    "cpu",
                    Variation("None", None, RIGHT, True),
                    Variation("a device", torch.device("cpu"), RIGHT, True),
                    Variation("a word", "nowhere", REFUSED),
                    Variation("a missing device", "cuda:7", REFUSED),
                    Variation("meta", "meta", REFUSED),
                ),
            },
            lambda law, dtype, device, oracle=oracle: oracle(),
            single=None,
        )
        for law, oracle in (
            (MIXTURE, lambda: mixture_at(W, M, V, X)),
            (GAUSSIAN, lambda: gaussian_at(MU, SIGMA, X)),
            (KERNELS, lambda: kernels_at(M, 0.5, W, X)),
            (
                BLEND,
                lambda: mixture_at(
                    torch.cat([0.25 * W, 0.75 * W]), torch.cat([M, M]), torch.cat([V, V + 1]), X
                ),
            ),
        )
    ),
    Entry(
        "laws.Gaussian.fit",
        lambda data: Gaussian.fit(data),
        {"data": Tensors(X)},
        lambda data: fitted(data),
        wide={"d = 1": {"data": X[:, :1]}},
    ),
    Entry(
        "laws.elapsed",
        lambda t, x: laws.elapsed(t, x),
        {"t": Tensors(T, *(one for one in TIMES if one.label != "1e4")), "x": Tensors(X)},
        lambda t, x: np.minimum(still(t, x), 400.0).reshape(-1, 1),
    ),
    Entry(
        "laws.mixture_of_three",
        lambda dtype: laws.mixture_of_three(dtype=dtype).at(dots(dtype)),
        {
            "dtype": Input(
                torch.float64,
                *(
                    Variation(str(d), d, w, True, 1e-5)
                    for d, w in (
                        (torch.float32, RIGHT),
                        (torch.float16, REFUSED),
                        (torch.int64, REFUSED),
                        (torch.bool, REFUSED),
                        (None, EITHER),
                        ("float64", REFUSED),
                    )
                ),
            )
        },
        lambda dtype: mixture_at(
            tensor(0.3, 0.45, 0.25),
            tensor([-2.2], [0.4], [2.6]),
            tensor(0.04, 0.1225, 0.0625),
            dots(torch.float64),
        ),
        atol=1e-9,
    ),
    Entry(
        "laws.mixture_of_five",
        lambda dim, sigma, centre: laws.mixture_of_five(dim, sigma=sigma, centre=centre).at(
            torch.ones(1, int(dim)).double()
        ),
        {"dim": Counts(3), "sigma": Numbers(0.5), "centre": Numbers(4.0)},
        lambda dim, sigma, centre: five(dim, sigma, centre),
        single=None,
    ),
    Entry(
        "laws.on_nodes",
        laws.on_nodes,
        {
            "law": Laws(laws.mixture_of_three()),
            "nodes": Tensors(torch.linspace(-3, 3, 7, dtype=torch.float64)),
        },
        lambda law, nodes: np.exp(
            mixture_at(
                tensor(0.3, 0.45, 0.25),
                tensor([-2.2], [0.4], [2.6]),
                tensor(0.04, 0.1225, 0.0625),
                array(nodes, 1)[:, None],
            )[0]
        ),
    ),
    Entry(
        "laws.summary",
        lambda law: laws.summary(law, "a"),
        {
            "law": Laws(
                MIXTURE, of_another_dimension="has another summary", in_float32_alone="has another summary"
            )
        },
        lambda law: "GaussianMixture(a, d = 2, float64)",
        single=None,
    ),
]
