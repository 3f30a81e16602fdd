"""Channels to a server with TLS and a bearer token: the client's side of `security`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from learntoask.core.errors import InputError
from learntoask.core.network.address import split_host_port
from learntoask.core.network.proxy import proxy_for
from learntoask.rpc.files import Versions, file_versions, read_file

Option = tuple[str, int | str]
DIRECT: tuple[Option, ...] = (("grpc.enable_http_proxy", 0),)
"""Options of a channel that never goes through a proxy."""
LASTING: tuple[Option, ...] = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.keepalive_time_ms", 20_000),  # our servers allow a ping every 10 s
    ("grpc.keepalive_timeout_ms", 5_000),
)
"""Options of a channel that stays open: it reconnects soon, and finds out that the machine of its server is gone."""
GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""Status codes of a server that is unreachable or shutting down.

CANCELLED is one of them because gRPC's C core cancels calls that arrive during shutdown (grpc/grpc#41785). A client
that cancels its own call never sees a status.
"""


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files. `certificate` and `key` identify the client (mTLS).

    `authority` None trusts the system's authorities. `server_name` overrides the name that the server's certificate
    must carry.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def read(self) -> ReadTls:
        """Read the files. Raises InputError if one cannot be read."""
        versions = self.versions
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_content(self.authority),
            private_key=_content(self.key),
            certificate_chain=_content(self.certificate),
        )
        return ReadTls(credentials=credentials, server_name=self.server_name, versions=versions)

    @property
    def versions(self) -> Versions:
        """What tells the files as they are now from those of before."""
        return file_versions((self.authority, self.certificate, self.key))


@dataclass(frozen=True, kw_only=True)
class ReadTls:
    """The content of the files of a `Tls`, which had these `versions`."""

    credentials: grpc.ChannelCredentials
    server_name: str | None
    versions: Versions

    def options(self) -> list[Option]:
        return [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []


def open_channel(
    address: str, *, tls: Tls | ReadTls | None, options: Sequence[Option] = ()
) -> grpc.aio.Channel:
    """Open a channel to `address` (host:port), in plain text if `tls` is None.

    It goes through the proxy of the environment if core.network.proxy says so. Raises InputError for a wrong address or
    proxy, and as `Tls` does.
    """
    options = [*proxy_options(address), *options]
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    found = tls.read() if isinstance(tls, Tls) else tls
    return grpc.aio.secure_channel(address, found.credentials, options=[*options, *found.options()])


def open_blocking_channel(address: str, *, tls: Tls | None, options: Sequence[Option] = ()) -> grpc.Channel:
    """Open a channel for calls from threads, as `open_channel` does."""
    options = [*proxy_options(address), *options]
    if tls is None:
        return grpc.insecure_channel(address, options=options)
    found = tls.read()
    return grpc.secure_channel(address, found.credentials, options=[*options, *found.options()])


def proxy_options(address: str, environment: Mapping[str, str] = os.environ) -> tuple[Option, ...]:
    """Return the options that make a channel to `address` use the proxy of `environment`, or none.

    Without them gRPC would read some of the variables itself, by another rule.
    """
    host, _ = split_host_port(address)
    proxy = proxy_for("https", host, environment)
    if proxy is None:
        return DIRECT
    if not proxy.startswith("http://"):
        raise InputError(
            f"gRPC can only use a proxy at an http:// address for {address}; exclude it in NO_PROXY"
        )
    return (("grpc.enable_http_proxy", 1), ("grpc.http_proxy", proxy))


def authorization(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return call metadata with the bearer token, empty for None. Raises InputError if no header can carry it."""
    if token and not (token.isascii() and token.isprintable()):
        raise InputError("the token has a line break or another character that is not printable ASCII")
    return (("authorization", f"Bearer {token}"),) if token else ()


def _content(path: Path | None) -> bytes | None:
    return None if path is None else read_file(path, "TLS")
