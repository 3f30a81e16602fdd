"""Computes the status of a run from its records and the plan, and the Events about its transitions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.stages.graph import CALIBRATE, RESOLVE, REVIEW
from learntoask.core.stages.planner import Allowance, Outcome, Plan
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import (
    Condition,
    ConditionStatus,
    remove_condition,
    set_condition,
    timestamp,
)
from learntoask.core.status.run import FINISHED_PHASES, Lineage, Phase, RunStatus, StageRecord

from learntoask_operator.events import Event

AT_WORK = ("Reviewing", "Queued", "Waiting", "Running", "Stopping", "Retrying")
# Failures with an Event reason of the same name.
_OWN_FAILURES = (c.NEVER_STARTED, c.CANNOT_START, c.DEADLINE_EXCEEDED)
COMPUTED_ELSEWHERE = "ComputedElsewhere"
"""Reason of a stage that waits because another run computes the same output."""


@dataclass(frozen=True, kw_only=True)
class _Summary:
    """The run in short: its phase, and why it is in it."""

    phase: Phase
    reason: str
    message: str

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED_PHASES


def status_of(
    base: RunStatus,
    before: RunStatus,
    records: Sequence[StageRecord],
    plan: Plan,
    *,
    spec: RunSpec,
    used: Allowance,
    generation: int,
    now: float,
) -> RunStatus:
    """The new status: `base` with the records, and with phase, conditions and summaries that follow from `plan`.

    `before` is the status that was written last.
    """
    summary = _summarize(plan, records)
    working = [record for record in records if record.state in AT_WORK]
    status = base.model_copy(
        update={
            "observed_generation": generation,
            "phase": summary.phase,
            "stage": ",".join(record.name for record in working)[:256],
            "progress": _progress(working),
            "reason": summary.reason[:128],
            "message": c.shorten(summary.message, 4096),
            "started": before.started or timestamp(now),
            "finished": (before.finished or timestamp(now)) if summary.finished else None,
            "stages": tuple(records),
            "lineage": _lineage(base, {record.name: record for record in records}),
        }
    )
    conditions = _conditions(
        before.conditions,
        plan,
        summary,
        gpu_hours=used.used,
        most_gpu_hours=spec.budget.gpu_hours,
        generation=generation,
        now=now,
    )
    compared = [old.model_copy(update={"conditions": ()}) for old in (status, before)]
    # GPU-hours grow all the time, so they are only written together with another change.
    if conditions != before.conditions or compared[0] != compared[1]:
        status = status.model_copy(update={"gpu_hours": round(used.used, 3)})
    return status.model_copy(update={"conditions": conditions})


def ended_status(before: RunStatus, *, ending: Collection[str]) -> RunStatus:
    """The status of a finished run, of which only the stages `ending` still have pods."""
    records = tuple(
        record.model_copy(update={"state": "Pending", "progress": None})
        if record.state in AT_WORK and record.name not in ending
        else record
        for record in before.stages
    )
    left = ",".join(record.name for record in records if record.state in AT_WORK)
    return before.model_copy(update={"stages": records, "stage": left, "progress": ""})


def refused_status(before: RunStatus, message: str, *, generation: int, now: float) -> RunStatus:
    """The status of a run whose manifest is refused for the reason `message`."""
    put = partial(set_condition, reason=c.INVALID_SPEC, message=message, generation=generation, now=now)
    conditions = put(before.conditions, c.ACCEPTED, "False")
    conditions = put(conditions, c.PROGRESSING, "False")
    conditions = put(remove_condition(conditions, c.RECONCILING), c.STALLED, "True")
    return before.model_copy(
        update={
            "observed_generation": generation,
            "phase": before.phase if before.phase in FINISHED_PHASES else "Pending",
            "reason": c.INVALID_SPEC,
            "message": c.shorten(message, 4096),
            "started": before.started or timestamp(now),
            "conditions": conditions,
        }
    )


def obstructed_status(run: Json, obstacle: Event, *, now: float) -> tuple[RunStatus, list[Event]]:
    """The status when a child could not be created, and the Events about it: as before, with the reason why the run
    does not go on. A passing obstacle changes nothing."""
    before = RunStatus.model_validate(run.get("status") or {})
    if obstacle.type == "Normal":
        return before, []
    generation = int(run["metadata"].get("generation", 0))
    put = partial(
        set_condition, reason=obstacle.reason, message=obstacle.message, generation=generation, now=now
    )
    conditions = put(before.conditions, c.PROGRESSING, "False")
    conditions = put(remove_condition(conditions, c.RECONCILING), c.STALLED, "True")
    status = before.model_copy(
        update={
            "observed_generation": generation,
            # A finished run that is asked to go on has not done so yet.
            "phase": "Pending" if before.phase in FINISHED_PHASES else before.phase,
            "finished": None,
            "reason": obstacle.reason,
            "message": c.shorten(obstacle.message, 4096),
            "started": before.started or timestamp(now),
            "conditions": conditions,
        }
    )
    # Of a quota the rest of the message changes all the time.
    told = before.reason == status.reason and before.message.split()[:2] == status.message.split()[:2]
    return status, [] if told else [obstacle]


def events_of(before: RunStatus, after: RunStatus) -> list[Event]:
    """The Events about the transitions between two statuses."""
    events = []
    for record in after.stages:
        old = before.record(record.name) or StageRecord(name=record.name)
        events += _stage_events(old, record)
    accepted = c.find_condition(after.conditions, c.ACCEPTED)
    if accepted and accepted.status == "False" and accepted.message != _message(before, c.ACCEPTED):
        events.append(Event(reason=c.INVALID_SPEC, message=accepted.message, type="Warning"))
    if after.phase != before.phase:
        events += _phase_events(before, after)
    return events


def _stage_events(old: StageRecord, new: StageRecord) -> list[Event]:
    attempt = f"stage {new.name}, attempt {new.attempt}"
    found = []
    if new.ended and (new.settled, new.key) != (old.settled, old.key):
        if new.ended == "Failed" and new.last_failure:
            why = f"{attempt}: {new.last_failure.reason}: {new.last_failure.message}"
            reason = new.last_failure.reason if new.last_failure.reason in _OWN_FAILURES else c.STAGE_FAILED
            found.append(Event(reason=reason, message=why, type="Warning"))
        elif new.ended == "Disrupted":
            message = f"{attempt} does not count: {new.reason}: {new.message}"
            found.append(Event(reason=c.STAGE_DISRUPTED, message=message, type="Warning"))
        elif new.ended == "Published":
            what = "was in the store already" if new.reused else "is published"
            found.append(Event(reason=c.STAGE_PUBLISHED, message=f"{attempt}: its output {what}"))
    if new.attempt and (new.attempt, new.key) != (old.attempt, old.key) and not new.ended:
        found.append(Event(reason=c.STAGE_STARTED, message=attempt))
    if new.state == "Waiting" and new.reason and (new.attempt, new.reason) != (old.attempt, old.reason):
        found.append(_waiting_event(new))
    return found


def _waiting_event(record: StageRecord) -> Event:
    message = f"stage {record.name} waits: {record.reason}: {record.message}"
    if record.reason == COMPUTED_ELSEWHERE:
        return Event(reason=c.WAITING_FOR_PODS, message=message)
    return Event(reason=c.WAITING_FOR_PODS, message=message, type="Warning")


def _phase_events(before: RunStatus, after: RunStatus) -> list[Event]:
    match after.phase:
        case "Succeeded":
            return [Event(reason=c.RUN_SUCCEEDED, message="every stage is published")]
        case "Failed":
            known = (c.GATE_FAILED, c.GRADER_NOT_CALIBRATED, c.REVIEW_DEADLINE_EXCEEDED, c.BUDGET_EXHAUSTED)
            reason = after.reason if after.reason in known else c.RUN_FAILED
            return [Event(reason=reason, message=after.message, type="Warning")]
        case "Cancelled":
            return [Event(reason=c.CANCELLED, message=after.message)]
        case "Suspended":
            return [Event(reason=c.SUSPENDED, message=after.message)]
        case _ if before.phase == "Suspended":
            return [Event(reason=c.RESUMED, message="spec.suspend is false again")]
    return []


def _summarize(plan: Plan, records: Sequence[StageRecord]) -> _Summary:
    """Phase, reason and message of the run, from the plan or from the stage that keeps it waiting."""
    phase = _phase(plan.outcome, records)
    if plan.outcome == "Succeeded":
        return _Summary(phase=phase, reason=c.RUN_SUCCEEDED, message="every stage is published")
    if plan.outcome == "Suspended":
        if _any_pods(records):
            return _Summary(phase=phase, reason=c.SUSPENDING, message="waiting for pods to end")
        return _Summary(phase=phase, reason=c.SUSPENDED, message=plan.message)
    if plan.outcome != "Running":
        return _Summary(phase=phase, reason=plan.reason, message=plan.message)
    by_state = {record.state: record for record in reversed(records)}
    for state, reason in (
        ("Running", c.RUNNING),
        ("Retrying", c.RETRYING),
        ("Waiting", c.WAITING_FOR_PODS),
        ("Queued", c.QUEUED),
        ("Reviewing", c.WAITING_FOR_REVIEW),
    ):
        if state in by_state:
            record = by_state[state]
            message = f"stage {record.name}" + (f": {record.message}" if record.message else "")
            return _Summary(phase=phase, reason=reason, message=message)
    return _Summary(phase=phase, reason=c.RUNNING, message="")


def _phase(outcome: Outcome, records: Sequence[StageRecord]) -> Phase:
    """A run is suspended in two steps: it counts as running until its pods have ended."""
    return "Running" if outcome == "Suspended" and _any_pods(records) else outcome


def _any_pods(records: Sequence[StageRecord]) -> bool:
    return any(record.state in ("Running", "Stopping") for record in records)


def _conditions(
    before: Sequence[Condition],
    plan: Plan,
    summary: _Summary,
    *,
    gpu_hours: float,
    most_gpu_hours: float | None,
    generation: int,
    now: float,
) -> tuple[Condition, ...]:
    put = partial(set_condition, generation=generation, now=now)
    resolving = any(stage.name == RESOLVE for stage in plan.stages)
    found = put(
        before,
        c.ACCEPTED,
        "Unknown" if resolving else "True",
        reason=c.RESOLVING_INPUTS if resolving else c.INPUTS_RESOLVED,
    )
    progressing = not summary.finished and summary.phase != "Suspended"
    found = put(
        found,
        c.PROGRESSING,
        "True" if progressing else "False",
        reason=summary.reason,
        message=summary.message,
    )
    success: ConditionStatus = "Unknown"
    if summary.finished:
        success = "True" if summary.phase == "Succeeded" else "False"
    found = put(
        found,
        c.SUCCEEDED,
        success,
        reason=summary.reason if summary.finished else c.RUNNING,
        message=summary.message if summary.finished else "",
    )
    why = {"reason": summary.reason, "message": summary.message}
    for type, holds in ((c.RECONCILING, progressing), (c.STALLED, success == "False")):
        found = put(found, type, "True", **why) if holds else remove_condition(found, type)
    if most_gpu_hours is None:
        return remove_condition(found, c.WITHIN_BUDGET)
    if gpu_hours < most_gpu_hours:
        return put(found, c.WITHIN_BUDGET, "True", reason=c.WITHIN_LIMITS)
    text = f"{gpu_hours:.2f} of {most_gpu_hours:g} GPU-hours"
    return put(found, c.WITHIN_BUDGET, "False", reason=c.BUDGET_EXHAUSTED, message=text)


def _progress(working: Sequence[StageRecord]) -> str:
    """Such as `40% (1h05m left)`, one for each stage that reports its progress."""
    parts = []
    for record in working:
        if record.progress is not None:
            left = record.progress.remaining_seconds
            parts.append(
                f"{record.progress.percent:.0f}%" + (f" ({_time(left)} left)" if left is not None else "")
            )
    return ",".join(parts)[:64]


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    return f"{minutes}m" if minutes else f"{seconds:.0f}s"


def _lineage(before: RunStatus, records: Mapping[str, StageRecord]) -> Lineage | None:
    """Digests from the logs to the report. What is served is added when the AskEndpoint is applied."""

    def output(stage: str) -> str | None:
        record = records.get(stage)
        return record.output if record and record.state == "Published" else None

    files = before.inputs.files if before.inputs else {}
    served = before.lineage.served if before.lineage else None
    lineage = Lineage(
        dataset=files.get("dataset"),
        pack=before.inputs.pack.get("whole") if before.inputs else None,
        base=output("fetch"),
        labels=output("label"),
        graders=output("grader"),
        policy=output("grpo"),
        answers=output(REVIEW),
        calibration=output(CALIBRATE),
        report=output("evaluate"),
        served=served,
    )
    return lineage if lineage != Lineage() else None


def _message(status: RunStatus, type: str) -> str | None:
    found = c.find_condition(status.conditions, type)
    return found.message if found else None
