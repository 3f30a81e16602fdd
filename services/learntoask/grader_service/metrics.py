"""Prometheus metrics of a grader service."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from learntoask.grading.grades import Grade, MissingGrade
from learntoask.rpc.metrics import CallMetrics
from learntoask.wire import grader_pb2 as wire

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class GraderMetrics(CallMetrics):
    """Metrics of one grader service."""

    service = wire.DESCRIPTOR.services_by_name["GraderService"].full_name

    def __init__(self) -> None:
        super().__init__("lta_grader")
        grades = Counter(
            "lta_grader_grades",
            "Answers by grader and outcome (grade, missing)",
            ["grader", "outcome"],
            registry=self.registry,
        )
        content = Counter(
            "lta_grader_content",
            "Grades by grader and content; a grader that always gives the same is of no use",
            ["grader", "content"],
            registry=self.registry,
        )
        batches = Histogram(
            "lta_grader_batch_cases",
            "Cases graded together",
            ["grader"],
            buckets=_BATCHES,
            registry=self.registry,
        )
        self._grades: Callable[[str, str], Counter] = cache(grades.labels)
        self._content: Callable[[str, str], Counter] = cache(content.labels)
        self.batches: Callable[[str], Histogram] = cache(batches.labels)

    def count(self, grader: str, answer: Grade | MissingGrade) -> None:
        """Count a result."""
        if isinstance(answer, MissingGrade):
            self._grades(grader, "missing").inc()
            return
        self._grades(grader, "grade").inc()
        self._content(grader, _level(answer.content)).inc()

    def watch(self, in_flight: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each scrape."""
        Gauge("lta_grader_in_flight", "Cases being graded or waiting", registry=self.registry).set_function(
            in_flight
        )


def _level(content: float) -> str:
    """Return `0`, `1` or `part`, because each share of several items would be a series of its own."""
    return "part" if 0 < content < 1 else f"{content:g}"
