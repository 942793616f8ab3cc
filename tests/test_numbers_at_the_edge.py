"""Numbers at the edge of their range: right, or refused, and never silently wrong."""

import copy
import math
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import gaussian, line, normal_density, repeatable, seeded, within
from scoredrift import Estimate, ledger
from scoredrift.accumulation import Step, contributions, decompose, gram, steps
from scoredrift.assumptions import Audit
from scoredrift.bounded import midpoint_chi2
from scoredrift.discounts import discounted, half_life, steady_state
from scoredrift.divergences import chi2, chi2_on_nodes, kl, kl_on_nodes
from scoredrift.histograms import histogram_divergence
from scoredrift.mixtures import GaussianMixture

INF, NAN = math.inf, math.nan


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def normal(n, seed=0):
    return torch.randn(n, generator=seeded(seed), dtype=torch.float64)


# Estimates: print-out


@pytest.mark.parametrize(
    ("estimate", "shown"),
    [
        (Estimate(INF, 1), "inf"),
        (Estimate(-INF, INF), "-inf"),
        (Estimate(NAN, 1), "nan"),
        (Estimate(2, INF), "2 ± inf"),
        (Estimate(0, 5e-324), "0 ± 4.9e-324"),
        (Estimate(1e-300, 2e-302), "1e-300 ± 2e-302"),
        (Estimate(1e308, 1e307), "(1.00 ± 0.10)e+308"),
        (Estimate(0, 0.02), "0.000 ± 0.020"),
        (Estimate(1, 1), "1.0 ± 1.0"),
        (Estimate(INF, INF, tail=INF), "inf (not trusted: a draw exceeds the range of numbers)"),
        (Estimate(1, 1, INF), "1.0 ± 1.0 (not trusted: the mean rests on fewer than 5 draws)"),
    ],
)
def test_every_estimate_prints(estimate, shown):
    assert str(estimate) == f"{estimate}" == shown
    assert repr(estimate)


@repeatable
@given(
    value=st.floats(allow_nan=True),
    stderr=st.floats(min_value=0),
    tail=st.none() | st.floats(allow_nan=False),
)
def test_no_estimate_is_without_a_text(value, stderr, tail):
    estimate = Estimate(value, stderr, tail)
    assert str(estimate)
    assert f"{estimate:.3f}".count("±") == (stderr > 0)
    again = eval(repr(estimate), {"Estimate": Estimate, "inf": INF, "nan": NAN})
    assert repr(again) == repr(estimate)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("", "1.235 ± 0.012"),
        (".2f", "1.23 ± 0.01"),
        (".1e", "1.2e+00 ± 1.2e-02"),
        ("+.3f", "+1.235 ± 0.012"),
        ("15", "  1.235 ± 0.012"),
        ("<15", "1.235 ± 0.012  "),
        ("*^17.2f", "***1.23 ± 0.01***"),
    ],
)
def test_digits_of_a_format_are_those_of_value_and_error(spec, shown):
    assert f"{Estimate(1.2349, 0.0123):{spec}}" == shown


def test_an_exact_number_is_formatted_alone_and_doubt_is_never_dropped():
    assert f"{Estimate(1.2349):.2f}" == "1.23"
    assert f"{Estimate(2.0, 0.1, 0.7):.1f}".startswith("2.0 ± 0.1 (not trusted: the tail k̂ = 0.70")


@pytest.mark.parametrize("spec", ["d", "x", ".2q", "015.2f", "abc"])
def test_a_format_that_means_nothing_is_refused(spec):
    with pytest.raises(ValueError, match=r"^format = .*use digits"):
        format(Estimate(1.0, 0.1), spec)


# Estimates: birth


