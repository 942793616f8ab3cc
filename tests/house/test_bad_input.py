"""Bad input is refused by a ValueError that names the parameter, the value and the remedy."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from helpers import gaussian, line, normal_density, points, random_mixture, seeded
from scoredrift import (
    Ancestral,
    ConstantField,
    Estimate,
    EulerMaruyama,
    Flow,
    FunctionScore,
    Gaussian,
    GaussianMixture,
    HeunFlow,
    KernelDensity,
    OrnsteinUhlenbeck,
    Replace,
    SumScore,
    Trajectory,
    _checks,
    exact_paths,
    mixture_of_five,
    recurse,
    simulate,
)
from scoredrift.divergences import chi2, chi2_finite, kl, kl_on_nodes
from scoredrift.paths import Energy, Martingale, evolve_density, held_energy, ideal_energy
from scoredrift.process import log_uniform_times, random_times, scale, uniform_times, variance

NAN, INF = math.nan, math.inf
OU = OrnsteinUhlenbeck()
Q = random_mixture(0)
LINE = gaussian([0.0], 1.0)
S = Flow(Q, OU)
X = points(0, 3, 2)
GRID = OU.uniform_grid(4)
NODES = line(-8, 8, 161)
NORMAL = normal_density(NODES, 0.0, 1.0)
STEP = EulerMaruyama()


def tensor(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def mixture(**changes):
    parts = {"weights": tensor(0.5, 0.5), "means": tensor([0.0], [1.0]), "variances": tensor(1.0, 1.0)}
    return GaussianMixture(**{**parts, **changes})


def diffuse(x=X, t_from=0.0, t_to=1.0, generator=None):
    return OU.diffuse(x, t_from, t_to, generator=generator or seeded(0))


def run(score=S, x=X, grid=GRID, step=STEP, generator=None):
    return simulate(score, x, grid, step, generator=generator or seeded(0))


def evolve(density=NORMAL, nodes=NODES, grid=GRID, step=STEP):
    return evolve_density(lambda x, t: -x, density, nodes, grid, step)


def energy_of(error):
    return ideal_energy(S.inject(error), 10, generator=seeded(0))


def retrain(regime):
    """It refuses before anything is fitted."""
    return recurse(pytest.fail, Q, regime=regime, generations=1, size=10, seed=0)


def energy_of_steps(grid=GRID, step=STEP, n=10):
    return held_energy(S.error(S), grid, step, n, generator=seeded(0))


REFUSED = [
    # what the message begins with, a word of the remedy, and the call
    ("weights.shape = [0]", "K ≥ 1", lambda: mixture(weights=tensor())),
    ("weights.shape = [1, 2]", "K ≥ 1", lambda: mixture(weights=tensor([0.5, 0.5]))),
    ("weights.dtype = torch.int64", "double", lambda: mixture(weights=tensor(0, 1, dtype=torch.int64))),
    ("weights.dtype = torch.float16", "float32", lambda: mixture(weights=tensor(0.5, 0.5).half())),
    ("weights = ndarray", "torch.as_tensor", lambda: mixture(weights=np.array([0.5, 0.5]))),
    ("weights = list", "torch.Tensor", lambda: mixture(weights=[0.5, 0.5])),
    ("weights = 1 of 2 entries are NaN", "remove", lambda: mixture(weights=tensor(0.5, NAN))),
    ("weights = -0.5", "≥ 0", lambda: mixture(weights=tensor(1.5, -0.5))),
    ("weights.sum() = 0.9", "divide by their sum", lambda: mixture(weights=tensor(0.5, 0.4))),
    ("weights.sum() = 0.99999", "sum to one", lambda: mixture(weights=tensor(0.5, 0.4999999))),
    ("means.shape = [3, 1]", "2 weights", lambda: mixture(means=tensor([0.0], [1.0], [2.0]))),
    ("means.shape = [2]", "[n, d]", lambda: mixture(means=tensor(0.0, 1.0))),
    ("means.shape = [2, 0]", "R^d", lambda: mixture(means=torch.zeros(2, 0).double())),
    ("means.dtype = torch.float32", "torch.float64", lambda: mixture(means=torch.zeros(2, 1))),
    ("means = 1 of 2 entries are NaN", "remove", lambda: mixture(means=tensor([0.0], [INF]))),
    ("variances.shape = [3]", "2 weights", lambda: mixture(variances=tensor(1.0, 1.0, 1.0))),
    ("variances.dtype = torch.float32", "torch.float64", lambda: mixture(variances=torch.ones(2))),
    ("variances = -1.0", "positive", lambda: mixture(variances=tensor(1.0, -1.0))),
    ("variances = 0.0", "positive", lambda: mixture(variances=tensor(1.0, 0.0))),
    ("variances = 1 of 2 entries are NaN", "remove", lambda: mixture(variances=tensor(NAN, 1.0))),
    ("n = 0", "≥ 1", lambda: Q.sample(0, generator=seeded(0))),
    ("n = -3", "integer", lambda: Q.sample(-3, generator=seeded(0))),
    ("n = 2.0", "integer", lambda: Q.sample(2.0, generator=seeded(0))),
    ("generator = None", "torch.Generator", lambda: Q.sample(3, generator=None)),
    ("generator = 42", "manual_seed", lambda: Q.sample(3, generator=42)),
    ("x.shape = [3, 5]", "[n, 2]", lambda: Q.score(torch.zeros(3, 5).double())),
    ("x.shape = [2]", "batch of points", lambda: Q.log_density(tensor(0.0, 1.0))),
    ("x.dtype = torch.float32", ".to(dtype)", lambda: Q.score_divergence(X.float())),
    ("x = ndarray", "torch.as_tensor", lambda: Q.score(X.numpy())),
    ("x = 2 of 2 entries are NaN", "remove", lambda: Q.score(tensor([NAN, INF]))),
    ("fraction = 0.0", "(0.0, 1.0]", lambda: Q.blend(Q, 0.0)),
    ("fraction = -0.1", "(0.0, 1.0]", lambda: Q.blend(Q, -0.1)),
    ("fraction = 1.5", "(0.0, 1.0]", lambda: Q.blend(Q, 1.5)),
    ("fraction = nan", "finite", lambda: Q.blend(Q, NAN)),
    ("fraction = 'half'", "real number", lambda: Q.blend(Q, "half")),
    ("other.means.shape = [1, 1]", "[n, 2]", lambda: Q.blend(LINE, 0.5)),
    ("other.means.dtype = torch.float32", "convert", lambda: Q.blend(Q.to(dtype=torch.float32), 0.5)),
    ("bandwidth = -0.5", "[0.0, inf]", lambda: Q.blur(-0.5)),
    ("bandwidth = inf", "finite", lambda: Q.blur(INF)),
    ("t = -1.0", "[0.0, inf]", lambda: Q.diffuse(-1.0)),
    ("dim = 1", "≥ 2", lambda: mixture_of_five(1)),
    ("sigma = 0.0", "(0.0", lambda: mixture_of_five(sigma=0.0)),
    ("t = -2.0", "≥ 0", lambda: scale(-2.0)),
    ("t = nan", "≥ 0", lambda: variance(NAN)),
    ("t_min = 0.0", "(0.0", lambda: OrnsteinUhlenbeck(0.0, 1.0)),
    ("t_min = -1.0", "(0.0", lambda: OrnsteinUhlenbeck(-1.0, 1.0)),
    ("t_min = '0.1'", "real number", lambda: OrnsteinUhlenbeck("0.1", 2.0)),
    ("t_max = nan", "finite", lambda: OrnsteinUhlenbeck(0.1, NAN)),
    ("t_min = 2.0", "t_min < t_max = 1.0", lambda: OrnsteinUhlenbeck(2.0, 1.0)),
    ("t_min = 1.0", "t_min < t_max = 1.0", lambda: OrnsteinUhlenbeck(1.0, 1.0)),
    ("steps = 0", "≥ 1", lambda: OU.uniform_grid(0)),
    ("steps = -1", "≥ 1", lambda: OU.geometric_grid(-1)),
    ("steps = 2.5", "integer", lambda: OU.uniform_grid(2.5)),
    ("steps = True", "integer", lambda: OU.geometric_grid(True)),
    ("n = 0", "≥ 1", lambda: random_times(uniform_times, OU, 0, generator=seeded(0))),
    ("generator = None", "torch.Generator", lambda: random_times(uniform_times, OU, 3, generator=None)),
    ("generator = 42", "manual_seed", lambda: random_times(log_uniform_times, OU, 3, generator=42)),
    ("u = 1.5", "[0, 1]", lambda: uniform_times(OU, tensor(0.0, 1.5))),
    ("u = -0.5", "[0, 1]", lambda: log_uniform_times(OU, tensor(-0.5, 1.0))),
    ("u = float", "torch.Tensor", lambda: uniform_times(OU, 0.5)),
    ("t_to = 5.0", "[0.0, 4.0]", lambda: diffuse(t_to=5.0)),
    ("t_from = -0.5", "t_min, t_max", lambda: diffuse(t_from=-0.5)),
    ("t_to = nan", "[0.0, 4.0]", lambda: diffuse(t_to=NAN)),
    ("t_to = t_from − 1", "t_from ≤ t_to", lambda: diffuse(t_from=2.0, t_to=1.0)),
    ("t_to.shape = [2]", "3 points", lambda: diffuse(t_to=tensor(1.0, 2.0))),
    ("x.shape = [3]", "[n, d]", lambda: diffuse(x=tensor(0.0, 1.0, 2.0))),
    ("generator = 'cpu'", "manual_seed", lambda: diffuse(generator="cpu")),
    ("t = 0.01", "[0.02, 4.0]", lambda: S(X, 0.01)),
    ("t = 4.5", "[0.02, 4.0]", lambda: S.divergence(X, 4.5)),
    ("t = 0.01", "t_min, t_max", lambda: S(X, tensor(1.0, 0.01, 4.0))),
    ("t = 9.0", "[0.02, 4.0]", lambda: S.log_density(X, tensor(1.0, 9.0, 4.0))),
    ("t.shape = [2]", "3 points", lambda: S(X, tensor(1.0, 2.0))),
    ("t.shape = [3, 1]", "one time", lambda: S(X, tensor([1.0], [2.0], [3.0]))),
    ("x.shape = [3, 1]", "[n, 2]", lambda: S(X[:, :1], 1.0)),
    ("function(x, t).shape = [3]", "[3, 2]", lambda: FunctionScore(lambda x, t: x[:, 0])(X, 1.0)),
    ("function(x, t).shape = [2, 3]", "[3, 2]", lambda: FunctionScore(lambda x, t: x.T).divergence(X, 1.0)),
    ("value.shape = [1, 2]", "[d]", lambda: ConstantField(tensor([1.0, 2.0]))),
    ("value = list", "torch.Tensor", lambda: ConstantField([1.0])),
    ("x.shape = [3, 2]", "[n, 3]", lambda: ConstantField(tensor(1.0, 2.0, 3.0))(X, 1.0)),
    ("x.shape = [3, 2]", "[n, 1]", lambda: SumScore(S, ConstantField(tensor(1.0))).divergence(X, 1.0)),
    ("x.dtype = torch.float64", "convert", lambda: ConstantField(torch.ones(2))(X, 1.0)),
    ("grid = [1.0, 2.0]", "decreasing", lambda: run(grid=tensor(1.0, 2.0))),
    ("grid = [2.0, 2.0, 1.0]", "strictly", lambda: run(grid=tensor(2.0, 2.0, 1.0))),
    ("grid = [1.0]", "K + 1 ≥ 2", lambda: run(grid=tensor(1.0))),
    ("grid = [1.0, -1.0]", "≥ 0", lambda: run(grid=tensor(1.0, -1.0))),
    ("grid = list", "torch.Tensor", lambda: run(grid=[2.0, 1.0])),
    ("x = ndarray", "torch.as_tensor", lambda: run(x=X.numpy())),
    ("x.shape = [2]", "[n, d]", lambda: run(x=X[0])),
    ("generator = 7", "manual_seed", lambda: run(generator=7)),
    ("t = 5.0", "[0.02, 4.0]", lambda: run(grid=tensor(5.0, 1.0))),
    ("n = 0", "≥ 1", lambda: exact_paths(Flow(Q, OU), GRID, 0, generator=seeded(0))),
    (
        "grid = [1.0, 2.0]",
        "decreasing",
        lambda: exact_paths(Flow(Q, OU), tensor(1.0, 2.0), 3, generator=seeded(0)),
    ),
    (
        "grid[0] = 5.0",
        "[0.0, 4.0",
        lambda: exact_paths(Flow(Q, OU), tensor(5.0, 1.0), 3, generator=seeded(0)),
    ),
    ("states = empty", "simulate first", lambda: Trajectory().states),
    ("values = empty", "simulate first", lambda: Energy(S.error(S)).values),
    ("values = empty", "simulate first", lambda: Energy(S.error(S)).estimate()),
    ("values = empty", "simulate first", lambda: Martingale(S.error(S)).values),
    ("score(x, t).shape = [3, 1]", "[3, 2]", lambda: run(score=lambda x, t: x[:, :1])),
    ("field(x, t).shape = [10, 1]", "[10, 2]", lambda: energy_of(lambda x, t: x[:, :1])),
    ("field(x, t).shape = [10]", "[10, 2]", lambda: energy_of(lambda x, t: t)),
    ("n = 1", "≥ 2", lambda: ideal_energy(S.error(S), 1, generator=seeded(0))),
    ("generator = None", "torch.Generator", lambda: ideal_energy(S.error(S), 10, generator=None)),
    ("n = 1", "≥ 2", lambda: energy_of_steps(n=1)),
    ("grid = from 4.0 to 1.0", "T = 4.0 to t0 = 0.02", lambda: energy_of_steps(grid=tensor(4.0, 1.0))),
    ("integrator = HeunFlow", "held_drift", lambda: energy_of_steps(step=HeunFlow())),
    ("nodes = spacing 4", "finer nodes", lambda: evolve(NORMAL[::40], NODES[::40])),
    ("nodes = spacing 0.1", "stochastic integrator", lambda: evolve(step=HeunFlow())),
    ("nodes = unequal spacing", "torch.linspace", lambda: evolve(nodes=NODES**3)),
    ("nodes = [0.1, 8]", "widen", lambda: evolve(2 * NORMAL[81:], NODES[81:])),
    ("nodes.shape = [1]", "linspace", lambda: evolve(NORMAL[:1], NODES[:1])),
    ("density.shape = [160]", "[161]", lambda: evolve(density=NORMAL[1:])),
    ("nodes = ndarray", "torch.as_tensor", lambda: evolve(nodes=NODES.numpy())),
    ("grid = [1.0]", "decreasing", lambda: evolve(grid=tensor(1.0), step=Ancestral())),
    ("n = 1", "≥ 2", lambda: kl(Q, Q, 1, generator=seeded(0))),
    ("q.sample(n).shape = [4, 1]", "[n, 2]", lambda: kl(Q, LINE, 10, generator=seeded(0))),
    ("p = -0.0999", "≥ 0", lambda: kl_on_nodes(NORMAL - 0.1, NORMAL, NODES)),
    ("q = -0.0999", "≥ 0", lambda: kl_on_nodes(NORMAL, NORMAL - 0.1, NODES)),
    ("p = 161 of 161 entries are NaN", "remove", lambda: kl_on_nodes(NORMAL * NAN, NORMAL, NODES)),
    ("q.dtype = torch.float32", "torch.float64", lambda: kl_on_nodes(NORMAL, NORMAL.float(), NODES)),
    ("q.shape = [160]", "[161]", lambda: kl_on_nodes(NORMAL, NORMAL[1:], NODES)),
    ("nodes = unequal spacing", "torch.linspace", lambda: kl_on_nodes(NORMAL, NORMAL, NODES**3)),
    (
        "nodes = unequal spacing or not increasing",
        "linspace",
        lambda: kl_on_nodes(NORMAL, NORMAL, NODES.flip(0)),
    ),
    ("density = -0.0999", "≥ 0", lambda: evolve(density=NORMAL - 0.1)),
    ("stderr = -0.1", "≥ 0", lambda: Estimate(1.0, -0.1)),
    ("stderr = nan", "≥ 0", lambda: Estimate(1.0, NAN)),
    ("samples.shape = [1]", "two draws", lambda: Estimate.from_samples(tensor(1.0))),
    ("samples.shape = [3, 2]", "[n]", lambda: Estimate.from_samples(X)),
    ("samples = 1 of 2 entries are NaN", "remove", lambda: Estimate.from_samples(tensor(1.0, NAN))),
    ("samples.dtype = torch.int64", "double", lambda: Estimate.from_samples(torch.arange(3))),
    ("integrator = 'heun'", "EulerMaruyama()", lambda: run(step="heun")),
    ("integrator = <class", "EulerMaruyama()", lambda: run(step=EulerMaruyama)),
    (
        "functionals = a Trajectory",
        "also of one",
        lambda: simulate(S, X, GRID, STEP, generator=seeded(0), functionals=Trajectory()),
    ),
    ("flow = GaussianMixture", "Flow(law, process)", lambda: exact_paths(Q, GRID, 3, generator=seeded(0))),
    ("p = Tensor", "knn_kl", lambda: kl(X, X, 10, generator=seeded(0))),
    ("q = Tensor", "knn_kl", lambda: chi2(Q, X, 100, generator=seeded(0))),
    ("p = Gaussian", "GaussianMixture", lambda: chi2_finite(Gaussian(tensor(0.0), tensor([1.0])), LINE)),
    ("q = KernelDensity", "isotropic", lambda: chi2_finite(Q, KernelDensity(X, 1.0))),
    ("regime = 0.3", "FreshFraction(alpha)", lambda: retrain(regime=0.3)),
    ("regime = <class", "Replace()", lambda: retrain(regime=Replace)),
]


@pytest.mark.parametrize(
    ("begins", "remedy", "call"), REFUSED, ids=[f"{row[0]}, {row[1]}" for row in REFUSED]
)
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    message = str(refusal.value)
    assert message.startswith(begins)
    assert remedy in message.partition(": ")[2]


def test_times_that_only_rounding_moves_outside_are_accepted():
    """In float32 the ends 0.02 and 0.3 become 0.01999999955 and 0.30000001192."""
    ends = torch.tensor([0.02, 0.3, 0.1], dtype=torch.float32)
    process = OrnsteinUhlenbeck(0.02, 0.3)
    rounded = Flow(Q, process)(X, ends)
    torch.testing.assert_close(rounded, Flow(Q, process)(X, tensor(0.02, 0.3, 0.1)), rtol=1e-6, atol=0)


def test_refused_calls_leave_the_generator_alone():
    g = seeded(0)
    before = g.get_state()
    for call in (
        partial(OU.diffuse, X, 2.0, 1.0),
        partial(Q.sample, 0),
        partial(random_times, uniform_times, OU, 0),
    ):
        with pytest.raises(ValueError, match=" = "):
            call(generator=g)
    assert torch.equal(g.get_state(), before)


def test_large_numbers_are_finite_though_their_sum_is_not():
    large = torch.full((10,), 3e38)
    assert _checks.floating("x", large) is large
    with pytest.raises(ValueError, match="x = 1 of 11 entries are NaN or infinite"):
        _checks.floating("x", torch.cat([large, torch.tensor([math.nan])]))
    with pytest.raises(ValueError, match="x = 2 of 2 entries"):  # their sum is NaN
        _checks.floating("x", torch.tensor([math.inf, -math.inf]))
