"""Derives the policy servers of each revision and the gateways from Deployments and pods. The functions are pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import REVISION_LABEL

from learntoask_operator.causes import refused_pods, why_waiting
from learntoask_operator.endpoint.labels import GATEWAY, SERVER
from learntoask_operator.ownership import COMPONENT, is_deleting, is_owned_by


@dataclass(frozen=True, kw_only=True)
class ObservedServers:
    """The pods of one Deployment.

    `wanted` is what the Deployment asks for. `restarts` is the highest count of one container. `refusal` says why pods
    cannot be created, and `last_message` why a container ended or a pod cannot start. `addresses` has the IP address of
    each ready pod by its name.
    """

    wanted: int = 0
    pods: int = 0
    ready: int = 0
    restarts: int = 0
    refusal: str = ""
    last_message: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)

    @property
    def cause(self) -> str:
        """Why there are not as many ready pods as wanted, as far as it is known."""
        return self.refusal or self.last_message


@dataclass(frozen=True, kw_only=True)
class ObservedAutoscaler:
    """Whether an autoscaler reads its metric (None: it has not tried yet), and its own words about it."""

    name: str
    active: bool | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ObservedEndpoint:
    """The policy servers by revision, the gateways, and the autoscalers of both."""

    servers: Mapping[str, ObservedServers] = field(default_factory=dict)
    gateway: ObservedServers = ObservedServers()
    autoscalers: tuple[ObservedAutoscaler, ...] = ()


def observe(
    deployments: Iterable[Json],
    pods: Sequence[Json],
    *,
    autoscalers: Iterable[Json] = (),
    uid: str,
    now: float,
) -> ObservedEndpoint:
    """Observe the Deployments and autoscalers that the endpoint with `uid` owns, and `pods` with the endpoint's
    labels."""
    servers: dict[str, ObservedServers] = {}
    gateway = ObservedServers()
    for deployment in deployments:
        labels = deployment["metadata"].get("labels", {})
        if not is_owned_by(deployment, uid):
            continue
        component, revision = labels.get(COMPONENT), labels.get(REVISION_LABEL)
        if component == GATEWAY:
            gateway = _observe_deployment(deployment, _select(pods, GATEWAY), now)
        elif component == SERVER and revision is not None:
            servers[revision] = _observe_deployment(deployment, _select(pods, SERVER, revision), now)
    scaling = [_observe_autoscaler(body) for body in autoscalers if is_owned_by(body, uid)]
    return ObservedEndpoint(
        servers=servers,
        gateway=gateway,
        autoscalers=tuple(sorted(scaling, key=lambda one: one.name)),
    )


def _observe_deployment(deployment: Json, pods: Sequence[Json], now: float) -> ObservedServers:
    status, refused = deployment.get("status", {}), refused_pods(deployment, now)
    return ObservedServers(
        wanted=deployment.get("spec", {}).get("replicas", 0),
        pods=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        restarts=max((_restarts(pod) for pod in pods), default=0),
        refusal=refused.message if refused else "",
        last_message=_last_message(pods, now),
        addresses={pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pods if _is_ready(pod)},
    )


def _observe_autoscaler(body: Json) -> ObservedAutoscaler:
    name = body["metadata"]["name"]
    for condition in body.get("status", {}).get("conditions") or ():
        if condition["type"] == "ScalingActive" and condition["status"] in ("True", "False"):
            message = f"{condition.get('reason', '')}: {condition.get('message', '')}"
            return ObservedAutoscaler(name=name, active=condition["status"] == "True", message=message)
    return ObservedAutoscaler(name=name)


def _is_ready(pod: Json) -> bool:
    """Whether the pod can be called."""
    status = pod.get("status", {})
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    return conditions.get("Ready") == "True" and bool(status.get("podIP"))


def _select(pods: Iterable[Json], component: str, revision: str | None = None) -> list[Json]:
    """The pods of a component (and revision) that are not being deleted."""

    def matches(pod: Json) -> bool:
        labels = pod["metadata"].get("labels", {})
        return labels.get(COMPONENT) == component and revision in (None, labels.get(REVISION_LABEL))

    return [pod for pod in pods if matches(pod) and not is_deleting(pod)]


def _restarts(pod: Json) -> int:
    containers = pod.get("status", {}).get("containerStatuses") or ()
    return max((container.get("restartCount", 0) for container in containers), default=0)


def _last_message(pods: Sequence[Json], now: float) -> str:
    """Why a pod makes no progress: how its container ended, or what keeps it from starting."""
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses") or ():
            last, state = container.get("lastState") or {}, container.get("state") or {}
            if ended := last.get("terminated") or state.get("terminated"):
                message = (ended.get("message") or ended.get("reason") or "").strip()
                return f"{pod['metadata']['name']} ended with {ended.get('exitCode')}: {message}"
    cause = why_waiting(pods, now=now)
    return f"{cause.reason}: {cause.message}" if cause else ""
