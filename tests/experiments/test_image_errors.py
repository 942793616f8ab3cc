"""Errors injected into the score of pictures: what they are, against closed forms, and what is kept of them."""

import math

import pytest
import torch

from helpers import seeded
from scoredrift import Flow, KernelDensity, OrnsteinUhlenbeck
from scoredrift.datasets import middles
from scoredrift.experiments import (
    IMAGE_CASES,
    IMAGE_ERRORS,
    INJECTED,
    aligned_weights,
    injected_errors,
    run_image_errors,
    shrunk,
)
from scoredrift.observability import PairDesign, by_pairs

OU = OrnsteinUhlenbeck(0.05, 4.0)


def bytes_of(n=80, side=8, seed=0):
    return torch.randint(256, (n, 3, side, side), generator=seeded(seed), dtype=torch.uint8)


def flow(n=60, dim=6, dtype=torch.float64):
    return Flow(KernelDensity(torch.randn(n, dim, generator=seeded(1), dtype=dtype), 1e-3), OU)


def test_pictures_are_made_smaller_by_means_of_squares():
    images = bytes_of()
    x = middles(images).reshape(-1, 3, 8, 8)
    half = shrunk(images, shrink=2).reshape(-1, 3, 4, 4)
    torch.testing.assert_close(half[:, :, 1, 2], x[:, :, 2:4, 4:6].mean((2, 3)))
    torch.testing.assert_close(shrunk(images, grey=True), x.mean(1).flatten(1))
    with pytest.raises(ValueError, match="shrink = 3: pass a divisor of both sides"):
        shrunk(images, shrink=3)


def test_aligned_weights_are_those_of_a_regression_on_the_drift():
    """By averages over exact paths: E[x·s*] = −1 in each coordinate, E[x²] = a² E[x_0²] + v."""
    exact = flow()
    found = aligned_weights(exact, generator=seeded(2))
    u = (torch.arange(4000).double() + 0.5) / 4000
    t = OU.t_min * (OU.t_max / OU.t_min) ** u
    second = exact.law.centres.square().mean(0)
    squares = (torch.exp(-t)[:, None] * second + (1 - torch.exp(-t))[:, None]).mean(0)
    wanted = 0.5 - 1 / squares
    assert torch.allclose(found, wanted, atol=0.35)
    assert float((found - wanted).mean().abs()) < 0.15


def test_the_errors_have_the_energies_and_the_visibility_that_theory_gives_them():
    exact = flow()
    errors = injected_errors(exact, generator=seeded(3))
    assert tuple(errors) == INJECTED
    design = PairDesign(strata=8, antithetic=True)
    seen = {name: by_pairs(error, 1500, design=design, generator=seeded(4)) for name, error in errors.items()}
    span = OU.t_max - OU.t_min
    for name in ("push", "brightness"):  # of length one, always
        assert abs(seen[name].energy.sigmas_from(span)) < 5 or seen[name].energy.value == pytest.approx(span)
        assert seen[name].eta.value > 5 * seen[name].eta.stderr
    times = torch.linspace(OU.t_min, OU.t_max, 20_001, dtype=torch.float64)
    wave = float(torch.trapezoid(torch.cos(6 * times).square(), times))
    assert abs(seen["oscillation"].energy.sigmas_from(wave)) < 5
    assert abs(seen["rotation"].visible.sigmas_from(0.0)) < 5
    assert seen["blur"].eta.value > 0.5


def test_what_is_kept_of_a_case():
    small = {"size": 60, "draws": 30, "pilot": 20, "steps": 10, "paths": 4, "t_min": 0.02, "t_max": 4.0}
    here = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": bytes_of}
    few = "a tenth of the pictures"
    base, tenth = (run_image_errors(small, case=case, **here) for case in ("base", few))
    torch.testing.assert_close(base["square"][0], shrunk(bytes_of()[:60]).square().mean())
    for name in INJECTED:
        eta, energy = base[f"{name}/eta"][0], base[f"{name}/energy"][0]
        assert all(map(math.isfinite, [*eta.tolist(), *energy.tolist()]))
        assert int(base[f"{name}/evaluations"]) > 30
    compared = {name for name in tenth.keys() if "by_trajectories" in name}  # noqa: SIM118
    assert {name.partition("/")[0] for name in compared} == {"aligned", "push"}
    assert not any("by_trajectories" in name for name in base.keys())  # noqa: SIM118
    assert int(tenth["push/by_trajectories/evaluations"]) == 2 * 4 * 10
    again = run_image_errors(small, case="base", **here)
    assert torch.equal(again["push/eta"], base["push/eta"])
    with pytest.raises(ValueError, match="case = 'blue': choose one of base"):
        run_image_errors(small, case="blue", **here)


def test_cases_differ_from_the_base_in_one_thing_each():
    settings = IMAGE_ERRORS.scales["medium"]
    assert IMAGE_CASES["base"] == {}
    assert all(len(one) == 1 for name, one in IMAGE_CASES.items() if name != "base")
    assert all(settings.get(name) != value for one in IMAGE_CASES.values() for name, value in one.items())
