"""Channels to one or more servers, and which one is next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from learntoask.core.errors import InputError
from learntoask.wire.ask_pb2_grpc import AskServiceStub


@dataclass(frozen=True)
class Tls:
    """PEM files. `authority` None trusts the system's; `certificate` and `key` identify the client (mTLS).

    `server_name` overrides the name that the server's certificate must carry.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.authority),
            private_key=_read(self.key),
            certificate_chain=_read(self.certificate),
        )


class Connections:
    """One channel an address, made when it is first needed."""

    def __init__(self, addresses: str | Sequence[str], *, token: str | None, tls: Tls | None) -> None:
        self.addresses = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        if not self.addresses:
            raise InputError("no address of a policy server given (host:port)")
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._tls = tls
        self._credentials = tls.credentials() if tls else None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._at = 0

    def stub(self) -> AskServiceStub:
        address = self.addresses[self._at]
        if address not in self._channels:
            self._channels[address] = self._channel(address)
        return AskServiceStub(self._channels[address])  # type: ignore[no-untyped-call]  # generated

    def move_on(self) -> None:
        """Use the next address from now on."""
        self._at = (self._at + 1) % len(self.addresses)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    def _channel(self, address: str) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(address)
        name = self._tls.server_name if self._tls else None
        options = [("grpc.ssl_target_name_override", name)] if name else []
        return grpc.aio.secure_channel(address, self._credentials, options=options)


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
