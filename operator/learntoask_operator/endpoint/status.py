"""Computes the status of an endpoint from the decision and the observation, and the Events about its transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import Condition, find_condition, remove_condition, set_condition
from learntoask.core.status.endpoint import EndpointStatus, service_address
from learntoask.core.status.rollout import RolloutCounts, RolloutStatus

from learntoask_operator.endpoint.decide import EndpointDecision
from learntoask_operator.endpoint.findings import (
    Finding,
    Views,
    autoscaled,
    gateway_ready,
    ready_by_pods,
    ready_by_views,
    rolled_out,
    rollout_healthy,
)
from learntoask_operator.endpoint.labels import SERVER, selector
from learntoask_operator.endpoint.observe import ObservedEndpoint, ObservedServers
from learntoask_operator.events import Event

_FAILURES = frozenset({c.WARM_UP_FAILED, c.ROLLED_BACK, c.CHILD_FOREIGN, c.CHILD_REFUSED, c.INVALID_SPEC})
_WARNINGS = _FAILURES | {c.NO_SERVERS, c.SERVERS_NOT_SEEN, c.PODS_REFUSED, c.AUTOSCALER_BLIND}
_WARNINGS |= {c.ROLLOUT_HARM, c.ROLLOUT_LIMIT, c.ROLLOUT_TOO_LONG, c.ASSIGNMENT_SKEWED, c.CALLERS_UNKNOWN}
_NOTHING = RolloutCounts()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why the endpoint's objects could not all be applied. `nameless`: its address belongs to somebody else."""

    reason: str
    message: str
    nameless: bool = False


def status_of(
    before: EndpointStatus,
    body: Json,
    spec: EndpointSpec,
    decision: EndpointDecision | None,
    observed: ObservedEndpoint,
    *,
    views: Views,
    waiting: str = "",
    rollout_gone: RolloutCounts = _NOTHING,
    fault: Fault | None = None,
    now: float,
) -> EndpointStatus:
    """The new status of the endpoint `body`; `decision` is None while no policy is published, and `waiting` says why.

    `rollout_gone` is what gateways have counted of the rollout that are gone. `fault` is what kept the objects from
    being applied, if anything did.
    """
    metadata = body["metadata"]
    name, generation = metadata["name"], metadata["generation"]
    traffic = decision.traffic if decision else ()
    servers = [observed.servers.get(revision, ObservedServers()) for revision in traffic]
    findings = {
        c.ROLLED_OUT: rolled_out(decision, observed.servers, spec, waiting),
        c.GATEWAY_READY: gateway_ready(observed.gateway),
        c.READY: ready_by_pods(servers, observed.gateway, spec, waiting=waiting)
        or ready_by_views(views, observed.gateway, spec, before),
    }
    conditions = before.conditions
    if (scaling := autoscaled(observed.autoscalers)) is None:
        conditions = remove_condition(conditions, c.AUTOSCALED)
    else:
        findings[c.AUTOSCALED] = scaling
    if (healthy := rollout_healthy(decision)) is None:
        conditions = remove_condition(conditions, c.ROLLOUT_HEALTHY)
    else:
        findings[c.ROLLOUT_HEALTHY] = healthy
    if fault is not None:
        finding = Finding(status="False", reason=fault.reason, message=fault.message)
        findings[c.ROLLED_OUT] = finding
        if fault.nameless or findings[c.READY].status != "True":
            findings[c.READY] = finding
    address = service_address(name, metadata["namespace"], port=spec.gateway.service.port)
    return EndpointStatus(
        observed_generation=generation,
        phase=_phase(findings),
        conditions=_conditions(conditions, findings, generation=generation, now=now),
        address="" if fault is not None and fault.nameless else address,
        revision=decision.lead if decision else before.revision,
        target=decision.revisions[0].name if decision else "",
        revisions=decision.revisions if decision else before.revisions,
        **_rollout(before, decision, rollout_gone),
        replicas=sum(found.pods for found in observed.servers.values()),
        ready_replicas=sum(found.ready for found in servers),
        selector=",".join(f"{label}={value}" for label, value in selector(name, SERVER).items()),
    )


