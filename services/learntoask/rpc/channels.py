"""Channels to a server with TLS and a bearer token: the client's side of `security`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from learntoask.core.errors import InputError

Option = tuple[str, int | str]
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

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises InputError if one cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.authority),
            private_key=_read(self.key),
            certificate_chain=_read(self.certificate),
        )


def open_channel(address: str, *, tls: Tls | None, options: Sequence[Option] = ()) -> grpc.aio.Channel:
    """Open a channel to `address` (host:port), in plain text if `tls` is None. Raises InputError as `Tls` does."""
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    name = [("grpc.ssl_target_name_override", tls.server_name)] if tls.server_name else []
    return grpc.aio.secure_channel(address, tls.credentials(), options=[*options, *name])


def authorization(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return call metadata with the bearer token, empty for None."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
