"""The status of an endpoint, from the decision and the observation, and the Events about its transitions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import (
    Condition,
    ConditionStatus,
    find_condition,
    remove_condition,
    set_condition,
)
from learntoask.core.status.endpoint import EndpointStatus, Revision

from learntoask_operator.endpoint.decide import EndpointDecision
from learntoask_operator.endpoint.labels import SERVER, selector
from learntoask_operator.endpoint.observe import ObservedEndpoint, ObservedServers, Refusal
from learntoask_operator.events import Event

_WARNINGS = (c.WARM_UP_FAILED, c.NO_SERVERS, c.INVALID_SPEC, c.CHILD_FOREIGN, c.CHILD_REFUSED)


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """A condition before it has a type and a time."""

    status: ConditionStatus
    reason: str
    message: str = ""


def status_of(
    before: EndpointStatus,
    body: Json,
    spec: EndpointSpec,
    decision: EndpointDecision | None,
    observed: ObservedEndpoint,
    *,
    now: float,
) -> EndpointStatus:
    """The new status of the endpoint `body`; `decision` is None while no policy is published."""
    metadata = body["metadata"]
    name, generation = metadata["name"], metadata["generation"]
    traffic = decision.traffic if decision else ()
    ready = sum(observed.servers.get(revision, ObservedServers()).ready for revision in traffic)
    rolled_out = _rolled_out(decision, observed, spec)
    findings = {
        c.ROLLED_OUT: rolled_out,
        c.GATEWAY_READY: _gateway_ready(observed.gateway),
        c.READY: _ready(ready, observed.gateway, spec, decision),
    }
    stalled = observed.refusal is not None or rolled_out.reason == c.WARM_UP_FAILED
    conditions = _with_findings(
        before.conditions, findings | _outlook(rolled_out, stalled=stalled), generation=generation, now=now
    )
    return EndpointStatus(
        observed_generation=generation,
        phase=_phase(findings),
        conditions=conditions,
        address=f"{name}.{metadata['namespace']}.svc:{spec.gateway.service.port}",
        revision=decision.lead if decision else before.revision,
        target=decision.revisions[0].name if decision else "",
        revisions=decision.revisions if decision else before.revisions,
        replicas=sum(servers.pods for servers in observed.servers.values()),
        ready_replicas=ready,
        selector=",".join(f"{label}={value}" for label, value in selector(name, SERVER).items()),
    )


def refused_status(before: EndpointStatus, body: Json, refusal: Refusal, *, now: float) -> EndpointStatus:
    """The status of the endpoint `body`, whose spec is refused. What serves goes on serving."""
    generation = body["metadata"]["generation"]
    findings = {c.ROLLED_OUT: _refused(refusal), **_outlook(_refused(refusal), stalled=True)}
    conditions = _with_findings(before.conditions, findings, generation=generation, now=now)
    return before.model_copy(update={"observed_generation": generation, "conditions": conditions})


def events_of(before: EndpointStatus, after: EndpointStatus) -> list[Event]:
    """An Event for every condition whose status or reason has changed."""
    events = []
    for condition in after.conditions:
        if condition.type in (c.RECONCILING, c.STALLED):
            continue  # they repeat the reason of another one
        old = find_condition(before.conditions, condition.type)
        if old is not None and (old.status, old.reason) == (condition.status, condition.reason):
            continue
        bad = condition.reason in _WARNINGS
        message = f"{condition.type} is {condition.status}"
        if condition.message:
            message += f": {condition.message}"
        events.append(Event(reason=condition.reason, message=message, type="Warning" if bad else "Normal"))
    return events


def _with_findings(
    before: Sequence[Condition], findings: Mapping[str, _Finding | None], *, generation: int, now: float
) -> tuple[Condition, ...]:
    """The conditions with the findings; one without a finding is removed."""
    conditions = tuple(before)
    for type, finding in findings.items():
        if finding is None:
            conditions = remove_condition(conditions, type)
            continue
        conditions = set_condition(
            conditions,
            type,
            finding.status,
            reason=finding.reason,
            message=finding.message,
            generation=generation,
            now=now,
        )
    return conditions


def _refused(refusal: Refusal) -> _Finding:
    return _Finding(status="False", reason=refusal.reason, message=refusal.message)


def _outlook(rolled_out: _Finding, *, stalled: bool) -> dict[str, _Finding | None]:
    """The conditions that only exist while they are True: whether the rollout goes on by itself, or needs somebody."""
    holds = replace(rolled_out, status="True")
    going = rolled_out.status == "False" and not stalled
    return {c.RECONCILING: holds if going else None, c.STALLED: holds if stalled else None}


def _rolled_out(
    decision: EndpointDecision | None, observed: ObservedEndpoint, spec: EndpointSpec
) -> _Finding:
    servers = observed.servers
    if observed.refusal is not None:
        return _refused(observed.refusal)
    if decision is None:
        message = f"run {spec.policy.run} has published no policy yet"
        if observed.run_missing:
            message = (
                f"there is no run {spec.policy.run} in this namespace; create it, or correct spec.policy.run"
            )
        return _Finding(status="False", reason=c.WAITING_FOR_POLICY, message=message)
    new = decision.revisions[0]
    if new.reason:
        return _Finding(status="False", reason=new.reason, message=f"{_label(new)}: {new.message}")
    if not spec.replicas:
        return _Finding(status="True", reason=c.SCALED_TO_ZERO)
    if new.name not in decision.traffic or new.warm is None:
        seen = servers.get(new.name, ObservedServers())
        message = f"{_label(new)}: {seen.ready} of {decision.scale.get(new.name, 0)} servers are warm"
        if seen.last_message:
            message += f"; {seen.last_message}"
        return _Finding(status="False", reason=c.SERVERS_STARTING, message=message)
    if len(decision.traffic) > 1:
        message = f"{_label(new)} and the old revision share the calls"
        return _Finding(status="False", reason=c.SHIFTING_TRAFFIC, message=message)
    message = f"{_label(new)} answers all calls"
    if any(revision.state == "Draining" for revision in decision.revisions):
        return _Finding(status="False", reason=c.DRAINING_OLD, message=message)
    return _Finding(status="True", reason=c.ROLLOUT_COMPLETE, message=message)


def _gateway_ready(gateway: ObservedServers) -> _Finding:
    if gateway.ready:
        return _Finding(status="True", reason=c.GATEWAY_AVAILABLE)
    return _Finding(status="False", reason=c.GATEWAY_STARTING, message=gateway.last_message)


def _ready(
    servers: int, gateway: ObservedServers, spec: EndpointSpec, decision: EndpointDecision | None
) -> _Finding:
    """`servers` is the number of ready servers that get traffic."""
    if decision is None:
        return _Finding(status="False", reason=c.WAITING_FOR_POLICY)
    if not spec.replicas:
        return _Finding(status="False", reason=c.SCALED_TO_ZERO)
    if not servers:
        refuses = spec.gateway.fallback.mode == "refuse"
        message = "" if refuses else "the gateways answer with the fallback"
        return _Finding(status="False", reason=c.NO_SERVERS, message=message)
    if not gateway.ready:
        return _Finding(status="False", reason=c.GATEWAY_STARTING)
    return _Finding(status="True", reason=c.SERVING)


def _phase(findings: Mapping[str, _Finding]) -> Literal["Pending", "RollingOut", "Ready", "Degraded"]:
    ready = findings[c.READY].status == "True"
    rolled_out = findings[c.ROLLED_OUT]
    if rolled_out.reason == c.WAITING_FOR_POLICY:
        return "Pending"
    if rolled_out.reason == c.WARM_UP_FAILED:
        return "Degraded"
    if rolled_out.status == "True":
        return "Ready" if ready else "Degraded"
    return "RollingOut"


def _label(revision: Revision) -> str:
    return f"revision {revision.number} ({revision.name})"
