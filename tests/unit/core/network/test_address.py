"""One spelling of host and port."""

from __future__ import annotations

import socket

import pytest
from learntoask.core.errors import InputError
from learntoask.core.network.address import join_host_port, listening_socket, split_host_port


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("localhost", "localhost:50051"),
        ("192.0.2.1", "192.0.2.1:50051"),
        ("::1", "[::1]:50051"),
        ("2001:db8::1", "[2001:db8::1]:50051"),
        ("policy-servers.team-a.svc", "policy-servers.team-a.svc:50051"),
    ],
)
def test_what_is_joined_is_split_again(host: str, text: str) -> None:
    assert join_host_port(host, 50051) == text
    assert join_host_port(f"[{host}]", 50051) == text
    assert split_host_port(text) == (host, 50051)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("::1:50051", "put the IPv6 address in brackets"),
        ("2001:db8::1", "put the IPv6 address in brackets"),
        ("localhost", "has no port"),
        ("[::1]", "has no port|in brackets"),
        ("localhost:", "has no port"),
        ("localhost:http", "has no port"),
        ("localhost:0", "between 1 and 65535"),
        ("localhost:65536", "between 1 and 65535"),
        (":50051", "has no port"),
        ("http://localhost:50051", "no scheme"),
        ("a b:1", "not host:port"),
        ("", "has no port"),
    ],
)
def test_another_spelling_is_refused_with_the_right_one(address: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        split_host_port(address)
    assert "[::1]:50051" in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", ""])
def test_every_address_means_both_families(host: str) -> None:
    with listening_socket(host, 0) as listening:
        port = listening.getsockname()[1]
        reached = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
        for address in reached:
            socket.create_connection((address, port), timeout=10).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]"])
def test_one_address_means_that_address_alone(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with listening_socket(host, 0) as listening:
        place = listening.getsockname()
    assert place[0] == host.strip("[]")
