"""Prometheus metrics of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge

from learntoask.rpc.metrics import SingleThreadCounter
from learntoask.serving.metrics import ConversationMetrics


class GatewayMetrics(ConversationMetrics):
    """Metrics of one gateway.

    The share of fallbacks is lta_gateway_decisions_total{origin="no_server"} divided by lta_gateway_decisions_total.
    """

    def __init__(self) -> None:
        super().__init__("lta_gateway")
        self._decisions = SingleThreadCounter(
            "lta_gateway_decisions",
            "Decisions by action (ask, stop) and origin (model, repaired, fallback, no_server, no_policy)",
            ["action", "origin"],
            registry=self.registry,
        ).counts
        self._attempts = SingleThreadCounter(
            "lta_gateway_attempts",
            "Questions put to policy servers, by server and status code",
            ["server", "code"],
            registry=self.registry,
        ).counts
        self.retries = Counter(
            "lta_gateway_retries", "Attempts after the first of a request", registry=self.registry
        )
        self.records_sent = Counter(
            "lta_gateway_record_files_sent", "Files of records sent to the store", registry=self.registry
        )
        self.sending_failures = Counter(
            "lta_gateway_record_sending_failures", "Sendings that the store refused", registry=self.registry
        )
        self._outcomes = SingleThreadCounter(
            "lta_gateway_outcomes",
            "Reported outcomes by what became of them (recorded, repeated, conflicting, unknown)",
            ["result"],
            registry=self.registry,
        ).counts

    def count_decision(self, action: str, origin: str) -> None:
        """Count a decision."""
        self._decisions[action, origin] += 1

    def count_outcome(self, result: str) -> None:
        """Count a reported outcome."""
        self._outcomes[(result,)] += 1

    def count_attempt(self, server: str, code: str) -> None:
        """Count a request to a policy server by its status code."""
        self._attempts[server, code] += 1

    def forget(self, server: str) -> None:
        """Remove the series of a server that is gone: every pod has another address, and series would pile up."""
        for series in [series for series in self._attempts if series[0] == server]:
            del self._attempts[series]

    def watch(self, *, in_flight: Callable[[], float], serving: Callable[[], Iterable[bool]]) -> None:
        """Add gauges whose values are read at each scrape; `serving` tells for each known server whether it serves."""
        Gauge("lta_gateway_in_flight", "Answers waited for", registry=self.registry).set_function(in_flight)
        servers = Gauge(
            "lta_gateway_servers",
            "Known policy servers by whether they serve",
            ["state"],
            registry=self.registry,
        )
        servers.labels("serving").set_function(lambda: sum(serving()))
        servers.labels("away").set_function(lambda: sum(not serves for serves in serving()))
