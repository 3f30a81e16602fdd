"""Clients and servers on networks as they are: proxies, IPv6, forked processes, and callers' odd values."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from collections.abc import Callable
from urllib.request import ProxyHandler, build_opener

import pytest
from learntoask.client import AsyncClient, CallFailed, Client, user
from learntoask.client.types import Decision
from learntoask.core.errors import InputError
from learntoask.rpc.channels import authorization
from learntoask.rpc.process import in_thread
from learntoask.serving.server import PolicyServer
from worlds.proxy import proxy
from worlds.serving import ScriptedEngine, policy_server, serving

CHILD_SECONDS = 120  # bounds a hang


async def test_loopback_is_called_directly_whatever_the_proxy_variables_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(ScriptedEngine()) as server, AsyncClient(server.address) as client:
        assert (await client.decide([user("monday")])).question == "What else about monday?"
        port = server.address.rpartition(":")[2]
        async with AsyncClient(f"localhost:{port}") as named:
            assert (await named.server_info()).policy_revision == "r1"


async def test_other_hosts_are_called_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(ScriptedEngine()) as server:
        with proxy(policy=int(server.address.rpartition(":")[2])) as running:
            monkeypatch.setenv("HTTPS_PROXY", running.url)
            async with AsyncClient("policy.example:80") as client:
                assert (await client.decide([user("monday")])).question == "What else about monday?"
            assert running.seen == [("CONNECT", "policy.example:80")]
            monkeypatch.setenv("NO_PROXY", ".example")
            async with AsyncClient("policy.example:80", attempts=1, timeout=20) as client:
                with pytest.raises(CallFailed):
                    await client.server_info()
            assert len(running.seen) == 1


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
async def test_one_spelling_of_an_ipv6_address_works_for_grpc_and_metrics(host: str) -> None:
    async with serving(ScriptedEngine(), host=host, metrics_port=0) as server:
        port = server.address.rpartition(":")[2]
        async with AsyncClient(f"[::1]:{port}") as client:
            assert (await client.decide([user("monday")])).question == "What else about monday?"
        assert _metrics(f"[::1]:{server.metrics_port}")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_server_on_every_address_is_reached_by_both_families(host: str) -> None:
    reached = ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
    async with serving(ScriptedEngine(), host=host, metrics_port=0) as server:
        port = server.address.rpartition(":")[2]
        for address in reached:
            async with AsyncClient(f"{address}:{port}") as client:
                assert (await client.server_info()).policy_revision == "r1"
            assert _metrics(f"{address}:{server.metrics_port}")


def test_an_address_in_another_spelling_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="in brackets"):
        Client("::1:50051")
    with pytest.raises(InputError, match="no scheme"):
        Client(["localhost:50051", "http://localhost:50052"])


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 1e12, 10**9])
async def test_a_timeout_without_end_does_not_end_at_once(timeout: float) -> None:
    async with serving(ScriptedEngine()) as server, AsyncClient(server.address, timeout=timeout) as client:
        assert (await client.decide([user("monday")])).question == "What else about monday?"
        assert (await client.server_info(timeout=timeout)).policy_revision == "r1"
        async with client.converse() as conversation:
            assert (await conversation.say("monday", timeout=timeout)).question == "What else about monday?"
        with pytest.raises(InputError, match="timeout"):
            await client.decide([user("monday")], timeout=math.nan)


LONE = "mon\udcffday"


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("messages[1].content", lambda client: client.decide([user("fine"), user(LONE)])),
        ("task", lambda client: client.decide([user("fine")], task=LONE)),
        ("goal", lambda client: client.decide([user("fine")], goal=LONE)),
        ("conversation_id", lambda client: client.decide([user("fine")], conversation_id=LONE)),
        ("content", lambda client: _say(client, LONE)),
        ("messages[0].content", lambda client: _say(client, "fine", history=[user(LONE), user("fine")])),
    ],
)
async def test_text_that_is_not_unicode_is_refused_by_its_field(
    field: str, call: Callable[[AsyncClient], object]
) -> None:
    async with serving(ScriptedEngine()) as server, AsyncClient(server.address) as client:
        with pytest.raises(CallFailed, match="INVALID_ARGUMENT") as refused:
            await call(client)  # type: ignore[misc]
        assert f"{field}: character " in str(refused.value)
        assert "surrogate" in str(refused.value)
        str(refused.value).encode()  # can be logged
        assert (await client.decide([user("monday")])).question == "What else about monday?"


def test_a_token_that_no_header_can_carry_is_refused() -> None:
    for token in ("secret\n", "secrét", "sec\x00ret"):
        with pytest.raises(InputError, match="token") as refused:
            authorization(token)
        assert "secr" not in str(refused.value)


def test_a_forked_child_is_told_that_it_needs_its_own_client() -> None:
    with in_thread(_made, name="server") as server, Client(server.address) as client:
        assert client.server_info().policy_revision == "r1"
        conversation = client.converse()

        def child() -> None:
            with Client(server.address) as other:
                for call in (client.server_info, other.server_info, lambda: conversation.say("monday")):
                    with pytest.raises(CallFailed, match="forked"):
                        call()
            client.close()

        assert _in_child(child) == 0
        assert client.server_info().policy_revision == "r1", "the parent goes on"


def _in_child(work: Callable[[], None]) -> int:
    """Exit status of a forked child that does `work`. A child that hangs is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def _made() -> PolicyServer:
    return policy_server(ScriptedEngine())


async def _say(client: AsyncClient, text: str, **fields: object) -> Decision:
    async with client.converse(**fields) as conversation:  # type: ignore[arg-type]
        return await conversation.say(text)


def _metrics(place: str) -> bool:
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"http://{place}/metrics", timeout=30) as answer:
        return b"lta_serving" in answer.read()
