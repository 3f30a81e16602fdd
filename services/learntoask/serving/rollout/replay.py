"""Computes the verdicts of rollouts again, from the records of conversations and outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learntoask.core.manifest.duration import seconds
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.records import STOP, Message
from learntoask.core.status.rollout import Arm, RolloutStatus
from learntoask.rollout.decide import begin, decide, is_over
from learntoask.serving.records.lines import record_lines
from learntoask.serving.rollout.counts import GatewayCounts, Observation
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.ledger import is_harm


@dataclass(frozen=True, kw_only=True)
class RecordedConversation:
    """One conversation of a rollout; its messages and decisions up to the age at which it is observed."""

    rollout: str
    name: str
    arm: str
    weight: int
    born: float
    moved: bool
    compared: bool
    caller: str
    task: str
    messages: tuple[Message, ...]
    failed: bool
    repaired: bool
    stopped: bool
    outcomes: dict[str, str | float]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A rollout as its records show it. `ends_at` is the number of conversations at the verdict, 0 without one."""

    state: RolloutStatus
    conversations: int
    ends_at: int


def replay(paths: Iterable[Path], strategy: Strategy, events: EventReader) -> dict[str, Replayed]:
    """Return every rollout in the records, by its identifier.

    A record counts until its conversation had the age `observeWithin`. Raises InputError with the file and line.
    """
    outcomes: dict[str, dict[str, str | float]] = {}
    parts: dict[tuple[str, str], list[Any]] = {}
    for line in record_lines(paths):
        if "outcome" in line:
            outcomes.setdefault(line["conversation"], {}).setdefault(line["outcome"], line["value"])
        elif rollout := line.get("served", {}).get("rollout"):
            parts.setdefault((rollout["id"], rollout["conversation"]), []).append(line)
    within = float(seconds(strategy.observe_within))
    found = [_conversation(key, records, outcomes.get(key[1], {}), within) for key, records in parts.items()]
    by_rollout: dict[str, list[RecordedConversation]] = {}
    for conversation in sorted(found, key=lambda conversation: conversation.born):
        by_rollout.setdefault(conversation.rollout, []).append(conversation)
    return {id: _decided(id, own, strategy, events, within) for id, own in by_rollout.items()}


def _decided(
    id: str,
    conversations: Sequence[RecordedConversation],
    strategy: Strategy,
    events: EventReader,
    within: float,
) -> Replayed:
    """Look after every conversation, until a verdict; count the rest, too."""
    compared = [one for one in conversations if one.compared and 0 < one.weight < 100]
    if strategy.unit == "caller":
        compared = _first_of_each_caller(compared)
    state = begin(strategy, id=id, stable="control", canary="canary", now=conversations[0].born)
    state = state.model_copy(update={"stage": "Steps", "weight": strategy.steps[0].weight})
    counts, ends_at = GatewayCounts(), 0
    for number, one in enumerate(compared, start=1):
        arm: Arm = "canary" if one.arm == "canary" else "control"
        counts.add_birth(one.weight, arm)
        counts.add(one.weight, arm, _observation(one, strategy, events))
        if not one.moved:
            counts.add_end(one.weight, arm)
        state = decide(strategy, state, counts.total(), now=one.born + within)
        if is_over(state) and not ends_at:
            ends_at = number
    return Replayed(
        state=state.model_copy(update={"counts": counts.total()}),
        conversations=len(compared),
        ends_at=ends_at,
    )


def _first_of_each_caller(conversations: Sequence[RecordedConversation]) -> list[RecordedConversation]:
    """Return one conversation of each caller, also of those who came to several gateways; none without a caller."""
    found: dict[str, RecordedConversation] = {}
    for one in conversations:
        if one.caller:
            found.setdefault(one.caller, one)
    return list(found.values())


def _observation(one: RecordedConversation, strategy: Strategy, events: EventReader) -> Observation:
    observed = events.observation(
        one.task,
        one.messages,
        failed=one.failed,
        repaired=one.repaired,
        stopped=one.stopped,
        moved=one.moved,
    )
    if one.moved:
        return observed
    outcomes = {
        f"outcome/{guard.outcome.name}": is_harm(guard.outcome, one.outcomes[guard.outcome.name])
        for guard in strategy.guards
        if guard.outcome and guard.outcome.name in one.outcomes
    }
    return {**observed, **outcomes}


def _conversation(
    key: tuple[str, str], records: Sequence[Any], outcomes: dict[str, str | float], within: float
) -> RecordedConversation:
    """Join the records of one conversation, which several gateways may have written."""
    rollout = records[0]["served"]["rollout"]
    decisions = sorted(
        (
            decision
            for record in records
            for decision in record["served"]["decisions"]
            if decision.get("age", 0.0) <= within
        ),
        key=lambda decision: decision["message"],
    )
    stop = next((index for index, d in enumerate(decisions) if d["action"] == "stop"), None)
    if stop is not None:
        decisions = decisions[: stop + 1]
    whole = max(records, key=lambda record: len(record["messages"]))
    known = decisions[-1]["message"] if decisions else 0
    messages = [Message.model_validate(message) for message in whole["messages"][: known + 1]]
    if stop is not None and messages:
        messages[-1] = Message(role="assistant", content=STOP, author="policy")
    return RecordedConversation(
        rollout=key[0],
        name=key[1],
        arm=rollout["arm"],
        weight=rollout["weight"],
        born=rollout["born"],
        moved=any(record["served"]["rollout"]["moved"] for record in records),
        compared=all(record["served"]["rollout"]["compared"] for record in records),
        caller=rollout.get("caller", ""),
        task=rollout["task"],
        messages=tuple(messages),
        failed=any(decision.get("failed") for decision in decisions),
        repaired=any(decision["origin"] in ("repaired", "fallback") for decision in decisions),
        stopped=stop is not None,
        outcomes=outcomes,
    )
