"""A readers-writer lock for the policy: many decisions share it, a reload holds it alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PolicyLock:
    """Enter it with `async with` for each decision; `exclusive` waits for running decisions and blocks new ones.

    Decisions that arrive during a reload wait for its end, within their own deadlines.
    """

    def __init__(self) -> None:
        self._deciding = 0
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._changes = asyncio.Lock()

    async def __aenter__(self) -> None:
        while not self._open.is_set():
            await self._open.wait()
        self._deciding += 1
        self._idle.clear()

    async def __aexit__(self, *_: object) -> None:
        self._deciding -= 1
        if not self._deciding:
            self._idle.set()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Run the block while no decision runs. One block runs at a time."""
        async with self._changes:
            self._open.clear()
            try:
                await self._idle.wait()
                yield
            finally:
                self._open.set()
