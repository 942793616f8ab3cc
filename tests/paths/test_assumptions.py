"""The audit of A1 to A4, against laws whose moments are known and on simulated paths."""

import math
import re

import pytest
import torch

from helpers import gaussian, seeded, within
from scoredrift import (
    ConstantField,
    Estimate,
    EulerMaruyama,
    Flow,
    LinearField,
    OrnsteinUhlenbeck,
    SumScore,
    simulate,
)
from scoredrift.estimates import tail_shape
from scoredrift.paths import Audit, Energy, Finding, LogRatio, audit

NAN, INF = math.nan, math.inf
N = 20_000
OU = OrnsteinUhlenbeck()


def uniform(seed, n=N):
    return torch.rand(n, generator=seeded(seed), dtype=torch.float64)


def normal_log_ratios(size, seed=0, n=N):
    """Z = M − ½⟨M⟩ for a bracket that is the same on all paths."""
    return math.sqrt(size) * torch.randn(n, generator=seeded(seed), dtype=torch.float64) - 0.5 * size


def pareto_log_ratios(k, seed=0):
    """Z with e^Z = (1 − k) u^{−k}, a Pareto variable of mean one and shape k < 1."""
    return math.log(1 - k) - k * uniform(seed).log()


def holds(found):
    return {finding.assumption: finding.holds for finding in found.findings}


def checked(value=1.0, stderr=0.1, tail=0.1):
    return Estimate(value, stderr, tail)


def judged(**parts):
    """Findings for stated moments; what is not stated is sure."""
    sure = {"learned": checked(), "mean": checked(), "novikov": checked(), "energy": Estimate(0.3)}
    return holds(Audit(**{**sure, "bracket_ratio": checked(), "bracket_tail": 0.1, **parts}))


# Draws of known laws


@pytest.mark.parametrize("size", [0.04, 0.5])
def test_a_normal_log_ratio_with_a_constant_bracket_has_all_that_is_assumed(size):
    brackets = torch.full((N,), size, dtype=torch.float64)
    found = audit(normal_log_ratios(size), brackets, learned=brackets)
    assert holds(found) == {"A1": True, "A2": True, "A3": True, "A4": True}
    assert within(found.mean, 1.0)
    assert found.energy == Estimate(size)
    assert found.learned.value == pytest.approx(size)
    assert found.novikov.value == pytest.approx(math.exp(0.5 * size))
    assert found.bracket_ratio.value == 1
    assert found.bracket_tail == -INF


@pytest.mark.parametrize(("k", "third"), [(0.2, True), (0.3, True), (0.5, None), (0.8, False)])
def test_the_third_follows_the_tail_of_the_ratio(k, third):
    found = audit(pareto_log_ratios(k), torch.ones(N).double())
    assert holds(found)["A3"] is third
    # Moments of e^Z exist up to the order 1/k = 1 + δ.
    assert 1 / (1 + found.delta) == pytest.approx(k, abs=0.1)
    assert found.mean.tail == tail_shape(pareto_log_ratios(k).exp())


def test_the_moments_of_the_bracket_are_those_of_its_law():
    """⟨M⟩ exponential with mean ½: E⟨M⟩² = 2 (E⟨M⟩)² and E e^{⟨M⟩/2} = 1/(1 − ¼)."""
    brackets = -0.5 * uniform(1).log()
    found = audit(normal_log_ratios(0.5), brackets)
    assert within(found.energy, 0.5)
    assert within(found.novikov, 4 / 3)
    assert within(found.bracket_ratio, 2.0)
    assert found.bracket_tail == tail_shape(brackets)


def test_the_learned_energy_is_that_of_its_own_draws():
    learned = -3 * uniform(2, 500).log()
    found = audit(normal_log_ratios(0.5), torch.ones(N).double(), learned=learned)
    assert found.learned == Estimate.from_samples(learned, check_tail=True)
    assert holds(found)["A1"] is True


def test_a_learned_energy_of_infinite_mean_is_not_vouched_for():
    cauchy = torch.tan(torch.pi * (uniform(3) - 0.5)).square()
    found = audit(normal_log_ratios(0.5), torch.ones(N).double(), learned=cauchy)
    assert holds(found)["A1"] is None


