"""Density ratios from forward futures, against normal laws, quadrature, exact flows and the literal sum."""

import cmath
import math
import re
from typing import NamedTuple

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from helpers import density_on, gaussian, line, needs_cuda, random_mixture, seeded, within, worst_sigmas
from on_a_line import Counting, double
from scoredrift import (
    ConstantField,
    Estimate,
    EulerMaruyama,
    Flow,
    FunctionScore,
    Gaussian,
    GaussianMixture,
    InjectedField,
    LinearField,
    OrnsteinUhlenbeck,
    RotationalField,
    ScaledField,
)
from scoredrift.divergences import chi2_on_nodes
from scoredrift.laws import Marginal
from scoredrift.observability import chi2_by_futures, marginal_ratio
from scoredrift.observability import ratio as module
from scoredrift.paths import evolve_density
from scoredrift.scores import ErrorEvaluation

NAN = math.nan
OU = OrnsteinUhlenbeck()
SHORT = OrnsteinUhlenbeck(0.02, 1.0)
GRID = OU.geometric_grid(40)


def standard(dim=1):
    return gaussian([0.0] * dim, 1.0)


def injected(field, law=None, process=OU):
    return Flow(law or standard(), process).inject(field)


def ratios_at(x: Tensor, draws: int, error, process, grid, seed=0, **start) -> Tensor:
    """Draws of R, shape [draws, number of points]."""
    every = marginal_ratio(error, x.repeat(draws, 1), grid, generator=seeded(seed), **start)
    return every.reshape(draws, len(x))


class Normal(NamedTuple):
    """A case in which the generated law is normal, N(mean, covariance), and so is q."""

    error: InjectedField
    law: Gaussian
    mean: Tensor
    covariance: Tensor
    process: OrnsteinUhlenbeck = OU

    def ratio(self, x):
        generated = MultivariateNormal(self.mean, self.covariance).log_prob(x)
        return (generated - Marginal(self.law, self.process.t_min).log_density(x)).exp()

    @property
    def chi2(self):
        v, t = self.law.covariance, double(self.process.t_min)
        s = torch.exp(-t) * v + (1 - torch.exp(-t)) * torch.eye(len(v)).double()
        gap, narrow = self.mean - torch.exp(-t / 2) * self.law.mean, 2 * s - self.covariance
        determinants = s.det() / (self.covariance.det() * narrow.det()).sqrt()
        return float(determinants * torch.exp(gap @ torch.linalg.solve(narrow, gap))) - 1


def pushed(c, process=OU, rate=0.0):
    """e = c cos(rate t): Y_t0 ~ N(m, I), m = ∫ c cos(rate t) e^{−(t−t0)/2} dt."""
    one, slope = torch.eye(len(c)).double(), complex(-0.5, rate)
    q = Gaussian(0 * one[0], one)
    ends = [cmath.exp(slope * t) for t in (process.t_max, process.t_min)]
    m = double(c) * (math.exp(0.5 * process.t_min) * (ends[0] - ends[1]) / slope).real
    push = ScaledField(lambda t: torch.cos(rate * t), ConstantField(double(c)))
    return Normal(injected(push, q, process), q, m, one, process)


def stretched(w):
    """The variance is 1/(1 − 2w) but for what is left of its start, one."""
    one = torch.eye(1).double()
    q, rest = Gaussian(0 * one[0], one), 1 / (1 - 2 * w)
    variance = rest + (1 - rest) * math.exp(-(1 - 2 * w) * OU.duration)
    return Normal(injected(LinearField(w * one), q), q, 0 * one[0], variance * one)


