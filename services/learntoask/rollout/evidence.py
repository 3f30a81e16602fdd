"""Turns counts of both arms into evidence about each guard."""

from __future__ import annotations

import math

from learntoask.core.manifest.strategy import Guard, Strategy
from learntoask.core.status.rollout import Evidence, JudgedPairs, RolloutCounts
from learntoask.statistics.e_process import paired_log_e
from learntoask.statistics.sample_ratio import sample_ratio_log_e
from learntoask.statistics.two_sample import (
    ArmCounts,
    difference_interval,
    fewer_events_log_e,
    more_events_log_e,
    not_worse_log_e,
)

PAIRS = "shadow"
"""Name of the comparison of copies, where other metrics have theirs."""
_SAMPLE_RATIO_ALPHA = 0.001  # a false alarm stops a rollout until somebody looks


def metric_name(guard: Guard) -> str:
    """Return the name of a guard's metric in counts: `outcome/NAME` for an outcome."""
    return guard.metric if guard.outcome is None else f"outcome/{guard.outcome.name}"


def harm_limit(strategy: Strategy) -> float:
    """Return the log evidence at which harm is shown: alpha is divided among the guards and the copies."""
    tests = (0 if strategy.mode == "shadow" else len(strategy.guards)) + (strategy.shadow is not None)
    return math.log(tests / strategy.alpha)


def safe_limit(strategy: Strategy) -> float:
    """Return the log evidence at which a guard is shown to be no worse. All guards must be, so alpha is not divided."""
    return math.log(1 / strategy.alpha)


def arm_counts(counts: RolloutCounts, metric: str) -> list[ArmCounts]:
    """Return the counts of a metric for every weight that was in force.

    While one of two gateways has not told its part of a conversation yet, there may be more events than conversations.
    """
    found = []
    for of_weight in counts.weights:
        for of_metric in of_weight.metrics:
            if of_metric.metric == metric:
                canary, control = max(0, of_metric.canary), max(0, of_metric.control)
                found.append(
                    ArmCounts(
                        share=of_weight.weight / 100,
                        canary_events=min(max(0, of_metric.canary_events), canary),
                        canary=canary,
                        control_events=min(max(0, of_metric.control_events), control),
                        control=control,
                    )
                )
    return found


def evidence_of(strategy: Strategy, counts: RolloutCounts) -> tuple[Evidence, ...]:
    """Return the evidence about every guard. The primary metric of mode `ab` is safe only if it improves."""
    return tuple(
        _evidence(guard, counts, improve=guard.metric == strategy.primary) for guard in strategy.guards
    )


def interval_of(metric: str, counts: RolloutCounts, *, alpha: float) -> tuple[float, float]:
    """Return the confidence sequence of canary − control at this time."""
    return difference_interval(arm_counts(counts, metric), alpha=alpha)


def pairs_harm(judged: RolloutCounts | JudgedPairs) -> float:
    """Return the log evidence that the canary loses more of the copied conversations than it wins."""
    return paired_log_e(judged.worse, 0, judged.better)


def assignment_is_skewed(counts: RolloutCounts) -> bool:
    """Return whether the arms did not get their shares of the new conversations, so that they cannot be compared."""
    found = sum(
        sample_ratio_log_e(
            [of_weight.canary_born, of_weight.control_born],
            [of_weight.weight / 100, 1 - of_weight.weight / 100],
        )
        for of_weight in counts.weights
    )
    return found >= math.log(1 / _SAMPLE_RATIO_ALPHA)


def _evidence(guard: Guard, counts: RolloutCounts, *, improve: bool) -> Evidence:
    name = metric_name(guard)
    steps = arm_counts(counts, name)
    canary, control = sum(step.canary for step in steps), sum(step.control for step in steps)
    return Evidence(
        metric=name,
        canary=_share(sum(step.canary_events for step in steps), canary),
        control=_share(sum(step.control_events for step in steps), control),
        observed=canary,
        harm=round(more_events_log_e(steps), 4),
        safe=round(fewer_events_log_e(steps) if improve else not_worse_log_e(steps, margin=guard.margin), 4),
    )


def _share(events: int, observed: int) -> float | None:
    return round(events / observed, 4) if observed else None