def test_draws_with_gradients_give_their_mean_without_a_warning():
    weight = torch.tensor(2.0, requires_grad=True)
    draws = weight * normal(500).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Estimate.from_samples(draws, check_tail=True)
        ratio = Estimate.ratio(draws + 20, draws + 20)
        number = Estimate(weight, weight)
    assert found.value == pytest.approx(float(draws.detach().double().mean()), rel=1e-12)
    assert (ratio.value, ratio.stderr) == (1.0, 0.0)
    assert (number.value, number.stderr) == (2.0, 2.0)
    with torch.inference_mode():
        assert Estimate.from_samples(normal(500)) == Estimate.from_samples(normal(500))


def test_single_precision_is_summed_in_double():
    """In float32 the sum of 3·10⁶ draws of 0.1 and 0.3 is off in the fourth digit."""
    draws = torch.tensor([0.1, 0.3]).repeat(1_500_000)
    assert Estimate.from_samples(draws).value == pytest.approx(float(draws[:2].double().mean()), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.complex64])
def test_draws_in_half_precision_are_refused(dtype):
    with pytest.raises(ValueError, match=rf"^samples.dtype = {dtype}: pass float32 or float64"):
        Estimate.from_samples(torch.ones(4, dtype=dtype))


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e300])
def test_the_error_survives_squares_that_leave_the_range_of_numbers(scale):
    draws = normal(1000)
    found, unscaled = Estimate.from_samples(scale * draws), Estimate.from_samples(draws)
    assert found.value == pytest.approx(scale * unscaled.value, rel=1e-12, abs=0)
    assert found.stderr == pytest.approx(scale * unscaled.stderr, rel=1e-12, abs=0)


def test_numbers_of_numpy_and_torch_are_taken():
    a = Estimate(np.float32(2), torch.tensor(0.5), np.float64(0.1))
    assert a == Estimate(2.0, 0.5, 0.1)
    assert {type(x) for x in (a.value, a.stderr, a.tail)} == {float}
    for two in (np.float64(2), np.int64(2), torch.tensor(2.0), 2):
        assert two * a == a * two == Estimate(4.0, 1.0, 0.1)
        assert two - a == Estimate(0.0, 0.5, 0.1)
        assert a / two == Estimate(1.0, 0.25, 0.1)


@pytest.mark.parametrize("value", ["1.0", None, [1.0], torch.ones(2), np.ones(2), 1j, 10**400])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match=r"pass a real number$"):
        Estimate(value)
    with pytest.raises(ValueError, match=r"pass a real number$"):
        Estimate(1.0, 0.1) * value


def test_estimates_survive_copies_and_compare_without_order():
    a = Estimate(1.0, 0.1, 0.3)
    assert copy.deepcopy(a) == pickle.loads(pickle.dumps(a)) == a
    assert len({a, Estimate(1.0, 0.1, 0.3), Estimate(1.0, 0.1)}) == 2
    for other in (Estimate(2.0, 0.1), 2.0):
        with pytest.raises(TypeError):
            a < other  # noqa: B015


# Estimates: arithmetic


def spread_of(function, estimates, n=400_000):
    """Standard deviation of a function of independent normal numbers."""
    draws = [x.value + x.stderr * normal(n, seed) for seed, x in enumerate(estimates)]
    return float(function(*draws).std())


A, B = Estimate(3.0, 0.05), Estimate(-2.0, 0.04)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: 1 / b + 0 * a,
        lambda a, b: a * (b - b + 5) / 2,
        lambda a, b: a + a,
        lambda a, b: a * a,
        lambda a, b: a.sqrt(),
        lambda a, b: abs(b) + 0 * a,
        lambda a, b: abs(a),
    ],
)
def test_errors_are_the_spread_of_what_is_computed(function):
    found = function(A, B)
    exact = function(double(A.value), double(B.value))
    assert found.value == pytest.approx(float(exact))
    # Known to 0.1 % from the draws; the first order neglects less than 0.1 %.
    assert found.stderr == pytest.approx(spread_of(function, (A, B)), rel=0.01)


def test_a_number_less_itself_is_nothing():
    nothing, one = A - A, A / A
    assert (nothing, one) == (Estimate(0.0), Estimate(1.0))
    assert (A + A).stderr == 2 * A.stderr