def tilted(matrix):
    """e = W x on a Gaussian that is not standard: mean and covariance of Y solve linear ODEs."""
    W, one = double(matrix), torch.eye(2).double()
    q = Gaussian(double([0.6, -0.4]), double([[1.5, 0.4], [0.4, 0.7]]))

    def flow(t):
        return math.exp(-t / 2) * q.mean, math.exp(-t) * q.covariance + (1 - math.exp(-t)) * one

    def velocity(elapsed, state):
        mean, covariance = flow(OU.t_max - elapsed)
        pull = 0.5 * one - covariance.inverse() + W
        m, S = double(state[:2].tolist()), double(state[2:].tolist()).reshape(2, 2)
        dm, dS = pull @ m + covariance.inverse() @ mean, pull @ S + S @ pull.T + one
        return torch.cat([dm, dS.flatten()]).numpy()

    start = torch.cat([flow(OU.t_max)[0], flow(OU.t_max)[1].flatten()]).numpy()
    end = double(solve_ivp(velocity, (0, OU.duration), start, rtol=1e-8, atol=1e-10).y[:, -1].tolist())
    return Normal(injected(LinearField(W), q), q, end[:2], end[2:].reshape(2, 2))


NORMALS = {
    "push": pushed([0.2, -0.15]),
    "push, early stop": pushed([0.6], OrnsteinUhlenbeck(0.5, 1.0)),
    "oscillating push": pushed([1.0], SHORT, rate=1.0),
    "stretch": stretched(0.08),
    "shrink": stretched(-0.3),
    "tilt": tilted([[-0.15, 0.2], [-0.1, -0.1]]),
}
each_normal = pytest.mark.parametrize("name", NORMALS)


@each_normal
def test_the_mean_of_the_draws_is_the_ratio_of_two_normal_densities(name):
    case = NORMALS[name]
    x = 1.2 * torch.randn(5, len(case.mean), generator=seeded(0), dtype=torch.float64)
    draws = ratios_at(x, 1500, case.error, case.process, case.process.geometric_grid(40))
    assert worst_sigmas(draws, case.ratio(x)) < 5
    assert float((case.ratio(x) - 1).abs().max()) > 0.15


def chi2_of(case, n=100, seed=0, grid=None, **changes):
    grid = case.process.geometric_grid(30) if grid is None else grid
    error = changes.pop("error", case.error)
    return chi2_by_futures(error, n, grid, generator=seeded(seed), **changes)


@each_normal
@pytest.mark.parametrize("futures", [2, 4, 5])
def test_the_divergence_is_that_of_two_normal_laws(name, futures):
    found, exact = chi2_of(NORMALS[name], 12_000 // futures, 1, futures=futures), NORMALS[name].chi2
    assert within(found, exact)
    assert found.stderr < 0.5 * exact


@pytest.mark.parametrize("case", [pushed([0.1, -0.05]), stretched(-0.1)], ids=["push", "shrink"])
def test_the_divergence_of_a_small_error_is_trusted(case):
    found = chi2_of(case, 4000, 15, futures=4)
    assert found.trusted
    assert not within(found, 0.0)


def test_a_rotation_is_seen_by_no_draw():
    q, spin = random_mixture(0, dim=3), double([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.5], [0.0, -0.5, 0.0]])
    error = injected(RotationalField(2 * spin, Flow(q, OU)), q)
    x = q.diffuse(OU.t_min).sample(50, generator=seeded(2))
    assert_close(marginal_ratio(error, x, GRID, generator=seeded(3)), torch.ones(50).double())
    found = chi2_by_futures(error, 100, GRID, generator=seeded(4))
    assert abs(found.value) < 1e-20


def test_an_error_that_is_no_flow_agrees_with_densities_on_nodes():
    q, nodes, process = random_mixture(6, dim=1), line(count=501), OrnsteinUhlenbeck(0.2, 4.0)
    wave = FunctionScore(lambda x, t: 0.4 * torch.sin(2 * x + t.reshape(-1, 1)))
    error = injected(wave, q, process)
    start = density_on(q.diffuse(process.t_max), nodes)
    grids, step = [process.geometric_grid(k) for k in (50, 100)], EulerMaruyama()
    coarse, fine = (evolve_density(error.learned, start, nodes, grid, step) for grid in grids)
    # The bias of the step is of first order: the refinement removes it.
    generated, ideal = 2 * fine - coarse, density_on(q.diffuse(process.t_min), nodes)
    places = torch.arange(165, 345, 30)
    assert float((generated / ideal - 1)[places].abs().max()) > 0.2
    draws = ratios_at(nodes[places][:, None], 1500, error, process, process.geometric_grid(30))
    assert worst_sigmas(draws, (generated / ideal)[places]) < 5


