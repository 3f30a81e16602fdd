"""What pods mount: configuration, the store's keys, claims and ConfigMaps that addresses name, and scratch space."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from learntoask.core.json_object import Json

CONFIGURATION, STORE, AUTHORITY = "/etc/learntoask", "/etc/learntoask-store", "/etc/learntoask-authority"
CLAIMS, CONFIG_MAPS = "/claims", "/etc/learntoask-config-maps"
TOKEN_FOLDER, TOKEN_FILE, AUDIENCE = "/var/run/secrets/learntoask/progress", "token", "learntoask-progress"


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """A volume and where the container sees it."""

    volume: Json
    mount: Json


def config_map(name: str, path: str, *, volume: str) -> Mounted:
    return _mounted({"name": volume, "configMap": {"name": name}}, path, read_only=True)


def secret(name: str, path: str, *, volume: str) -> Mounted:
    return _mounted(
        {"name": volume, "secret": {"secretName": name, "defaultMode": 0o440}}, path, read_only=True
    )


def claim(name: str) -> Mounted:
    """A persistent volume claim below LTA_CLAIMS. Writable: a store may lie there."""
    volume = {"name": f"claim-{name}"[:63], "persistentVolumeClaim": {"claimName": name}}
    return _mounted(volume, f"{CLAIMS}/{name}", read_only=False)


def progress_token() -> Mounted:
    """A token that says which pod this is, to the operator alone; it is no good at the API server."""
    source = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 3600, "path": TOKEN_FILE}}
    volume = {"name": "progress-token", "projected": {"sources": [source], "defaultMode": 0o440}}
    return _mounted(volume, TOKEN_FOLDER, read_only=True)


def scratch(*, memory: str | None = None) -> list[Mounted]:
    """Where a pod with a read-only root may write: /work, /tmp, and shared memory, which data loaders and NCCL use."""
    shared: Json = {"medium": "Memory", **({"sizeLimit": memory} if memory else {})}
    return [
        _mounted({"name": "work", "emptyDir": {}}, "/work", read_only=False),
        _mounted({"name": "tmp", "emptyDir": {}}, "/tmp", read_only=False),
        _mounted({"name": "shared-memory", "emptyDir": shared}, "/dev/shm", read_only=False),
    ]


def claims_of(addresses: Iterable[str | None]) -> list[Mounted]:
    """The claims that `pvc:claim/path` addresses name, each once."""
    names = {
        address[4:].lstrip("/").partition("/")[0]
        for address in addresses
        if address and address.startswith("pvc:")
    }
    return [claim(name) for name in sorted(names)]


def config_maps_of(addresses: Iterable[str | None]) -> list[Mounted]:
    """The ConfigMaps that `configMap:name/key` addresses name, each once."""
    names = {
        address[10:].partition("/")[0]
        for address in addresses
        if address and address.startswith("configMap:")
    }
    return [config_map(name, f"{CONFIG_MAPS}/{name}", volume=f"map-{name}"[:63]) for name in sorted(names)]


def _mounted(volume: Json, path: str, *, read_only: bool) -> Mounted:
    mount = {"name": volume["name"], "mountPath": path, **({"readOnly": True} if read_only else {})}
    return Mounted(volume=volume, mount=mount)
