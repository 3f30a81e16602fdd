"""What runs next: one pure decision for the laptop and for the operator.

`plan` is level-based: it looks at what the store holds and at what the stages' processes or pods are doing now, and
never at how things came to be so. Calling it again with the same arguments gives the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import JsonValue

from learntoask.core.backoff import Backoff
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.stages.graph import RESOLVE, STAGES, RunInputs, Stage, stage_key
from learntoask.core.status.run import StageState

Outcome = Literal["Running", "Suspended", "Succeeded", "Failed", "Cancelled"]
_RETRIES = Backoff(first=2.0, longest=300.0)
_ACTIVE = ("queued", "waiting", "running")


class Result(Protocol):
    """What the planner reads of a publication, wherever it is known from."""

    @property
    def key(self) -> str: ...

    @property
    def output(self) -> str: ...

    @property
    def summary(self) -> Mapping[str, JsonValue]: ...


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The latest attempt of a stage as its executor sees it. Times are seconds since the epoch.

    `queued`: not admitted yet. `waiting`: admitted, but nothing of it runs. `ending`: asked to end, and not gone.
    `stopped`: ended on purpose, and no failure. `disrupted`: ended by the cluster, and no failure either.
    """

    key: str
    state: Literal["queued", "waiting", "running", "ending", "stopped", "disrupted", "failed"]
    attempt: int
    started: float  # when it was made; once it runs, when it began to run
    finished: float | None = None
    reason: str = ""
    message: str = ""
    retryable: bool = True
    exempt: int = 0
    """Attempts up to this one that do not count: stopped, disrupted, or forgiven."""
    disruptions: int = 0
    """Attempts up to this one that the cluster ended."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """GPU-hours: those used until now, and what an hour uses as things run now."""

    used: float = 0.0
    rate: float = 0.0


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


@dataclass(frozen=True, kw_only=True)
class _Decided:
    status: StageStatus
    action: Action | None = None
    wake: float | None = None


def plan(
    *,
    spec: RunSpec,
    inputs: RunInputs,
    published: Mapping[str, Result],
    observed: Mapping[str, Observed],
    now: float,
    allowance: Allowance | None = None,
    cancelled: str | None = None,
) -> Plan:
    """Decide the next actions of a run.

    `published` maps stage keys to publications (only lookups happen), `observed` stage names to latest attempts;
    `cancelled` is the reason why somebody ended the run.
    """
    done: dict[str, Result] = {}
    decided: list[_Decided] = []
    for stage in STAGES:
        one = _stage(stage, spec, inputs, published, observed.get(stage.name), done, now)
        if one.status.key and one.status.state == "Published":
            done[stage.name] = published[one.status.key]
        decided.append(one)
    return _whole(decided, spec=spec, now=now, allowance=allowance or Allowance(), cancelled=cancelled)


def plan_resolution(
    *, spec: RunSpec, key: str, observed: Mapping[str, Observed], now: float, cancelled: str | None = None
) -> Plan:
    """The plan while the digests of the inputs are not known: `resolve` runs, all other stages wait for it.

    `key` is the digest of the addresses. What runs of other stages belongs to other inputs and is stopped.
    """
    first = _attempted(RESOLVE, key, spec, observed.get(RESOLVE), {}, now)
    waiting = [_waiting(stage.name, observed.get(stage.name)) for stage in STAGES]
    return _whole([first, *waiting], spec=spec, now=now, allowance=Allowance(), cancelled=cancelled)


def _whole(
    decided: list[_Decided], *, spec: RunSpec, now: float, allowance: Allowance, cancelled: str | None
) -> Plan:
    """The plan of a run made of what was decided for each stage, and of what concerns all of them."""
    statuses = tuple(one.status for one in decided)

    def ended(outcome: Outcome, why: str, reason: str, message: str) -> Plan:
        # What still runs is of no use to a run that is over.
        stops = tuple(
            Stop(stage=status.name, reason=why, message=message, failed=False)
            for status in statuses
            if status.state in ("Queued", "Waiting", "Running")
        )
        return Plan(outcome=outcome, stages=statuses, actions=stops, reason=reason, message=message)

    if all(status.state == "Published" for status in statuses):
        return Plan(outcome="Succeeded", stages=statuses, actions=())
    failed = next((status for status in statuses if status.state == "Failed"), None)
    if failed:
        return ended("Failed", "RunFailed", failed.reason, f"stage {failed.name}: {failed.message}")
    if cancelled is not None:
        return ended("Cancelled", "Cancelled", "Cancelled", cancelled)
    limit = spec.budget.gpu_hours
    if limit is not None and allowance.used >= limit:
        message = f"{allowance.used:.2f} GPU-hours are used, and budget.gpuHours is {limit:g}"
        return ended("Failed", "BudgetExhausted", "BudgetExhausted", message)
    if spec.suspend:
        return ended("Suspended", "Suspended", "Suspended", "spec.suspend is true")
    wakes = [one.wake for one in decided if one.wake is not None]
    if limit is not None and allowance.rate > 0:
        wakes.append(now + (limit - allowance.used) / allowance.rate * 3600)
    return Plan(
        outcome="Running",
        stages=statuses,
        actions=tuple(one.action for one in decided if one.action),
        wake_at=min(wakes, default=None),
    )


def _stage(
    stage: Stage,
    spec: RunSpec,
    inputs: RunInputs,
    published: Mapping[str, Result],
    seen: Observed | None,
    done: Mapping[str, Result],
    now: float,
) -> _Decided:
    if any(name not in done for name in stage.inputs):
        return _waiting(stage.name, seen)
    outputs = {name: done[name].output for name in stage.inputs}
    key = stage_key(stage, spec=spec, inputs=inputs, outputs=outputs)
    publication = published.get(key)
    if publication is not None:
        return _published(stage, key, publication, seen)
    return _attempted(stage.name, key, spec, seen, {name: done[name].key for name in stage.inputs}, now)


def _waiting(stage: str, seen: Observed | None) -> _Decided:
    """A stage that lacks an input."""
    if seen and (seen.state in _ACTIVE or seen.state == "ending"):
        return _superseded(stage, seen, "an input is recomputed")
    return _Decided(status=StageStatus(name=stage, state="Pending"))


def _superseded(stage: str, seen: Observed, why: str) -> _Decided:
    """An attempt of other inputs or settings ends before anything else of its stage is started."""
    status = StageStatus(name=stage, state=_state(seen), key=seen.key, attempt=seen.attempt)
    if seen.state == "ending":
        return _Decided(status=status)
    return _Decided(status=status, action=Stop(stage=stage, reason="Superseded", message=why, failed=False))


def _published(stage: Stage, key: str, publication: Result, seen: Observed | None) -> _Decided:
    output, attempt = publication.output, seen.attempt if seen and seen.key == key else 0
    if publication.summary.get("passed") is False:  # the gate's verdict is a result like any other, and final
        message = str(publication.summary.get("message", "the gate refused the policy"))
        return _Decided(
            status=StageStatus(
                name=stage.name,
                state="Failed",
                key=key,
                output=output,
                attempt=attempt,
                reason="GateFailed",
                message=message,
            )
        )
    status = StageStatus(name=stage.name, state="Published", key=key, output=output, attempt=attempt)
    if seen and seen.state in _ACTIVE:  # somebody else was faster, or it is about to end by itself
        stop = Stop(stage=stage.name, reason="Superseded", message="its output is published", failed=False)
        return _Decided(status=status, action=stop if seen.key != key else None)
    return _Decided(status=status)


def _attempted(
    stage: str, key: str, spec: RunSpec, seen: Observed | None, inputs: Mapping[str, str], now: float
) -> _Decided:
    """A stage whose inputs are there and whose output is not."""
    if seen and seen.key != key and (seen.state in _ACTIVE or seen.state == "ending"):
        return _superseded(stage, seen, "its inputs or settings changed")
    if seen is None or seen.key != key:
        start = Start(stage=stage, key=key, attempt=1, inputs=inputs)
        return _Decided(status=StageStatus(name=stage, state="Pending", key=key), action=start)
    start = Start(stage=stage, key=key, attempt=seen.attempt + 1, inputs=inputs)
    status = StageStatus(
        name=stage,
        state=_state(seen),
        key=key,
        attempt=seen.attempt,
        reason=seen.reason,
        message=seen.message,
    )
    match seen.state:
        case "ending" | "queued":
            return _Decided(status=status)
        case "waiting" | "running":
            return _within_deadline(stage, spec, seen, status, now)
        case "stopped":
            return _Decided(status=status, action=start)
        case "disrupted":
            return _after_pause(status, start, seen, pause=retry_delay(max(1, seen.disruptions)), now=now)
        case "failed":
            counted = seen.attempt - seen.exempt
            if counted >= spec.attempts or not seen.retryable:
                return _Decided(status=_with_state(status, "Failed"))
            return _after_pause(status, start, seen, pause=retry_delay(max(1, counted)), now=now)


def _within_deadline(stage: str, spec: RunSpec, seen: Observed, status: StageStatus, now: float) -> _Decided:
    if seen.state == "waiting":
        limit, reason = spec.start_deadline, "NeverStarted"
        message = f"no pod of attempt {seen.attempt} ran within startDeadline ({limit})"
        message += f": {seen.message}" if seen.message else ""
    else:
        limit, reason = spec.stage_deadline, "DeadlineExceeded"
        message = f"attempt {seen.attempt} ran longer than stageDeadline ({limit})"
    deadline = seen.started + seconds(limit)
    if now < deadline:
        return _Decided(status=status, wake=deadline)
    return _Decided(status=status, action=Stop(stage=stage, reason=reason, message=message, failed=True))


def _after_pause(status: StageStatus, start: Start, seen: Observed, *, pause: float, now: float) -> _Decided:
    due = (now if seen.finished is None else seen.finished) + pause
    return _Decided(status=status, wake=due) if now < due else _Decided(status=status, action=start)


def _state(seen: Observed) -> StageState:
    states: dict[str, StageState] = {
        "queued": "Queued",
        "waiting": "Waiting",
        "running": "Running",
        "ending": "Stopping",
        "stopped": "Pending",
        "disrupted": "Retrying",
        "failed": "Retrying",
    }
    return states[seen.state]


def _with_state(status: StageStatus, state: StageState) -> StageStatus:
    return StageStatus(
        name=status.name,
        state=state,
        key=status.key,
        output=status.output,
        attempt=status.attempt,
        reason=status.reason,
        message=status.message,
    )


def retry_delay(attempt: int) -> float:
    """Seconds between the end of failed `attempt` (from 1) and the next start."""
    return _RETRIES.delay(attempt)
