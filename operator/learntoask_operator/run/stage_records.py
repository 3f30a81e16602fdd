"""Computes the records of the stages in the status, before and after the plan. The functions are pure.

`settle` records how an attempt ended, so that the plan can rest on it, and `apply_plan` records what the plan decided.
Both return the same record again if nothing has happened in between.
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

from learntoask_operator.run.observe import ObservedStage

_NO_OUTPUT: dict[str, Any] = {"output": None, "summary": {}, "reused": False}


@dataclass(frozen=True, kw_only=True)
class RecordedPublication:
    """A publication as the status remembers it (planner.Result)."""

    key: str
    output: str
    summary: Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class LatestProgress:
    """The latest progress that the pods of attempt `attempt` pushed. Of a review, `key` and `output` are what its pod
    has published, and `missing` of `needed` answers are not there yet."""

    attempt: int
    progress: StageProgress
    metrics: Mapping[str, float]
    key: str = ""
    output: str = ""
    missing: int = 0
    needed: int = 0


def settle(record: StageRecord, seen: ObservedStage, *, gpus: float, now: float) -> StageRecord:
    """`record` with the end of the attempt that `seen` shows, unless it goes on or its end is recorded already."""
    observed = seen.observed
    if observed is None:
        return record
    if (observed.key, observed.attempt) == (record.key, record.settled):
        return record
    result = seen.result
    if result is not None and record.name == RESOLVE and result.inputs is None:
        why = {
            "reason": "InputsUnknown",
            "message": "the pod succeeded but reported no digests; its image may be too old",
        }
        failure = Failure(
            stage=record.name, attempt=observed.attempt, time=timestamp(now), retryable=False, **why
        )
        return _with_end(record, seen, gpus=gpus, now=now, ended="Failed", last_failure=failure, **why)
    if result is not None:
        return _with_end(
            record,
            seen,
            gpus=gpus,
            now=now,
            ended="Published",
            state="Published",
            output=result.output or "",
            summary=dict(result.summary),
            reused=result.skipped,
            reason="",
            message="",
        )
    why = {"reason": observed.reason[:128], "message": observed.message}
    if observed.state == "failed":
        return _with_end(record, seen, gpus=gpus, now=now, ended="Failed", last_failure=seen.failure, **why)
    if observed.state == "disrupted":
        return _with_end(record, seen, gpus=gpus, now=now, ended="Disrupted", **why)
    return record


def settle_review(record: StageRecord, pushed: LatestProgress | None, *, now: float) -> StageRecord:
    """`record` of a review, once the pod that serves it has published the answers."""
    if pushed is None or not pushed.output or pushed.key != record.key or record.ended == "Published":
        return record
    return record.model_copy(
        update={
            "state": "Published",
            "ended": "Published",
            "output": pushed.output,
            "finished": timestamp(now),
            "progress": None,
            "reason": "",
            "message": "",
        }
    )


def stop(record: StageRecord, seen: ObservedStage, action: Stop, *, gpus: float, now: float) -> StageRecord:
    """The record of a stage that is about to be stopped.

    It is written before the stage's Job is deleted, so that a crash between the two loses nothing.
    """
    observed = seen.observed
    if observed is None or (observed.key, observed.attempt) == (record.key, record.settled):
        return record
    why = {"reason": action.reason, "message": action.message}
    if not action.failed:
        stopped = _with_end(record, seen, gpus=gpus, now=now, ended="Stopped", **why)
        return stopped.model_copy(update={"exempt": observed.exempt + 1})
    failure = Failure(
        stage=record.name,
        attempt=observed.attempt,
        time=timestamp(now),
        retryable=action.retryable,
        **why,
    )
    return _with_end(record, seen, gpus=gpus, now=now, ended="Failed", last_failure=failure, **why)


def forgive(record: StageRecord) -> StageRecord:
    """`record` without its failures: the next attempt counts as the first one."""
    if record.ended not in ("Failed", "Disrupted"):
        return record
    return record.model_copy(update={"exempt": record.attempt, "ended": "Stopped"})


def apply_plan(
    record: StageRecord,
    status: StageStatus,
    seen: ObservedStage,
    *,
    start: Start | None,
    progress: LatestProgress | None,
) -> StageRecord:
    """`record` with what the plan decided for the stage: `status`, and the attempt `start` if one is started.

    A stage that waits for its inputs keeps key and output, because it may turn out that none of its inputs changed.
    """
    if start is not None:
        return _with_start(record, start)
    changes: dict[str, Any] = {"state": status.state}
    observed = seen.observed
    if status.state in ("Queued", "Waiting", "Running") and observed is not None:
        changes |= {"reason": observed.reason[:128], "message": observed.message}
        if observed.attempt > record.settled or observed.key != record.key:
            changes |= {"key": observed.key, "attempt": observed.attempt, "ended": ""}
            if observed.key != record.key:
                changes |= {"settled": 0, **_NO_OUTPUT}
        if status.state == "Running":
            changes["started"] = timestamp(observed.started)
            changes["finished"] = None
        if progress is not None and progress.attempt == observed.attempt:
            changes |= {"progress": progress.progress, "metrics": dict(progress.metrics)}
    elif status.state == "Reviewing":
        changes |= {"key": status.key, "reason": status.reason, "message": status.message}
        if status.key != record.key:
            changes |= {"ended": "", "finished": None, **_NO_OUTPUT}
        changes["progress"] = progress.progress if progress and progress.key == status.key else None
    elif status.state == "Failed":
        changes |= {"reason": status.reason[:128], "message": status.message, "progress": None}
    elif status.state in ("Published", "Pending"):
        changes |= {"reason": "", "message": "", "progress": None}
    return record.model_copy(update=changes)


def _with_end(
    record: StageRecord, seen: ObservedStage, *, gpus: float, now: float, **changes: Any
) -> StageRecord:
    """`record` once the attempt of `seen` has ended; `changes` say how."""
    observed = seen.observed
    assert observed is not None
    finished = seen.finished if seen.finished is not None else now
    started = observed.started if seen.ran is None else min(seen.ran, observed.started)
    hours = gpus * max(0.0, finished - started) / 3600 if seen.ran is not None else 0.0
    return record.model_copy(
        update={
            **(_NO_OUTPUT if record.key != observed.key else {}),
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


def _with_start(record: StageRecord, start: Start) -> StageRecord:
    fresh = {"exempt": 0, "disruptions": 0, "settled": 0, **_NO_OUTPUT}
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


def publications(records: Mapping[str, StageRecord]) -> dict[str, RecordedPublication]:
    """What the stages of the run have published, by key."""
    return {
        record.key: RecordedPublication(key=record.key, output=record.output, summary=record.summary)
        for record in records.values()
        if record.key and record.output and record.ended == "Published"
    }


def pods_together(spec: RunSpec, stage: str) -> int:
    """How many pods of an attempt must run at once: each of them waits for the others."""
    return spec.train.distributed.workers if stage in ("sft", "grpo") else 1


def pods_of(spec: RunSpec, stage: str) -> int:
    """How many pods an attempt has."""
    return spec.label.parallelism if stage == "label" else pods_together(spec, stage)


def gpus_of(spec: RunSpec, stage: str) -> float:
    """How many GPUs an attempt holds."""
    return spec.pods.gpus(stage) * pods_of(spec, stage)


def allowance(
    records: Mapping[str, StageRecord], seen: Mapping[str, ObservedStage], spec: RunSpec, now: float
) -> Allowance:
    """GPU-hours of all attempts that ended and, until `now`, of those that run."""
    used = sum(record.gpu_hours for record in records.values())
    rate = 0.0
    for name, stage in seen.items():
        observed = stage.observed
        if observed is None or observed.state != "running" or stage.result is not None:
            continue
        gpus = gpus_of(spec, name)
        rate += gpus
        used += gpus * max(0.0, now - observed.started) / 3600
    return Allowance(used=used, rate=rate)


def starts(plan: Plan) -> dict[str, Start]:
    """The attempts that the plan starts, by stage."""
    return {action.stage: action for action in plan.actions if isinstance(action, Start)}


def stops(plan: Plan) -> dict[str, Stop]:
    """The attempts that the plan stops, by stage."""
    return {action.stage: action for action in plan.actions if isinstance(action, Stop)}
