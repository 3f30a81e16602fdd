"""The address of a store: everything that is needed to open it except the credentials, so that it may be written down.

Each part is read from the environment (LTA_STORE…), else from the manifest, else from the variables of S3 tools
(AWS_…).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from learntoask.core.errors import InputError
from learntoask.core.manifest import StoreSettings
from learntoask.core.manifest.address import BUCKET
from learntoask.core.pod_contract import (
    LTA_STORE,
    LTA_STORE_CA,
    LTA_STORE_CREDENTIALS,
    LTA_STORE_ENDPOINT,
    LTA_STORE_REGION,
)

_BUCKET = re.compile(f"^{BUCKET}$")
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*://|pvc:|hf:|s3:)")
_KEY = re.compile(r"^[A-Za-z0-9!_.*'()/=+@, -]*$")


class StoreAddress(BaseModel):
    """The address of a store. `uri` is an absolute folder or `s3://bucket/prefix`; `credentials` and `ca` are files.

    All paths are absolute, because stages run in other working directories.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    endpoint: str | None = None
    region: str | None = None
    credentials: Path | None = None
    ca: Path | None = None

    @property
    def is_s3(self) -> bool:
        return self.uri.startswith("s3://")


def address_of(
    store: StoreSettings, *, folder: Path, default: Path, environment: Mapping[str, str]
) -> StoreAddress:
    """Return the address of the store for a manifest in `folder`, or `default` if no store is configured.

    Raises InputError for an invalid address.
    """

    def path(variable: str, written: str | None, *fallbacks: str) -> Path | None:
        found = environment.get(variable) or written or _first(environment, *fallbacks)
        return (folder / found.removeprefix("file:")).absolute() if found else None

    uri = environment.get(LTA_STORE) or store.uri
    return StoreAddress(
        uri=_uri(uri, folder) if uri else str(default.absolute()),
        endpoint=environment.get(LTA_STORE_ENDPOINT)
        or store.endpoint
        or _first(environment, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        region=environment.get(LTA_STORE_REGION)
        or store.region
        or _first(environment, "AWS_REGION", "AWS_DEFAULT_REGION"),
        credentials=path(LTA_STORE_CREDENTIALS, store.credentials.file),
        ca=path(LTA_STORE_CA, store.ca, "AWS_CA_BUNDLE"),
    )


def environment_store() -> StoreAddress:
    """Return the store address for a process without a manifest, from the environment. Raises InputError."""
    here = Path.cwd()
    return address_of(StoreSettings(), folder=here, default=here / ".lta" / "store", environment=os.environ)


def bucket_and_key(uri: str, *, field: str) -> tuple[str, str]:
    """Split an `s3://` address into bucket and key. The key has no slash at its ends and may be empty.

    Raises InputError that names `field`.
    """
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise InputError(
            f"{field}: an address must not carry credentials; give them in the environment or a file"
        )
    key = uri.removeprefix("s3://").partition("/")[2].strip("/")
    if not _BUCKET.match(parts.netloc):
        raise InputError(f"{field}: {uri!r} names no bucket; write s3://bucket/prefix")
    if not _KEY.match(key) or "//" in key or {".", ".."} & set(key.split("/")):
        raise InputError(
            f"{field}: {uri!r} contains characters that S3 tools treat differently; rename the object"
        )
    return parts.netloc, key


def _uri(uri: str, folder: Path) -> str:
    if uri.startswith("s3://"):
        bucket_and_key(uri, field="the store's address")
        return uri.rstrip("/")
    scheme = _SCHEME.match(path := uri.removeprefix("file:"))
    if scheme:
        raise InputError(
            f"the store's address: {scheme[0]} is not a kind of store; give a folder or s3://bucket/prefix"
        )
    return str((folder / path).absolute())


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)
