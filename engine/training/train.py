"""Train the U-Net: reproducible from a seed, resumable from a checkpoint.

AdamW (arXiv 1711.05101) on Dice and cross-entropy, one cosine over all epochs after a short warm-up
and a moving average of the weights, which is what is evaluated and exported.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.training.augment import Ranges, centres, draw
from engine.training.data import Bytes, Pictures
from engine.training.evaluate import Predict
from engine.training.net import LEVELS, PATCH, WIDTH, Served, UNet

SMOOTH = 5.0  # pixels: a crop with an empty mask still has a gradient
WARM_UP = 100  # steps

Score = Callable[[UNet], dict[str, float]]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides the run but the data. An epoch sees each real slice once."""

    seed: int = 1
    epochs: int = 60
    batch: int = 12
    phantom_share: float = 0.15
    rate: float = 2e-3
    final_rate: float = 1e-5
    weight_decay: float = 0.02
    average: float = 0.997
    width: int = WIDTH
    levels: int = LEVELS
    patch: int = PATCH
    threads: int = 2
    checkpoint_every: int = 5
    compiled: bool = False
    ranges: Ranges = field(default_factory=Ranges)


class Source:
    """Draws batches: real slices in a new order each epoch, some of them replaced by phantoms."""

    def __init__(self, real: Pictures, phantom: Pictures, variants: int, plan: Plan) -> None:
        self.plan = plan
        self.images = torch.from_numpy(real.images)
        self.masks = torch.from_numpy(real.masks)
        self.hearts = centres(self.masks)
        self.fake = (torch.from_numpy(phantom.images), torch.from_numpy(phantom.masks))
        self.fake_hearts = centres(self.fake[1])
        self.copies = variants + 1  # of each slice, side by side
        self.slices = len(real) // self.copies
        self.steps = math.ceil(self.slices / (plan.batch * (1 - plan.phantom_share)))

    def batches(self, rng: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Return the picks of one epoch: (rows of the real, rows of the phantoms) for each step."""
        fakes = round(self.plan.batch * self.plan.phantom_share)
        reals = self.plan.batch - fakes
        rounds = math.ceil(self.steps * reals / self.slices)
        order = torch.cat([torch.randperm(self.slices, generator=rng) for _ in range(rounds)])
        picks = []
        for step in range(self.steps):
            rows = order[step * reals : (step + 1) * reals] * self.copies
            rows = rows + torch.randint(self.copies, (reals,), generator=rng)
            picks.append((rows, torch.randint(len(self.fake[0]), (fakes,), generator=rng)))
        return picks

    def crops(self, pick: tuple[Tensor, Tensor], rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the varied crops of one pick, float32 [batch, 1, crop, crop] each."""
        rows, fakes = pick
        images = torch.cat((self.images[rows], self.fake[0][fakes]))
        masks = torch.cat((self.masks[rows], self.fake[1][fakes]))
        hearts = torch.cat((self.hearts[rows], self.fake_hearts[fakes]))
        return draw(images, masks, hearts, self.plan.ranges, rng)


def loss_of(logits: Tensor, mask: Tensor) -> Tensor:
    """Return cross-entropy plus one minus soft Dice, the latter for each crop on its own."""
    entropy = functional.binary_cross_entropy_with_logits(logits, mask)
    probability = torch.sigmoid(logits)
    both = (probability * mask).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    dice = (2 * both + SMOOTH) / (total + SMOOTH)
    return entropy + 1 - dice.mean()


class Trainer:
    """The state of one run: net, moving average, optimiser, random numbers, epoch."""

    def __init__(
        self, source: Source, plan: Plan, folder: Path, notes: dict[str, str] | None = None
    ) -> None:
        torch.manual_seed(plan.seed)
        torch.set_num_threads(plan.threads)
        self.source, self.plan, self.folder = source, plan, folder
        self.notes = notes or {}
        self.net = UNet(plan.width, plan.levels, plan.patch).to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net).eval()
        self.step_net: Any = torch.compile(self.net) if plan.compiled else self.net
        self.optimiser = torch.optim.AdamW(self.net.parameters(), weight_decay=plan.weight_decay)
        self.rng = torch.Generator().manual_seed(plan.seed)
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, score: Score | None, say: Say) -> None:
        """Train to the plan's last epoch; a line and, now and then, a checkpoint an epoch."""
        begun, first = time.monotonic(), self.epoch
        while self.epoch < self.plan.epochs:
            loss = self._train_epoch()
            self.epoch += 1
            kept = self.epoch % self.plan.checkpoint_every == 0 or self.epoch == self.plan.epochs
            row = {"epoch": float(self.epoch), "loss": loss}
            if kept and score is not None:
                row |= score(self.mean)
            self.history.append(row)
            if kept:
                self.save()
            spent = time.monotonic() - begun
            left = spent / (self.epoch - first) * (self.plan.epochs - self.epoch)
            figures = "  ".join(f"{name} {value:.4f}" for name, value in list(row.items())[1:])
            say(f"epoch {self.epoch}/{self.plan.epochs}  {figures}  {left / 60:.1f} min left")

    def _train_epoch(self) -> float:
        self.net.train()
        total = 0.0
        picks = self.source.batches(self.rng)
        for step, pick in enumerate(picks):
            for group in self.optimiser.param_groups:
                group["lr"] = self._rate(self.epoch * len(picks) + step)
            x, y = self.source.crops(pick, self.rng)
            loss = loss_of(self.step_net(x.contiguous(memory_format=torch.channels_last)), y)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self.optimiser.step()
            self._average(self.epoch * len(picks) + step)
            total += loss.item()
        return total / len(picks)

    def _rate(self, step: int) -> float:
        last = self.plan.epochs * self.source.steps
        down = (1 + math.cos(math.pi * step / last)) / 2
        rate = self.plan.final_rate + (self.plan.rate - self.plan.final_rate) * down
        return rate * min(1.0, (step + 1) / WARM_UP)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _average(self, step: int) -> None:
        """Move the average towards the net, batch statistics included."""
        keep = min(self.plan.average, (1 + step) / (10 + step))
        now = self.net.state_dict()
        for name, value in self.mean.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(now[name], 1 - keep)
            else:
                value.copy_(now[name])

    def save(self) -> None:
        """Write `last.pt`; a reader never sees half a file."""
        state = {
            "net": self.net.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.get_state(),
            "epoch": self.epoch,
            "history": self.history,
            "plan": asdict(self.plan),
            "notes": self.notes,
        }
        partial = self.folder / "last.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "last.pt")

    def resume(self, path: Path) -> None:
        """Go on where `path` was saved, with this plan's epochs and rates."""
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.set_state(state["rng"])
        self.epoch, self.history = state["epoch"], state["history"]

    def start_from(self, path: Path) -> None:
        """Begin a new run with the averaged weights of another."""
        weights = torch.load(path, weights_only=True)["mean"]
        self.net.load_state_dict(weights)
        self.mean.load_state_dict(weights)


def averaged_net(path: Path) -> UNet:
    """Return the net of a checkpoint, its averaged weights, ready to evaluate or export."""
    state = torch.load(path, weights_only=True)
    plan = state["plan"]
    net = UNet(plan["width"], plan["levels"], plan["patch"])
    net.load_state_dict(state["mean"])
    net.eval()
    return net


def run_of(path: Path) -> dict[str, Any]:
    """Return what a checkpoint knows of its run: `plan`, `notes`, `epoch` and `history`."""
    state = torch.load(path, weights_only=True)
    return {name: state[name] for name in ("plan", "notes", "epoch", "history")}


def notes_of(path: Path) -> dict[str, str]:
    """Return what a checkpoint says of its run, for the exported file's metadata."""
    return dict(run_of(path)["notes"])


def predictor(net: UNet, threshold: float) -> Predict:
    """Return a predictor for `evaluate` that runs `net` as it is, in this process."""
    served = Served(net, threshold).eval()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def predict(images: Bytes) -> tuple[Bytes, NDArray[np.float32]]:
        mask, confidence = served(torch.from_numpy(images))
        return mask.numpy(), confidence.numpy()

    return cast(Predict, predict)
