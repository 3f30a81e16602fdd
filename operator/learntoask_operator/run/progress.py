"""Keeps the latest progress that pods pushed, in memory only.

The operator copies the progress into the run's status at each write, and at least every ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from learntoask.core.status.run import StageProgress
from learntoask.kube import RUN
from learntoask.progress.report import ProgressReport

from learntoask_operator.loop import Ref
from learntoask_operator.run.stage_records import LatestProgress

_EVERY = 10.0  # seconds between two status writes of a run for no other reason than progress


@dataclass(slots=True)
class _NewestAttempt:
    """The newest attempt of a stage: the latest report of each of its pods, by index."""

    attempt: int
    reports: dict[int, ProgressReport] = field(default_factory=dict)


class ProgressBoard:
    """`wake` is called with a run whose status should be written because of new progress."""

    def __init__(self, *, wake: Callable[[Ref], None], clock: Callable[[], float]) -> None:
        self._wake, self._clock = wake, clock
        self._stages: dict[Ref, dict[str, _NewestAttempt]] = {}
        self._woken: dict[Ref, float] = {}

    def report(self, report: ProgressReport) -> None:
        """Take the report of a pod, unless it is about an older attempt."""
        run = Ref(kind=RUN, namespace=report.namespace, name=report.run)
        stages = self._stages.setdefault(run, {})
        newest = stages.get(report.stage)
        if newest is None or newest.attempt < report.attempt:
            newest = stages[report.stage] = _NewestAttempt(attempt=report.attempt)
        if report.attempt == newest.attempt:
            newest.reports[report.index] = report
        now = self._clock()
        if report.output or now - self._woken.get(run, 0.0) >= _EVERY:
            self._woken[run] = now
            self._wake(run)

    def latest(self, run: Ref) -> Mapping[str, LatestProgress]:
        """The latest progress of each stage of the run."""
        stages = self._stages.get(run, {})
        return {name: _combine(attempt) for name, attempt in stages.items() if attempt.reports}

    def forget(self, run: Ref) -> None:
        self._stages.pop(run, None)
        self._woken.pop(run, None)


def _combine(attempt: _NewestAttempt) -> LatestProgress:
    """The progress of all pods of an attempt: the amounts add up, message and metrics are those of the first pod."""
    reports = [attempt.reports[index] for index in sorted(attempt.reports)]
    done, total = sum(report.done for report in reports), sum(report.total for report in reports)
    left = [report.remaining_seconds for report in reports if report.remaining_seconds is not None]
    percent = round(min(100.0, 100 * done / total), 1) if total > 0 else 0.0
    remaining = round(max(left)) if left else None
    first = reports[0]
    return LatestProgress(
        attempt=attempt.attempt,
        progress=StageProgress(percent=percent, remaining_seconds=remaining, message=first.message),
        metrics=dict(first.metrics),
        key=first.key,
        output=first.output,
        missing=max(0, round(total - done)),
        needed=round(total),
    )
