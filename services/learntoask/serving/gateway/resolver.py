"""Resolves names of policy servers to addresses; a headless Service has one address for every ready pod."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass

_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_LOOK_UP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """The addresses found. `complete` is False if a name server did not answer, so that addresses may be missing."""

    addresses: frozenset[str]
    complete: bool


async def resolve(names: Iterable[str]) -> Resolution:
    """Look up all addresses (`ip:port`) of `names` (`host:port`)."""
    resolutions = await asyncio.gather(*(_resolve_name(name) for name in names))
    return Resolution(
        frozenset().union(*(resolution.addresses for resolution in resolutions)),
        all(resolution.complete for resolution in resolutions),
    )


async def _resolve_name(name: str) -> Resolution:
    host, _, port = name.rpartition(":")
    try:
        async with asyncio.timeout(_LOOK_UP_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM
            )
    except socket.gaierror as error:
        return Resolution(frozenset(), error.errno in _NO_SUCH_NAME)
    except (OSError, TimeoutError):
        return Resolution(frozenset(), False)
    return Resolution(frozenset(_host_port(place[0], place[1]) for *_, place in found), True)


def _host_port(host: object, port: object) -> str:
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
