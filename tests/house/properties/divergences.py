"""Estimates and divergences."""

import math

import numpy as np
import torch
from property_cases import REFUSED, RIGHT, Counts, Entry, Input, Laws, Numbers, Seeded, Tensors, Variation
from sklearn.linear_model import LogisticRegression

from properties.divergences_oracles import (
    ATOM,
    BAD_LAWS,
    FEW,
    NODES,
    ODD,
    ON_P,
    ON_Q,
    OPTIONS,
    OTHER,
    OU,
    SAME,
    THEIRS,
    WIDE,
    P,
    Q,
    X,
    Y,
    bounds,
    chi2_terms,
    density,
    enough,
    fixed_set,
    good_set,
    kl_terms,
    mean,
    midpoint,
    near,
    of_kernels,
    on,
    only,
    outermost_of,
    plane,
    tensor,
    three,
)
from scoredrift import Estimate, Gaussian, divergences

EXEMPT = {
    "divergences.Classifier": "a protocol",
    "divergences.ClassifierBounds": "a tuple of results, without arithmetic",
    "divergences.Density": "a protocol",
    "divergences.Finiteness": "a tuple of results, without arithmetic",
    "divergences.GoodSet": "a tuple of results, without arithmetic",
}

ENTRIES = [
    Entry(
        "divergences.kl",
        three(divergences.kl),
        {
            "p": density(P, *SAME),
            "q": density(Q, *OTHER),
            "n": Counts(400, **dict.fromkeys("123", FEW)),
            **OPTIONS,
        },
        lambda p, q, n, generator: enough(n, 2, 0.125),
    ),
    Entry(
        "divergences.chi2",
        three(divergences.chi2),
        {
            "p": density(P, *SAME),
            "q": density(Q, *OTHER),
            "n": Counts(400, **dict.fromkeys("123", FEW)),
            **OPTIONS,
        },
        lambda p, q, n, generator: enough(n, 100, math.expm1(0.25)),
    ),
    Entry(
        "divergences.chi2.proposal",
        lambda proposal: divergences.chi2(
            P, Q, 400, generator=torch.Generator().manual_seed(0), proposal=proposal
        ),
        {"proposal": Input(WIDE, *ODD, Variation("None", None, RIGHT), *BAD_LAWS[1:], OTHER[0])},
        lambda proposal: math.expm1(0.25),
    ),
    Entry(
        "divergences.midpoint_chi2",
        three(divergences.midpoint_chi2),
        {
            "p": density(P, *SAME),
            "q": density(Q, *OTHER),
            "n": Counts(400, **dict.fromkeys("123", FEW)),
            **OPTIONS,
        },
        lambda p, q, n, generator: enough(n, 2, midpoint()),
    ),
    Entry(
        "divergences.good_set_chi2",
        three(divergences.good_set_chi2),
        {
            "p": density(P, *SAME),
            "q": density(Q, *OTHER),
            "n": Counts(400, **dict.fromkeys("123", FEW)),
            "cap": Numbers(2.0),
            **OPTIONS,
        },
        lambda p, q, n, generator, cap: (1 < cap <= enough(n, 2, n) and good_set(float(cap))) or 1 / 0,
    ),
    Entry(
        "divergences.log_density_at",
        lambda law, x: divergences.log_density_at("p", law, x),
        {
            "law": Laws(P, *SAME, *(one for one in ODD if one.label.split()[1] not in ("nan", "inf"))),
            "x": Tensors(X[:5, :1]),
        },
        lambda law, x: -0.5 * (only(x) - 0.5) ** 2 - 0.5 * math.log(2 * math.pi),
    ),
    Entry(
        "divergences.chi2_finite",
        lambda p, q: divergences.chi2_finite(p, q).finite,
        {"p": Laws(P, *SAME[2:]), "q": Laws(Q)},
        lambda p, q: True,
    ),
    Entry(
        "divergences.kl_on_nodes",
        divergences.kl_on_nodes,
        {"p": Tensors(ON_P), "q": Tensors(ON_Q), "nodes": Tensors(NODES)},
        lambda p, q, nodes: on(p, q, nodes, kl_terms),
    ),
    Entry(
        "divergences.chi2_on_nodes",
        divergences.chi2_on_nodes,
        {"p": Tensors(ON_P), "q": Tensors(ON_Q), "nodes": Tensors(NODES)},
        lambda p, q, nodes: on(p, q, nodes, chi2_terms),
    ),
    Entry(
        "divergences.kl_on_nodes.on_a_plane",
        lambda p, q: [divergences.kl_on_nodes(p, q, NODES), divergences.chi2_on_nodes(p, q, NODES)],
        {
            "p": Tensors(ON_P[:, None] * ON_P, one_axis_less="a density on the line"),
            "q": Tensors(ON_Q[:, None] * ON_Q, one_axis_less="a density on the line"),
        },
        lambda p, q: plane(p, q),
        single=None,
        atol=1e-9,
    ),
    Entry(
        "divergences.kernel_chi2",
        lambda centres, bandwidth, sigma: divergences.kernel_chi2(centres, bandwidth, sigma, OU),
        {"centres": Tensors(0.5 * X[:3, :2]), "bandwidth": Numbers(0.25), "sigma": Numbers(0.5)},
        of_kernels,
    ),
    Entry(
        "divergences.kernel_chi2.process",
        lambda process: divergences.kernel_chi2(0.5 * X[:3, :2], 0.25, 0.5, process),
        {"process": Input(OU, *(Variation(str(bad), bad, REFUSED) for bad in (None, 1.0, "ou")))},
        lambda process: of_kernels(0.5 * X[:3, :2], 0.25, 0.5),
    ),
    Entry(
        "divergences.outer_chi2",
        lambda centres, data, bandwidth, generator, outermost, draws: Estimate(
            divergences.outer_chi2(
                centres, data, bandwidth, OU, generator=generator, outermost=outermost, draws=draws
            )
        ),
        {
            "centres": Tensors(X[:4, :1]),
            "data": Laws(Q),
            "bandwidth": Numbers(0.5),
            "generator": Seeded(0),
            "outermost": Counts(4),
            "draws": Counts(20000),
        },
        lambda centres, data, bandwidth, generator, outermost, draws: outermost_of(
            centres, bandwidth, outermost, draws
        ),
        rtol=0.05,
        single=0.05,
    ),
    Entry(
        "divergences.fixed_set_chi2",
        lambda data, model, points, edge: divergences.fixed_set_chi2(data, model, points, edge=edge),
        {"data": density(Q), "model": density(P, *SAME), "points": Tensors(X[:, :1]), "edge": Numbers(-2.0)},
        lambda data, model, points, edge: mean(fixed_set(points, edge) ** 2),
    ),
    Entry(
        "divergences.fixed_set_gram",
        lambda data, models, points, edge: divergences.fixed_set_gram(data, models, points, edge=edge),
        {
            "data": density(Q),
            "models": Input(
                [P, Q],
                Variation("a tuple", (P, Q), RIGHT, True),
                *(Variation(str(type(bad)), bad, REFUSED) for bad in ([], P, None, [P, None], [1.0])),
            ),
            "points": Tensors(X[:, :1]),
            "edge": Numbers(-2.0),
        },
        lambda data, models, points, edge: np.array([[np.mean(fixed_set(points, edge) ** 2), 0], [0, 0]]),
        single=None,
    ),
    Entry(
        "divergences.mixture_gram",
        divergences.mixture_gram,
        {
            "data": Laws(Q),
            "models": Input(
                [P, Q],
                Variation("a tuple", (P, Q), RIGHT, True),
                Variation("with a weight of zero", [SAME[3].value, Q], RIGHT, True),
                *(
                    Variation(str(type(bad)), bad, REFUSED)
                    for bad in (
                        [],
                        P,
                        None,
                        [P, None],
                        [1.0],
                        [Gaussian(tensor(0.0), torch.eye(1).double())],
                        [P.to(dtype=torch.float32)],
                    )
                ),
            ),
        },
        lambda data, models: np.array([[math.expm1(0.25), 0], [0, 0]]),
        rtol=1e-7,
        single=None,
    ),
    Entry(
        "divergences.knn_kl",
        lambda x, y, neighbours: (
            abs((found := divergences.knn_kl(x, y, neighbours=neighbours)).value) < 5 * found.stderr + 0.3
        ),
        {
            "x": Tensors(X, tiny="another law"),
            "y": Tensors(Y, tiny="another law", all_1e30=ATOM, zeros=ATOM),
            "neighbours": Counts(5),
        },
        lambda x, y, neighbours: near(x, y, neighbours),
    ),
    Entry(
        "divergences.classifier_bounds",
        lambda x, y, folds, seed: (
            abs(
                (
                    found := divergences.classifier_bounds(
                        x, y, classifier=LogisticRegression(), folds=folds, seed=seed
                    )
                ).kl.value
            )
            < 5 * found.kl.stderr + 0.1
        ),
        {
            "x": Tensors(X, one_1e30=THEIRS, all_1e30=THEIRS, zeros=ATOM),
            "y": Tensors(Y, one_1e30=THEIRS, all_1e30=THEIRS, zeros=ATOM),
            "folds": Counts(2),
            "seed": Counts(3),
        },
        lambda x, y, folds, seed: bounds(x, y, folds, seed),
    ),
    Entry(
        "divergences.classifier_bounds.classifier",
        lambda classifier: (
            abs((found := divergences.classifier_bounds(X, Y, classifier=classifier)).kl.value)
            < 5 * found.kl.stderr + 0.1
        ),
        {
            "classifier": Input(
                LogisticRegression(),
                *(
                    Variation(str(bad), bad, REFUSED)
                    for bad in (1.0, "trees", torch.nn.Linear(2, 2), LogisticRegression)
                ),
            )
        },
        lambda classifier: True,
    ),
]
