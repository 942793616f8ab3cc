"""Scores of diffusers' networks, held against the steps of diffusers' own schedulers.

Each step is written here once more, from the score alone and in our time. On one side the library makes it from
the network's output; on the other stands what the score says, so kinds, clocks and coordinates all have to be
right for the two to agree.
"""

import math
from itertools import pairwise

import diffusers
import pytest
import torch
from torch.testing import assert_close

from helpers import points, seeded
from scoredrift import FunctionScore, OrnsteinUhlenbeck, ProbedScore
from scoredrift.scores import (
    DataPrediction,
    Images,
    LogNoiseLevels,
    NoisePrediction,
    PreconditionedPrediction,
    Timesteps,
    VelocityPrediction,
    from_diffusers,
)

STEPS = 10
KINDS = ("epsilon", "sample", "v_prediction")


class Network(torch.nn.Module):
    """A random network that depends on points and readings, from 0 to 1000 as from −2 to 2."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        g = seeded(0)
        self.first = torch.nn.Parameter(torch.randn(4, 16, generator=g).to(dtype))
        self.last = torch.nn.Parameter((torch.randn(16, 2, generator=g) / 4).to(dtype))

    def forward(self, x, t):
        clock = torch.stack([torch.sin(t / 100), torch.cos(t)], 1).to(x.dtype)
        return torch.tanh(torch.cat([x, clock], 1) @ self.first) @ self.last


def time_of(sigma):
    """t = log(1 + σ²)."""
    return float(torch.log1p(torch.as_tensor(sigma).double() ** 2))


def ddim_step(score, x, t, t_next):
    """DDIM from the score: x_0 = (x + v s)/a and ε = −√v s at t, put together again at t_next."""
    a, v, a_next, v_next = (
        math.exp(-t / 2),
        -math.expm1(-t),
        math.exp(-t_next / 2),
        -math.expm1(-t_next),
    )
    s = score(x, t)
    return a_next * (x + v * s) / a - math.sqrt(v_next * v) * s


def euler_step(score, y, sigma, sigma_next):
    """Euler for dy/dσ = −σ ∇ log p_σ(y) of y = x/a, with ∇ log p_σ(y) = a s(a y, t)."""
    t = time_of(sigma)
    a = math.exp(-t / 2)
    return y - (sigma_next - sigma) * sigma * a * score(a * y, t)


def ddim(kind, dtype, **rest):
    scheduler = diffusers.DDIMScheduler(prediction_type=kind, clip_sample=False, **rest)
    if dtype == torch.float64:  # else the library takes square roots of its table in single precision
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
    scheduler.set_timesteps(STEPS)
    return scheduler


def ddim_chain(scheduler):
    """Our times of the steps that the scheduler makes."""
    table = scheduler.alphas_cumprod.double()
    last = float(-scheduler.final_alpha_cumprod.double().log())
    return [float(-table[k].log()) for k in scheduler.timesteps] + [last]


TABLES = (
    {},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1},
    {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"},
    {
        "trained_betas": [0.01 + 0.001 * k for k in range(30)],
        "set_alpha_to_one": False,
        "num_train_timesteps": 30,
    },
)
ACCURACY = {torch.float32: 1e-5, torch.float64: 1e-10}


def close(found, wanted, accuracy, x=None, a=1.0):
    """Relative to the size of the points, and to what the dtype leaves of x_0 = (x + v s)/a, late, when s ≈ −x."""
    lost = 0 if x is None else 8 * torch.finfo(x.dtype).eps * float(x.abs().max()) / a
    gap = float((found - wanted).detach().abs().max())
    assert gap <= accuracy * float(wanted.detach().abs().max()) + lost


@pytest.mark.parametrize("dtype", ACCURACY, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", TABLES, ids=range(len(TABLES)))
def test_steps_and_samples_of_ddim(table, kind, dtype):
    network, scheduler = Network(dtype), ddim(kind, dtype, **table)
    score = from_diffusers(network, scheduler)
    times = ddim_chain(scheduler)
    theirs = ours = start = points(1, 7, 2).to(dtype) / 3
    shrinks = [math.exp((t_next - t) / 2) for t, t_next in pairwise(times)]
    with torch.no_grad():
        for k, shrink, (t, t_next) in zip(scheduler.timesteps, shrinks, pairwise(times), strict=True):
            said = network(theirs, k.to(dtype).expand(7))
            step = scheduler.step(said, int(k), theirs).prev_sample
            close(ddim_step(score, theirs, t, t_next), step, ACCURACY[dtype], theirs, shrink)
            theirs, ours = step, ddim_step(score, ours, t, t_next)
    assert theirs.dtype == ours.dtype == dtype
    close(ours, theirs, 3 * ACCURACY[dtype], start, min(shrinks))


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_a_ddpm_step(kind):
    """From the score: with α = a²/a'², the mean is (x + (1 − α) s)/√α."""
    scheduler = diffusers.DDPMScheduler(
        prediction_type=kind, clip_sample=False, variance_type="fixed_small_log"
    )
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    network, x = Network(), points(1, 7, 2)
    score, table = from_diffusers(network, scheduler), scheduler.alphas_cumprod
    k = 400
    both = [scheduler.step(network(x, torch.full((7,), k)), k, x, generator=seeded(i)) for i in (0, 0)]
    assert torch.equal(both[0].prev_sample, both[1].prev_sample)
    noise = torch.randn(x.shape, generator=seeded(0), dtype=x.dtype)
    spread = scheduler._get_variance(k, variance_type="fixed_small_log")
    alpha = table[k] / table[k - 1]
    mean = (x + (1 - alpha) * score(x, float(-table[k].log()))) / alpha.sqrt()
    close(mean + spread * noise, both[0].prev_sample, 1e-8)


