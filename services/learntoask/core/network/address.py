"""Host and port in one spelling: `localhost:50051`, `192.0.2.1:50051`, `[2001:db8::1]:50051`."""

from __future__ import annotations

import re
import socket

from learntoask.core.errors import InputError

EXAMPLES = "localhost:50051 or [::1]:50051"
_HOST = r"[A-Za-z0-9._%-]+"
_IN_BRACKETS = r"[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?"
_PORT = r"[0-9]{1,5}"
HOST_PORT = rf"^({_HOST}|\[{_IN_BRACKETS}\]):{_PORT}$"
"""What `split_host_port` takes, as a regular expression for schemas, which cannot hold the bounds of a port."""


def join_host_port(host: str, port: int) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_host_port(address: str) -> tuple[str, int]:
    """Return host (an IPv6 address without brackets) and port. Raises InputError that says how to write an address."""
    host, _, port = address.rpartition(":")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else None
    if "://" in address:
        raise InputError(f"{address!r}: an address has no scheme and no path; write {EXAMPLES}")
    if inner is None and ":" in host:
        raise InputError(f"{address!r}: put the IPv6 address in brackets: {EXAMPLES}")
    if not host or not re.fullmatch(_PORT, port) or not 0 < int(port) <= 65535:
        raise InputError(
            f"{address!r} is not host:port: it has no port between 1 and 65535; write {EXAMPLES}"
        )
    if not re.fullmatch(_HOST if inner is None else _IN_BRACKETS, host if inner is None else inner):
        raise InputError(f"{address!r} is not host:port; write {EXAMPLES}")
    return inner if inner is not None else host, int(port)


def listening_host(host: str) -> str:
    """Return the host to bind for `host` of a server's settings, without brackets.

    `0.0.0.0` and `::` mean every address of the machine, of both families if it has IPv6. gRPC understands them so by
    itself.
    """
    host = host.strip("[]")
    if host not in ("", "0.0.0.0", "::"):
        return host
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a TCP socket that listens on the addresses that `listening_host` describes. Raises OSError."""
    bound = listening_host(host)
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    return socket.create_server((bound, port), family=family, dualstack_ipv6=bound == "::")
