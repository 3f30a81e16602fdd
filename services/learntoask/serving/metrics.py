"""What Prometheus reads of a policy server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge

from learntoask.rpc.metrics import CallMetrics, Tally
from learntoask.serving.engines.protocol import Usage

_PROMPT, _CACHED, _COMPLETION = ("prompt",), ("cached",), ("completion",)


class Metrics(CallMetrics):
    def __init__(self) -> None:
        super().__init__("lta_serving")
        self._decisions = Tally(
            "lta_serving_decisions",
            "Decisions by action (ask, stop) and origin (model, repaired, fallback)",
            ["action", "origin"],
            registry=self.registry,
        ).counts
        self._tokens = Tally("lta_serving_tokens", "Tokens by kind", ["kind"], registry=self.registry).counts
        self._tokens |= dict.fromkeys((_PROMPT, _CACHED, _COMPLETION), 0)  # a rate needs a first value
        self.conversations = Gauge(
            "lta_serving_conversations", "Open Converse streams", registry=self.registry
        )
        self.record_failures = Counter(
            "lta_serving_record_failures", "Conversations that could not be recorded", registry=self.registry
        )

    def decided(self, action: str, origin: str, usage: Usage) -> None:
        self._decisions[action, origin] += 1
        tokens = self._tokens
        tokens[_PROMPT] += usage.prompt
        tokens[_CACHED] += usage.cached
        tokens[_COMPLETION] += usage.completion

    def watch(self, *, in_flight: Callable[[], float], cache_bytes: Callable[[], float]) -> None:
        """Read two gauges where they are kept whenever somebody scrapes."""
        Gauge("lta_serving_in_flight", "Decisions running or waiting", registry=self.registry).set_function(
            in_flight
        )
        Gauge(
            "lta_serving_cache_bytes", "Memory of keys and values kept between calls", registry=self.registry
        ).set_function(cache_bytes)
