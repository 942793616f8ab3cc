"""Scores, their sums and errors, against autograd and against Stein's identity."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import gaussian, jacobian_trace, mixtures, points, random_mixture, repeatable, seeded, within
from scoredrift import (
    ConstantField,
    Estimate,
    Flow,
    FunctionScore,
    OrnsteinUhlenbeck,
    SumScore,
)

OU = OrnsteinUhlenbeck()
TIMES = [0.02, 0.5, 3.0]
SPIN = torch.tensor([[0.0, 2.0], [-2.0, 0.0]], dtype=torch.float64)


def wavy(x, t):
    """A field that is no gradient and no flow, with a divergence that depends on x and t."""
    return torch.sin(x) + torch.cos(t).reshape(-1, 1) * x.roll(1, dims=1) ** 2


def errors():
    exact = Flow(random_mixture(1), OU)
    return {
        "blur": exact.error(Flow(exact.law.blur(0.5), OU)),
        "push": exact.error(SumScore(exact, ConstantField(torch.tensor([0.3, -1.0]).double()))),
        "wavy": exact.error(SumScore(exact, FunctionScore(wavy))),
    }


each_error = pytest.mark.parametrize("error", errors().values(), ids=errors())
each_time = pytest.mark.parametrize("t", TIMES)


@repeatable
@given(q=mixtures(), seed=st.integers(0, 100), t=st.sampled_from(TIMES))
def test_automatic_divergence_agrees_with_the_closed_form_of_mixtures(q, seed, t):
    exact, x = Flow(q, OU), points(seed, 10, q.dim)
    torch.testing.assert_close(FunctionScore(exact).divergence(x, t), exact.divergence(x, t))


def test_automatic_divergence_takes_one_time_for_each_row():
    x, t = points(0, 3, 2), torch.tensor(TIMES, dtype=torch.float64)
    torch.testing.assert_close(FunctionScore(wavy).divergence(x, t), torch.cos(x).sum(1))
    torch.testing.assert_close(FunctionScore(wavy)(x, t)[1], wavy(x[1:2], t[1])[0])


@pytest.mark.parametrize(
    "field",
    [FunctionScore(lambda x, t: torch.ones_like(x), constant=True), FunctionScore(lambda x, t: x @ SPIN)],
    ids=["constant", "spin"],
)
def test_automatic_divergence_is_zero_for_fields_without_one(field):
    assert not bool(field.divergence(points(1, 4, 2), 1.0).any())


def test_automatic_divergence_of_a_field_constant_in_some_coordinates():
    field = FunctionScore(lambda x, t: torch.stack([x[:, 0] ** 2, torch.ones(len(x)).double()], 1))
    x = points(2, 5, 2)
    torch.testing.assert_close(field.divergence(x, 1.0), 2 * x[:, 0])


def test_automatic_divergence_of_a_learned_constant_is_zero():
    """Its values require a gradient, in its parameters but not in x."""
    push = torch.ones(2, dtype=torch.float64, requires_grad=True)
    field = FunctionScore(lambda x, t: push.expand_as(x), constant=True)
    assert not bool(field.divergence(points(2, 5, 2), 1.0).any())


def test_constant_field_is_constant_and_has_no_divergence():
    c, x = torch.tensor([0.5, -2.0], dtype=torch.float64), points(3, 4, 2)
    assert torch.equal(ConstantField(c)(x, 0.5), torch.stack([c] * 4))
    assert torch.equal(ConstantField(c).divergence(x, 0.5), torch.zeros(4, dtype=torch.float64))


@each_time
def test_sum_adds_values_and_divergences(t):
    exact = Flow(random_mixture(2), OU)
    total = SumScore(exact, FunctionScore(wavy))
    x, time = points(4, 10, 2), torch.tensor(t, dtype=torch.float64)
    torch.testing.assert_close(total(x, t), exact(x, t) + wavy(x, time))
    torch.testing.assert_close(total.divergence(x, t), jacobian_trace(lambda y: total(y, t), x))


@each_error
@each_time
def test_error_is_learned_minus_exact(error, t):
    x = points(5, 10, 2)
    torch.testing.assert_close(error(x, t) + error.exact(x, t), error.learned(x, t))
    torch.testing.assert_close(error.divergence(x, t), jacobian_trace(lambda y: error(y, t), x))


@each_error
@each_time
def test_stein_operator_is_the_divergence_of_the_error_flux_over_the_density(error, t):
    # Where the density underflows there is no flux to divide: stay near the law.
    x = error.exact.law.diffuse(t).sample(20, generator=seeded(6))

    def flux(y):
        return error.exact.log_density(y, t).exp()[:, None] * error(y, t)

    divided = jacobian_trace(flux, x) / error.exact.log_density(x, t).exp()
    torch.testing.assert_close(error.at(x, t).stein, divided, rtol=1e-8, atol=1e-8)


@each_error
@each_time
def test_stein_operator_has_mean_zero_under_the_exact_law(error, t):
    x = error.exact.law.diffuse(t).sample(40_000, generator=seeded(7))
    values = error.at(x, t).stein
    assert float(values.std()) > 0.01
    assert within(Estimate.from_samples(values), 0.0)


@each_time
def test_a_rotation_is_invisible_to_the_stein_operator_of_the_standard_normal(t):
    exact = Flow(gaussian([0.0, 0.0], 1.0), OU)
    error = exact.error(SumScore(exact, FunctionScore(lambda x, t: x @ SPIN)))
    assert float(error.at(points(8, 20, 2), t).stein.abs().max()) < 1e-12
