"""What Prometheus reads. Label children are made once: looking them up on every call would cost more than counting."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry a server, so that several servers of one process (tests) do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        calls = Counter(
            "lta_serving_calls", "Calls by method and status code", ["method", "code"], registry=self.registry
        )
        seconds = Histogram(
            "lta_serving_answer_seconds",
            "Time from a request to its answer",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        decisions = Counter(
            "lta_serving_decisions",
            "Decisions by action (ask, stop) and origin (model, repaired, fallback)",
            ["action", "origin"],
            registry=self.registry,
        )
        tokens = Counter("lta_serving_tokens", "Tokens by kind", ["kind"], registry=self.registry)
        self.calls: Callable[[str, str], Counter] = cache(calls.labels)
        self.seconds: Callable[[str], Histogram] = cache(seconds.labels)
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


def expose(metrics: Metrics, *, host: str, port: int) -> tuple[WSGIServer, Thread]:
    """Serve `/metrics` over HTTP from a thread of its own; port 0 takes a free one (`server.server_port`)."""
    return start_http_server(port, addr=host, registry=metrics.registry)
