"""Decides how an endpoint tries a new policy: which revision is tried, and whether it may take over. Pure functions.

The evidence and its verdict are `learntoask.rollout`'s; `decide` moves servers and traffic accordingly. One policy is
tried at a time: another one waits for its end, or replaces one that only answers copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

from learntoask.core.manifest import PolicyReference, seconds
from learntoask.core.manifest.ask_endpoint import Rollout
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.pod_contract import (
    ROLLOUT_JUDGED_ANNOTATION,
    ROLLOUT_ORDER_ANNOTATION,
    ROLLOUT_PAUSED_ANNOTATION,
)
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.endpoint import Revision
from learntoask.core.status.rollout import JudgedPairs, RolloutCounts, RolloutStatus
from learntoask.rollout.decide import Order, begin, decide, is_over, look_again
from pydantic import ValidationError

from learntoask_operator.endpoint.observe import ObservedServers


@dataclass(frozen=True, kw_only=True)
class Target:
    """The revision that the spec asks for."""

    name: str
    policy: PolicyReference


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How the target gets its traffic.

    `state` is the rollout, None while none has begun, and `weight` is what gateways are told of its weight. While
    `hold`, the target gets no traffic but that of the rollout, and `servers` of `replicas` are its share. `failed` says
    why it is given up. `queued` is the revision that waits for the end. `look_again` is when time alone changes the
    decision.
    """

    target: Target
    state: RolloutStatus | None = None
    weight: int = 0
    hold: bool = False
    servers: int = 0
    failed: str = ""
    queued: str = ""
    look_again: float | None = None


def without_trial(target: Target) -> Trial:
    """Let the target take over as soon as its servers are warm."""
    return Trial(target=target)


def try_target(
    wanted: Target,
    *,
    before: RolloutStatus | None,
    previous: str,
    revisions: Sequence[Revision],
    servers: Mapping[str, ObservedServers],
    replicas: int,
    rollout: Rollout,
    counts: RolloutCounts,
    annotations: Mapping[str, str],
    now: float,
) -> Trial:
    """Decide from the last state of the rollout (`before`), and from what gateways have counted of it (`counts`)."""
    strategy = rollout.strategy
    known = {revision.name: revision for revision in revisions}
    if strategy.mode == "replace" or not replicas:
        return without_trial(wanted)
    if before is not None and not is_over(before) and before.canary in known and before.stable in known:
        queued = wanted.name not in (before.stable, before.canary)
        if not queued or before.stage == "Steps":
            return _go_on(
                wanted,
                before,
                known,
                strategy,
                counts,
                queued=wanted.name if queued else "",
                servers=servers,
                replicas=replicas,
                annotations=annotations,
                now=now,
            )
    number = _number(wanted, previous, known)
    if before is not None and is_over(before) and before.id == _id(wanted.name, number):
        return _after(wanted, before, servers=servers, replicas=replicas)
    stable = next(
        (name for name, one in known.items() if one.state == "Serving" and name != wanted.name), None
    )
    if stable is None or (wanted.name in known and known[wanted.name].state == "Serving"):
        return Trial(target=wanted, state=before)
    weight = 0 if strategy.shadow else strategy.steps[0].weight
    waiting = Trial(target=wanted, state=before, hold=True, servers=_share(replicas, weight))
    target = known.get(wanted.name)
    ready = servers.get(wanted.name, ObservedServers()).ready
    if target is None or wanted.name != previous or target.warm is None or ready < _share(replicas, weight):
        return waiting  # its servers warm up first
    state = begin(strategy, id=_id(wanted.name, number), stable=stable, canary=wanted.name, now=now)
    return Trial(
        target=wanted,
        state=state,
        weight=state.weight,
        hold=True,
        servers=_share(replicas, state.weight),
        look_again=look_again(strategy, state),
    )


def _go_on(
    wanted: Target,
    before: RolloutStatus,
    known: Mapping[str, Revision],
    strategy: Strategy,
    counts: RolloutCounts,
    *,
    queued: str,
    servers: Mapping[str, ObservedServers],
    replicas: int,
    annotations: Mapping[str, str],
    now: float,
) -> Trial:
    """One more decision about the rollout under way."""
    canary = Target(name=before.canary, policy=known[before.canary].policy)
    withdrawn = wanted.name == before.stable
    paused = annotations.get(ROLLOUT_PAUSED_ANNOTATION) == "true"
    once_more = partial(
        decide,
        strategy,
        before,
        counts,
        now=now,
        paused=paused,
        order="abort" if withdrawn else _order(annotations, before.id),
        judged=_judged(annotations),
    )
    state = once_more()
    needed = _share(replicas, state.weight)
    ready = servers.get(before.canary, ObservedServers()).ready
    if not is_over(state) and state.weight > before.weight and ready < needed:
        step = f"{ready} of {needed} servers are ready for {state.weight} %"
        state = once_more(most_weight=before.weight)
        state = state.model_copy(update={"message": f"{step}; {state.message}"})
    if withdrawn:
        return Trial(target=wanted, state=state)
    if is_over(state):
        ended = _after(canary, state, servers=servers, replicas=replicas)
        # What waits begins once this end is written down.
        return replace(ended, queued=queued)
    return Trial(
        target=canary,
        state=state,
        weight=state.weight,
        hold=True,
        servers=needed,
        queued=queued,
        look_again=look_again(strategy, state),
    )


def _after(
    target: Target,
    state: RolloutStatus,
    *,
    servers: Mapping[str, ObservedServers],
    replicas: int,
) -> Trial:
    """The end of a rollout: its canary takes over as its servers get ready, or is given up."""
    promoted = state.stage == "Promoted"
    ready = servers.get(target.name, ObservedServers()).ready
    return Trial(
        target=target,
        state=state,
        weight=min(100, 100 * ready // replicas) if promoted else 0,
        hold=not promoted,
        failed="" if promoted else state.message,
    )


def conversations_over(state: RolloutStatus, rollout: Rollout) -> float | None:
    """When the conversations of a rollout that has ended are over; None before its end."""
    if state.ended is None:
        return None
    evicted = state.stage == "RolledBack" and rollout.strategy.on_rollback == "evict"
    finish = 0 if evicted else seconds(rollout.strategy.observe_within)
    return seconds_of(state.ended) + max(finish, seconds(rollout.drain))


def _share(replicas: int, weight: int) -> int:
    """The servers that bear `weight` percent of the calls."""
    return max(1, ceil(replicas * weight / 100))


def _number(target: Target, previous: str, known: Mapping[str, Revision]) -> int:
    """The number that the target's revision has, or will get (see `decide`)."""
    if target.name in known and target.name == previous:
        return known[target.name].number
    return max((revision.number for revision in known.values()), default=0) + 1


def _id(revision: str, number: int) -> str:
    """A rollout is one attempt of one revision; a later attempt of the same policy is another rollout."""
    return f"{revision}-{number}"


def _order(annotations: Mapping[str, str], id: str) -> Order | None:
    """What somebody asks for by annotation: `promote ID` or `abort ID`."""
    match annotations.get(ROLLOUT_ORDER_ANNOTATION, "").split():
        case ["promote", named] if named == id:
            return "promote"
        case ["abort", named] if named == id:
            return "abort"
    return None


def _judged(annotations: Mapping[str, str]) -> JudgedPairs | None:
    """What people say about copies; nothing if the annotation cannot be read."""
    try:
        return JudgedPairs.model_validate_json(annotations.get(ROLLOUT_JUDGED_ANNOTATION, ""))
    except ValidationError:
        return None
