"""Networks on the line: cells, what a generation adds, and a forecast of runs that it has not seen."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from scoredrift.experiments import (
    NEURAL_LINE,
    NEURAL_PILOT,
    NEURAL_SPLIT,
    NEURAL_TEN,
    NEURAL_TEN_PILOT,
    constant_forecast,
    equal_cells,
    forcings,
    mass_below,
    masses_of_shells,
    run_line,
    run_size,
    stored,
)
from scoredrift.generations import bias_of_repeats, forecast
from scoredrift.laws import GaussianMixture, mixture_of_five, mixture_of_three
from scoredrift.observability import energy_by_level
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.runs import generator_for
from scoredrift.scores import Flow


def test_cells_of_equal_mass_hold_equal_shares_of_draws():
    law, n = mixture_of_three(), 40_000
    x = law.sample(n, generator=torch.Generator().manual_seed(0))[:, 0]
    counts = torch.bincount(torch.bucketize(x, equal_cells(law, 8)), minlength=8)
    assert float((counts - n / 8).abs().max()) < 5 * (n / 8 * 7 / 8) ** 0.5
    assert mass_below(law, x[:3]) == pytest.approx(
        [float((x <= one).double().mean()) for one in x[:3]], abs=5 * 0.5 / n**0.5
    )


def test_what_a_network_does_to_a_law_is_the_same_in_cells_and_on_nodes():
    """Masses of the cells from error functions; the stored difference of densities, by a spline and its integral."""
    options = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False}
    history = run_line({"size": 500, "steps": 200, "generations": 1}, alpha=0.3, **options)
    nodes = np.linspace(-9, 9, 201)
    edges = equal_cells(mixture_of_three().diffuse(OrnsteinUhlenbeck().t_min), 32).numpy()
    for error, cells, wanted in zip(history["error"], history["cells"], history["wanted"], strict=True):
        below = CubicSpline(nodes, error.double().numpy()).antiderivative()
        by_spline = np.diff([below(x) - below(-9) for x in (-9, *edges, 9)])
        assert by_spline == pytest.approx((cells - wanted).numpy(), abs=2e-5)
        assert float((cells - wanted).abs().max()) > 0.01
    assert history["wanted"][0].tolist() == pytest.approx([1 / 32] * 32)


def test_observability_from_pairs_is_that_of_quadrature_and_changes_nothing_else():
    """u(x) = −∫ E[(𝒜e)(X_t) | X_{t0} = x] dt with Gaussian kernels on nodes; η = ∫ u² q_{t0} dx / ε*²."""
    options = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False}
    small = {"size": 500, "steps": 200, "generations": 0}
    plain, seen = run_line(small, **options), run_line(small | {"pairs": 3000}, **options)
    assert seen.measured[0].keys() - plain.measured[0].keys() == {"eta"}
    assert all(torch.equal(value, seen.measured[0][name]) for name, value in plain.measured[0].items())
    ou, nodes = OrnsteinUhlenbeck(), torch.linspace(-9, 9, 801, dtype=torch.float64)
    error = Flow(mixture_of_three(), ou).error(seen.last().network.score)
    h, times = float(nodes[1] - nodes[0]), ou.geometric_grid(120).double().flip(0)
    means = []
    for t in times.tolist():
        stein = error.at(nodes[:, None], t).stein
        a, v = np.exp(-(t - ou.t_min) / 2), -np.expm1(-(t - ou.t_min))
        if v > 0:
            kernel = torch.exp(-(nodes - a * nodes[:, None]).square() / (2 * v)) / (2 * np.pi * v) ** 0.5
            stein = h * kernel @ stein
        means.append(stein)
    u = torch.trapezoid(torch.stack(means), times, dim=0)
    density = mixture_of_three().diffuse(ou.t_min).log_density(nodes[:, None]).exp()
    eta = float(h * (u.square() * density).sum() / seen["ideal_energy"][0])
    assert 0.3 < eta <= 1
    assert abs(float(seen["eta"][0, 0]) - eta) < 5 * float(seen["eta"][0, 1])


def test_the_forecast_is_that_of_the_stored_pilot():
    pilot = stored("neural-pilot", "medium")
    parts = bias_of_repeats(forcings(pilot.at("cells", alpha=0.5), 0.5)[:, 1:])
    assert parts.bias.sigmas_from(0.0) > 5  # these networks repeat themselves
    said = constant_forecast(pilot, alpha=0.25, generations=10)
    assert said == forecast(parts, alpha=0.25, generations=10)


@pytest.mark.parametrize(
    "family", [(NEURAL_LINE, NEURAL_PILOT, NEURAL_SPLIT), (NEURAL_TEN, NEURAL_TEN_PILOT)]
)
def test_no_experiment_shares_a_run_with_another(family):
    """The same seed may be given to all; else a forecast would be compared with what it was made from."""
    numbers = []
    for experiment in family:
        task = experiment.task
        first = task.keywords.get(
            "first", getattr(task.args[0], "keywords", {}).get("first", 0) if task.args else 0
        )
        numbers.append(set(range(first, first + max(one["runs"] for one in experiment.scales.values()))))
    assert sum(map(len, numbers)) == len(set().union(*numbers))


def test_shells_have_equal_mass_and_show_what_moves():
    law, n = mixture_of_five(10), 40_000
    x = law.sample(n, generator=torch.Generator().manual_seed(2))
    masses = masses_of_shells(x, law)
    assert float((masses - 0.05).abs().max()) < 5 * (0.05 / n) ** 0.5
    inner, outer = masses_of_shells(law.means, law), masses_of_shells(law.means + 1.0, law)
    assert inner.tolist() == [0.2, 0.0, 0.0, 0.0] * 5
    assert outer.tolist() == [0.0, 0.0, 0.0, 0.2] * 5
    with pytest.raises(ValueError, match="equal mass need equal Gaussians"):
        masses_of_shells(x[:, :1], mixture_of_three())


def test_energy_of_a_kernel_density_is_that_of_the_mixture_that_it_is():
    """The same centres as a Gaussian mixture, and the energy by draws instead of quadrature."""
    options = {"run": 0, "seed": 3, "device": "cpu", "folder": None, "progress": False}
    history = run_size({"steps": 1}, learner="h = 0.2", size=50, **options)
    p = mixture_of_three()
    centres = p.sample(50, generator=generator_for((3, 50, 0), 0, "fresh"))
    same = GaussianMixture(
        torch.full((50,), 0.02, dtype=torch.float64), centres, torch.full((50,), 0.04, dtype=torch.float64)
    )
    ou = OrnsteinUhlenbeck()
    drawn = energy_by_level(
        Flow(p, ou).error(Flow(same, ou)),
        20_000,
        ou.geometric_grid(8).flip(0),
        generator=torch.Generator().manual_seed(4),
    ).total
    assert abs(drawn.sigmas_from(float(history["ideal_energy"]))) < 5
