"""Renders the pod template of a gateway."""

from __future__ import annotations

from learntoask.core import pod_contract as contract
from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec, PolicyReference, seconds

from learntoask_operator.endpoint.labels import canary_name, rollout_name, servers_name
from learntoask_operator.endpoint.render.pods import (
    DRAIN,
    HEALTH_PORT,
    METRICS_PORT,
    PORT,
    TOKEN_FOLDER,
    Shutdown,
    endpoint_template,
    pack_source,
    secret_mount,
    store_mounts,
    token_mounts,
    variables,
)
from learntoask_operator.render.override import override_template
from learntoask_operator.render.store import store_environment
from learntoask_operator.render.volumes import (
    MountedVolume,
    metrics_token_file,
    mount_at,
    progress_authority,
    progress_authority_file,
    progress_token,
)
from learntoask_operator.settings import Settings

_TLS, _CLIENTS = f"{contract.CONFIGURATION_FOLDER}/tls", f"{contract.CONFIGURATION_FOLDER}/clients"
_ROLLOUT = f"{contract.CONFIGURATION_FOLDER}/rollout"
_SERVERS = f"{contract.CONFIGURATION_FOLDER}/servers"
# Callers keep connections for hours, and no Service moves a connection. Asked to reconnect this often, they have all
# left a pod that was told to end before it stops taking calls, and they find pods that were added.
_RECONNECT = 30  # seconds
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def gateway_template(body: Json, policy: PolicyReference, spec: EndpointSpec, settings: Settings) -> Json:
    """The pod template of the gateways of the endpoint `body`, without labels; `policy` has the domain pack."""
    access = spec.gateway.access
    arguments, mounts = pack_source(policy)
    if access.tls_secret:
        mounts.append(secret_mount(access.tls_secret, _TLS, volume="tls"))
    if access.client_authority_secret:
        mounts.append(secret_mount(access.client_authority_secret, _CLIENTS, volume="clients"))
    if spec.servers.tls:
        mounts.append(_authority(spec.servers.tls.secret))
    if settings.progress_address:
        mounts += [progress_token(), *progress_authority(settings)]
    if spec.rollout.strategy.mode != "replace":
        mounts.append(_rollout(body["metadata"]["name"]))
    drain = max(seconds(spec.gateway.deadline), DRAIN)
    template = endpoint_template(
        {
            "name": "gateway",
            "image": settings.image,
            "command": ["lta", "gateway", *arguments],
            "resources": _RESOURCES,
        },
        [*mounts, *store_mounts(spec, settings), *token_mounts(access.token_secret)],
        {
            **_environment(body, spec, settings, drain=drain),
            **_operator(body, settings),
            **_tried(body, spec),
            **variables("", **{contract.LTA_PUBLICATION: policy.publication}),
            **store_environment(spec, settings),
        },
        # A node without spare processors delays answers by seconds, and a restart would make that worse.
        probes={
            "startupProbe": {"timeoutSeconds": 5, "periodSeconds": 2, "failureThreshold": 60},
            "readinessProbe": {"timeoutSeconds": 5, "periodSeconds": 5, "failureThreshold": 2},
            "livenessProbe": {"timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 6},
        },
        tls=access.tls_secret is not None,
        shutdown=Shutdown(pre_stop=_RECONNECT + 10, drain=drain),  # gRPC adds up to a tenth to _RECONNECT
        work="10Gi",
        settings=settings,
    )
    return override_template(template, spec.pods.gateway)


def _authority(secret: str) -> MountedVolume:
    """The authority of the servers' certificate, without their key."""
    source = {"secretName": secret, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return mount_at({"name": "servers", "secret": source}, _SERVERS, read_only=True)


def _rollout(name: str) -> MountedVolume:
    """The rollout, which exists once a policy is tried. Gateways hear of changes from the operator at once, and from
    here within a minute."""
    source = {"name": rollout_name(name), "optional": True}
    return mount_at({"name": "rollout", "configMap": source}, _ROLLOUT, read_only=True)


def _tried(body: Json, spec: EndpointSpec) -> dict[str, str]:
    """Where a gateway finds a policy that is tried, if the endpoint tries policies."""
    if spec.rollout.strategy.mode == "replace":
        return {}
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    return variables(
        "LTA_GATEWAY_",
        CANARY=f"{canary_name(name)}.{namespace}.svc:{PORT}",
        ROLLOUT=f"{_ROLLOUT}/{contract.ROLLOUT_FILE}",
    )


def _operator(body: Json, settings: Settings) -> dict[str, str]:
    """Where a gateway tells the operator what it sees, and learns of new servers."""
    if not settings.progress_address:
        return {}
    return variables(
        "LTA_GATEWAY_",
        OPERATOR=settings.progress_address,
        OPERATOR_TOKEN=contract.TOKEN_FILE,
        OPERATOR_CA=progress_authority_file(settings),
        ENDPOINT=body["metadata"]["name"],
    )


def _environment(body: Json, spec: EndpointSpec, settings: Settings, *, drain: int) -> dict[str, str]:
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    gateway, access, records = spec.gateway, spec.gateway.access, spec.gateway.records
    default_records = f"{(spec.store.uri or settings.store_uri).rstrip('/')}/records/{namespace}/{name}"
    token = f"{TOKEN_FOLDER}/token" if access.token_secret else None
    servers, tls = f"{servers_name(name)}.{namespace}.svc", spec.servers.tls
    return variables(
        "LTA_GATEWAY_",
        HOST="0.0.0.0",
        PORT=PORT,
        METRICS_PORT=METRICS_PORT,
        METRICS_TOKEN_FILE=metrics_token_file(settings),
        SERVERS=f"{servers}:{PORT}",
        SERVER_CA=f"{_SERVERS}/ca.crt" if tls else None,
        SERVER_NAME=servers if tls else None,
        SERVER_PLAIN_TEXT=True if tls and not tls.required else None,
        HEALTH_PORT=HEALTH_PORT if access.tls_secret else None,
        DEADLINE_SECONDS=seconds(gateway.deadline),
        DRAIN_SECONDS=drain,
        MAX_CONNECTION_SECONDS=_RECONNECT,
        ATTEMPT_SECONDS=seconds(gateway.attempt),
        MAX_IN_FLIGHT=gateway.max_in_flight,
        FALLBACK=gateway.fallback.mode,
        TOKEN_FILE=token,
        SERVER_TOKEN_FILE=token,
        TLS_CERTIFICATE=f"{_TLS}/tls.crt" if access.tls_secret else None,
        TLS_KEY=f"{_TLS}/tls.key" if access.tls_secret else None,
        TLS_CLIENT_CA=f"{_CLIENTS}/ca.crt" if access.client_authority_secret else None,
        RECORDS=f"{contract.WORK_FOLDER}/records" if records.enabled else None,
        RECORDS_URI=(records.uri or default_records) if records.enabled else None,
        RECORDS_SECONDS=seconds(records.interval) if records.enabled else None,
        REDACT=records.redact if records.enabled and records.redact else None,
    )
