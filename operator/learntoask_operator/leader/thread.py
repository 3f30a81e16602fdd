"""The Lease in a thread of its own, with a connection of its own.

A thousand objects that change at once keep the event loop busy for seconds between two turns of a task; on a processor
that others use too, for longer than a Lease lasts. Its renewal must not wait for them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from learntoask.kube import Kube

from learntoask_operator.leader.lease import Lease, LeaseLost

Connect = Callable[[], AbstractAsyncContextManager[Kube]]


class LeaseKeeper:
    """`acquire`, then `hold` while acting, then `release`, all from one event loop. `connect` opens a connection."""

    def __init__(self, connect: Connect, lease_on: Callable[[Kube], Lease]) -> None:
        self._connect, self._lease_on = connect, lease_on
        self._main = asyncio.get_running_loop()
        self._acquired: asyncio.Future[None] = self._main.create_future()
        self._lost: asyncio.Future[None] = self._main.create_future()
        self._inner: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._keep()), name="lease", daemon=True)

    async def acquire(self) -> None:
        """Return once this replica holds the Lease."""
        self._thread.start()
        await asyncio.shield(self._acquired)

    async def hold(self) -> None:
        """Wait until the Lease is lost. Raises LeaseLost."""
        await asyncio.shield(self._lost)

    async def release(self) -> None:
        """Give it back and end the thread."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._started.wait)
            if self._inner is not None:
                inner, stop = self._inner
                inner.call_soon_threadsafe(stop.set)
            await asyncio.to_thread(self._thread.join, 10)

    async def _keep(self) -> None:
        """In the thread."""
        stop = asyncio.Event()
        self._inner = (asyncio.get_running_loop(), stop)
        self._started.set()
        try:
            async with self._connect() as kube:
                lease = self._lease_on(kube)
                if not await _unless(stop, lease.acquire()):
                    return
                self._tell(self._acquired, None)
                if not await _unless(stop, lease.hold()):
                    await lease.release()
        except Exception as error:
            self._tell(self._acquired, error)
            self._tell(self._lost, error if isinstance(error, LeaseLost) else LeaseLost(str(error)))
        finally:
            self._inner = None

    def _tell(self, future: asyncio.Future[None], error: Exception | None) -> None:
        def tell() -> None:
            if not future.done():
                future.set_result(None) if error is None else future.set_exception(error)

        self._main.call_soon_threadsafe(tell)


async def _unless(stop: asyncio.Event, work: object) -> bool:
    """Whether `work` was done; False when it was stopped first."""
    doing = asyncio.ensure_future(work)  # type: ignore[arg-type]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return True
        return False
    finally:
        doing.cancel()
        stopping.cancel()
