"""One GRPO run: its settings, its position, its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from learntoask.core.manifest import Grpo, Method
from learntoask.core.stages.policy_choice import PolicyChoice
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
    their session. `warnings` says why no update was made, and `refusal` why no validated policy was published.
    """

    updates: int
    best_update: int
    start: Validation | None
    best: Validation | None
    sessions: int
    missing_share: float
    fallbacks: int
    warnings: tuple[str, ...] = ()
    refusal: str = ""

    def choice(self, title: str, *, validated: bool) -> PolicyChoice:
        """Return which policy the method `title` published, and why."""
        if not self.updates:
            why = self.warnings[0] if self.warnings else "no update was made (grpo.updates is 0)"
            return PolicyChoice(policy="sft", reason=f"The SFT policy was published because {why}.")
        if not validated:
            return PolicyChoice(
                policy="grpo",
                reason=f"The policy of the last {title} update was published, since there are no validation sessions.",
            )
        if not self.best_update:
            return PolicyChoice(
                policy="sft",
                reason=f"The SFT policy was published because {title} brought no confirmed gain on the validation "
                f"sessions: {self.refusal}.",
            )
        return PolicyChoice(
            policy="grpo",
            reason=f"The policy of {title} update {self.best_update} was published, the best on the validation "
            "sessions.",
        )


@dataclass
class Position:
    """How far a run has come; part of its checkpoint. `graded` and `missing` count grades, `warning` ends the run.

    `refused_total` is the greatest Total of a validated policy that was refused, and `refusal` says why.
    """

    update: int = 0
    best_update: int = 0
    start: Validation | None = None
    best: Validation | None = None
    graded: int = 0
    missing: int = 0
    fallbacks: int = 0
    warning: str = ""
    refused_total: float = -1.0
    refusal: str = ""

    def to_state(self) -> dict[str, Any]:
        """Return the position as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Position:
        """Return the position that `to_state` returned."""
        validations = {name: Validation(**state[name]) if state[name] else None for name in ("start", "best")}
        return cls(**{**state, **validations})
