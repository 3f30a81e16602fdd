"""AdamW with warm-up and decay, and the one place that applies an update."""

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
    """Learning rate as a function of the update, counted from 0."""

    peak: float
    warmup: int
    total: int
    decay: Decay

    def rate(self, update: int) -> float:
        if update < self.warmup:
            return self.peak * (update + 1) / self.warmup
        if self.decay == "constant":
            return self.peak
        share = (update - self.warmup) / max(1, self.total - self.warmup)
        return self.peak * (1 - share if self.decay == "linear" else (1 + math.cos(math.pi * share)) / 2)


def adamw(
    model: nn.Module, *, weight_decay: float, betas: tuple[float, float] = (0.9, 0.95)
) -> torch.optim.AdamW:
    """Decays matrices only; the learning rate is set by every update."""
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
    """Clip, step, forget the gradients; returns the gradient's norm.

    Raises StageError before a non-finite loss or gradient can reach the weights.
    """
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), max_norm))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise StageError(
            f"update {update}: loss {loss}, gradient norm {norm}; the last good checkpoint is kept. "
            "Lower the learning rate (spec.train.*.learningRate) or take precision float32",
            reason="NonFiniteLoss",
        )
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return norm


def epoch_order(count: int, *, seed: int, epoch: int) -> list[int]:
    """A permutation that is a function of (seed, epoch), so that a resumed run needs no stored position."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator).tolist()
