"""Decides how a rollout goes on. A verdict needs evidence: time alone never promotes a policy.

`decide` depends on the former state, the counts and the time. Decided again with the same counts it changes nothing,
so a process that is killed at any point decides the same afterwards. What was once shown stays shown, because an
e-process may be looked at as often as one likes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from learntoask.core.manifest.duration import seconds
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import seconds_of, timestamp
from learntoask.core.status.rollout import Evidence, JudgedPairs, Look, RolloutCounts, RolloutStatus
from learntoask.rollout.evidence import (
    PAIRS,
    assignment_is_skewed,
    evidence_of,
    harm_limit,
    metric_name,
    pairs_harm,
    safe_limit,
)
from learntoask.rollout.forecast import remaining_conversations
from learntoask.rollout.looks import conversations_per_day, is_worth_keeping, with_look

Order = Literal["promote", "abort"]
"""What somebody asks for, whatever the evidence is."""

NO_WORSE = "NoWorse"
IMPROVED = "Improved"
JUDGING_COPIES = "JudgingCopies"
_SLOW_SHARE = 0.05  # of the calls, since the limit is on the 95th percentile


def begin(strategy: Strategy, *, id: str, stable: str, canary: str, now: float) -> RolloutStatus:
    """Return the state of a new rollout. Its canary must be able to answer."""
    shadow = strategy.shadow is not None
    return RolloutStatus(
        id=id,
        stable=stable,
        canary=canary,
        stage="Shadow" if shadow else "Steps",
        weight=0 if shadow else strategy.steps[0].weight,
        started=timestamp(now),
        step_started=timestamp(now),
        reason=JUDGING_COPIES if shadow else c.ROLLOUT_COLLECTING,
    )


def is_over(state: RolloutStatus) -> bool:
    """Return whether the rollout has ended."""
    return state.stage in ("Promoted", "RolledBack")


def decide(
    strategy: Strategy,
    state: RolloutStatus,
    counts: RolloutCounts,
    *,
    now: float,
    paused: bool = False,
    order: Order | None = None,
    judged: JudgedPairs | None = None,
    most_weight: int = 100,
) -> RolloutStatus:
    """Return the next state, from `counts` of all conversations of this rollout so far.

    `judged` is what people say about copies. A step above `most_weight`, which the canary's servers can take, is waited
    for.
    """
    if is_over(state):
        return state
    if judged is not None and judged.id == state.id:
        state = state.model_copy(update={"judged": judged})
    evidence, skewed = evidence_of(strategy, counts), assignment_is_skewed(counts)
    state = _with_evidence(strategy, state, counts, () if skewed else evidence)
    state = state.model_copy(update={"paused": paused})
    if order == "abort":
        return _end(state, evidence, "RolledBack", c.ROLLOUT_BY_HAND, "aborted by hand", now=now)
    if order == "promote":
        return _end(state, evidence, "Promoted", c.ROLLOUT_BY_HAND, "promoted by hand", now=now)
    if state.harmful:
        return _end(state, evidence, "RolledBack", c.ROLLOUT_HARM, _harm_message(state, evidence), now=now)
    if exceeded := _exceeded_limit(strategy, counts):
        return _end(state, evidence, "RolledBack", c.ROLLOUT_LIMIT, exceeded, now=now)
    late = strategy.max_duration is not None and now >= seconds_of(state.started) + seconds(
        strategy.max_duration
    )
    if late and strategy.on_max_duration == "rollback":
        message = f"no verdict within {strategy.max_duration}"
        return _end(state, evidence, "RolledBack", c.ROLLOUT_TOO_LONG, message, now=now)
    if not paused and not skewed:
        if _may_promote(strategy, state):
            reason = IMPROVED if strategy.mode == "ab" else NO_WORSE
            return _end(state, evidence, "Promoted", reason, _safe_message(evidence), now=now)
        advanced = _advance(strategy, state, now=now)
        if advanced.weight <= max(most_weight, state.weight):
            state = advanced
    return _hold(strategy, state, evidence, skewed=skewed, late=late, now=now)


def look_again(strategy: Strategy, state: RolloutStatus) -> float | None:
    """Return when time alone may change the state: at the end of a pause, or of the longest duration."""
    if is_over(state):
        return None
    times = []
    if state.stage == "Steps":
        times.append(seconds_of(state.step_started) + seconds(strategy.steps[_step(strategy, state)].pause))
    if strategy.max_duration is not None:
        times.append(seconds_of(state.started) + seconds(strategy.max_duration))
    return min(times, default=None)


def _with_evidence(
    strategy: Strategy, state: RolloutStatus, counts: RolloutCounts, evidence: Sequence[Evidence]
) -> RolloutStatus:
    """Return the state with what the evidence shows, besides what was shown before.

    Where the assignment is skewed, the arms cannot be compared, and `evidence` is empty.
    """
    harm, safe = harm_limit(strategy), safe_limit(strategy)
    known = {metric_name(guard) for guard in strategy.guards} | {PAIRS}
    harmful = {metric for metric in state.harmful if metric in known}
    harmful |= {found.metric for found in evidence if found.harm >= harm}
    if strategy.shadow is not None and pairs_harm(state.judged or counts) >= harm:
        harmful.add(PAIRS)
    shown = {metric for metric in state.safe if metric in known}
    shown |= {found.metric for found in evidence if found.safe >= safe}
    return state.model_copy(
        update={"counts": counts, "harmful": tuple(sorted(harmful)), "safe": tuple(sorted(shown))}
    )


def _exceeded_limit(strategy: Strategy, counts: RolloutCounts) -> str:
    """Return which hard limit the canary's calls exceed; empty if none."""
    limits, calls = strategy.limits, counts.calls
    if calls < limits.after:
        return ""
    if counts.failed > limits.errors * calls:
        return f"{counts.failed} of {calls} calls to the canary failed, at most {limits.errors:.0%} may"
    if limits.latency is not None and counts.slow > _SLOW_SHARE * calls:
        return (
            f"{counts.slow} of {calls} calls to the canary took longer than {limits.latency}, at most 5% may"
        )
    return ""


