"""The status of a run in a cluster, for a table and as JSON: the operator's record of every stage."""

from __future__ import annotations

from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.run import FINISHED_PHASES, RunStatus, StageRecord


@dataclass(frozen=True, kw_only=True)
class ShownRun:
    """A run in a cluster. Status fields of a newer operator are ignored."""

    namespace: str
    name: str
    status: RunStatus

    @classmethod
    def of(cls, body: Json) -> ShownRun:
        metadata = body["metadata"]
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            status=RunStatus.model_validate(body.get("status") or {}),
        )

    @property
    def over(self) -> bool:
        return self.status.phase in FINISHED_PHASES


def seconds_taken(record: StageRecord, *, now: float) -> float | None:
    """Return the seconds of the latest attempt; None when there was none yet."""
    if record.started is None or record.reused:
        return None
    return (seconds_of(record.finished) if record.finished else now) - seconds_of(record.started)


def activity_of(record: StageRecord) -> str:
    """Describe a stage beyond its state: its step and remaining time, or why it waits or failed. May be empty."""
    progress = record.progress
    if record.state == "Running" and progress:
        left = f", {progress.remaining_seconds:.0f} s left" if progress.remaining_seconds is not None else ""
        return f"{progress.message} {progress.percent:.0f} %{left}".strip()
    if record.state in ("Queued", "Waiting", "Retrying", "Failed", "Stopping"):
        return record.message or record.reason
    if record.state == "Published" and record.reused:
        return "was in the store"
    return ""


def json_of(run: ShownRun, *, now: float) -> Json:
    """Return what `lta status --json` prints: the fields of a local run, and those that only a cluster has."""
    status = run.status
    return {
        "run": run.name,
        "namespace": run.namespace,
        "outcome": status.phase,
        "reason": status.reason,
        "message": status.message,
        "stages": [
            {
                "stage": record.name,
                "state": record.state,
                "key": record.key,
                "output": record.output,
                "attempt": record.attempt,
                "reason": record.reason,
                "message": record.message,
                "seconds": seconds_taken(record, now=now),
                "progress": record.progress.model_dump(by_alias=True) if record.progress else None,
                "metrics": record.metrics,
                "summary": record.summary,
            }
            for record in status.stages
        ],
        "gpuHours": status.gpu_hours,
        "endpoint": status.endpoint.address if status.endpoint else None,
    }
