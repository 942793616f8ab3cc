"""The formulas of the live forms, evaluated in a real browser, against the package."""

import json
import math

import pytest
import torch
from scipy.integrate import quad

from scoredrift import Estimate, FreshFraction, KernelFit, OrnsteinUhlenbeck, Replace, mixture_of_three
from scoredrift.divergences import chi2_finite, mixture_gram, total_variation_on_nodes
from scoredrift.generations import (
    BiasAndNoise,
    Memory,
    accumulated,
    discounted,
    forecast,
    fresh_fraction_needed,
    half_life,
    recurse_laws,
    scheduled_drift,
    steady_state,
)
from scoredrift.laws import GaussianMixture, on_nodes

MANY = 50


def uniform(n: int, *, seed: int, low: float = 0.0, high: float = 1.0) -> list[float]:
    g = torch.Generator().manual_seed(seed)
    return (low + (high - low) * torch.rand(n, generator=g, dtype=torch.float64)).tolist()


def close(found: float, wanted: float, tolerance: float = 1e-9) -> bool:
    return (
        found == wanted
        or (math.isnan(found) and math.isnan(wanted))
        or math.isclose(found, wanted, rel_tol=tolerance)
    )


# ‖b‖², E‖noise‖², α, N: edges first.
PIPELINES = [
    (0.0, 0.0, 0.3, 5),
    (0.0, 0.01, 1.0, 8),
    (0.01, 0.0, 1.0, 8),
    (1e-3, 2e-3, 1e-4, 300),
    (1e-90, 1e-95, 0.2, 20),
    (1e90, 3e80, 1e-3, 20),
    *[
        (10 ** (-4 * b), 10 ** (-4 * n), a, int(200 * k))
        for b, n, a, k in zip(*(uniform(MANY - 6, seed=s) for s in (1, 2, 3, 4)), strict=True)
    ],
]


def parts(bias: float, noise: float, of_bias: float = 0.0, of_noise: float = 0.0) -> BiasAndNoise:
    return BiasAndNoise(Estimate(bias, of_bias), Estimate(noise, of_noise))


def test_drift_of_each_generation(ask) -> None:
    found = ask("mathematics", "m.drift", PIPELINES)
    for path, (bias, noise, alpha, last) in zip(found, PIPELINES, strict=True):
        wanted = scheduled_drift(parts(bias, noise), [alpha] * last)
        assert len(path) == last + 1
        assert all(close(a, b.value) for a, b in zip(path, wanted, strict=True)), (bias, noise, alpha)


def test_long_run_and_memory(ask) -> None:
    found = ask("mathematics", "(b, n, a) => [m.longRun(b, n, a), m.halfLife(a)]", PIPELINES)
    for (end, half), (bias, noise, alpha, _) in zip(found, PIPELINES, strict=True):
        wanted = steady_state(bias, alpha=alpha, coherence=1.0) + steady_state(
            noise, alpha=alpha, coherence=0.0
        )
        assert close(end, wanted)
        assert close(half, half_life(alpha))
    assert ask("mathematics", "m.longRun", [(0.1, 0.0, 0), (0, 0, 0)]) == [math.inf, 0]


def test_replacing_is_the_limit_of_no_fresh_data(ask) -> None:
    (found,) = ask("mathematics", "m.drift", [(0.01, 0.02, 0, 30)])
    wanted = forecast(parts(0.01, 0.02), alpha=1e-12, generations=30)
    assert all(close(a, b.value) for a, b in zip(found, wanted, strict=True))