def test_a_product_of_two_numbers_of_noise_has_an_error():
    """Var(XY) = Var X Var Y for independent X, Y of mean zero: to first order nothing would be left."""
    nothing = Estimate(0.0, 0.1)
    assert (nothing * Estimate(0.0, 0.2)).stderr == pytest.approx(0.02)
    assert (nothing * nothing).stderr == pytest.approx(spread_of(lambda x: x * x, [nothing]), rel=0.02)


@pytest.mark.parametrize("below", [0, 0.0, Estimate(0.0), Estimate(0.4, 0.1), Estimate(-0.5, 0.1), NAN])
def test_a_denominator_that_may_be_zero_is_refused(below):
    with pytest.raises(ValueError, match=r"^denominator = .*five standard errors away from zero"):
        A / below
    with pytest.raises(ValueError, match=r"^denominator"):
        below / Estimate(0.0, 0.1)


def test_a_root_knows_that_its_square_is_not_negative():
    assert Estimate(4.0, 0.2).sqrt() == Estimate(2.0, 0.05)
    assert Estimate(0.0).sqrt() == Estimate(0.0)
    for value in (0.0, 0.03, -0.1):  # zero, or as good as zero: the root of the error, and half of that
        root = Estimate(value, 0.04).sqrt()
        assert (root.value, root.stderr) == pytest.approx((0.2, 0.1))
    assert Estimate(INF, INF, INF).sqrt() == Estimate(INF, INF, INF)
    for negative in (Estimate(-1.0, 0.1), Estimate(-1e-300), Estimate(NAN)):
        with pytest.raises(ValueError, match=r"^value = .*a root needs a number ≥ 0"):
            negative.sqrt()


def test_the_worst_tail_is_kept():
    heavy, light, unknown = Estimate(1.0, 0.1, 0.8), Estimate(2.0, 0.1, -INF), Estimate(3.0, 0.1)
    for found in (heavy + light, light - heavy, heavy * unknown, light / heavy, 2 * heavy, -heavy + 1):
        assert found.tail == 0.8
        assert not found.trusted
    assert abs(-heavy).tail == heavy.sqrt().tail == (heavy - heavy).tail == 0.8
    assert (unknown + light).tail == -INF
    assert (unknown + 1).tail is None
    assert (unknown + 1).trusted


def test_a_ratio_of_means_over_the_same_draws_knows_their_covariance():
    """b uniform on [1, 2], a = 3 b + noise: R = 3, and only the noise is left."""
    found = []
    for seed in range(300):
        b = 1 + torch.rand(200, generator=seeded(seed), dtype=torch.float64)
        found.append(Estimate.ratio(3 * b + 0.1 * normal(200, seed), b))
    values = double([one.value for one in found])
    assert within(Estimate.from_samples(values), 3.0)
    assert sum(one.stderr for one in found) / 300 == pytest.approx(float(values.std()), rel=0.15)
    independent = Estimate.from_samples(3 * b) / Estimate.from_samples(b)
    assert independent.stderr > 5 * found[-1].stderr


def test_a_ratio_examines_its_tail_and_its_denominator():
    heavy = torch.rand(4000, generator=seeded(0), dtype=torch.float64) ** -0.8
    ratio = Estimate.ratio(heavy, torch.ones_like(heavy), check_tail=True)
    assert not ratio.trusted
    assert ratio.tail == pytest.approx(Estimate.from_samples(heavy, check_tail=True).tail)
    assert Estimate.ratio(heavy, torch.ones_like(heavy)).tail is None
    with pytest.raises(ValueError, match=r"^denominator = .*five standard errors"):
        Estimate.ratio(heavy, normal(4000))
    with pytest.raises(ValueError, match=re.escape("denominator.shape = [3]: pass both")):
        Estimate.ratio(heavy, torch.ones(3))


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
    values = double([kl(p, q, n, generator=seeded(seed)).value for seed in range(4000)])
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
    assert Step(0.5, 1e-200, 1.0, forcing=1e-200, cross=1e-200).coherence == pytest.approx(1.0)


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
