"""What repeats: the bias of a learner from retraining it, and the drift that it forecasts.

Train R times on independent samples of one law, with seeds of their own, and let w_r be the deviation in features
that each one adds. With b = E w,

    ‖b‖²  =  mean of ⟨w_r, w_s⟩ over r ≠ s,        E‖noise‖²  =  mean of ‖w_r‖²  −  ‖b‖²,

both without bias. If b and the noise are the same in every generation, and generation 0 is trained on the data
alone, then after i retrainings at fresh fraction α

    E D_i = ‖b‖² [(1 − (1−α)^{i+1})/α]² + E‖noise‖² (1 − (1−α)^{2(i+1)})/(α (2−α)).

Source: ours; the pairs are a U-statistic (Hoeffding 1948, doi 10.1214/aoms/1177730196).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoredrift import _checks
from scoredrift.estimates import Estimate
from scoredrift.generations.budgets import BiasAndNoise


def bias_of_repeats(forcings: Tensor) -> BiasAndNoise:
    """Bias and noise of a learner that was trained several times.

    Args:
        forcings: w_r, shape ``[R, m]``: what each of R ≥ 3 trainings adds, in m orthonormal features; or
            ``[R, generations, m]``, where the runs are independent and the generations of a run are not: then
            the bias is what repeats between runs, generation by generation, averaged over them.

    Returns:
        BiasAndNoise, in squared features, with standard errors by leaving out one run at a time. The bias can
        come out negative.

    Raises:
        ValueError: fewer than three trainings, another shape, or numbers that are not finite (leave out
            trainings that failed, and say so).

    >>> g = torch.Generator().manual_seed(0)
    >>> w = torch.tensor([0.3, 0.0]) + 0.1 * torch.randn(50, 2, generator=g)
    >>> found = bias_of_repeats(w)
    >>> abs(found.bias.sigmas_from(0.09)) < 5, abs(found.noise.sigmas_from(0.02)) < 5
    (True, True)
    """
    _checks.floating("forcings", forcings)
    if forcings.ndim not in (2, 3) or len(forcings) < 3 or 0 in forcings.shape:
        remedy = "pass one row for each of three or more trainings, [R, m] or [R, generations, m]"
        _checks.refuse("forcings.shape", list(forcings.shape), remedy)
    w = forcings.detach().double()
    w = w if w.ndim == 3 else w[:, None]
    runs = len(w)
    products = torch.einsum("rgm,sgm->rs", w, w) / w.shape[1]
    sizes = products.diagonal().clone()
    products.fill_diagonal_(0.0)
    bias = float(products.sum()) / (runs * (runs - 1))
    noise = float(sizes.mean()) - bias
    bias_without = (products.sum() - 2 * products.sum(0)) / ((runs - 1) * (runs - 2))
    noise_without = (sizes.sum() - sizes) / (runs - 1) - bias_without
    return BiasAndNoise(
        Estimate(bias, _jackknife(bias_without)),
        Estimate(noise, _jackknife(noise_without)),
    )


def forecast(parts: BiasAndNoise, *, alpha: float, generations: int) -> list[Estimate]:
    """Drift E D_0, …, E D_N that bias and noise add up to, if they stay what they are.

    Args:
        parts: ‖b‖² and E‖noise‖² of one generation.
        alpha: fresh fraction α in (0, 1].
        generations: N ≥ 0.

    Returns:
        One estimate for each generation. The errors of the two parts are added, not squared and added: they
        come from the same runs, mostly with opposite signs, so that this is the safe side.

    Raises:
        ValueError: α outside (0, 1], or N < 0.

    >>> steady = forecast(BiasAndNoise(Estimate(0.01, 0.001), Estimate(0.1, 0.01)), alpha=0.5, generations=40)
    >>> print(steady[0], steady[-1])  # 0.01/0.25 + 0.1/0.75
    0.110 ± 0.011 0.173 ± 0.017
    """
    alpha = _checks.number("alpha", alpha, low=0.0, high=1.0, open_low=True)
    generations = _checks.count("generations", generations, least=0)
    found, of_bias, of_noise = [], 0.0, 0.0
    for _ in range(generations + 1):
        of_bias, of_noise = (1 - alpha) * of_bias + 1, (1 - alpha) ** 2 * of_noise + 1
        error = of_bias**2 * parts.bias.stderr + of_noise * parts.noise.stderr
        found.append(Estimate(of_bias**2 * parts.bias.value + of_noise * parts.noise.value, error))
    return found


def _jackknife(without: Tensor) -> float:
    n = len(without)
    return math.sqrt((n - 1) / n * float((without - without.mean()).square().sum()))
