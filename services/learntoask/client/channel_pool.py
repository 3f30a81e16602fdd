"""Channels to one or more servers, one of which is current."""

from __future__ import annotations

import os
from collections.abc import Sequence

import grpc

from learntoask.client.types import CallFailed
from learntoask.core.errors import InputError
from learntoask.core.network.address import split_host_port
from learntoask.rpc.channels import Tls, authorization, open_channel
from learntoask.wire.ask_pb2_grpc import AskServiceStub

FORKED = CallFailed(
    "FAILED_PRECONDITION",
    "this process was forked from one with an open client, and gRPC does not work after such a fork. Open clients in "
    'the child only, or start processes with multiprocessing.get_context("spawn")',
)
_open: set[grpc.aio.Channel] = set()
_broken = False


def _after_fork() -> None:
    """Remember in a child that gRPC cannot be used: its threads stayed in the parent, and calls would wait for ever."""
    global _broken  # noqa: PLW0603 - a property of the process
    _broken = _broken or bool(_open)


os.register_at_fork(after_in_child=_after_fork)


class ChannelPool:
    """Opens the channel to an address when it is first needed."""

    def __init__(self, addresses: str | Sequence[str], *, token: str | None, tls: Tls | None) -> None:
        self.addresses = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        if not self.addresses:
            raise InputError("no address of a policy server given (host:port)")
        for address in self.addresses:
            split_host_port(address)
        self.metadata = authorization(token)
        self._tls = tls
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._current = 0

    def stub(self) -> AskServiceStub:
        """Return a stub of the current address. Raises CallFailed in a forked process."""
        if _broken:
            raise FORKED
        address = self.addresses[self._current]
        if address not in self._channels:
            channel = open_channel(address, tls=self._tls)
            self._channels[address] = channel
            _open.add(channel)
        return AskServiceStub(self._channels[address])  # type: ignore[no-untyped-call]  # generated

    def move_on(self) -> None:
        """Make the next address the current one."""
        self._current = (self._current + 1) % len(self.addresses)

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            _open.discard(channel)
            await channel.close()
        self._channels.clear()
