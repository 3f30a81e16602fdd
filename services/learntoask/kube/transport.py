"""HTTP calls to the API server, with deadlines, retries and errors for refusals.

Only this module retries calls. A repeated POST is safe, because the client chooses the names of all objects that it
creates. If the response to the first POST is lost, the second one fails with AlreadyExists, which callers treat as
success.
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

JSON = "application/json, */*"
DEADLINE = 30.0  # seconds of one call, including its retries
_BACKOFF = Backoff(first=0.2, longest=5.0)
_LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError, ConnectionError)

CallObserver = Callable[[str, str, int], None]
"""Called after every HTTP call with its method, path and status (0 without a response)."""


class Transport:
    """The connections to one API server."""

    def __init__(
        self, access: ClusterAccess, *, called: CallObserver | None = None, connections: int = 32
    ) -> None:
        access.configuration.connection_pool_maxsize = connections
        self._access, self._called = access, called or (lambda method, path, status: None)
        self._proxy = access.proxy()  # aiohttp reads the same variables by other rules
        self._rest = RESTClientObject(access.configuration)
        # Watches stay open for minutes, so they do not count against the limit of connections.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=self._rest.ssl_context),
            read_bufsize=2**18,
        )
        self._streams = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._rest.ssl_context),
            read_bufsize=2**21,
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
        accept: str = JSON,
        deadline: float = DEADLINE,
    ) -> Any:
        """Send a request and return the parsed response.

        `deadline` is in seconds and includes retries. Raises KubeError; `Unavailable` if all attempts until the
        deadline failed.
        """
        until = time.monotonic() + deadline
        failures = 0
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        while True:
            try:
                async with self._request(
                    self._session,
                    method,
                    path,
                    query=query,
                    data=data,
                    content_type=content_type,
                    accept=accept,
                    timeout=max(0.1, until - time.monotonic()),
                ) as response:
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
        self, path: str, *, query: Mapping[str, str] | None = None, accept: str = JSON, silence: float
    ) -> AsyncIterator[bytes]:
        """Iterate over the lines of a streamed response.

        Raises KubeError; `Unavailable` if the connection breaks or no data arrives for `silence` seconds.
        """
        try:
            async with self._request(
                self._streams,
                "GET",
                path,
                query=query,
                data=None,
                content_type="application/json",
                accept=accept,
                timeout=None,
                silence=silence,
            ) as response:
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
        accept: str,
        timeout: float | None,
        silence: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": accept, **await self._access.headers()}
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
                proxy=self._proxy,
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
    """Return the seconds that the server asks to wait (with 429, and with 503 while it starts)."""
    try:
        return min(float(headers.get("Retry-After", 0)), _BACKOFF.longest)
    except ValueError:
        return 0.0
