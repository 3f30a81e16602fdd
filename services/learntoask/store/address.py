"""A store's address with all that is needed to open it but the credentials, so that it may stand in any file.

Every part is looked for in the environment (LTA_STORE…), then in the manifest, then in the variables that S3 tools
share (AWS_…).
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

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*://|pvc:|hf:|s3:)")
_KEY = re.compile(r"^[A-Za-z0-9!_.*'()/=+@, -]*$")


class StoreAddress(BaseModel):
    """`uri`: an absolute folder or `s3://bucket/prefix`. Paths are absolute: a stage runs in another folder."""

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
    """The store of a manifest in `folder`, or the one at `default` where nobody names one. Raises InputError."""

    def path(variable: str, written: str | None, *fallbacks: str) -> Path | None:
        found = environment.get(variable) or written or _first(environment, *fallbacks)
        return (folder / found.removeprefix("file:")).absolute() if found else None

    uri = environment.get("LTA_STORE") or store.uri
    return StoreAddress(
        uri=_uri(uri, folder) if uri else str(default.absolute()),
        endpoint=environment.get("LTA_STORE_ENDPOINT")
        or store.endpoint
        or _first(environment, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        region=environment.get("LTA_STORE_REGION")
        or store.region
        or _first(environment, "AWS_REGION", "AWS_DEFAULT_REGION"),
        credentials=path("LTA_STORE_CREDENTIALS", store.credentials.file),
        ca=path("LTA_STORE_CA", store.ca, "AWS_CA_BUNDLE"),
    )


def environment_store() -> StoreAddress:
    """The store that the environment names: of processes that have no manifest. Raises InputError."""
    here = Path.cwd()
    return address_of(StoreSettings(), folder=here, default=here / ".lta" / "store", environment=os.environ)


def bucket_and_key(uri: str, *, field: str) -> tuple[str, str]:
    """Bucket and key (no slash at its ends; may be empty) of an `s3://` address. Raises InputError naming `field`."""
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
            f"{field}: {uri!r} holds characters that S3 tools do not agree on; rename the object"
        )
    return parts.netloc, key


def _uri(uri: str, folder: Path) -> str:
    if uri.startswith("s3://"):
        bucket_and_key(uri, field="the store's address")
        return uri.rstrip("/")
    scheme = _SCHEME.match(path := uri.removeprefix("file:"))
    if scheme:
        raise InputError(
            f"the store's address: {scheme[0]} is no kind of store; give a folder or s3://bucket/prefix"
        )
    return str((folder / path).absolute())


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)
