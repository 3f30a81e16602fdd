"""A server as a process that ends when it is told to, or inside this one, in a thread of its own."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Protocol, TypeVar

import uvloop

from learntoask.rpc.logs import structured_logs


class Server(Protocol):
    @property
    def address(self) -> str:
        """`host:port`, once it is made."""

    async def start(self) -> None: ...

    async def drain(self) -> None: ...


Made = TypeVar("Made", bound=Server)


async def serve(
    make: Callable[[], Awaitable[Made]],
    *,
    ready: Callable[[str], None] | None = None,
    reload: Callable[[Made], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `ready` is told the address, `reload` called on SIGHUP.

    Raises what `make` raises, and what `reload` raises, once the server is drained.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await make()
    await server.start()
    gc.freeze()  # model and libraries stay: the collector need not walk them while calls wait
    if ready:
        ready(server.address)
    reloading: list[asyncio.Task[None]] = []
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, lambda: reloading.append(_reloading(reload(server), stop)))
    await stop.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # a second one ends the process at once
    await server.drain()
    for task in reloading:
        if task.done():
            task.result()


def _reloading(work: Awaitable[None], stop: asyncio.Event) -> asyncio.Task[None]:
    """`work` as a task; when it fails the server is of no use any more."""

    async def watched() -> None:
        try:
            await work
        except BaseException:
            stop.set()
            raise

    return asyncio.create_task(watched())


def run(
    make: Callable[[], Awaitable[Made]],
    *,
    log_level: str,
    ready: Callable[[str], None] | None = None,
    reload: Callable[[Made], Awaitable[None]] | None = None,
) -> None:
    """The whole process, logs and all."""
    with structured_logs(level=log_level):
        uvloop.run(serve(make, ready=ready, reload=reload))  # gRPC goes round the loop five times a call


@contextmanager
def in_thread(make: Callable[[], Awaitable[Made]], *, name: str) -> Iterator[Made]:
    """A started server, drained when the block ends. Raises what `make` raises."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()

    async def started() -> Made:
        server = await make()
        await server.start()
        return server

    try:
        server = asyncio.run_coroutine_threadsafe(started(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.drain(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
