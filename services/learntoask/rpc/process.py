"""Runs a server as a process that ends on SIGTERM, or in a thread of this process."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

import uvloop

from learntoask.rpc.logs import structured_logs
from learntoask.rpc.server import GrpcServer
from learntoask.rpc.tracing import tracing

AnyServer = TypeVar("AnyServer", bound=GrpcServer)


async def serve(
    make: Callable[[], Awaitable[AnyServer]],
    *,
    ready: Callable[[str], None] | None = None,
    reload: Callable[[AnyServer], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `ready` gets the address; SIGHUP calls `reload`.

    Raises what `make` raises. After an exception from `reload` the server drains, then the exception is raised.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await make()
    await server.start()
    gc.freeze()  # model and libraries stay, so the collector need not walk them while calls wait
    if ready:
        ready(server.address)
    reloads: list[asyncio.Task[None]] = []
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, lambda: reloads.append(_start_reload(reload(server), stop)))
    await stop.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # a second signal ends the process at once
    await server.drain()
    for task in reloads:
        if task.done():
            task.result()


def _start_reload(work: Awaitable[None], stop: asyncio.Event) -> asyncio.Task[None]:
    """Run `work` in a task that sets `stop` if it fails, because the server cannot answer after that."""

    async def watched() -> None:
        try:
            await work
        except BaseException:
            stop.set()
            raise

    return asyncio.create_task(watched())


def run(
    make: Callable[[], Awaitable[AnyServer]],
    *,
    name: str = "learntoask",
    log_level: str,
    ready: Callable[[str], None] | None = None,
    reload: Callable[[AnyServer], Awaitable[None]] | None = None,
) -> None:
    """Run `serve` on an event loop, with structured logs on standard error. `name` is the server's in traces."""
    with structured_logs(level=log_level), tracing(name):
        uvloop.run(serve(make, ready=ready, reload=reload))  # gRPC goes round the loop five times a call


@contextmanager
def in_thread(make: Callable[[], Awaitable[AnyServer]], *, name: str) -> Iterator[AnyServer]:
    """Start a server in a thread and drain it when the block ends. Raises what `make` raises."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()

    async def start() -> AnyServer:
        server = await make()
        await server.start()
        return server

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.drain(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
