"""One GRPO run: its settings, its position, its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from learntoask.core.manifest import Grpo, Method
from learntoask.training.grpo.validation import Validation
from learntoask.training.run import TrainingRun

TITLES: dict[Method, str] = {"grpo": "GRPO", "dpo": "DPO", "rewardWeighted": "Reward-weighted SFT"}


@dataclass(frozen=True, kw_only=True)
class GrpoRun(TrainingRun):
    """A run of GRPO or of one of its baselines. `max_missing_share` is that of `spec.grader`."""

    max_missing_share: float

    @property
    def title(self) -> str:
        """The name of the method in messages."""
        return TITLES[self.train.method]

    @property
    def settings(self) -> Grpo:
        """`spec.train.grpo`, with plain credit for the baselines, whose losses take a completion as a whole."""
        grpo = self.train.grpo
        return grpo if self.train.method == "grpo" else grpo.model_copy(update={"credit": "plain"})


@dataclass(frozen=True)
class GrpoResult:
    """What GRPO did. `best_update` 0 means that no update beat the SFT policy, which is then published unchanged.

    `start` and `best` are the validations of the SFT policy and of the published one, None without validation
    sessions. `missing_share` is the share of missing grades, `fallbacks` the number of contexts that were no prefix of
    their session.
    """

    updates: int
    best_update: int
    start: Validation | None
    best: Validation | None
    sessions: int
    missing_share: float
    fallbacks: int


@dataclass
class Position:
    """How far a run has come; part of its checkpoint. `graded` and `missing` count grades."""

    update: int = 0
    best_update: int = 0
    start: Validation | None = None
    best: Validation | None = None
    graded: int = 0
    missing: int = 0
    fallbacks: int = 0

    def to_state(self) -> dict[str, Any]:
        """Return the position as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Position:
        """Return the position that `to_state` returned."""
        validations = {name: Validation(**state[name]) if state[name] else None for name in ("start", "best")}
        return cls(**{**state, **validations})