def test_a_log_ratio_that_is_no_martingale_fails_where_novikov_is_silent():
    """The mean of e^Z is 1.2 or 0.8, and e^{⟨M⟩/2} has no mean or is no number."""
    heavy, beyond = -4 * uniform(4).log(), 1e4 * uniform(4)
    for shift, second in ((1.2, False), (0.8, False), (1.0, True)):
        z = normal_log_ratios(0.25) + math.log(shift)
        assert holds(audit(z, heavy))["A2"] is second
        assert holds(audit(z, beyond))["A2"] is second
    assert audit(z, beyond).novikov is None
    assert audit(z, heavy).novikov.tail > 1


def test_a_heavy_ratio_leaves_the_second_open_unless_novikov_answers():
    z = pareto_log_ratios(0.8)
    assert holds(audit(z, -4 * uniform(4).log()))["A2"] is None
    assert holds(audit(z, uniform(4)))["A2"] is True


def test_a_heavy_bracket_leaves_the_fourth_open():
    """A Pareto bracket of shape 0.6 has no moment of order 4."""
    z = normal_log_ratios(0.25)
    assert holds(audit(z, uniform(5) ** -0.6))["A4"] is None
    assert holds(audit(z, uniform(5) ** -0.05))["A4"] is True


def test_single_precision_is_judged_alike():
    z, brackets = normal_log_ratios(0.25), uniform(6)
    single, twice = audit(z.float(), brackets.float(), learned=brackets.float()), audit(z, brackets)
    assert single.mean.value == pytest.approx(twice.mean.value, rel=1e-5)
    assert single.energy.value == pytest.approx(twice.energy.value, rel=1e-5)
    # e^100 is no float32.
    assert audit((z + 100).float(), brackets.float()).mean.value > 1e43


# The verdicts, from stated moments


@pytest.mark.parametrize(
    ("tail", "delta", "gamma"),
    [
        (-INF, INF, 2.0),
        (-0.3, INF, 2.0),
        (0.0, INF, 2.0),
        (0.1, 9.0, 2.0),
        (0.25, 3.0, 2.0),
        (0.4, 1.5, 8.0),
        (0.5, 1.0, INF),
        (0.8, 0.25, INF),
        (2.0, -0.5, INF),
    ],
)
def test_the_exponents_follow_the_tail(tail, delta, gamma):
    found = Audit(None, checked(tail=tail), None, Estimate(0.3), checked(), 0.1)
    assert found.delta == pytest.approx(delta)
    assert found.gamma == pytest.approx(gamma)


