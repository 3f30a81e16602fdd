"""/healthz and /readyz: that the event loop turns, that no pass hangs, and that the watches have listed.

Kubernetes restarts a process that fails /healthz. A replica that waits for the Lease is healthy and ready: it is ready
to take over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

_BEAT = 1.0  # seconds
_STILL = (
    60.0  # seconds without a beat: something blocks the event loop, and it is not a thousand events at once
)
_LONGEST_PASS = 600.0  # seconds; every call of a pass has a deadline well below


class Health:
    """`longest_pass` tells how long the slowest pass has been under way; `acting`, whether this replica holds the
    Lease, and `synced`, whether its watches have listed what there is."""

    def __init__(
        self,
        *,
        longest_pass: Callable[[], float],
        acting: Callable[[], bool],
        synced: Callable[[], bool],
    ) -> None:
        self._longest_pass, self._acting, self._synced = longest_pass, acting, synced
        self._beat = time.monotonic()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, *, host: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(_BEAT)

    async def _healthz(self, request: web.Request) -> web.Response:
        faults = []
        if time.monotonic() - self._beat > _STILL:
            faults.append("the event loop stood still")
        if self._longest_pass() > _LONGEST_PASS:
            faults.append("a pass over an object hangs")
        return _answer(faults)

    async def _readyz(self, request: web.Request) -> web.Response:
        waiting = self._acting() and not self._synced()
        return _answer(["the watches have not listed yet"] if waiting else [])


def _answer(faults: list[str]) -> web.Response:
    return web.Response(status=503 if faults else 200, text="; ".join(faults) or "ok")
