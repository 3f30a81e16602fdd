"""Prometheus metrics of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge

from learntoask.serving.metrics import ConversationMetrics


class GatewayMetrics(ConversationMetrics):
    """Metrics of one gateway.

    The share of fallbacks is lta_gateway_decisions_total{origin="no_server"} divided by lta_gateway_decisions_total.
    """

    def __init__(self) -> None:
        super().__init__("lta_gateway")
        self._decisions = Counter(
            "lta_gateway_decisions",
            "Decisions by action (ask, stop) and origin (model, repaired, fallback, no_server)",
            ["action", "origin"],
            registry=self.registry,
        )
        self._attempts = Counter(
            "lta_gateway_attempts",
            "Questions put to policy servers, by server and status code",
            ["server", "code"],
            registry=self.registry,
        )
        self.retries = Counter(
            "lta_gateway_retries", "Attempts after the first of a request", registry=self.registry
        )
        self.records_sent = Counter(
            "lta_gateway_record_files_sent", "Files of records sent to the store", registry=self.registry
        )
        self.sending_failures = Counter(
            "lta_gateway_record_sending_failures", "Sendings that the store refused", registry=self.registry
        )
        self._codes: dict[str, set[str]] = {}

    def count_decision(self, action: str, origin: str) -> None:
        """Count a decision."""
        self._decisions.labels(action, origin).inc()

    def count_attempt(self, server: str, code: str) -> None:
        """Count a request to a policy server by its status code."""
        self._codes.setdefault(server, set()).add(code)
        self._attempts.labels(server, code).inc()

    def forget(self, server: str) -> None:
        """Remove the series of a server that is gone: every pod has another address, and series would pile up."""
        for code in self._codes.pop(server, ()):
            self._attempts.remove(server, code)

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
