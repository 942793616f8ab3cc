"""What is wrong with somebody's diffusion model: usual mistakes, each looked for and named.

Readings of the network are compared on data (module ``model_trials``): as declared, and one usual mistake away. If
another fits better by five standard errors, that is the mistake; it is mended, and what is left is looked at again.
What is left has to obey two identities, for exact scores s of the law of X_t,

    E[s·X_t] = −d,        E[s·(s + ε/√v)] = 0,

and to denoise no worse than the score of a Gaussian. Other mistakes are not of reading: which weights are used, times
that are rounded on the way to the network, and a sampler that starts from the wrong law (module ``model_sampler``).

"Passed" means that the mistake would have been seen: every rival is worse by five standard errors. Where the data
cannot tell, or something was not passed, the verdict is "unknown".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.observability import loss_difference
from scoredrift.paths import Ancestral, StochasticIntegrator, stochastic
from scoredrift.pipelines.model_readings import _identities, _precision, _read
from scoredrift.pipelines.model_report import ModelFinding, ModelReport
from scoredrift.pipelines.model_sampler import _Sampler, _sampler, _start, _steps
from scoredrift.pipelines.model_trials import _clear
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import PredictedScore, Timesteps

_EARLIEST, _LATEST = 1e-3, 6.0  # times between which readings are compared


@_numerics.estimator
def check_model(
    score: PredictedScore,
    data: Tensor,
    *,
    generator: torch.Generator,
    sampler: Any = None,
    others: Mapping[str, Any] | None = None,
    tables: Mapping[str, Tensor] | None = None,
    process: OrnsteinUhlenbeck = OrnsteinUhlenbeck(),  # noqa: B008 — frozen
    integrator: StochasticIntegrator = Ancestral(),  # noqa: B008 — frozen
    levels: int = 8,
    tolerance: float = 0.02,
) -> ModelReport:
    """Look for the usual mistakes in a diffusion model, and name those that are found.

    Findings, in this order:

        prediction      noise, data, velocity, EDM's: what the network gives
        clock           time, σ, ¼ log σ, timesteps: what it is told
        offset          timesteps shifted by one
        schedule        the table of ᾱ by which timesteps are times
        data scale      [0, 255], [0, 1], [−1, 1], standardised
        channels        their order
        horizon         timesteps of another number, a sampler that starts below the last one
        time precision  times that are rounded to half precision
        fit             no worse than the score of a Gaussian
        identities      E[s·x] = −d, E[s·(s + ε/√v)] = 0
        weights         no set of others is better
        start law       KL(q_T‖N(0, I)), in nats
        steps           what the steps of the sampler cost beside infinitely many, in nats, down to the time of
                        its last reading (what a last step without noise does after that has no density)

    Args:
        score: network with what it is to predict, as the sampler uses it.
        data: x_0 as the network was given them, shape ``[n, d]``, some hundreds of points: of its training, or better
            held out.
        generator: source of the noise, on the device of the data.
        sampler: a scheduler of diffusers after ``set_timesteps``, or the readings that the network is told, in the
            order of sampling, ``[K]``, in the precision in which they are kept; None if there is none to look at.
        others: other sets of weights of the same network by name, such as ``{"average": ema_network}``.
        tables: further tables ᾱ that may be the right one, by name, each ``[K]``.
        process: times where the clock knows no ends.
        integrator: method by which the steps are priced.
        levels: number of levels of noise at which readings are compared, ≥ 2.
        tolerance: KL in nats that a start may cost; 0.02 are at most a tenth in total variation.

    Returns:
        ModelReport, to be printed.

    Raises:
        ValueError: bad input, such as fewer than 32 points, or a network that gives no numbers. What is wrong with
            the model is no error but a finding.

    >>> from scoredrift.laws import mixture_of_five
    >>> from scoredrift.scores import Flow, NoisePrediction, VelocityPrediction, as_network
    >>> law, g = mixture_of_five(2), torch.Generator().manual_seed(0)
    >>> network = as_network(Flow(law, OrnsteinUhlenbeck()), VelocityPrediction())
    >>> wrong = PredictedScore(network, NoisePrediction())
    >>> report = check_model(wrong, law.sample(200, generator=g), generator=g, tolerance=0.1)
    >>> report.failed
    ('prediction',)
    >>> print(report["prediction"].remedy)
    PredictedScore(network, VelocityPrediction(clock))
    """
    if not isinstance(score, PredictedScore):
        _checks.refuse("score", f"a {type(score).__name__}", "pass PredictedScore(network, prediction)")
    _checks.points("data", data)
    _checks.generator_on(generator, data.device)
    _checks.process(process)
    stochastic(integrator)
    levels = _checks.count("levels", levels, least=2)
    tolerance = _checks.number("tolerance", tolerance, low=0.0, open_low=True)
    if len(data) < 32 or data.shape[1] == 0:
        _checks.refuse("data.shape", list(data.shape), "pass 32 points or more, [n, d]")
    if not float(data.var(0).mean()) > 0:
        _checks.refuse("data", "all points the same", "pass data that vary")
    others = _named("others", others, lambda one: isinstance(one, PredictedScore) or callable(one))
    tables = {name: Timesteps(one).alphas_cumprod for name, one in _named("tables", tables, None).items()}
    taken = None if sampler is None else _sampler(sampler)
    span = _Span.of(score, process)
    times = span.levels(levels)
    noise = torch.randn((levels, *data.shape), generator=generator, dtype=data.dtype, device=data.device)
    found, mended, points = _read(score, data, times, noise, tables)
    found["horizon"] = _horizon(found["horizon"], taken, score, points, span, tolerance)
    found["time precision"] = _precision(score, data, taken)
    lost = found["fit"].verdict == "failed"
    found["identities"] = _identities(mended, points, times, noise, lost)
    found["weights"] = _weights(mended, others, points, span, generator, lost)
    end = mended.prediction.clock.t_max
    found["start law"] = _start_law(points, end if math.isfinite(end) else span.high, tolerance)
    found["steps"] = _priced(mended, points, taken, score, integrator, generator, lost)
    model = f"{type(score.prediction).__name__} by {type(score.prediction.clock).__name__}"
    return ModelReport(f"{model} on {len(data)} points, d = {data.shape[1]}", tuple(found.values()))


@dataclass(frozen=True)
class _Span:
    """Times of a network: from its clock, and from the process where the clock has no end."""

    low: float
    high: float

    @classmethod
    def of(cls, score: PredictedScore, process: OrnsteinUhlenbeck) -> _Span:
        clock = score.prediction.clock
        low = clock.t_min if clock.t_min > 0 else process.t_min
        high = clock.t_max if math.isfinite(clock.t_max) else process.t_max
        if not low < high:
            told = f"[{process.t_min}, {process.t_max}]"
            _checks.refuse("process", told, f"the clock goes from {clock.t_min:.4g} to {clock.t_max:.4g}")
        return cls(low, high)

    def levels(self, count: int) -> Tensor:
        """Times in equal ratios, from where little is left of the data to where details of them count."""
        high = min(self.high, max(_LATEST, 2 * self.low))
        low = max(self.low, min(_EARLIEST, high / 2))
        times = torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64)
        return times.clamp(low, high)


def _named(name: str, given: Any, fits: Any) -> dict[str, Any]:
    """A mapping from names, empty for None."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or any(fits is not None and not fits(one) for one in given.values()):
        _checks.refuse(name, f"a {type(given).__name__}", 'pass a dictionary, such as {"average": network}')
    return dict(given)


