"""The Lease in a thread and with a connection that nothing else uses.

A thousand objects that change at once keep the event loop busy for seconds between two turns of a task, and on a shared
processor for longer than a Lease is valid. Its renewal must not wait for them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager

from learntoask.kube import Kube

from learntoask_operator.leader.lease import Lease, LeaseLost

Connect = Callable[[], AbstractAsyncContextManager[Kube]]
"""Opens a connection to the API server."""


class LeaseThread:
    """`acquire`, then `hold` while acting, then `release`, all from one event loop.

    `connect` opens the thread's connection, and `lease_on` makes a Lease that uses it.
    """

    def __init__(self, connect: Connect, lease_on: Callable[[Kube], Lease]) -> None:
        self._connect, self._lease_on = connect, lease_on
        self._main = asyncio.get_running_loop()
        self._acquired: asyncio.Future[None] = self._main.create_future()
        self._lost: asyncio.Future[None] = self._main.create_future()
        self._inner: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="lease", daemon=True)

    async def acquire(self) -> None:
        """Return once this replica holds the Lease."""
        self._thread.start()
        await asyncio.shield(self._acquired)

    async def hold(self) -> None:
        """Wait until the Lease is lost. Raises LeaseLost."""
        await asyncio.shield(self._lost)

    async def release(self) -> None:
        """Give the Lease back and end the thread."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._started.wait)
            if self._inner is not None:
                inner, stop = self._inner
                inner.call_soon_threadsafe(stop.set)
            await asyncio.to_thread(self._thread.join, 10)

    async def _run(self) -> None:
        """The thread's work."""
        stop = asyncio.Event()
        self._inner = (asyncio.get_running_loop(), stop)
        self._started.set()
        try:
            async with self._connect() as kube:
                lease = self._lease_on(kube)
                if not await _run_until(stop, lease.acquire()):
                    return
                self._settle(self._acquired, None)
                if not await _run_until(stop, lease.hold()):
                    await lease.release()
        except Exception as error:
            self._settle(self._acquired, error)
            self._settle(self._lost, error if isinstance(error, LeaseLost) else LeaseLost(str(error)))
        finally:
            self._inner = None

    def _settle(self, future: asyncio.Future[None], error: Exception | None) -> None:
        """Settle a future of the main event loop from this thread, unless it is settled."""

        def settle() -> None:
            if not future.done():
                future.set_result(None) if error is None else future.set_exception(error)

        self._main.call_soon_threadsafe(settle)


async def _run_until(stop: asyncio.Event, work: Coroutine[object, object, None]) -> bool:
    """Run `work` until `stop` is set; True if it ended before."""
    doing = asyncio.ensure_future(work)
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
