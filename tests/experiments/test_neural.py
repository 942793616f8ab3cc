"""Networks on the line: cells, what a generation adds, and a forecast of runs that it has not seen."""

import pytest
import torch

from scoredrift.experiments import (
    NEURAL_LINE,
    NEURAL_PILOT,
    NEURAL_SPLIT,
    equal_cells,
    forcings,
    line_forecast,
    mass_below,
    stored,
)
from scoredrift.generations import bias_of_repeats, forecast
from scoredrift.laws import mixture_of_three


def test_cells_of_equal_mass_hold_equal_shares_of_draws():
    law, n = mixture_of_three(), 40_000
    x = law.sample(n, generator=torch.Generator().manual_seed(0))[:, 0]
    counts = torch.bincount(torch.bucketize(x, equal_cells(law, 8)), minlength=8)
    assert float((counts - n / 8).abs().max()) < 5 * (n / 8 * 7 / 8) ** 0.5
    assert mass_below(law, x[:3]) == pytest.approx(
        [float((x <= one).double().mean()) for one in x[:3]], abs=5 * 0.5 / n**0.5
    )


def test_what_is_added_gives_back_what_there_was():
    cells = torch.softmax(torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1)).double(), 2)
    added, alpha = forcings(cells, 0.3), 0.3
    deviation = torch.zeros(3, 5, dtype=torch.float64)
    for i in range(4):
        deviation = (1 - alpha) * deviation + added[:, i]
        assert torch.allclose(deviation, (cells[:, i] - 0.2) * 5**0.5)


def test_the_forecast_is_that_of_the_stored_pilot():
    pilot = stored("neural-pilot", "medium")
    parts = bias_of_repeats(forcings(pilot.at("cells", alpha=0.5), 0.5)[:, 1:])
    assert parts.bias.sigmas_from(0.0) > 5  # these networks repeat themselves
    said = line_forecast(pilot, alpha=0.25, generations=10)
    assert said == forecast(parts, alpha=0.25, generations=10)


def test_no_experiment_shares_a_run_with_another():
    """The same seed may be given to all three; else a forecast would be compared with what it was made from."""
    numbers = [
        set(range(first, first + max(one["runs"] for one in experiment.scales.values())))
        for experiment in (NEURAL_LINE, NEURAL_PILOT, NEURAL_SPLIT)
        for first in [experiment.task.keywords.get("first", 0)]
    ]
    assert sum(map(len, numbers)) == len(set().union(*numbers))
