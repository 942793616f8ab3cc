"""Inner products of deviations: closed forms, sums on grids, draws, identities; which are infinite."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import density_on, gaussian, line, mixtures, repeatable, seeded, within
from scoredrift import Estimate, GaussianMixture, mixture_of_five
from scoredrift.divergences import chi2_finite, chi2_on_nodes, mixture_gram
from scoredrift.generations import contributions, decompose, gram

INF = math.inf


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def mixture(weights, means, variances):
    return GaussianMixture(double(weights), double(means), double(variances))


def normal(g, *shape):
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def frame(g, dim):
    """An orthogonal matrix."""
    return torch.linalg.qr(normal(g, dim, dim)).Q


def moved(law, turn, shift, scale=1.0):
    """The law of scale · (turn x) + shift."""
    return GaussianMixture(law.weights, scale * law.means @ turn.T + shift, scale**2 * law.variances)


def lifted(law, dim):
    """The same means with coordinates of zero behind them."""
    rest = torch.zeros(len(law.means), dim - law.dim, dtype=law.dtype)
    return GaussianMixture(law.weights, torch.cat([law.means, rest], 1), law.variances)


def random_law(g, components, dim, rank, low=0.2, high=1.8, spread=1.0):
    """Means in the first ``rank`` coordinates."""
    means = torch.zeros(components, dim, dtype=torch.float64)
    means[:, :rank] = spread * normal(g, components, rank)
    variances = low + (high - low) * torch.rand(components, generator=g, dtype=torch.float64)
    return GaussianMixture(torch.softmax(normal(g, components), 0), means, variances)


def against_one_gaussian(data, models):
    """Σ π_a π_b ∏ ∫ N_a N_b/N dx − 1 for a Gaussian N, by completing the square in each coordinate."""
    (centre,), (s,) = data.means.tolist(), data.variances.tolist()

    def one(a, va, b, vb):
        product = 1.0
        for x, y, z in zip(a, b, centre, strict=True):
            precision = 1 / va + 1 / vb - 1 / s
            if precision < 0:
                return INF
            pull = x / va + y / vb - z / s
            exponent = pull**2 / precision - x**2 / va - y**2 / vb + z**2 / s
            product *= math.sqrt(s / (va * vb * precision)) * math.exp(0.5 * exponent)
        return product

    laws = [list(zip(*(x.tolist() for x in parts(law)), strict=True)) for law in models]
    sums = [[sum(w * u * one(a, va, b, vb) for w, a, va in p for u, b, vb in q) for q in laws] for p in laws]
    return double(sums) - 1


def parts(law):
    return law.weights, law.means, law.variances


# Closed forms

PAIR = mixture([0.4, 0.6], [[0.01, 0.0], [0.0, -0.01]], [1.0, 0.7])


@pytest.mark.parametrize(
    ("dim", "rank"), [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 2), (10, 0), (10, 1), (10, 2)]
)
def test_against_one_gaussian_every_overlap_has_a_closed_form(dim, rank):
    for seed in range(4):
        g = seeded(seed)
        turn, shift, scale = frame(g, dim), normal(g, dim), 0.5 + seed
        laws = [random_law(g, count, dim, rank) for count in (1, 1, 2, 3)]
        data, *models = (moved(law, turn, shift, scale) for law in laws)
        data = GaussianMixture(data.weights, data.means, torch.full_like(data.variances, scale**2))
        found = mixture_gram(data, models)
        torch.testing.assert_close(found, against_one_gaussian(data, models), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mean", [0.0, 3.0, -9.0, 20.0])
def test_means_far_from_the_data_cost_no_digits(mean):
    data, models = gaussian([0.0], 1.0), [gaussian([mean], 1.0), gaussian([-mean / 2], 1.0)]
    found = mixture_gram(data, models)
    expected = [math.expm1(mean**2), math.expm1(-(mean**2) / 2), math.expm1(mean**2 / 4)]
    torch.testing.assert_close(found[(0, 0, 1), (0, 1, 1)], double(expected), rtol=1e-11, atol=1e-12)


NEAR = [2 * (1 - gap) for gap in (0.5, 1e-2, 1e-4, 1e-6)]
EXTREMES = {
    "much narrower than the data": [gaussian([1.1], v) for v in (1.0, 0.1, 0.01)],
    "close to the limit on a line": [mixture([0.5, 0.5], [[0.0], [1e-3]], [v, 1.0]) for v in NEAR],
    "close to the limit in a plane": [gaussian([0.0, 0.0], v).blend(PAIR, 0.2) for v in NEAR],
    "far too wide, beside finite ones": [gaussian([0.1], v) for v in (30.0, 0.5, 0.9, 1.95)],
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_variances_are_none_too_many(name):
    models = EXTREMES[name]
    data = gaussian([0.0] * models[0].dim, 1.0)
    expected = against_one_gaussian(data, models)
    torch.testing.assert_close(mixture_gram(data, models), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dim", [2, 10])
def test_data_that_do_not_overlap_are_seen_one_by_one(dim):
    """Other weights: Σ π'²/π − 1. A blur: that of a single Gaussian."""
    five, others = mixture_of_five(dim, centre=20.0), double([0.1, 0.3, 0.2, 0.25, 0.15])
    reweighted = GaussianMixture(others, five.means, five.variances)
    one, kept = gaussian([0.0] * dim, 0.36), float((others**2 / 0.2).sum())
    blurred = float(against_one_gaussian(one, [one.blur(0.3)])[0, 0])
    found = mixture_gram(five, [reweighted, five.blur(0.3), reweighted.blur(0.3)])
    expected = double([[kept - 1, 0, kept - 1], [0, blurred, blurred], [0, 0, kept * (1 + blurred) - 1]])
    torch.testing.assert_close(found.triu(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dim", [3, 10])
def test_models_as_wide_as_the_data_do_not_know_the_dimension(dim):
    """Directions without means count for a factor of one."""
    data = mixture_of_five(2)
    models = [GaussianMixture(data.weights.roll(k), data.means + 0.2 * k, data.variances) for k in (1, 2)]
    found = mixture_gram(lifted(data, dim), [lifted(model, dim) for model in models])
    torch.testing.assert_close(found, mixture_gram(data, models), rtol=1e-10, atol=1e-10)


# Sums on grids


@repeatable
@given(data=mixtures(max_dim=1), seed=st.integers(0, 10**6))
def test_on_a_line_it_is_the_gram_matrix_of_cells(data, seed):
    g, nodes = seeded(seed), line(-70, 70, 3501)
    s = float(data.variances.max())
    models = [random_law(g, count, 1, 1, low=0.2 * s, high=1.4 * s, spread=1.5) for count in (1, 2, 3)]
    cells = [density_on(law, nodes) * 0.04 for law in (data, *models)]
    p = cells[0].clamp(min=1e-300)
    found = mixture_gram(data, models)
    if float(found.max()) < 1e6:  # otherwise p may underflow where it matters
        expected = gram(p / p.sum(), [cell / cell.sum() for cell in cells[1:]])
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


LINE = mixture([0.3, 0.5, 0.2], [[-1.0], [0.5], [2.0]], [0.4, 1.0, 0.7])
PLANE = mixture([0.3, 0.5, 0.2], [[-1.0, 0.3], [0.5, -0.2], [1.0, 1.5]], [0.4, 1.0, 0.7])


def test_data_may_have_unequal_variances_in_the_plane():
    two = mixture([0.9, 0.1], [[0.0, 0.0], [-2.0, 1.0]], [0.3, 1.2])
    models, nodes = [PLANE.blur(0.4), gaussian([1.2, -0.7], 1.3), two], line(-16, 16, 401)
    p, *logs = (law.log_density(torch.cartesian_prod(nodes, nodes)) for law in (PLANE, *models))
    halves = torch.stack([(log - 0.5 * p).exp() for log in logs])
    expected = halves @ halves.T * 0.08**2 - 1
    torch.testing.assert_close(mixture_gram(PLANE, models), expected, rtol=1e-9, atol=1e-9)


def test_the_integral_reaches_to_where_the_widest_component_of_the_data_takes_over():
    """The integrand has its maximum at −16, three times as far from the data as anything else."""
    data, model = mixture([1 / 3, 2 / 3], [[2.0], [-1.0]], [1.0, 0.5]), gaussian([-1.6], 1.6)
    x = line(-80, 80, 8001)
    terms = (2 * model.log_density(x[:, None]) - data.log_density(x[:, None])).exp()
    assert float(x[terms.argmax()]) == pytest.approx(-16, abs=0.1)
    assert float(mixture_gram(data, [model])) == pytest.approx(float(terms.sum()) * 0.02, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_a_generation_is_decomposed_as_on_cells(alpha):
    nodes, keep = line(-30, 30, 6001), 1 - alpha
    models = [LINE.blur(0.4), mixture([0.9, 0.1], [[0.0], [-2.5]], [0.3, 1.2])]
    p, *others = (density_on(law, nodes) for law in (LINE, *models))
    found = mixture_gram(LINE, models)
    chi2s = [chi2_on_nodes(other, p, nodes) for other in others]
    assert found.diagonal().tolist() == pytest.approx(chi2s, rel=1e-9)
    step = decompose(*(density / density.sum() for density in (p, *others)), alpha=alpha)
    forcing = found[1, 1] - 2 * keep * found[0, 1] + keep**2 * found[0, 0]
    pairs = {"before": found[0, 0], "after": found[1, 1], "forcing": forcing}
    for name, value in {**pairs, "cross": found[0, 1] - keep * found[0, 0]}.items():
        assert float(value) == pytest.approx(getattr(step, name), rel=1e-9), name


# Draws


def test_in_ten_dimensions_it_is_the_mean_over_draws():
    p, g = mixture_of_five(), seeded(1)
    reweighted = GaussianMixture(double([0.3, 0.1, 0.2, 0.25, 0.15]), p.means, p.variances + 0.01)
    models = [p.blur(0.15), GaussianMixture(p.weights, p.means * 1.02, p.variances * 0.97), reweighted]
    x = p.sample(50_000, generator=g)
    deviations = [(law.log_density(x) - p.log_density(x)).expm1() for law in models]
    found = mixture_gram(p, models)
    for i, one in enumerate(deviations):
        for j, other in enumerate(deviations):
            assert within(Estimate.from_samples(one * other), float(found[i, j]))


# Identities


def random_case(seed, dim):
    """Data and models whose means lie in a plane of the first two coordinates; D below about 1000."""
    g, rank = seeded(seed), min(dim, 2)
    data = random_law(g, 3, dim, rank, low=1.0, high=1.0 if dim > 2 else 1.5)
    return data, [random_law(g, count, dim, rank, low=0.5, high=1.3) for count in (1, 2, 1)], g


@pytest.mark.parametrize("dim", [1, 2, 10])
@pytest.mark.parametrize("seed", [3, 4])
def test_moving_all_laws_at_once_changes_nothing(dim, seed):
    data, models, g = random_case(seed, dim)
    turn, shift = frame(g, dim), 5 * normal(g, dim)
    found = mixture_gram(data, models)
    for scale in (1.0, 0.03, 40.0):
        there = [moved(law, turn, shift, scale) for law in (data, *models)]
        torch.testing.assert_close(mixture_gram(there[0], there[1:]), found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 10])
@pytest.mark.parametrize("seed", [5, 6])
def test_the_matrix_is_symmetric_positive_and_linear_in_the_models(dim, seed):
    data, (first, second, third), _ = random_case(seed, dim)
    models = [first, second, third, first.blend(second, 0.3), data.blend(third, 0.6), data]
    found = mixture_gram(data, models)
    torch.testing.assert_close(found, found.T, rtol=1e-12, atol=1e-12)
    assert float(torch.linalg.eigvalsh(found)[0]) > -1e-10 * float(found.diagonal().max())
    torch.testing.assert_close(found[3], 0.3 * found[0] + 0.7 * found[1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[4], 0.4 * found[2], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[5], torch.zeros(6).double(), rtol=0, atol=1e-10)
    for k in range(3):  # alone or beside others, once or in two parts
        alone = mixture_gram(data, [models[k].blend(models[k], 0.4)])
        torch.testing.assert_close(alone[0, 0], found[k, k], rtol=1e-9, atol=1e-9)


def test_the_data_do_not_deviate_from_themselves():
    for law in (mixture_of_five(), mixture_of_five().blur(0.6), LINE, PLANE, gaussian([2.0], 3.0)):
        assert abs(float(mixture_gram(law, [law]))) < 1e-11


@pytest.mark.parametrize("dim", [2, 10])
def test_contributions_of_a_blurred_recursion_add_up(dim):
    alpha, data = 0.3, mixture_of_five(dim)
    models = [data.blur(0.2)]
    for bandwidth in (0.2, 0.1):
        models.append(data.blend(models[-1], alpha).merge().blur(bandwidth))
    products = mixture_gram(data, models)
    found = contributions(products, alpha=alpha)
    assert found.total == pytest.approx(float(mixture_gram(data, [models[-1]])), rel=1e-9)
    assert found.start + float(found.exact.sum()) == pytest.approx(found.total, rel=1e-10)
    assert found.total <= (0.7**2 * math.sqrt(products[0, 0]) + float(found.amplitude.sum())) ** 2
    # A blur repeats its own deviation.
    assert float(found.squares.sum()) < float(found.exact.sum())


@pytest.mark.parametrize("dim", [2, 3])
def test_the_plane_may_be_summed_a_few_rows_at_a_time(dim, monkeypatch):
    data, models, _ = random_case(7, dim)
    whole = mixture_gram(data, models)
    for numbers in (1, 3000):
        monkeypatch.setattr("scoredrift.divergences.overlaps._CHUNK", numbers)
        torch.testing.assert_close(mixture_gram(data, models), whole, rtol=1e-12, atol=1e-12)


# Infinite divergences


@pytest.mark.parametrize(("dim", "rank"), [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (10, 1), (10, 2)])
def test_infinite_pairs_stand_beside_finite_ones(dim, rank):
    """With s = 1: 1.8 with itself is finite, 2.3 is not, but is with 1.5; 6 is with 1.1 and 0.5."""
    g, variances = seeded(8), [0.5, 1.1, 1.5, 1.8, 2.3, 6.0]
    data = gaussian([0.0] * dim, 1.0)
    means = torch.zeros(6, dim, dtype=torch.float64)
    means[:, :rank] = 0.1 * normal(g, 6, rank)
    models = [gaussian(mean.tolist(), v) for mean, v in zip(means, variances, strict=True)]
    found = mixture_gram(data, models)
    assert found.isinf().tolist() == [[1 / v + 1 / u < 1 for u in variances] for v in variances]
    assert found[4, 4] == found[5, 3] == INF > found[4, 2]
    assert found.diagonal().isfinite().tolist() == [chi2_finite(law, data).finite for law in models]
    torch.testing.assert_close(found, against_one_gaussian(data, models), rtol=1e-9, atol=1e-9)


@repeatable
@given(seed=st.integers(0, 10**6), dim=st.integers(1, 2))
def test_it_is_infinite_where_the_widest_components_say_so(seed, dim):
    g = seeded(seed)
    data = random_law(g, 3, dim, dim, low=0.7, high=1.1, spread=0.5)
    choices = float(data.variances.max()) * double([0.4, 0.8, 1.3, 1.8, 2.4])
    laws = [random_law(g, 2, dim, dim, spread=0.3) for _ in range(4)]
    widths = choices[torch.randint(5, (4, 2), generator=g)]
    models = [GaussianMixture(law.weights, law.means, v) for law, v in zip(laws, widths, strict=True)]
    found = mixture_gram(data, models)
    assert [math.isfinite(x) for x in found.diagonal()] == [chi2_finite(law, data).finite for law in models]
    finite = found[found.diagonal().isfinite()][:, found.diagonal().isfinite()]
    assert finite.isfinite().all()
    if len(finite):
        assert float(torch.linalg.eigvalsh(finite)[0]) > -1e-9 * float(1 + finite.diagonal().max())


def test_components_without_weight_do_not_count():
    data = gaussian([0.0], 1.0)
    model = mixture([1.0, 0.0], [[0.4], [0.0]], [1.0, 5.0])
    found = mixture_gram(data, [model, gaussian([0.1], 5.0)])
    assert float(found[0, 0]) == pytest.approx(math.expm1(0.16))
    assert found[0, 1].isfinite()
    assert found[1, 1] == INF


# Bad input

ONE, TWO = gaussian([0.0], 1.0), mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 0.0]], [1.0, 0.5])
SINGLE, CUBE = ONE.to(dtype=torch.float32), gaussian([0.0] * 3, 1.0)
CORNERS = [gaussian([float(k == axis) for k in range(3)], 1.0) for axis in range(3)]
ALMOST = gaussian([0.0], 3.0 - 1e-9)  # 1/1.5 + 1/3 = 1
NEEDLES = mixture([0.5, 0.3, 0.2], [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1e-8] * 3)
FAR_OUT = [
    # The integrand peaks where the widest component of the data takes over from a narrower one.
    (mixture([0.5, 0.5], [[3.0], [-8.0]], [0.95, 1.13]), gaussian([-1.4], 2.05), 1.1936e15),
    # Narrow models away from the data.
    (gaussian([0.0], 1.0), gaussian([1.5], 1e-6), 2177.0440),
    (gaussian([0.0, 0.0], 1.0), gaussian([2.0, 1.0], 1e-4), 60922.13),
    # A component of the data without weight decides nothing.
    (mixture([1.0, 0.0], [[0.0], [1.0]], [1.0, 4.0]), gaussian([0.3], 3.0), math.inf),
]