@pytest.mark.parametrize(
    ("name", "parts", "verdict"),
    [
        ("A1", {"learned": checked(tail=0.88)}, True),
        ("A1", {"learned": checked(tail=0.92)}, None),
        ("A1", {"learned": checked(tail=1.5)}, None),
        ("A2", {"novikov": checked(tail=0.88), "mean": checked(9.0, 0.1, tail=0.6)}, True),
        ("A2", {"novikov": checked(tail=0.92), "mean": checked(9.0, 0.1, tail=0.6)}, None),
        ("A2", {"novikov": checked(tail=0.88), "mean": checked(9.0, 0.1)}, False),  # Z itself is wrong
        ("A2", {"novikov": None, "mean": checked(1.49, 0.1)}, True),
        ("A2", {"novikov": None, "mean": checked(0.51, 0.1)}, True),
        ("A2", {"novikov": None, "mean": checked(1.51, 0.1)}, False),
        ("A2", {"novikov": None, "mean": checked(0.49, 0.1)}, False),
        ("A2", {"novikov": None, "mean": checked(9.0, 0.1, tail=0.6)}, None),
        ("A2", {"novikov": None, "mean": checked(1.0, 0.1, tail=0.6)}, None),
        ("A3", {"mean": checked(tail=0.39)}, True),
        ("A3", {"mean": checked(tail=0.41)}, None),
        ("A3", {"mean": checked(tail=0.59)}, None),
        ("A3", {"mean": checked(tail=0.61)}, False),
        ("A3", {"mean": checked(tail=-INF)}, True),
        ("A3", {"mean": checked(tail=INF)}, None),  # too few draws to see a tail
        ("A4", {"bracket_tail": 0.22}, True),  # of order 2 + γ = 4: below 0.9/4
        ("A4", {"bracket_tail": 0.23}, None),
        ("A4", {"bracket_tail": -INF}, True),
        ("A4", {"bracket_tail": INF}, None),
        ("A4", {"mean": checked(tail=0.39), "bracket_tail": 0.097}, True),  # of order 9.1
        ("A4", {"mean": checked(tail=0.39), "bracket_tail": 0.101}, None),
        ("A4", {"mean": checked(tail=0.41), "bracket_tail": -INF}, None),  # A3 is open
        ("A4", {"mean": checked(tail=0.5), "bracket_tail": -INF}, None),
        ("A4", {"mean": checked(tail=0.8), "bracket_tail": -INF}, None),
    ],
)
def test_a_verdict_keeps_its_distance_from_the_threshold(name, parts, verdict):
    found = judged(**parts)
    assert found[name] is verdict
    # The others are as sure as they were, but for A3 and A4, which share the tail of e^Z.
    assert all(found[other] is True for other in {"A1", "A2"} - {name} if "mean" not in parts)


def test_the_first_is_left_out_without_learned_paths():
    assert list(judged(learned=None)) == ["A2", "A3", "A4"]
    assert list(judged()) == ["A1", "A2", "A3", "A4"]


def test_the_findings_are_printed_with_their_numbers():
    found = Audit(
        checked(0.4, 0.1, tail=0.95),
        checked(1.2, 0.01, tail=0.25),
        None,
        Estimate(0.3),
        checked(),
        bracket_tail=0.3,
    )
    assert str(found).splitlines() == [
        "A1 cannot tell: ε̂² = 0.40 ± 0.10 (not trusted: the tail k̂ = 0.95 says that the variance is infinite)",
        "A2 meets draws that speak against it: E exp(Z) = 1.200 ± 0.010, not one",
        "A3 holds as far as the draws show: exp(Z) has moments up to order 1/k̂ = 4, "
        "and more than 2 are needed",
        "A4 cannot tell: γ > 2 calls for a moment of ⟨M⟩ of order 4; k̂ of ⟨M⟩ is 0.3",
    ]
    assert [str(finding) for finding in found.findings] == str(found).splitlines()


def test_the_reasons_name_novikov_and_light_tails():
    lines = str(
        Audit(None, checked(tail=-0.2), checked(1.3, 0.1), Estimate(0.3), checked(), 0.1)
    ).splitlines()
    assert lines[0].endswith("E exp(Z) = 1.00 ± 0.10; Novikov's moment is 1.30 ± 0.10")
    assert "up to order 1/k̂ = ∞" in lines[1]
    heavy = Audit(None, checked(tail=0.8), None, Estimate(0.3), checked(), 0.1)
    assert str(heavy.findings[-1]) == "A4 cannot tell: without A3 no γ is large enough"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (True, "A1 holds as far as the draws show: why"),
        (False, "A1 meets draws that speak against it: why"),
        (None, "A1 cannot tell: why"),
    ],
)
def test_a_finding_says_what_it_found(verdict, said):
    assert str(Finding("A1", verdict, "why")) == said


# Simulated paths


def audited(field, dim, n=4000):
    """Audit of an error of the standard normal, with ideal and learned paths."""
    exact, grid, step = Flow(gaussian([0.0] * dim, 1.0), OU), OU.geometric_grid(40), EulerMaruyama()
    ratio, learned = LogRatio(field), Energy(field)
    for score, seen, seed in ((exact, ratio, 7), (SumScore(exact, field), learned, 8)):
        start = torch.randn(n, dim, generator=seeded(seed), dtype=torch.float64)
        simulate(score, start, grid, step, generator=seeded(seed + 10), functionals=[seen])
    return audit(ratio.values, ratio.energies, learned=learned.values)


