"""Errors that are injected into the exact score of pictures, and how much of them shows in what is generated.

The score of the empirical law of N pictures is known at every time: attention over the pictures. With it the error of a
model is whatever one adds to it, and η is estimated without a trajectory. After the source paper's figure 2 (arXiv
2602.16601), which injects

    aligned     e = w ⊙ x, w chosen to correlate with the drift: here by least squares on x/2 + s*(x, t);
    random      e = w ⊙ x, w ~ N(0, I);
    time-only   e = ξ(t): here a constant push in a random direction, one in brightness, and cos(6t) of the former;

and what else the theory tells apart: a rotation J s*, which is invisible, and a blur, the error of a model that takes
each picture for a small Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.datasets import cifar10, middles
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.generations import History
from scoredrift.laws import KernelDensity
from scoredrift.observability import Observability, by_pairs, by_trajectories
from scoredrift.process import OrnsteinUhlenbeck, log_uniform_times
from scoredrift.runs import generator_for
from scoredrift.scores import ConstantField, ErrorField, Flow, LinearField, RotationalField, ScaledField

IMAGE_CASES: dict[str, dict[str, Any]] = {
    "base": {},
    "grey": {"grey": True},
    "half the side": {"shrink": 2},
    "a quarter of the side": {"shrink": 4},
    "a tenth of the pictures": {"share": 10},
    "a tenth of t0": {"t_min": 0.002},
    "ten times t0": {"t_min": 0.2},
}
INJECTED = ("aligned", "random", "push", "brightness", "oscillation", "rotation", "blur")
_COMPARED, _COMPARED_IN = ("aligned", "push"), "a tenth of the pictures"  # with pairs of trajectories
_WIDTH, _BLUR = (
    1e-3,
    0.1,
)  # of a picture, and of one that is blurred, in units of half the scale of brightness
_FITTED = 500  # points that the aligned error is fitted to


def shrunk(images: Tensor, *, shrink: int = 1, grey: bool = False) -> Tensor:
    """Pictures of bytes as points in [−1, 1]^d, smaller by averages over squares of pixels.

    Args:
        images: bytes, ``[n, C, H, W]``.
        shrink: side of the squares, which divides H and W.
        grey: take the mean over the colours.

    Returns:
        Points, ``[n, d]``, float32.

    Raises:
        ValueError: a side that does not divide those of the pictures.

    >>> shrunk(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), shrink=4, grey=True).shape
    torch.Size([2, 4])
    """
    shrink = _checks.count("shrink", shrink)
    if any(side % shrink for side in images.shape[2:]):
        _checks.refuse("shrink", shrink, f"pass a divisor of both sides, {list(images.shape[2:])}")
    x = torch.nn.functional.avg_pool2d(middles(images).reshape(images.shape), shrink)
    return (x.mean(1) if grey else x).flatten(1)


def injected_errors(flow: Flow, *, generator: torch.Generator) -> dict[str, ErrorField]:
    """The errors of figure 2 and others, by name, for the flow of a kernel density.

    Args:
        flow: of a ``KernelDensity``, in an even number of dimensions.
        generator: of what is random in them.

    >>> g = torch.Generator().manual_seed(0)
    >>> flow = Flow(KernelDensity(torch.randn(50, 4, generator=g), 1e-3), OrnsteinUhlenbeck())
    >>> tuple(injected_errors(flow, generator=g)) == INJECTED
    True
    """
    law = flow.law
    assert isinstance(law, KernelDensity)
    d, like = law.dim, {"generator": generator, "dtype": law.dtype, "device": law.device}
    direction = torch.randn(d, **like)  # type: ignore[call-overload]
    push = ConstantField(direction / direction.norm())
    turn = torch.zeros(d, d, dtype=law.dtype, device=law.device)
    even = torch.arange(0, d - 1, 2, device=law.device)
    turn[even, even + 1], turn[even + 1, even] = 1.0, -1.0
    fields = {
        "aligned": LinearField(torch.diag(aligned_weights(flow, generator=generator))),
        "random": LinearField(torch.diag(torch.randn(d, **like))),  # type: ignore[call-overload]
        "push": push,
        "brightness": ConstantField(torch.full_like(direction, d**-0.5)),
        "oscillation": ScaledField(lambda t: torch.cos(6 * t), push),
        "rotation": RotationalField(turn, flow),
    }
    errors: dict[str, ErrorField] = {name: flow.inject(field) for name, field in fields.items()}
    errors["blur"] = flow.error(Flow(KernelDensity(law.centres, _BLUR, law.weights), flow.process))
    return errors


def aligned_weights(flow: Flow, *, generator: torch.Generator) -> Tensor:
    """w of e = w ⊙ x that correlates most with the drift of the reverse process, over log-uniform times.

        w_k = E[x_k (x_k/2 + s*_k)]/E[x_k²]

    Args:
        flow: the exact score.
        generator: source of randomness.

    Returns:
        w, shape ``[d]``.

    >>> from scoredrift.laws import Gaussian
    >>> one = Flow(Gaussian(torch.zeros(2), torch.eye(2)), OrnsteinUhlenbeck())  # x/2 − x
    >>> aligned_weights(one, generator=torch.Generator().manual_seed(0))
    tensor([-0.5000, -0.5000])
    """
    law = flow.law
    u = torch.rand(_FITTED, generator=generator, dtype=torch.float64, device=law.device)
    t = log_uniform_times(flow.process, u).t.to(law.dtype)
    x = flow.process.diffuse(law.sample(_FITTED, generator=generator), 0.0, t, generator=generator)
    drift = 0.5 * x + flow(x, t)
    return (x * drift).sum(0) / x.square().sum(0)


def run_image_errors(
    settings: Mapping[str, Any],
    *,
    case: str,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
    pictures: Callable[[], Tensor] | None = None,
) -> History:
    """Observability of injected errors in one case, as a history of one generation.

    Args:
        settings: an entry of the scales of ``IMAGE_ERRORS``.
        case: an entry of ``IMAGE_CASES``.
        run, seed: fix the random numbers, with the case.
        device: torch device.
        folder, progress: nothing is kept or shown: a case takes minutes.
        pictures: gives pictures of bytes; None for the training images of CIFAR-10.

    Returns:
        ``square``, the mean square of a pixel; for each error ``eta``, ``visible`` and ``energy``, with ``evaluations``
        and ``seconds``; and for two of them in one case the same by pairs of trajectories, ``…/by_trajectories/eta``.

    Raises:
        ValueError: an unknown case, or no pictures.

    >>> def noise(): return torch.randint(256, (60, 3, 8, 8), dtype=torch.uint8)
    >>> small = {"size": 60, "draws": 20, "pilot": 20, "t_min": 0.02, "t_max": 4.0}
    >>> here = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False, "pictures": noise}
    >>> run_image_errors(small, case="a quarter of the side", **here)["push/eta"].shape
    torch.Size([1, 2])
    """
    if case not in IMAGE_CASES:
        _checks.refuse("case", repr(case), f"choose one of {', '.join(IMAGE_CASES)}")
    chosen = {"share": 1, "shrink": 1, "grey": False, **settings, **IMAGE_CASES[case]}
    images = cifar10("train").images if pictures is None else pictures()
    images = images[: chosen["size"] // chosen["share"]]
    x = shrunk(images, shrink=chosen["shrink"], grey=chosen["grey"]).to(device)
    process = OrnsteinUhlenbeck(chosen["t_min"], chosen["t_max"])
    flow = Flow(KernelDensity(x, _WIDTH), process)
    source = generator_for(seed, run, case, device=torch.device(device))
    found = {"square": x.square().mean()}
    for name, error in injected_errors(flow, generator=source).items():
        seen = by_pairs(error, chosen["draws"], pilot=chosen["pilot"], generator=source)
        found |= _kept(name, seen)
        if case == _COMPARED_IN and name in _COMPARED:
            grid = process.geometric_grid(chosen["steps"])
            by_paths = by_trajectories(error, chosen["paths"], grid=grid, batch=2_000, generator=source)
            found |= _kept(f"{name}/by_trajectories", by_paths)
    return History((found,), x[:1])


def _kept(name: str, seen: Observability) -> dict[str, Tensor]:
    estimates = {"eta": seen.eta, "visible": seen.visible, "energy": seen.energy}
    found = {part: torch.tensor([one.value, one.stderr]) for part, one in estimates.items()}
    found |= {"evaluations": torch.tensor(seen.evaluations), "seconds": torch.tensor(seen.seconds)}
    return {f"{name}/{part}": value for part, value in found.items()}


_DRAWS = {"draws": 600, "pilot": 100, "steps": 200, "paths": 1_500, "t_min": 0.02, "t_max": 4.0, "runs": 1}
IMAGE_ERRORS = Experiment(
    "image-errors",
    "CIFAR-10: how much of an injected error is visible, by kind, size, number of pictures and early stop",
    {
        "quick": {
            "about": "two minutes",
            "size": 500,
            "draws": 50,
            "pilot": 20,
            "steps": 20,
            "paths": 50,
            "t_min": 0.02,
            "t_max": 4.0,
            "runs": 1,
        },
        "medium": {
            "about": "half an hour",
            "size": 10_000,
            **_DRAWS,
        },
        "paper": {
            "about": "an hour",
            "size": 50_000,
            **_DRAWS,
        },
    },
    partial(run_cases, run_image_errors, over={"case": tuple(IMAGE_CASES)}),
    axes=("case",),
)
