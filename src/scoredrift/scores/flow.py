"""A law with its forward process, and the errors of learned scores against its score.

    q_t = law of X_t,  X_0 ~ q,        s*(x, t) = ∇ log q_t(x),        e = ŝ − s*.

Energies, observability and path ratios start from an error whose exact score is a ``Flow``: it says where
the points come from, and between which times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.laws import Evaluation, Law
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.scores.arithmetic import Field, Score
from scoredrift.scores.errors import ErrorField, InjectedField, ScoreDifference


@dataclass(frozen=True, eq=False, repr=False)
class Flow(Field):
    """A law and its forward process as one object: draws of X_t, densities q_t, and the score ∇ log q_t.

    With the law of the data the score is s*; with a kernel-density estimate it is the learned ŝ of the
    mixture experiment. ``flow.error(model)`` is the error of another score against it, which carries law
    and process along, so that they cannot disagree. Methods take x ``[n, d]`` and t ``[]`` or ``[n]``.

    Args:
        law: law q of X_0: a Gaussian mixture, a kernel density, a blend of such.
        process: forward process; times outside its [t0, T] are refused.

    Raises:
        ValueError: on a call, times outside [t0, T] or points that do not fit the law in
            shape, dtype or device, or are not finite.

    >>> from scoredrift.laws import GaussianMixture
    >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    >>> Flow(q, OrnsteinUhlenbeck())(torch.tensor([[1.0, -2.0]]), 0.5)
    tensor([[-1.,  2.]])
    """

    law: Law
    process: OrnsteinUhlenbeck

    def __post_init__(self) -> None:
        _checks.able("law", self.law, "at")
        _checks.process(self.process)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.law.dim

    def error(self, learned: Score) -> ScoreDifference:
        """Error e = ŝ − ∇ log q_t of a learned score against this flow.

        Args:
            learned: ŝ, a network in ``FunctionScore``, another flow, or any field with a divergence.

        Returns:
            ScoreDifference.

        Raises:
            ValueError: another flow of another process or dimension.

        >>> from scoredrift.laws import mixture_of_three
        >>> flow = Flow(mixture_of_three(), OrnsteinUhlenbeck())
        >>> blurred = Flow(mixture_of_three().blur(0.1), OrnsteinUhlenbeck())
        >>> flow.error(blurred)(torch.zeros(1, 1, dtype=torch.float64), 0.5).shape
        torch.Size([1, 1])
        """
        if isinstance(learned, Flow):
            if learned.process != self.process:
                _checks.refuse(
                    "learned.process", learned.process, f"this flow has {self.process}: take one of them"
                )
            if learned.dim != self.dim:
                _checks.refuse("learned.dim", learned.dim, f"this flow has dimension {self.dim}")
        return ScoreDifference(learned, self)

    def inject(self, field: Score) -> InjectedField:
        """Error e that is added to the score of this flow, ŝ = ∇ log q_t + e.

        Args:
            field: e, any field with a divergence.

        Returns:
            InjectedField.

        >>> from scoredrift.laws import mixture_of_three
        >>> from scoredrift.scores import FunctionScore
        >>> flow = Flow(mixture_of_three(), OrnsteinUhlenbeck())
        >>> flow.inject(FunctionScore(lambda x, t: 0.3 * x)).divergence(torch.zeros(1, 1), 1.0)
        tensor([0.3000])
        """
        return InjectedField(field, self)

    def marginal(self, t: float | None = None) -> Law:
        """Law q_t of X_t; by default q_{t0}, which an ideal model generates.

        Args:
            t: time in [t0, T]; t0 if None.

        Returns:
            Law: a mixture if the law is one.

        Raises:
            ValueError: a time outside [t0, T].

        >>> from scoredrift.laws import mixture_of_three
        >>> Flow(mixture_of_three(), OrnsteinUhlenbeck()).marginal().dim
        1
        """
        when = self.process.t_min if t is None else t
        return self.law.diffuse(_checks.number("t", when, low=self.process.t_min, high=self.process.t_max))

    def sample(self, n: int, t: float | Tensor | None = None, *, generator: torch.Generator) -> Tensor:
        """Draw n independent points of q_t, exactly: X_0 from the law, then one Gaussian step.

        Args:
            n: number of points ≥ 1.
            t: time in [0, T], shape ``[]`` or ``[n]``; t0 if None.
            generator: source of randomness, on the device of the law.

        Returns:
            Points, shape ``[n, d]``.

        Raises:
            ValueError: n < 1, times outside [0, T], a generator on another device.

        >>> from scoredrift.laws import mixture_of_three
        >>> g = torch.Generator().manual_seed(0)
        >>> Flow(mixture_of_three(), OrnsteinUhlenbeck()).sample(3, generator=g).shape
        torch.Size([3, 1])
        """
        x = self.law.sample(n, generator=generator)
        return self.process.diffuse(x, 0.0, self.process.t_min if t is None else t, generator=generator)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Value ∇ log q_t(x), shape ``[n, d]``."""
        return self.at(x, t).score

    def divergence(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Divergence ∇·∇ log q_t(x), shape ``[n]``; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).divergence(torch.zeros(1, 2), 0.5)
        tensor([-2.])
        """
        return self.at(x, t).score_divergence

    def value_and_divergence(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Value and divergence from one evaluation; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).value_and_divergence(torch.ones(1, 2), 0.5)
        (tensor([[-1., -1.]]), tensor([-2.]))
        """
        found = self.at(x, t)
        return found.score, found.score_divergence

    def log_density(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Log-density log q_t(x) in nats, shape ``[n]``; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).log_density(torch.zeros(1, 2), 0.5)
        tensor([-1.8379])
        """
        return self.at(x, t).log_density

    def at(self, x: Tensor, t: float | Tensor) -> Evaluation:
        """Log-density, score and divergence from one evaluation; arguments as for the class.

        >>> from scoredrift.laws import GaussianMixture
        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> Flow(q, OrnsteinUhlenbeck()).at(torch.zeros(1, 2), 0.5).score_divergence
        tensor([-2.])
        """
        _checks.points("x", x)
        when = _checks.times("t", t, x, self.process.t_min, self.process.t_max)
        found = self.law.at(x, when)
        _checks.vectors("law.at(x, t).score", found.score, x)
        _checks.shape("law.at(x, t).score_divergence", found.score_divergence, [len(x)])
        _checks.shape("law.at(x, t).log_density", found.log_density, [len(x)])
        return found


def flow_of(error: ErrorField) -> Flow:
    """Flow that an error is an error against: where points come from, and between which times.

    Args:
        error: ``Flow(law, process).error(model)`` or ``.inject(field)``.

    Returns:
        Its exact score.

    Raises:
        ValueError: anything else, such as a bare field, or an error against a score of unknown law.

    >>> from scoredrift.laws import mixture_of_three
    >>> flow = Flow(mixture_of_three(), OrnsteinUhlenbeck())
    >>> flow_of(flow.error(flow)) is flow
    True
    """
    exact = getattr(error, "exact", None)
    if not isinstance(exact, Flow):
        found = type(error).__name__ if exact is None else f"one against {type(exact).__name__}"
        remedy = "the law of the points is not known: use Flow(law, process).error(model) or .inject(field)"
        _checks.refuse("error", found, remedy)
    return exact


def learned_flow_of(error: ErrorField) -> Flow:
    """Flow whose score was learned, for errors of one flow against another of the same process.

    Args:
        error: ``Flow(law, process).error(Flow(model, process))``.

    Returns:
        Its learned score.

    Raises:
        ValueError: a learned score that is no flow: its paths have to be simulated.

    >>> from scoredrift.laws import mixture_of_three
    >>> flow = Flow(mixture_of_three(), OrnsteinUhlenbeck())
    >>> learned_flow_of(flow.error(flow)) is flow
    True
    """
    exact, learned = flow_of(error), error.learned
    if not isinstance(learned, Flow):
        remedy = "its law is not known: simulate its paths, with the functional Energy or LogRatio"
        _checks.refuse("error.learned", type(learned).__name__, remedy)
    if learned.process != exact.process:
        _checks.refuse("error.learned.process", learned.process, f"the exact flow has {exact.process}")
    return learned
