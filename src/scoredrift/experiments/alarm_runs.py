"""Retraining loops whose distance from the data is known, watched by several alarms at once.

A learner fits mean and variance of each of d coordinates to n points of α p + (1−α) p̂^i, with p = N(0, I), and adds a
push that is always the same. What it generates is looked at, and is what the next generation is trained on: the chance
of its samples feeds back. With features x_j, x_j² a model N(μ, diag v) has

    χ² = Π_j exp(μ_j²/(2−v_j))/√(v_j (2−v_j)) − 1,        D = Σ_j μ_j² + ½ (v_j + μ_j² − 1)²,

which agree for small deviations. A loop with a gate never has χ² > D_0: a model that would is drawn back towards p
until χ² = D_0. A loop that is pushed against its gate stays at the very edge of what is tolerated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from scipy.stats import f as fisher
from torch import Tensor

from scoredrift import _checks
from scoredrift.datasets import frechet_distance, kernel_distance
from scoredrift.experiments.base import Experiment, run_cases
from scoredrift.experiments.retrainings import View
from scoredrift.generations import FreshFraction, Generation, History, Measured, recurse
from scoredrift.laws import Gaussian
from scoredrift.pipelines import Course, Evidence
from scoredrift.runs import generator_for

_DIM = 8


class Push(NamedTuple):
    """What becomes of loops of a kind.

    Args:
        least, most: drift that the push alone comes to in the end, in units of log(1 + D_0).
        gated: whether it is kept within the tolerance.

    >>> PUSHES["inside"].gated, PUSHES["fast"].gated
    (True, False)
    """

    least: float
    most: float
    gated: bool


PUSHES = {
    "inside": Push(0.0, 0.3, gated=True),
    "edge": Push(1.5, 6.0, gated=True),
    "slow": Push(1.2, 3.0, gated=False),
    "fast": Push(3.0, 8.0, gated=False),
    "calibration": Push(1.5, 6.0, gated=True),  # as at the edge, with other random numbers
}


@dataclass(frozen=True, eq=False)
class Spread:
    """N(μ, diag v).

    Args:
        mean: μ, ``[d]``.
        log_variance: log v, ``[d]``.

    >>> law = Spread(torch.tensor([0.3], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    >>> round(law.divergence, 6), round(math.expm1(0.09), 6), round(law.drift, 6)
    (0.094174, 0.094174, 0.09405)
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Points ``[n, d]``."""
        noise = torch.randn(n, len(self.mean), generator=generator, dtype=self.mean.dtype)
        return self.mean + noise * (0.5 * self.log_variance).exp()

    @property
    def divergence(self) -> float:
        """χ² against N(0, I); infinite where a variance is two or more."""
        v = self.log_variance.exp()
        if bool((v >= 2).any()):
            return math.inf
        exponent = self.mean.square() / (2 - v) - 0.5 * (v * (2 - v)).log()
        return float(torch.expm1(exponent.sum()))

    @property
    def drift(self) -> float:
        """D in the view of all x_j and x_j²."""
        surplus = self.log_variance.exp() + self.mean.square() - 1
        return float(self.mean.square().sum() + 0.5 * surplus.square().sum())

    def drawn_back(self, tolerance: float) -> Spread:
        """The law itself, or one between it and N(0, I) with χ² = D_0.

        Args:
            tolerance: D_0.
        """
        if self.divergence <= tolerance:
            return self
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            inside = Spread(middle * self.mean, middle * self.log_variance).divergence <= tolerance
            low, high = (middle, high) if inside else (low, middle)
        return Spread(low * self.mean, low * self.log_variance)


@dataclass(frozen=True, eq=False)
class PushedFit:
    """Mean and variance of each coordinate, and a push.

    Args:
        push: added to mean and log variance, ``[2, d]``.
        tolerance: D_0 of the gate; infinite without one.

    >>> fit = PushedFit(torch.ones(2, 1, dtype=torch.float64), 0.1)
    >>> x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    >>> round(fit(x, generator=torch.Generator()).divergence, 6)
    0.1
    """

    push: Tensor
    tolerance: float

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> Spread:
        """Model of a training set ``[n, d]``; fitting takes no randomness."""
        law = Spread(data.mean(0) + self.push[0], data.var(0).log() + self.push[1])
        return law.drawn_back(self.tolerance)


def hotelling(x: Tensor, y: Tensor) -> float:
    """Probability of so large a T² of two samples of one law, if their features were normal.

        T² = n n'/(n + n') (x̄ − ȳ)·S⁻¹ (x̄ − ȳ),        T² (N − m − 1)/((N − 2) m) ~ F(m, N − m − 1),  N = n + n'

    Args:
        x, y: features, ``[n, m]`` and ``[n', m]``.

    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = (torch.randn(500, 3, generator=g, dtype=torch.float64) for _ in range(2))
    >>> hotelling(x, y) > 1e-3, hotelling(x, y + 0.5) < 1e-6
    (True, True)
    """
    (n, m), k = x.shape, len(y)
    gap = x.mean(0) - y.mean(0)
    pooled = ((n - 1) * torch.cov(x.T).reshape(m, m) + (k - 1) * torch.cov(y.T).reshape(m, m)) / (n + k - 2)
    square = n * k / (n + k) * float(gap @ torch.linalg.solve(pooled, gap))
    return float(fisher.sf(square * (n + k - m - 1) / ((n + k - 2) * m), m, n + k - m - 1))


def kernel_permutations(x: Tensor, y: Tensor, permutations: int, *, generator: torch.Generator) -> float:
    """Probability of so large a kernel distance of two samples of one law, by exchanging their points.

        P = (1 + number of permutations that come as far)/(1 + permutations),  kernel (1 + x·y/m)³

    Args:
        x, y: features, both ``[n, m]``.
        permutations: their number.
        generator: of the permutations.

    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = (torch.randn(100, 2, generator=g, dtype=torch.float64) for _ in range(2))
    >>> kernel_permutations(x, y, 99, generator=g) > 0.01, kernel_permutations(x, y + 1, 99, generator=g)
    (True, 0.01)
    """
    both, n = torch.cat([x, y]), len(x)
    kernel = (1 + both @ both.T / x.shape[1]) ** 3
    signs = torch.ones(2 * n, permutations + 1, dtype=both.dtype)
    signs[n:] = -1.0
    for k in range(1, permutations + 1):
        signs[:, k] = signs[torch.randperm(2 * n, generator=generator), 0]
    # Sums over pairs of one kind less those over pairs of two: the distance rises with them on a straight line, the
    # sum over all pairs, and that of the diagonal, being always the same.
    found = (signs * (kernel @ signs)).sum(0)
    return float((found >= found[0] - 1e-12 * kernel.sum()).sum()) / (permutations + 1)


@dataclass(frozen=True, eq=False)
class Distances:
    """One look at a generation: where it is, and what tests and distances say.

    Args:
        data: features of points of the data, ``[N, m]``.
        view: features of points.
        part: points of each sample of the permutation test.
        permutations: their number.
        alone: only what an alarm is calibrated by.

    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(600, 8, generator=g, dtype=torch.float64)
    >>> law = Spread(torch.zeros(8).double(), torch.zeros(8).double())
    >>> look = Distances(View(8, squares=True)(x[:300]), View(8, squares=True), 100, 19)
    >>> sorted(look(Generation(0, x, law, x[300:], g, None)))
    ['drift', 'features', 'frechet', 'hotelling', 'kernel', 'permuted', 'within']
    """

    data: Tensor
    view: View
    part: int
    permutations: int
    alone: bool = False

    def __call__(self, generation: Generation) -> Measured:
        """Probabilities, distances, D, and features for whoever looks at all generations together."""
        law, features = generation.model, self.view(generation.drawn)
        found: dict[str, Any] = {
            "frechet": frechet_distance(self.data, features),
            "kernel": kernel_distance(self.data[: len(features)], features),
        }
        if self.alone:
            return found
        assert isinstance(law, Spread)
        few = (self.data[: self.part], features[: self.part])
        return found | {
            "drift": law.drift,
            "within": 1 / (1 + law.divergence),
            "hotelling": hotelling(self.data, features),
            "permuted": kernel_permutations(*few, self.permutations, generator=generation.generator),
            "features": features,
        }


def watch_run(
    settings: Mapping[str, Any],
    *,
    kind: str,
    run: int,
    seed: int,
    device: str,
    folder: Path | str | None,
    progress: bool,
) -> History:
    """One run of a loop with a push of random direction and size, under a random fresh fraction, and all alarms.

    Args:
        settings: an entry of the scales of ``PIPELINES_ALARMS``.
        kind: a name of ``PUSHES``.
        run, seed: fix the random numbers, with the kind.
        device: has to be cpu: the loops are small.
        folder: not used: a run takes a second.
        progress: as for ``recurse``.

    Returns:
        History. For each generation ``drift``, ``within`` = 1/(1 + χ²), ``evidence``: largest log W so far,
        probabilities ``hotelling`` and ``permuted``, distances ``frechet`` and ``kernel``; once for a run
        ``forecast``, ``[G − 2, 2]``: value and low of D of the last generation, from generation 2 on.

    >>> small = {"size": 400, "known": 500, "part": 50, "permutations": 19, "generations": 3, "tolerance": 0.2}
    >>> here = {"run": 0, "seed": 1, "device": "cpu", "folder": None, "progress": False}
    >>> bool((watch_run(small, kind="edge", **here)["within"] >= 1 / 1.2 - 1e-6).all())
    True
    """
    if torch.device(device).type != "cpu":
        _checks.refuse("device", device, "these loops are small; run them on the CPU")
    del folder
    tolerance, last, push = settings["tolerance"], settings["generations"], PUSHES[kind]
    place = list(PUSHES).index(kind)
    g = generator_for((seed, run), kind, "loop")
    alpha, share = torch.rand(2, generator=g, dtype=torch.float64).tolist()
    alpha = 0.1 + 0.4 * alpha
    wanted = (push.least + (push.most - push.least) * share) * math.log1p(tolerance)
    way = torch.randn(2, _DIM, generator=g, dtype=torch.float64)
    added = alpha * math.sqrt(wanted) * way / way.norm()
    added[1] *= math.sqrt(2.0)  # a change of log v by c is a deviation of c/√2
    view, unit = View(_DIM, squares=True), torch.eye(_DIM, dtype=torch.float64)
    target = Gaussian(0 * unit[0], unit)
    data = view(target.sample(settings["known"], generator=generator_for((seed, run), kind, "data")))
    history = recurse(
        PushedFit(added, tolerance if push.gated else math.inf),
        target,
        regime=FreshFraction(alpha),
        generations=last,
        size=settings["size"],
        seed=(seed, place, run),
        measure=Distances(data, view, settings["part"], settings["permutations"], kind == "calibration"),
        progress=progress,
    )
    if kind == "calibration":
        return History(tuple(_floats(one) for one in history.measured), history.drawn)
    evidence = Evidence.against(data, tolerance=tolerance)
    seen: list[Tensor] = []
    measured: list[dict[str, Tensor]] = []
    for one in history.measured:
        one = dict(one)
        features = one.pop("features")
        evidence = evidence.look(features)
        seen.append(features)
        measured.append(_floats(one | {"evidence": torch.tensor(evidence.highest)}))
    whole = Course.of(data, seen, alpha=alpha, reused=True)
    told = [first_generations(whole, k).forecast(last) for k in range(3, last + 1)]
    measured[0] |= {
        "forecast": torch.tensor([[ahead.value, ahead.low] for ahead in told]),
        "alpha": torch.tensor(alpha),
    }
    return History(tuple(measured), history.drawn)


def first_generations(course: Course, count: int) -> Course:
    """What was known of a run after its first generations; as ``Course.of`` for these.

    Args:
        course: of more generations.
        count: how many.

    >>> g = torch.Generator().manual_seed(0)
    >>> data, *seen = torch.randn(5, 90, 2, generator=g, dtype=torch.float64)
    >>> one, other = first_generations(Course.of(data, seen, alpha=0.5), 3), Course.of(data, seen[:3], alpha=0.5)
    >>> torch.allclose(one.products, other.products)
    True
    """
    return Course(course.products[:, :count, :count], course.alpha, course.features)


def _floats(one: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() for name, value in one.items()}


_KINDS = tuple(PUSHES)
_SIZES = {
    "size": 1_500,
    "known": 8_000,
    "part": 200,
    "permutations": 399,
    "tolerance": 0.2,
    "generations": 19,
}
PIPELINES_ALARMS = Experiment(
    "pipelines-alarms",
    "Stable and drifting retraining loops with twenty looks: how often alarms are false, and how late",
    {
        "quick": {"about": "ten seconds", **_SIZES, "known": 3_000, "permutations": 19, "runs": 2},
        "medium": {"about": "half an hour", **_SIZES, "runs": 250},
    },
    partial(run_cases, watch_run, over={"kind": _KINDS}),
    axes=("kind",),
)
