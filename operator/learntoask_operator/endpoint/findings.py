"""Derives what the conditions of an endpoint say from the decision, the pods and what the gateways see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from learntoask.core.manifest import EndpointSpec
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import ConditionStatus, find_condition
from learntoask.core.status.endpoint import EndpointStatus, Revision
from learntoask.rollout.decide import is_over

from learntoask_operator.endpoint.decide import EndpointDecision
from learntoask_operator.endpoint.observe import ObservedAutoscaler, ObservedServers


@dataclass(frozen=True, kw_only=True)
class Views:
    """How many servers each gateway sees, by pod, why it sees none, and the address at which gateways tell that.

    `address` is empty if the operator does not listen to gateways; then `seen` says nothing.
    """

    address: str
    seen: Mapping[str, int]
    troubles: Mapping[str, str] = field(default_factory=dict)


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
    state = decision.rollout
    if state is not None and not is_over(state) and state.canary == new.name:
        waits = f"; revision {decision.queued} waits for the end" if decision.queued else ""
        message = f"{_label(new)} gets {state.weight} % of the new conversations: {state.message}{waits}"
        return Finding(status="False", reason=c.TRYING_POLICY, message=message)
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


def rollout_healthy(decision: EndpointDecision | None) -> Finding | None:
    """Whether something speaks against the policy that is or was tried; None if none was."""
    state = decision.rollout if decision is not None else None
    if state is None:
        return None
    if state.stage == "RolledBack":
        return Finding(status="False", reason=state.reason, message=state.message)
    if state.stage == "Promoted":
        return Finding(status="True", reason=c.ROLLOUT_PROMOTED, message=state.message)
    if state.reason in (c.ASSIGNMENT_SKEWED, c.CALLERS_UNKNOWN, c.ROLLOUT_TOO_LONG):
        return Finding(status="False", reason=state.reason, message=state.message)
    reason = c.ROLLOUT_PAUSED if state.paused else c.ROLLOUT_COLLECTING
    return Finding(status="True", reason=reason, message=state.message)


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
        trouble = next((why for pod in blind if (why := views.troubles.get(pod))), "")
        sees = f"sees no policy server ({trouble})" if trouble else "sees no policy server"
        message = f"{', '.join(blind)}: {sees}; {_without_servers(spec)}"
        return Finding(status="False", reason=c.SERVERS_NOT_SEEN, message=message)
    silent = sorted(gateway.addresses.keys() - views.seen.keys())
    known = find_condition(before.conditions, c.READY)
    if not silent or (known is not None and known.status == "True"):
        return Finding(status="True", reason=c.SERVING)
    message = f"{', '.join(silent)} has not told the operator at {views.address} which policy servers it sees"
    return Finding(status="Unknown", reason=c.GATEWAYS_SILENT, message=message)


def autoscaled(autoscalers: Sequence[ObservedAutoscaler]) -> Finding | None:
    """Whether the autoscalers do their work; None if there are none."""
    if not autoscalers:
        return None
    blind = [one for one in autoscalers if one.active is False]
    if blind:
        message = "; ".join(f"HorizontalPodAutoscaler {one.name}: {one.message}" for one in blind)
        return Finding(status="False", reason=c.AUTOSCALER_BLIND, message=message)
    if all(one.active for one in autoscalers):
        return Finding(status="True", reason=c.AUTOSCALING)
    return Finding(status="Unknown", reason=c.AUTOSCALER_STARTING)


def _without_servers(spec: EndpointSpec) -> str:
    """What clients hear while no server answers."""
    refuses = spec.gateway.fallback.mode == "refuse"
    return "the gateways refuse calls" if refuses else "the gateways answer with the fallback"


def _label(revision: Revision) -> str:
    return f"revision {revision.number} ({revision.name})"
