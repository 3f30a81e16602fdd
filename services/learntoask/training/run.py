"""What is fixed in one run of a training stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from learntoask.core.manifest import Train
from learntoask.training.distributed.process_group import ALONE, Workers


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The settings of one run of stage `sft` or `grpo`, on one worker.

    `train` is `spec.train` of the manifest; `precision` and `row_tokens` are what its settings of these names resolve
    to on this machine. `work` holds the checkpoints and outlives a killed attempt.
    """

    train: Train
    precision: torch.dtype
    row_tokens: int
    work: Path
    workers: Workers = ALONE
