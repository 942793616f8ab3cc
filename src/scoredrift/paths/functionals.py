"""Energies, martingales and log-ratios along simulated paths, step by step.

    ∫ ‖e‖² dt ≈ Σ ‖e(Y_k, t_k)‖² Δ_k,        M ≈ Σ √Δ_k e(Y_k, t_k)·ξ_k,        Z = M − ½ ∫ ‖e‖² dt.

They start afresh with every simulation.
"""

from __future__ import annotations

from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift.estimates import Estimate
from scoredrift.paths.integrators import Integrator, VectorField, stochastic
from scoredrift.paths.simulation import Step
from scoredrift.scores import Flow


class _Sum:
    """What functionals share that add one number for each path in every step, afresh in each simulation."""

    def __init__(self, error: VectorField) -> None:
        self.error = _an_error(error)
        self._sum: Tensor | None = None

    def begin(self, integrator: Integrator) -> None:
        """Forget an earlier simulation."""
        self._sum = None

    @property
    def values(self) -> Tensor:
        """Sum of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return _recorded(self._sum)


class Energy(_Sum):
    """Functional ∫ ‖e(Y_t, t)‖² dt along simulated paths, by the value at the start of each step.

    On paths of ŝ its mean is ε̂², on paths of s* it is ε*², up to the step size.

    Args:
        error: e(x, t), called with x ``[n, d]`` and a float t.

    >>> import torch
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.paths import EulerMaruyama
    >>> from scoredrift.paths import simulate
    >>> energy = Energy(ConstantField(torch.tensor([0.5])))
    >>> grid = OrnsteinUhlenbeck(1.0, 3.0).uniform_grid(4)
    >>> g = torch.Generator().manual_seed(0)
    >>> start, step = torch.zeros(2, 1), EulerMaruyama()
    >>> _ = simulate(lambda x, t: -x, start, grid, step, generator=g, functionals=[energy])
    >>> energy.values
    tensor([0.5000, 0.5000])
    """

    @_numerics.estimator
    def record(self, step: Step) -> None:
        """Add ‖e‖² Δ of one step, Δ = t − t_next.

        Args:
            step: the step, from ``simulate``.

        Raises:
            ValueError: an error of wrong shape, or another number of paths than before.
        """
        gap, e = _gap(step), _at(self.error, step)
        part = e.square().sum(1) * gap
        self._sum = _add(self._sum, part)

    def estimate(self) -> Estimate:
        """Mean energy over the paths, with its standard error.

        Raises:
            ValueError: nothing recorded yet, or fewer than two paths.

        >>> import torch
        >>> from scoredrift.scores import ConstantField
        >>> energy, x = Energy(ConstantField(torch.tensor([2.0]))), torch.zeros(2, 1)
        >>> energy.record(Step(x, 1.0, 0.5, x, x))
        >>> energy.estimate()
        Estimate(value=2.0, stderr=0.0)
        """
        return Estimate.from_samples(self.values)


class Martingale(_Sum):
    """Functional M = ∫ e·dB̄ along simulated paths, with B̄ the Brownian motion that drives them.

    On paths simulated with s* this is the score-error martingale of the theory, and
    ``Martingale.values − ½ Energy.values`` is the log-ratio Z = log dP̂/dP*, up to the step size.

    Args:
        error: e(x, t), called with x ``[n, d]`` and a float t.

    >>> import torch
    >>> from scoredrift.process import OrnsteinUhlenbeck
    >>> from scoredrift.scores import ConstantField
    >>> from scoredrift.paths import EulerMaruyama
    >>> from scoredrift.paths import simulate
    >>> m = Martingale(ConstantField(torch.tensor([1.0])))
    >>> grid = OrnsteinUhlenbeck(1.0, 3.0).uniform_grid(4)
    >>> g = torch.Generator().manual_seed(0)
    >>> start, step = torch.zeros(20_000, 1), EulerMaruyama()
    >>> _ = simulate(lambda x, t: -x, start, grid, step, generator=g, functionals=[m])
    >>> round(float(m.values.var()), 1)  # ∫ 1 dt
    2.0
    """

    def begin(self, integrator: Integrator) -> None:
        """Forget an earlier simulation.

        Raises:
            ValueError: a method without noise, along whose paths there is no B̄.
        """
        stochastic(integrator)
        super().begin(integrator)

    @_numerics.estimator
    def record(self, step: Step) -> None:
        """Add e·ΔB̄ = √Δ e·ξ of one step; how far ξ is the Brownian increment, see ``Step``.

        Args:
            step: the step, from ``simulate``.

        Raises:
            ValueError: an error of wrong shape, or another number of paths than before.
        """
        gap, e = _gap(step), _at(self.error, step)
        part = (e * step.noise).sum(1) * gap**0.5
        self._sum = _add(self._sum, part)


class LogRatio:
    """Functional Z = log dP̂/dP* = M − ½ ∫ ‖e‖² dt along paths of s*, with both of its parts.

    With Euler–Maruyama this is the exact log-ratio of the simulation with ŝ to that with s*, and with
    any method E[e^Z] = 1, whatever the step size.

    Args:
        error: e(x, t), called once a step with x ``[n, d]`` and a float t.

    >>> import torch
    >>> from scoredrift.scores import ConstantField
    >>> ratio, x = LogRatio(ConstantField(torch.tensor([2.0]))), torch.zeros(2, 1)
    >>> ratio.record(Step(x, 1.0, 0.75, torch.ones(2, 1), x))
    >>> ratio.martingales, ratio.energies, ratio.values  # √Δ e ξ, Δ e², and Z
    (tensor([1., 1.]), tensor([1., 1.]), tensor([0.5000, 0.5000]))
    """

    def __init__(self, error: VectorField) -> None:
        self.error = _an_error(error)
        self._martingale: Tensor | None = None
        self._energy: Tensor | None = None

    def begin(self, integrator: Integrator) -> None:
        """Forget an earlier simulation.

        Raises:
            ValueError: a method without noise, along whose paths there is no B̄.
        """
        stochastic(integrator)
        self._martingale = self._energy = None

    @_numerics.estimator
    def record(self, step: Step) -> None:
        """Add √Δ e·ξ and ‖e‖² Δ of one step, Δ = t − t_next.

        Args:
            step: the step, from ``simulate``.

        Raises:
            ValueError: an error of wrong shape, or another number of paths than before.
        """
        gap, e = _gap(step), _at(self.error, step)
        part, size = (e * step.noise).sum(1) * gap**0.5, e.square().sum(1) * gap
        self._martingale, self._energy = _add(self._martingale, part), _add(self._energy, size)

    @property
    def martingales(self) -> Tensor:
        """M of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return _recorded(self._martingale)

    @property
    def energies(self) -> Tensor:
        """∫ ‖e‖² dt of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return _recorded(self._energy)

    @property
    def values(self) -> Tensor:
        """Z of each path, shape ``[n]``.

        Raises:
            ValueError: nothing recorded yet.
        """
        return self.martingales - 0.5 * self.energies


def _gap(step: Step) -> float:
    """Length of a step, if its states, noise and times fit each other."""
    _checks.points("step.x", step.x)
    _checks.vectors("step.noise", _checks.points("step.noise", step.noise, like=step.x), step.x)
    t = _checks.number("step.t", step.t, low=0.0)
    gap = t - _checks.number("step.t_next", step.t_next, low=0.0)
    if not gap > 0:
        _checks.refuse("step.t_next", step.t_next, f"time runs down: pass a time below t = {t}")
    return gap


def _at(error: VectorField, step: Step) -> Tensor:
    return _checks.floating("error(x, t)", _numerics.evaluate(error, step.x, step.t, "error(x, t)"))


def _add(total: Tensor | None, part: Tensor) -> Tensor:
    """Sum over the steps of one simulation."""
    if total is not None and total.shape != part.shape:
        remedy = f"{len(total)} paths were recorded before: begin(integrator) starts another simulation"
        _checks.refuse("step.x.shape", f"[{len(part)}, d]", remedy)
    return part if total is None else total + part


def _recorded(total: Tensor | None) -> Tensor:
    if total is None:
        _checks.refuse("values", "empty", "pass this functional to simulate first")
    return total


def _an_error(error: VectorField) -> VectorField:
    """The error, if it is not the whole score of a flow, whose square would pass for an energy."""
    if isinstance(error, Flow):
        remedy = "a score is no error: pass flow.error(model); for its own size FunctionScore(flow)"
        _checks.refuse("error", error, remedy)
    return error
