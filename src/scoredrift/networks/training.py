"""Training of a network that predicts the noise, which can be stopped at any moment and goes on to the same weights.

Every ``check_every`` steps, the average of the weights is judged on points that it was not trained on,
always with the same noise; the best average so far is what training returns, and all that is needed to go on
is written to a file. On a CPU, what was interrupted and resumed ends with the same bits.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from scoredrift import _checks
from scoredrift.networks.inputs import _fits
from scoredrift.networks.losses import _unchecked_terms, denoising_terms, spread_times
from scoredrift.networks.recipes import Recipe, Trained
from scoredrift.process import OrnsteinUhlenbeck
from scoredrift.runs import describe, load, locked, place, save

_FILE = "training.safetensors"


def train(
    network: torch.nn.Module,
    data: Tensor,
    process: OrnsteinUhlenbeck,
    recipe: Recipe,
    *,
    generator: torch.Generator,
    judged: Tensor | None = None,
    folder: Path | str | None = None,
    progress: bool = False,
) -> Trained:
    """Train a network to predict the noise of diffused data, by denoising score matching.

    On CUDA, networks compute in bfloat16 with float32 weights, images with their channels last.

    Args:
        network: maps points ``[n, d]`` and times ``[n]`` to ε̂ ``[n, d]``; trained where it is, in place.
        data: training set, shape ``[n, d]``, in the precision and on the device of the network.
        process: forward process.
        recipe: how.
        generator: source of all randomness, on the device of the data.
        judged: points to judge by, as the data; None to hold out a share of the data.
        folder: where to keep what is needed to go on; a run that finds its own file goes on from there.
        progress: show a progress bar.

    Returns:
        Trained.

    Raises:
        ValueError: data that are not finite, constant in a coordinate, too few for a batch, beyond ±30, or of another
            precision or device; a loss that is not a number (the last good file stays); a folder with the
            file of another training.

    >>> from scoredrift.networks import PointNetwork, initialised
    >>> g = torch.Generator().manual_seed(0)
    >>> x = 0.5 * torch.randn(2000, 1, generator=g)
    >>> network = initialised(lambda: PointNetwork(1, width=16, depth=1), generator=g)
    >>> done = train(network, x, OrnsteinUhlenbeck(), Recipe(steps=100, check_every=50), generator=g)
    >>> bool(done.held_out[-1] < done.held_out[0]), done.best
    (True, 100)
    """
    run = _Run(network, data, process, recipe, generator, judged, folder)
    with nullcontext() if run.path is None else locked(run.path.parent):
        run.resume()
        bar = tqdm(initial=run.step, total=recipe.steps, disable=not progress, desc="training")
        while not run.finished:
            before = run.step
            run.advance()
            bar.update(run.step - before)
            bar.set_postfix(held_out=f"{run.held_out[-1]:.4g}")
        bar.close()
    return run.result()


class _Run:
    """State of one training: weights, average, optimiser, best, curves, random numbers."""

    def __init__(
        self,
        network: torch.nn.Module,
        data: Tensor,
        process: OrnsteinUhlenbeck,
        recipe: Recipe,
        generator: torch.Generator,
        judged: Tensor | None,
        folder: Path | str | None,
    ) -> None:
        held = _fits(network, data, recipe, generator, judged)
        _checks.process(process)
        self.process, self.recipe, self.generator = process, recipe, generator
        self.path = None if folder is None else place(folder) / _FILE
        self.settings: dict[str, Any] = {}
        if self.path is not None:
            self.settings = {
                "recipe": describe(recipe),
                "process": describe(process),
                "network": _digest(network.state_dict()),
                "data": _digest({"data": data} | ({} if judged is None else {"judged": judged})),
                "generator": _digest({"state": generator.get_state()}),
            }
        if judged is None:
            order = torch.randperm(len(data), generator=generator, device=data.device)
            self.judged, self.data = data[order[:held]], data[order[held:]]
        else:
            self.judged, self.data = judged, data
        self.at = spread_times(process, held, generator=generator, times=recipe.times)
        mixed = torch.randperm(held, generator=generator, device=data.device)
        self.at = self.at._replace(t=self.at.t[mixed], weight=self.at.weight[mixed])
        self.noise = torch.randn(self.judged.shape, generator=generator, dtype=data.dtype, device=data.device)

        self.network = network.train()
        self.fast = data.device.type == "cuda"
        if self.fast:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.called = torch.compile(network) if recipe.compiled else network
        self.average = copy.deepcopy(network).eval()
        self.trainable = [p for p in network.parameters() if p.requires_grad]
        # Listed once: a search through the modules in every step costs as much as a layer of a small network.
        self.pairs = [
            [one.detach() for one in part]
            for part in (
                self.average.parameters(),
                network.parameters(),
                self.average.buffers(),
                network.buffers(),
            )
        ]
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.schedule = LambdaLR(self.optimiser, self._share_of_rate)
        self.step, self.best = 0, 0
        self.best_weights = copy.deepcopy(self.average.state_dict())
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.held_out: list[float] = []

    @property
    def finished(self) -> bool:
        """All steps are done, or the judgements have not improved for long."""
        if self.step >= self.recipe.steps:
            return True
        patience = self.recipe.patience
        return patience is not None and len([s for s in self.steps if s > self.best]) >= patience

    def advance(self) -> None:
        """Steps up to the next judgement, the judgement, and the file."""
        last = min(
            self.recipe.steps, self.step - self.step % self.recipe.check_every + self.recipe.check_every
        )
        first = self.step
        with _dropping(self.network, self.generator):
            found = [self._update() for _ in range(last - first)]
        losses = torch.stack(found).tolist()  # looked at together: each look waits for the device
        for step, loss in enumerate(losses, first + 1):
            if not math.isfinite(loss):
                self._lost("loss", loss, step)
        held = float(self._judge())
        if not math.isfinite(held):
            self._lost("loss on what was held out", held, last)
        if not self.held_out or held < min(self.held_out):
            self.best, self.best_weights = self.step, copy.deepcopy(self.average.state_dict())
        self.steps.append(self.step)
        self.losses.append(sum(losses) / len(losses))
        self.held_out.append(held)
        if self.path is not None:
            self._write()

    def result(self) -> Trained:
        """The best average, ready to be used."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.best_weights)
        losses, held_out = (
            torch.tensor(curve, dtype=torch.float64) for curve in (self.losses, self.held_out)
        )
        steps = torch.tensor(self.steps)
        return Trained(network.eval().requires_grad_(False), steps, losses, held_out, self.best)

    def resume(self) -> None:
        """Take up the state of the file, if there is one, and it is of this training."""
        if self.path is None or not self.path.exists():
            return
        state, note = load(self.path)
        for name, here in self.settings.items():
            if note.get("settings", {}).get(name) != here:
                remedy = f"it holds another training, which differs in its {name}: take another folder"
                _checks.refuse("folder", str(self.path.parent), remedy)
        self.network.load_state_dict(_part(state, "network"))
        self.average.load_state_dict(_part(state, "average"))
        self.best_weights = _part(state, "best")
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(state, "optimiser").items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        for weight, own in self.optimiser.state.items():  # the fused step wants all in one layout
            own |= {
                name: torch.empty_like(weight).copy_(value)
                for name, value in own.items()
                if value.shape == weight.shape
            }
        self.generator.set_state(state["generator"])
        self.step, self.best = note["step"], note["best"]
        self.steps, self.losses, self.held_out = note["steps"], note["losses"], note["held_out"]
        self.schedule = LambdaLR(self.optimiser, self._share_of_rate, last_epoch=self.step - 1)

    def _write(self) -> None:
        assert self.path is not None
        moments = {
            f"{index}.{name}": value
            for index, values in self.optimiser.state_dict()["state"].items()
            for name, value in values.items()
        }
        parts = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best_weights,
            "optimiser": moments,
        }
        tensors = {
            f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()
        }
        curves = {"steps": self.steps, "losses": self.losses, "held_out": self.held_out}
        note = {"settings": self.settings, "step": self.step, "best": self.best, **curves}
        save(self.path, tensors | {"generator": self.generator.get_state()}, note)

    @torch.enable_grad()
    def _update(self) -> Tensor:
        chosen = torch.randint(
            len(self.data), (self.recipe.batch,), generator=self.generator, device=self.data.device
        )
        points = self.data[chosen]
        at = spread_times(self.process, len(points), generator=self.generator, times=self.recipe.times)
        noise = torch.randn(points.shape, generator=self.generator, dtype=points.dtype, device=points.device)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.fast):
            loss = _unchecked_terms(self.called, points, noise, at, self.recipe.weighting).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._clip()
        self.optimiser.step()
        self.schedule.step()
        self._follow()
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def _clip(self) -> None:
        """As ``torch.nn.utils.clip_grad_norm_``, bit by bit, without sorting the gradients by device and dtype."""
        gradients = [p.grad for p in self.trainable if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (self.recipe.clip / (norm + 1e-6)).clamp(max=1.0))

    @torch.no_grad()
    def _follow(self) -> None:
        """The average moves towards the weights; after the first step it is the weights."""
        averaged, current, own, buffers = self.pairs
        if self.step == 0:
            torch._foreach_copy_(averaged, current)
        else:
            share = 1 - min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(averaged, current, share)
        if buffers:
            torch._foreach_copy_(own, buffers)

    @torch.no_grad()
    def _judge(self) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=self.data.device)
        for rows in torch.arange(len(self.judged), device=self.data.device).split(4 * self.recipe.batch):
            at = self.at._replace(t=self.at.t[rows], weight=self.at.weight[rows])
            with torch.autocast("cuda", torch.bfloat16, enabled=self.fast):
                terms = denoising_terms(
                    self.average, self.judged[rows], self.noise[rows], at, self.recipe.weighting
                )
            total += terms.double().sum()
        return total / len(self.judged)

    def _share_of_rate(self, step: int) -> float:
        """Share of the rate after so many steps: a straight rise, then half a cosine, as in diffusers."""
        rising = round(self.recipe.warm_up * self.recipe.steps)
        if step < rising:
            return step / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / (self.recipe.steps - rising)))

    def _lost(self, what: str, value: float, step: int) -> None:
        kept = (
            "" if self.path is None or not self.path.exists() else f"; {self.path} is of the last good step"
        )
        _checks.refuse(
            f"{what} at step {step}",
            value,
            f"lower rate = {self.recipe.rate}, or scale the data{kept}",
        )


@contextmanager
def _dropping(network: torch.nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Let dropout, which draws from the global random numbers of torch, draw from ours."""
    if not any(isinstance(part, torch.nn.Dropout) and part.p > 0 for part in network.modules()):
        yield
        return
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[generator.device] if generator.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _part(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.partition("/")[2]: value for name, value in state.items() if name.startswith(part + "/")}


def _digest(tensors: dict[str, Tensor]) -> str:
    sha = hashlib.sha256()
    for name, value in tensors.items():
        sha.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        sha.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