def _horizon(
    read: ModelFinding,
    taken: _Sampler | None,
    score: PredictedScore,
    points: Tensor,
    span: _Span,
    tolerance: float,
) -> ModelFinding:
    """Whether the sampler starts where the clock ends, and what it costs in nats if it does not."""
    if read.verdict == "failed":
        return read
    if taken is None:
        return replace(
            read,
            verdict="unknown",
            text="where the sampler starts was not looked at",
            remedy="pass sampler=scheduler, or the readings of its steps",
        )
    clock = score.prediction.clock
    first, last = float(taken.readings[0]), float(clock(span.high))
    rounding = first * torch.finfo(taken.dtype).eps if taken.dtype.is_floating_point else 0.0
    if isinstance(clock, Timesteps) and first > last + 0.5 + rounding:
        words = f"the sampler starts at timestep {first:g}, and the table ends at {last:g}"
        remedy = f"pass timesteps from {last:g} down; see num_train_timesteps and the offset"
        return ModelFinding("horizon", "failed", words, remedy=remedy)
    begins = float(taken.grid(clock)[0])
    start, end = _start(points, begins), _start(points, span.high)
    told = f"the sampler starts at reading {first:.4g} of {last:.4g}, t = {begins:.3g} of {span.high:.3g}"
    words = f"{told}: KL(q_t‖N(0, I)) = {start} nats, {end} at the end"
    excess = Estimate(start.value - end.value - tolerance, start.stderr)
    if begins < span.high * (1 - 1e-6) and _clear(excess):
        remedy = (
            "start at the last timestep: timestep_spacing='trailing', or 'linspace', in place of 'leading'"
        )
        return ModelFinding("horizon", "failed", words, start, "nats", remedy)
    if not isinstance(clock, Timesteps):
        return ModelFinding("horizon", "passed", words, start, "nats")
    return replace(read, text=f"{words}; {read.text}", measured=start, unit="nats")