def _may_promote(strategy: Strategy, state: RolloutStatus) -> bool:
    if strategy.mode == "shadow" or state.stage != "Steps":
        return False
    if state.counts.ended("canary") < strategy.min_conversations:
        return False
    return all(metric_name(guard) in state.safe for guard in strategy.guards)


def _advance(strategy: Strategy, state: RolloutStatus, *, now: float) -> RolloutStatus:
    """Return the state at the next step if it is time for it; one step at most."""
    if state.stage == "Shadow":
        assert strategy.shadow is not None
        if strategy.mode == "shadow" or _judged_pairs(state) < strategy.shadow.pairs:
            return state
        return _at_step(strategy, state.model_copy(update={"stage": "Steps"}), 0, now=now)
    number = _step(strategy, state)
    step = strategy.steps[number]
    if state.weight != step.weight:  # the strategy was edited
        return _at_step(strategy, state, number, now=now)
    rested = now >= seconds_of(state.step_started) + seconds(step.pause)
    enough = state.counts.at(step.weight).canary_ended >= step.min_conversations
    if number + 1 == len(strategy.steps) or not rested or not enough:
        return state
    return _at_step(strategy, state, number + 1, now=now)


def _judged_pairs(state: RolloutStatus) -> int:
    """Return the number of judged conversations; the patterns can judge those alone that differ in faults."""
    people, counts = state.judged, state.counts
    return counts.better + counts.worse if people is None else people.better + people.alike + people.worse


def _step(strategy: Strategy, state: RolloutStatus) -> int:
    """Return the number of the step; an edited strategy may have fewer."""
    return min(state.step, len(strategy.steps) - 1)


def _at_step(strategy: Strategy, state: RolloutStatus, number: int, *, now: float) -> RolloutStatus:
    update = {"step": number, "weight": strategy.steps[number].weight, "step_started": timestamp(now)}
    return state.model_copy(update=update)


def _end(
    state: RolloutStatus,
    evidence: Sequence[Evidence],
    stage: Literal["Promoted", "RolledBack"],
    reason: str,
    message: str,
    *,
    now: float,
) -> RolloutStatus:
    """Return the state at the end of the rollout."""
    promoted = stage == "Promoted"
    return state.model_copy(
        update={
            "stage": stage,
            "weight": 100 if promoted else 0,
            "verdict": "Promote" if promoted else "Rollback",
            "ended": timestamp(now),
            "paused": False,
            "reason": reason,
            "message": message,
            "remaining": None,
            "verdicts": with_look(state.verdicts, _look(state.counts, evidence, now)),
        }
    )


