"""From the decision to the status that people read, and to the events that tell of transitions: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from learntoask.core.manifest import EndpointSpec
from learntoask.core.status import conditions as words
from learntoask.core.status.conditions import Condition, ConditionStatus, find_condition, set_condition
from learntoask.core.status.endpoint import EndpointStatus, Revision

from learntoask_operator.endpoint.decide import Decision, Servers
from learntoask_operator.endpoint.labels import SERVER, selector


@dataclass(frozen=True, kw_only=True)
class Told:
    """An event to post."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A condition before it has a time."""

    status: ConditionStatus
    reason: str
    message: str = ""


def status_of(
    before: EndpointStatus,
    *,
    name: str,
    namespace: str,
    generation: int,
    spec: EndpointSpec,
    decision: Decision | None,
    target: str,
    servers: Mapping[str, Servers],
    gateway: Servers,
    now: float,
) -> EndpointStatus:
    """`decision` None: no policy is published yet; `target` is then empty."""
    asked = [servers.get(revision, Servers()) for revision in (decision.traffic if decision else ())]
    answering = sum(one.ready for one in asked)
    verdicts = {
        words.ROLLED_OUT: _rolled_out(decision, servers, spec),
        words.GATEWAY_READY: _gateway(gateway),
        words.READY: _ready(answering, gateway, spec, decision),
    }
    conditions: tuple[Condition, ...] = before.conditions
    for type, verdict in verdicts.items():
        conditions = set_condition(
            conditions,
            type,
            verdict.status,
            reason=verdict.reason,
            message=verdict.message,
            generation=generation,
            now=now,
        )
    chosen = ",".join(f"{label}={value}" for label, value in selector(name, SERVER).items())
    return EndpointStatus(
        observed_generation=generation,
        phase=_phase(verdicts),
        conditions=conditions,
        address=f"{name}.{namespace}.svc:{spec.gateway.service.port}",
        revision=decision.lead if decision else before.revision,
        target=target,
        revisions=decision.revisions if decision else before.revisions,
        replicas=sum(one.pods for one in servers.values()),
        ready_replicas=answering,
        selector=chosen,
    )


def events_of(before: EndpointStatus, after: EndpointStatus) -> list[Told]:
    """One for every condition whose status or reason changed."""
    told = []
    for condition in after.conditions:
        old = find_condition(before.conditions, condition.type)
        if old is not None and (old.status, old.reason) == (condition.status, condition.reason):
            continue
        bad = condition.reason in (words.WARM_UP_FAILED, words.NO_SERVERS)
        message = f"{condition.type} is {condition.status}"
        if condition.message:
            message += f": {condition.message}"
        told.append(Told(reason=condition.reason, message=message, type="Warning" if bad else "Normal"))
    return told


def _rolled_out(decision: Decision | None, servers: Mapping[str, Servers], spec: EndpointSpec) -> Verdict:
    if decision is None:
        return Verdict(
            status="False",
            reason=words.WAITING_FOR_POLICY,
            message=f"run {spec.policy.run} has published no policy yet",
        )
    new = decision.revisions[0]
    if new.reason:
        return Verdict(status="False", reason=new.reason, message=f"{_named(new)}: {new.message}")
    if not spec.replicas:
        return Verdict(status="True", reason=words.SCALED_TO_ZERO)
    if new.name not in decision.traffic or new.warm is None:
        seen = servers.get(new.name, Servers())
        message = f"{_named(new)}: {seen.ready} of {decision.scale.get(new.name, 0)} servers are warm"
        if seen.last_words:
            message += f"; {seen.last_words}"
        return Verdict(status="False", reason=words.SERVERS_STARTING, message=message)
    if len(decision.traffic) > 1:
        return Verdict(
            status="False", reason=words.SHIFTING_TRAFFIC, message=f"{_named(new)} answers beside the old one"
        )
    if any(one.state == "Draining" for one in decision.revisions):
        return Verdict(status="False", reason=words.DRAINING_OLD, message=f"{_named(new)} answers every ask")
    return Verdict(status="True", reason=words.ROLLOUT_COMPLETE, message=f"{_named(new)} answers every ask")


def _gateway(gateway: Servers) -> Verdict:
    if gateway.ready:
        return Verdict(status="True", reason=words.GATEWAY_AVAILABLE)
    return Verdict(status="False", reason=words.GATEWAY_STARTING, message=gateway.last_words)


def _ready(answering: int, gateway: Servers, spec: EndpointSpec, decision: Decision | None) -> Verdict:
    if decision is None:
        return Verdict(status="False", reason=words.WAITING_FOR_POLICY)
    if not spec.replicas:
        return Verdict(status="False", reason=words.SCALED_TO_ZERO)
    if not answering:
        return Verdict(
            status="False",
            reason=words.NO_SERVERS,
            message="" if spec.gateway.fallback.mode == "refuse" else "the gateways answer with the fallback",
        )
    if not gateway.ready:
        return Verdict(status="False", reason=words.GATEWAY_STARTING)
    return Verdict(status="True", reason=words.SERVING)


def _phase(verdicts: Mapping[str, Verdict]) -> Literal["Pending", "RollingOut", "Ready", "Degraded"]:
    ready = verdicts[words.READY].status == "True"
    rolled = verdicts[words.ROLLED_OUT]
    if rolled.reason == words.WAITING_FOR_POLICY:
        return "Pending"
    if rolled.reason == words.WARM_UP_FAILED:
        return "Degraded"
    if rolled.status == "True":
        return "Ready" if ready else "Degraded"
    return "RollingOut"


def _named(revision: Revision) -> str:
    return f"revision {revision.number} ({revision.name})"
