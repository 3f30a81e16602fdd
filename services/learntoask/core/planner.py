"""What runs next: one pure decision for the laptop and for the operator.

`plan` is level-based: it looks at what the store holds and at what the stages' processes or pods are doing now, and
never at how things came to be so. Calling it again with the same arguments gives the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.publication import Publication
from learntoask.core.stages import STAGES, RunInputs, Stage, stage_key

StageState = Literal["Pending", "Running", "Retrying", "Published", "Failed"]
Outcome = Literal["Running", "Suspended", "Succeeded", "Failed"]
FIRST_RETRY_DELAY = 2.0  # seconds; doubles with every attempt
LONGEST_RETRY_DELAY = 300.0


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The latest attempt of a stage as its executor sees it. Times are seconds since the epoch."""

    key: str
    state: Literal["running", "failed"]
    attempt: int
    started: float
    finished: float | None = None
    reason: str = ""
    message: str = ""
    retryable: bool = True


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    name: str
    state: StageState
    key: str | None = None  # None while an upstream output is not known yet
    output: str | None = None
    attempt: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Start `attempt` of `stage`; `inputs` maps upstream stages to the keys of the publications it reads."""

    stage: str
    key: str
    attempt: int
    inputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """End the running attempt of `stage`; with `failed` the attempt counts as failed for `reason`."""

    stage: str
    reason: str
    message: str
    failed: bool


Action = Start | Stop


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`wake_at`: when to plan again although nothing was heard (a retry is due, a deadline passes)."""

    outcome: Outcome
    stages: tuple[StageStatus, ...]
    actions: tuple[Action, ...]
    reason: str = ""
    message: str = ""
    wake_at: float | None = None


def plan(
    *,
    spec: RunSpec,
    inputs: RunInputs,
    published: Mapping[str, Publication],
    observed: Mapping[str, Observed],
    now: float,
) -> Plan:
    """Decide the next actions of a run.

    `published` maps stage keys to publications (only lookups happen), `observed` stage names to latest attempts.
    """
    done: dict[str, Publication] = {}
    statuses: list[StageStatus] = []
    actions: list[Action] = []
    wakes: list[float] = []
    for stage in STAGES:
        status, action, wake = _stage(stage, spec, inputs, published, observed.get(stage.name), done, now)
        if status.key and status.state == "Published":
            done[stage.name] = published[status.key]
        statuses.append(status)
        actions += [action] if action else []
        wakes += [wake] if wake else []

    failed = next((status for status in statuses if status.state == "Failed"), None)
    if failed:
        # What still runs is of no use to a failed run.
        stops = [_stop_of(status, "RunFailed", f"stage {failed.name} failed") for status in statuses]
        kept = tuple(stop for stop in stops if stop)
        reason, message = failed.reason, f"stage {failed.name}: {failed.message}"
        return Plan(outcome="Failed", stages=tuple(statuses), actions=kept, reason=reason, message=message)
    if all(status.state == "Published" for status in statuses):
        return Plan(outcome="Succeeded", stages=tuple(statuses), actions=())
    if spec.suspend:
        stops = [_stop_of(status, "Suspended", "spec.suspend is true") for status in statuses]
        kept = tuple(stop for stop in stops if stop)
        return Plan(outcome="Suspended", stages=tuple(statuses), actions=kept, reason="Suspended")
    return Plan(
        outcome="Running", stages=tuple(statuses), actions=tuple(actions), wake_at=min(wakes, default=None)
    )


def _stage(
    stage: Stage,
    spec: RunSpec,
    inputs: RunInputs,
    published: Mapping[str, Publication],
    seen: Observed | None,
    done: Mapping[str, Publication],
    now: float,
) -> tuple[StageStatus, Action | None, float | None]:
    """Status, next action and wake time of one stage."""
    if any(name not in done for name in stage.inputs):
        if seen and seen.state == "running":
            stop = Stop(stage=stage.name, reason="Superseded", message="an input is recomputed", failed=False)
            return (
                StageStatus(name=stage.name, state="Running", key=seen.key, attempt=seen.attempt),
                stop,
                None,
            )
        return StageStatus(name=stage.name, state="Pending"), None, None
    key = stage_key(
        stage, spec=spec, inputs=inputs, outputs={name: done[name].output for name in stage.inputs}
    )
    publication = published.get(key)
    if publication is not None:
        return _published(stage, key, publication), None, None
    if seen and seen.state == "running" and seen.key != key:
        stop = Stop(
            stage=stage.name, reason="Superseded", message="its inputs or settings changed", failed=False
        )
        return StageStatus(name=stage.name, state="Running", key=seen.key, attempt=seen.attempt), stop, None
    current = seen if seen and seen.key == key else None
    start = Start(
        stage=stage.name,
        key=key,
        attempt=current.attempt + 1 if current else 1,
        inputs={name: done[name].key for name in stage.inputs},
    )
    if current is None:
        return StageStatus(name=stage.name, state="Pending", key=key), start, None
    if current.state == "running":
        return _running(stage, spec, current, now)
    return _after_failure(stage, spec, current, start, now)


def _published(stage: Stage, key: str, publication: Publication) -> StageStatus:
    if publication.summary.get("passed") is False:  # the gate's verdict is a result like any other, and final
        message = str(publication.summary.get("message", "the gate refused the policy"))
        return StageStatus(
            name=stage.name,
            state="Failed",
            key=key,
            output=publication.output,
            reason="GateFailed",
            message=message,
        )
    return StageStatus(name=stage.name, state="Published", key=key, output=publication.output)


def _running(
    stage: Stage, spec: RunSpec, current: Observed, now: float
) -> tuple[StageStatus, Action | None, float | None]:
    status = StageStatus(name=stage.name, state="Running", key=current.key, attempt=current.attempt)
    deadline = current.started + seconds(spec.stage_deadline)
    if now < deadline:
        return status, None, deadline
    message = f"attempt {current.attempt} ran longer than stageDeadline ({spec.stage_deadline})"
    return status, Stop(stage=stage.name, reason="DeadlineExceeded", message=message, failed=True), None


def _after_failure(
    stage: Stage, spec: RunSpec, current: Observed, start: Start, now: float
) -> tuple[StageStatus, Action | None, float | None]:
    def status(state: StageState) -> StageStatus:
        return StageStatus(
            name=stage.name,
            state=state,
            key=current.key,
            attempt=current.attempt,
            reason=current.reason,
            message=current.message,
        )

    if not current.retryable or current.attempt >= spec.attempts:
        return status("Failed"), None, None
    due = (current.finished or now) + retry_delay(current.attempt)
    if now < due:
        return status("Retrying"), None, due
    return status("Retrying"), start, None


def _stop_of(status: StageStatus, reason: str, message: str) -> Stop | None:
    if status.state != "Running":
        return None
    return Stop(stage=status.name, reason=reason, message=message, failed=False)


def retry_delay(attempt: int) -> float:
    """Seconds between the end of failed `attempt` (from 1) and the next start."""
    return min(FIRST_RETRY_DELAY * 2.0 ** (attempt - 1), LONGEST_RETRY_DELAY)
