"""Prometheus metrics of all servers.

Children of labelled metrics are cached, because looking one up for each call would cost more than counting.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from learntoask.core.errors import InputError
from learntoask.core.network.address import listening_host
from learntoask.rpc.config import token_in

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class SingleThreadCounter(Collector):
    """A labelled counter that only one thread increments, by `counts[label_values] += n`.

    The library's counter is made for many threads and takes five calls and a lock for that.
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        self.counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._name = name
        self._documentation = documentation
        self._labelnames = labels
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Yield the metric without samples, so that the registry refuses a second one of the same name."""
        yield CounterMetricFamily(self._name, self._documentation, labels=self._labelnames)

    def collect(self) -> Iterator[Metric]:
        for family in self.describe():
            for values, count in self.counts.copy().items():  # scrapes come from another thread
                family.add_metric(values, count)
            yield family


class CallMetrics:
    """Calls and latencies of one server; `prefix` begins the names of its metrics.

    Each server has its own registry, so that several servers of one process (in tests) do not share counts. `service`
    is the full name of the gRPC service.
    """

    service = ""

    def __init__(self, prefix: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.calls = SingleThreadCounter(
            f"{prefix}_calls", "Calls by method and status code", ["method", "code"], registry=self.registry
        ).counts
        seconds = Histogram(
            f"{prefix}_answer_seconds",
            "Time from a request to its answer",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.seconds: Callable[[str], Histogram] = cache(seconds.labels)


def expose(
    registry: CollectorRegistry, *, host: str, port: int, token_file: Path | None = None
) -> tuple[WSGIServer, Thread]:
    """Serve `/metrics` over HTTP from a thread; port 0 takes a free port (see `server_port` of the result).

    With `token_file` only scrapes that carry its bearer token are answered; the file is read for each one, since a
    mounted Secret may change. Raises InputError if the file is unreadable at the start, and OSError.
    """
    if token_file is None:
        return start_http_server(port, addr=listening_host(host), registry=registry)
    token_in(token_file)
    server, thread = start_http_server(port, addr=listening_host(host), registry=registry)
    server.set_app(_guarded(server.get_app(), token_file))
    return server, thread


def _guarded(app: Any, token_file: Path) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """Return the WSGI application `app` for callers with the token alone."""

    def answer(request: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        given = request.get("HTTP_AUTHORIZATION", "").encode()
        try:
            known = hmac.compare_digest(given, f"Bearer {token_in(token_file)}".encode())
        except InputError:
            known = False
        if known:
            return app(request, start_response)  # type: ignore[no-any-return]
        start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Length", "0")])
        return []

    return answer
