"""Kernel-density estimates: the learned model of the source paper's mixture experiment.

The estimate from N points c_j with bandwidth h is the law Σ_j w_j N(c_j, h² I). Its
Ornstein–Uhlenbeck flow is of the same kind, with centres a c_j and variance

    v_h(t) = a(t)² h² + v(t),

so its score is known at every time: with responsibilities r_j ∝ w_j e^{−‖x − a c_j‖²/2v_h},

    ŝ(x, t) = (Σ_j r_j a c_j − x)/v_h,    ∇·ŝ = (a/v_h)² Σ_j r_j ‖c_j − Σ_k r_k c_k‖² − d/v_h.

Both, and the density, come from one pass of attention (``scoredrift.attention``) with y = x/a and gain
a²/v_h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoredrift import _checks, _numerics, attention
from scoredrift import process as ou
from scoredrift.laws.base import Evaluation, Law, elapsed, summary


@dataclass(frozen=True, eq=False, repr=False)
class KernelDensity(Law):
    """Law Σ_j w_j N(c_j, h² I): a Gaussian of width h around every centre.

    float32 centres are evaluated in float32, with a relative error of the score below 1e-5 in the book's
    experiments, float64 ones in float64. Where rounding may show, by about 0.1 % in float32, as for narrow
    bandwidths or far queries, a slower route keeps the digits. No N × M matrix is stored, so millions of
    centres fit. Of many centres, those without weight are passed over where one can know it
    (``attention.pruned_moments``).

    Args:
        centres: c, shape ``[N, d]``, in the units of the data.
        bandwidth: h > 0, in the same units.
        weights: w, positive, sum one, shape ``[N]``; None for 1/N.
        tolerance: ≥ 0, bound on what is passed over, in the score in units of 1/√v_h, in its divergence of 1/v_h, and
            in the log-density; None for the rounding of a number near one, 0 for nothing.

    Raises:
        ValueError: no centres, NaN, h ≤ 0, a negative tolerance, or weights that do not fit, are not positive or do not
            sum to one.

    >>> model = KernelDensity(torch.tensor([[-1.0], [1.0]]), bandwidth=0.5)
    >>> model.score(torch.tensor([[0.0], [3.0]]))
    tensor([[ 0.],
            [-8.]])
    """

    centres: Tensor
    bandwidth: float
    weights: Tensor | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        _checks.points("centres", self.centres)
        if self.centres.numel() == 0:
            _checks.refuse("centres.shape", list(self.centres.shape), "pass N ≥ 1 centres in R^d, [N, d]")
        bandwidth = _checks.width("bandwidth", self.bandwidth)
        object.__setattr__(self, "bandwidth", bandwidth)
        if self.tolerance is not None:
            _checks.number("tolerance", self.tolerance, low=0.0)
        if self.weights is None:
            return
        n = len(self.centres)
        _checks.floating("weights", self.weights)
        if self.weights.shape != (n,):
            _checks.refuse("weights.shape", list(self.weights.shape), f"pass one for each centre, [{n}]")
        _checks.points("weights", self.weights[None], like=self.centres)
        if not _checks.holds(self.weights > 0):
            lowest = float(self.weights.min())
            _checks.refuse("weights", lowest, "weights are positive; leave out centres without weight")
        _checks.sum_to_one("weights", self.weights)

    def __repr__(self) -> str:
        count = len(self.centres)
        return summary(self, f"{count} centre{'' if count == 1 else 's'}", f"h = {self.bandwidth:g}")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.centres.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the centres, and so of all results."""
        return self.centres.dtype

    @property
    def device(self) -> torch.device:
        """Where the centres live."""
        return self.centres.device

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> KernelDensity:
        """The same estimate on another device or in another precision.

        Args:
            device: new device; None keeps the old one.
            dtype: float32 or float64; None keeps the old one.

        Raises:
            ValueError: another dtype, or a CUDA device without room for the centres.

        >>> KernelDensity(torch.zeros(1, 2), 1.0).to(dtype=torch.float64).dtype
        torch.float64
        """
        on_cuda = str(device).startswith("cuda")
        _checks.target(None if on_cuda else device, dtype)
        width = torch.empty((), dtype=dtype or self.dtype).element_size()
        if device is not None and on_cuda:
            _room_for(self.centres.numel() * width, len(self.centres), torch.device(device))
        weights = self.weights
        if weights is not None:
            weights = weights.to(device=device, dtype=dtype)
            weights = weights / weights.sum()
        return KernelDensity(
            self.centres.to(device=device, dtype=dtype), self.bandwidth, weights, self.tolerance
        )

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points: a centre with probability w_j, then c_j + h ξ.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the centres.

        Returns:
            Points, shape ``[n, d]``.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.

        >>> model = KernelDensity(torch.zeros(5, 2), 1.0)
        >>> model.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
        """
        _checks.count("n", n)
        _checks.generator_on(generator, self.device)
        if self.weights is None:
            chosen = torch.randint(len(self.centres), (n,), generator=generator, device=self.device)
        else:  # by inversion, since torch.multinomial stops at 2^24 categories
            u = torch.rand(n, generator=generator, dtype=torch.float64, device=self.device)
            edges = self.weights.double().cumsum(0)
            chosen = torch.searchsorted(edges, u * edges[-1]).clamp(max=len(edges) - 1)
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        return self.centres[chosen] + self.bandwidth * noise

    @_numerics.own_precision
    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence for the law of X_t when X_0 follows the estimate.

        Args:
            x: points, shape ``[n, d]``, in the dtype and on the device of the centres.
            t: time of the Ornstein–Uhlenbeck flow, ≥ 0, shape ``[]`` or ``[n]``.

        Returns:
            Evaluation: log q_t ``[n]``, ∇ log q_t ``[n, d]``, ∇·∇ log q_t ``[n]``.

        Raises:
            ValueError: points of another shape, dtype or device, or not finite; negative times.

        >>> KernelDensity(torch.zeros(5, 1), 1.0).at(torch.ones(1, 1), 2.0).score
        tensor([[-1.]])
        """
        _checks.points("x", x, self.dim, like=self.centres)
        when = elapsed(t, x).expand(len(x), 1)
        a = ou.scale(when)
        v_h = a**2 * self.bandwidth**2 + ou.variance(when)
        gain = (a**2 / v_h)[:, 0]
        _checks.representable(gain.log(), gain)
        seen = self._moments(x / a, gain)
        total = math.log(len(self.centres)) if self.weights is None else 0.0
        log_density = seen.log_sum - total - 0.5 * self.dim * torch.log(2 * math.pi * v_h[:, 0])
        divergence = ((a / v_h) ** 2)[:, 0] * seen.scatter - self.dim / v_h[:, 0]
        _checks.representable(log_density, divergence)
        return Evaluation(log_density, a / v_h * seen.shift, divergence)

    def _moments(self, y: Tensor, gain: Tensor) -> attention.Moments:
        large = self.tolerance != 0 and attention.worth_an_index(
            len(y), len(self.centres), self.dim, self.device
        )
        inputs = (y, gain, self.centres) if self.weights is None else (y, gain, self.centres, self.weights)
        if large and not _checks.followed(*inputs):
            return attention.pruned_moments(y, gain, self._index, tolerance=self.tolerance).moments
        return attention.softmax_moments(y, gain, self.centres, self._log_weights)

    @property
    def _log_weights(self) -> Tensor | None:
        return None if self.weights is None else self.weights.log()

    @cached_property
    def _index(self) -> attention.CentreIndex:
        return attention.centre_index(self.centres, self._log_weights)

    def diffuse(self, t: float) -> KernelDensity:
        """Law of X_t when X_0 follows the estimate: c → a c, h² → a² h² + v.

        Args:
            t: time ≥ 0.

        Returns:
            The estimate at time t: at t0 this is the law that the model generates.

        Raises:
            ValueError: t that is negative or not finite.

        >>> round(KernelDensity(torch.ones(1, 1), 0.6).diffuse(0.02).bandwidth, 4)
        0.6105
        """
        when = torch.tensor(_checks.number("t", t, low=0.0), dtype=torch.float64)
        a, v = float(ou.scale(when)), float(ou.variance(when))
        width = math.sqrt(a**2 * self.bandwidth**2 + v)
        return KernelDensity(a * self.centres, width, self.weights, self.tolerance)


def _room_for(needed: int, n: int, device: torch.device) -> None:
    try:
        free, _ = torch.cuda.mem_get_info(device)
    except (RuntimeError, AssertionError) as error:
        _checks.refuse(
            "device", device, f"{str(error).splitlines()[0]}; pass cpu, or a device that torch sees"
        )
    if 2 * needed > free:  # the centres, and as much again for sorting and temporaries
        gib = 2 * needed / 2**30
        remedy = f"{gib:.3g} GiB are needed and {free / 2**30:.3g} GiB are free; use fewer, or float32"
        _checks.refuse("centres", f"{n} on {device}", remedy)
