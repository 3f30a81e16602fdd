"""The planner: a pure function that decides which stages of a run to start or stop, on a laptop and in a cluster.

`plan` is level-based: it considers what the store contains and what the processes or pods of the stages do now, but not
the events that led there. With the same arguments it returns the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, Protocol

from pydantic import JsonValue

from learntoask.core.backoff import Backoff
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.stages.graph import RESOLVE, RunInputs, Stage, publisher, stage_key, stages_of
from learntoask.core.status import conditions
from learntoask.core.status.run import StageState

Outcome = Literal["Running", "Suspended", "Succeeded", "Failed", "Cancelled"]
_RETRIES = Backoff(first=2.0, longest=300.0)
_ACTIVE = ("queued", "waiting", "running")
_PRESENT = (*_ACTIVE, "ending")
_NO_REVIEWS: Mapping[str, Review] = MappingProxyType({})


class Result(Protocol):
    """The part of a publication that the planner reads. The store and the status of a run both provide it."""

    @property
    def key(self) -> str: ...

    @property
    def output(self) -> str: ...

    @property
    def summary(self) -> Mapping[str, JsonValue]: ...


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The latest attempt of a stage, as its executor observes it. Times are seconds since the epoch.

    `queued`: not admitted by Kueue yet. `waiting`: admitted, but no pod runs yet. `ending`: told to end, but still
    there. `stopped`: ended on purpose. `disrupted`: ended by the cluster. Only `failed` counts as a failure.
    """

    key: str
    state: Literal["queued", "waiting", "running", "ending", "stopped", "disrupted", "failed"]
    attempt: int
    started: float  # when it was created; once it runs, when it began to run
    finished: float | None = None
    reason: str = ""
    message: str = ""
    retryable: bool = True
    startable: bool = True
    """False: it is waiting for something that somebody has to mend, and waiting longer does not help."""
    exempt: int = 0
    """Number of attempts, up to this one, that do not count against `spec.attempts`: stopped, disrupted or forgiven."""
    disruptions: int = 0
    """Number of attempts, up to this one, that the cluster ended."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """GPU use of a run: GPU-hours used so far, and the number of GPUs that its pods hold now."""

    used: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Review:
    """A review that goes on; it has ended once the answers are published.

    `message` says how many answers are missing. With `failed` too few came in time, and the run fails because of
    `message`. `wake_at` is when the review's deadline passes.
    """

    message: str = "people have to answer"
    failed: bool = False
    wake_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """The state of a stage after the planner's decision."""

    name: str
    state: StageState
    key: str | None = None  # None while an upstream output is not known yet
    output: str | None = None
    attempt: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Start `attempt` of `stage`. `inputs` maps its upstream stages to the keys of the publications that it reads."""

    stage: str
    key: str
    attempt: int
    inputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Stop the running attempt of `stage`. With `failed` the attempt counts as a failure because of `reason`, after
    which another attempt may follow if it is `retryable`."""

    stage: str
    reason: str
    message: str
    failed: bool
    retryable: bool = True


