"""A pod's report about its stage, its conversion to protobuf and its checks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from learntoask.core.pod_contract import service_name
from learntoask.core.stages.graph import REVIEW
from learntoask.rpc.requests import InvalidRequest
from learntoask.wire import progress_pb2

_MOST_METRICS = 64
_MOST_TEXT = 200  # characters of a message or of a metric's name that are kept


@dataclass(frozen=True, kw_only=True)
class ProgressReport:
    """Progress of a stage: `done` of `total` units of the step `message`; a total of 0 means unknown.

    `index` is the pod's index in its Job, from 0. `remaining_seconds` is an estimate. A pod that serves a review also
    gives the `key` of that stage and, once the answers are published, the digest of the `output`.
    """

    namespace: str
    run: str
    stage: str
    attempt: int
    index: int = 0
    done: float = 0.0
    total: float = 0.0
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    remaining_seconds: float | None = None
    key: str = ""
    output: str = ""


def to_wire(report: ProgressReport) -> progress_pb2.ReportRequest:
    """Convert a report to protobuf."""
    return progress_pb2.ReportRequest(
        namespace=report.namespace,
        run=report.run,
        stage=report.stage,
        attempt=report.attempt,
        index=report.index,
        done=report.done,
        total=report.total,
        message=report.message,
        metrics=report.metrics,
        remaining_seconds=report.remaining_seconds,
        key=report.key,
        output=report.output,
    )


def from_wire(request: progress_pb2.ReportRequest) -> ProgressReport:
    """Convert and check a report. Raises InvalidRequest naming the field at fault.

    Metrics that are not finite are left out, because the stage itself fails on a loss that is not finite.
    """
    for name in ("namespace", "run", "stage"):
        if not getattr(request, name):
            raise InvalidRequest(name, "is empty; say which run and stage the report is about")
    if request.attempt < 1:
        raise InvalidRequest("attempt", f"{request.attempt} is not an attempt; attempts are counted from 1")
    for name in ("done", "total", "remaining_seconds"):
        value = getattr(request, name)
        if not math.isfinite(value) or value < 0:
            raise InvalidRequest(name, f"{value} is not a finite amount of at least 0")
    finite = {name[:_MOST_TEXT]: value for name, value in request.metrics.items() if math.isfinite(value)}
    return ProgressReport(
        namespace=request.namespace,
        run=request.run,
        stage=request.stage,
        attempt=request.attempt,
        index=request.index,
        done=request.done,
        total=request.total,
        message=request.message[:_MOST_TEXT],
        metrics=dict(sorted(finite.items())[:_MOST_METRICS]),
        remaining_seconds=request.remaining_seconds if request.HasField("remaining_seconds") else None,
        key=request.key[:_MOST_TEXT],
        output=request.output[:_MOST_TEXT],
    )


def pod_of(report: ProgressReport) -> re.Pattern[str]:
    """Return a pattern for the names of the attempt's pods.

    A name is `<run>-<stage>-<8 characters of the key>-<attempt>`, the pod's index if there are several, and five random
    characters from Kubernetes. The pod of a review belongs to a Deployment.
    """
    run, stage = re.escape(report.run), re.escape(report.stage)
    if report.stage == REVIEW:
        return re.compile(rf"^{re.escape(service_name(report.run, REVIEW))}-[0-9a-z]+-[0-9a-z]{{5}}$")
    return re.compile(rf"^{run}-{stage}-[0-9a-z]{{8}}-{report.attempt}(-{report.index})?-[0-9a-z]{{5}}$")
