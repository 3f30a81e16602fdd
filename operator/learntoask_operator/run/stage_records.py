"""The records of the stages, before and after a plan: pure.

`settled` takes in how attempts ended, so that the plan can rest on it; `recorded` takes in what the plan decided. Both
give the same again when nothing happened in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learntoask.core.manifest import RunSpec
from learntoask.core.stages.graph import RESOLVE
from learntoask.core.stages.planner import Allowance, Plan, StageStatus, Start, Stop
from learntoask.core.status.conditions import timestamp
from learntoask.core.status.run import Failure, StageProgress, StageRecord
from pydantic import JsonValue

from learntoask_operator.run.observe import Seen


@dataclass(frozen=True, kw_only=True)
class Known:
    """A publication as the status remembers it."""

    key: str
    output: str
    summary: Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Told:
    """The latest progress that a stage's pods pushed, for its `attempt`."""

    attempt: int
    progress: StageProgress
    metrics: Mapping[str, float]


def settled(record: StageRecord, seen: Seen, *, gpus: float, now: float) -> StageRecord:
    """`record` with the end of the attempt that `seen` shows, when it has ended and is not settled yet."""
    observed = seen.observed
    if observed is None:
        return record
    if (observed.key, observed.attempt) == (record.key, record.settled):
        return record
    if seen.report is not None and record.name == RESOLVE and seen.report.inputs is None:
        why = {
            "reason": "InputsUnknown",
            "message": "the pod ended well and told no digests; is its image too old?",
        }
        failure = Failure(
            stage=record.name, attempt=observed.attempt, time=timestamp(now), retryable=False, **why
        )
        return _ended(record, seen, gpus=gpus, now=now, ended="Failed", last_failure=failure, **why)
    if seen.report is not None:
        return _ended(
            record, seen, gpus=gpus, now=now, ended="Published", state="Published", output=seen.report.output,
            summary=dict(seen.report.summary), reused=seen.report.reused, reason="", message="",
        )  # fmt: skip
    why = {"reason": observed.reason[:128], "message": observed.message}
    if observed.state == "failed":
        return _ended(record, seen, gpus=gpus, now=now, ended="Failed", last_failure=seen.failure, **why)
    if observed.state == "disrupted":
        return _ended(record, seen, gpus=gpus, now=now, ended="Disrupted", **why)
    return record


def _ended(record: StageRecord, seen: Seen, *, gpus: float, now: float, **changes: Any) -> StageRecord:
    observed = seen.observed
    assert observed is not None
    finished = seen.finished if seen.finished is not None else now
    started = observed.started if seen.ran is None else min(seen.ran, observed.started)
    hours = gpus * max(0.0, finished - started) / 3600 if seen.ran is not None else 0.0
    new = {"output": None, "summary": {}, "reused": False} if record.key != observed.key else {}
    return record.model_copy(
        update={
            **new,
            "key": observed.key,
            "attempt": observed.attempt,
            "settled": observed.attempt,
            "exempt": observed.exempt,
            "disruptions": observed.disruptions,
            "started": timestamp(started),
            "finished": timestamp(finished),
            "progress": None,
            "gpu_hours": round(record.gpu_hours + hours, 4),
            **changes,
        }
    )


def stopped(record: StageRecord, seen: Seen, stop: Stop, *, gpus: float, now: float) -> StageRecord:
    """`record` once `stop` is decided: written before the Job is deleted: a crash in between forgets nothing."""
    observed = seen.observed
    if observed is None or (observed.key, observed.attempt) == (record.key, record.settled):
        return record
    if not stop.failed:
        changed = _ended(
            record, seen, gpus=gpus, now=now, ended="Stopped", reason=stop.reason, message=stop.message
        )
        return changed.model_copy(update={"exempt": observed.exempt + 1})
    failure = Failure(
        stage=record.name,
        attempt=observed.attempt,
        reason=stop.reason,
        message=stop.message,
        time=timestamp(now),
    )
    return _ended(
        record,
        seen,
        gpus=gpus,
        now=now,
        ended="Failed",
        last_failure=failure,
        reason=stop.reason,
        message=stop.message,
    )


