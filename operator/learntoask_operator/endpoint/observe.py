"""From Deployments and pods to the policy servers of each revision and the gateways. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import REVISION_LABEL

from learntoask_operator.endpoint.labels import GATEWAY, SERVER
from learntoask_operator.ownership import COMPONENT, is_deleting, is_owned_by


@dataclass(frozen=True, kw_only=True)
class ObservedServers:
    """The pods of one Deployment.

    `wanted` is what the Deployment asks for. `restarts` is the highest count of one container. `last_message` says why
    a container ended or a pod cannot start.
    """

    wanted: int = 0
    pods: int = 0
    ready: int = 0
    restarts: int = 0
    last_message: str = ""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why the spec, or an object that follows from it, is refused."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ObservedEndpoint:
    """The policy servers by revision, and the gateways.

    `run_missing`: there is no run of the name in the spec. `refusal` kept the last decision from being carried out.
    """

    servers: Mapping[str, ObservedServers] = field(default_factory=dict)
    gateway: ObservedServers = ObservedServers()
    run_missing: bool = False
    refusal: Refusal | None = None


def observe(deployments: Iterable[Json], pods: Sequence[Json], *, uid: str) -> ObservedEndpoint:
    """Observe the Deployments that the endpoint with `uid` owns, and `pods` with the endpoint's labels."""
    servers: dict[str, ObservedServers] = {}
    gateway = ObservedServers()
    for deployment in deployments:
        labels = deployment["metadata"].get("labels", {})
        if not is_owned_by(deployment, uid):
            continue
        component, revision = labels.get(COMPONENT), labels.get(REVISION_LABEL)
        if component == GATEWAY:
            gateway = _observe_deployment(deployment, _select(pods, GATEWAY))
        elif component == SERVER and revision is not None:
            servers[revision] = _observe_deployment(deployment, _select(pods, SERVER, revision))
    return ObservedEndpoint(servers=servers, gateway=gateway)


def _observe_deployment(deployment: Json, pods: Sequence[Json]) -> ObservedServers:
    status = deployment.get("status", {})
    return ObservedServers(
        wanted=deployment.get("spec", {}).get("replicas", 0),
        pods=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        restarts=max((_restarts(pod) for pod in pods), default=0),
        last_message=_last_message(pods),
    )


def _select(pods: Iterable[Json], component: str, revision: str | None = None) -> list[Json]:
    """The pods of a component (and revision) that are not being deleted."""

    def matches(pod: Json) -> bool:
        labels = pod["metadata"].get("labels", {})
        return labels.get(COMPONENT) == component and revision in (None, labels.get(REVISION_LABEL))

    return [pod for pod in pods if matches(pod) and not is_deleting(pod)]


def _restarts(pod: Json) -> int:
    containers = pod.get("status", {}).get("containerStatuses") or ()
    return max((container.get("restartCount", 0) for container in containers), default=0)


def _last_message(pods: Iterable[Json]) -> str:
    """Why a pod makes no progress: how its container ended, why it cannot start, or what the scheduler waits for."""
    waiting = ""
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        for container in status.get("containerStatuses") or ():
            state, last = container.get("state") or {}, container.get("lastState") or {}
            ended = last.get("terminated") or state.get("terminated")
            if ended:
                message = (ended.get("message") or ended.get("reason") or "").strip()
                return f"{name} ended with {ended.get('exitCode')}: {message}"
            held = state.get("waiting")
            if held and held.get("reason") not in ("ContainerCreating", "PodInitializing"):
                waiting = f"{name}: {held.get('reason')}: {held.get('message') or ''}"
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False" and not waiting:
                waiting = f"{name} is not scheduled: {condition.get('message') or ''}"
    return waiting
