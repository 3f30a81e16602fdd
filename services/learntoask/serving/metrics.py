"""What Prometheus reads of a policy server."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import Counter, Gauge

from learntoask.rpc.metrics import CallMetrics


class Metrics(CallMetrics):
    def __init__(self) -> None:
        super().__init__("lta_serving")
        decisions = Counter(
            "lta_serving_decisions",
            "Decisions by action (ask, stop) and origin (model, repaired, fallback)",
            ["action", "origin"],
            registry=self.registry,
        )
        tokens = Counter("lta_serving_tokens", "Tokens by kind", ["kind"], registry=self.registry)
        self.decisions: Callable[[str, str], Counter] = cache(decisions.labels)
        self.prompt_tokens = tokens.labels("prompt")
        self.cached_tokens = tokens.labels("cached")
        self.completion_tokens = tokens.labels("completion")
        self.conversations = Gauge(
            "lta_serving_conversations", "Open Converse streams", registry=self.registry
        )
        self.record_failures = Counter(
            "lta_serving_record_failures", "Conversations that could not be recorded", registry=self.registry
        )

    def watch(self, *, in_flight: Callable[[], float], cache_bytes: Callable[[], float]) -> None:
        """Read two gauges where they are kept whenever somebody scrapes."""
        Gauge("lta_serving_in_flight", "Decisions running or waiting", registry=self.registry).set_function(
            in_flight
        )
        Gauge(
            "lta_serving_cache_bytes", "Memory of keys and values kept between calls", registry=self.registry
        ).set_function(cache_bytes)
