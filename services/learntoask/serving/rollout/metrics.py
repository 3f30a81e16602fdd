"""Prometheus metrics of a rollout at one gateway, read from the ledger's counts at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from learntoask.core.status.rollout import COUNTED_NUMBERS, Arm
from learntoask.serving.rollout.ledger import Ledger

_ARMS: tuple[Arm, ...] = ("canary", "control")


class RolloutCollector(Collector):
    """Gauges, because counts begin at 0 with every rollout, and one gateway takes back what another counts."""

    def __init__(self, ledger: Ledger, *, registry: CollectorRegistry) -> None:
        self._ledger = ledger
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that registering does not read the ledger."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        traffic, counts = self._ledger.traffic, self._ledger.total()
        weight = GaugeMetricFamily(
            "lta_gateway_rollout_weight", "Percent of the new conversations that the canary gets"
        )
        weight.add_metric([], traffic.weight if traffic.rollout else 0)
        yield weight
        arms = GaugeMetricFamily(
            "lta_gateway_rollout_conversations",
            "Conversations of this rollout by arm: born, and ended (observed)",
            labels=["arm", "state"],
        )
        events = GaugeMetricFamily(
            "lta_gateway_rollout_events",
            "Observed conversations by arm, metric, and whether the harmful event happened",
            labels=["arm", "metric", "happened"],
        )
        for arm in _ARMS:
            arms.add_metric([arm, "born"], counts.born(arm))
            arms.add_metric([arm, "ended"], counts.ended(arm))
            totals: dict[str, tuple[int, int]] = {}
            for of_weight in counts.weights:
                for metric in of_weight.metrics:
                    happened, observed = totals.get(metric.metric, (0, 0))
                    totals[metric.metric] = (
                        happened + getattr(metric, f"{arm}_events"),
                        observed + getattr(metric, arm),
                    )
            for name, (happened, observed) in totals.items():
                events.add_metric([arm, name, "true"], happened)
                events.add_metric([arm, name, "false"], observed - happened)
        yield arms
        yield events
        numbers = GaugeMetricFamily(
            "lta_gateway_rollout_canary",
            "Calls to the canary (calls, failed, slow), conversations that went on with another policy (switched), "
            "those that do not count because of their caller (returning, without_caller), and copies (copies, "
            "dropped, better, alike, worse)",
            labels=["count"],
        )
        for name in COUNTED_NUMBERS:
            numbers.add_metric([name], getattr(counts, name))
        yield numbers
