"""Prometheus metrics of a policy server, and those it shares with the gateway."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge

from learntoask.rpc.metrics import CallMetrics, SingleThreadCounter
from learntoask.serving.engines.protocol import TokenUsage
from learntoask.wire import ask_pb2 as wire

_PROMPT, _CACHED, _COMPLETION = ("prompt",), ("cached",), ("completion",)


class ConversationMetrics(CallMetrics):
    """Metrics of any server of AskService; `prefix` begins their names."""

    service = wire.DESCRIPTOR.services_by_name["AskService"].full_name

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.conversations = Gauge(f"{prefix}_conversations", "Open Converse streams", registry=self.registry)
        self.record_failures = Counter(
            f"{prefix}_record_failures", "Conversations that could not be recorded", registry=self.registry
        )


class ServingMetrics(ConversationMetrics):
    """Metrics of a policy server."""

    def __init__(self) -> None:
        super().__init__("lta_serving")
        self._decisions = SingleThreadCounter(
            "lta_serving_decisions",
            "Decisions by action (ask, stop) and origin (model, repaired, fallback)",
            ["action", "origin"],
            registry=self.registry,
        ).counts
        self._tokens = SingleThreadCounter(
            "lta_serving_tokens", "Tokens by kind", ["kind"], registry=self.registry
        ).counts
        self._avoided_repeats = SingleThreadCounter(
            "lta_serving_avoided_repeats",
            "Questions that the policy would have repeated, by the action and the origin of the answer instead",
            ["action", "origin"],
            registry=self.registry,
        ).counts
        self.malformed_assessments = Counter(
            "lta_serving_malformed_assessments",
            "Answers whose assessment was missing or malformed, for a policy that is trained to give one",
            registry=self.registry,
        )
        # Prometheus computes no rate from a counter whose first sample is not 0.
        self._tokens |= dict.fromkeys((_PROMPT, _CACHED, _COMPLETION), 0)

    def count_decision(self, action: str, origin: str, usage: TokenUsage) -> None:
        """Count a decision and its tokens."""
        self._decisions[action, origin] += 1
        tokens = self._tokens
        tokens[_PROMPT] += usage.prompt
        tokens[_CACHED] += usage.cached
        tokens[_COMPLETION] += usage.completion

    def count_avoided_repeat(self, action: str, origin: str) -> None:
        """Count a decision that would have repeated a question."""
        self._avoided_repeats[action, origin] += 1

    def watch(self, *, in_flight: Callable[[], float], cache_bytes: Callable[[], float]) -> None:
        """Add two gauges whose values are read at each scrape."""
        Gauge("lta_serving_in_flight", "Decisions running or waiting", registry=self.registry).set_function(
            in_flight
        )
        Gauge(
            "lta_serving_cache_bytes", "Memory of keys and values kept between calls", registry=self.registry
        ).set_function(cache_bytes)
