"""Renders what the pods of policy servers and gateways share: ports, mounts, and how they shut down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec, PolicyReference
from learntoask.core.pod_contract import CLAIMS_FOLDER, CONFIGURATION_FOLDER, LTA_HOME, WORK_FOLDER

from learntoask_operator.render.pod_template import pod_template
from learntoask_operator.render.store import store_volumes
from learntoask_operator.render.tracing import tracing_environment
from learntoask_operator.render.volumes import MountedVolume, claims_of, config_map, metrics_token, mount_at
from learntoask_operator.settings import Settings

PORT, METRICS_PORT = 50051, 9090
HEALTH_PORT = 50050  # of pods whose PORT speaks TLS, which the kubelet's probes do not
DRAIN = 30  # seconds to finish answers
_LAST = 15  # seconds for records and logs after the last answer
TOKEN_FOLDER = f"{CONFIGURATION_FOLDER}/token"
_PACK = f"{CONFIGURATION_FOLDER}/pack"


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """Once told to end, a pod takes new calls for `pre_stop` seconds, and then has `drain` seconds to answer them."""

    pre_stop: int
    drain: int


def endpoint_template(
    container: Json,
    mounts: Iterable[MountedVolume],
    environment: Mapping[str, str | Json],
    *,
    probes: Mapping[str, Json],
    tls: bool,
    shutdown: Shutdown,
    work: str,
    settings: Settings,
) -> Json:
    """A pod template with gRPC and metrics ports, a folder to work in of size `work`, and an orderly shutdown.

    `container` has name, image, command and resources; `probes` are its probes without what they call. With `tls` its
    port speaks TLS, and the probes call another one.
    """
    health = HEALTH_PORT if tls else PORT
    probed = {name: {"grpc": {"port": health}, **probe} for name, probe in probes.items()}
    tls_ports = [{"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"}] if tls else []
    scratch = [
        mount_at({"name": "work", "emptyDir": {"sizeLimit": work}}, WORK_FOLDER, read_only=False),
        mount_at({"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}, "/tmp", read_only=False),
    ]
    return pod_template(
        {
            **container,
            **probed,
            "ports": [
                *tls_ports,
                {"name": "grpc", "containerPort": PORT, "protocol": "TCP"},
                {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            ],
            "lifecycle": {"preStop": {"sleep": {"seconds": shutdown.pre_stop}}},
        },
        # One claim may hold store, model and pack.
        [*scratch, *metrics_token(settings), *_distinct(mounts)],
        # PyTorch names its caches by USER, and fails for a user that only has a number.
        {
            LTA_HOME: WORK_FOLDER,
            "HOME": WORK_FOLDER,
            "USER": "learntoask",
            **environment,
            **tracing_environment(settings, calls=True),
        },
        grace=shutdown.pre_stop + shutdown.drain + _LAST,
        settings=settings,
    )


def variables(prefix: str, **values: object) -> dict[str, str]:
    """Environment variables for the values that are not None; booleans and lists are written as servers read them."""
    return {prefix + name: _text(value) for name, value in values.items() if value is not None}


def store_mounts(spec: EndpointSpec, settings: Settings) -> list[MountedVolume]:
    return [*store_volumes(spec, settings), *claims_of([spec.store.uri or settings.store_uri])]


def secret_mount(secret: str, path: str, *, volume: str) -> MountedVolume:
    return mount_at({"name": volume, "secret": {"secretName": secret}}, path, read_only=True)


def token_mounts(secret: str | None) -> list[MountedVolume]:
    """The bearer token that callers must show, if there is one."""
    return [secret_mount(secret, TOKEN_FOLDER, volume="token")] if secret else []


def pack_source(policy: PolicyReference) -> tuple[list[str], list[MountedVolume]]:
    """Arguments and mounts for the domain pack of a policy that no run has published."""
    if policy.pack is None:
        return [], []
    uri = policy.pack.uri
    if uri.startswith("configMap:"):
        name, _, key = uri.removeprefix("configMap:").partition("/")
        return ["--pack", f"{_PACK}/{key}"], [config_map(name, _PACK, volume="pack")]
    if uri.startswith("pvc:"):
        path, claim = claim_source(uri)
        return ["--pack", path], [claim]
    return ["--pack", uri], []


def claim_source(uri: str) -> tuple[str, MountedVolume]:
    """Path and read-only mount of `pvc:claim/path`."""
    claim, _, path = uri.removeprefix("pvc:").partition("/")
    folder = f"{CLAIMS_FOLDER}/{claim}"
    volume = {"name": f"claim-{claim}"[:63], "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return f"{folder}/{path}", mount_at(volume, folder, read_only=True)


def _distinct(mounts: Iterable[MountedVolume]) -> list[MountedVolume]:
    """The last mount of each volume name."""
    return list({mount.volume["name"]: mount for mount in mounts}.values())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "\n".join(map(str, value))
    return str(value)
