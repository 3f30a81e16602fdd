"""AdamW with warm-up and decay of the learning rate, and the one function that applies an update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from learntoask.core.errors import StageError

Decay = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each of `total` updates: linear warm-up to `peak` over `warmup` updates, then `decay`."""

    peak: float
    warmup: int
    total: int
    decay: Decay

    def rate(self, update: int) -> float:
        """Return the learning rate of `update`, counted from 0."""
        if update < self.warmup:
            return self.peak * (update + 1) / self.warmup
        if self.decay == "constant":
            return self.peak
        share = (update - self.warmup) / max(1, self.total - self.warmup)
        return self.peak * (1 - share if self.decay == "linear" else (1 + math.cos(math.pi * share)) / 2)


def adamw(
    model: nn.Module, *, weight_decay: float, betas: tuple[float, float] = (0.9, 0.95)
) -> torch.optim.AdamW:
    """Return an AdamW over the trainable weights of `model` that decays matrices only.

    Its learning rate is 0 until `apply_update` sets that of the update.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    vectors = [parameter for parameter in trained if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=0.0,
        betas=betas,
        fused=True,
    )


def apply_update(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    rate: float,
    max_norm: float,
    loss: float,
    update: int,
) -> float:
    """Clip the gradients to `max_norm`, step, clear the gradients and return their norm before clipping.

    Raises StageError before a loss or gradient that is not finite can reach the weights.
    """
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), max_norm))
    check_finite(loss, norm, update=update)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return norm


def check_finite(loss: float, norm: float, *, update: int) -> None:
    """Raise StageError (NonFiniteLoss) unless the loss and the norm of its gradient are finite."""
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise StageError(
            f"update {update}: loss {loss}, gradient norm {norm}; the last good checkpoint is kept. "
            "Lower the learning rate (spec.train.*.learningRate) or set spec.train.precision to float32",
            reason="NonFiniteLoss",
        )


def epoch_order(count: int, *, seed: int, epoch: int) -> list[int]:
    """Return a permutation of `range(count)` that follows from (seed, epoch), so a resumed run needs no position."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator).tolist()
