"""The recursion in the limit of infinitely many points, where laws take the place of training sets.

trained on q_{−1} = p, then q_i = regime(p, p̂^i, q_{i−1});        p̂^{i+1} = learn(q_i).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

from scoredrift import _checks
from scoredrift.generations.regimes import Regime
from scoredrift.laws import GaussianMixture


class LawGeneration(NamedTuple):
    """One generation in the limit N → ∞.

    Args:
        trained_on: q, the law that the model was trained on; the data law in generation 0.
        model: p̂, the law that it generates.

    >>> from scoredrift.laws import mixture_of_five
    >>> LawGeneration(mixture_of_five(), mixture_of_five().blur(0.6)).model
    GaussianMixture(5 components, d = 10, float64)
    """

    trained_on: GaussianMixture
    model: GaussianMixture


def recurse_laws(
    learn: Callable[[GaussianMixture], GaussianMixture],
    target: GaussianMixture,
    *,
    regime: Regime,
    generations: int,
) -> list[LawGeneration]:
    """The recursion in the limit N → ∞, for learners that map Gaussian mixtures to Gaussian mixtures.

    Args:
        learn: law of the training set ↦ law that the model generates; for a kernel density this is
            ``KernelFit.limit``.
        target: the data law p.
        regime: what the next generation is trained on.
        generations: number of retrainings ≥ 0.

    Returns:
        Generations 0, 1, …, each with the law that it was trained on; equal components are counted once.

    Raises:
        ValueError: a negative number of generations.

    >>> from scoredrift.generations import FreshFraction
    >>> from scoredrift.laws import mixture_of_five
    >>> blur = lambda law: law.blur(0.6)
    >>> run = recurse_laws(blur, mixture_of_five(), regime=FreshFraction(0.5), generations=2)
    >>> [len(generation.model.weights) for generation in run]  # five centres of each age
    [5, 10, 15]
    """
    generations = _checks.count("generations", generations, least=0)
    if not callable(learn):
        _checks.refuse(
            "learn", f"a {type(learn).__name__}", "pass a function of a law, as KernelFit(h, process).limit"
        )
    _checks.able("target", target, "weights", "means", "variances")
    _checks.able("regime", regime, "training_law")
    trained_on = target
    run = [LawGeneration(target, learn(target))]
    for index in range(generations):
        law = regime.training_law(target, run[-1].model, trained_on, index)
        trained_on = cast(GaussianMixture, law).merge()
        run.append(LawGeneration(trained_on, learn(trained_on)))
    return run
