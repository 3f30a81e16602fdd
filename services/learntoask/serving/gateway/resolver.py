"""Names of policy servers to the addresses behind them: a headless Service has one for every ready pod."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass

_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_LOOK_UP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """`certain` is False where a name server gave no answer: what was known before then still holds."""

    addresses: frozenset[str]
    certain: bool


async def resolve(names: Iterable[str]) -> Found:
    """Every address (`ip:port`) behind `names` (`host:port`)."""
    answers = await asyncio.gather(*(_addresses(name) for name in names))
    return Found(frozenset().union(*(one.addresses for one in answers)), all(one.certain for one in answers))


async def _addresses(name: str) -> Found:
    host, _, port = name.rpartition(":")
    try:
        async with asyncio.timeout(_LOOK_UP_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM
            )
    except socket.gaierror as error:
        return Found(frozenset(), error.errno in _NO_SUCH_NAME)
    except (OSError, TimeoutError):
        return Found(frozenset(), False)
    return Found(frozenset(_written(place[0], place[1]) for *_, place in found), True)


def _written(host: object, port: object) -> str:
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