def test_between_two_flows_ratio_and_divergence_are_those_of_their_densities():
    """A mixture, and the same with other weights; the learned process starts from the model's q_T."""
    q, grid, nodes = random_mixture(1, dim=1), SHORT.geometric_grid(24), line(-9, 9, 1801)
    model = GaussianMixture(q.weights.flip(0), q.means, q.variances)
    error = Flow(q, SHORT).error(Flow(model, SHORT))
    start = (Marginal(model, SHORT.t_max), Marginal(q, SHORT.t_max))
    x = q.diffuse(SHORT.t_min).sample(6, generator=seeded(6))
    near = (Marginal(model, SHORT.t_min).log_density(x) - Marginal(q, SHORT.t_min).log_density(x)).exp()
    assert worst_sigmas(ratios_at(x, 2000, error, SHORT, grid, start=start), near) < 5
    exact = chi2_on_nodes(density_on(model.diffuse(0.02), nodes), density_on(q.diffuse(0.02), nodes), nodes)
    found = chi2_by_futures(error, 4000, grid, generator=seeded(7), start=start)
    assert within(found, exact)
    # Started from q_T instead, the learned process ends elsewhere.
    assert worst_sigmas(ratios_at(x, 2000, error, SHORT, grid), near) > 15
    assert not within(chi2_by_futures(error, 4000, grid, generator=seeded(7)), exact)


# Weak order, without Monte Carlo


def mean_over_noise(error, process, x: float, steps: int) -> float:
    """Mean of R at x over the noise of the scheme, exactly, for an error that is affine in x.

    Then log R is a quadratic polynomial of the noise ξ of the steps, c + b·ξ + ξᵀAξ, which enough draws
    reveal, and E R = e^c det(1 − 2A)^{−1/2} exp(½ b·(1 − 2A)^{−1} b).
    """
    place, grid = torch.full((400, 1), x, dtype=torch.float64), process.uniform_grid(steps)
    logs = marginal_ratio(error, place, grid, generator=seeded(8)).log()
    g = seeded(8)
    noise = torch.cat([torch.randn(400, 1, generator=g, dtype=torch.float64) for _ in range(steps)], 1)
    first, second = torch.triu_indices(steps, steps)
    terms = torch.cat([torch.ones(400, 1).double(), noise, noise[:, first] * noise[:, second]], 1)
    found = torch.linalg.lstsq(terms, logs[:, None]).solution[:, 0]
    assert_close(terms @ found, logs, rtol=0, atol=1e-9)
    A = torch.zeros(steps, steps).double()
    A[first, second] = found[1 + steps :]
    rest, b = torch.eye(steps).double() - A - A.T, found[1 : 1 + steps]
    return float(torch.exp(found[0] + 0.5 * b @ torch.linalg.solve(rest, b)) / rest.det().sqrt())


@pytest.mark.parametrize("name", ["push, early stop", "oscillating push", "stretch", "shrink"])
def test_half_the_step_leaves_a_quarter_of_the_bias(name):
    case = NORMALS[name]
    exact = float(case.ratio(double([[1.3]])))
    bias = [mean_over_noise(case.error, case.process, 1.3, steps) - exact for steps in (4, 8, 16)]
    assert 3 < bias[0] / bias[1] < 6
    assert bias[1] / bias[2] == pytest.approx(4, abs=0.6)
    assert abs(bias[2]) < 0.01 * exact


# What is drawn, and how much of it


def test_the_draws_are_independent_positive_and_double():
    case = NORMALS["stretch"]
    x = torch.ones(3000, 1).double()
    draws = marginal_ratio(case.error, x, GRID, generator=seeded(9))
    assert (draws.dtype, draws.shape) == (torch.float64, (3000,))
    assert float(draws.min()) >= 0
    pairs = (draws[::2] - draws.mean()) * (draws[1::2] - draws.mean())
    assert within(Estimate.from_samples(pairs), 0.0)
    assert torch.equal(marginal_ratio(case.error, x, GRID, generator=seeded(9)), draws)


