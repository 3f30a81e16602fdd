"""Derives from the Jobs and pods of a stage what the planner is told about it. The functions are pure.

The record in the run's status is the memory. An attempt whose end is recorded there keeps that end, whatever becomes of
its Job. A Job counts only if it belongs to the run and is newer than the recorded end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import ATTEMPT_LABEL, STAGE_KEY_ANNOTATION, TerminationMessage
from learntoask.core.stages.planner import Observed
from learntoask.core.status.conditions import seconds_of, shorten, timestamp
from learntoask.core.status.run import Failure, StageRecord

from learntoask_operator.causes import CLAIMS_SECONDS, named_claims, why_waiting
from learntoask_operator.ownership import is_deleting
from learntoask_operator.run.pod_messages import (
    disruption_of,
    failure_of,
    has_ended,
    result_of,
    running_since,
)

_LAG = 15.0  # seconds that the watch of pods may be behind the watch of Jobs
# Seconds until a cause that somebody has to mend counts as lasting: what a run needs may be created after the run.
_MENDED_WITHIN = 60.0
State = Literal["queued", "waiting", "running", "ending", "stopped", "disrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class ObservedStage:
    """One stage as it is now; times are in seconds since the epoch.

    `observed` is its latest attempt as the planner sees it. `result` is the message of an attempt that succeeded,
    `failure` explains one that failed. `ran` is when the attempt began to run. The Jobs `superfluous`, as (name, uid),
    must be deleted. `look_again` is when time alone changes the observation.
    """

    observed: Observed | None
    result: TerminationMessage | None = None
    failure: Failure | None = None
    ran: float | None = None
    finished: float | None = None
    superfluous: tuple[tuple[str, str], ...] = ()
    look_again: float | None = None


def observe(
    record: StageRecord, *, jobs: Sequence[Json], pods: Sequence[Json], together: int, now: float
) -> ObservedStage:
    """Observe a stage from its `jobs` and `pods`; `together` is how many pods of an attempt must run at once."""
    active = [job for job in jobs if not is_deleting(job) and not _is_finished(job)]
    unsettled = [job for job in active if not _is_settled(job, record)]
    unsettled.sort(key=lambda job: (_key(job) == record.key, _attempt(job)))
    job = unsettled[-1] if unsettled else None
    unwanted = tuple(
        (other["metadata"]["name"], other["metadata"]["uid"]) for other in active if other is not job
    )
    if unwanted or _leftover_pods(pods, job):
        # Until all that is left of other attempts is gone, no attempt of this stage may start.
        key, attempt = (record.key or "", record.attempt) if job is None else (_key(job), _attempt(job))
        observed = Observed(key=key, state="ending", attempt=attempt, started=now, exempt=record.exempt)
        return ObservedStage(observed=observed, superfluous=unwanted)
    if job is None:
        ended = [
            other
            for other in jobs
            if not is_deleting(other) and _key(other) == record.key and not _is_settled(other, record)
        ]
        job = max(ended, key=_attempt, default=None)
    if job is None:
        return observe_record(record, now)
    own = [pod for pod in pods if _job_uid(pod) == job["metadata"]["uid"]]
    return _JobAttempt(job=job, record=record, pods=own, together=together, now=now).observe()


def observe_record(record: StageRecord, now: float) -> ObservedStage:
    """Observe a stage from its record alone: its attempt has a recorded end, or its Job is gone."""
    if not record.key or not record.attempt:
        return ObservedStage(observed=None)
    finished = seconds_of(record.finished) if record.finished else None

    def observed(state: State, **changes: Any) -> Observed:
        fields = {
            "exempt": record.exempt,
            "disruptions": record.disruptions,
            "finished": finished,
            **changes,
        }
        return Observed(key=record.key or "", state=state, attempt=record.attempt, started=now, **fields)

    if record.settled < record.attempt:
        lost = observed(
            "disrupted",
            exempt=record.exempt + 1,
            disruptions=record.disruptions + 1,
            finished=now,
            reason="JobDeleted",
            message="its Job was deleted, and not by the operator",
        )
        ran = seconds_of(record.started) if record.started else None
        return ObservedStage(observed=lost, finished=now, ran=ran)
    failure = record.last_failure
    match record.ended:
        case "Failed" if failure is not None:
            message = shorten(failure.message)
            return ObservedStage(
                observed=observed(
                    "failed", reason=failure.reason, message=message, retryable=failure.retryable
                )
            )
        case "Disrupted":
            return ObservedStage(observed=observed("disrupted", reason=record.reason, message=record.message))
        case _:
            return ObservedStage(observed=observed("stopped"))


@dataclass(frozen=True, kw_only=True)
class _JobAttempt:
    """The Job of one attempt with its pods."""

    job: Json
    record: StageRecord
    pods: Sequence[Json]
    together: int
    now: float

    def observe(self) -> ObservedStage:
        complete, failed = _condition(self.job, "Complete"), _condition(self.job, "Failed")
        if complete:
            return self._observe_success(complete)
        if failed:
            return self._observe_failure(failed)
        return self._observe_unfinished()

    def _observe_success(self, complete: Json) -> ObservedStage:
        finished = self._finished_at(complete)
        result = result_of(self.pods)
        if result is not None:
            return self._stage("running", started=self._started, result=result, finished=finished)
        if self.now < finished + _LAG:
            return self._stage("ending", started=self._created, look_again=finished + _LAG)
        why = ("OutputUnknown", "the Job succeeded, but no pod is left that reports its output")
        return self._stage("disrupted", started=self._started, finished=finished, why=why)

    def _observe_failure(self, failed: Json) -> ObservedStage:
        finished = self._finished_at(failed)
        if self.now < finished + _LAG and not any(has_ended(pod) for pod in self.pods):
            return self._stage("ending", started=self._created, look_again=finished + _LAG)
        if disruption := disruption_of(self.pods):
            why = ("Disrupted", disruption)
            return self._stage("disrupted", started=self._started, finished=finished, why=why)
        stage, attempt = self.record.name, _attempt(self.job)
        fallback = Failure(
            stage=stage,
            attempt=attempt,
            reason=str(failed.get("reason", "JobFailed")),
            message=str(failed.get("message", "")),
            time=timestamp(finished),
        )
        failure = failure_of(self.pods, stage=stage, attempt=attempt, fallback=fallback)
        return self._stage("failed", started=self._started, finished=finished, failure=failure)

    def _observe_unfinished(self) -> ObservedStage:
        if self.job["spec"].get("suspend"):
            return self._stage(
                "queued", started=self._created, why=("Queued", "the Job waits to be admitted")
            )
        if self._is_running():
            # A pod that replaces another one does not restart the attempt's deadline.
            known = self.record.started if self._is_recorded() else None
            first = seconds_of(known) if known else self.now
            return self._stage("running", started=min(first, self._started))
        newest = max((_created(pod) for pod in self.pods), default=self._created)
        start = self.job["status"].get("startTime")
        admitted = seconds_of(start) if start else self._created
        return self._waiting(since=max(admitted, newest))

    def _waiting(self, *, since: float) -> ObservedStage:
        wanted = int(self.job["spec"].get("parallelism", 1))
        cause = why_waiting(self.pods, now=self.now, creator=self.job, wanted=wanted)
        if cause is None:
            told = since + CLAIMS_SECONDS if any(map(named_claims, self.pods)) else self.now
            return self._stage("waiting", started=since, look_again=told if self.now < told else None)
        patience_ends = since + _MENDED_WITHIN
        return self._stage(
            "waiting",
            started=since,
            why=(cause.reason, cause.message),
            startable=not cause.lasting or cause.at < patience_ends,
            look_again=patience_ends if cause.lasting and self.now < patience_ends else None,
        )

    def _stage(
        self,
        state: State,
        *,
        started: float,
        finished: float | None = None,
        why: tuple[str, str] = ("", ""),
        result: TerminationMessage | None = None,
        failure: Failure | None = None,
        startable: bool = True,
        look_again: float | None = None,
    ) -> ObservedStage:
        key, record = _key(self.job), self.record
        exempt, disruptions = (record.exempt, record.disruptions) if record.key == key else (0, 0)
        reason, message = (failure.reason, failure.message) if failure else why
        observed = Observed(
            key=key,
            state=state,
            attempt=_attempt(self.job),
            started=started,
            finished=finished,
            reason=reason,
            message=message,
            exempt=exempt + (state == "disrupted"),
            disruptions=disruptions + (state == "disrupted"),
            retryable=failure.retryable if failure else True,
            startable=startable,
        )
        return ObservedStage(
            observed=observed,
            result=result,
            failure=failure,
            ran=self._ran,
            finished=finished,
            look_again=look_again,
        )

    @property
    def _created(self) -> float:
        return _created(self.job)

    @cached_property
    def _ran(self) -> float | None:
        began = [since for since in map(running_since, self.pods) if since is not None]
        return min(began, default=None)

    @property
    def _started(self) -> float:
        return self._ran or self._created

    def _finished_at(self, condition: Json) -> float:
        transition = condition.get("lastTransitionTime")
        return seconds_of(transition) if transition else self._created

    def _is_running(self) -> bool:
        alive = [pod for pod in self.pods if not has_ended(pod) and running_since(pod) is not None]
        done = [pod for pod in self.pods if has_ended(pod) and not _condition(pod, "DisruptionTarget")]
        return bool(alive) and len(alive) + len(done) >= self.together

    def _is_recorded(self) -> bool:
        return (self.record.key, self.record.attempt) == (_key(self.job), _attempt(self.job))


def _leftover_pods(pods: Sequence[Json], job: Json | None) -> bool:
    """Whether a pod of another Job than `job` has not ended."""
    uid = job["metadata"]["uid"] if job else None
    return any(not has_ended(pod) and (uid is None or _job_uid(pod) != uid) for pod in pods)


def _is_settled(job: Json, record: StageRecord) -> bool:
    return _key(job) == record.key and _attempt(job) <= record.settled


def _is_finished(job: Json) -> bool:
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def _condition(child: Json, type: str) -> Json | None:
    """The condition `type`, if it is true."""
    conditions = child["status"].get("conditions", ())
    return next(
        (
            condition
            for condition in conditions
            if condition["type"] == type and condition["status"] == "True"
        ),
        None,
    )


def _created(child: Json) -> float:
    return seconds_of(child["metadata"]["creationTimestamp"])


def _key(job: Json) -> str:
    return str(job["metadata"].get("annotations", {}).get(STAGE_KEY_ANNOTATION, ""))


def _attempt(job: Json) -> int:
    return int(job["metadata"].get("labels", {}).get(ATTEMPT_LABEL, 0))


def _job_uid(pod: Json) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)
