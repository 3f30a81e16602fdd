"""Renders the objects that an endpoint owns."""

from __future__ import annotations

from collections.abc import Mapping

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec, PolicyReference, seconds
from learntoask.core.pod_contract import ROLLOUT_FILE, gateway_name
from learntoask.core.status.rollout import RolloutCounts, RolloutFile, RolloutStatus
from learntoask.kube import CONFIG_MAP, DEPLOYMENT, ENDPOINT, HPA, PDB, SERVICE, Kind

from learntoask_operator.endpoint.decide import EndpointDecision
from learntoask_operator.endpoint.labels import (
    GATEWAY,
    SERVER,
    canary_name,
    labels,
    revision_name,
    rollout_name,
    selector,
    servers_name,
)
from learntoask_operator.endpoint.render.autoscaler import autoscalers
from learntoask_operator.endpoint.render.gateway import gateway_template
from learntoask_operator.endpoint.render.pods import PORT
from learntoask_operator.endpoint.render.servers import server_template
from learntoask_operator.ownership import owner_reference
from learntoask_operator.settings import Settings

Objects = list[tuple[Kind, Json]]
_NOBODY = "none"  # as a revision it selects no pod


def revision_of(policy: PolicyReference, spec: EndpointSpec, settings: Settings) -> str:
    """Name of the revision. It is the digest of the pod template, so every change of it is rolled out."""
    return digest_of(server_template(policy, spec, settings))[:10]


def render(
    body: Json,
    spec: EndpointSpec,
    decision: EndpointDecision,
    *,
    templates: Mapping[str, Json],
    settings: Settings,
) -> Objects:
    """All objects of the endpoint `body`, except Deployments of revisions that are not in `templates`.

    `templates` maps revisions to pod templates. The Deployments of other revisions are only scaled.
    """
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    lead = next(revision.policy for revision in decision.revisions if revision.name == decision.lead)
    objects: Objects = [
        (SERVICE, _servers_service(name, decision.traffic)),
        (PDB, _disruption_budget(servers_name(name), selector(name, SERVER), labels(name, SERVER))),
    ]
    objects += [
        (DEPLOYMENT, _servers(name, revision, template, decision.scale[revision], spec))
        for revision, template in templates.items()
        if revision in decision.scale
    ]
    objects += [
        (DEPLOYMENT, _gateways(name, gateway_template(body, lead, spec, settings), spec)),
        (SERVICE, _gateway_service(name, spec)),
        (PDB, _disruption_budget(gateway_name(name), selector(name, GATEWAY), labels(name, GATEWAY))),
    ]
    if decision.told is not None:
        objects += [
            (SERVICE, _headless_service(name, canary_name(name), decision.canary or _NOBODY)),
            (CONFIG_MAP, _rollout(name, rollout_text(spec, decision.told))),
        ]
    objects += [(HPA, autoscaler) for autoscaler in autoscalers(name, spec)]
    for _, made in objects:
        made["metadata"] |= {
            "namespace": namespace,
            "ownerReferences": [owner_reference(ENDPOINT, body)],
        }
    return objects


def _servers(name: str, revision: str, template: Json, replicas: int, spec: EndpointSpec) -> Json:
    marks, chosen = labels(name, SERVER, revision), selector(name, SERVER, revision)
    return {
        "metadata": {"name": revision_name(name, revision), "labels": marks},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,  # the endpoint's status remembers revisions
            # Kubernetes counts from the last progress, so this must be longer than a whole warm-up.
            "progressDeadlineSeconds": max(60, seconds(spec.rollout.warm_up.deadline)),
            "selector": {"matchLabels": chosen},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": _spread(_with_labels(template, marks), chosen),
        },
    }


def _gateways(name: str, template: Json, spec: EndpointSpec) -> Json:
    marks, chosen = labels(name, GATEWAY), selector(name, GATEWAY)
    return {
        "metadata": {"name": gateway_name(name), "labels": marks},
        "spec": {
            # With an autoscaler the field is left to it (apply.py).
            **({} if spec.gateway.autoscaling else {"replicas": spec.gateway.replicas}),
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": chosen},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": _spread(_with_labels(template, marks), chosen),
        },
    }


def rollout_text(spec: EndpointSpec, state: RolloutStatus) -> str:
    """The rollout as gateways read it: without counts and words, so that it changes with the traffic alone."""
    quiet = {"counts": RolloutCounts(), "verdicts": (), "message": "", "remaining": None, "judged": None}
    state = state.model_copy(update={**quiet, "harmful": (), "safe": (), "reason": "", "paused": False})
    return RolloutFile(strategy=spec.rollout.strategy, state=state).model_dump_json(
        by_alias=True, exclude_none=True
    )


def _rollout(name: str, text: str) -> Json:
    metadata = {"name": rollout_name(name), "labels": labels(name, GATEWAY)}
    return {"metadata": metadata, "data": {ROLLOUT_FILE: text}}


def _servers_service(name: str, traffic: tuple[str, ...]) -> Json:
    """The headless Service that gateways look up to find the servers with traffic.

    Two revisions only share traffic while no third one is ready, so readiness alone selects their pods.
    """
    return _headless_service(name, servers_name(name), traffic[0] if len(traffic) == 1 else "")


def _headless_service(name: str, service: str, revision: str) -> Json:
    return {
        "metadata": {"name": service, "labels": labels(name, SERVER)},
        "spec": {
            "clusterIP": "None",
            "ipFamilyPolicy": "PreferDualStack",
            "selector": selector(name, SERVER, revision),
            "ports": [{"name": "grpc", "port": PORT, "targetPort": "grpc", "protocol": "TCP"}],
        },
    }


def _gateway_service(name: str, spec: EndpointSpec) -> Json:
    service = spec.gateway.service
    given = {
        "loadBalancerClass": service.load_balancer_class,
        "loadBalancerSourceRanges": list(service.load_balancer_source_ranges),
        "externalTrafficPolicy": service.external_traffic_policy,
    }
    port = {
        "name": "grpc",
        "port": service.port,
        "targetPort": "grpc",
        "protocol": "TCP",
        "appProtocol": "grpc",
    }
    return {
        "metadata": {
            "name": name,
            "labels": labels(name, GATEWAY),
            "annotations": dict(service.annotations),
        },
        "spec": {
            "type": service.type,
            "ipFamilyPolicy": "PreferDualStack",
            "selector": selector(name, GATEWAY),
            "ports": [port],
            **{field: value for field, value in given.items() if value},
        },
    }


def _disruption_budget(name: str, chosen: dict[str, str], marks: dict[str, str]) -> Json:
    """One pod at a time may be evicted. That also holds for a single pod, which must not block the drain of a node, and
    neither must one that is not ready."""
    return {
        "metadata": {"name": name, "labels": marks},
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": chosen},
        },
    }


def _with_labels(template: Json, marks: dict[str, str]) -> Json:
    metadata = template["metadata"]
    return {**template, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **marks}}}


def _spread(template: Json, chosen: dict[str, str]) -> Json:
    """`template` with its pods spread over nodes where that is possible."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": chosen},
    }
    return {**template, "spec": {"topologySpreadConstraints": [spread], **template["spec"]}}
