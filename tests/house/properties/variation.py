"""Total variation and curation: distances that are always finite, and what a verifier leaves."""

import math

import numpy as np
from property_cases import RIGHT, Counts, Entry, Input, Numbers, Tensors, Variation, array

from properties.divergences_oracles import (
    FEW,
    NODES,
    ON_P,
    ON_Q,
    OPTIONS,
    OTHER,
    SAME,
    P,
    Q,
    density,
    enough,
    on,
    three,
)
from properties.generations_oracles import P1, cells
from properties.generations_oracles import P as DATA
from properties.observability_oracles import DESIGNS, PLAIN, SEEDED, counts
from properties.observability_oracles import enough as taken
from properties.paths_oracles import ERROR, L, error, seed
from scoredrift import Estimate, divergences, generations, observability

EXEMPT = {
    "generations.Curated": "a tuple of results, without arithmetic",
    "observability.VariationBounds": "a tuple of results, without arithmetic",
}

SHIFTED = math.erf(0.25 / math.sqrt(2))  # N(0.5, 1) against N(0, 1)


def nats(kl):
    """The smaller of the two bounds, and its slope times the error."""
    kl = kl if isinstance(kl, Estimate) else Estimate(float(array(kl, 0)))
    assert kl.value >= 0
    return min(math.sqrt(kl.value / 2), math.sqrt(1 - math.exp(-kl.value)))


def thinned(data, model, cap):
    p, m = cells(data, model)
    assert not isinstance(cap, bool)
    assert cap > 0
    kept = np.minimum(m, float(cap) * p)
    return kept + (1 - kept.sum()) * p


def half_response():
    """½ E|u| for u = ½ (1 − e^{−L})(2 − ‖x‖²), x ~ N(0, I) in R²: ‖x‖² has mean two and is exponential."""
    return 0.5 * 0.5 * (1 - math.exp(-L)) * 2 * 2 / math.e


def holds(found):
    """The quantities that are known, and whether the bounds enclose ½ E|u|."""
    enclosed = found.least.sigmas_from(half_response()) < 5 and found.most.sigmas_from(half_response()) > -5
    return [found.energy, float(enclosed)]


ENTRIES = [
    Entry(
        "divergences.total_variation",
        three(divergences.total_variation),
        {
            "p": density(P, *SAME),
            "q": density(Q, *OTHER),
            "n": Counts(400, **dict.fromkeys("123", FEW)),
            **OPTIONS,
        },
        lambda p, q, n, generator: enough(n, 2, SHIFTED),
    ),
    Entry(
        "divergences.total_variation_on_nodes",
        divergences.total_variation_on_nodes,
        {"p": Tensors(ON_P), "q": Tensors(ON_Q), "nodes": Tensors(NODES)},
        lambda p, q, nodes: on(p, q, nodes, lambda p, q: 0.5 * abs(p - q)),
    ),
    Entry(
        "divergences.pinsker",
        divergences.pinsker,
        {
            "kl": Numbers(
                0.5,
                Variation("inf", math.inf, RIGHT),
                Variation("an estimate", Estimate(0.5), RIGHT, True),
                Variation("large", 3.0, RIGHT),
            )
        },
        nats,
    ),
    Entry(
        "observability.total_variation_by_futures",
        lambda error, n, generator: holds(
            observability.total_variation_by_futures(error, n, generator=generator, design=PLAIN)
        ),
        {"error": error(), "n": counts(1000), **SEEDED},
        lambda error, n, generator: [taken(n)[0], 1.0],
    ),
    Entry(
        "observability.total_variation_by_futures.design",
        lambda design, pilot, batch: holds(
            observability.total_variation_by_futures(
                ERROR, 500, generator=seed(1), design=design, pilot=pilot, batch=batch
            )
        ),
        {"design": Input(PLAIN, *DESIGNS), "pilot": Counts(40), "batch": Counts(4000)},
        lambda design, pilot, batch: [taken(min(pilot, 20 * batch), 20)[0], 1.0],
    ),
    Entry(
        "generations.curate",
        lambda data, model, cap: generations.curate(data, model, cap=cap).law,
        {"data": Tensors(DATA), "model": Tensors(P1), "cap": Numbers(1.5)},
        thinned,
        single=1e-6,
    ),
]