Action = Start | Stop


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The state of a run and the actions to take. `wake_at` (seconds since the epoch) is when to plan again even
    without an event, because a retry is due or a deadline passes; None if there is no such time."""

    outcome: Outcome
    stages: tuple[StageStatus, ...]
    actions: tuple[Action, ...]
    reason: str = ""
    message: str = ""
    wake_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class _StageDecision:
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
    reviews: Mapping[str, Review] = _NO_REVIEWS,
) -> Plan:
    """Decide the next actions of a run.

    `published` maps stage keys to publications and is only used for lookups. `observed` maps stage names to their
    latest attempts. `cancelled` is the reason for which the run was cancelled, or None. `reviews` maps the keys
    of stages that people compute to what is known of their reviews.
    """
    done: dict[str, Result] = {}
    decided: list[_StageDecision] = []
    for stage in stages_of(spec):
        decision = _decide_stage(stage, spec, inputs, published, observed.get(stage.name), done, reviews, now)
        if decision.status.key and decision.status.state == "Published":
            done[stage.name] = published[decision.status.key]
        decided.append(decision)
    return _combine(decided, spec=spec, now=now, allowance=allowance or Allowance(), cancelled=cancelled)


def plan_resolution(
    *, spec: RunSpec, key: str, observed: Mapping[str, Observed], now: float, cancelled: str | None = None
) -> Plan:
    """Decide the next actions while the digests of the inputs are unknown: `resolve` runs, and all other stages wait.

    `key` is the digest of the input addresses. Running attempts of other stages used former inputs and are stopped.
    """
    start = Start(stage=RESOLVE, key=key, attempt=1, inputs={})
    first = _decide_attempt(start, spec, observed.get(RESOLVE), now)
    waiting = [_decide_without_inputs(stage.name, observed.get(stage.name)) for stage in stages_of(spec)]
    return _combine([first, *waiting], spec=spec, now=now, allowance=Allowance(), cancelled=cancelled)


def _combine(
    decided: list[_StageDecision], *, spec: RunSpec, now: float, allowance: Allowance, cancelled: str | None
) -> Plan:
    """Combine the decisions for the stages with the conditions that concern the whole run."""
    statuses = tuple(decision.status for decision in decided)

    def stop_all(outcome: Outcome, stop_reason: str, reason: str, message: str) -> Plan:
        stops = tuple(
            Stop(stage=status.name, reason=stop_reason, message=message, failed=False)
            for status in statuses
            if status.state in ("Queued", "Waiting", "Running")
        )
        return Plan(outcome=outcome, stages=statuses, actions=stops, reason=reason, message=message)

    if all(status.state == "Published" for status in statuses):
        return Plan(outcome="Succeeded", stages=statuses, actions=())
    failed = next((status for status in statuses if status.state == "Failed"), None)
    if failed:
        return stop_all("Failed", "RunFailed", failed.reason, f"stage {failed.name}: {failed.message}")
    if cancelled is not None:
        return stop_all("Cancelled", "Cancelled", "Cancelled", cancelled)
    limit = spec.budget.gpu_hours
    if limit is not None and allowance.used >= limit:
        message = f"{allowance.used:.2f} GPU-hours are used, and budget.gpuHours is {limit:g}"
        return stop_all("Failed", "BudgetExhausted", "BudgetExhausted", message)
    if spec.suspend:
        return stop_all("Suspended", "Suspended", "Suspended", "spec.suspend is true")
    wakes = [decision.wake for decision in decided if decision.wake is not None]
    if limit is not None and allowance.rate > 0:
        wakes.append(now + (limit - allowance.used) / allowance.rate * 3600)
    return Plan(
        outcome="Running",
        stages=statuses,
        actions=tuple(decision.action for decision in decided if decision.action),
        wake_at=min(wakes, default=None),
    )


def _decide_stage(
    stage: Stage,
    spec: RunSpec,
    inputs: RunInputs,
    published: Mapping[str, Result],
    latest: Observed | None,
    done: Mapping[str, Result],
    reviews: Mapping[str, Review],
    now: float,
) -> _StageDecision:
    calibrated = spec.calibrate is not None
    publishers = {name: publisher(stage, name, calibrated=calibrated) for name in stage.inputs}
    if any(name not in done for name in publishers.values()):
        return _decide_without_inputs(stage.name, latest)
    read = {name: done[source] for name, source in publishers.items()}
    outputs = {name: result.output for name, result in read.items()}
    key = stage_key(stage, spec=spec, inputs=inputs, outputs=outputs)
    publication = published.get(key)
    if publication is not None:
        return _decide_published(stage, key, publication, latest)
    if stage.by_people:
        return _decide_under_review(stage.name, key, reviews.get(key, Review()))
    if any(name not in done for name in stage.after) and not (latest and latest.state in _PRESENT):
        return _StageDecision(status=StageStatus(name=stage.name, state="Pending", key=key))
    keys = {name: result.key for name, result in read.items()}
    return _decide_attempt(Start(stage=stage.name, key=key, attempt=1, inputs=keys), spec, latest, now)


def _decide_under_review(stage: str, key: str, review: Review) -> _StageDecision:
    """Decide about a stage whose answers people have not given yet."""
    reason = conditions.REVIEW_DEADLINE_EXCEEDED if review.failed else conditions.WAITING_FOR_REVIEW
    state: StageState = "Failed" if review.failed else "Reviewing"
    status = StageStatus(name=stage, state=state, key=key, reason=reason, message=review.message)
    return _StageDecision(status=status, wake=review.wake_at)


def _decide_without_inputs(stage: str, latest: Observed | None) -> _StageDecision:
    """Decide about a stage whose inputs are not all published."""
    if latest and latest.state in _PRESENT:
        return _decide_superseded(stage, latest, "an input is recomputed")
    return _StageDecision(status=StageStatus(name=stage, state="Pending"))


def _decide_superseded(stage: str, latest: Observed, why: str) -> _StageDecision:
    """Stop an attempt with former inputs or settings. The stage starts again only after this attempt is gone."""
    status = StageStatus(name=stage, state=_state_of(latest), key=latest.key, attempt=latest.attempt)
    if latest.state == "ending":
        return _StageDecision(status=status)
    return _StageDecision(
        status=status, action=Stop(stage=stage, reason="Superseded", message=why, failed=False)
    )


def _decide_published(stage: Stage, key: str, publication: Result, latest: Observed | None) -> _StageDecision:
    output, attempt = publication.output, latest.attempt if latest and latest.key == key else 0
    if (
        publication.summary.get("passed") is False
    ):  # the gate publishes its refusal, so a retry would not change it
        message = str(publication.summary.get("message", "the gate refused the policy"))
        reason = str(publication.summary.get("reason", conditions.GATE_FAILED))
        return _StageDecision(
            status=StageStatus(
                name=stage.name,
                state="Failed",
                key=key,
                output=output,
                attempt=attempt,
                reason=reason,
                message=message,
            )
        )
    status = StageStatus(name=stage.name, state="Published", key=key, output=output, attempt=attempt)
    if latest and latest.state in _ACTIVE:
        # Another run has published the same key, or the attempt has published and is about to end by itself.
        stop = Stop(stage=stage.name, reason="Superseded", message="its output is published", failed=False)
        return _StageDecision(status=status, action=stop if latest.key != key else None)
    return _StageDecision(status=status)


def _decide_attempt(first: Start, spec: RunSpec, latest: Observed | None, now: float) -> _StageDecision:
    """Decide about a stage whose inputs are published and whose output is not. `first` is its first attempt."""
    stage, key = first.stage, first.key
    if latest and latest.key != key and latest.state in _PRESENT:
        return _decide_superseded(stage, latest, "its inputs or settings changed")
    if latest is None or latest.key != key:
        return _StageDecision(status=StageStatus(name=stage, state="Pending", key=key), action=first)
    start = replace(first, attempt=latest.attempt + 1)
    status = StageStatus(
        name=stage,
        state=_state_of(latest),
        key=key,
        attempt=latest.attempt,
        reason=latest.reason,
        message=latest.message,
    )
    match latest.state:
        case "ending" | "queued":
            return _StageDecision(status=status)
        case "waiting" | "running":
            return _check_deadline(stage, spec, latest, status, now)
        case "stopped":
            return _StageDecision(status=status, action=start)
        case "disrupted":
            return _start_after_pause(
                status, start, latest, pause=retry_delay(max(1, latest.disruptions)), now=now
            )
        case "failed":
            counted = latest.attempt - latest.exempt
            if counted >= spec.attempts or not latest.retryable:
                return _StageDecision(status=replace(status, state="Failed"))
            return _start_after_pause(status, start, latest, pause=retry_delay(max(1, counted)), now=now)


def _check_deadline(
    stage: str, spec: RunSpec, latest: Observed, status: StageStatus, now: float
) -> _StageDecision:
    if latest.state == "waiting" and not latest.startable:
        message = f"no pod of attempt {latest.attempt} can start: {latest.reason}: {latest.message}"
        stop = Stop(
            stage=stage, reason=conditions.CANNOT_START, message=message, failed=True, retryable=False
        )
        return _StageDecision(status=status, action=stop)
    if latest.state == "waiting":
        limit, reason = spec.start_deadline, conditions.NEVER_STARTED
        message = f"no pod of attempt {latest.attempt} ran within startDeadline ({limit})"
        message += f": {latest.message}" if latest.message else ""
    else:
        limit, reason = spec.stage_deadline, conditions.DEADLINE_EXCEEDED
        message = f"attempt {latest.attempt} ran longer than stageDeadline ({limit})"
    deadline = latest.started + seconds(limit)
    if now < deadline:
        return _StageDecision(status=status, wake=deadline)
    return _StageDecision(
        status=status, action=Stop(stage=stage, reason=reason, message=message, failed=True)
    )


def _start_after_pause(
    status: StageStatus, start: Start, latest: Observed, *, pause: float, now: float
) -> _StageDecision:
    due = (now if latest.finished is None else latest.finished) + pause
    return (
        _StageDecision(status=status, wake=due) if now < due else _StageDecision(status=status, action=start)
    )


def _state_of(latest: Observed) -> StageState:
    states: dict[str, StageState] = {
        "queued": "Queued",
        "waiting": "Waiting",
        "running": "Running",
        "ending": "Stopping",
        "stopped": "Pending",
        "disrupted": "Retrying",
        "failed": "Retrying",
    }
    return states[latest.state]


def retry_delay(attempt: int) -> float:
    """Return the seconds between the end of failed `attempt` (from 1) and the next start."""
    return _RETRIES.delay(attempt)