EULERS = (
    {"timestep_spacing": "leading"},
    {"timestep_spacing": "trailing", "beta_schedule": "scaled_linear", "final_sigmas_type": "sigma_min"},
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True, "beta_schedule": "squaredcos_cap_v2", "sigma_max": 50.0},
)


def euler_chain(network, scheduler, score, y, readings, accuracy):
    """Library and we, step by step and as a whole; the library casts samples to float32."""
    sigmas = scheduler.sigmas.tolist()
    theirs = ours = y
    with torch.no_grad():
        for i, k in enumerate(scheduler.timesteps):
            seen = scheduler.scale_model_input(theirs, k)
            said = network(seen.to(readings), k.float().expand(len(y))).to(y.dtype)
            step = scheduler.step(said, k, theirs).prev_sample
            close(euler_step(score, theirs, sigmas[i], sigmas[i + 1]), step, accuracy[0], theirs)
            theirs, ours = step, euler_step(score, ours, sigmas[i], sigmas[i + 1])
    close(ours, theirs, accuracy[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", EULERS, ids=range(len(EULERS)))
def test_steps_and_samples_of_euler(options, kind):
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type=kind, **options)
    scheduler.set_timesteps(STEPS)
    network = Network(torch.float32)
    y = float(scheduler.init_noise_sigma) * torch.randn(7, 2, generator=seeded(1))
    euler_chain(network, scheduler, from_diffusers(network, scheduler), y, torch.float32, (1e-5, 3e-5))


def test_steps_and_samples_of_euler_with_readings_of_edm():
    scheduler = diffusers.EulerDiscreteScheduler(
        prediction_type="v_prediction", timestep_type="continuous", use_karras_sigmas=True
    )
    scheduler.set_timesteps(STEPS)
    network = Network(torch.float32)
    score = from_diffusers(network, scheduler)
    assert isinstance(score.prediction.clock, LogNoiseLevels)
    y = float(scheduler.init_noise_sigma) * torch.randn(7, 2, generator=seeded(1))
    euler_chain(network, scheduler, score, y, torch.float32, (1e-5, 3e-5))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "options", [{}, {"sigma_data": 1.3, "sigma_schedule": "exponential"}, {"final_sigmas_type": "sigma_min"}]
)
def test_steps_and_samples_of_edm(options, kind):
    scheduler = diffusers.EDMEulerScheduler(prediction_type=kind, **options)
    scheduler.set_timesteps(STEPS)
    network = Network(torch.float32)
    score = from_diffusers(network, scheduler)
    assert isinstance(score.prediction, PreconditionedPrediction)
    y = float(scheduler.init_noise_sigma) * torch.randn(7, 2, generator=seeded(1))
    euler_chain(network, scheduler, score, y, torch.float32, (1e-5, 3e-5))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_in_bfloat16_beside_times_in_float32(kind):
    """Both sides round the same points to bfloat16, so that a step agrees as in float32.

    But for one thing: where a scheduler scales the points first, the last digit of float32 decides now and
    then to which of two bfloat16 a point is rounded. In a chain of steps this happens, and the outputs then
    differ by some 2⁻⁸ of their size, once for each step at worst.
    """
    network = Network(torch.bfloat16)
    scheduler = ddim(kind, torch.float32)
    score, times = from_diffusers(network, scheduler), ddim_chain(scheduler)
    theirs = ours = points(1, 7, 2).float() / 3
    with torch.no_grad():
        for k, (t, t_next) in zip(scheduler.timesteps, pairwise(times), strict=True):
            said = network(theirs.bfloat16(), k.float().expand(7)).float()
            step = scheduler.step(said, int(k), theirs).prev_sample
            close(ddim_step(score, theirs, t, t_next), step, 1e-5)
            theirs, ours = step, ddim_step(score, ours, t, t_next)
    close(ours, theirs, STEPS * 2**-8)
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type=kind, timestep_spacing="leading")
    scheduler.set_timesteps(STEPS)
    y = float(scheduler.init_noise_sigma) * torch.randn(7, 2, generator=seeded(1))
    euler_chain(
        network, scheduler, from_diffusers(network, scheduler), y, torch.bfloat16, (2**-8, STEPS * 2**-8)
    )


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_weights_in_bfloat16_beside_times_of_edm_in_float32(kind):
    """The library scales the points in float32, too, and combines what the network says in float32."""
    network = Network(torch.bfloat16)
    scheduler = diffusers.EDMEulerScheduler(prediction_type=kind)
    scheduler.set_timesteps(STEPS)
    y = float(scheduler.init_noise_sigma) * torch.randn(7, 2, generator=seeded(1))
    score = from_diffusers(network, scheduler)
    assert score(y, 1.0).dtype == torch.float32
    euler_chain(network, scheduler, score, y, torch.bfloat16, (2**-8, STEPS * 2**-8))


