"""Numbers at the edge of their range: right, or refused, and never silently wrong."""

import math
import re

import pytest
import torch

from helpers import gaussian, line, normal_density, seeded, within
from scoredrift import Estimate, ledger
from scoredrift.divergences import chi2, chi2_on_nodes, kl, kl_on_nodes, midpoint_chi2
from scoredrift.generations import (
    GenerationStep,
    contributions,
    decompose,
    discounted,
    gram,
    half_life,
    histogram_divergence,
    steady_state,
    steps,
)
from scoredrift.laws import GaussianMixture
from scoredrift.paths import Audit

INF, NAN = math.inf, math.nan


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def normal(n, seed=0):
    return torch.randn(n, generator=seeded(seed), dtype=torch.float64)


# The ledger


@pytest.mark.parametrize("kind", ["at_most", "at_least", "equal"])
@pytest.mark.parametrize("side", [0, 1])
def test_an_estimate_that_is_not_trusted_decides_nothing(kind, side):
    sides = [Estimate(1.0, 1e-3), Estimate(1.0, 1e-3)]
    sides[side] = Estimate(sides[side].value + 7, 1e-3, tail=0.9)
    check = getattr(ledger, kind)("C1", "s", *sides, seed=0, scale="quick")
    assert check.verdict == "undecided"
    assert "not trusted" in str(check)
    metadata = check._repr_mimebundle_()[1]
    (again,) = ledger.collect([{"metadata": metadata}], "chapter")
    assert (again.verdict, again.value) == ("undecided", sides[0].value)


def test_a_measurement_that_is_not_trusted_says_so():
    check = ledger.measured("C1", "χ²", Estimate(2.0, 0.1, 0.7), seed=0, scale="quick")
    assert str(check) == "C1 measured: χ² (not trusted: heavy tail) [2.00 ± 0.10]"
    trusted = ledger.measured("C1", "χ²", Estimate(2.0, 0.1, 0.2), seed=0, scale="quick")
    assert trusted == ledger.measured("C1", "χ²", Estimate(2.0, 0.1), seed=0, scale="quick")


# Few draws


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_divergence_needs_two_draws(n):
    """Its mean over seeds is right: with few coins one of the two laws is often not asked at all."""
    p, q = gaussian([0.5], 1.0), gaussian([0.0], 1.0)
    values = double([kl(p, q, n, generator=seeded(seed)).value for seed in range(1500)])
    assert within(Estimate.from_samples(values), 0.125)
    assert midpoint_chi2(p, q, n, generator=seeded(0)).stderr > 0


def test_laws_are_evaluated_without_gradients_and_give_one_number_a_point():
    class Shifted:
        def __init__(self):
            self.shift = torch.zeros(1, requires_grad=True)

        def sample(self, n, *, generator):
            return torch.randn(n, 1, generator=generator) + self.shift

        def log_density(self, x):
            assert not torch.is_grad_enabled()
            return (-0.5 * (x - self.shift) ** 2).sum(1)

    class Column(Shifted):
        def log_density(self, x):
            return -0.5 * x**2

    for divergence in (kl, chi2, midpoint_chi2):
        assert divergence(Shifted(), Shifted(), 200, generator=seeded(0)).value == 0
        with pytest.raises(ValueError, match=re.escape("q.log_density(x).shape = [")):
            divergence(Shifted(), Column(), 200, generator=seeded(0))


# Sums on nodes


@pytest.mark.parametrize("on_nodes", [kl_on_nodes, chi2_on_nodes])
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-8, 1), (0, 9), (-3, 3)])
def test_nodes_that_cut_a_law_off_are_refused(on_nodes, dims, low, high):
    x = line(low, high, 401)
    pair = [normal_density(x, mean, 1.0) for mean in (0.0, 1.0)]
    if dims == 2:
        pair = [one[:, None] * one for one in pair]
    with pytest.raises(ValueError, match=r"^[pq] = mass .* on the nodes: let the nodes cover both"):
        on_nodes(*pair, x)


