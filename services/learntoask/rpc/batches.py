"""Messages of a stream that carry several items each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batches(Generic[Item]):
    """Sends items with `send`, one batch after the other. Items that come while one is sent share the next.

    `most` bounds a batch. `pause` returns the seconds for which a batch waits for more items; by default it is sent at
    once.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[None]],
        *,
        most: int,
        pause: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._send, self._most, self._pause = send, most, pause
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
                if (seconds := self._pause()) > 0:
                    await asyncio.sleep(seconds)
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._send(batch)
        finally:
            self._sending = None
