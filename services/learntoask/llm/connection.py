"""One HTTP request to an endpoint, with a deadline. All failures of network and server are returned as values."""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import replace

# The openai package, which builds on httpx2, has no use here: the client sends one kind of request, needs the raw body
# (some errors come with status 200) and has its own retries.
import httpx2

from learntoask.core.errors import InputError
from learntoask.core.manifest import Endpoint, seconds
from learntoask.core.network.proxy import proxy_for
from learntoask.llm.apikey import ApiKey
from learntoask.llm.wire import Denial, Fault, Reply, read_response

_LONGEST_CONNECT = 30.0  # seconds


class EndpointConnections:
    """The connections to an endpoint: one transport for each concurrent request.

    A client with a connection pool of 64 searches the whole pool for every request, and handles redirects and cookies.
    That takes twice the CPU time of a plain transport (1.3 instead of 0.7 ms per request), which at 640 requests per
    second is one core instead of half a core. A single deadline for the whole request replaces the transport's timeout
    for each read.
    """

    def __init__(self, endpoint: Endpoint, *, where: str) -> None:
        """Raises InputError that names the field if the address is invalid or the API key is missing."""
        try:
            self._url = httpx2.URL(endpoint.uri.rstrip("/") + "/chat/completions")
        except httpx2.InvalidURL as error:
            raise InputError(f"{where}.uri: {error}") from None
        self._seconds = seconds(endpoint.timeout)
        self._extensions = {"timeout": {"connect": min(_LONGEST_CONNECT, self._seconds)}}
        self._key = ApiKey(endpoint, where=where)
        self._tls = ssl.create_default_context()
        self._proxy = proxy_for(self._url.scheme, self._url.host, os.environ)
        self._idle: list[httpx2.AsyncHTTPTransport] = []

    async def post(self, body: bytes) -> Reply | Fault | Denial:
        """Send one request and return its outcome. Raises StageError only if the API key cannot be read any more."""
        key = self._key.read()
        headers = {"content-type": "application/json", "accept": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        request = httpx2.Request(
            "POST", self._url, content=body, headers=headers, extensions=self._extensions
        )
        transport = self._idle.pop() if self._idle else self._connect()
        usable = False
        try:
            async with asyncio.timeout(self._seconds):
                response = await transport.handle_async_request(request)
                content = await response.aread()
            usable = True
            return _hide_key(key, read_response(response.status_code, response.headers, content))
        except TimeoutError:
            return Fault("timeout", f"no answer within {self._seconds} s")
        except (httpx2.HTTPError, OSError, OverflowError, UnicodeError) as error:
            return _hide_key(key, Fault("connection", f"{type(error).__name__}: {error}".rstrip(": ")))
        finally:
            if usable:
                self._idle.append(transport)
            else:
                await transport.aclose()

    async def close(self) -> None:
        for transport in self._idle:
            await transport.aclose()
        self._idle.clear()

    def _connect(self) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(verify=self._tls, proxy=self._proxy)


def _hide_key(key: str | None, outcome: Reply | Fault | Denial) -> Reply | Fault | Denial:
    """Remove the API key from an error message, because some servers repeat it there and messages are logged."""
    if key is None or isinstance(outcome, Reply):
        return outcome
    return replace(outcome, message=outcome.message.replace(key, "[API key]"))