@pytest.mark.parametrize("on_nodes", [kl_on_nodes, chi2_on_nodes])
def test_weights_and_densities_of_other_units_are_refused(on_nodes):
    x = line(-9, 9, 361)
    p = normal_density(x, 0.0, 1.0)
    for wrong in (p * 0.05, 2 * p, p * 0):
        with pytest.raises(ValueError, match=r"^q = mass .* divide by the mass"):
            on_nodes(p, wrong, x)


def test_an_integrand_that_is_cut_off_at_the_border_is_refused():
    """Nearly all of KL(N(0, 1) ‖ q) comes from a tail of q that holds 1e-4 of its mass, beyond the nodes."""
    x = line(-5, 5, 1001)
    p, wide = normal_density(x, 0.0, 1.0), normal_density(x, 0.0, 1e4)
    with pytest.raises(ValueError, match=r"^p log\(p/q\) − p \+ q = .* at the border: .* KL is infinite"):
        kl_on_nodes(p, (1 - 4e-4) * p + 4e-4 * wide, x)


def test_a_density_that_underflows_is_no_infinite_divergence():
    """KL(N(0, 1) ‖ N(0, 1/4)) = ½ (4 − 1 − log 4); at ±30 the second density is zero to the machine."""
    exact = 0.5 * (3 - math.log(4))
    near, far = line(-9, 9, 901), line(-30, 30, 3001)
    pairs = [[normal_density(x, 0.0, v) for v in (1.0, 0.25)] for x in (near, far)]
    assert kl_on_nodes(*pairs[0], near) == pytest.approx(exact, rel=1e-9)
    with pytest.raises(ValueError, match="q has underflowed there"):
        kl_on_nodes(*pairs[1], far)


# Small fresh fractions


@pytest.mark.parametrize("alpha", [1e-300, 1e-17, 1e-9, 0.3])
def test_the_steady_state_of_errors_that_undo_the_past(alpha):
    """c = −1: √D = √B − (1 − α) √D, so D = B/(2 − α)²."""
    assert steady_state(1.0, alpha=alpha, coherence=-1.0) == pytest.approx(1 / (2 - alpha) ** 2, rel=1e-12)


def test_the_steady_state_at_the_edge_of_the_range():
    """c = +1: D = B/α², c = 0: D = B/(α (2 − α)); close to −1 by a, with α ≪ a: D ≈ B/(4 (1 − a))."""
    assert steady_state(1e-300, alpha=1e-200, coherence=1.0) == pytest.approx(1e100, rel=1e-12)
    assert steady_state(1.0, alpha=1e-200, coherence=1.0) == INF
    assert steady_state(3.0, alpha=1e-30, coherence=0.0) == pytest.approx(1.5e30, rel=1e-12)
    assert steady_state(0.0, alpha=1e-320, coherence=1.0) == 0
    assert steady_state(1.0, alpha=1e-20, coherence=-0.5) == pytest.approx(1.0, rel=1e-12)
    assert discounted(1.7e308, [1.7e308], alpha=0.5, coherence=1.0) == [INF]
    assert half_life(1e-17) == pytest.approx(1e17 * math.log(2), rel=1e-12)


@pytest.mark.parametrize("generation", [0, 1, 10**6])
def test_histograms_with_next_to_no_fresh_data_walk_at_random(generation):
    """For α, 1/n ≪ 1/i each generation adds (K − 1)/n; the first correction is −i/2 times 2α + 1/n."""
    alpha, draws = 1e-14, 10**13
    wanted = 9 / draws * (generation + 1) * (1 - generation / 2 * (2 * alpha + 1 / draws))
    found = histogram_divergence(10, draws, alpha=alpha, generation=generation)
    assert found == pytest.approx(wanted, rel=1e-11)
    # And in the long run it stands at (K − 1)/(n (1 − (1 − α)² (1 − 1/n))) = 9/(n (2α + 1/n)).
    end = histogram_divergence(10, draws, alpha=alpha, generation=10**16)
    assert end == pytest.approx(9 / (draws * 2 * alpha + 1), rel=1e-11)


