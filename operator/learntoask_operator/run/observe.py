"""From Jobs and pods to what the planner is told of each stage: pure.

The record in the run's status is the memory: an attempt that is settled there stays as it was settled, whatever becomes
of its Job. A Job counts only while it is the run's own and newer than what is settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from learntoask.core.json_object import Json
from learntoask.core.stages.planner import Observed
from learntoask.core.status.conditions import seconds_of, shorten
from learntoask.core.status.run import Failure, StageRecord

from learntoask_operator.run.labels import ATTEMPT, KEY
from learntoask_operator.run.pod_messages import (
    Report,
    disrupted,
    failure_of,
    over,
    report_of,
    running_since,
    waits_for,
    without_words,
)

_LAG = 15.0  # seconds that the watch of pods may be behind that of Jobs
State = Literal["queued", "waiting", "running", "ending", "stopped", "disrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One stage as it is. `report`: its latest attempt succeeded. `failure`: it ended badly. `superfluous`: Jobs, as
    (name, uid), that must go. Times are seconds since the epoch; `ran` is when the attempt began to run."""

    observed: Observed | None
    report: Report | None = None
    failure: Failure | None = None
    ran: float | None = None
    finished: float | None = None
    superfluous: tuple[tuple[str, str], ...] = ()
    look_again: float | None = None


def observe(
    record: StageRecord, *, jobs: Sequence[Json], pods: Sequence[Json], together: int, now: float
) -> Seen:
    """`jobs` and `pods` of the stage, `together` the pods of an attempt that must run at once."""
    active = [job for job in jobs if not _going(job) and not _finished(job)]
    current = [job for job in active if not _settled(job, record)]
    current.sort(key=lambda job: (_key(job) == record.key, _attempt(job)))
    job = current[-1] if current else None
    unwanted = tuple((one["metadata"]["name"], one["metadata"]["uid"]) for one in active if one is not job)
    known = {one["metadata"]["uid"] for one in active} - {uid for _, uid in unwanted}
    leftover = [pod for pod in pods if not over(pod) and _job_uid(pod) not in known]
    if job is None and not unwanted and not leftover:
        ended = [
            one for one in jobs if not _going(one) and _key(one) == record.key and not _settled(one, record)
        ]
        job = max(ended, key=_attempt, default=None)
    if job is not None and not unwanted and not leftover:
        return _of_job(
            job, record, [pod for pod in pods if _job_uid(pod) == job["metadata"]["uid"]], together, now
        )
    if unwanted or leftover:
        # Until all that is left of other attempts is gone, nothing of this stage may be started.
        key, attempt = (record.key or "", record.attempt) if job is None else (_key(job), _attempt(job))
        state: State = "ending"
        observed = Observed(key=key, state=state, attempt=attempt, started=now, exempt=record.exempt)
        return Seen(observed=observed, superfluous=unwanted)
    return of_record(record, now)


