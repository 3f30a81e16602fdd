"""Prometheus metrics of the review page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PATHS = frozenset(("/", "/enter", "/answer", "/undo", "/skip", "/comment", "/alive", "/guideline"))


class PageMetrics:
    """Counts of what people do, and latencies. Each page has its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._actions = Counter(
            "lta_review_actions",
            "Actions by kind and role of the person",
            ["kind", "role"],
            registry=self.registry,
        )
        self._refused = Counter(
            "lta_review_refused", "Requests that were refused, by reason", ["reason"], registry=self.registry
        )
        self._seconds = Histogram(
            "lta_review_answer_seconds",
            "Time from a request to its answer",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def count(self, kind: str, role: str) -> None:
        self._actions.labels(kind, str(role)).inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    @contextmanager
    def timed(self, path: str) -> Iterator[None]:
        """Observe the time that the block takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            known = path if path in _PATHS else "other"
            self._seconds.labels(known).observe(time.perf_counter() - start)
