"""Who gets the canary now: the part of a rollout that a gateway needs for every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from learntoask.core.manifest.duration import seconds
from learntoask.core.manifest.strategy import Outcome, Strategy
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.rollout import RolloutStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The rollout as a gateway sees it; `rollout` is empty while no policy is tried.

    `copies` is the share of conversations that the canary answers unseen, `within` the seconds after which a
    conversation is observed, `slow` the seconds beyond which a call counts as slow, `outcomes` the good ones by name.
    `no_policy`: the control has the pack's fallback instead of a policy. `by_caller`: callers are assigned, and not
    their conversations.
    """

    rollout: str = ""
    weight: int = 0
    copies: float = 0.0
    evict: bool = False
    started: float = 0.0
    within: float = 600.0
    slow: float | None = None
    no_policy: bool = False
    by_caller: bool = False
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)


def traffic_of(strategy: Strategy, state: RolloutStatus) -> Traffic:
    """Return what a gateway has to know about a rollout."""
    latency = strategy.limits.latency
    return Traffic(
        rollout=state.id,
        weight=state.weight,
        copies=strategy.shadow.sample if strategy.shadow and state.stage == "Shadow" else 0.0,
        evict=state.stage == "RolledBack" and strategy.on_rollback == "evict",
        started=seconds_of(state.started),
        within=seconds(strategy.observe_within),
        slow=seconds(latency) if latency else None,
        no_policy=strategy.control == "fallback",
        by_caller=strategy.unit == "caller",
        outcomes={guard.outcome.name: guard.outcome for guard in strategy.guards if guard.outcome},
    )
