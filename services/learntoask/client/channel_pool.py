"""Channels to one or more servers, one of which is current."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from learntoask.core.errors import InputError
from learntoask.rpc.channels import Tls, authorization, open_channel
from learntoask.wire.ask_pb2_grpc import AskServiceStub


class ChannelPool:
    """Opens the channel to an address when it is first needed."""

    def __init__(self, addresses: str | Sequence[str], *, token: str | None, tls: Tls | None) -> None:
        self.addresses = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        if not self.addresses:
            raise InputError("no address of a policy server given (host:port)")
        self.metadata = authorization(token)
        self._tls = tls
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._current = 0

    def stub(self) -> AskServiceStub:
        """Return a stub of the current address."""
        address = self.addresses[self._current]
        if address not in self._channels:
            self._channels[address] = open_channel(address, tls=self._tls)
        return AskServiceStub(self._channels[address])  # type: ignore[no-untyped-call]  # generated

    def move_on(self) -> None:
        """Make the next address the current one."""
        self._current = (self._current + 1) % len(self.addresses)

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()