def forgiven(record: StageRecord) -> StageRecord:
    """`record` with all its failures forgiven: its next attempt is as the first."""
    if record.ended not in ("Failed", "Disrupted"):
        return record
    return record.model_copy(update={"exempt": record.attempt, "ended": "Stopped"})


def recorded(
    record: StageRecord, status: StageStatus, seen: Seen, *, start: Start | None, told: Told | None
) -> StageRecord:
    """`record` with what the plan says of the stage. Of a stage that waits for its inputs, key and output are kept: it
    may turn out that nothing it depends on has changed."""
    if start is not None:
        fresh = {"exempt": 0, "disruptions": 0, "settled": 0, "output": None, "summary": {}, "reused": False}
        return record.model_copy(
            update={
                **(fresh if start.key != record.key else {}),
                "state": "Waiting",
                "key": start.key,
                "attempt": start.attempt,
                "ended": "",
                "started": None,
                "finished": None,
                "progress": None,
                "metrics": {},
                "reason": "",
                "message": "",
            }
        )
    changes: dict[str, Any] = {"state": status.state}
    observed = seen.observed
    if status.state in ("Queued", "Waiting", "Running") and observed is not None:
        changes |= {"reason": observed.reason[:128], "message": observed.message}
        if observed.attempt > record.settled or observed.key != record.key:
            changes |= {"key": observed.key, "attempt": observed.attempt, "ended": ""}
            if observed.key != record.key:
                changes |= {"settled": 0, "output": None, "summary": {}, "reused": False}
        if status.state == "Running":
            changes["started"] = timestamp(observed.started)
            changes["finished"] = None
        if told is not None and told.attempt == observed.attempt:
            changes |= {"progress": told.progress, "metrics": dict(told.metrics)}
    elif status.state == "Failed":
        changes |= {"reason": status.reason[:128], "message": status.message, "progress": None}
    elif status.state in ("Published", "Pending"):
        changes |= {"reason": "", "message": "", "progress": None}
    return record.model_copy(update=changes)


def published(records: Mapping[str, StageRecord]) -> dict[str, Known]:
    """What the run's stages published, by key."""
    return {
        record.key: Known(key=record.key, output=record.output, summary=record.summary)
        for record in records.values()
        if record.key and record.output and record.ended == "Published"
    }


def pods_together(spec: RunSpec, stage: str) -> int:
    """Pods of an attempt that work as one: without any of them the others wait."""
    return spec.train.distributed.workers if stage in ("sft", "grpo") else 1


def pods_of(spec: RunSpec, stage: str) -> int:
    return spec.label.parallelism if stage == "label" else pods_together(spec, stage)


def gpus_of(spec: RunSpec, stage: str) -> float:
    """GPUs that an attempt holds."""
    return spec.pods.gpus(stage) * pods_of(spec, stage)


def allowance(
    records: Mapping[str, StageRecord], seen: Mapping[str, Seen], spec: RunSpec, now: float
) -> Allowance:
    """GPU-hours of all attempts that ended, and of those that run, until `now`."""
    used = sum(record.gpu_hours for record in records.values())
    rate = 0.0
    for name, one in seen.items():
        observed = one.observed
        if observed is None or observed.state != "running" or one.report is not None:
            continue
        gpus = gpus_of(spec, name)
        rate += gpus
        used += gpus * max(0.0, now - observed.started) / 3600
    return Allowance(used=used, rate=rate)


def starts(plan: Plan) -> dict[str, Start]:
    return {action.stage: action for action in plan.actions if isinstance(action, Start)}


def stops(plan: Plan) -> dict[str, Stop]:
    return {action.stage: action for action in plan.actions if isinstance(action, Stop)}
