"""Training on one's own samples: regimes, fits, and the recursion against its closed form."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from helpers import affine_law, points, random_mixture, seeded, within, worst_sigmas
from scoredrift import Ancestral, Estimate, EulerMaruyama, Gaussian, OrnsteinUhlenbeck, mixture_of_five
from scoredrift.generations import (
    Accumulate,
    FreshFraction,
    KernelFit,
    Memory,
    Replace,
    SimulatedKernelFit,
    gaussian_fit,
    recurse,
    recurse_laws,
)
from scoredrift.runs import generator_for

OU = OrnsteinUhlenbeck(0.1, 4.0)
FIVE = mixture_of_five()


def run(fit=gaussian_fit, target=None, **changes):
    target = target or Gaussian(torch.zeros(2), torch.eye(2))
    settings = {"regime": FreshFraction(0.5), "generations": 3, "size": 20, "seed": 1}
    return recurse(fit, target, **(settings | changes))


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_torch_does_not_see_is_refused_in_one_line(device, tmp_path):
    told = rf"^device = '{device}': [^\n]*; pass cpu, or a device that torch sees\Z"
    with pytest.raises(ValueError, match=told):
        run(device=device, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_number_of_fresh_points_is_binomial():
    def fresh(n):
        assert n > 0
        return torch.full((n, 1), -1.0)

    kept, sets = torch.arange(50.0)[:, None], []
    for seed in range(4000):
        sets.append(FreshFraction(0.07).training_set(fresh, kept, kept, generator=seeded(seed))[:, 0])
        old = sets[-1][sets[-1] >= 0]
        assert (len(sets[-1]), len(old.unique())) == (50, len(old))
    counts = (torch.stack(sets) < 0).double().sum(1)
    assert counts.min() == 0
    assert within(Estimate.from_samples(counts), 3.5)
    assert within(Estimate.from_samples((counts - 3.5) ** 2), 3.5 * 0.93)
    assert within(Estimate.from_samples((counts == 0).double()), 0.93**50)


def test_what_each_regime_trains_on():
    def record(regime):
        seen = []
        history = run(regime=regime, measure=lambda g: seen.append((g.training, g.drawn)) or {})
        training, drawn = zip(*seen, strict=True)
        assert torch.equal(history.drawn, drawn[-1])
        assert {len(x) for x in drawn} == {20}
        return training, drawn

    training, drawn = record(Replace())
    assert all(map(torch.equal, training[1:], drawn))
    training, drawn = record(Accumulate())
    assert all(torch.equal(x, torch.cat([training[0], *drawn[:i]])) for i, x in enumerate(training))
    for alpha, low, high in [(1, 0, 0), (0.5, 10, 50)]:
        training, drawn = record(FreshFraction(alpha))
        assert {len(x) for x in training} == {20}
        assert low <= int(torch.isin(torch.cat(training), torch.cat(drawn)).all(1).sum()) <= high


def test_training_laws_are_blends_of_all_that_they_should_hold():
    p, model, past, x = (*(random_mixture(seed) for seed in range(3)), points(0, 50, 2))
    dense = [law.log_density(x).exp() for law in (p, model, past)]
    for alpha in (0.3, 1):
        blend = FreshFraction(alpha).training_law(p, model, past, 4).log_density(x).exp()
        torch.testing.assert_close(blend, alpha * dense[0] + (1 - alpha) * dense[1])
    assert torch.equal(Replace().training_law(p, model, past, 4).log_density(x).exp(), dense[1])
    everything = Accumulate().training_law(p, model, past, 4).log_density(x).exp()
    torch.testing.assert_close(everything, 5 / 6 * dense[2] + 1 / 6 * dense[1])


def test_accumulation_trains_on_the_plain_average_of_all_laws():
    seen = []

    def learn(law):
        seen.append(law)
        return KernelFit(0.6, OU).limit(law)

    models = [one.model for one in recurse_laws(learn, FIVE, regime=Accumulate(), generations=5)]
    x, laws = FIVE.blur(0.8).sample(200, generator=seeded(0)), [FIVE, *models]
    for i, training in enumerate(seen):
        plain = torch.stack([law.log_density(x).exp() for law in laws[: i + 1]]).mean(0)
        torch.testing.assert_close(training.log_density(x).exp(), plain, rtol=1e-12, atol=0)
        assert len(training.weights) == 5 * (i + 1)  # not doubled in each generation


def second_moments(laws):
    return torch.stack([law.covariance().diagonal() + law.mean() ** 2 for law in laws])


ONCE = KernelFit(0.6, OU)
RUNS = [(ONCE, ONCE.limit, regime) for regime in (FreshFraction(0.5), FreshFraction(0.1), Replace())]
RUNS += [(ONCE, ONCE.limit, Accumulate()), (Memory(), lambda law: law, Replace())]
RUNS += [(Memory(OU), lambda law: law.diffuse(0.1), FreshFraction(0.5))]


@pytest.mark.parametrize(("fit", "limit", "regime"), RUNS, ids=range(len(RUNS)))
def test_raw_moments_of_every_generation_are_those_of_the_closed_form(fit, limit, regime):
    """They are linear in the law, so finite samples leave them without bias; runs are independent."""

    def moments(generation):
        return {"second": generation.drawn.square().mean(0), "mean": generation.drawn.mean(0)}

    kind = {"regime": regime, "generations": 3, "size": 2000, "measure": moments}
    runs = [recurse(fit, FIVE, **kind, seed=seed) for seed in range(50)]
    laws = [one.model for one in recurse_laws(limit, FIVE, regime=regime, generations=3)]
    assert worst_sigmas(torch.stack([one["second"] for one in runs]), second_moments(laws)) < 5
    assert worst_sigmas(torch.stack([one["mean"] for one in runs]), torch.zeros(4, 10)) < 5


def test_a_memory_without_noise_only_repeats_its_points():
    x = points(1, 200, 2)
    drawn = Memory()(x, generator=seeded(0)).sample(1000, generator=seeded(1))
    counts = (drawn[:, None] == x).all(2).double().sum(0)
    assert int(counts.sum()) == 1000
    assert within(Estimate.from_samples(counts**2), 5 * (1 - 1 / 200) + 25)  # Binomial(1000, 1/200)


def test_the_fitted_variance_shrinks_by_one_nth_in_every_generation():
    target, n = Gaussian(torch.zeros(1).double(), torch.full((1, 1), 4.0).double()), 8

    def fitted(generation):
        return {"variance": generation.model.covariance[0, 0]}

    kind = {"regime": Replace(), "generations": 3, "size": n, "measure": fitted}
    runs = [recurse(gaussian_fit, target, **kind, seed=seed)["variance"] for seed in range(500)]
    expected = torch.tensor([4 * (1 - 1 / n) ** (i + 1) for i in range(4)])
    assert worst_sigmas(torch.stack(runs), expected) < 5


@pytest.mark.parametrize("integrator", [EulerMaruyama(), Ancestral()], ids=["EulerMaruyama", "Ancestral"])
def test_simulation_from_one_centre_has_the_moments_of_its_steps(integrator):
    """Then the score is affine, and few steps from N(0, 1) at a small T leave visible errors."""
    process, c, h = OrnsteinUhlenbeck(0.1, 1.5), 2.0, 0.6
    data = torch.full((1, 1), c, dtype=torch.float64)
    model = SimulatedKernelFit(h, process, 6, integrator)(data, generator=seeded(0))
    x = model.sample(40_000, generator=seeded(3))[:, 0]

    def score(x, t):
        return (math.exp(-t / 2) * c - x) / (math.exp(-t) * h**2 + 1 - math.exp(-t))

    grid = torch.linspace(1.5, 0.1, 7, dtype=torch.float64)
    mean, variance = affine_law(integrator, score, 0.0, 1.0, grid)
    assert within(Estimate.from_samples(x), mean)
    assert within(Estimate.from_samples((x - mean) ** 2), variance)


def test_simulated_and_exact_generation_agree_as_the_steps_get_small():
    """The bias of a step is of first order: the refinement removes it, 2 E_{2K} − E_K."""
    data, process = points(4, 200, 2), OrnsteinUhlenbeck(0.05, 10.0)

    def moments(steps, seed):
        model = SimulatedKernelFit(0.6, process, steps)(data, generator=seeded(0))
        x = model.sample(4000, generator=seeded(seed))
        return [Estimate.from_samples(column) for column in torch.cat([x, x.square()], 1).T]

    assert len(SimulatedKernelFit(0.6, process)(data, generator=seeded(0)).grid) == 501  # the paper's steps
    law = KernelFit(0.6, process)(data, generator=seeded(0))
    exact = torch.cat([law.centres, law.centres.square() + law.bandwidth**2], 1).mean(0)
    for coarse, fine, value in zip(moments(60, 5), moments(120, 6), exact.tolist(), strict=True):
        assert within(2 * fine - coarse, value)


MEASURED = [
    (lambda: Estimate(1.5, 0.25), torch.tensor([1.5, 0.25], dtype=torch.float64)),
    (lambda: np.float32(0.1), torch.tensor(float(np.float32(0.1)), dtype=torch.float64)),
    (lambda: 7, torch.tensor(7.0, dtype=torch.float64)),
    (lambda: torch.arange(3), torch.arange(3)),
    (lambda: torch.ones(2, requires_grad=True), torch.ones(2)),
]


@pytest.mark.parametrize(("value", "kept"), MEASURED, ids=range(len(MEASURED)))
def test_measurements_of_any_kind_are_kept_as_tensors(value, kept, tmp_path):
    kind = {"measure": lambda generation: {"it": value()}, "generations": 1}
    for history in (run(**kind), run(folder=tmp_path, **kind), run(folder=tmp_path, **kind)):
        assert not history["it"].requires_grad
        torch.testing.assert_close(history["it"], torch.stack([kept, kept]), rtol=0, atol=0)


def test_a_history_stacks_the_generations_that_have_a_measurement():
    history = run(measure=lambda g: {"i": g.index} | ({"odd": -g.index} if g.index % 2 else {}))
    assert (history["i"].tolist(), history["odd"].tolist()) == ([0, 1, 2, 3], [-1, -3])
    with pytest.raises(KeyError, match=r"'even' was not measured; there are \['i', 'odd'\]"):
        history["even"]


def test_the_previous_model_is_that_of_the_generation_before():
    models = [None]
    same = run(measure=lambda g: models.append(g.model) or {"it": g.previous is models[g.index]})["it"]
    assert same.tolist() == [1, 1, 1, 1]
    assert len(set(map(id, models))) == 5


def test_without_retraining_there_is_one_generation_of_the_size_asked_for():
    history = run(generations=0, size=7, measure=lambda g: {"n": len(g.training)})
    assert (history["n"].tolist(), history.drawn.shape) == ([7], (7, 2))


def test_progress_goes_to_the_error_stream_and_only_on_request(capfd, tmp_path):
    run(generations=1, folder=tmp_path)
    assert capfd.readouterr() == ("", "")
    run(progress=True, folder=tmp_path)
    out, err = capfd.readouterr()
    assert (out, "generations: 100%" in err, "4/4" in err) == ("", True, True)


def nan_in_two(generation):
    return {"spread": math.nan if generation.index == 2 else 1.0}


class Broken:
    """A fit whose third model draws something else."""

    def __init__(self, value):
        self.value, self.fits = value, 0

    def __call__(self, data, *, generator):
        self.fits += 1
        return self

    def sample(self, n, *, generator):
        return self.value if self.fits > 2 else torch.zeros(n, 2)


ALPHAS = (0, -0.1, 1.1, math.nan, True, "1")
REFUSED = [
    *((f"alpha = {alpha!r}", "Replace()", partial(FreshFraction, alpha)) for alpha in ALPHAS),
    ("seed = -1", "≥ 0", lambda: generator_for(-1, 0, "fit")),
    ("seed = -1", "≥ 0", lambda: run(seed=-1)),
    ("size = 1", "≥ 2", lambda: run(size=1)),
    ("generations = -1", "≥ 0", lambda: run(generations=-1)),
    ("generations = -1", "≥ 0", lambda: recurse_laws(None, FIVE, regime=Replace(), generations=-1)),
    ("bandwidth = 0.0", "(0.0", lambda: KernelFit(0.0, OU)),
    ("bandwidth = -1.0", "(0.0", lambda: SimulatedKernelFit(-1.0, OU)),
    ("steps = 0", "≥ 1", lambda: SimulatedKernelFit(1.0, OU, 0)),
    ("measure(generation 2)['spread'] = NaN", "leave it out", lambda: run(measure=nan_in_two)),
    ("points of generation 2 = 1 of 40", "remove", lambda: run(Broken(torch.arange(40.0).view(20, 2).log()))),
    ("points of generation 2.shape = [20, 3]", "[n, 2]", lambda: run(Broken(torch.zeros(20, 3)))),
]


@pytest.mark.parametrize(("begins", "remedy", "call"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_is_refused_by_name_value_and_remedy(begins, remedy, call):
    with pytest.raises(ValueError, match=" = ") as refusal:
        call()
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]


def test_generations_of_laws_know_what_they_were_trained_on():
    """q_i = α p + (1 − α) p̂^i, p̂^i, and the even blend of p, p̂^0, …, p̂^i."""
    x = FIVE.sample(50, generator=seeded(5))
    for regime in (FreshFraction(0.3), Replace(), Accumulate()):
        run = recurse_laws(lambda law: law.blur(0.6), FIVE, regime=regime, generations=3)
        assert run[0].trained_on is FIVE
        for i, one in enumerate(run[1:]):
            earlier = [FIVE, *(other.model for other in run[: i + 1])]
            shares = {
                "FreshFraction": [0.3] + [0.0] * i + [0.7],
                "Replace": [0.0] * (i + 1) + [1.0],
                "Accumulate": [1 / (i + 2)] * (i + 2),
            }[type(regime).__name__]
            parts = zip(shares, earlier, strict=True)
            density = sum(share * law.log_density(x).exp() for share, law in parts)
            torch.testing.assert_close(one.trained_on.log_density(x).exp(), density)
            torch.testing.assert_close(one.model.log_density(x), one.trained_on.blur(0.6).log_density(x))
