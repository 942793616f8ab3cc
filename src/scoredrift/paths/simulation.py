"""Paths of the reverse process: exact ones by time reversal, simulated ones step by step.

If the score is exact and Y_T ~ q_T, the path (Y_t) of the reverse process has the law of the
forward path read backwards (Anderson 1982). So for the exact score no simulation is needed:
``exact_paths``. A learned score has to be simulated: ``simulate``.

There is one loop, ``simulate``. What happens in a step is the integrator's business; what is
measured along the way is the functionals' business, and the loop knows neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from scoredrift import _checks, _numerics
from scoredrift.paths.integrators import Integrator, VectorField
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores import Flow


class Step(NamedTuple):
    """What a functional sees of one step from time t down to t_next, with Δ = t − t_next.

    √Δ ξ is the increment of the Brownian motion B̄ that drives the simulation: exactly for
    Euler–Maruyama; for the exponential integrator up to a correlation of 1 − Δ²/96; for the ancestral
    sampler, near t = 0, of 1 − (log t/t_next)²/24 (leading orders). ``HeunFlow`` ignores ξ, so
    functionals of the noise mean nothing there.

    Args:
        x, x_next: states before and after the step, shape ``[n, d]``.
        t, t_next: their times.
        noise: standard Gaussian ξ of the step, shape ``[n, d]``.

    >>> x = torch.zeros(1, 1)
    >>> Step(x, 1.0, 0.5, x, x).t_next
    0.5
    """

    x: Tensor
    t: float
    t_next: float
    noise: Tensor
    x_next: Tensor


class Functional(Protocol):
    """Something recorded along simulated paths, without the simulator knowing what.

    Any object with the two methods is one:

    >>> class Variation:  # Σ ‖y' − y‖² of each path
    ...     def begin(self, integrator):
    ...         self.values = 0.0
    ...     def record(self, step):
    ...         self.values = self.values + (step.x_next - step.x).square().sum(1)
    >>> recorder: Functional = Variation()
    """

    def begin(self, integrator: Integrator) -> None:
        """Forget what was recorded: a simulation by this method begins.

        Raises:
            ValueError: a method along whose paths the functional means nothing.
        """

    def record(self, step: Step) -> None:
        """Take note of one step; called in the order of generation."""


class Trajectory:
    """Functional that keeps the whole path: states ``[K + 1, n, d]`` on the grid.

    >>> from scoredrift.paths import EulerMaruyama
    >>> path = Trajectory()
    >>> grid = OrnsteinUhlenbeck().uniform_grid(4)
    >>> g = torch.Generator().manual_seed(0)
    >>> start, step = torch.zeros(3, 2), EulerMaruyama()
    >>> end = simulate(lambda x, t: -x, start, grid, step, generator=g, functionals=[path])
    >>> path.states.shape, bool((path.states[-1] == end).all())
    (torch.Size([5, 3, 2]), True)
    """

    def __init__(self) -> None:
        self._states: list[Tensor] = []

    def begin(self, integrator: Integrator) -> None:
        """Forget the states of an earlier simulation."""
        self._states = []

    def record(self, step: Step) -> None:
        """Keep the state after the step (and, once, the state before the first).

        Raises:
            ValueError: states of another shape than those before.
        """
        if self._states:
            _checks.vectors("step.x_next", step.x_next, self._states[0])
        if not self._states:
            self._states.append(step.x)
        self._states.append(step.x_next)

    @property
    def states(self) -> Tensor:
        """States, shape ``[K + 1, n, d]``, from T down to t0.

        Raises:
            ValueError: nothing recorded yet.
        """
        if not self._states:
            _checks.refuse("states", "empty", "pass this functional to simulate first")
        return torch.stack(self._states)


@_numerics.estimator
def simulate(
    score: VectorField,
    x: Tensor,
    grid: Tensor,
    integrator: Integrator,
    *,
    generator: torch.Generator,
    functionals: Sequence[Functional] = (),
    progress: bool = False,
) -> Tensor:
    """Run the reverse process from x at grid[0] down to grid[-1].

    Args:
        score: s(x, t), called without gradients, with x ``[n, d]`` and a float t; a network with t ``[n]``.
        x: states at the first time of the grid, shape ``[n, d]``.
        grid: decreasing times, shape ``[K + 1]``, K ≥ 1.
        integrator: numerical method of one step.
        generator: source of the Gaussian draws, on the device of ``x``.
        functionals: objects whose ``begin`` is called before the first step and ``record`` after every
            step, so that they start afresh with each simulation.
        progress: show a progress bar.

    Returns:
        States at the last time of the grid, shape ``[n, d]``.

    Raises:
        ValueError: x that is not a batch of finite points, a generator on another device, a grid that
            does not decrease, a method without ``step``, a score or step of wrong shape, functionals that are
            no sequence, one without ``begin`` or listed twice, or a path that leaves the finite numbers
            (named with the time at which it did).

    >>> from scoredrift.paths import EulerMaruyama
    >>> ou = OrnsteinUhlenbeck()
    >>> g = torch.Generator().manual_seed(0)
    >>> start = torch.randn(1000, 2, generator=g)
    >>> y = simulate(lambda x, t: -x, start, ou.uniform_grid(50), EulerMaruyama(), generator=g)
    >>> bool((y.var(0) - 1).abs().max() < 0.2)
    True
    """
    _checks.points("x", x)
    _checks.generator_on(generator, x.device)
    times = decreasing(grid)
    _method(integrator)
    _begin(functionals, integrator)
    x, field = x.detach(), _checked(score)
    for t, t_next in tqdm(list(pairwise(times)), disable=not progress, desc="reverse"):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        x_next = _checks.vectors("integrator.step(…)", integrator.step(field, x, t, t_next, noise), x)
        if not _checks.finite(x_next):
            _checks.refuse(
                "x",
                f"NaN or infinite after the step from t = {t:.4g} to {t_next:.4g}",
                "use a finer grid there, or check the score",
            )
        for functional in functionals:
            functional.record(Step(x, t, t_next, noise, x_next))
        x = x_next
    return x


def _checked(score: VectorField) -> VectorField:
    """The score, its values in the shape and dtype of the points."""
    return lambda x, t: _numerics.evaluate(score, x, t, "score(x, t)")


def _method(integrator: Integrator) -> None:
    if isinstance(integrator, type) or not callable(getattr(integrator, "step", None)):
        _checks.refuse("integrator", repr(integrator), "pass an object with a step, such as EulerMaruyama()")


def _begin(functionals: Sequence[Functional], integrator: Integrator) -> None:
    _checks.listed("functionals", functionals)
    if len({id(functional) for functional in functionals}) < len(functionals):
        _checks.refuse(
            "functionals", "the same object twice", "pass each once, or it records every step twice"
        )
    for functional in functionals:
        if isinstance(functional, type) or not hasattr(functional, "begin"):
            remedy = "give it begin(integrator), in which it forgets what it recorded in another simulation"
            _checks.refuse("functionals", f"{type(functional).__name__} without begin", remedy)
        functional.begin(integrator)


def decreasing(grid: Tensor) -> list[float]:
    """Grid as a list of floats, if it has at least two times and decreases strictly.

    Args:
        grid: times ≥ 0, float32 or float64, shape ``[K + 1]``, K ≥ 1.

    Returns:
        The same times, in the same order.

    Raises:
        ValueError: any other grid.

    >>> decreasing(torch.tensor([3.0, 1.0]))
    [3.0, 1.0]
    """
    _checks.floating("grid", grid)
    if grid.ndim != 1 or grid.numel() < 2 or not bool((grid[:-1] > grid[1:]).all()) or bool(grid[-1] < 0):
        shown = grid.tolist() if grid.numel() < 8 else f"shape {list(grid.shape)}"
        remedy = "pass K + 1 ≥ 2 strictly decreasing times ≥ 0, as process.uniform_grid(K) gives"
        _checks.refuse("grid", shown, remedy)
    return [float(t) for t in grid.detach()]


def spanning(grid: Tensor, process: OrnsteinUhlenbeck) -> list[float]:
    """Grid as a list of floats, if it decreases from T to t0.

    Args:
        grid: times, shape ``[K + 1]``, K ≥ 1.
        process: gives T and t0.

    Returns:
        The same times, in the same order.

    Raises:
        ValueError: a grid that does not decrease, or does not run from T to t0.

    >>> spanning(torch.tensor([3.0, 2.0, 1.0]), OrnsteinUhlenbeck(1.0, 3.0))
    [3.0, 2.0, 1.0]
    """
    times = decreasing(grid)
    _checks.process(process)
    if not (abs(times[0] - process.t_max) < 1e-6 and abs(times[-1] - process.t_min) < 1e-6):
        wanted = f"run it from T = {process.t_max} to t0 = {process.t_min}"
        _checks.refuse("grid", f"from {times[0]} to {times[-1]}", wanted)
    return times


@_numerics.estimator
def exact_paths(flow: Flow, grid: Tensor, n: int, *, generator: torch.Generator) -> Tensor:
    """Draw exact paths of the ideal reverse process P* on a grid, without a solver.

    One draw X_0 ~ q and one Gaussian draw for each time: X_{t'} given X_t is
    N(a(t'−t) X_t, v(t'−t) I). There is no step size and no bias, whatever the grid.
    Source: time reversal of diffusions, Anderson 1982.

    Args:
        flow: the law at time 0 with its process.
        grid: decreasing times in [0, T], shape ``[K + 1]``, as for ``simulate``.
        n: number of paths.
        generator: source of randomness, on the device of the law.

    Returns:
        States ``[K + 1, n, d]`` in the order of the grid (noise first, data last).

    Raises:
        ValueError: a law without its process, a grid that does not decrease or leaves [0, T], n < 1, or a
            generator on another device.

    >>> from scoredrift.laws import mixture_of_five
    >>> flow = Flow(mixture_of_five(), OrnsteinUhlenbeck())
    >>> g = torch.Generator().manual_seed(0)
    >>> exact_paths(flow, flow.process.uniform_grid(4), 3, generator=g).shape
    torch.Size([5, 3, 10])
    """
    if not isinstance(flow, Flow):
        _checks.refuse("flow", type(flow).__name__, "pass a law with its process, Flow(law, process)")
    times, process = decreasing(grid)[::-1], flow.process
    _checks.number("grid[0]", times[-1], low=0.0, high=process.t_max * (1 + 1e-6))
    x = flow.law.sample(n, generator=generator)
    states = []
    for before, now in pairwise([0.0, *times]):
        x = process.diffuse(x, before, now, generator=generator)
        states.append(x)
    return torch.stack(states[::-1])


@_numerics.estimator
def evolve_density(
    score: VectorField, density: Tensor, nodes: Tensor, grid: Tensor, integrator: Integrator
) -> Tensor:
    """Law of the simulated process in one dimension, by quadrature instead of samples.

    Each step of a stochastic integrator is Y' = m(Y) + s ξ, so the density of Y' is
    ∫ p(y) N(y'; m(y), s²) dy, a matrix product on equally spaced nodes: a rectangle sum, equal to the
    trapezoidal rule where p vanishes at the ends, and spectrally accurate for smooth p and m while
    the nodes cover the law and resolve s.

    Args:
        score: s(x, t).
        density: density at grid[0] on the nodes, shape ``[m]``.
        nodes: equally spaced points, shape ``[m]``, float64.
        grid: decreasing times, shape ``[K + 1]``.
        integrator: a stochastic integrator.

    Returns:
        Density at grid[-1] on the nodes, shape ``[m]``.

    Raises:
        ValueError: an integrator without noise, nodes that are not equally spaced, too coarse to
            resolve its noise, or lose more than 1e-6 of the mass; a negative density; a bad grid.

    >>> from scoredrift.paths import EulerMaruyama
    >>> nodes = torch.linspace(-6, 6, 241, dtype=torch.float64)
    >>> normal = torch.exp(-nodes**2 / 2) / (2 * torch.pi) ** 0.5
    >>> grid = OrnsteinUhlenbeck().uniform_grid(20)
    >>> end = evolve_density(lambda x, t: -x, normal, nodes, grid, EulerMaruyama())
    >>> bool(abs(end.sum() * 0.05 - 1) < 1e-6)
    True
    """
    spacing = _checks.spacing("nodes", nodes)
    _checks.density("density", density, nodes)
    y, score = nodes[:, None], _checked(score)
    times = decreasing(grid)
    for t, t_next in pairwise(times):
        centre = _checks.vectors(
            "integrator.step(…)", integrator.step(score, y, t, t_next, torch.zeros_like(y)), y
        )
        shift = integrator.step(score, y[:1], t, t_next, torch.ones_like(y[:1])) - centre[:1]
        sd = float(shift)
        if sd < spacing:
            remedy = f"the step at t = {t:.4g} has noise {sd:.3g}: use finer nodes, a stochastic integrator"
            _checks.refuse("nodes", f"spacing {spacing:.3g}", remedy)
        z = (nodes[:, None] - centre.T) / sd
        # Cut at e^{−100}: smaller terms are subnormal numbers, which are slow and count for nothing.
        kernel = z.square_().mul_(-0.5).clamp_(min=-100).exp_()
        density = kernel @ density * (spacing / (sd * (2 * torch.pi) ** 0.5))
    lost = abs(float(density.sum()) * spacing - 1)
    if lost > 1e-6:
        covered = f"[{float(nodes[0]):.3g}, {float(nodes[-1]):.3g}]"
        _checks.refuse("nodes", covered, f"{lost:.1e} of the mass is lost: widen or refine the nodes")
    return density
