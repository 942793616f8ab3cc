"""Scalar products on one fixed good set, against quadrature on the line."""

import pytest
import torch

from helpers import line, seeded
from scoredrift.divergences import fixed_set_chi2, fixed_set_gram
from scoredrift.estimates import Estimate
from scoredrift.generations import steps
from scoredrift.laws import mixture_of_three, on_nodes

P = mixture_of_three()
MODELS = [P.blur(h) for h in (0.1, 0.3, 0.5)]
EDGE = -4.0


def test_products_on_the_set_are_integrals():
    nodes = line(-9, 9, 40_001)
    data = on_nodes(P, nodes)
    deltas = torch.stack(
        [torch.where(data.log() >= EDGE, on_nodes(m, nodes) / data - 1, 0.0) for m in MODELS]
    )
    wanted = (deltas * data) @ deltas.T * float(nodes[1] - nodes[0])
    x = P.sample(100_000, generator=seeded(1))
    found = fixed_set_gram(P, MODELS, x, edge=EDGE)
    inside = P.log_density(x) >= EDGE
    for i, model in enumerate(MODELS):
        drift = fixed_set_chi2(P, model, x, edge=EDGE)
        assert drift.value == pytest.approx(float(found[i, i]))
        assert abs(drift.sigmas_from(float(wanted[i, i]))) < 5
        for j, other in enumerate(MODELS):
            ratios = [(m.log_density(x) - P.log_density(x)).exp() - 1 for m in (model, other)]
            assert (
                abs(Estimate.from_samples(ratios[0] * ratios[1] * inside).sigmas_from(float(wanted[i, j])))
                < 5
            )
            assert float(found[i, j]) == pytest.approx(float((ratios[0] * ratios[1] * inside).mean()))


def test_the_recursion_holds_on_the_set_whatever_the_points():
    x = P.sample(50, generator=seeded(2))
    for step in steps(fixed_set_gram(P, MODELS, x, edge=EDGE), alpha=0.3):
        mixed = 2 * 0.7 * step.cross
        assert step.after == pytest.approx(0.49 * step.before + step.forcing + mixed)
        assert abs(step.coherence) <= 1 + 1e-9


BAD = [
    ("models = none", lambda: fixed_set_gram(P, [], torch.zeros(2, 1).double(), edge=0.0)),
    ("edge = 9", lambda: fixed_set_gram(P, MODELS, torch.zeros(2, 1).double(), edge=9.0)),
    ("points.shape", lambda: fixed_set_chi2(P, P, torch.zeros(2).double(), edge=0.0)),
    ("edge = nan", lambda: fixed_set_chi2(P, P, torch.zeros(2, 1).double(), edge=float("nan"))),
]


@pytest.mark.parametrize(("words", "call"), BAD, ids=[b[0] for b in BAD])
def test_bad_input_is_named(words, call):
    with pytest.raises(ValueError, match=words):
        call()
