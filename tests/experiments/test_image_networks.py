"""Networks retrained on photographs: what is measured of them, against errors that are known."""

from dataclasses import replace

import pytest
import torch

from helpers import seeded
from scoredrift import Flow, KernelDensity, OrnsteinUhlenbeck
from scoredrift.experiments import (
    EARLY_STOPS,
    IMAGE_NETWORKS,
    PhotographMeasure,
    photographs_of,
    pixel_fit,
    run_image_networks,
)
from scoredrift.generations import Generation
from scoredrift.observability import PairDesign, by_pairs

TINY = {"channels": (8,), "steps": 3, "batch": 4, "rate": 1e-3, "sampler": 2, "size": 60, "generations": 1}
TINY |= {"draws": 30, "more": 2, "longer": 2, "referred": [0], "pictures": 4}


def world():
    images = torch.randint(256, (90, 3, 8, 8), generator=seeded(0), dtype=torch.uint8)
    return photographs_of(images, law=70)


def test_a_recursion_has_what_the_figure_needs():
    here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "photographs": world}
    found = run_image_networks(TINY, alpha=0.5, run=0, **here)
    for stop in EARLY_STOPS:
        for name in ("eta", "visible", "energy"):
            assert found[f"{name}_{stop}"].shape == (2, 2)
            assert bool(found[f"{name}_{stop}"].isfinite().all())
    assert found["energy_levels"].shape == (2, 8, 2)
    assert found["bound"].shape == (1, 2)  # in generation 0 alone
    assert found["pictures"].shape == (2, 4, 3, 8, 8)
    assert bool((found["energy_0.002"][:, 0] > found["energy_0.2"][:, 0]).all())  # more of the path


def test_stops_may_be_others():
    here = {"seed": 1, "device": "cpu", "folder": None, "progress": False, "photographs": world}
    only = TINY | {"generations": 0, "referred": [], "stops": [1e-4, 0.2]}
    found = run_image_networks(only, alpha=0.5, run=0, **here)
    assert "eta_0.02" not in found
    assert float(found["energy_0.0001"][0, 0]) > float(found["energy_0.2"][0, 0])
    levels, whole = found["energy_levels"][0], found["energy_0.0001"][0]
    gap = float(levels[:, 0].sum() - whole[0])  # the levels begin at the earliest
    assert abs(gap) < 5 * float((levels[:, 1].square().sum() + whole[1].square()).sqrt())


class Known:
    """A network whose score is exact but for a push."""

    def __init__(self, flow, push):
        self.flow, self.push = flow, push

    def __call__(self, x, t):
        return self.flow(x, t) + self.push


def test_the_energy_is_that_of_the_error_against_the_training_set():
    """A constant push has the energy |push|² (T − t0), and its η is that of the pairs with a divergence."""
    here, g = world(), seeded(1)
    training = here.law.sample(40, generator=g)
    model = pixel_fit(TINY, here.shape)(training, generator=g)
    push = torch.full((192,), 0.05)
    law = KernelDensity(training, 1e-3)
    exact = Flow(law, OrnsteinUhlenbeck(min(EARLY_STOPS), 4.0))
    known = replace(model, model=Scored(model.model, Known(exact, push)))
    settings = TINY | {"draws": 400, "referred": []}
    measure = PhotographMeasure.of(here, 0.5, pixel_fit(TINY, here.shape), settings)
    found = measure(Generation(0, training, known, training, g, None))
    for stop in EARLY_STOPS:
        wanted = float(push.square().sum()) * (4.0 - stop)
        energy = found[f"energy_{stop}"]
        assert abs(energy.sigmas_from(wanted)) < 5
        assert energy.stderr < 0.02 * wanted
        flow = Flow(law, OrnsteinUhlenbeck(stop, 4.0))
        other = by_pairs(flow.error(Known(flow, push)), 400, design=DESIGN, generator=seeded(2))
        assert abs((found[f"eta_{stop}"] - other.eta).sigmas_from(0)) < 5
    assert found["energy_levels"][:, 0].sum() == pytest.approx(float(push.square().sum()) * 3.998, rel=0.02)


DESIGN = PairDesign(strata=8, antithetic=True, divergence_free=True)


class Scored:
    """A model of a network with another score."""

    def __init__(self, model, score):
        self.trained, self.score = model.trained, score


def test_photographs_that_are_held_out_are_not_in_the_law():
    here = world()
    assert len(here.law.images) + len(here.unseen) == 90
    assert not any(bool((one == here.law.images).flatten(1).all(1).any()) for one in here.unseen)


def test_scales_say_what_they_take():
    assert IMAGE_NETWORKS.scales["medium"]["runs"] >= 2
    assert IMAGE_NETWORKS.axes == ("alpha",)
