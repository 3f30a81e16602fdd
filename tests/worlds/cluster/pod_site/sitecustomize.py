"""Resolves names of Services in processes that stand in for pods, from a file that the pod runner writes."""

import json
import os
import socket

_resolve = socket.getaddrinfo


def _getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):  # type: ignore[no-untyped-def]
    names = {}
    if isinstance(host, str) and host.endswith(".svc"):
        with open(os.environ["LTA_TEST_NAMES"], encoding="utf-8") as file:
            names = json.load(file)
        if not names.get(host):
            raise socket.gaierror(socket.EAI_NONAME, f"no pod behind {host}")
    found = [_resolve(one, port, family, type, proto, flags) for one in names.get(host, [host])]
    return [entry for entries in found for entry in entries]


async def _loop_getaddrinfo(loop, host, port, *, family=0, type=0, proto=0, flags=0):  # type: ignore[no-untyped-def]
    return await loop.run_in_executor(None, _getaddrinfo, host, port, family, type, proto, flags)


if "LTA_TEST_NAMES" in os.environ:
    socket.getaddrinfo = _getaddrinfo
    import uvloop

    uvloop.Loop.getaddrinfo = _loop_getaddrinfo  # its own one asks the C library, past the line above
