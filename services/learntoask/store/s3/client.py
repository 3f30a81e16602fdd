"""Creation of the S3 client, with timeouts on all sockets and verified certificates. `retry` does the retries."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import certifi
from minio import Minio
from minio.credentials import Provider
from urllib3 import PoolManager, ProxyManager, Retry, Timeout, make_headers
from urllib3.util import parse_url

from learntoask.core.errors import InputError
from learntoask.core.network.proxy import proxy_for
from learntoask.store.s3.endpoint import S3Endpoint

_SOCKET_SECONDS = 60.0  # longest time without data; also the longest time to send one part
_CONNECTIONS = 16


def connect(endpoint: S3Endpoint, credentials: Provider, *, pool: PoolManager) -> Minio:
    """Return the client. No request is sent yet. Raises InputError for an endpoint that it refuses."""
    try:
        return Minio(
            endpoint.host,
            secure=endpoint.secure,
            region=endpoint.region,
            credentials=credentials,
            http_client=pool,
        )
    except ValueError as error:
        raise InputError(f"the store's endpoint {endpoint.url!r}: {error}") from error


def connection_pool(
    url: str,
    environment: Mapping[str, str],
    *,
    ca: Path | None = None,
    seconds: float | None = None,
    retries: Retry | bool = False,
) -> PoolManager:
    """Return connections for requests to `url`, through the proxy that `environment` names for it.

    `seconds` is the longest time without data. Raises InputError for an invalid certificate file or proxy.
    """
    parts, seconds = parse_url(url), seconds or _SOCKET_SECONDS
    settings = {
        "timeout": Timeout(connect=seconds, read=seconds),
        "maxsize": _CONNECTIONS,
        "retries": retries,
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": _authorities(ca),
    }
    proxy = proxy_for(parts.scheme or "https", parts.host or "", environment)
    if proxy is None:
        return PoolManager(**settings)
    login = parse_url(proxy).auth
    return ProxyManager(
        proxy, proxy_headers=make_headers(proxy_basic_auth=login) if login else None, **settings
    )


def _authorities(ca: Path | None) -> str:
    if ca is None:
        return certifi.where()
    try:
        ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"the authority file {ca} cannot be used: {error}; it must be PEM") from error
    return str(ca)