def test_a_chain_to_zero_signal_stops_before_it():
    scheduler = diffusers.DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    assert float(scheduler.alphas_cumprod[-1]) == 0
    score = from_diffusers(Network(), scheduler)
    t = score.prediction.clock.t_max
    assert_close(t, -math.log(float(scheduler.alphas_cumprod[-2])))
    assert bool(score(points(0, 3, 2), t).isfinite().all())
    with pytest.raises(ValueError, match="range of the Timesteps"):
        score(points(0, 3, 2), t + 1)


def test_what_a_scheduler_says_is_read():
    for name, kind in zip(KINDS, (NoisePrediction, DataPrediction, VelocityPrediction), strict=True):
        found = from_diffusers(Network(), diffusers.DDIMScheduler(prediction_type=name)).prediction
        assert type(found) is kind
        assert isinstance(found.clock, Timesteps)
    edm = from_diffusers(
        Network(), diffusers.EDMEulerScheduler(sigma_data=0.7, prediction_type="v_prediction")
    )
    assert edm.prediction == PreconditionedPrediction(0.7, LogNoiseLevels(0.002, 80.0), negated=True)
    with pytest.raises(ValueError, match=r"t = 9: .* \[3.99999e-06, 8.76421\], the range of the Log"):
        edm(points(0, 3, 2), 9.0)


class Arctangent(diffusers.EDMEulerScheduler):
    """As EDM, but for what the network reads; so CosineDPMSolverMultistepScheduler, which needs torchsde."""

    def precondition_noise(self, sigma):
        return torch.as_tensor(sigma).atan()


REFUSED = [
    ("scheduler = a FlowMatch", "alphas_cumprod", diffusers.FlowMatchEulerDiscreteScheduler),
    ("scheduler = a Arctangent", "alphas_cumprod", Arctangent),
    ("scheduler = a NoneType", "alphas_cumprod", lambda: None),
    (
        "scheduler.config.prediction_type = x",
        "epsilon, sample",
        lambda: diffusers.DDIMScheduler(prediction_type="x"),
    ),
    (
        "scheduler.config.prediction_type = sample",
        "epsilon or v",
        lambda: diffusers.EDMEulerScheduler(prediction_type="sample"),
    ),
]


@pytest.mark.parametrize(("begins", "remedy", "make"), REFUSED, ids=[row[0] for row in REFUSED])
def test_schedulers_that_are_not_understood_are_refused(begins, remedy, make):
    with pytest.raises(ValueError, match=" = ") as refusal:
        from_diffusers(Network(), make())
    assert str(refusal.value).startswith(begins)
    assert remedy in str(refusal.value).partition(": ")[2]


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        8,
        3,
        3,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=2,
        num_class_embeds=4,
    ).eval()


def test_a_u_net_of_diffusers_with_classes(unet):
    """Labels go in through a function; what comes back is an object with the images inside."""
    labels, x = torch.tensor([0, 1, 2]), points(3, 3, 192)
    scheduler = ddim("v_prediction", torch.float64)

    def network(images, k):
        return unet(images, k, class_labels=labels)

    score = from_diffusers(Images(network, (3, 8, 8)), scheduler, dtype=torch.float32)
    times = ddim_chain(scheduler)
    k = scheduler.timesteps[4]
    with torch.no_grad():
        said = network(x.float().reshape(3, 3, 8, 8), k).sample.double().flatten(1)
        step = scheduler.step(said, int(k), x).prev_sample
        close(ddim_step(score, x, times[4], times[5]), step, 1e-6)


def test_a_u_net_of_diffusers_has_a_divergence(unet):
    plain = Images(lambda images, k: unet(images, k, class_labels=torch.zeros(len(images)).long()), (3, 8, 8))
    score = from_diffusers(plain, ddim("epsilon", torch.float32), dtype=torch.float32)
    x = points(3, 2, 192).float() / 3
    exact = FunctionScore(score).divergence(x, 0.5)
    rows = torch.stack([ProbedScore(score, 20, seeded(i)).divergence(x, 0.5) for i in range(10)])
    assert bool(((rows.mean(0) - exact).abs() < 5 * rows.std(0) / math.sqrt(10)).all())
    assert OrnsteinUhlenbeck().t_max < score.prediction.clock.t_max
