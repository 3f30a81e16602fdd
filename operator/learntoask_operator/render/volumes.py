"""Renders what pods mount: configuration, keys of the store, claims and ConfigMaps that addresses name, scratch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import (
    CLAIMS_FOLDER,
    CONFIGURATION_FOLDER,
    PROGRESS_AUDIENCE,
    TOKEN_FOLDER,
    TOKEN_NAME,
    WORK_FOLDER,
)

from learntoask_operator.settings import Settings

STORE, AUTHORITY = "/etc/learntoask-store", "/etc/learntoask-authority"
_PROGRESS_AUTHORITY = "/etc/learntoask-operator"
_METRICS_TOKEN = "/etc/learntoask-metrics"
CONFIG_MAPS_FOLDER = "/etc/learntoask-config-maps"


@dataclass(frozen=True, kw_only=True)
class MountedVolume:
    """A volume, and its mount in the container."""

    volume: Json
    mount: Json


def mount_at(volume: Json, path: str, *, read_only: bool) -> MountedVolume:
    mount = {"name": volume["name"], "mountPath": path, **({"readOnly": True} if read_only else {})}
    return MountedVolume(volume=volume, mount=mount)


def config_map(name: str, path: str, *, volume: str) -> MountedVolume:
    return mount_at({"name": volume, "configMap": {"name": name}}, path, read_only=True)


def configuration(name: str) -> MountedVolume:
    """The ConfigMap with the run's manifest."""
    return config_map(name, CONFIGURATION_FOLDER, volume="configuration")


def secret(name: str, path: str, *, volume: str) -> MountedVolume:
    source = {"secretName": name, "defaultMode": 0o440}
    return mount_at({"name": volume, "secret": source}, path, read_only=True)


def claim(name: str) -> MountedVolume:
    """A persistent volume claim below LTA_CLAIMS. It is writable, because a store may lie on it."""
    volume = {"name": f"claim-{name}"[:63], "persistentVolumeClaim": {"claimName": name}}
    return mount_at(volume, f"{CLAIMS_FOLDER}/{name}", read_only=False)


def metrics_token(settings: Settings) -> list[MountedVolume]:
    """The token that scrapes of the pod must carry, if they need one."""
    name = settings.metrics_token_secret
    return [secret(name, _METRICS_TOKEN, volume="metrics-token")] if name else []


def metrics_token_file(settings: Settings) -> str | None:
    """Path of that token in the pod."""
    return f"{_METRICS_TOKEN}/token" if settings.metrics_token_secret else None


def progress_token() -> MountedVolume:
    """A token by which the operator knows which pod calls it. The API server does not accept it."""
    source = {
        "serviceAccountToken": {
            "audience": PROGRESS_AUDIENCE,
            "expirationSeconds": 3600,
            "path": TOKEN_NAME,
        }
    }
    volume = {"name": "progress-token", "projected": {"sources": [source], "defaultMode": 0o440}}
    return mount_at(volume, TOKEN_FOLDER, read_only=True)


def progress_authority(settings: Settings) -> list[MountedVolume]:
    """The authority of the operator's certificate, if pods speak TLS with it."""
    name = settings.progress_ca
    return [config_map(name, _PROGRESS_AUTHORITY, volume="progress-authority")] if name else []


def progress_authority_file(settings: Settings) -> str | None:
    """Path of that authority in the pod."""
    return f"{_PROGRESS_AUTHORITY}/ca.crt" if settings.progress_ca else None


def scratch() -> list[MountedVolume]:
    """Where a pod with a read-only root may write: /work, /tmp, and shared memory for data loaders and NCCL."""
    return [
        mount_at({"name": "work", "emptyDir": {}}, WORK_FOLDER, read_only=False),
        mount_at({"name": "tmp", "emptyDir": {}}, "/tmp", read_only=False),
        mount_at({"name": "shared-memory", "emptyDir": {"medium": "Memory"}}, "/dev/shm", read_only=False),
    ]


def claims_of(addresses: Iterable[str | None]) -> list[MountedVolume]:
    """The claims that `pvc:claim/path` addresses name, each once."""
    names = {
        address[4:].lstrip("/").partition("/")[0]
        for address in addresses
        if address and address.startswith("pvc:")
    }
    return [claim(name) for name in sorted(names)]


def config_maps_of(addresses: Iterable[str | None]) -> list[MountedVolume]:
    """The ConfigMaps that `configMap:name/key` addresses name, each once."""
    names = {
        address[10:].partition("/")[0]
        for address in addresses
        if address and address.startswith("configMap:")
    }
    return [
        config_map(name, f"{CONFIG_MAPS_FOLDER}/{name}", volume=f"map-{name}"[:63]) for name in sorted(names)
    ]
