"""The policy servers behind the gateway: watched through their health service, one channel each.

They are looked up by name, and the operator tells of them if there is one (`told`). A server of either source is one:
the operator is faster, and a look-up does not depend on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from learntoask.core.errors import InputError
from learntoask.rpc.channels import DIRECT, LASTING, ReadTls, Tls, open_channel
from learntoask.rpc.logs import LOGGER
from learntoask.serving.conversation import SERVICE
from learntoask.serving.gateway import routing
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.gateway.resolver import Resolution, resolve
from learntoask.serving.gateway.routing import BackendState
from learntoask.serving.gateway.stream import Asking

_WATCH_AGAIN_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 1.0  # between look-ups while no server serves
_LAST_ANSWERS_SECONDS = 60.0  # for the requests at a server that has left the list
_OPTIONS = (
    *DIRECT,  # servers are found by the addresses of their pods, which no NO_PROXY names
    *LASTING,
    ("grpc.max_reconnect_backoff_ms", 2000),  # a restarted server is found soon
    ("grpc.http2.max_pings_without_data", 0),
    # Channels of two gateways in one process would otherwise share connections and their back-off.
    ("grpc.use_local_subchannel_pool", 1),
)


class Backend:
    """One policy server, watched until `close`. `state` is immutable and replaced at each change.

    `trouble` says why the server could not be reached at the last attempt, if it could not. With `plain_text` a server
    that cannot be reached with `tls` is tried without it.
    """

    def __init__(
        self, address: str, *, tls: ReadTls | None, plain_text: bool, changed: asyncio.Condition
    ) -> None:
        self.address = address
        self.state = BackendState()
        self.trouble = ""
        self._tls, self._in_use, self._plain_text = tls, tls, plain_text
        self._changed = changed
        self._retired: set[asyncio.Task[None]] = set()
        self._connect()
        self._watching = asyncio.create_task(self._watch())

    def renew(self, tls: ReadTls) -> None:
        """Use other certificates from now on; requests that were sent are still answered."""
        self._tls = tls
        if self._in_use is not None:
            self._reconnect(tls)
            self._watching.cancel()
            self._watching = asyncio.create_task(self._watch())

    def _connect(self) -> None:
        self._channel = open_channel(self.address, tls=self._in_use, options=_OPTIONS)
        self.asking = Asking(self._channel)

    def _reconnect(self, tls: ReadTls | None) -> None:
        left, self._in_use = self._channel, tls
        self.asking.leave()
        self._connect()
        closing = asyncio.create_task(left.close(_LAST_ANSWERS_SECONDS if self.state.in_flight else None))
        self._retired.add(closing)
        closing.add_done_callback(self._retired.discard)

    def begin(self) -> None:
        """Count a request that is sent."""
        self.state = self.state._replace(in_flight=self.state.in_flight + 1)

    def end(self) -> None:
        """Count a request that is over."""
        self.state = self.state._replace(in_flight=self.state.in_flight - 1)

    def record_success(self) -> None:
        """Forget earlier failures."""
        self.state = routing.after_success(self.state)

    def record_failure(self) -> None:
        """Count a failure, which may eject the server for a while."""
        before, self.state = self.state, routing.after_failure(self.state, now=time.monotonic())
        if self.state.ejected_until > before.ejected_until:
            LOGGER.warning(
                "server ejected",
                extra={"fields": {"server": self.address, "failures": self.state.failures}},
            )

    def record_unreachable(self) -> None:
        """Count a failure and ask the server nothing more until its health service reports again."""
        self.record_failure()
        if self.state.serving:
            self.state = self.state._replace(serving=False)
            self._watching.cancel()
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching and close the channel once its requests are over, at the latest after a minute."""
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        self.asking.leave()
        async with asyncio.timeout(_LAST_ANSWERS_SECONDS + 1):
            await self._channel.close(_LAST_ANSWERS_SECONDS if self.state.in_flight else None)
            await asyncio.gather(*self._retired)

    async def _watch(self) -> None:
        """Keep `state.serving` equal to what the server's health service reports."""
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        while True:
            trouble = "the server does not serve"
            try:
                async for update in health_pb2_grpc.HealthStub(self._channel).Watch(request):
                    await self._set(serving=update.status == health_pb2.HealthCheckResponse.SERVING)
            except grpc.aio.AioRpcError as error:
                trouble = f"{error.code().name}: {error.details()}"
            await self._set(serving=False, trouble=trouble)
            if self._plain_text:
                self._reconnect(self._tls if self._in_use is None else None)
            await asyncio.sleep(_WATCH_AGAIN_SECONDS)

    async def _set(self, *, serving: bool, trouble: str = "") -> None:
        if trouble and self._plain_text and self._in_use is None:
            trouble = self.trouble or trouble  # what is wrong with TLS says more
        if serving == self.state.serving and trouble == self.trouble:
            return
        self.state, self.trouble = self.state._replace(serving=serving), trouble
        fields = {"server": self.address, "serving": serving, **({"why": trouble} if trouble else {})}
        LOGGER.info("server", extra={"fields": fields})
        async with self._changed:
            self._changed.notify_all()


