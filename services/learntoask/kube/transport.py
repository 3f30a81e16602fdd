"""One HTTP call to the API server: its deadline, its repetition, and its refusals as errors.

Only here is anything tried again. A repeated POST is safe, since every object we create has a name of its own choosing:
where the first answer was lost, the second says AlreadyExists, which callers take for done.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from learntoask.core.backoff import Backoff
from learntoask.kube.access import ClusterAccess
from learntoask.kube.errors import Unavailable, kube_error

DEADLINE = 30.0  # seconds of one call, its repetitions included
_BACKOFF = Backoff(first=0.2, longest=5.0)
_LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError, ConnectionError)

CallObserver = Callable[[str, str, int], None]
"""Told of every HTTP call: method, path, status (0: no answer)."""


class Transport:
    def __init__(
        self, access: ClusterAccess, *, called: CallObserver | None = None, connections: int = 32
    ) -> None:
        access.configuration.connection_pool_maxsize = connections
        self._access, self._called = access, called or (lambda method, path, status: None)
        self._rest = RESTClientObject(access.configuration)
        # Watches stay open: they must not use up the connections that calls wait for.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=self._rest.ssl_context),
            read_bufsize=2**18,
            trust_env=True,
        )
        self._streams = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._rest.ssl_context),
            read_bufsize=2**21,
            trust_env=True,
        )

    async def close(self) -> None:
        await self._session.close()
        await self._streams.close()
        await self._rest.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        deadline: float = DEADLINE,
    ) -> Any:
        """The parsed answer. Raises KubeError; `Unavailable` when nothing came until the deadline."""
        until = time.monotonic() + deadline
        failures = 0
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        while True:
            try:
                async with self._request(
                    self._session, method, path, query=query, data=data, content_type=content_type,
                    timeout=max(0.1, until - time.monotonic()),
                ) as response:  # fmt: skip
                    answer = await response.read()
                error = None if response.status < 400 else _error_for(method, path, response.status, answer)
                wait = _retry_after(response.headers)
            except _LOST as lost:
                error, wait = Unavailable(f"{method} {path}: {str(lost) or type(lost).__name__}"), 0.0
            if error is None:
                return json.loads(answer) if answer else {}
            failures += 1
            wait = max(wait, _BACKOFF.delay(failures, draw=random.random()))
            if not isinstance(error, Unavailable) or time.monotonic() + wait >= until:
                raise error
            await asyncio.sleep(wait)

    async def lines(
        self, path: str, *, query: Mapping[str, str] | None = None, silence: float
    ) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on. Raises KubeError; Unavailable when it breaks off or is silent for
        `silence` seconds."""
        try:
            async with self._request(
                self._streams, "GET", path, query=query, data=None, content_type="application/json",
                timeout=None, silence=silence,
            ) as response:  # fmt: skip
                if response.status >= 400:
                    raise _error_for("GET", path, response.status, await response.read())
                rest = b""
                async for chunk in response.content.iter_any():
                    *complete, rest = (rest + chunk).split(b"\n")
                    for line in complete:
                        yield line
                if rest:
                    yield rest
        except _LOST as lost:
            raise Unavailable(f"GET {path}: {str(lost) or type(lost).__name__}") from lost

    @asynccontextmanager
    async def _request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        data: bytes | None,
        content_type: str,
        timeout: float | None,
        silence: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": "application/json, */*", **await self._access.headers()}
        if data is not None:
            headers["Content-Type"] = content_type
        configuration = self._access.configuration
        try:
            async with session.request(
                method,
                self._access.server + path,
                params=dict(query or {}),
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=10, sock_read=silence),
                proxy=configuration.proxy or None,
                server_hostname=configuration.tls_server_name or None,
            ) as response:
                self._called(method, path, response.status)
                yield response
        except _LOST:
            self._called(method, path, 0)
            raise


def _error_for(method: str, path: str, status: int, answer: bytes) -> Exception:
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = {"message": answer[:300].decode(errors="replace")}
    return kube_error(status, parsed if isinstance(parsed, dict) else {}, what=f"{method} {path}")


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds the server asks to wait (429, and 503 at its start)."""
    try:
        return min(float(headers.get("Retry-After", 0)), _BACKOFF.longest)
    except ValueError:
        return 0.0
