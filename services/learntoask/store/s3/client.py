"""Creation of the S3 client, with timeouts on all sockets and verified certificates. `retry` does the retries."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import certifi
from minio import Minio
from minio.credentials import Provider
from urllib3 import PoolManager, Timeout

from learntoask.core.errors import InputError
from learntoask.store.address import StoreAddress

AMAZON = "https://s3.amazonaws.com"
_SOCKET_SECONDS = 60.0  # longest time without data; also the longest time to send one part
_CONNECTIONS = 16


def connect(address: StoreAddress, credentials: Provider) -> tuple[Minio, str]:
    """Return the client and the address of its endpoint. Raises InputError for an invalid endpoint or certificate file.

    No request is sent yet.
    """
    endpoint = address.endpoint or AMAZON
    parts = urlsplit(endpoint)
    if "@" in parts.netloc:
        raise InputError(
            "the store's endpoint must not carry credentials; give them in the environment or a file"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise InputError(f"the store's endpoint {endpoint!r} is not of the form https://host:port")
    pool = PoolManager(
        timeout=Timeout(connect=_SOCKET_SECONDS, read=_SOCKET_SECONDS),
        maxsize=_CONNECTIONS,
        retries=False,
        cert_reqs="CERT_REQUIRED",
        ca_certs=_authorities(address.ca),
    )
    try:
        client = Minio(
            parts.netloc,
            secure=parts.scheme == "https",
            region=address.region or (None if endpoint == AMAZON else "us-east-1"),
            credentials=credentials,
            http_client=pool,
        )
    except ValueError as error:
        raise InputError(f"the store's endpoint {endpoint!r}: {error}") from error
    return client, endpoint


def _authorities(ca: Path | None) -> str:
    if ca is None:
        return certifi.where()
    try:
        ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"the authority file {ca} cannot be used: {error}; it must be PEM") from error
    return str(ca)