def test_accumulation(ask) -> None:
    settings = [(b, n, a if k % 2 else 0.0, last) for k, (b, n, a, last) in enumerate(PIPELINES)]
    found = ask("mathematics", "m.accumulatedDrift", settings)
    for path, (bias, noise, alpha, last) in zip(found, settings, strict=True):
        assert len(path) == last + 1
        for i in {0, 1, last // 2, last}:
            sums = accumulated(min(i, last), alpha=alpha)
            assert close(path[min(i, last)], sums.bias**2 * bias + sums.noise * noise)
    ends = ask("mathematics", "m.accumulatedLongRun", [(0.0, 0.3, 0.0), (0.1, 0.3, 0.0), (0.1, 0.3, 1.0)])
    assert ends[0] == pytest.approx(0.3 * accumulated(100_000).noise, rel=2e-5)
    assert ends[1] == math.inf
    assert ends[2] == pytest.approx(0.1 * accumulated(100_000, alpha=1.0).bias ** 2, rel=1e-3)


def test_least_fresh_fraction(ask) -> None:
    # Tolerances between what fresh data leave and the drift at α = 0.001, and edges.
    some = [s for s in PIPELINES if s[0] > 0 and s[1] > 0]
    shares = uniform(len(some), seed=5, low=0.01, high=0.99)
    settings = [
        (b, n, (b + n) * (b / 1e-6 / (b + n)) ** share, 0.1 * b, 0.05 * n)
        for (b, n, _, _), share in zip(some, shares, strict=True)
    ]
    settings += [
        (0.01, 0.02, 0.03, 1e-3, 1e-3),
        (0.0, 0.0, 0.1, 0.0, 0.0),
        (0.0, 0.02, 0.1, 0.0, 0.01),
        (0.1, 0.0, 0.3, 0.02, 0.0),
    ]
    found = ask("mathematics", "m.leastAlpha", settings)
    for one, (bias, noise, tolerated, *errors) in zip(found, settings, strict=True):
        wanted = fresh_fraction_needed(parts(bias, noise, *errors), tolerated)
        assert close(one["alpha"], wanted.value), (bias, noise, tolerated)
        assert close(one["error"], wanted.stderr, 1e-8)


def test_no_fresh_fraction_where_data_alone_exceed_the_drift(ask) -> None:
    assert ask("mathematics", "m.leastAlpha", [(0.01, 0.02, 0.0299)]) == [None]
    with pytest.raises(ValueError, match=r"fresh data alone leave 0\.03"):
        fresh_fraction_needed(parts(0.01, 0.02), 0.0299)
    # At α = 1 without bias the drift is flat in α, and an error of it says nothing of α.
    flat = ask("mathematics", "m.leastAlpha", [(0.0, 0.05, 0.05, 0.0, 0.01), (0.0, 0.05, 0.05, 0.0, 0.0)])
    assert [one["alpha"] for one in flat] == [1, 1]
    assert math.isnan(flat[0]["error"])
    assert flat[1]["error"] == 0


def test_first_generation_above_the_tolerated_drift(ask) -> None:
    shares = uniform(len(PIPELINES), seed=6, low=-0.1, high=1.3)
    settings = []
    for (bias, noise, alpha, last), share in zip(PIPELINES, shares, strict=True):
        path = forecast(parts(bias, noise), alpha=alpha, generations=last)
        settings.append((bias, noise, alpha, path[0].value + share * (path[-1].value - path[0].value) or 1.0))
    settings = [s for s in settings if s[3] > 0] + [(0.001, 0.002, 0.0, 1.0), (0.0, 0.01, 0.5, 0.01 / 0.75)]
    found = ask("mathematics", "m.firstAbove", settings)
    for first, (bias, noise, alpha, tolerated) in zip(found, settings, strict=True):
        path = [one.value for one in forecast(parts(bias, noise), alpha=max(alpha, 1e-12), generations=2000)]
        wanted = next((i for i, one in enumerate(path) if one > tolerated * (1 + 1e-11)), math.inf)
        assert first == wanted or (wanted == math.inf and first > 2000), (bias, noise, alpha, tolerated)
    assert 1 < sum(first < math.inf for first in found) < len(found)


# D, B, α, c
STEPS = [
    (0.0, 1.0, 0.5, 1.0),
    (1.0, 0.0, 0.5, -1.0),
    (2.0, 1.0, 1.0, 0.3),
    (1.0, 0.25, 0.5, -1.0),
    (1.0, 0.25, 1e-8, -1.0),
    (1.0, 0.25, 1e-8, 1.0),
    *zip(
        uniform(MANY - 6, seed=7, high=4.0),
        uniform(MANY - 6, seed=8),
        uniform(MANY - 6, seed=9, low=0.01),
        uniform(MANY - 6, seed=10, low=-1.0),
        strict=True,
    ),
]


def test_one_generation_and_the_steady_state(ask) -> None:
    found = ask(
        "mathematics", "(d, b, a, c) => ({...m.nextDrift(d, b, a, c), steady: m.steadyState(b, a, c)})", STEPS
    )
    for one, (before, forcing, alpha, c) in zip(found, STEPS, strict=True):
        assert close(one["steady"], steady_state(forcing, alpha=alpha, coherence=c))
        assert math.isclose(sum(one["terms"]), one["sum"], rel_tol=1e-9, abs_tol=1e-15)
        if c >= 0:
            (wanted,) = discounted(before, [forcing], alpha=alpha, coherence=c)
            assert close(one["sum"], wanted)
    kept = [(steady_state(b, alpha=a, coherence=c), b, a, c) for _, b, a, c in STEPS]
    stays = ask("mathematics", "(d, b, a, c) => m.nextDrift(d, b, a, c).sum", kept)
    assert all(
        math.isclose(new, old[0], rel_tol=1e-9, abs_tol=1e-30) for new, old in zip(stays, kept, strict=True)
    )


def gaussian(variance: float) -> GaussianMixture:
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixture(one, 0 * one[:, None], variance * one)


def test_chi2_of_gaussians(ask) -> None:
    ratios = [1.0, 2.0, 2.5, 1e-3, 1.999, 2.001, *uniform(MANY - 6, seed=11, low=0.1, high=2.5)]
    settings = [
        (ratio * s, s) for ratio, s in zip(ratios, uniform(MANY, seed=12, low=0.2, high=5.0), strict=True)
    ]
    settings[:2] = [(1.0, 1.0), (2.0, 1.0)]
    found = ask("mathematics", "m.chi2", settings)
    for one, (v, s) in zip(found, settings, strict=True):
        if v == 2 * s:
            assert one == math.inf
            continue
        wanted = float(mixture_gram(gaussian(s), [gaussian(v)]))
        assert one == wanted or math.isclose(one, wanted, rel_tol=1e-9, abs_tol=1e-11), (v, s)


def test_integrand_of_chi2_adds_up_to_it(ask) -> None:
    settings = [
        (x, r, s)
        for x, r, s in zip(
            uniform(MANY, seed=13, low=-6.0, high=6.0),
            uniform(MANY, seed=14, low=0.5, high=2.5),
            uniform(MANY, seed=15, low=0.5, high=2.0),
            strict=True,
        )
    ]
    found = ask("mathematics", "m.integrand", settings)
    for one, (x, v, s) in zip(found, settings, strict=True):
        at = torch.tensor([x], dtype=torch.float64)
        model, data = (float(on_nodes(gaussian(variance), at)) for variance in (v, s))
        assert math.isclose(one, (model / data - 1) ** 2 * data, rel_tol=1e-9, abs_tol=1e-13)
    whole = ask(
        "mathematics",
        "(v, s) => [m.chi2Within(40, v, s), m.chi2(v, s)]",
        [(0.5, 1.0), (1.5, 1.0), (0.9, 0.7)],
    )
    assert all(close(*pair) for pair in whole)


def test_the_part_of_chi2_within_a_reach(ask) -> None:
    ratios = [1.0, 2.0, 2.5, *uniform(MANY - 3, seed=19, low=0.5, high=2.5)]
    settings = [(6.0 + 6.0 * (k % 2), ratio, 1.0) for k, ratio in enumerate(ratios)]
    found = ask("mathematics", "m.chi2Within", settings)
    for one, (reach, v, s) in zip(found, settings, strict=True):

        def normal(x: float, variance: float) -> float:
            return math.exp(-x * x / (2 * variance)) / math.sqrt(2 * math.pi * variance)

        def term(x: float, v: float = v, s: float = s) -> float:
            return (normal(x, v) / normal(x, s) - 1) ** 2 * normal(x, s)

        wanted, _ = quad(term, -reach, reach, epsabs=1e-13, epsrel=1e-12, limit=200)
        assert math.isclose(one, wanted, rel_tol=1e-9, abs_tol=1e-12), (reach, v)


# α, h, i
TWINS = [
    (1.0, 0.2, 4),
    (0.0, 0.1, 7),
    (0.3, 0.0, 0),
    (0.1, 0.0, 20),
    (0.0, 0.6, 20),
    (0.5, 0.24, 1),
    *zip(
        uniform(MANY - 6, seed=16),
        uniform(MANY - 6, seed=17, high=0.3),
        [int(21 * one) for one in uniform(MANY - 6, seed=18)],
        strict=True,
    ),
]


def twin(alpha: float, bandwidth: float, generation: int) -> GaussianMixture:
    """The same generation, by the package's recursion of laws."""
    ou = OrnsteinUhlenbeck()
    learn = KernelFit(bandwidth, ou).limit if bandwidth > 0 else Memory(ou).limit
    regime = FreshFraction(alpha) if alpha > 0 else Replace()
    return recurse_laws(learn, mixture_of_three(), regime=regime, generations=generation)[-1].model


def test_density_of_a_generation(ask) -> None:
    nodes = torch.linspace(-7, 7, 41, dtype=torch.float64)
    x = nodes.tolist()
    found = ask("mixtures", f"(...s) => {json.dumps(x)}.map(x => m.density(x, m.twin(...s)))", TWINS)
    data = ask("mixtures", f"() => {json.dumps(x)}.map(x => m.density(x, m.DATA))", [[]])[0]
    assert all(close(a, b) for a, b in zip(data, on_nodes(mixture_of_three(), nodes).tolist(), strict=True))
    for values, settings in zip(found, TWINS, strict=True):
        wanted = on_nodes(twin(*settings), nodes).tolist()
        assert all(close(a, b) for a, b in zip(values, wanted, strict=True)), settings


def test_divergences_of_a_generation(ask) -> None:
    found = ask(
        "mixtures",
        "(...s) => { const q = m.twin(...s); return [m.totalVariation(q), m.mixtureChi2(q)]; }",
        TWINS,
    )
    first, step, count = ask("mixtures", "() => [m.NODES.first, m.NODES.step, m.NODES.count]", [[]])[0]
    nodes = first + step * torch.arange(count, dtype=torch.float64)
    data = mixture_of_three()
    finite = 0
    for (moved, chi2), settings in zip(found, TWINS, strict=True):
        model = twin(*settings)
        assert close(moved, total_variation_on_nodes(on_nodes(model, nodes), on_nodes(data, nodes), nodes)), (
            settings
        )
        assert (chi2 < math.inf) == chi2_finite(model, data).finite, settings
        if chi2 < math.inf:
            finite += 1
            assert close(chi2, float(mixture_gram(data, [model])), 1e-9), settings
    assert 5 < finite < MANY - 5


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.15274, "0.153"),
        (1e-3, "0.00100"),
        (-2.5e-7, "−2.50 × 10⁻⁷"),
        (9.9996e-4, "0.00100"),
        (0.99999, "1.00"),
        (1234.5, "1230"),
        (123456, "123\u00a0000"),
        (1.5e12, "1.50 × 10¹²"),
        (5e-324, "4.94 × 10⁻³²⁴"),
    ],
)
def test_numbers_have_three_digits_and_no_wrong_zero(ask, value: float, shown: str) -> None:
    assert ask("page", "m.format", [[value]]) == [shown]


def test_infinite_is_a_word(ask) -> None:
    assert ask("page", "() => [m.format(Infinity), m.format(NaN)]", [[]]) == [["infinite", "not known"]]
    assert ask("page", "m.plain", [[0.3], [0.05], [1e-9], [123456]]) == [
        "0.3",
        "0.05",
        "1.00 × 10⁻⁹",
        "123\u00a0456",
    ]
