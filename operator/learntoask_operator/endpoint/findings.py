"""Derives what the conditions of an endpoint say from the decision, the pods and what the gateways see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learntoask.core.manifest import EndpointSpec
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import ConditionStatus, find_condition
from learntoask.core.status.endpoint import EndpointStatus, Revision

from learntoask_operator.endpoint.decide import EndpointDecision
from learntoask_operator.endpoint.observe import ObservedServers


@dataclass(frozen=True, kw_only=True)
class Views:
    """How many servers each gateway sees, by pod, and the address at which gateways tell that.

    `address` is empty if the operator does not listen to gateways; then `seen` says nothing.
    """

    address: str
    seen: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A condition before it has a type and a time."""

    status: ConditionStatus
    reason: str
    message: str = ""


def rolled_out(
    decision: EndpointDecision | None,
    servers: Mapping[str, ObservedServers],
    spec: EndpointSpec,
    waiting: str,
) -> Finding:
    if decision is None:
        return Finding(status="False", reason=c.WAITING_FOR_POLICY, message=waiting)
    new = decision.revisions[0]
    seen = servers.get(new.name, ObservedServers())
    if new.reason:
        return Finding(status="False", reason=new.reason, message=f"{_label(new)}: {new.message}")
    if not spec.replicas:
        return Finding(status="True", reason=c.SCALED_TO_ZERO)
    if new.name not in decision.traffic or new.warm is None:
        message = f"{_label(new)}: {seen.ready} of {decision.scale.get(new.name, 0)} servers are warm"
        return Finding(
            status="False",
            reason=c.PODS_REFUSED if seen.refusal else c.SERVERS_STARTING,
            message=f"{message}; {seen.cause}" if seen.cause else message,
        )
    if len(decision.traffic) > 1:
        message = f"{_label(new)} and the old revision share the calls"
        return Finding(status="False", reason=c.SHIFTING_TRAFFIC, message=message)
    message = f"{_label(new)} answers all calls"
    if any(revision.state == "Draining" for revision in decision.revisions):
        return Finding(status="False", reason=c.DRAINING_OLD, message=message)
    if seen.refusal:
        message += f" with {seen.ready} of {seen.wanted} servers; {seen.refusal}"
    return Finding(status="True", reason=c.ROLLOUT_COMPLETE, message=message)


def gateway_ready(gateway: ObservedServers) -> Finding:
    if not gateway.ready:
        reason = c.PODS_REFUSED if gateway.refusal else c.GATEWAY_STARTING
        return Finding(status="False", reason=reason, message=gateway.cause)
    message = f"{gateway.ready} of {gateway.wanted} are ready; {gateway.refusal}" if gateway.refusal else ""
    return Finding(status="True", reason=c.GATEWAY_AVAILABLE, message=message)


def ready_by_pods(
    servers: Sequence[ObservedServers], gateway: ObservedServers, spec: EndpointSpec, *, waiting: str
) -> Finding | None:
    """Why no policy can answer, as far as the pods show it; `servers` are those that get traffic."""
    if waiting:
        return Finding(status="False", reason=c.WAITING_FOR_POLICY, message=waiting)
    heard = _without_servers(spec) if gateway.ready else ""
    if not spec.replicas:
        return Finding(status="False", reason=c.SCALED_TO_ZERO, message=heard)
    if not any(found.ready for found in servers):
        refused = any(found.refusal for found in servers)
        cause = next((found.cause for found in servers if found.cause), "")
        message = "; ".join(part for part in (heard, cause) if part)
        return Finding(status="False", reason=c.PODS_REFUSED if refused else c.NO_SERVERS, message=message)
    gateways = gateway_ready(gateway)
    return None if gateways.status == "True" else gateways


def ready_by_views(
    views: Views, gateway: ObservedServers, spec: EndpointSpec, before: EndpointStatus
) -> Finding:
    """Whether every ready gateway sees a server; it alone can say so, because it finds and watches servers itself.

    What the gateways told last counts while they are silent, as they are when the operator has just started.
    """
    if not views.address:
        return Finding(status="True", reason=c.SERVING)
    if not gateway.addresses:  # the pods are seen later than their number
        return Finding(status="False", reason=c.GATEWAY_STARTING)
    blind = sorted(pod for pod in gateway.addresses if views.seen.get(pod) == 0)
    if blind:
        message = f"{', '.join(blind)}: sees no policy server; {_without_servers(spec)}"
        return Finding(status="False", reason=c.SERVERS_NOT_SEEN, message=message)
    silent = sorted(gateway.addresses.keys() - views.seen.keys())
    known = find_condition(before.conditions, c.READY)
    if not silent or (known is not None and known.status == "True"):
        return Finding(status="True", reason=c.SERVING)
    message = f"{', '.join(silent)} has not told the operator at {views.address} which policy servers it sees"
    return Finding(status="Unknown", reason=c.GATEWAYS_SILENT, message=message)


def _without_servers(spec: EndpointSpec) -> str:
    """What clients hear while no server answers."""
    refuses = spec.gateway.fallback.mode == "refuse"
    return "the gateways refuse calls" if refuses else "the gateways answer with the fallback"


def _label(revision: Revision) -> str:
    return f"revision {revision.number} ({revision.name})"
