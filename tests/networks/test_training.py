"""Training: what it minimises, that it resumes to the same bits, and what it refuses."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from scoredrift.laws import Gaussian
from scoredrift.networks import (
    PointNetwork,
    Recipe,
    by_energy,
    denoising_terms,
    evenly,
    initialised,
    spread_times,
    train,
)
from scoredrift.networks.training import _Run
from scoredrift.process import OrnsteinUhlenbeck, uniform_times, variance

OU = OrnsteinUhlenbeck()
QUICK = Recipe(steps=60, batch=32, check_every=10, averaging=0.9)


def points(n: int = 200, dim: int = 2) -> Tensor:
    return 0.5 * torch.randn(n, dim, generator=torch.Generator().manual_seed(1))


def fresh_network(dim: int = 2, seed: int = 2) -> PointNetwork:
    return initialised(
        lambda: PointNetwork(dim, width=8, depth=1), generator=torch.Generator().manual_seed(seed)
    )


def weights(network: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in network.parameters()])


class PowerCutError(Exception):
    """Stands for a power cut."""


class Fragile(PointNetwork):
    """Breaks off at a given call, counted over all that share the list."""

    def __init__(self, calls: list[int], **sizes: int) -> None:
        super().__init__(2, **sizes)
        self.calls = calls

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        if self.training:
            self.calls[0] -= 1
            if self.calls[0] == 0:
                raise PowerCutError
        return super().forward(x, t)


def test_loss_and_energy_differ_by_a_number_that_no_network_can_change():
    """For N(0, s²) the score is linear: the loss at any ε̂ = b√v x is known in closed form."""
    s2, n = 0.36, 400_000
    g = torch.Generator().manual_seed(0)
    x = s2**0.5 * torch.randn(n, 1, generator=g, dtype=torch.float64)
    noise = torch.randn(n, 1, generator=g, dtype=torch.float64)
    at = spread_times(OU, n, generator=g)

    class Linear(torch.nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            self.slope = slope

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return self.slope * variance(t).sqrt()[:, None] * x

    one, two = (denoising_terms(Linear(b), x, noise, at) for b in (0.7, 1.4))
    grid = OU.geometric_grid(20_000)
    v = variance(grid)
    spread = s2 * (1 - v) + v  # of X_t; e = −b x + x/spread
    energies = [torch.trapezoid((b - 1 / spread) ** 2 * spread, -grid) for b in (0.7, 1.4)]
    gap = one - two
    sigmas = (gap.mean() - (energies[0] - energies[1])) / (gap.std() / n**0.5)
    assert abs(float(sigmas)) < 5


def test_training_finds_the_score_of_a_gaussian():
    law = Gaussian(torch.zeros(1).double(), 0.36 * torch.eye(1).double())
    g = torch.Generator().manual_seed(3)
    network = initialised(lambda: PointNetwork(1, width=32, depth=2), generator=g)
    done = train(network, law.sample(8_000, generator=g).float(), OU, Recipe(steps=600), generator=g)
    t = torch.tensor([0.05, 0.3, 1.0, 3.0])
    spread = 0.36 * (1 - variance(t)) + variance(t)
    x = spread.sqrt()[:, None]  # one standard deviation away
    exact = variance(t).sqrt()[:, None] * x / spread[:, None]
    assert bool(((done.network(x, t) - exact).abs() < 0.06).all())
    assert done.held_out[-1] < done.held_out[0]


@pytest.mark.parametrize("weighting", [by_energy, evenly])
def test_weights_of_times_make_integrals(weighting):
    """A network that predicts zero has loss d ∫ w dt, whatever the density of the times."""
    zero = torch.nn.Module()
    zero.forward = lambda x, t: 0 * x
    n = 100_000
    g = torch.Generator().manual_seed(4)
    noise = torch.randn(n, 3, generator=g)
    wanted = {by_energy: math.log(math.expm1(OU.t_max) / math.expm1(OU.t_min)), evenly: OU.duration}[
        weighting
    ]
    for times in (uniform_times, None):
        at = spread_times(OU, n, generator=g, **({} if times is None else {"times": times}))
        terms = denoising_terms(zero, torch.zeros(n, 3), noise, at, weighting)
        assert abs(float(terms.mean()) - 3 * wanted) < 5 * float(terms.std()) / n**0.5


def test_what_was_interrupted_twenty_times_ends_with_the_same_bits(tmp_path):
    def network(calls: list[int]) -> Fragile:
        return initialised(
            lambda: Fragile(calls, width=8, depth=1), generator=torch.Generator().manual_seed(2)
        )

    recipe = Recipe(steps=120, batch=32, check_every=5, averaging=0.9)
    whole = train(network([0]), points(), OU, recipe, generator=torch.Generator().manual_seed(5))
    breaks = torch.randint(2, 9, (20,), generator=torch.Generator().manual_seed(6)).tolist()
    calls, cuts = [0], 0
    done = None
    while done is None:
        calls[0] = breaks[cuts] if cuts < len(breaks) else 0
        try:
            done = train(
                network(calls),
                points(),
                OU,
                recipe,
                generator=torch.Generator().manual_seed(5),
                folder=tmp_path,
            )
        except PowerCutError:
            cuts += 1
    assert cuts == 20
    assert torch.equal(weights(done.network), weights(whole.network))
    assert torch.equal(done.held_out, whole.held_out)
    assert torch.equal(done.losses, whole.losses)
    assert done.best == whole.best


def test_the_generator_goes_on_as_after_an_uninterrupted_run(tmp_path):
    ends = []
    for steps, folder in ((60, None), (20, tmp_path), (60, tmp_path)):
        g = torch.Generator().manual_seed(5)
        recipe = QUICK
        if steps == 20:
            calls = [25]
            net = initialised(
                lambda calls=calls: Fragile(calls, width=8, depth=1),
                generator=torch.Generator().manual_seed(2),
            )
            with pytest.raises(PowerCutError):
                train(net, points(), OU, recipe, generator=g, folder=folder)
            continue
        train(fresh_network(), points(), OU, recipe, generator=g, folder=folder)
        ends.append(g.get_state())
    assert torch.equal(*ends)


def test_average_and_rate_are_those_of_diffusers():
    optimization = pytest.importorskip("diffusers.optimization")
    ema_of = pytest.importorskip("diffusers.training_utils").EMAModel
    run = _Run(fresh_network(), points(), OU, QUICK, torch.Generator().manual_seed(5), None, None)
    other = copy.deepcopy(run.network)
    theirs = ema_of(other.parameters(), decay=QUICK.averaging)
    rates = torch.optim.SGD(other.parameters(), lr=QUICK.rate)
    schedule = optimization.get_cosine_schedule_with_warmup(rates, 3, QUICK.steps)
    for _ in range(15):
        assert run.optimiser.param_groups[0]["lr"] == pytest.approx(rates.param_groups[0]["lr"], rel=1e-12)
        run._update()
        theirs.step(run.network.parameters())
        rates.step()
        schedule.step()
    ours = list(run.average.parameters())
    for mine, their in zip(ours, theirs.shadow_params, strict=True):
        assert torch.allclose(mine, their, rtol=1e-5, atol=1e-7)


class Counting(PointNetwork):
    """Counts its calls in a buffer, which an average has to take over."""

    def __init__(self) -> None:
        super().__init__(2, width=8, depth=1)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x, t)


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_clipping_and_average_are_those_of_torch_bit_by_bit(clip):
    recipe = Recipe(steps=60, batch=32, check_every=10, averaging=0.9, clip=clip)
    network = initialised(Counting, generator=torch.Generator().manual_seed(2))
    run = _Run(network, points(), OU, recipe, torch.Generator().manual_seed(5), None, None)

    def move(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        torch._foreach_lerp_(averaged, current, 1 - min(0.9, (1 + float(count)) / (10 + float(count))))

    other = AveragedModel(network, multi_avg_fn=move)
    before: list[Tensor] = []

    def clipped() -> None:
        before[:] = [p.grad.clone() for p in network.parameters()]
        _Run._clip(run)

    run._clip = clipped
    for _ in range(15):
        run._update()
        other.update_parameters(network)
        after = [p.grad for p in network.parameters()]
        for p, grad in zip(network.parameters(), before, strict=True):
            p.grad = grad
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        for p, grad in zip(network.parameters(), after, strict=True):
            assert torch.equal(p.grad, grad)
        averages = [*run.average.parameters(), *run.average.buffers()]
        for mine, their in zip(averages, [*other.module.parameters(), *other.module.buffers()], strict=True):
            assert torch.equal(mine, their)
    assert float(run.average.calls) == 15


def test_training_stops_early_and_returns_the_best():
    recipe = Recipe(steps=5_000, batch=16, check_every=5, patience=4, rate=3e-2, averaging=0.0)
    done = train(fresh_network(), points(20), OU, recipe, generator=torch.Generator().manual_seed(0))
    assert int(done.steps[-1]) < 5_000
    assert done.best == int(done.steps[done.held_out.argmin()])
    assert len(done.steps) - 1 - int(done.held_out.argmin()) == 4


def test_a_loss_that_is_no_number_leaves_the_last_good_file(tmp_path):
    calls = [35]
    network = initialised(
        lambda: Fragile(calls, width=8, depth=1), generator=torch.Generator().manual_seed(2)
    )
    sound = Fragile.forward

    def poisoned(self: Fragile, x: Tensor, t: Tensor) -> Tensor:
        try:
            return sound(self, x, t)
        except PowerCutError:
            return x * math.nan + 0 * next(self.parameters()).sum()

    network.forward = poisoned.__get__(network)
    with pytest.raises(ValueError, match=r"loss at step 35 = nan: lower rate .* last good step"):
        train(network, points(), OU, QUICK, generator=torch.Generator().manual_seed(5), folder=tmp_path)
    done = train(
        fresh_network(), points(), OU, QUICK, generator=torch.Generator().manual_seed(5), folder=tmp_path
    )
    whole = train(fresh_network(), points(), OU, QUICK, generator=torch.Generator().manual_seed(5))
    assert torch.equal(weights(done.network), weights(whole.network))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("recipe", {"recipe": Recipe(steps=61, batch=32, check_every=10, averaging=0.9)}),
        ("network", {"network": fresh_network(seed=9)}),
        ("data", {"data": points(201)}),
        ("process", {"process": OrnsteinUhlenbeck(0.03)}),
        ("generator", {"generator": torch.Generator().manual_seed(7)}),
    ],
)
def test_the_file_of_another_training_is_refused(tmp_path, what, change):
    asked = {"network": fresh_network(), "data": points(), "process": OU, "recipe": QUICK}
    asked["generator"] = torch.Generator().manual_seed(5)
    train(**asked, folder=tmp_path)
    asked |= {"network": fresh_network(), "generator": torch.Generator().manual_seed(5)}
    with pytest.raises(ValueError, match=f"differs in its {what}: take another folder"):
        train(**(asked | change), folder=tmp_path)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "training.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"training\.safetensors"):
        train(fresh_network(), points(), OU, QUICK, generator=torch.Generator(), folder=tmp_path)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (points().index_fill(0, torch.tensor([3]), math.nan), "data"),
        (
            torch.cat([points(), torch.ones(200, 1)], dim=1),
            r"data\[:, 2\] = always 1: leave such columns out",
        ),
        (points(20), r"18 are left to train on, fewer than batch = 32"),
        (torch.zeros(200, 2, dtype=torch.uint8), r"data\.dtype = torch\.uint8.*float\(\) / 127\.5"),
        (torch.zeros(200, 1, 8, 8), r"Images\(network, shape\)\.to_points"),
        (points().double(), "the network computes in torch.float32"),
        (255 * points().abs(), "scale the data"),
    ],
)
def test_bad_data_are_refused(data, text):
    dim = data.shape[1] if data.ndim == 2 else 2
    with pytest.raises(ValueError, match=text):
        train(fresh_network(dim), data, OU, QUICK, generator=torch.Generator())


def test_what_is_no_network_is_refused():
    with pytest.raises(ValueError, match="network"):
        train(torch.nn.Identity(), points(), OU, QUICK, generator=torch.Generator())
    narrow = fresh_network()
    narrow.body[-1] = torch.nn.Linear(8, 1)
    narrow.forward = lambda x, t: narrow.body[-1](x[:, :1].expand(-1, 8))
    with pytest.raises(ValueError, match=r"network\(x, t\)\.shape"):
        train(narrow, points(), OU, QUICK, generator=torch.Generator())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch", 2.5),
        ("rate", 0.0),
        ("averaging", 1.0),
        ("held_out", 0.0),
        ("warm_up", 1.0),
        ("patience", 0),
    ],
)
def test_a_bad_recipe_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Recipe(**({"steps": 10} | {name: value}))


def test_points_to_judge_by_leave_all_data_for_training():
    data, others = points(40), points(30) + 0.1
    all_of_them = Recipe(steps=20, batch=40, check_every=10)

    def held_out(judged: Tensor | None) -> Tensor:
        g = torch.Generator().manual_seed(3)
        return train(fresh_network(), data, OU, all_of_them, generator=g, judged=judged).held_out

    with pytest.raises(ValueError, match="36 are left to train on"):
        held_out(None)
    assert torch.equal(held_out(others), held_out(others))
    assert not torch.equal(held_out(others), held_out(3 * others))
    with pytest.raises(ValueError, match=r"judged\.shape"):
        held_out(points(5, dim=3))
    with pytest.raises(ValueError, match="pass one point or more"):
        held_out(data[:0])
