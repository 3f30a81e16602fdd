"""One request to an endpoint, with a deadline; every way in which it can fail becomes a value."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

# httpx2 and not the openai package, which sits on top of it: what is needed here is one kind of request, the raw body
# (errors that come with status 200) and retries of our own, so openai would add its weight and nothing else.
import httpx2

from learntoask.core.manifest import Endpoint, seconds
from learntoask.llm.apikey import ApiKey
from learntoask.llm.wire import Denial, Fault, Reply, read_response

_LONGEST_CONNECT = 30.0  # seconds


class Connections:
    """As many connections as there were requests at once, each with a client of its own.

    One client with a pool looks through all its connections at every request: with 64 of them 1.3 ms of processor time
    a request against 0.9 ms. Its time limits for every single read cost another tenth, and one deadline around the
    whole request is stricter.
    """

    def __init__(self, endpoint: Endpoint, *, where: str) -> None:
        self._url = endpoint.uri.rstrip("/") + "/chat/completions"
        self._seconds = seconds(endpoint.timeout)
        self._key = ApiKey(endpoint, where=where)
        self._tls = ssl.create_default_context()
        self._idle: list[httpx2.AsyncClient] = []

    async def post(self, body: bytes) -> Reply | Fault | Denial:
        """Send one request. Whatever network and server do is a value; raises StageError when the key is gone."""
        key = self._key.read()
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        client = self._idle.pop() if self._idle else self._connect()
        usable = False
        try:
            async with asyncio.timeout(self._seconds):
                response = await client.post(self._url, content=body, headers=headers)
            usable = True
            return _without(key, read_response(response.status_code, response.headers, response.content))
        except TimeoutError:
            return Fault("timeout", f"no answer within {self._seconds} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return _without(key, Fault("connection", f"{type(error).__name__}: {error}".rstrip(": ")))
        finally:
            if usable:
                self._idle.append(client)
            else:
                await client.aclose()

    async def close(self) -> None:
        for client in self._idle:
            await client.aclose()
        self._idle.clear()

    def _connect(self) -> httpx2.AsyncClient:
        timeout = httpx2.Timeout(None, connect=min(_LONGEST_CONNECT, self._seconds))
        return httpx2.AsyncClient(verify=self._tls, timeout=timeout)


def _without(key: str | None, outcome: Reply | Fault | Denial) -> Reply | Fault | Denial:
    """Servers repeat keys in their errors, and errors end in logs."""
    if key is None or isinstance(outcome, Reply):
        return outcome
    return replace(outcome, message=outcome.message.replace(key, "[API key]"))
