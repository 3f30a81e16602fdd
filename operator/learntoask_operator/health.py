"""Answers /healthz while the event loop runs and no reconcile hangs, and /readyz once all objects are listed.

Kubernetes restarts a process that fails /healthz. A replica that waits for the Lease is healthy and ready, since it is
ready to take over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web
from learntoask.core.network.address import listening_socket

_BEAT = 1.0  # seconds between two heartbeats of the event loop
# Seconds without a heartbeat that mean a blocked event loop. A thousand events at once delay one for less.
_MOST_SILENCE = 60.0
_LONGEST_RECONCILE = 600.0  # seconds; every call of a reconcile has a deadline well below


class Health:
    """Serves both probes.

    `longest_reconcile` returns the seconds that the slowest reconcile has taken so far, `acting` whether this replica
    holds the Lease, and `synced` whether its watches have listed all objects.
    """

    def __init__(
        self,
        *,
        longest_reconcile: Callable[[], float],
        acting: Callable[[], bool],
        synced: Callable[[], bool],
    ) -> None:
        self._longest_reconcile, self._acting, self._synced = longest_reconcile, acting, synced
        self._beat = time.monotonic()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, *, host: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, listening_socket(host, port)).start()
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
        if time.monotonic() - self._beat > _MOST_SILENCE:
            faults.append("the event loop is blocked")
        if self._longest_reconcile() > _LONGEST_RECONCILE:
            faults.append("the reconcile of an object hangs")
        return _response(faults)

    async def _readyz(self, request: web.Request) -> web.Response:
        waiting = self._acting() and not self._synced()
        return _response(["the watches have not listed all objects yet"] if waiting else [])


def _response(faults: list[str]) -> web.Response:
    return web.Response(status=503 if faults else 200, text="; ".join(faults) or "ok")