def _of_job(job: Json, record: StageRecord, pods: list[Json], together: int, now: float) -> Seen:
    key, attempt = _key(job), _attempt(job)
    exempt, disruptions = (record.exempt, record.disruptions) if record.key == key else (0, 0)
    began = [since for since in map(running_since, pods) if since is not None]
    ran = min(began, default=None)

    def seen(state: State, *, started: float, **more: Any) -> Seen:
        reason, message = more.pop("why", ("", ""))
        look_again = more.pop("look_again", None)
        observed = Observed(
            key=key,
            state=state,
            attempt=attempt,
            started=started,
            reason=reason,
            message=message,
            exempt=exempt + (state == "disrupted"),
            disruptions=disruptions + (state == "disrupted"),
            finished=more.get("finished"),
            retryable=more["failure"].retryable if more.get("failure") else True,
        )
        return Seen(observed=observed, ran=ran, look_again=look_again, **more)

    created = seconds_of(job["metadata"]["creationTimestamp"])
    complete, failed = _condition(job, "Complete"), _condition(job, "Failed")
    if complete or failed:
        over_since = (complete or failed or {}).get("lastTransitionTime")
        at = seconds_of(over_since) if over_since else created
        report = report_of(pods) if complete else None
        if report:
            return seen("running", started=ran or created, report=report, finished=at)
        told = any(over(pod) for pod in pods)
        if now < at + _LAG and not (failed and told):
            return seen("ending", started=created, look_again=at + _LAG)
        why = disrupted(pods) if failed else "the Job succeeded, and no pod is left to say with what output"
        if complete or why:
            reason = "OutputUnknown" if complete else "Disrupted"
            return seen("disrupted", started=ran or created, finished=at, why=(reason, why or ""))
        fallback = without_words(
            stage=record.name, attempt=attempt, reason=str((failed or {}).get("reason", "JobFailed")),
            message=str((failed or {}).get("message", "")), now=at,
        )  # fmt: skip
        failure = failure_of(pods, stage=record.name, attempt=attempt, fallback=fallback)
        return seen(
            "failed",
            started=ran or created,
            finished=at,
            failure=failure,
            why=(failure.reason, failure.message),
        )
    if job["spec"].get("suspend"):
        return seen("queued", started=created, why=("Queued", "the Job waits to be admitted"))
    alive = [pod for pod in pods if not over(pod) and running_since(pod) is not None]
    if (
        len(alive) + sum(over(pod) for pod in pods if not _condition(pod, "DisruptionTarget")) >= together
        and alive
    ):
        # A pod that the Job replaces does not begin the attempt's deadline anew.
        first = (
            seconds_of(record.started)
            if record.started and (record.key, record.attempt) == (key, attempt)
            else now
        )
        return seen("running", started=min(first, ran or created))
    newest = max((seconds_of(pod["metadata"]["creationTimestamp"]) for pod in pods), default=created)
    admitted = seconds_of(job["status"]["startTime"]) if job["status"].get("startTime") else created
    return seen("waiting", started=max(admitted, newest), why=waits_for(pods))


def of_record(record: StageRecord, now: float) -> Seen:
    """What the record alone says: of an attempt that is settled, or whose Job is gone."""
    if not record.key or not record.attempt:
        return Seen(observed=None)
    finished = seconds_of(record.finished) if record.finished else None

    def observed(state: State, **more: Any) -> Observed:
        given = {"exempt": record.exempt, "disruptions": record.disruptions, "finished": finished, **more}
        return Observed(key=record.key or "", state=state, attempt=record.attempt, started=now, **given)

    if record.settled < record.attempt:
        why = "somebody deleted its Job"
        lost = observed(
            "disrupted", exempt=record.exempt + 1, disruptions=record.disruptions + 1, finished=now,
            reason="JobDeleted", message=why,
        )  # fmt: skip
        return Seen(observed=lost, finished=now, ran=seconds_of(record.started) if record.started else None)
    failure = record.last_failure
    match record.ended:
        case "Failed" if failure is not None:
            return Seen(
                observed=observed(
                    "failed",
                    reason=failure.reason,
                    message=shorten(failure.message),
                    retryable=failure.retryable,
                )
            )
        case "Disrupted":
            return Seen(observed=observed("disrupted", reason=record.reason, message=record.message))
        case _:
            return Seen(observed=observed("stopped"))


def _settled(job: Json, record: StageRecord) -> bool:
    return _key(job) == record.key and _attempt(job) <= record.settled


def _going(child: Json) -> bool:
    return "deletionTimestamp" in child["metadata"]


def _finished(job: Json) -> bool:
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def _condition(child: Json, type: str) -> Json | None:
    conditions = child["status"].get("conditions", ())
    return next((one for one in conditions if one["type"] == type and one["status"] == "True"), None)


def _key(job: Json) -> str:
    return str(job["metadata"].get("annotations", {}).get(KEY, ""))


def _attempt(job: Json) -> int:
    return int(job["metadata"].get("labels", {}).get(ATTEMPT, 0))


def _job_uid(pod: Json) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)
