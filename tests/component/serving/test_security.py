"""Bearer token, TLS and client certificates."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from learntoask.client import AsyncClient, CallFailed, Tls, user
from learntoask.core.errors import InputError
from learntoask.wire import ask_pb2 as wire
from worlds.serving import ScriptedEngine, request, serving, stub_of


async def test_calls_without_the_token_are_refused_health_checks_are_not():
    engine = ScriptedEngine()
    async with serving(engine, token="s3cret") as server, stub_of(server) as stub:
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", "s3cret"),)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Decide(request("hello"), metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Converse().read()  # before anything was sent
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        async with grpc.aio.insecure_channel(server.address) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert not engine.contexts
        async with AsyncClient(server.address, token="s3cret") as client:
            assert (await client.decide([user("hello")])).question
            async with client.converse() as conversation:
                assert (await conversation.say("hello")).question


async def test_the_token_may_come_from_a_file(tmp_path: Path):
    (tmp_path / "token").write_text("from-a-file\n")
    async with (
        serving(ScriptedEngine(), token_file=tmp_path / "token") as server,
        AsyncClient(server.address, token="from-a-file") as client,
    ):
        assert (await client.server_info()).pack == "pharmacy"
    with pytest.raises(InputError, match=r"token_file .* cannot be read"):
        async with serving(ScriptedEngine(), token_file=tmp_path / "absent"):
            pass


async def test_tls_needs_the_authority_and_plain_text_is_refused(certificates: Path):
    tls = {"tls_certificate": certificates / "server.pem", "tls_key": certificates / "server.key"}
    async with serving(ScriptedEngine(), **tls) as server:
        async with AsyncClient(server.address, tls=Tls(authority=certificates / "ca.pem")) as client:
            assert (await client.decide([user("hello")])).question
        async with AsyncClient(server.address, attempts=1, timeout=5) as plain:
            with pytest.raises(CallFailed):
                await plain.decide([user("hello")])


async def test_mutual_tls_refuses_clients_without_a_certificate(certificates: Path):
    tls = {
        "tls_certificate": certificates / "server.pem",
        "tls_key": certificates / "server.key",
        "tls_client_ca": certificates / "ca.pem",
    }
    known = Tls(
        authority=certificates / "ca.pem",
        certificate=certificates / "client.pem",
        key=certificates / "client.key",
    )
    async with serving(ScriptedEngine(), **tls) as server:
        async with AsyncClient(server.address, tls=known) as client:
            assert (await client.decide([user("hello")])).question
        anonymous = Tls(authority=certificates / "ca.pem")
        async with AsyncClient(server.address, tls=anonymous, attempts=1, timeout=5) as client:
            with pytest.raises(CallFailed):
                await client.decide([user("hello")])


async def test_a_port_in_use_is_said_and_never_shared():
    async with serving(ScriptedEngine()) as server:
        with pytest.raises(InputError, match="is the port in use"):
            async with serving(ScriptedEngine(), port=server.port):
                pass
        async with stub_of(server) as stub:
            assert (await stub.GetServerInfo(wire.GetServerInfoRequest())).pack == "pharmacy"