class _RolloutFields(TypedDict):
    rollout: RolloutStatus | None
    rollout_gone: RolloutCounts
    canary: str
    queued: str


def _rollout(
    before: EndpointStatus, decision: EndpointDecision | None, gone: RolloutCounts
) -> _RolloutFields:
    """What the status says about a policy that is tried. The counts of another rollout begin at 0."""
    if decision is None or decision.rollout is None:
        return {"rollout": None, "rollout_gone": RolloutCounts(), "canary": "", "queued": ""}
    state = decision.rollout
    same = before.rollout is not None and before.rollout.id == state.id
    return {
        "rollout": state,
        "rollout_gone": gone if same else RolloutCounts(),
        "canary": "" if state.stage == "Promoted" else decision.canary,
        "queued": decision.queued,
    }


def fault_in(status: EndpointStatus) -> Fault | None:
    """The fault that a status tells of."""
    found = find_condition(status.conditions, c.ROLLED_OUT)
    if found is None or found.reason not in (c.CHILD_FOREIGN, c.CHILD_REFUSED):
        return None
    return Fault(reason=found.reason, message=found.message, nameless=not status.address)


def refused_status(before: EndpointStatus, body: Json, message: str, *, now: float) -> EndpointStatus:
    """The status of an endpoint whose spec is invalid. What was applied before goes on as it is, and is not looked
    at."""
    generation = body["metadata"]["generation"]
    findings = {
        c.ROLLED_OUT: Finding(status="False", reason=c.INVALID_SPEC, message=message),
        c.READY: Finding(
            status="Unknown" if before.revisions else "False", reason=c.INVALID_SPEC, message=message
        ),
    }
    return before.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Degraded" if before.revisions else "Pending",
            "conditions": _conditions(before.conditions, findings, generation=generation, now=now),
        }
    )


def events_of(before: EndpointStatus, after: EndpointStatus) -> list[Event]:
    """An Event for every condition whose status or reason has changed."""
    events = []
    for condition in after.conditions:
        if condition.type in (c.RECONCILING, c.STALLED):
            continue  # they repeat what RolledOut says
        old = find_condition(before.conditions, condition.type)
        if old is not None and (old.status, old.reason) == (condition.status, condition.reason):
            continue
        bad = condition.reason in _WARNINGS
        message = f"{condition.type} is {condition.status}"
        if condition.message:
            message += f": {condition.message}"
        events.append(Event(reason=condition.reason, message=message, type="Warning" if bad else "Normal"))
    return events


def _conditions(
    conditions: tuple[Condition, ...], findings: Mapping[str, Finding], *, generation: int, now: float
) -> tuple[Condition, ...]:
    """The conditions with the findings. Reconciling and Stalled repeat what RolledOut says, and only exist while they
    are True: the rollout goes on by itself, or needs somebody."""
    rollout = findings[c.ROLLED_OUT]
    failed = rollout.reason in _FAILURES
    holds = {c.RECONCILING: rollout.status == "False" and not failed, c.STALLED: failed}
    for type, held in holds.items():
        if held:
            findings = {**findings, type: replace(rollout, status="True")}
        else:
            conditions = remove_condition(conditions, type)
    for type, finding in findings.items():
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


def _phase(findings: Mapping[str, Finding]) -> Literal["Pending", "RollingOut", "Ready", "Degraded"]:
    ready = findings[c.READY].status == "True"
    rollout = findings[c.ROLLED_OUT]
    if rollout.reason == c.WAITING_FOR_POLICY:
        return "Pending"
    if rollout.reason in _FAILURES:
        return "Degraded"
    if rollout.status == "True":
        return "Ready" if ready else "Degraded"
    return "RollingOut"