@pytest.mark.parametrize(("futures", "batch"), [(2, 65_536), (2, 200), (3, 150), (4, 1000)])
def test_the_pairs_of_all_futures_of_a_point_are_averaged(futures, batch):
    """Against the double sum written out, with the same points and futures, where only the starts differ."""
    n, g, products, grid = 250, seeded(11), [], OU.geometric_grid(12)
    case, start = pushed([0.0]), (gaussian([0.5], 1.0), standard())
    for first in range(0, n, batch // futures):
        count = min(batch // futures, n - first)
        x = OU.diffuse(case.law.sample(count, generator=g), 0.0, OU.t_min, generator=g).repeat(futures, 1)
        r = marginal_ratio(case.error, x, grid, generator=g, start=start).reshape(futures, count)
        pairs = [(r[i] - 1) * (r[j] - 1) for i in range(futures) for j in range(i)]
        products.append(torch.stack(pairs).mean(0))
    literal = Estimate.from_samples(torch.cat(products), check_tail=True)
    found = chi2_of(case, n, 11, grid, futures=futures, batch=batch, start=start)
    assert found.value == pytest.approx(literal.value, rel=1e-9)
    assert found.stderr == pytest.approx(literal.stderr, rel=1e-9)
    assert found.tail == pytest.approx(literal.tail, abs=1e-6)


def test_few_points_cost_no_bias_and_quote_the_errors_they_make():
    case = NORMALS["push, early stop"]
    found = [chi2_of(case, 101, seed, case.process.uniform_grid(8)) for seed in range(80)]
    values, errors = double([each.value for each in found]), double([each.stderr for each in found])
    assert within(Estimate.from_samples(values), case.chi2)
    assert float(values.std()) == pytest.approx(float(errors.mean()), rel=0.3)


@pytest.mark.parametrize(("futures", "batch"), [(2, 65_536), (2, 100), (3, 70), (5, 1)])
def test_batches_lose_no_point_and_bound_the_memory(futures, batch):
    error, grid = Counting(NORMALS["push"].error), OU.geometric_grid(3)
    chi2_of(NORMALS["push"], 130, grid=grid, error=error, futures=futures, batch=batch)
    assert error.values == 2 * futures * 3 * 130
    # The futures of one point stay together.
    assert error.most <= max(batch, futures)


@pytest.mark.parametrize("seed", range(4))
def test_a_divergence_that_is_infinite_is_not_trusted(seed):
    """The generated variance is above 2, that of q is 1."""
    assert float(stretched(0.3).covariance) > 2
    assert not chi2_of(stretched(0.3), 4000, seed).trusted


def test_the_multiples_of_the_controls_come_from_the_other_half(monkeypatch):
    """Fitted on the points that they are used on, they would leave part of the noise in the products."""
    case, grid, given = NORMALS["push"], OU.geometric_grid(8), iter([0.0, 1.0])
    monkeypatch.setattr(module, "_multiples", lambda r, n: torch.full((n.shape[2],), next(given)).double())
    found = chi2_of(case, 201, 11, grid)
    g = seeded(11)
    x = OU.diffuse(case.law.sample(201, generator=g), 0.0, OU.t_min, generator=g).repeat(2, 1)
    ratios, controls = module._futures(case.error, x, grid, g, None)
    rest = (ratios - 1 - controls.sum(1)).reshape(2, 201)
    plain = (ratios - 1).reshape(2, 201)
    products = torch.cat([(rest[0] * rest[1])[:100], (plain[0] * plain[1])[100:]])
    assert found.value == pytest.approx(float(products.mean()), rel=1e-9)


def test_a_mass_that_no_draw_has_seen_is_not_trusted():
    """A push of 1000 leaves R = 0 wherever q lives: the mean of R gives it away."""
    with pytest.warns(UserWarning, match="^E R = 0, which should be one: use a finer grid"):
        found = chi2_of(pushed([1000.0]), 100)
    assert (found.tail, found.trusted) == (math.inf, False)


@needs_cuda
def test_the_ratio_is_found_on_the_gpu():
    q = standard(2).to(device="cuda")
    error = injected(ConstantField(double([0.2, -0.15]).cuda()), q)
    g = seeded(14, "cuda")
    draws = marginal_ratio(error, torch.ones(20_000, 2).double().cuda(), GRID, generator=g)
    assert draws.device.type == "cuda"
    assert within(Estimate.from_samples(draws), float(NORMALS["push"].ratio(torch.ones(1, 2).double())))
    assert within(chi2_by_futures(error, 4000, GRID, generator=g), NORMALS["push"].chi2)


# Bad input

PUSH = injected(ConstantField(double([0.3])))
EXPLODING = injected(FunctionScore(lambda x, t: 100 * x**3))
X = torch.ones(4, 1).double()


class Stated:
    exact = PUSH.exact

    def __init__(self, **parts):
        self.parts = parts

    def at(self, x, t):
        return ErrorEvaluation(**{"value": 0.1 * x, "divergence": 0.1 * x[:, 0], "exact": -x, **self.parts})


class Flawed(NamedTuple):
    log: float
    columns: int = 0

    def log_density(self, x):
        return torch.full((len(x), 1) if self.columns else (len(x),), self.log, dtype=x.dtype)


def ratio(error=PUSH, x=X, grid=GRID, generator=None, start=None):
    return marginal_ratio(error, x, grid, generator=generator or seeded(0), start=start)


def chi2(n=100, **changes):
    return chi2_of(NORMALS["push"], n, **changes)


REFUSED = [
    ("x.shape = [4]", "[n, d]", lambda: ratio(x=X[:, 0])),
    ("x = 4 of 4 entries are NaN", "remove", lambda: ratio(x=NAN * X)),
    ("x.dtype = torch.float32", "convert", lambda: ratio(x=X.float())),
    ("generator = 7", "manual_seed", lambda: ratio(generator=7)),
    ("grid = from 4.0 to 1.0", "T = 4.0 to t0 = 0.02", lambda: ratio(grid=double([4.0, 1.0]))),
    ("grid = [0.02, 4.0]", "decreasing", lambda: ratio(grid=double([0.02, 4.0]))),
    ("error(x, t).shape = [4, 2]", "[4, 1]", lambda: ratio(Stated(value=X.repeat(1, 2)))),
    ("X_t = NaN", "check the error", lambda: ratio(EXPLODING)),
    ("X_t = NaN", "finer grid", lambda: ratio(Stated(value=NAN * X))),
    ("X_t = NaN", "from t = 0.02", lambda: ratio(Stated(divergence=NAN * X[:, 0]))),
    ("exact(x, t).shape = [4, 3]", "[4, 1]", lambda: ratio(Stated(exact=X.repeat(1, 3)))),
    ("error.divergence(x, t).shape = [4, 1]", "[4]", lambda: ratio(Stated(divergence=X))),
    ("R = NaN or infinite at 4 of 4", "start", lambda: ratio(start=(Flawed(NAN), Flawed(0.0)))),
    ("R = NaN or infinite at 4 of 4", "start", lambda: ratio(start=(Flawed(0.0), Flawed(-math.inf)))),
    ("R = NaN or infinite at 4 of 4", "too large", lambda: ratio(Stated(divergence=-1e3 * X[:, 0]))),
    ("start[0].log_density(x).shape = [4, 1]", "[4]", lambda: ratio(start=(Flawed(0.0, 1), Flawed(0.0)))),
    ("start[1].log_density(x).shape = [4, 1]", "[4]", lambda: ratio(start=(Flawed(0.0), Flawed(0.0, 1)))),
    ("n = 99", "≥ 100", lambda: chi2(99)),
    ("futures = 1", "≥ 2", lambda: chi2(futures=1)),
    ("batch = 0", "≥ 1", lambda: chi2(batch=0)),
    ("grid = from 4.0 to 1.0", "t0 = 0.02", lambda: chi2(grid=double([4.0, 1.0]))),
]


@pytest.mark.parametrize(
    ("begins", "remedy", "call"), REFUSED, ids=[f"{row[0]}, {row[1]}" for row in REFUSED]
)
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match="^" + re.escape(begins)) as caught:
        call()
    assert remedy in str(caught.value)
