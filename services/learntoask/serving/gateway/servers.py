"""The policy servers there are: found by name, watched through their health service, each behind a channel."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from learntoask.rpc.channels import Tls, open_channel
from learntoask.rpc.logs import LOGGER
from learntoask.serving.gateway import routing as traffic
from learntoask.serving.gateway.metrics import Metrics
from learntoask.serving.gateway.resolver import Found, resolve
from learntoask.serving.gateway.routing import Standing
from learntoask.wire import ask_pb2 as wire
from learntoask.wire.ask_pb2_grpc import AskServiceStub

_SERVICE = wire.DESCRIPTOR.services_by_name["AskService"].full_name
_WATCH_AGAIN_SECONDS = 0.5
_LAST_ANSWERS_SECONDS = 60.0  # a server that left the list finishes what it was asked
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),  # a restarted server is found soon
    ("grpc.keepalive_time_ms", 20_000),  # finds servers whose machine is gone; they allow a ping every 10 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    (
        "grpc.use_local_subchannel_pool",
        1,
    ),  # a channel of two gateways in one process would share its back-off
)


class Server:
    """One policy server. `standing` is replaced, never changed."""

    def __init__(self, address: str, *, tls: Tls | None, changed: asyncio.Condition) -> None:
        self.address = address
        self.standing = Standing()
        self._channel = open_channel(address, tls=tls, options=_OPTIONS)
        self.stub = AskServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        self._changed = changed
        self._watching = asyncio.create_task(self._watch())

    def begin(self) -> None:
        self.standing = replace(self.standing, in_flight=self.standing.in_flight + 1)

    def end(self) -> None:
        self.standing = replace(self.standing, in_flight=self.standing.in_flight - 1)

    def succeeded(self) -> None:
        self.standing = traffic.after_success(self.standing)

    def failed(self) -> None:
        before, self.standing = (
            self.standing,
            traffic.after_failure(self.standing, now=time.monotonic()),
        )
        if self.standing.ejected_until > before.ejected_until:
            LOGGER.warning(
                "server ejected",
                extra={"fields": {"server": self.address, "failures": self.standing.failures}},
            )

    def gone(self) -> None:
        """It could not be reached: nothing more is asked of it until its health is heard anew."""
        self.failed()
        if self.standing.serving:
            self.standing = replace(self.standing, serving=False)
            self._watching.cancel()
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        async with asyncio.timeout(_LAST_ANSWERS_SECONDS + 1):
            await self._channel.close(_LAST_ANSWERS_SECONDS if self.standing.in_flight else None)

    async def _watch(self) -> None:
        """Follow what the server says about itself, as long as it is known."""
        stub = health_pb2_grpc.HealthStub(self._channel)
        request = health_pb2.HealthCheckRequest(service=_SERVICE)
        while True:
            with suppress(grpc.aio.AioRpcError):
                async for update in stub.Watch(request):
                    await self._set(serving=update.status == health_pb2.HealthCheckResponse.SERVING)
            await self._set(serving=False)
            await asyncio.sleep(_WATCH_AGAIN_SECONDS)

    async def _set(self, *, serving: bool) -> None:
        if serving == self.standing.serving:
            return
        self.standing = replace(self.standing, serving=serving)
        LOGGER.info("server", extra={"fields": {"server": self.address, "serving": serving}})
        async with self._changed:
            self._changed.notify_all()


class Servers:
    """`start`, then `close`. Make it inside the event loop that uses it."""

    def __init__(
        self, names: tuple[str, ...], *, tls: Tls | None, resolve_seconds: float, metrics: Metrics
    ) -> None:
        self._names = names
        self._tls = tls
        self._resolve_seconds = resolve_seconds
        self._metrics = metrics
        self._servers: dict[str, Server] = {}
        self._changed = asyncio.Condition()
        self._closing: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None

    async def start(self, *, patience: float) -> None:
        """Look for servers; returns when one serves, or after `patience` seconds."""
        self._take(await resolve(self._names))
        self._following = asyncio.create_task(self._follow())
        end = time.monotonic() + patience
        while not any(self.states()) and (left := end - time.monotonic()) > 0:
            await self.change(left)

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        self._take(Found(frozenset(), True), keep_serving=False)
        await asyncio.gather(*self._closing)

    def states(self) -> list[bool]:
        return [server.standing.serving for server in self._servers.values()]

    def choose(self, conversation: str, tried: set[str]) -> Server | None:
        """See traffic.choose."""
        address = traffic.choose(
            ((address, server.standing) for address, server in self._servers.items()),
            conversation=conversation,
            tried=tried,
            now=time.monotonic(),
        )
        return None if address is None else self._servers[address]

    async def change(self, seconds: float) -> None:
        """Wait until a server comes, goes, or says something else about itself; `seconds` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._resolve_seconds)
            self._take(await resolve(self._names))

    def _take(self, found: Found, *, keep_serving: bool = True) -> None:
        """Servers as they were found. One that is healthy outlives a name server that knows no name any more: better
        a server too many than none."""
        for address in sorted(found.addresses - self._servers.keys()):
            self._servers[address] = Server(address, tls=self._tls, changed=self._changed)
        if not found.certain:
            return
        for address in sorted(self._servers.keys() - found.addresses):
            if not found.addresses and keep_serving and self._servers[address].standing.serving:
                continue
            task = asyncio.create_task(self._servers.pop(address).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._metrics.forget(address)
