"""The latest that pods told of their progress: in memory only, and in the status when it is written anyway or seldom
otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from learntoask.core.status.run import StageProgress
from learntoask.kube import RUN
from learntoask.progress.report import ProgressReport

from learntoask_operator.loop import Ref
from learntoask_operator.run.stage_records import Told

_EVERY = 10.0  # seconds between writes of a run's status that only progress asks for


@dataclass(slots=True)
class _Stage:
    attempt: int
    reports: dict[int, ProgressReport] = field(default_factory=dict)


class ProgressBoard:
    """`wake` is called for a run whose status should tell of new progress."""

    def __init__(self, *, wake: Callable[[Ref], None], clock: Callable[[], float]) -> None:
        self._wake, self._clock = wake, clock
        self._stages: dict[Ref, dict[str, _Stage]] = {}
        self._woken: dict[Ref, float] = {}

    def report(self, report: ProgressReport) -> None:
        """Take in what a pod tells; of an attempt that is over nothing is taken."""
        run = Ref(kind=RUN, namespace=report.namespace, name=report.run)
        stages = self._stages.setdefault(run, {})
        stage = stages.get(report.stage)
        if stage is None or stage.attempt < report.attempt:
            stage = stages[report.stage] = _Stage(attempt=report.attempt)
        if report.attempt == stage.attempt:
            stage.reports[report.index] = report
        now = self._clock()
        if now - self._woken.get(run, 0.0) >= _EVERY:
            self._woken[run] = now
            self._wake(run)

    def told(self, run: Ref) -> Mapping[str, Told]:
        return {name: _told(stage) for name, stage in self._stages.get(run, {}).items() if stage.reports}

    def forget(self, run: Ref) -> None:
        self._stages.pop(run, None)
        self._woken.pop(run, None)


def _told(stage: _Stage) -> Told:
    """Several pods of a stage as one: shares of the work add up, and the first speaks for all."""
    reports = [stage.reports[index] for index in sorted(stage.reports)]
    done, total = sum(one.done for one in reports), sum(one.total for one in reports)
    left = [one.remaining_seconds for one in reports if one.remaining_seconds is not None]
    percent = round(min(100.0, 100 * done / total), 1) if total > 0 else 0.0
    remaining = round(max(left)) if left else None
    progress = StageProgress(percent=percent, remaining_seconds=remaining, message=reports[0].message)
    return Told(attempt=stage.attempt, progress=progress, metrics=dict(reports[0].metrics))
