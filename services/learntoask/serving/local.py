"""A policy server inside this process, on a free loopback port: for the demo and for `lta chat` without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from learntoask.serving.config import ServeConfig
from learntoask.serving.process import load_parts
from learntoask.serving.server import PolicyServer


@contextmanager
def local_server(config: ServeConfig) -> Iterator[PolicyServer]:
    """A started server, drained when the block ends. Raises InputError where pack or policy cannot be loaded."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="policy-server", daemon=True)
    thread.start()

    async def started() -> PolicyServer:
        server = PolicyServer(config, await asyncio.to_thread(load_parts, config))
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
