"""Counts what a gateway observes of one rollout since it started."""

from __future__ import annotations

from collections.abc import Mapping

from learntoask.core.status.rollout import Arm, MetricCounts, RolloutCounts, WeightCounts

Observation = Mapping[str, bool]
"""Whether the event of each metric happened; a metric that could not be told is missing."""


class GatewayCounts:
    """Counts by weight, arm and metric; `total` is what a decision reads."""

    def __init__(self) -> None:
        self.calls = self.failed = self.slow = self.switched = 0
        self.returning = self.without_caller = 0
        self.copies = self.dropped = self.better = self.alike = self.worse = 0
        self._born: dict[tuple[int, Arm], int] = {}
        self._ended: dict[tuple[int, Arm], int] = {}
        self._metrics: dict[tuple[int, Arm, str], list[int]] = {}  # events, observed

    def add_birth(self, weight: int, arm: Arm) -> None:
        """Count a conversation that was assigned."""
        self._born[weight, arm] = self._born.get((weight, arm), 0) + 1

    def add(self, weight: int, arm: Arm, observation: Observation, *, times: int = 1) -> None:
        """Count what was observed of a conversation; -1 `times` takes it back."""
        for metric, happened in observation.items():
            counted = self._metrics.setdefault((weight, arm, metric), [0, 0])
            counted[0] += times * happened
            counted[1] += times

    def add_end(self, weight: int, arm: Arm, *, times: int = 1) -> None:
        """Count a conversation that was observed whole, without a change of its arm."""
        self._ended[weight, arm] = self._ended.get((weight, arm), 0) + times

    def total(self) -> RolloutCounts:
        """Return all counts."""
        weights = {weight for weight, _ in (*self._born, *self._ended)} | {
            weight for weight, *_ in self._metrics
        }
        return RolloutCounts(
            weights=tuple(self._of_weight(weight) for weight in sorted(weights)),
            calls=self.calls,
            failed=self.failed,
            slow=self.slow,
            switched=self.switched,
            returning=self.returning,
            without_caller=self.without_caller,
            copies=self.copies,
            dropped=self.dropped,
            better=self.better,
            alike=self.alike,
            worse=self.worse,
        )

    def _of_weight(self, weight: int) -> WeightCounts:
        names = sorted({metric for at, _, metric in self._metrics if at == weight})
        return WeightCounts(
            weight=weight,
            canary_born=self._born.get((weight, "canary"), 0),
            control_born=self._born.get((weight, "control"), 0),
            canary_ended=self._ended.get((weight, "canary"), 0),
            control_ended=self._ended.get((weight, "control"), 0),
            metrics=tuple(self._of_metric(weight, name) for name in names),
        )

    def _of_metric(self, weight: int, name: str) -> MetricCounts:
        nothing = (0, 0)
        canary = self._metrics.get((weight, "canary", name), nothing)
        control = self._metrics.get((weight, "control", name), nothing)
        return MetricCounts(
            metric=name,
            canary_events=canary[0],
            canary=canary[1],
            control_events=control[0],
            control=control[1],
        )