def _hold(
    strategy: Strategy,
    state: RolloutStatus,
    evidence: Sequence[Evidence],
    *,
    skewed: bool,
    late: bool,
    now: float,
) -> RolloutStatus:
    look = _look(state.counts, evidence, now)
    looks = with_look(state.verdicts, look) if is_worth_keeping(state.verdicts, look) else state.verdicts
    remaining = remaining_conversations(strategy, state, evidence)
    reason, message = _waited_for(strategy, state, evidence, remaining, now=now)
    if state.paused:
        reason, message = c.ROLLOUT_PAUSED, f"paused; {message}"
    elif skewed:
        born = [
            f"{of.canary_born} of {of.canary_born + of.control_born} at {of.weight} %"
            for of in state.counts.weights
        ]
        reason = c.ASSIGNMENT_SKEWED
        message = f"the canary got {', '.join(born)} of the new conversations, so the arms cannot be compared"
    elif late:
        reason, message = c.ROLLOUT_TOO_LONG, f"no verdict within {strategy.max_duration}; {message}"
    update = {
        "verdict": "Hold",
        "reason": reason,
        "message": message,
        "remaining": remaining,
        "verdicts": looks,
    }
    return state.model_copy(update=update)


def _look(counts: RolloutCounts, evidence: Sequence[Evidence], now: float) -> Look:
    canary = counts.born("canary")
    born = canary + counts.born("control")
    return Look(time=timestamp(now), conversations=born, canary=canary, evidence=tuple(evidence))


def _waited_for(
    strategy: Strategy,
    state: RolloutStatus,
    evidence: Sequence[Evidence],
    remaining: int | None,
    *,
    now: float,
) -> tuple[str, str]:
    """Return the reason and the sentence about what a rollout without a verdict waits for."""
    counts = state.counts
    if strategy.unit == "caller" and counts.without_caller and _no_caller_is_known(counts):
        return (
            c.CALLERS_UNKNOWN,
            f"{counts.without_caller} conversations began without a caller_id and none with one, so all have the old "
            "policy; let the application send caller_id, or set unit: conversation",
        )
    if state.stage == "Shadow":
        assert strategy.shadow is not None
        judged = counts.better + counts.worse
        left = f"{judged} of {strategy.shadow.pairs} copied conversations are judged"
        return JUDGING_COPIES, f"{left}: better in {counts.better}, worse in {counts.worse}"
    born = counts.born("canary") + counts.born("control")
    missing = [metric_name(guard) for guard in strategy.guards if metric_name(guard) not in state.safe]
    unseen = [found.metric for found in evidence if not found.observed]
    if remaining is None:
        if strategy.mode == "canary" and unseen:
            return (
                c.ROLLOUT_COLLECTING,
                f"nothing was observed about {', '.join(unseen)}, so no verdict can be reached",
            )
        return c.ROLLOUT_COLLECTING, f"{born} conversations so far; not yet shown: {', '.join(missing)}"
    rate = conversations_per_day(state.verdicts, started=state.started, born=born, now=now)
    units = "callers" if strategy.unit == "caller" else "conversations"
    waiting = f"about {remaining} more {units}"
    if rate:
        waiting += f", {_days(remaining / rate)} at today's traffic"
    elif rate == 0:
        waiting += "; there is no traffic"
    about = f"; not yet shown to be no worse: {', '.join(missing)}" if missing else ""
    return c.ROLLOUT_COLLECTING, waiting + about + _uncounted(counts, born)


def _no_caller_is_known(counts: RolloutCounts) -> bool:
    return not (counts.returning or counts.copies or counts.born("canary") or counts.born("control"))


def _uncounted(counts: RolloutCounts, born: int) -> str:
    """Return why conversations do not count that are not the first ones of their callers; empty if all count."""
    if not counts.returning and not counts.without_caller:
        return ""
    found = f"; {born} callers so far, {counts.returning} more conversations of theirs do not count"
    return found + (f", nor {counts.without_caller} without a caller_id" if counts.without_caller else "")


def _days(days: float) -> str:
    return f"{days:.1f} days" if days < 10 else f"{math.ceil(days)} days"


def _harm_message(state: RolloutStatus, evidence: Sequence[Evidence]) -> str:
    found = [
        _shares(metric) for metric in evidence if metric.metric in state.harmful and metric.canary is not None
    ]
    if PAIRS in state.harmful:
        by, pairs = (", as people judged", state.judged) if state.judged else ("", state.counts)
        found.append(f"copies: worse in {pairs.worse} of {pairs.better + pairs.worse} that differ{by}")
    return "; ".join(found) or f"harm was shown in {', '.join(state.harmful)}"


def _safe_message(evidence: Sequence[Evidence]) -> str:
    return "; ".join(map(_shares, evidence))


def _shares(found: Evidence) -> str:
    return (
        f"{found.metric}: {found.canary or 0:.1%} of {found.observed} conversations of the canary, "
        f"{found.control or 0:.1%} of the control's"
    )