def test_a_push_passes_on_simulated_paths():
    found = audited(ConstantField(torch.tensor([0.1, -0.2], dtype=torch.float64)), 2)
    assert holds(found) == {"A1": True, "A2": True, "A3": True, "A4": True}
    assert within(found.mean, 1.0)
    assert found.energy.value == pytest.approx(0.05 * OU.duration)
    assert found.learned.value == pytest.approx(0.05 * OU.duration)


def test_a_stretch_that_leaves_no_divergence_fails_on_simulated_paths():
    """At w = 0.3 the generated variance is above 2: χ² is infinite, and E e^{2Z} with it."""
    found = audited(LinearField(torch.tensor([[0.3]], dtype=torch.float64)), 1)
    assert holds(found)["A3"] is not True
    assert found.mean.tail > 0.4
    assert found.learned.value > found.energy.value


# Bad input

Z, SIZE = normal_log_ratios(0.25, n=200), torch.full((200,), 0.25, dtype=torch.float64)


def spoilt(draws, value):
    changed = draws.clone()
    changed[3] = value
    return changed


REFUSED = [
    ("brackets.shape = [199]", "[200]", lambda: audit(Z, SIZE[1:])),
    ("brackets.shape = [200, 1]", "shape [n]", lambda: audit(Z, SIZE[:, None])),
    ("brackets = -0.1", "not negative", lambda: audit(Z, spoilt(SIZE, -0.1))),
    ("learned = -0.1", "not negative", lambda: audit(Z, SIZE, learned=spoilt(SIZE, -0.1))),
    ("brackets = 0:", "nothing to audit", lambda: audit(0 * Z, 0 * SIZE)),
    ("brackets = 1 of 200 entries are NaN", "remove", lambda: audit(Z, spoilt(SIZE, NAN))),
    ("brackets = 1 of 200 entries are NaN", "remove", lambda: audit(Z, spoilt(SIZE, INF))),
    ("brackets = list", "torch.Tensor", lambda: audit(Z, SIZE.tolist())),
    ("brackets.dtype = torch.int64", "double", lambda: audit(Z, SIZE.long())),
    ("log_ratios = 710.0", "exceeds the range", lambda: audit(spoilt(Z, 710.0), SIZE)),
    ("log_ratios = 1 of 200 entries are NaN", "remove", lambda: audit(spoilt(Z, NAN), SIZE)),
    ("log_ratios = list", "torch.Tensor", lambda: audit(Z.tolist(), SIZE)),
    ("log_ratios.dtype = torch.int64", "double", lambda: audit(Z.long(), SIZE)),
]


@pytest.mark.parametrize(
    ("begins", "remedy", "call"), REFUSED, ids=[f"{row[0]}, {row[1]}" for row in REFUSED]
)
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)) as caught:
        call()
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("shown", "call"),
    [
        ("log_ratios.shape = [99]: pass at least 100 paths", lambda: audit(Z[:99], SIZE[:99])),
        ("shape = [1]", lambda: audit(Z[:1], SIZE[:1])),
        ("shape = [200, 1]", lambda: audit(Z[:, None], SIZE[:, None])),
        ("learned.shape = [99]: pass at least 100 paths", lambda: audit(Z, SIZE, learned=SIZE[:99])),
        ("shape = [200, 1]", lambda: audit(Z, SIZE, learned=SIZE[:, None])),
        ("1 of 200 entries are NaN", lambda: audit(Z, SIZE, learned=spoilt(SIZE, NAN))),
        ("list: pass a torch.Tensor", lambda: audit(Z, SIZE, learned=[0.1] * 200)),
    ],
)
def test_draws_that_carry_no_mean_are_refused(shown, call):
    with pytest.raises(ValueError, match=re.escape(shown)):
        call()


def test_ratios_and_brackets_at_the_end_of_the_numbers_are_accepted():
    assert audit(spoilt(Z, 709.0), SIZE).mean.tail > 1
    assert audit(Z, spoilt(SIZE, 0.0)).energy.value < 0.25
