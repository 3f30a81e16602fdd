"""The stream that a gateway's calls to a server share, and servers that know none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from learntoask.client import AsyncClient, user
from learntoask.serving.gateway import stream
from learntoask.wire import ask_pb2 as wire
from learntoask.wire import ask_pb2_grpc
from worlds.gateway import gateway, samples, write_pack
from worlds.serving import ScriptedEngine, request, serving, stub_of
from worlds.serving import samples as server_samples
from worlds.waiting import until


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path)


class Counted(grpc.aio.ServerInterceptor):
    """Counts the calls of a server by method."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    async def intercept_service(self, continuation, details):
        self.methods.append(details.method.rpartition("/")[2])
        return await continuation(details)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts the calls that the servers of a test get."""
    counted, make = Counted(), grpc.aio.server

    def server(*, interceptors=(), **others):
        return make(interceptors=[counted, *interceptors], **others)

    monkeypatch.setattr(grpc.aio, "server", server)
    return counted


async def test_calls_share_a_stream_and_large_ones_go_alone(pack: Path, counted: Counted):
    async with (
        serving(ScriptedEngine()) as server,
        gateway(pack, server.address) as front,
        AsyncClient(front.address) as client,
    ):
        counted.methods.clear()
        small = [client.decide([user("hello")], conversation_id=str(number)) for number in range(20)]
        assert {decision.origin for decision in await asyncio.gather(*small)} == {"model"}
        assert counted.methods.count("DecideMany") == 1
        assert counted.methods.count("Decide") == 20  # of the gateway itself
        await client.decide([user("word " * 5000)])
        assert counted.methods.count("DecideMany") == 1
        assert counted.methods.count("Decide") == 22
        assert server_samples(server, "lta_serving_calls_total")["Decide", "OK"] == 21


async def test_what_a_caller_gives_up_the_server_gives_up_and_others_are_answered(pack: Path):
    engine = ScriptedEngine()
    async with serving(engine) as server, gateway(pack, server.address) as front, stub_of(front) as stub:
        given_up, late, waiting = (
            stub.Decide(request("wait")),
            stub.Decide(request("wait"), timeout=1.0),
            stub.Decide(request("wait")),
        )
        await until(lambda: engine.running == 3)
        given_up.cancel()
        await until(lambda: engine.cancelled == 2)  # the second by its deadline
        assert (await late).decision.origin == wire.ORIGIN_NO_SERVER
        engine.release.set()
        assert (await waiting).decision.origin == wire.ORIGIN_MODEL


async def test_a_stream_that_has_lived_long_is_left_for_another(
    pack: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stream, "_LIFETIME_SECONDS", 0.0)
    engine = ScriptedEngine()
    async with serving(engine) as server, gateway(pack, server.address) as front, stub_of(front) as stub:
        held = asyncio.ensure_future(stub.Decide(request("wait")))
        await until(lambda: engine.running == 1)
        for _ in range(3):
            assert (await stub.Decide(request("hello"))).decision.origin == wire.ORIGIN_MODEL
        assert counted.methods.count("DecideMany") == 4
        engine.release.set()
        assert (await held).decision.origin == wire.ORIGIN_MODEL


async def test_a_lost_stream_costs_no_answer(pack: Path):
    one, other = ScriptedEngine(), ScriptedEngine()
    async with AsyncExitStack() as running:
        servers = [
            await running.enter_async_context(serving(engine, drain_seconds=0.1)) for engine in (one, other)
        ]
        front = await running.enter_async_context(gateway(pack, *(server.address for server in servers)))
        stub = await running.enter_async_context(stub_of(front))
        await until(lambda: all(front.backends.serving()))
        held = [
            asyncio.ensure_future(stub.Decide(request("wait", conversation_id=str(n)))) for n in range(12)
        ]
        await until(lambda: one.running + other.running == 12 and one.running and other.running)
        other.release.set()
        await servers[0].drain()  # cuts what waits
        origins = {decision.decision.origin for decision in await asyncio.gather(*held)}
        assert origins == {wire.ORIGIN_MODEL}
        assert samples(front, "lta_gateway_retries_total")[()] >= 1


class Earlier(ask_pb2_grpc.AskServiceServicer):
    """A policy server of a version without streams."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}

    async def Decide(self, asked, context):
        self.metadata = dict(context.invocation_metadata())
        if not asked.messages[-1].content:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "messages[0].content: empty")
        return wire.DecideResponse(
            decision=wire.Decision(ask=wire.Ask(question="Since when?"), origin=wire.ORIGIN_MODEL)
        )


async def test_a_server_of_an_earlier_version_is_asked_one_by_one(pack: Path, tmp_path: Path):
    (tmp_path / "token").write_text("of-the-gateway")
    earlier, healthy = Earlier(), health.aio.HealthServicer()
    server = grpc.aio.server()
    ask_pb2_grpc.add_AskServiceServicer_to_server(earlier, server)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set("learntoask.v1.AskService", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with (
            gateway(pack, f"127.0.0.1:{port}", server_token_file=tmp_path / "token") as front,
            stub_of(front) as stub,
        ):
            for number in range(3):
                found = await stub.Decide(request("hello"), metadata=(("x-request-id", f"id-{number}"),))
                assert found.decision.origin == wire.ORIGIN_MODEL
                assert earlier.metadata["x-request-id"] == f"id-{number}"
                assert earlier.metadata["authorization"] == "Bearer of-the-gateway"
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Decide(request(""))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert samples(front, "lta_gateway_attempts_total") == {
                (f"127.0.0.1:{port}", "OK"): 3,
                (f"127.0.0.1:{port}", "INVALID_ARGUMENT"): 1,
            }
    finally:
        await server.stop(None)
