"""Says how many conversations a promotion still takes, if both policies are alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.rollout import Evidence, RolloutCounts, RolloutStatus
from learntoask.rollout.evidence import arm_counts, metric_name, safe_limit
from learntoask.statistics.two_sample import growth

_MIXTURE_COST = 0.9  # log evidence that not knowing the chances costs, as simulated
_PRIOR = (1.0, 10.0)  # events and conversations that stand for a metric before it is observed


def remaining_conversations(
    strategy: Strategy, state: RolloutStatus, evidence: Sequence[Evidence]
) -> int | None:
    """Return about how many conversations of both arms are still needed, at the weight of the last step from then on.

    None if it cannot be known: nobody can say how long an improvement takes (mode `ab`), copies are judged, or a metric
    is never observed.
    """
    if strategy.mode != "canary" or state.stage != "Steps":
        return None
    counts, last = state.counts, strategy.steps[-1].weight / 100
    walked = sum(
        max(0, step.min_conversations - counts.at(step.weight).canary_ended) / (step.weight / 100)
        for step in strategy.steps[state.step : -1]
    )
    found = [max(0.0, strategy.min_conversations - counts.ended("canary")) / last]
    for guard, known in zip(strategy.guards, evidence, strict=True):
        if known.metric in state.safe:
            continue
        needed = _needed(counts, metric_name(guard), guard.margin, last, known.safe, safe_limit(strategy))
        if needed is None:
            return None
        found.append(needed)
    return math.ceil(max(walked, *found))


def _needed(
    counts: RolloutCounts, metric: str, margin: float, share: float, known: float, limit: float
) -> float | None:
    steps = arm_counts(counts, metric)
    observed = sum(step.canary + step.control for step in steps)
    ended = counts.ended("canary") + counts.ended("control")
    if not observed and ended >= 100:  # for example a pack without patterns of its fields
        return None
    events = sum(step.canary_events + step.control_events for step in steps)
    speed = _speed(round((events + _PRIOR[0]) / (observed + _PRIOR[1]), 3), share, margin)
    seen = observed / ended if observed else 1.0  # what is not observed yet may be soon
    return (limit - known + (0.0 if observed else _MIXTURE_COST)) / speed / seen


@lru_cache(maxsize=4096)
def _speed(chance: float, share: float, margin: float) -> float:
    """Return the evidence that one conversation adds where both arms have this chance of the event."""
    chance = min(max(chance, 1e-3), 1 - 1e-3)
    return growth(share=share, canary=1 - chance, control=1 - chance, margin=-margin)
