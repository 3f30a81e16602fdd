"""From Deployments and pods to what the rollout is told of each revision's servers: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from learntoask.core.json_object import Json

from learntoask_operator.cache.children import owned_by
from learntoask_operator.endpoint.decide import Servers
from learntoask_operator.endpoint.labels import COMPONENT, GATEWAY, REVISION, SERVER


def servers_of(deployments: Iterable[Json], pods: Sequence[Json], *, uid: str) -> dict[str, Servers]:
    """Servers by revision, of the Deployments that the endpoint with `uid` owns."""
    found: dict[str, Servers] = {}
    for deployment in deployments:
        labels, status = deployment["metadata"].get("labels", {}), deployment.get("status", {})
        if labels.get(COMPONENT) != SERVER or REVISION not in labels or not owned_by(deployment, uid):
            continue
        revision = labels[REVISION]
        own = _of(pods, SERVER, revision)
        found[revision] = Servers(
            wanted=deployment.get("spec", {}).get("replicas", 0),
            pods=status.get("replicas", 0),
            ready=status.get("readyReplicas", 0),
            restarts=max((_restarts(pod) for pod in own), default=0),
            last_words=_last_words(own),
        )
    return found


def gateway_of(deployments: Iterable[Json], pods: Sequence[Json], *, uid: str) -> Servers:
    """The gateways."""
    own = _of(pods, GATEWAY, None)
    for deployment in deployments:
        labels, status = deployment["metadata"].get("labels", {}), deployment.get("status", {})
        if labels.get(COMPONENT) == GATEWAY and owned_by(deployment, uid):
            return Servers(
                wanted=deployment.get("spec", {}).get("replicas", 0),
                pods=status.get("replicas", 0),
                ready=status.get("readyReplicas", 0),
                restarts=max((_restarts(pod) for pod in own), default=0),
                last_words=_last_words(own),
            )
    return Servers()


def _of(pods: Iterable[Json], component: str, revision: str | None) -> list[Json]:
    def belongs(pod: Json) -> bool:
        labels = pod["metadata"].get("labels", {})
        return labels.get(COMPONENT) == component and (revision is None or labels.get(REVISION) == revision)

    return [pod for pod in pods if belongs(pod) and not pod["metadata"].get("deletionTimestamp")]


def _restarts(pod: Json) -> int:
    containers = pod.get("status", {}).get("containerStatuses") or ()
    return max((one.get("restartCount", 0) for one in containers), default=0)


def _last_words(pods: Iterable[Json]) -> str:
    """Why a pod does not get on: how its container ended, why it cannot start, or what the scheduler waits for."""
    waiting = ""
    for pod in pods:
        status = pod.get("status", {})
        for container in status.get("containerStatuses") or ():
            ended = (container.get("lastState") or {}).get("terminated") or (
                container.get("state") or {}
            ).get("terminated")
            if ended:
                said = (ended.get("message") or ended.get("reason") or "").strip()
                return f"{pod['metadata']['name']} ended with {ended.get('exitCode')}: {said}"
            held = (container.get("state") or {}).get("waiting")
            if held and held.get("reason") not in ("ContainerCreating", "PodInitializing"):
                waiting = f"{pod['metadata']['name']}: {held.get('reason')}: {held.get('message') or ''}"
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False" and not waiting:
                waiting = f"{pod['metadata']['name']} is not scheduled: {condition.get('message') or ''}"
    return waiting
