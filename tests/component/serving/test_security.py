"""Bearer token, TLS and client certificates."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

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


async def test_scrapes_need_their_own_token(tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("of-prometheus\n")
    async with serving(ScriptedEngine(), metrics_port=0, metrics_token_file=token) as server:
        for given in (None, "Bearer wrong", "of-prometheus"):
            assert _scrape(server.metrics_port, given) == (401, b"")
        status, text = _scrape(server.metrics_port, "Bearer of-prometheus")
        assert status == 200
        assert b"lta_serving" in text
        token.write_text("renewed")
        assert _scrape(server.metrics_port, "Bearer of-prometheus")[0] == 401
        assert _scrape(server.metrics_port, "Bearer renewed")[0] == 200
        token.unlink()
        assert _scrape(server.metrics_port, "Bearer renewed")[0] == 401
    with pytest.raises(InputError, match=r"token_file .* cannot be read"):
        async with serving(ScriptedEngine(), metrics_port=0, metrics_token_file=token):
            pass


def _scrape(port: int | None, authorization: str | None) -> tuple[int, bytes]:
    headers = {"Authorization": authorization} if authorization else {}
    request = Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status, answer.read()
    except HTTPError as refused:
        return refused.code, refused.read()


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


async def test_a_renewed_certificate_needs_no_restart(certificates: Path, tmp_path: Path):
    """The kubelet replaces a mounted Secret by a link to a new folder; here `mounted` is that link."""
    for name, (key, certificate) in {
        "old": ("server.key", "server.pem"),
        "new": ("client.key", "client.pem"),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.key").write_bytes((certificates / key).read_bytes())
        (tmp_path / name / "tls.crt").write_bytes((certificates / certificate).read_bytes())
    mounted = tmp_path / "mounted"

    def mount(name: str) -> None:
        (tmp_path / "link").symlink_to(name)
        (tmp_path / "link").replace(mounted)

    mount("old")
    tls = {"tls_certificate": mounted / "tls.crt", "tls_key": mounted / "tls.key"}
    trusting = Tls(authority=certificates / "ca.pem")
    async with serving(ScriptedEngine(), **tls) as server:
        port = int(server.address.rpartition(":")[2])
        async with AsyncClient(server.address, tls=trusting) as early:
            assert (await early.decide([user("hello")])).question
            assert await _shown(port) == _der(certificates / "server.pem")
            mount("new")
            assert await _shown(port) == _der(certificates / "client.pem")
            assert (await early.decide([user("hello")])).question, "connections stay"
        (tmp_path / "new" / "tls.crt").unlink()
        async with AsyncClient(server.address, tls=trusting) as late:
            assert (await late.decide([user("hello")])).question, "the last whole certificate is kept"


async def _shown(port: int) -> bytes:
    """The certificate that the server shows to a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(shown)


def _der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


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
