"""Prometheus metrics of all servers."""

from __future__ import annotations

import hmac
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

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


class SingleThreadHistogram(Collector):
    """A labelled histogram that only one thread adds to. Like the library's counter, its histogram takes a lock."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """`bounds` are the upper bounds of the buckets, which grow; a last one takes what is above them."""
        self._name, self._documentation, self._labelnames = name, documentation, labels
        self._bounds = tuple(bounds)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        registry.register(self)

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Add `value` to the series with the values `labels`."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value

    def describe(self) -> Iterator[Metric]:
        """Yield the metric without samples, so that the registry refuses a second one of the same name."""
        yield HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, counts in self._counts.copy().items():  # scrapes come from another thread
            family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), self._sums[labels])
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
        self.seconds = SingleThreadHistogram(
            f"{prefix}_answer_seconds",
            "Time from a request to its answer",
            ["method"],
            bounds=_SECONDS,
            registry=self.registry,
        )


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