class BackendPool:
    """All known policy servers. Construct it inside the event loop that runs it, `start` it, then `close` it."""

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        tls: Tls | None,
        plain_text: bool = False,
        resolve_seconds: float,
        metrics: GatewayMetrics,
    ) -> None:
        """`names` (`host:port`) are looked up every `resolve_seconds`. With `plain_text` servers may do without `tls`.

        Raises InputError if a file of `tls` cannot be read.
        """
        self._names = names
        self._tls = tls
        self._read_tls = tls.read() if tls else None
        self._plain_text = plain_text
        self._resolve_seconds = resolve_seconds
        self._metrics = metrics
        self._backends: dict[str, Backend] = {}
        self._found = Resolution(frozenset(), False)
        self._told: frozenset[str] = frozenset()
        self._told_again = False  # whether the operator would tell of a change
        self._changed = asyncio.Condition()
        self._closing: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None

    async def start(self, *, patience: float) -> None:
        """Look for servers, and return once one serves or after `patience` seconds."""
        await self._look_up()
        self._following = asyncio.create_task(self._follow())
        end = time.monotonic() + patience
        while not any(self.serving()) and (left := end - time.monotonic()) > 0:
            await self.change(left)

    async def close(self) -> None:
        """Close the channels to all servers."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        self._found, self._told = Resolution(frozenset(), True), frozenset()
        self._apply(keep_serving=False)
        await asyncio.gather(*self._closing)

    def serving(self) -> list[bool]:
        """Return for each known server whether it serves."""
        return [backend.state.serving for backend in self._backends.values()]

    @property
    def trouble(self) -> str:
        """Why a known server could not be reached, with its address; empty if none is known to be so."""
        found = ((address, backend.trouble) for address, backend in self._backends.items())
        return next((f"{address}: {trouble}" for address, trouble in found if trouble), "")

    def choose(self, conversation: str, tried: set[str]) -> Backend | None:
        """Return the server to ask next (see `routing.choose`)."""
        address = routing.choose(
            ((address, backend.state) for address, backend in self._backends.items()),
            conversation=conversation,
            tried=tried,
            now=time.monotonic(),
        )
        return None if address is None else self._backends[address]

    async def change(self, seconds: float) -> None:
        """Wait until a server begins or ceases to serve, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()

    def told(self, addresses: Iterable[str]) -> None:
        """Take the addresses (`ip:port`) of the servers from the operator, which will tell of changes too."""
        self._told, self._told_again = frozenset(addresses), True
        self._apply()

    def told_no_more(self) -> None:
        """The operator tells of no more changes: what it has told counts until a look-up finds servers."""
        self._told_again = False

    async def _follow(self) -> None:
        while True:
            pause = self._resolve_seconds
            await asyncio.sleep(pause if any(self.serving()) else min(pause, _LOOK_AGAIN_SECONDS))
            self._renew()
            await self._look_up()

    def _renew(self) -> None:
        """Read the files of `tls` again if they have changed, and use them for all servers."""
        if self._tls is None or self._read_tls is None or self._tls.versions == self._read_tls.versions:
            return
        try:
            self._read_tls = self._tls.read()
        except InputError as error:  # in the middle of a renewal, or removed
            LOGGER.warning("authority of servers kept", extra={"fields": {"error": str(error)}})
            return
        LOGGER.info("authority of servers renewed")
        for backend in self._backends.values():
            backend.renew(self._read_tls)

    async def _look_up(self) -> None:
        found = await resolve(self._names)
        self._found = found
        if found.complete and found.addresses and not self._told_again:
            self._told = frozenset()
        self._apply()

    def _apply(self, *, keep_serving: bool = True) -> None:
        """Add new servers and close those that are gone.

        If there is no address at all, keep the healthy servers already known: a server that has left costs a failed
        attempt, and no server costs every answer.
        """
        addresses = self._found.addresses | self._told
        for address in sorted(addresses - self._backends.keys()):
            self._backends[address] = Backend(
                address, tls=self._read_tls, plain_text=self._plain_text, changed=self._changed
            )
        if not self._found.complete:
            return
        for address in sorted(self._backends.keys() - addresses):
            if not addresses and keep_serving and self._backends[address].state.serving:
                continue
            task = asyncio.create_task(self._backends.pop(address).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._metrics.forget(address)
