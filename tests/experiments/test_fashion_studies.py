"""Closer looks at pictures in components: regimes, energies and samplers, on digits and tiny networks."""

from __future__ import annotations

import math

import pytest
import torch

from helpers import seeded
from scoredrift import Estimate
from scoredrift.experiments import (
    SAMPLERS,
    digits_pictures,
    run_energies,
    run_regimes,
    run_rescue,
    run_samplers,
)
from scoredrift.experiments.fashion_codes import PROCESS, CodeLaw, code_fit
from scoredrift.experiments.fashion_studies import CodeEnergies
from scoredrift.generations import Generation, NetworkFit, WarmStart

SMALL = {"width": 32, "steps": 60, "sampler": 8, "size": 500, "generations": 2, "pictures": 3}
HERE = {"seed": 3, "device": "cpu", "progress": False}


def here(folder=None, **changes):
    return HERE | {"folder": folder, "pictures": digits_pictures()} | changes


def test_regimes_train_on_what_they_say(monkeypatch):
    """Replaced: N points, none of which are data; accumulated: all of them; fresh fraction α: a share α."""
    from scoredrift.experiments import fashion_codes

    world, seen, fits = digits_pictures(), [], []
    code = CodeLaw(world.law, world.code)
    data = code.sample(500, generator=seeded(1))

    def watched(fit, target, *, regime, measure, **options):
        drawn = 10 + torch.zeros(500, data.shape[1])
        fits.append(type(fit))
        seen.append(regime.training_set(lambda k: data[:k], drawn, data, generator=seeded(2)))
        raise KeyboardInterrupt

    monkeypatch.setattr(fashion_codes, "recurse", watched)
    for regime in ("replace", "accumulate", "warm"):
        with pytest.raises(KeyboardInterrupt):
            run_regimes(SMALL | {"alpha": 0.2}, regime=regime, run=0, **here())
    assert fits == [NetworkFit, NetworkFit, WarmStart]
    fresh = [int((x[:, 0] != 10).sum()) for x in seen]
    assert (len(seen[0]), fresh[0]) == (500, 0)
    assert (len(seen[1]), fresh[1]) == (1000, 500)
    assert len(seen[2]) == 500
    assert abs(fresh[2] - 100) < 5 * math.sqrt(500 * 0.16)


def test_a_warm_start_resumes(tmp_path):
    settings = SMALL | {"alpha": 0.2}
    whole = run_regimes(settings, regime="warm", run=0, **here())
    run_regimes(settings | {"generations": 1}, regime="warm", run=0, **here(tmp_path))
    again = run_regimes(settings, regime="warm", run=0, **here(tmp_path))
    assert all(torch.equal(whole[name], again[name]) for name in whole.keys())  # noqa: SIM118


def test_a_rescue_is_a_fall_and_then_another_fraction(tmp_path):
    """Up to the fall runs of all fractions are one; from then on the share of fresh points is another."""
    settings = SMALL | {"before": 0.1, "fallen": 1, "generations": 2}
    some, most = (run_rescue(settings, alpha=alpha, run=0, **here()) for alpha in (0.3, 0.9))
    assert torch.equal(some["deviation"][:2], most["deviation"][:2])
    assert not torch.equal(some["deviation"][2], most["deviation"][2])
    run_rescue(settings | {"generations": 1}, alpha=0.9, run=0, **here(tmp_path))  # the fall alone
    again = run_rescue(settings, alpha=0.9, run=0, **here(tmp_path))
    assert all(torch.equal(most[name], again[name]) for name in most.keys())  # noqa: SIM118


def test_no_regime_is_refused():
    with pytest.raises(ValueError, match=r"^regime = 'mix': choose one of replace, accumulate, warm"):
        run_regimes(SMALL | {"alpha": 0.2}, regime="mix", run=0, **here())


def test_the_empirical_energy_is_that_of_points_and_noise():
    """Against draws of point, time and noise, with the score of the empirical law written out in float64."""
    world = digits_pictures()
    data = CodeLaw(world.law, world.code).sample(300, generator=seeded(4))
    fit = code_fit(20, width=32, steps=100, sampler=8)
    model = fit(data, generator=seeded(5))
    energies = CodeEnergies(CodeLaw(world.law, world.code), 0.5, fit, 2, 2_000, (0,))
    found = energies(Generation(0, data, model, data, seeded(6), None))
    draws, g = 20_000, seeded(7)
    t = PROCESS.t_min * (PROCESS.t_max / PROCESS.t_min) ** torch.rand(draws, generator=g, dtype=torch.float64)
    weight = t * math.log(PROCESS.t_max / PROCESS.t_min)
    a, v = (-t / 2).exp()[:, None], (1 - (-t).exp())[:, None]
    points = data.double()
    noise = torch.randn(draws, 20, generator=g, dtype=torch.float64)
    x = a * points[torch.randint(300, (draws,), generator=g)] + v.sqrt() * noise
    share = torch.softmax(-(x[:, None] - a[:, None] * points).square().sum(2) / (2 * v), 1)
    exact = (a * (share @ points) - x) / v
    error = model.score(x.float(), t.float()).double() - exact
    mine = Estimate.from_samples(weight * error.square().sum(1))
    assert abs((found["empirical"] - mine).sigmas_from(0)) < 5
    assert float(found["empirical_levels"][:, 0].sum()) == pytest.approx(found["empirical"].value)
    assert 0 < found["visible"].value < found["empirical"].value


def test_a_reference_bounds_the_energy_from_below():
    """A network that is hardly trained has an energy that a better one shows; the bound is below the energy."""
    small = SMALL | {"generations": 1, "longer": 6, "more": 2, "draws": 300, "referred": [0, 1]}
    found = run_energies(small, alpha=0.5, run=0, **here())
    bound, error = found["bound"][:, 0], found["bound"][:, 1]
    assert bool((bound > 5 * error).all())
    assert bool((bound < found["empirical"][:, 0]).all())
    assert found["bound_levels"].shape == (2, 8, 2)


def test_more_steps_of_one_sampler_come_to_the_same():
    small = SMALL | {"generations": 0, "drawn": 1_000, "sizes": [100, 200]}
    found = run_samplers(small, alpha=1.0, run=0, **here())
    deviations = dict(zip(SAMPLERS, found["deviations"][0], strict=True))
    far, near = (float((deviations[name] - deviations["Heun 500"]).norm()) for name in ("Heun 10", "Heun 50"))
    assert near < far / 3
    assert found["frechet_100"] > found["frechet_200"]  # biased
    assert found["frechet_unseen_100"] > found["frechet_unseen_200"] > 0
