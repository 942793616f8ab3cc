"""Networks in the recursion: how a training set becomes a network, and a network a model that draws points.

    ε̂  =  training on the points,        ŝ = −ε̂/√v,        p̂ = law of the sampler that is driven by ŝ.

The sampler starts from N(0, I) at T, as samplers do. On the line the law that it generates is known
(``LineFit``), and with it the law of every training set: a recursion of networks with everything exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.laws import Evaluation, GaussianMixture, Law, Source
from scoredrift.networks import Recipe, Trained, initialised, train
from scoredrift.paths import (
    ExponentialIntegrator,
    Integrator,
    StochasticIntegrator,
    generated_mixture,
    simulate,
)
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.runs import load, place, save
from scoredrift.scores import FunctionScore, NoisePrediction, PredictedScore

_START = "start.safetensors"


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """Sampler driven by a trained network: N(0, I) at T, then steps of the reverse process to t0.

    Args:
        trained: the network, and how it came about.
        grid: decreasing times from T to t0, shape ``[K + 1]``.
        integrator: numerical method of one step.
        dim: d.
        dtype: precision of the points.
        rows: points that the network sees at once, at most, which bounds the memory.
        compiled: let ``torch.compile`` translate the network.

    >>> from scoredrift.networks import PointNetwork
    >>> trained = Trained(PointNetwork(2, width=8), *torch.ones(3, 1), 1)
    >>> model = NetworkModel(trained, OrnsteinUhlenbeck().geometric_grid(40), ExponentialIntegrator(), 2)
    >>> model.sample(5, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([5, 2])
    """

    trained: Trained
    grid: Tensor
    integrator: Integrator
    dim: int
    dtype: torch.dtype = torch.float32
    rows: int = 2048
    compiled: bool = False

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return next(self.trained.network.parameters()).device

    @property
    def score(self) -> FunctionScore:
        """Learned score ŝ = −ε̂/√v, with the exact divergence."""
        return FunctionScore(PredictedScore(self.trained.network, NoisePrediction()))

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points, shape ``[n, d]``; one evaluation of the network for each of K steps, or two.

        Args:
            n: number of points ≥ 1.
            generator: source of randomness, on the device of the network.

        Raises:
            ValueError: n that is not a positive integer, a generator on another device, or a path that leaves
                the finite numbers.
        """
        _checks.count("n", n)
        _checks.generator_on(generator, self.device)
        start = torch.randn(n, self.dim, generator=generator, dtype=self.dtype, device=self.device)
        network = torch.compile(self.trained.network) if self.compiled else self.trained.network
        score, parts = PredictedScore(network, NoisePrediction()), -(-n // self.rows)

        def in_parts(x: Tensor, t: float | Tensor) -> Tensor:
            # Of equal size: the compiler translates a network again for another.
            return torch.cat([score(part, t) for part in x.chunk(parts)])

        return simulate(in_parts, start, self.grid, self.integrator, generator=generator)

    def law(self, nodes: Tensor) -> GaussianMixture:
        """Law that the sampler generates, on the line: the mixture of ``generated_mixture``.

        Args:
            nodes: equally spaced points that cover it, shape ``[m]``, float64.

        Raises:
            ValueError: points of more than one dimension, or what ``generated_mixture`` refuses.
        """
        if self.dim != 1:
            _checks.refuse("dim", self.dim, "quadrature is for the line; draw points instead")
        _checks.spacing("nodes", nodes)
        start = torch.exp(-nodes.square() / 2) / (2 * torch.pi) ** 0.5
        method = cast(StochasticIntegrator, self.integrator)  # which generated_mixture checks
        return generated_mixture(self.score, start, nodes, self.grid, method)


@dataclass(frozen=True)
class NetworkFit:
    """Train a network of one's own from scratch on each training set, and sample with it.

    Args:
        build: makes a network that maps points ``[n, d]`` and times ``[n]`` to the predicted noise.
        recipe: how it is trained.
        process: forward process.
        steps: K, steps of the sampler, on a geometric grid from T to t0.
        integrator: numerical method of one step.
        judged: points to judge trainings by, ``[n, d]``; None to hold out a share of each training set.
        folder: where each training keeps what it needs to go on, in a folder of its own; a training that is
            asked for again is read, not repeated.
        progress: show a progress bar for each training.

    Raises:
        ValueError: what does not build, no recipe, fewer than one step.

    >>> from scoredrift.networks import PointNetwork
    >>> fit = NetworkFit(lambda: PointNetwork(1, width=8), Recipe(20, batch=16), OrnsteinUhlenbeck(), steps=40)
    >>> g = torch.Generator().manual_seed(0)
    >>> fit(torch.randn(50, 1, generator=g), generator=g).sample(3, generator=g).shape
    torch.Size([3, 1])
    """

    build: Callable[[], torch.nn.Module]
    recipe: Recipe
    process: OrnsteinUhlenbeck
    steps: int = 60
    integrator: Integrator = field(default_factory=ExponentialIntegrator)
    judged: Tensor | None = None
    folder: Path | str | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if not callable(self.build):
            _checks.refuse("build", repr(self.build), "pass a function that makes a network")
        if not isinstance(self.recipe, Recipe):
            _checks.refuse("recipe", repr(self.recipe), "pass Recipe(steps=…)")
        _checks.process(self.process)
        object.__setattr__(self, "steps", _checks.count("steps", self.steps))

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> NetworkModel:
        """Model of a network that starts from random weights.

        Args:
            data: training set, shape ``[n, d]``.
            generator: source of weights and batches, on the device of the data.

        Raises:
            ValueError: what ``train`` refuses.
        """
        _checks.points("data", data)
        _checks.generator_on(generator, data.device)
        folder = self.place_of(data, generator)
        network = initialised(self.build, generator=generator).to(data.device)
        return self.trained(network, data, folder, generator=generator)

    def trained(
        self, network: torch.nn.Module, data: Tensor, folder: Path | None, *, generator: torch.Generator
    ) -> NetworkModel:
        """Model of a network that starts from the weights that it has.

        Args:
            network: trained in place.
            data: training set, shape ``[n, d]``.
            folder: of this training; None for none.
            generator: source of batches.
        """
        weights = next(network.parameters())
        done = train(
            network,
            data.to(weights.dtype),
            self.process,
            self.recipe,
            generator=generator,
            judged=None if self.judged is None else self.judged.to(weights.dtype),
            folder=folder,
            progress=self.progress,
        )
        grid = self.process.geometric_grid(self.steps)
        compiled = self.recipe.compiled
        return NetworkModel(done, grid, self.integrator, data.shape[1], data.dtype, compiled=compiled)

    def place_of(self, data: Tensor, generator: torch.Generator) -> Path | None:
        """Folder of one training, named after its data and random numbers; None where nothing is kept.

        Args:
            data: training set.
            generator: as it is before the training.
        """
        if self.folder is None:
            return None
        state = generator.get_state().cpu().numpy().tobytes()
        content = data.detach().cpu().contiguous().numpy().tobytes()
        return place(self.folder) / hashlib.sha256(state + content).hexdigest()[:16]


@dataclass(frozen=True)
class WarmStart:
    """Go on, in each generation, with the network of the one before; generation 0 starts from scratch.

    Args:
        fit: how networks are built, trained and sampled. To resume a recursion, it needs its ``folder``: what
            a network started from is known nowhere else.

    >>> from scoredrift.networks import PointNetwork
    >>> fit = NetworkFit(lambda: PointNetwork(1, width=8), Recipe(20, batch=16), OrnsteinUhlenbeck(), steps=40)
    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(50, 1, generator=g)
    >>> first = WarmStart(fit)(x, generator=g)
    >>> second = WarmStart(fit).continued(x, lambda: first, generator=g)
    >>> bool(second.trained.held_out[-1] < first.trained.held_out[0])
    True
    """

    fit: NetworkFit

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> NetworkModel:
        """Model of generation 0; arguments as for ``NetworkFit``."""
        return self.fit(data, generator=generator)

    def continued(
        self, data: Tensor, before: Callable[[], Source], *, generator: torch.Generator
    ) -> NetworkModel:
        """Model of a network that starts from the weights of the generation before.

        Args:
            data: training set, shape ``[n, d]``.
            before: gives the model of the generation before; asked only where its weights are not on file.
            generator: source of batches, on the device of the data.

        Raises:
            ValueError: a model before that holds no network, or what ``train`` refuses.
        """
        _checks.points("data", data)
        folder = self.fit.place_of(data, generator)
        network = initialised(self.fit.build, generator=generator).to(data.device)
        on_file = None if folder is None else folder / _START
        if on_file is not None and on_file.exists():
            weights = load(on_file)[0]
        else:
            model = before()
            if not isinstance(model, NetworkModel):
                _checks.refuse("before()", f"a {type(model).__name__}", "a warm start needs a NetworkModel")
            weights = model.trained.network.state_dict()
            if on_file is not None:
                save(on_file, weights, {})
        network.load_state_dict(weights)
        return self.fit.trained(network, data, folder, generator=generator)


@dataclass(frozen=True, eq=False, repr=False)
class LineModel(Law):
    """A network's sampler on the line, as the law that it generates: a model whose density is known.

    Args:
        network: the sampler.
        generated: law of its points.

    >>> from scoredrift.networks import PointNetwork
    >>> trained = Trained(PointNetwork(1, width=8), *torch.ones(3, 1), 1)
    >>> sampler = NetworkModel(trained, OrnsteinUhlenbeck().geometric_grid(40), ExponentialIntegrator(), 1)
    >>> law = LineModel(sampler, sampler.law(torch.linspace(-8, 8, 801, dtype=torch.float64)))
    >>> law.log_density(torch.zeros(1, 1, dtype=torch.float64)).shape
    torch.Size([1])
    """

    network: NetworkModel
    generated: GaussianMixture

    @property
    def dim(self) -> int:
        """One."""
        return self.generated.dim

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the law, float64."""
        return self.generated.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.generated.device

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n points of the generated law, without steps; as for ``GaussianMixture``."""
        return self.generated.sample(n, generator=generator)

    def at(self, x: Tensor, t: float | Tensor = 0.0) -> Evaluation:
        """Density, score and divergence of the flow of the generated law; as for ``Law``."""
        return self.generated.at(x, t)


@dataclass(frozen=True)
class LineFit:
    """Train networks on the line and hand over the law that each one generates, exactly.

    Args:
        fit: ``NetworkFit`` or ``WarmStart``; its integrator has to be one of the reverse SDE.
        low, high, nodes: the line is covered by so many equally spaced points.

    Raises:
        ValueError: an empty interval, or fewer than three nodes.

    >>> from scoredrift.networks import PointNetwork
    >>> fit = NetworkFit(lambda: PointNetwork(1, width=8), Recipe(20, batch=16), OrnsteinUhlenbeck(), steps=40)
    >>> g = torch.Generator().manual_seed(0)
    >>> law = LineFit(fit)(torch.randn(50, 1, generator=g).double(), generator=g)
    >>> law.sample(3, generator=g).dtype
    torch.float64
    """

    fit: NetworkFit | WarmStart
    low: float = -9.0
    high: float = 9.0
    nodes: int = 1201

    def __post_init__(self) -> None:
        _checks.number("high", self.high, low=self.low, open_low=True)
        _checks.count("nodes", self.nodes, least=3)

    @property
    def line(self) -> Tensor:
        """The nodes, shape ``[m]``, float64."""
        return torch.linspace(self.low, self.high, self.nodes, dtype=torch.float64)

    def __call__(self, data: Tensor, *, generator: torch.Generator) -> LineModel:
        """Law of generation 0; arguments as for ``NetworkFit``, with d = 1."""
        return self._law(self.fit(data, generator=generator))

    @property
    def continued(self) -> Callable[..., LineModel] | None:
        """As for ``WarmStart``, where there is one; None for networks that start from scratch."""
        return self._go_on if isinstance(self.fit, WarmStart) else None

    def _go_on(self, data: Tensor, before: Callable[[], Source], *, generator: torch.Generator) -> LineModel:
        assert isinstance(self.fit, WarmStart)

        def network() -> Source:
            model = before()
            return model.network if isinstance(model, LineModel) else model

        return self._law(self.fit.continued(data, network, generator=generator))

    def _law(self, model: NetworkModel) -> LineModel:
        return LineModel(model, model.law(self.line))
