"""The status of a run, from its records and the plan: what people read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from learntoask.core.manifest import RunSpec
from learntoask.core.stages.planner import Allowance, Outcome, Plan
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import (
    Condition,
    ConditionStatus,
    remove_condition,
    set_condition,
    timestamp,
)
from learntoask.core.status.run import Lineage, Phase, RunStatus, StageRecord

AT_WORK = ("Queued", "Waiting", "Running", "Stopping", "Retrying")
OVER: tuple[Phase, ...] = ("Succeeded", "Failed", "Cancelled")


@dataclass(frozen=True, kw_only=True)
class Happened:
    """Something worth an Event."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


def told(
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
    """`base` with the records, and with the phase, conditions and summaries that follow from `plan`; `before` is what
    was written last."""
    phase = _phase(plan.outcome, records)
    reason, message = _why(plan, records)
    over = phase in OVER
    working = [record for record in records if record.state in AT_WORK]
    status = base.model_copy(
        update={
            "observed_generation": generation,
            "phase": phase,
            "stage": ",".join(record.name for record in working)[:256],
            "progress": _progress(working),
            "reason": reason[:128],
            "message": c.shorten(message, 4096),
            "started": before.started or timestamp(now),
            "finished": (before.finished or timestamp(now)) if over else None,
            "stages": tuple(records),
            "lineage": _lineage(base, {record.name: record for record in records}),
        }
    )
    conditions = _conditions(before.conditions, plan, phase, reason, message, spec, used, generation, now)
    changed = [status.model_copy(update={"conditions": ()}), before.model_copy(update={"conditions": ()})]
    # GPU-hours grow all the time: they are written when something else is.
    if conditions != before.conditions or changed[0] != changed[1]:
        status = status.model_copy(update={"gpu_hours": round(used.used, 3)})
    return status.model_copy(update={"conditions": conditions})


def refused(before: RunStatus, message: str, *, generation: int, now: float) -> RunStatus:
    """The status of a run that will not run as its manifest is."""
    args = {"reason": c.INVALID_SPEC, "message": message, "generation": generation, "now": now}
    conditions = set_condition(before.conditions, c.ACCEPTED, "False", **args)  # type: ignore[arg-type]
    conditions = set_condition(conditions, c.PROGRESSING, "False", **args)  # type: ignore[arg-type]
    return before.model_copy(
        update={
            "observed_generation": generation,
            "phase": before.phase if before.phase in OVER else "Pending",
            "reason": c.INVALID_SPEC,
            "message": c.shorten(message, 4096),
            "started": before.started or timestamp(now),
            "conditions": conditions,
        }
    )


def happened(before: RunStatus, after: RunStatus) -> list[Happened]:
    """The transitions between two statuses."""
    events = []
    for record in after.stages:
        old = before.record(record.name) or StageRecord(name=record.name)
        events += _of_stage(old, record)
    accepted = c.find_condition(after.conditions, c.ACCEPTED)
    if accepted and accepted.status == "False" and accepted.message != _message(before, c.ACCEPTED):
        events.append(Happened(reason=c.INVALID_SPEC, message=accepted.message, type="Warning"))
    if after.phase != before.phase:
        events += _of_phase(before, after)
    return events


def _of_stage(old: StageRecord, new: StageRecord) -> list[Happened]:
    attempt = f"stage {new.name}, attempt {new.attempt}"
    found = []
    if new.ended and (new.settled, new.key) != (old.settled, old.key):
        if new.ended == "Failed" and new.last_failure:
            why = f"{attempt}: {new.last_failure.reason}: {new.last_failure.message}"
            reason = new.last_failure.reason if new.last_failure.reason in _OWN_FAILURES else c.STAGE_FAILED
            found.append(Happened(reason=reason, message=why, type="Warning"))
        elif new.ended == "Disrupted":
            message = f"{attempt} does not count: {new.reason}: {new.message}"
            found.append(Happened(reason=c.STAGE_DISRUPTED, message=message, type="Warning"))
        elif new.ended == "Published":
            what = "was in the store already" if new.reused else "is published"
            found.append(Happened(reason=c.STAGE_PUBLISHED, message=f"{attempt}: its output {what}"))
    if new.attempt and (new.attempt, new.key) != (old.attempt, old.key) and not new.ended:
        found.append(Happened(reason=c.STAGE_STARTED, message=attempt))
    return found


_OWN_FAILURES = (c.NEVER_STARTED, c.DEADLINE_EXCEEDED)


def _of_phase(before: RunStatus, after: RunStatus) -> list[Happened]:
    match after.phase:
        case "Succeeded":
            return [Happened(reason=c.RUN_SUCCEEDED, message="every stage is published")]
        case "Failed":
            known = (c.GATE_FAILED, c.BUDGET_EXHAUSTED)
            reason = after.reason if after.reason in known else c.RUN_FAILED
            return [Happened(reason=reason, message=after.message, type="Warning")]
        case "Cancelled":
            return [Happened(reason=c.CANCELLED, message=after.message)]
        case "Suspended":
            return [Happened(reason=c.SUSPENDED, message=after.message)]
        case _ if before.phase == "Suspended":
            return [Happened(reason=c.RESUMED, message="spec.suspend was taken back")]
    return []


def _phase(outcome: Outcome, records: Sequence[StageRecord]) -> Phase:
    if outcome == "Running":
        return "Running"
    if outcome == "Suspended" and any(record.state in ("Running", "Stopping") for record in records):
        return "Running"  # two steps: what runs ends first
    return outcome


def _why(plan: Plan, records: Sequence[StageRecord]) -> tuple[str, str]:
    """Reason and message of the run, from the plan or from the stage that keeps it waiting."""
    if plan.outcome == "Succeeded":
        return c.RUN_SUCCEEDED, "every stage is published"
    if plan.outcome == "Suspended":
        ending = any(record.state in ("Running", "Stopping") for record in records)
        return (c.SUSPENDING, "pods end") if ending else (c.SUSPENDED, plan.message)
    if plan.outcome != "Running":
        return plan.reason, plan.message
    by_state = {record.state: record for record in reversed(records)}
    for state, reason in (
        ("Running", c.RUNNING),
        ("Retrying", c.RETRYING),
        ("Waiting", c.WAITING_FOR_PODS),
        ("Queued", c.QUEUED),
    ):
        if state in by_state:
            record = by_state[state]  # type: ignore[index]
            return reason, f"stage {record.name}" + (f": {record.message}" if record.message else "")
    return c.RUNNING, ""


def _conditions(
    before: Sequence[Condition],
    plan: Plan,
    phase: Phase,
    reason: str,
    message: str,
    spec: RunSpec,
    used: Allowance,
    generation: int,
    now: float,
) -> tuple[Condition, ...]:
    def put(
        conditions: Sequence[Condition], type: str, status: ConditionStatus, why: str, text: str
    ) -> tuple[Condition, ...]:
        return set_condition(
            conditions, type, status, reason=why, message=text, generation=generation, now=now
        )

    resolving = any(stage.name == "resolve" for stage in plan.stages)
    why = c.RESOLVING_INPUTS if resolving else c.INPUTS_RESOLVED
    found = put(before, c.ACCEPTED, "Unknown" if resolving else "True", why, "")
    progressing = phase not in (*OVER, "Suspended")
    found = put(found, c.PROGRESSING, "True" if progressing else "False", reason, message)
    success: ConditionStatus = "True" if phase == "Succeeded" else "False" if phase in OVER else "Unknown"
    found = put(
        found, c.SUCCEEDED, success, reason if phase in OVER else c.RUNNING, message if phase in OVER else ""
    )
    limit = spec.budget.gpu_hours
    if limit is None:
        return remove_condition(found, c.WITHIN_BUDGET)
    within = used.used < limit
    text = "" if within else f"{used.used:.2f} of {limit:g} GPU-hours"
    return put(
        found,
        c.WITHIN_BUDGET,
        "True" if within else "False",
        c.WITHIN_LIMITS if within else c.BUDGET_EXHAUSTED,
        text,
    )


def _progress(working: Sequence[StageRecord]) -> str:
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
    return (
        f"{minutes // 60}h{minutes % 60:02d}m"
        if minutes >= 60
        else f"{minutes}m"
        if minutes
        else f"{seconds:.0f}s"
    )


def _lineage(before: RunStatus, records: Mapping[str, StageRecord]) -> Lineage | None:
    """From the logs to the report; what is served is told when it is applied."""

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
        report=output("evaluate"),
        served=served,
    )
    return lineage if lineage != Lineage() else None


def _message(status: RunStatus, type: str) -> str | None:
    found = c.find_condition(status.conditions, type)
    return found.message if found else None
