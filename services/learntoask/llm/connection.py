"""One request to an endpoint, with a deadline; every way in which it can fail becomes a value."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from urllib.request import getproxies, proxy_bypass

# httpx2 and not the openai package, which sits on top of it: what is needed here is one kind of request, the raw body
# (errors that come with status 200) and retries of our own, so openai would add its weight and nothing else.
import httpx2

from learntoask.core.errors import InputError
from learntoask.core.manifest import Endpoint, seconds
from learntoask.llm.apikey import ApiKey
from learntoask.llm.wire import Denial, Fault, Reply, read_response

_LONGEST_CONNECT = 30.0  # seconds


class EndpointConnections:
    """As many connections as there were requests at once, each a transport of its own.

    A client with a pool of 64 looks through all of it at every request, and follows redirects and keeps cookies that
    nobody wants here: twice the processor time of a bare transport (1.3 against 0.7 ms a request), which at 640
    requests a second is the difference between half a core and a whole one. The one deadline around a request replaces
    the transport's own for every single read.
    """

    def __init__(self, endpoint: Endpoint, *, where: str) -> None:
        """Raises InputError naming the field when the address is none or there is no key."""
        try:
            self._url = httpx2.URL(endpoint.uri.rstrip("/") + "/chat/completions")
        except httpx2.InvalidURL as error:
            raise InputError(f"{where}.uri: {error}") from None
        self._seconds = seconds(endpoint.timeout)
        self._extensions = {"timeout": {"connect": min(_LONGEST_CONNECT, self._seconds)}}
        self._key = ApiKey(endpoint, where=where)
        self._tls = ssl.create_default_context()
        self._proxy = _proxy_for(self._url)
        self._idle: list[httpx2.AsyncHTTPTransport] = []

    async def post(self, body: bytes) -> Reply | Fault | Denial:
        """Send one request. Whatever network and server do is a value; raises StageError when the key is gone."""
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


def _proxy_for(url: httpx2.URL) -> str | None:
    """The proxy that the environment names (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), as every client reads it."""
    proxies = getproxies()
    if proxy_bypass(url.host):
        return None
    return proxies.get(url.scheme) or proxies.get("all")


def _hide_key(key: str | None, outcome: Reply | Fault | Denial) -> Reply | Fault | Denial:
    """Servers repeat keys in their errors, and errors end in logs."""
    if key is None or isinstance(outcome, Reply):
        return outcome
    return replace(outcome, message=outcome.message.replace(key, "[API key]"))
