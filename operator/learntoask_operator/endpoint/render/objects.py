"""The objects that an endpoint owns, as plain dicts: pure functions of the resource, the settings and the decision."""

from __future__ import annotations

from collections.abc import Mapping

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec, PolicyReference, seconds
from learntoask.kube import DEPLOYMENT, ENDPOINT, HPA, PDB, SERVICE, Kind

from learntoask_operator.endpoint import labels as named
from learntoask_operator.endpoint.decide import Decision
from learntoask_operator.endpoint.labels import GATEWAY, SERVER
from learntoask_operator.endpoint.render.pods import (
    DRAIN,
    METRICS_PORT,
    PORT,
    TOKEN,
    Store,
    pack_source,
    pod,
    server_template,
    variables,
)
from learntoask_operator.render.override import overridden
from learntoask_operator.settings import Settings

Objects = list[tuple[Kind, Json]]
_TLS, _CLIENTS = "/etc/learntoask/tls", "/etc/learntoask/clients"
# Callers hold connections for hours, which no Service moves. Asked to connect anew this often, they have all left a pod
# that was told to end before it takes no more calls, and they find those that were added.
_RENEWED = 30  # seconds
_GATEWAY_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def revision_of(policy: PolicyReference, spec: EndpointSpec, settings: Settings) -> str:
    """Name of the revision: digest of its pods, so that whatever changes them is rolled out and can be rolled back."""
    return digest_of(server_template(policy, spec, settings))[:10]


def render(
    body: Json,
    spec: EndpointSpec,
    decision: Decision,
    *,
    templates: Mapping[str, Json],
    settings: Settings,
) -> Objects:
    """Everything but the Deployments of revisions whose template is not in `templates`: those are only scaled."""
    name = body["metadata"]["name"]
    lead = next(one.policy for one in decision.revisions if one.name == decision.lead)
    objects: Objects = [
        (SERVICE, _servers_service(name, decision.traffic)),
        (PDB, _budget(named.servers_name(name), named.selector(name, SERVER), named.labels(name, SERVER))),
    ]
    objects += [
        (DEPLOYMENT, _servers(name, revision, template, decision.scale[revision], spec))
        for revision, template in templates.items()
        if revision in decision.scale
    ]
    objects += [
        (DEPLOYMENT, _gateway(name, body["metadata"]["namespace"], lead, spec, settings)),
        (SERVICE, _gateway_service(name, spec)),
        (PDB, _budget(named.gateway_name(name), named.selector(name, GATEWAY), named.labels(name, GATEWAY))),
    ]
    if spec.autoscaling is not None:
        objects.append((HPA, _autoscaler(name, spec)))
    for _, made in objects:
        made["metadata"] |= {"namespace": body["metadata"]["namespace"], "ownerReferences": [owner(body)]}
    return objects


