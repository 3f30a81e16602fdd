"""Messages of a stream that carry several items each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batches(Generic[Item]):
    """Sends items with `send`, one batch after the other. Items that come while one is sent share the next.

    Nothing waits for a batch to fill: alone, an item is sent at once. `most` bounds a batch.
    """

    def __init__(self, send: Callable[[list[Item]], Awaitable[None]], *, most: int) -> None:
        self._send, self._most = send, most
        self._waiting: list[Item] = []
        self._sending: asyncio.Task[None] | None = None

    def put(self, item: Item) -> None:
        """Send `item` soon."""
        self._waiting.append(item)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())

    async def sent(self) -> None:
        """Wait until all items are sent."""
        if self._sending is not None:
            await self._sending

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._send(batch)
        finally:
            self._sending = None