def _weights(
    score: PredictedScore,
    others: Mapping[str, Any],
    points: Tensor,
    span: _Span,
    generator: torch.Generator,
    lost: bool,
) -> ModelFinding:
    """Whether the network that is used has the best of the sets of weights."""
    if not others:
        remedy = 'pass others={"average": network}, or {"raw": network}, with the same network otherwise'
        return ModelFinding("weights", "unknown", "other weights were not looked at", remedy=remedy)
    if lost:
        return ModelFinding("weights", "unknown", "nothing to compare while the network does not fit")
    process = OrnsteinUhlenbeck(span.low, span.high)
    gaps: dict[str, Estimate] = {}
    for name, other in others.items():
        rival = other if isinstance(other, PredictedScore) else replace(score, network=other)
        twice = loss_difference(score, rival, points, process, generator=generator)
        gaps[name] = 0.5 * twice
    name, gap = max(gaps.items(), key=lambda one: one[1].value)
    words = f"½ (ε*² − that of '{name}') = {gap} nats"
    if _clear(gap):
        text = f"the network that is used is worse than '{name}': {words}"
        remedy = (
            f"sample with the weights of '{name}' (an average of the weights is to be used, not the raw ones)"
        )
        return ModelFinding("weights", "failed", text, gap, "nats", remedy)
    if all(_clear(-one) for one in gaps.values()):
        return ModelFinding("weights", "passed", f"no other is better: {words}", gap, "nats")
    return ModelFinding("weights", "unknown", f"no difference seen: {words}", gap, "nats", "pass more points")


def _start_law(points: Tensor, end: float, tolerance: float) -> ModelFinding:
    """What is left of the data at the end of the clock."""
    found, left = _start(points, end), math.exp(-end / 2)
    words = f"KL(q_T‖N(0, I)) = {found} nats at T = {end:.3g}, where a = {left:.3g} of the signal is left"
    if _clear(found - tolerance):
        remedy = "rescale the table to zero terminal signal (rescale_betas_zero_snr) and train on, or start from q_T"
        return ModelFinding("start law", "failed", words, found, "nats", remedy)
    if _clear(tolerance - found):
        return ModelFinding("start law", "passed", words, found, "nats")
    return ModelFinding("start law", "unknown", words, found, "nats", "pass more points")


def _priced(
    mended: PredictedScore,
    points: Tensor,
    taken: _Sampler | None,
    score: PredictedScore,
    integrator: StochasticIntegrator,
    generator: torch.Generator,
    lost: bool,
) -> ModelFinding:
    """What the steps cost."""
    if taken is None:
        remedy = "pass sampler=scheduler, or the readings of its steps"
        return ModelFinding("steps", "unknown", "the error of the sampler was not looked at", remedy=remedy)
    grid = taken.grid(score.prediction.clock)
    clock = mended.prediction.clock
    grid = grid[(grid > 0) & (grid >= clock.t_min) & (grid <= clock.t_max)]
    if lost:
        return ModelFinding("steps", "unknown", "nothing to price while the network does not fit")
    if len(grid) < 2:
        return ModelFinding("steps", "unknown", "one step alone has no price: the last one adds no noise")
    found = _steps(mended, points, grid, integrator, generator)
    count, name = len(grid) - 1, type(integrator).__name__
    words = (
        f"{count} steps of {name} down to t = {float(grid[-1]):.2g} cost {found} nats beside infinitely many"
    )
    return ModelFinding("steps", "measured", words, found, "nats")