@pytest.mark.parametrize("draws", [1, 7])
def test_histograms_at_their_other_edges(draws):
    assert histogram_divergence(5, draws, alpha=1.0, generation=3) == pytest.approx(4 / draws)
    assert histogram_divergence(1, draws, alpha=0.1, generation=3) == 0
    kept = 0.81 * (1 - 1 / draws)
    wanted = 4 / draws * (1 + kept + kept**2)
    assert histogram_divergence(5, draws, alpha=0.1, generation=2) == pytest.approx(wanted)


P, MODEL = double([0.5, 0.5]), double([0.6, 0.4])


@pytest.mark.parametrize("alpha", [1e-14, 1e-10, 1e-5, 0.3, 0.7, 1.0])
def test_a_model_that_stays_where_it_is_repeats_its_error(alpha):
    """δ' = δ, so w = α δ: B = α² D, cosine one."""
    by_cells = decompose(P, MODEL, MODEL, alpha=alpha)
    by_products = steps(gram(P, [MODEL, MODEL]), alpha=alpha)[0]
    for step in (by_cells, by_products):
        assert step.forcing == pytest.approx(alpha**2 * 0.04, rel=1e-12, abs=0)
        assert step.coherence == pytest.approx(1.0)
    shares = contributions(gram(P, [MODEL, MODEL]), alpha=alpha)
    assert float(shares.exact) == pytest.approx(alpha * 0.04, rel=1e-12, abs=0)


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.9, 1.0])
def test_a_perfect_learner_makes_no_error(alpha):
    step = decompose(P, MODEL, alpha * P + (1 - alpha) * MODEL, alpha=alpha)
    assert (step.forcing, step.innovation, step.coherence) == (0.0, 0.0, 0.0)


def test_fresh_data_alone_leave_the_smallest_error_visible():
    """α = 1: w = δ', whatever was before."""
    tiny = 2.0**-50
    step = decompose(P, MODEL, double([0.5 + tiny, 0.5 - tiny]), alpha=1.0)
    assert step.forcing == step.after == pytest.approx(4 * tiny**2, rel=1e-12, abs=0)
    assert steps(double([[1.0, 0.0], [0.0, 1e-30]]), alpha=1.0)[0].forcing == 1e-30


def test_deviations_far_below_one_keep_their_digits():
    tiny = 2.0**-44
    near = double([0.25 + tiny, 0.75 - tiny])
    exact = tiny**2 * (4 + 4 / 3)
    assert float(gram(double([0.25, 0.75]), [near])) == pytest.approx(exact, rel=1e-12, abs=0)
    assert GenerationStep(0.5, 1e-200, 1.0, forcing=1e-200, cross=1e-200).coherence == pytest.approx(1.0)


def test_results_that_hold_tensors_compare_and_print_in_a_line():
    one, other = (contributions(gram(P, [MODEL, P, MODEL]), alpha=0.5) for _ in range(2))
    assert one in (other, one)
    assert one != other
    assert repr(one) == "Contributions(N = 2, total = 0.04)"


def test_a_law_of_several_widths_needs_few_draws_too():
    """A blend with a rare part: three draws may all fall on one component."""
    p = GaussianMixture(double([1 - 1e-9, 1e-9]), double([[0.0], [9.0]]), double([1.0, 1.0]))
    for seed in range(20):
        assert math.isfinite(kl(p, gaussian([0.0], 1.0), 3, generator=seeded(seed)).value)


def test_an_audit_needs_moments_whose_tails_were_examined():
    sure, blind = Estimate(1.0, 0.01, tail=0.2), Estimate(1.0, 0.01)
    with pytest.raises(ValueError, match=r"^mean = 1.000 ± 0.010: examine the tail"):
        Audit(None, blind, sure, Estimate(0.3), sure, bracket_tail=0.1)
    assert Audit(None, sure, None, Estimate(0.3), sure, bracket_tail=0.1).delta == 4.0