def owner(body: Json) -> Json:
    """The reference by which the endpoint's objects go with it; it blocks nobody's deletion."""
    return {
        "apiVersion": ENDPOINT.api_version,
        "kind": ENDPOINT.kind,
        "name": body["metadata"]["name"],
        "uid": body["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _servers(name: str, revision: str, template: Json, replicas: int, spec: EndpointSpec) -> Json:
    marks = named.labels(name, SERVER, revision)
    pods = {
        **template,
        "metadata": {**template["metadata"], "labels": {**template["metadata"].get("labels", {}), **marks}},
    }
    chosen = named.selector(name, SERVER, revision)
    return {
        "metadata": {"name": named.revision_name(name, revision), "labels": marks},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,  # revisions are ours to remember
            # Counted from the last step forward, so longer than the whole warm-up may take.
            "progressDeadlineSeconds": max(60, seconds(spec.rollout.warm_up.deadline)),
            "selector": {"matchLabels": chosen},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": _spread(pods, chosen),
        },
    }


def _gateway(
    name: str, namespace: str, policy: PolicyReference, spec: EndpointSpec, settings: Settings
) -> Json:
    front, access = spec.gateway, spec.gateway.access
    arguments, volumes, mounts = pack_source(policy)
    store = Store.of(spec, settings)
    records = front.records
    own = f"{(spec.store.uri or settings.store_uri).rstrip('/')}/records/{namespace}/{name}"
    if access.tls_secret:
        volumes = [*volumes, {"name": "tls", "secret": {"secretName": access.tls_secret}}]
        mounts = [*mounts, {"name": "tls", "mountPath": _TLS, "readOnly": True}]
    if access.client_authority_secret:
        volumes = [*volumes, {"name": "clients", "secret": {"secretName": access.client_authority_secret}}]
        mounts = [*mounts, {"name": "clients", "mountPath": _CLIENTS, "readOnly": True}]
    token = f"{TOKEN}/token" if access.token_secret else None
    drain = max(seconds(front.deadline), DRAIN)
    env = [
        *variables(
            "LTA_GATEWAY_",
            HOST="0.0.0.0",
            PORT=PORT,
            METRICS_PORT=METRICS_PORT,
            SERVERS=f"{named.servers_name(name)}.{namespace}.svc:{PORT}",
            DEADLINE_SECONDS=seconds(front.deadline),
            DRAIN_SECONDS=drain,
            MAX_CONNECTION_SECONDS=_RENEWED,
            ATTEMPT_SECONDS=seconds(front.attempt),
            MAX_IN_FLIGHT=front.max_in_flight,
            FALLBACK=front.fallback.mode,
            TOKEN_FILE=token,
            SERVER_TOKEN_FILE=token,
            TLS_CERTIFICATE=f"{_TLS}/tls.crt" if access.tls_secret else None,
            TLS_KEY=f"{_TLS}/tls.key" if access.tls_secret else None,
            TLS_CLIENT_CA=f"{_CLIENTS}/ca.crt" if access.client_authority_secret else None,
            RECORDS="/work/records" if records.enabled else None,
            RECORDS_URI=(records.uri or own) if records.enabled else None,
            RECORDS_SECONDS=seconds(records.interval) if records.enabled else None,
            REDACT=records.redact if records.enabled and records.redact else None,
        ),
        *variables("LTA_", PUBLICATION=policy.publication),
        *store.env,
    ]
    template = pod(
        "gateway",
        ["lta", "gateway", *arguments],
        image=settings.image,
        settings=settings,
        env=env,
        mounts=[*mounts, *store.mounts],
        volumes=[*volumes, *store.volumes],
        work="10Gi",
        pre_stop=_RENEWED + 10,  # gRPC adds up to a tenth
        drain=drain,
        token_secret=access.token_secret,
    )
    # The kubelet's gRPC probes speak no TLS.
    probe: Json = {"tcpSocket": {"port": PORT}} if access.tls_secret else {"grpc": {"port": PORT}}
    template["spec"]["containers"][0] |= {
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 3},
        "resources": _GATEWAY_RESOURCES,
    }
    template = overridden(template, spec.pods.gateway)
    marks, chosen = named.labels(name, GATEWAY), named.selector(name, GATEWAY)
    template["metadata"]["labels"] = {**template["metadata"].get("labels", {}), **marks}
    return {
        "metadata": {"name": named.gateway_name(name), "labels": marks},
        "spec": {
            "replicas": front.replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": chosen},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": _spread(template, chosen),
        },
    }


def _servers_service(name: str, traffic: tuple[str, ...]) -> Json:
    """Headless: its name stands for the servers that are asked. Two revisions are asked together only while no third
    one is ready, so then readiness alone selects."""
    chosen = named.selector(name, SERVER, traffic[0] if len(traffic) == 1 else "")
    return {
        "metadata": {"name": named.servers_name(name), "labels": named.labels(name, SERVER)},
        "spec": {
            "clusterIP": "None",
            "selector": {**chosen},
            "ports": [{"name": "grpc", "port": PORT, "targetPort": "grpc", "protocol": "TCP"}],
        },
    }


def _gateway_service(name: str, spec: EndpointSpec) -> Json:
    service = spec.gateway.service
    return {
        "metadata": {
            "name": name,
            "labels": named.labels(name, GATEWAY),
            "annotations": dict(service.annotations),
        },
        "spec": {
            "type": service.type,
            "selector": named.selector(name, GATEWAY),
            "ports": [
                {
                    "name": "grpc",
                    "port": service.port,
                    "targetPort": "grpc",
                    "protocol": "TCP",
                    "appProtocol": "grpc",
                }
            ],
        },
    }


def _budget(name: str, chosen: dict[str, str], marks: dict[str, str]) -> Json:
    """One pod at a time may be evicted, and always one: a budget of one server must not hold up a node's end."""
    return {
        "metadata": {"name": name, "labels": marks},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": chosen}},
    }


def _autoscaler(name: str, spec: EndpointSpec) -> Json:
    """It scales the endpoint, not a Deployment: those come and go with revisions."""
    scaling = spec.autoscaling
    assert scaling is not None
    metric: Json = (
        {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": scaling.target},
            },
        }
        if scaling.metric == "cpu"
        else {
            "type": "Pods",
            "pods": {
                "metric": {"name": "lta_serving_in_flight"},
                "target": {"type": "AverageValue", "averageValue": str(scaling.target)},
            },
        }
    )
    return {
        "metadata": {"name": name, "labels": named.labels(name, SERVER)},
        "spec": {
            "scaleTargetRef": {"apiVersion": ENDPOINT.api_version, "kind": ENDPOINT.kind, "name": name},
            "minReplicas": scaling.min,
            "maxReplicas": scaling.max,
            "metrics": [metric],
        },
    }


def _spread(template: Json, chosen: dict[str, str]) -> Json:
    """Over nodes where that is possible."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": chosen},
    }
    return {**template, "spec": {"topologySpreadConstraints": [spread], **template["spec"]}}
