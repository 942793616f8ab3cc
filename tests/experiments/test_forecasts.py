"""Forecasts of a recursion from planted pilots, against the recursion in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from scoredrift.experiments import (
    Result,
    constant_forecast,
    equal_cells,
    exact_stop_forecast,
    forcings,
    two_part_forecast,
)
from scoredrift.laws import mixture_of_three
from scoredrift.process import OrnsteinUhlenbeck

RUNS, CELLS, BEFORE = 400, 32, 0.5
SETTINGS = {"settings": {"generations": 3, "runs": RUNS}, "axes": ["alpha"], "provenance": {}}


def pilot(note=SETTINGS, **values):
    return Result({f"{BEFORE}/{name}": value for name, value in values.items()}, note)


def planted(seed=0, stop=0.04):
    """Bias, early stop and noise in cells, each with mass zero, and the pilot that they make."""
    g = torch.Generator().manual_seed(seed)

    def fields(*shape):
        x = torch.randn(*shape, CELLS, generator=g, dtype=torch.float64) / CELLS**0.5
        return x - x.mean(-1, keepdim=True)

    bias, stopped, noise = 0.05 * fields(), stop * fields(), 0.1 * fields(RUNS, 4)
    cells, wanted = [], []
    deviation = torch.zeros(RUNS, CELLS, dtype=torch.float64)
    for i in range(4):
        target = (1 - BEFORE) * (deviation + stopped) if i else torch.zeros_like(deviation)
        deviation = target + bias + noise[:, i]
        cells.append(1 / CELLS + deviation / CELLS**0.5)
        wanted.append(1 / CELLS + target / CELLS**0.5)
    return bias, stopped, pilot(cells=torch.stack(cells, 1), wanted=torch.stack(wanted, 1))


def drift(bias, stopped, scatter, alpha, generations):
    """E D_N of δ' = (1−α)(δ + c) + b + noise, generation 0 without the first term."""
    mean, left = bias, scatter
    for _ in range(generations):
        mean, left = (1 - alpha) * (mean + stopped) + bias, (1 - alpha) ** 2 * left + scatter
    return float(mean.square().sum()) + left


@pytest.mark.parametrize("alpha", [0.1, 0.9])
def test_two_parts_are_put_together_again_at_another_fresh_fraction(alpha):
    bias, stopped, made = planted()
    expected = drift(bias, stopped, 0.01 * (CELLS - 1) / CELLS, alpha, 10)
    found = two_part_forecast(made, alpha=alpha, generations=10)
    assert len(found) == 11
    assert abs(found[-1].sigmas_from(expected)) < 5
    assert found[-1].stderr < 0.2 * expected
    # The same with the early stop taken for a part of the bias is far off.
    assert abs(constant_forecast(made, alpha=alpha, generations=10)[-1].sigmas_from(expected)) > 5


def test_without_an_early_stop_the_constant_forecast_is_right():
    bias, stopped, made = planted(seed=1, stop=0.0)
    expected = drift(bias, stopped, 0.01 * (CELLS - 1) / CELLS, 0.1, 10)
    assert abs(constant_forecast(made, alpha=0.1, generations=10)[-1].sigmas_from(expected)) < 5
    assert abs(two_part_forecast(made, alpha=0.1, generations=10)[-1].sigmas_from(expected)) < 5


def signed_cells(parts, edges):
    """Masses of Σ w N(m, v) between the edges."""
    below = sum(w * ndtr((edges - m) / math.sqrt(v)) for w, m, v in parts)
    total = sum(w for w, _, _ in parts)
    return np.diff(np.concatenate([[0.0], below, [total]]))


def later(parts, t):
    """The forward process for a time t."""
    a2 = math.exp(-t)
    return [(w, math.sqrt(a2) * m, a2 * v + 1 - a2) for w, m, v in parts]


def on_nodes(parts, nodes):
    return sum(w * np.exp(-((nodes - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for w, m, v in parts)


def test_the_early_stop_is_exact_on_the_line():
    """Errors that are differences of Gaussians, on which the forward process acts in closed form."""
    law, t0, alpha, generations = mixture_of_three(), OrnsteinUhlenbeck().t_min, 0.1, 8
    edges = equal_cells(law.diffuse(t0), CELLS).numpy()
    nodes = np.linspace(-9, 9, 201)
    bias, shape = [(0.03, 0.5, 0.2), (-0.03, 0.4, 0.25)], [(0.15, -2.0, 0.04), (-0.15, -1.8, 0.04)]
    rng = np.random.default_rng(2)
    errors = on_nodes(bias, nodes) + rng.normal(size=(RUNS, 4, 1)) * on_nodes(shape, nodes)
    found = exact_stop_forecast(
        pilot(error=torch.from_numpy(errors).float()), alpha=alpha, generations=generations
    )

    data = list(zip(law.weights.tolist(), law.means[:, 0].tolist(), law.variances.tolist(), strict=True))
    mean = later(data, t0) + bias
    noise, scatter = shape, 0.0
    for i in range(generations + 1):
        deviation = signed_cells(mean, edges) - 1 / CELLS
        scatter += CELLS * float((signed_cells(noise, edges) ** 2).sum())
        expected = CELLS * float((deviation**2).sum()) + scatter
        assert abs(found[i].sigmas_from(expected)) < 5, i
        assert found[i].stderr < 0.1 * expected
        blend = [(alpha * w, m, v) for w, m, v in data] + [((1 - alpha) * w, m, v) for w, m, v in mean]
        mean = later(blend, t0) + bias
        noise = [((1 - alpha) * w, m, v) for w, m, v in later(noise, t0)]


def test_what_is_added_gives_back_what_there_was():
    cells = torch.softmax(torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1)).double(), 2)
    added, alpha = forcings(cells, 0.3), 0.3
    deviation = torch.zeros(3, 5, dtype=torch.float64)
    for i in range(4):
        deviation = (1 - alpha) * deviation + added[:, i]
        assert torch.allclose(deviation, (cells[:, i] - 0.2) * 5**0.5)


@pytest.mark.parametrize("forecast", [constant_forecast, two_part_forecast])
@pytest.mark.parametrize(("name", "value"), [("alpha", 0.0), ("alpha", 1.5), ("generations", -1)])
def test_bad_settings_are_refused(forecast, name, value):
    with pytest.raises(ValueError, match=name):
        forecast(planted()[2], **{"alpha": 0.5, "generations": 2} | {name: value})


def test_two_runs_show_no_error():
    made = planted()[2]
    few = {name: made.at(name, alpha=BEFORE)[:2] for name in ("cells", "wanted")}
    settings = SETTINGS | {"settings": {"generations": 3, "runs": 2}}
    with pytest.raises(ValueError, match="2 runs"):
        two_part_forecast(pilot(settings, **few), alpha=0.5, generations=1)
