"""One GRPO run: what is fixed, how far it has come, what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from learntoask.core.manifest import Distributed, Grpo, Method, Reward
from learntoask.training.distributed.process_group import ALONE, Workers
from learntoask.training.grpo.validation import Validation

TITLES: dict[Method, str] = {"grpo": "GRPO", "dpo": "DPO", "rewardWeighted": "Reward-weighted SFT"}


@dataclass(frozen=True)
class GrpoRun:
    """One run's fixed parts. `work` outlives a killed attempt, and all workers see the same one."""

    settings: Grpo
    reward: Reward
    seed: int
    precision: torch.dtype
    row_tokens: int
    max_new_tokens: int
    max_missing_share: float
    checkpoint_every: int
    work: Path
    workers: Workers = ALONE
    distributed: Distributed = field(default_factory=Distributed)
    method: Method = "grpo"
    dpo_beta: float = 0.1

    @property
    def title(self) -> str:
        return TITLES[self.method]


@dataclass(frozen=True)
class GrpoResult:
    """`best_update` 0 means that no update beat the SFT policy, which is then published as it was."""

    updates: int
    best_update: int
    start: Validation | None
    best: Validation | None
    sessions: int
    missing_share: float
    fallbacks: int


@dataclass
class Position:
    """What a checkpoint holds beside weights and optimiser."""

    update: int = 0
    best_update: int = 0
    start: Validation | None = None
    best: Validation | None = None
    graded: int = 0
    missing: int = 0
    fallbacks: int = 0

    def saved(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> Position:
        known = {name: Validation(**saved[name]) if saved[name] else None for name in ("start", "best")}
        return cls(**{**saved, **known})
