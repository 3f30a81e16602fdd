"""The proxy for a request, from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. Pure.

Clients disagree about these variables (gRPC sends even calls on loopback through a proxy, others know no CIDR blocks).
All of ours ask this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from learntoask.core.errors import InputError

_SERVICE = (".svc", ".svc.cluster.local")  # names of Kubernetes Services; no proxy knows them
_API_SERVER = "KUBERNETES_SERVICE_HOST"  # in every pod: the address of the cluster's own API server
_KINDS = ("http", "https")
_NODE = ip_network("fd00:ec2::/32")  # agents of EC2 on this node; their IPv4 addresses are link-local


def proxy_for(scheme: str, host: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy's URL for requests to `host`, or None for a direct connection.

    `scheme` is `https` or `http`; gRPC counts as https, because both open a tunnel. Lower-case variables win over
    upper-case ones. Loopback, link-local addresses, Kubernetes Services and, in a pod, the API server of its cluster
    are always direct, and so is what NO_PROXY names. Raises InputError for a proxy that is not a URL.
    """
    host = host.strip("[]").rstrip(".").lower()
    name = f"{scheme}_proxy"
    proxy = _variable(environment, name) or _variable(environment, name := "all_proxy")
    direct = _is_local(host) or host == environment.get(_API_SERVER, "").strip("[]").lower()
    if not proxy or direct or _is_excluded(host, _variable(environment, "no_proxy")):
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in _KINDS or not parts.hostname:
        raise InputError(
            f"{name.upper()} is not the address of an HTTP proxy such as http://proxy.example:3128. Correct it, or "
            f"name {host} in NO_PROXY"
        )
    return parts.geturl()


def _variable(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", *_SERVICE)):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address in _NODE


def _is_excluded(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY names `host`: `*`, a host or domain (with or without a leading dot), an address, or a block."""
    for entry in no_proxy.replace(",", " ").split():
        pattern = entry.lower().removeprefix("*").lstrip(".")
        if entry == "*" or (pattern and (host == pattern or host.endswith(f".{pattern}"))):
            return True
        try:
            if ip_address(host) in ip_network(pattern.strip("[]"), strict=False):
                return True
        except (ValueError, TypeError):  # a name, or an address of the other family
            continue
    return False