@pytest.mark.parametrize(("data", "model", "expected"), FAR_OUT)
def test_no_integrand_is_missed(data, model, expected):
    assert float(mixture_gram(data, [model])) == pytest.approx(expected, rel=1e-4)


def test_planes_are_found_far_from_the_origin():
    g = seeded(3)
    for _ in range(20):
        means = torch.randn(5, 2, generator=g).double() @ torch.randn(2, 3, generator=g).double()
        data = mixture([0.2] * 5, (means + 1e5).tolist(), [1.0] * 5)
        assert math.isfinite(float(mixture_gram(data, [data.blur(0.3)])))


REFUSED = [
    ("models = none", lambda: mixture_gram(ONE, [])),
    ("data.dtype = torch.float32", lambda: mixture_gram(SINGLE, [ONE])),
    ("data.dtype = torch.float32", lambda: mixture_gram(SINGLE, [SINGLE])),
    ("models[1].means.dtype = torch.float32", lambda: mixture_gram(ONE, [ONE, SINGLE])),
    ("models[1].means.shape = [1, 3]", lambda: mixture_gram(ONE, [ONE, CUBE])),
    ("means = in 3 dimensions", lambda: mixture_gram(CUBE, CORNERS)),
    ("data.variances = different", lambda: mixture_gram(TWO, [TWO])),
    ("data.variances = different", lambda: mixture_gram(lifted(PLANE, 3), [lifted(PLANE, 3)])),
    ("variances = at the limit 1/v_a + 1/v_b = 1/s", lambda: mixture_gram(ONE, [gaussian([0.0], 2.0)])),
    ("variances = at the limit 1/v_a + 1/v_b", lambda: mixture_gram(ONE, [gaussian([0.0], 1.5), ALMOST])),
    ("nodes = more than 8388608", lambda: mixture_gram(NEEDLES, [NEEDLES])),
]


@pytest.mark.parametrize(("begins", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused_by_name_and_value(begins, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)):
        call()
