"""How a pod reaches the store: its address as variables, keys and authority as mounted files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from learntoask.core.manifest import Store

from learntoask_operator.render.volumes import AUTHORITY, STORE, config_map
from learntoask_operator.render.volumes import secret as secret_volume
from learntoask_operator.settings import Settings

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StoreAccess:
    """Parts of a pod: variables and mounts of a container, volumes of the pod."""

    env: list[Json]
    mounts: list[Json]
    volumes: list[Json]


def store_access(store: Store, settings: Settings) -> StoreAccess:
    """What the manifest leaves out is the operator's own store, whose keys and authority lie in every namespace that
    uses it."""
    own = store.uri is None
    address = {
        "LTA_STORE": store.uri or settings.store_uri,
        "LTA_STORE_ENDPOINT": store.endpoint or settings.store_endpoint,
        "LTA_STORE_REGION": store.region or settings.store_region,
    }
    secret = store.credentials.secret or settings.store_credentials
    authority = settings.store_ca if own or not store.endpoint else ""
    env = [{"name": name, "value": value} for name, value in address.items() if value]
    mounted = []
    if secret:
        env.append({"name": "LTA_STORE_CREDENTIALS", "value": STORE})
        mounted.append(secret_volume(secret, STORE, volume="store"))
    if authority:
        env.append({"name": "LTA_STORE_CA", "value": f"{AUTHORITY}/ca.crt"})
        mounted.append(config_map(authority, AUTHORITY, volume="store-authority"))
    return StoreAccess(
        env=env, mounts=[one.mount for one in mounted], volumes=[one.volume for one in mounted]
    )
