"""Estimates: their standard errors, their arithmetic and what they print."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import sem

from helpers import repeatable, seeded
from scoredrift import Estimate
from scoredrift.estimates import as_estimate

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
