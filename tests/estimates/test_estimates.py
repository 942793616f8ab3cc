"""Estimates: their standard errors, their arithmetic and what they print."""

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
from scipy.stats import sem

from helpers import repeatable, seeded, within
from scoredrift import Estimate
from scoredrift.estimates import as_estimate, jackknife, over_runs

INF, NAN = math.inf, math.nan


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def normal(n, seed=0):
    return torch.randn(n, generator=seeded(seed), dtype=torch.float64)


magnitudes = st.floats(1e-9, 1e9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 3, 1000])
def test_mean_and_standard_error_agree_with_scipy(n, dtype):
    samples = (5 + torch.randn(n, generator=seeded(n))).to(dtype)
    estimate = Estimate.from_samples(samples)
    doubled = samples.numpy().astype(np.float64)
    assert estimate.value == pytest.approx(doubled.mean(), rel=1e-12)
    assert estimate.stderr == pytest.approx(sem(doubled), rel=1e-12)


def test_standard_error_is_the_spread_of_repeated_estimates():
    repeats = torch.rand(4000, 50, generator=seeded(0), dtype=torch.float64)
    sigmas = torch.tensor([Estimate.from_samples(row).sigmas_from(0.5) for row in repeats])
    # A t-distribution with 49 degrees of freedom has variance 49/47; 4000 draws fix it to 3 %.
    assert float(sigmas.var()) == pytest.approx(49 / 47, rel=0.12)


@repeatable
@given(a=magnitudes, b=magnitudes, da=magnitudes, db=magnitudes, factor=st.floats(-10, 10))
def test_errors_propagate_as_for_independent_numbers(a, b, da, db, factor):
    left, right = Estimate(a, da), Estimate(-b, db)
    assert (left + right).value == pytest.approx(a - b)
    assert (left - right).value == pytest.approx(a + b)
    assert (left + right).stderr == pytest.approx(math.sqrt(da**2 + db**2))
    assert (left - right).stderr == pytest.approx(math.sqrt(da**2 + db**2))
    assert (factor * left).stderr == pytest.approx(abs(factor) * da)
    assert (left * factor).value == pytest.approx(factor * a)
    assert (-left) == Estimate(-a, da)


def test_plain_numbers_count_as_exact():
    a = Estimate(2.0, 0.1)
    assert a + 1 == 1 + a == Estimate(3.0, 0.1)
    assert a - 1 == Estimate(1.0, 0.1)
    assert 1 - a == Estimate(-1.0, 0.1)
    assert as_estimate(3) == Estimate(3.0, 0.0)
    assert as_estimate(a) is a


def test_distance_in_standard_errors_is_signed_and_combines_both_errors():
    assert Estimate(1.0, 0.3).sigmas_from(Estimate(2.0, 0.4)) == pytest.approx(-2.0)
    assert Estimate(1.0).sigmas_from(1.0) == 0.0
    assert Estimate(1.0).sigmas_from(2.0) == -math.inf


@pytest.mark.parametrize(
    ("estimate", "printed"),
    [
        (Estimate(1.23456, 0.0123), "1.235 ± 0.012"),
        (Estimate(-1.23456, 0.0123), "-1.235 ± 0.012"),
        (Estimate(12345.6, 120.0), "(1.235 ± 0.012)e+04"),
        (Estimate(1.5e-7, 2e-9), "(1.500 ± 0.020)e-07"),
        (Estimate(0.001, 2.0), "0.0 ± 2.0"),
        (Estimate(3.98), "3.98"),
        (Estimate.from_samples(torch.full((4001,), 0.1, dtype=torch.float64).exp()), "1.105"),
    ],
)
def test_printing_shows_two_digits_of_the_error(estimate, printed):
    assert str(estimate) == printed


@repeatable
@given(value=magnitudes, sign=st.sampled_from([-1, 1]), stderr=magnitudes)
def test_what_is_printed_is_what_was_estimated(value, sign, stderr):
    shown = str(Estimate(sign * value, stderr))
    value_text, stderr_text, power = re.fullmatch(r"\(?(-?[\d.]+) ± ([\d.]+)\)?(e.*)?", shown).groups()
    unit = float("1" + (power or "e0"))
    # Half a unit of the second digit of the error is at most a twentieth of the error.
    assert abs(float(value_text) * unit - sign * value) <= 0.0501 * stderr
    assert abs(float(stderr_text) * unit - stderr) <= 0.0501 * stderr


# Print-out


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


# Birth


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


# Arithmetic


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


def test_means_over_runs_take_the_larger_of_two_errors():
    """Runs that differ more than their draws say, and runs that agree by chance."""
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0]], dtype=torch.float64)
    table = torch.stack([values, torch.full_like(values, 0.3)], dim=-1)
    found = over_runs(torch.cat([table, 7 * table[..., :1]], dim=-1))  # a third column is left out
    assert found.value.tolist() == [2.0, 5.0]
    assert found.stderr.tolist() == pytest.approx([sem([1.0, 3.0]), 0.3 / math.sqrt(2)])
    assert found.estimate(1).stderr == pytest.approx(0.3 / math.sqrt(2))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.zeros(1, 3, 2), "table.shape = [1, 3, 2]: pass values"),
        (torch.zeros(3, 1), "table.shape"),
        (-torch.ones(3, 2), "table[..., 1] = -1.0"),
        (torch.full((3, 2), NAN), "table = 6 of 6"),
    ],
)
def test_tables_of_another_kind_are_refused(table, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        over_runs(table)


def test_the_jackknife_of_a_mean_is_its_usual_error_and_that_of_a_quotient_knows_the_covariance():
    g = torch.Generator().manual_seed(8)
    b = 1 + torch.rand(400, generator=g, dtype=torch.float64)
    a = 2 * b + 0.1 * torch.randn(400, generator=g, dtype=torch.float64)
    mean, usual = jackknife(lambda kept: float(a[kept].mean()), 400), Estimate.from_samples(a)
    assert (mean.value, mean.stderr) == pytest.approx((usual.value, usual.stderr), rel=1e-12)
    ratio, known = jackknife(lambda kept: float(a[kept].mean() / b[kept].mean()), 400), Estimate.ratio(a, b)
    assert ratio.value == pytest.approx(known.value, rel=1e-12)
    assert ratio.stderr == pytest.approx(known.stderr, rel=0.01)


@pytest.mark.parametrize(
    ("of", "runs", "text"), [(float, 2, "runs"), (lambda kept: math.nan, 5, r"of\(runs\)")]
)
def test_the_jackknife_refuses_two_runs_and_what_is_no_number(of, runs, text):
    with pytest.raises(ValueError, match=text):
        jackknife(of, runs)
