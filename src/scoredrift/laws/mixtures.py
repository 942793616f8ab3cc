"""Gaussian mixtures: the family in which everything about a generation is known exactly.

    q(x) = Σ_k π_k N(x; m_k, w_k² I),        x ∈ R^d.

The family is closed under all that a generation does to a law:

    blending    α p + (1−α) q                weights are mixed, components are pooled;
    blurring    q * N(0, h² I)               w² → w² + h²      (a kernel-density fit, many samples);
    diffusing   law of X_t, X_0 ~ q          m → a(t) m,  w² → a(t)² w² + v(t)   (early stopping).

With responsibilities r_k(x) ∝ π_k N(x; m_k, w_k² I) and u_k = (m_k − x)/w_k², the score and its
divergence are

    ∇ log q = Σ r_k u_k,        ∇·∇ log q = Σ r_k (‖u_k‖² − d/w_k²) − ‖∇ log q‖².

Both formulas are small differences of large numbers where a point is far from the components, in units
of their widths, or far from the origin. There everything is taken relative to the component * of the
largest r_k, with ρ_k = 1/w_*² − 1/w_k², before anything is squared or summed:

    log r_k/r_* = log π_k/π_* + d log w_*/w_k − (m_k − m_*)·(m_k + m_* − 2x)/2w_k² + ρ_k ‖m_* − x‖²/2,
    u_k − u_*   = (m_k − m_*)/w_k² − ρ_k (m_* − x).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scoredrift import _checks, _numerics
from scoredrift import process as ou
from scoredrift.laws.base import Evaluation, Law, elapsed, summary

# Entries of the array, points × components × dimensions, that the route without cancellation holds at once.
_ENTRIES = 2**19


@dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture(Law):
    """Mixture Σ_k π_k N(m_k, w_k² I) of J isotropic Gaussians.

    Args:
        weights: π, shape ``[J]``, non-negative, sum one.
        means: m, shape ``[J, d]``, in the units of the data.
        variances: w², shape ``[J]``, positive, in squared units.

    Raises:
        ValueError: an empty mixture, shapes that do not fit, weights that do not sum to one,
            variances that are not positive, NaN, or mixed dtypes and devices.

    >>> standard = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
    >>> standard.score(torch.tensor([[1.0, -2.0]]))
    tensor([[-1.,  2.]])
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    def __post_init__(self) -> None:
        _checks.floating("weights", self.weights)
        if self.weights.ndim != 1 or self.weights.numel() == 0:
            remedy = "a mixture needs K ≥ 1 components, shape [K]"
            _checks.refuse("weights.shape", list(self.weights.shape), remedy)
        k = self.weights.numel()
        _checks.points("means", self.means, like=self.weights)
        if self.means.shape[0] != k or self.means.shape[1] == 0:
            remedy = f"pass one mean in R^d for each of the {k} weights, [{k}, d]"
            _checks.refuse("means.shape", list(self.means.shape), remedy)
        _checks.floating("variances", self.variances)
        if self.variances.shape != (k,):
            remedy = f"pass one variance for each of the {k} weights, [{k}]"
            _checks.refuse("variances.shape", list(self.variances.shape), remedy)
        _checks.points("variances", self.variances[None], like=self.weights)
        if not _checks.holds(self.variances > 0):
            lowest = float(self.variances.min())
            _checks.refuse("variances", lowest, "variances are positive; pass w², not log w or −w")
        if not _checks.holds(self.weights >= 0):
            _checks.refuse("weights", float(self.weights.min()), "weights are ≥ 0")
        _checks.sum_to_one("weights", self.weights)

    def __repr__(self) -> str:
        count = len(self.weights)
        return summary(self, f"{count} component" if count == 1 else f"{count} components")

    @property
    def dim(self) -> int:
        """Dimension d of the space.

        >>> from scoredrift.laws import mixture_of_five
        >>> mixture_of_five().dim
        10
        """
        return self.means.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters, and so of all results.

        >>> from scoredrift.laws import mixture_of_five
        >>> mixture_of_five().dtype
        torch.float64
        """
        return self.weights.dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters live.

        >>> from scoredrift.laws import mixture_of_five
        >>> mixture_of_five().device
        device(type='cpu')
        """
        return self.weights.device

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> GaussianMixture:
        """The same mixture on another device or in another precision.

        Args:
            device: new device; None keeps the old one.
            dtype: float32 or float64; None keeps the old one.

        Returns:
            A new mixture.

        Raises:
            ValueError: another dtype.

        >>> from scoredrift.laws import mixture_of_five
        >>> mixture_of_five().to(dtype=torch.float32).dtype
        torch.float32
        """
        _checks.target(device, dtype)
        parts = [v.to(device=device, dtype=dtype) for v in (self.weights, self.means, self.variances)]
        return GaussianMixture(parts[0] / parts[0].sum(), *parts[1:])

    @_numerics.own_precision
    def mean(self) -> Tensor:
        """Mean E X = Σ π_k m_k, shape ``[d]``.

        >>> GaussianMixture(torch.ones(1), torch.tensor([[1.0, -2.0]]), torch.ones(1)).mean()
        tensor([ 1., -2.])
        """
        return self.weights @ self.means

    @_numerics.own_precision
    def covariance(self) -> Tensor:
        """Covariance Σ π_k (m_k m_kᵀ + w_k² I) − E X E Xᵀ, shape ``[d, d]``.

        >>> from scoredrift.laws import mixture_of_five
        >>> torch.diagonal(mixture_of_five().covariance())[:3]
        tensor([13.1600, 13.1600,  0.3600], dtype=torch.float64)
        """
        centred = self.means - self.mean()
        spread = (self.weights[:, None] * centred).T @ centred
        return spread + (self.weights @ self.variances) * torch.eye(
            self.dim, dtype=self.dtype, device=self.device
        )

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n independent points: a component k with probability π_k, then m_k + w_k ξ.

        Args:
            n: number of points, ≥ 1.
            generator: source of randomness, on the device of the mixture.

        Returns:
            Points, shape ``[n, d]``.

        Raises:
            ValueError: n that is not a positive integer, or a generator on another device.

        >>> from scoredrift.laws import mixture_of_five
        >>> mixture_of_five().sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 10])
        """
        _checks.count("n", n)
        _checks.generator_on(generator, self.device)
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        return self.means[k] + self.variances[k].sqrt()[:, None] * noise

    @_numerics.own_precision
    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Log-density, score and its divergence at the points, for the law of X_t when X_0 ~ q.

        Args:
            x: points, shape ``[n, d]``, in the dtype and on the device of the mixture.
            t: time of the Ornstein–Uhlenbeck flow, ≥ 0, shape ``[]`` or ``[n]``.

        Returns:
            Evaluation: log q_t ``[n]``, ∇ log q_t ``[n, d]``, ∇·∇ log q_t ``[n]``.

        Raises:
            ValueError: points of another shape, dtype or device, or not finite; negative times.

        >>> q = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1))
        >>> q.at(torch.tensor([[1.0, -2.0]]), 4.0).score
        tensor([[-1.,  2.]])
        """
        _checks.points("x", x, self.dim, like=self.weights)
        when = elapsed(t, x)
        if _checks.followed(x, when, self.weights, self.means, self.variances):
            found = self._without_cancellation(x, when)
        else:
            found, doubtful = self._by_products(x, when)
            again = doubtful.nonzero()[:, 0]
            if len(again):
                exact = self._without_cancellation(x[again], when.expand(len(x), 1)[again])
                for part, right in zip(found, exact, strict=True):
                    part[again] = right
        _checks.representable(found.log_density, found.score_divergence)
        return found

    def _by_products(self, x: Tensor, when: Tensor) -> tuple[Evaluation, Tensor]:
        # With matrix products, in memory for points × components. Also where rounding may show.
        a = ou.scale(when)
        var = a**2 * self.variances + ou.variance(when)
        # ‖x − a m‖ = a ‖x/a − m‖: distances to fixed centres, whatever the time of each point.
        exactly = "donot_use_mm_for_euclid_dist"  # the expanded square loses digits
        squared = (a * torch.cdist(x / a, self.means, compute_mode=exactly)) ** 2
        log_norms = 0.5 * self.dim * torch.log(2 * math.pi * var)
        scaled = squared / var
        logits = self.weights.log() - 0.5 * scaled - log_norms
        log_density = torch.logsumexp(logits, dim=1)
        share = torch.exp(logits - log_density[:, None])
        share = share / share.sum(1, keepdim=True)  # torch.softmax is slow for few components
        precision = share / var  # r_k / w_k²
        total = precision.sum(1)
        score = a * (precision @ self.means) - total[:, None] * x
        along, size = (precision * scaled).sum(1), score.square().sum(1)  # Σ r_k ‖u_k‖² and ‖Σ r_k u_k‖²
        found = Evaluation(log_density, score, along - self.dim * total - size)

        eps = torch.finfo(x.dtype).eps
        allowed, own = 3 * eps**0.5, self.dim * total
        of_logits, scatter = eps * along / total, (along - size).abs() + eps * size
        of_score = of_logits.square() * scatter + (eps * total).square() * x.square().sum(1)
        sure = of_logits * scatter + eps * size <= allowed * own
        return found, ~(sure & (of_score <= allowed**2 * (size + own)))

    def _without_cancellation(self, x: Tensor, when: Tensor) -> Evaluation:
        rows = max(1, _ENTRIES // self.means.numel())
        times = when.expand(len(x), 1)
        pairs = zip(x.split(rows), times.split(rows), strict=True)
        blocks = [self._relative_to_the_largest(*pair) for pair in pairs]
        return Evaluation(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))

    def _relative_to_the_largest(self, x: Tensor, when: Tensor) -> Evaluation:
        # Formulas in the module's docstring. π_k = factor_k e^{log_weights_k} has its derivative at zero, too.
        a = ou.scale(when)
        var = a**2 * self.variances + ou.variance(when)
        present = self.weights > 0
        factor = torch.where(present, 1, self.weights)
        log_weights = torch.where(present, self.weights, 1).log()
        gap = a[:, :, None] * self.means - x[:, None]
        logits = log_weights - 0.5 * gap.square().sum(2) / var - 0.5 * self.dim * var.log()
        top = torch.where(present, logits, -math.inf).argmax(1)

        first = a * self.means[top] - x
        size, own = first.square().sum(1, keepdim=True), var.gather(1, top[:, None])
        away = a[:, :, None] * (self.means - self.means[top][:, None])
        rho = a**2 * (self.variances - self.variances[top][:, None]) / (var * own)
        logits = log_weights - log_weights[top][:, None] - 0.5 * self.dim * (var / own).log()
        logits = logits - 0.5 * (away * (gap + first[:, None])).sum(2) / var + 0.5 * size * rho
        # Only a component without weight can be above the largest; its weight at least stays zero.
        terms = factor * logits.clamp(max=math.log(torch.finfo(x.dtype).max) - 1).exp()
        total = terms.sum(1, keepdim=True)
        share = terms / total

        apart = away / var[:, :, None] - rho[:, :, None] * first[:, None]
        mean = (share[:, :, None] * apart).sum(1)
        scatter = (share * (apart - mean[:, None]).square().sum(2)).sum(1)
        peak = log_weights[top][:, None] - 0.5 * size / own - 0.5 * self.dim * (2 * math.pi * own).log()
        density = (peak + total.log())[:, 0]
        return Evaluation(density, first / own + mean, scatter - self.dim * (share / var).sum(1))

    def blend(self, other: GaussianMixture, fraction: float) -> GaussianMixture:
        """Training mixture q = α p + (1−α) p̂ with this law as p and ``other`` as p̂.

        Args:
            other: the law p̂, same dimension, dtype and device.
            fraction: share α ∈ (0, 1] of this law.

        Returns:
            The mixture q; its components are those of p, then those of p̂.

        Raises:
            ValueError: α outside (0, 1], or laws that do not match.

        >>> p = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1))
        >>> p.blend(p.blur(1.0), 0.25).weights
        tensor([0.2500, 0.7500])
        """
        alpha = _checks.number("fraction", fraction, low=0.0, high=1.0, open_low=True)
        _checks.able("other", other, "weights", "means", "variances")
        _checks.points("other.means", other.means, self.dim, like=self.weights)
        if alpha == 1.0:
            return self
        return GaussianMixture(
            torch.cat([alpha * self.weights, (1 - alpha) * other.weights]),
            torch.cat([self.means, other.means]),
            torch.cat([self.variances, other.variances]),
        )

    def merge(self) -> GaussianMixture:
        """The same law with equal components counted once, their weights added.

        >>> p = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1))
        >>> p.blend(p, 0.25).merge().weights
        tensor([1.])
        """
        components = torch.cat([self.means, self.variances[:, None]], dim=1)
        kept, place = components.unique(dim=0, return_inverse=True)
        weights = torch.zeros(len(kept), dtype=torch.float64, device=self.device)
        weights = weights.index_add(0, place, self.weights.double()).to(self.dtype)  # many small terms
        return GaussianMixture(weights, kept[:, :-1], kept[:, -1])

    def without_empty(self) -> GaussianMixture:
        """The same law without components of weight zero.

        >>> p = GaussianMixture(torch.tensor([1.0, 0.0]), torch.zeros(2, 1), torch.ones(2))
        >>> p.without_empty().weights
        tensor([1.])
        """
        kept = self.weights > 0
        return GaussianMixture(self.weights[kept], self.means[kept], self.variances[kept])

    def blur(self, bandwidth: float) -> GaussianMixture:
        """Law q * N(0, h² I), w² → w² + h²: the limit of a kernel-density fit with many samples.

        Args:
            bandwidth: h ≥ 0, in the units of the data.

        Returns:
            The blurred mixture.

        Raises:
            ValueError: h that is negative or not finite.

        >>> from scoredrift.laws import mixture_of_five
        >>> mixture_of_five().blur(0.6).variances[0]
        tensor(0.7200, dtype=torch.float64)
        """
        h = _checks.width("bandwidth", bandwidth, open_low=False)
        return GaussianMixture(self.weights, self.means, self.variances + h**2)

    def diffuse(self, t: float) -> GaussianMixture:
        """Law of X_t when X_0 follows this mixture: m → a m, w² → a² w² + v.

        Args:
            t: time ≥ 0.

        Returns:
            The mixture q_t.

        Raises:
            ValueError: t that is negative or not finite.

        >>> p = GaussianMixture(torch.ones(1), torch.ones(1, 1), torch.ones(1))
        >>> p.diffuse(4.0).means
        tensor([[0.1353]])
        """
        elapsed = torch.tensor(_checks.number("t", t, low=0.0), dtype=self.dtype, device=self.device)
        a, v = ou.scale(elapsed), ou.variance(elapsed)
        return GaussianMixture(self.weights, a * self.means, a**2 * self.variances + v)
