"""Simulates rollouts of policies of known quality: how long a verdict takes, and how many users meet the new policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.rollout import (
    MetricCounts,
    RolloutCounts,
    RolloutStatus,
    WeightCounts,
)
from learntoask.rollout.decide import begin, decide, is_over
from learntoask.rollout.evidence import metric_name

_GROWTH = 0.02  # new conversations between two looks, as a share of those so far
_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Chances of each metric's event (control, canary), and of a copied conversation that the canary wins or loses."""

    chances: Mapping[str, tuple[float, float]]
    better: float = 0.05
    worse: float = 0.05


@dataclass(frozen=True, kw_only=True)
class SimulatedRollout:
    """How one rollout went: its last state, the conversations that it took, and those of the canary among them."""

    state: RolloutStatus
    conversations: int
    exposed: int
    days: float


def simulate(
    strategy: Strategy, quality: Quality, *, per_day: float, most_days: float, random: np.random.Generator
) -> SimulatedRollout:
    """Run one rollout with `per_day` conversations a day until its end, at most `most_days`.

    A conversation is observed as soon as it is born, which leaves out the minutes that it lasts.
    """
    state = begin(strategy, id="simulated", stable="stable", canary="canary", now=0.0)
    counts, born, now = RolloutCounts(), 0, 0.0
    while not is_over(state) and now < most_days * _DAY:
        new = max(1, int(born * _GROWTH))
        born += new
        now += new / per_day * _DAY
        if state.stage == "Shadow":
            counts = counts.plus(_copies(strategy, quality, new, random))
        else:
            part = _conversations(strategy, quality, state.weight, new, random)
            counts = counts.plus(RolloutCounts(weights=(part,)))
        state = decide(strategy, state, counts, now=now)
    end = seconds_of(state.ended) if state.ended else now
    return SimulatedRollout(state=state, conversations=born, exposed=counts.born("canary"), days=end / _DAY)


def _copies(strategy: Strategy, quality: Quality, new: int, random: np.random.Generator) -> RolloutCounts:
    assert strategy.shadow is not None
    copied = int(random.binomial(new, strategy.shadow.sample))
    better, worse, alike = random.multinomial(
        copied, [quality.better, quality.worse, 1 - quality.better - quality.worse]
    )
    return RolloutCounts(copies=copied, better=int(better), worse=int(worse), alike=int(alike))


def _conversations(
    strategy: Strategy, quality: Quality, weight: int, new: int, random: np.random.Generator
) -> WeightCounts:
    canary = int(random.binomial(new, weight / 100))
    metrics = []
    for guard in strategy.guards:
        of_control, of_canary = quality.chances[metric_name(guard)]
        metrics.append(
            MetricCounts(
                metric=metric_name(guard),
                canary=canary,
                canary_events=int(random.binomial(canary, of_canary)),
                control=new - canary,
                control_events=int(random.binomial(new - canary, of_control)),
            )
        )
    return WeightCounts(
        weight=weight,
        canary_born=canary,
        control_born=new - canary,
        canary_ended=canary,
        control_ended=new - canary,
        metrics=tuple(metrics),
    )
