"""What a recursion hands over to be measured, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.laws import Law, Source


@dataclass(frozen=True, eq=False, repr=False)
class Generation:
    """One generation, as ``measure`` sees it.

    Args:
        index: i = 0, 1, …
        training: what the model was fitted to, shape ``[n, d]``.
        model: p̂^i.
        drawn: N points of p̂^i, shape ``[N, d]``.
        generator: random numbers for measurements.
        before: refits the preceding model; see ``previous``.
        law: makes the law in the limit; see ``trained_on``.

    >>> from scoredrift.laws import Gaussian
    >>> x, law = torch.zeros(2, 1), Gaussian(torch.zeros(1), torch.eye(1))
    >>> generation = Generation(0, x, law, x, torch.Generator(), None)
    >>> generation
    Generation(0: trained on [2, 1], drawn [2, 1], model Gaussian)
    >>> generation.previous is None
    True
    """

    index: int
    training: Tensor
    model: Source
    drawn: Tensor
    generator: torch.Generator
    before: Callable[[], Source] | None
    law: Callable[[], Law] | None = None

    def __repr__(self) -> str:
        sizes = f"trained on {list(self.training.shape)}, drawn {list(self.drawn.shape)}"
        return f"Generation({self.index}: {sizes}, model {type(self.model).__name__})"

    @cached_property
    def previous(self) -> Source | None:
        """Model p̂^{i−1} of the generation before; None for generation 0.

        After a resumption it is fitted again, with the random numbers of its first fit.
        """
        return None if self.before is None else self.before()

    @cached_property
    def trained_on(self) -> Law:
        """Law q_{i−1} that the training set was drawn from, as its size goes to infinity.

        The target for generation 0; later what the regime makes of the target and the model before, which
        have to be laws with densities. ``Accumulate`` needs the models of all generations before: they are
        fitted again, with the random numbers of their first fits.

        Raises:
            ValueError: it is not known: a source without a density, or a regime that needs what is not kept.

        >>> from scoredrift.generations import recurse
        >>> from scoredrift import FreshFraction, KernelFit, OrnsteinUhlenbeck, mixture_of_five
        >>> fit, data = KernelFit(0.6, OrnsteinUhlenbeck()), mixture_of_five()
        >>> gap = lambda law: {"gap": (law.model.log_density(law.drawn) - law.trained_on.log_density(law.drawn)).mean()}
        >>> recurse(fit, data, regime=FreshFraction(0.5), generations=2, size=50, seed=0, measure=gap)["gap"] > 0
        tensor([True, True, True])
        """
        if self.law is None:
            remedy = "not known for a generation made by hand; pass law=…"
            _checks.refuse(f"law that generation {self.index} was trained on", None, remedy)
        return self.law()


Measured = Mapping[str, float | Estimate | Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What was measured in each generation, and the last generation's points and model.

    ``history[name]`` are the values of one measurement, ``name in history`` says whether there is one,
    ``history.keys()`` are all names, and ``len(history)`` is the number of generations, the first included.

    Args:
        measured: a dictionary of tensors for each generation; an estimate is stored as its value and
            standard error, ``[2]``.
        drawn: points of the last generation, shape ``[N, d]``.
        last: makes the last model; see ``model``.

    >>> history = History(({"a": torch.tensor(1.0)}, {"a": torch.tensor(2.0)}), torch.zeros(1, 1))
    >>> history
    History(2 generations of [1, 1]: a)
    >>> history["a"], len(history), "b" in history
    (tensor([1., 2.]), 2, False)
    """

    measured: tuple[dict[str, Tensor], ...]
    drawn: Tensor
    last: Callable[[], Source] | None = None

    @cached_property
    def model(self) -> Source | None:
        """Model of the last generation; None for a history that came from another process.

        After a resumption it is fitted again, with the random numbers of its first fit.
        """
        return None if self.last is None else self.last()

    def keys(self) -> list[str]:
        """Names of all that was measured in any generation, sorted."""
        return sorted({name for one in self.measured for name in one})

    def __contains__(self, name: object) -> bool:
        return any(name in one for one in self.measured)

    def __len__(self) -> int:
        return len(self.measured)

    __iter__ = None  # over names, or over generations? keys() and range(len(history)) say which

    def __repr__(self) -> str:
        names = ", ".join(self.keys())
        return f"History({len(self)} generations of {list(self.drawn.shape)}: {names})"

    def __reduce__(self) -> Any:
        return History, (self.measured, self.drawn)  # models do not travel

    def __getitem__(self, name: str) -> Tensor:
        """Values of one measurement over the generations that have it, stacked.

        Raises:
            KeyError: no generation has it.
        """
        values = [one[name] for one in self.measured if name in one]
        if not values:
            raise KeyError(f"{name!r} was not measured; there are {self.keys()}")
        return torch.stack(values)

    def estimates(self, name: str) -> list[Estimate]:
        """Values of a measurement that was an estimate, with their errors, one for each generation that has it.

        Raises:
            KeyError: no generation has it.
            ValueError: a measurement that is no estimate.

        >>> history = History(({"kl": torch.tensor([0.3, 0.1])},), torch.zeros(1, 1))
        >>> print(*history.estimates("kl"))
        0.30 ± 0.10
        """
        found = self[name]
        if found.shape[1:] != (2,):
            _checks.refuse(
                f"history[{name!r}].shape", list(found.shape), "it is no estimate: [generations, 2]"
            )
        return [Estimate(*pair) for pair in found.tolist()]
