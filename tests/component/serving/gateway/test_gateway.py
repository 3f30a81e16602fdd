"""The gateway with scripted policy servers: routing, retries, and answers without a server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from learntoask.client import AsyncClient, CallFailed, Tls, user
from learntoask.core.errors import InputError
from learntoask.core.records import STOP
from learntoask.serving.gateway.config import GatewayConfig, read_config
from learntoask.serving.gateway.resolver import Resolution, resolve
from learntoask.wire import ask_pb2 as wire
from worlds.gateway import conversations_at, gateway, samples, write_pack
from worlds.serving import ScriptedEngine, recorded, request, serving, stub_of
from worlds.waiting import until


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path)


async def test_a_conversation_stays_at_one_server_and_many_spread_over_all(pack: Path):
    engines = [ScriptedEngine() for _ in range(3)]
    async with AsyncExitStack() as running:
        servers = [await running.enter_async_context(serving(engine)) for engine in engines]
        front = await running.enter_async_context(gateway(pack, *(one.address for one in servers)))
        await until(lambda: all(front.backends.serving()))
        client = await running.enter_async_context(AsyncClient(front.address))
        for number in range(60):
            for turn in ("hello", "again"):
                await client.decide([user(turn)], conversation_id=f"c{number}")
        counts = [len(engine.contexts) for engine in engines]
        assert sum(counts) == 120
        assert all(
            count >= 8 and count % 2 == 0 for count in counts
        )  # all turns of a conversation go to one server
        assert sum(samples(front, "lta_gateway_attempts_total").values()) == 120


async def test_calls_without_an_id_stay_together_by_how_the_conversation_began(pack: Path):
    engines = [ScriptedEngine() for _ in range(3)]
    async with AsyncExitStack() as running:
        servers = [await running.enter_async_context(serving(engine)) for engine in engines]
        front = await running.enter_async_context(gateway(pack, *(one.address for one in servers)))
        await until(lambda: all(front.backends.serving()))
        stub = await running.enter_async_context(stub_of(front))
        for turns in (
            ["it hurts"],
            ["it hurts", "Where?", "here"],
            ["it hurts", "Where?", "here", "Why?", "so"],
        ):
            await stub.Decide(request(*turns))
        assert sorted(len(engine.contexts) for engine in engines) == [0, 0, 3]


async def test_a_stream_is_held_by_the_gateway_and_goes_on_when_its_server_leaves(pack: Path):
    one, other = ScriptedEngine(), ScriptedEngine()
    async with AsyncExitStack() as running:
        first = await running.enter_async_context(serving(one, drain_seconds=0.2))
        second = await running.enter_async_context(serving(other, drain_seconds=0.2))
        front = await running.enter_async_context(gateway(pack, first.address, second.address))
        await until(lambda: all(front.backends.serving()))
        client = await running.enter_async_context(AsyncClient(front.address))
        async with client.converse(task="refill", conversation_id="c") as conversation:
            assert (await conversation.say("hello")).question == "What else about hello?"
            asked, leaving = (one, first) if one.contexts else (other, second)
            await leaving.drain()
            assert (await conversation.say("still there")).origin == "model"
            assert (await conversation.say("bye")).stop
        stayed = other if asked is one else one
        assert [message.content for message in stayed.contexts[0].messages] == [
            "hello",
            "What else about hello?",
            "still there",
        ]
        assert stayed.contexts[0].task == "refill"


async def test_what_one_server_cannot_another_does_and_faults_of_the_request_are_told(pack: Path):
    full, sound = ScriptedEngine(), ScriptedEngine()
    async with AsyncExitStack() as running:
        busy = await running.enter_async_context(serving(full, max_concurrent=1, max_queue=0))
        server = await running.enter_async_context(serving(sound))
        front = await running.enter_async_context(gateway(pack, busy.address, server.address))
        await until(lambda: all(front.backends.serving()))
        stub = await running.enter_async_context(stub_of(front))
        filling = [
            asyncio.create_task(_direct(busy.address, "wait")),
        ]
        await until(lambda: full.running)
        decisions = [(await stub.Decide(request("hi", conversation_id=str(n)))).decision for n in range(20)]
        assert {decision.origin for decision in decisions} == {wire.ORIGIN_MODEL}
        assert samples(front, "lta_gateway_retries_total")[()] > 0
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Decide(request("hi", task="unknown"))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "known tasks: default, refill" in refused.value.details()
        full.release.set()
        await asyncio.gather(*filling)


async def _direct(address: str, said: str) -> None:
    async with AsyncClient(address) as client:
        await client.decide([user(said)])


async def test_a_request_that_makes_servers_fail_is_not_put_to_all_of_them(pack: Path):
    engines = [ScriptedEngine() for _ in range(4)]
    async with AsyncExitStack() as running:
        servers = [await running.enter_async_context(serving(engine)) for engine in engines]
        front = await running.enter_async_context(gateway(pack, *(one.address for one in servers)))
        await until(lambda: all(front.backends.serving()))
        client = await running.enter_async_context(AsyncClient(front.address))
        decision = await client.decide([user("crash")])
        assert (decision.origin, decision.question) == ("no_server", "Could you tell me more?")
        assert sum(len(engine.contexts) for engine in engines) == 2


async def test_a_slow_server_is_left_for_another_within_the_callers_deadline(pack: Path):
    slow, quick = ScriptedEngine(), ScriptedEngine()
    slow.decide = _never
    async with AsyncExitStack() as running:
        servers = [await running.enter_async_context(serving(engine)) for engine in (slow, quick)]
        front = await running.enter_async_context(
            gateway(pack, *(one.address for one in servers), attempt_seconds=1.0)
        )
        await until(lambda: all(front.backends.serving()))
        client = await running.enter_async_context(AsyncClient(front.address))
        names = list(islice(conversations_at(front, servers[0].address), 5))  # until the server is ejected
        for name in names:
            decision = await client.decide([user("hi")], conversation_id=name, timeout=20)
            assert decision.origin == "model"
        assert samples(front, "lta_gateway_attempts_total") == {
            (servers[0].address, "DEADLINE_EXCEEDED"): 3,  # then it is ejected for a while
            (servers[1].address, "OK"): 5,
        }


@pytest.mark.slow
async def test_a_servers_connection_outlives_the_pings_that_find_dead_ones():
    async with serving(ScriptedEngine()) as server:
        options = (("grpc.keepalive_time_ms", 11_000), ("grpc.http2.max_pings_without_data", 0))
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await watching.read()
            assert channel.get_state() is grpc.ChannelConnectivity.READY
            with pytest.raises(TimeoutError):  # four pings do not end it
                async with asyncio.timeout(50):
                    await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)


async def _never(_context: object) -> None:
    await asyncio.sleep(60)


async def test_the_packs_fallback_answers_while_no_server_does_and_says_so(pack: Path, tmp_path: Path):
    records = tmp_path / "records"
    async with gateway(pack, "127.0.0.1:1", patience_seconds=0.1, records=records) as front:
        async with AsyncClient(front.address) as client:
            decision = await client.decide([user("it hurts")], conversation_id="c1")
            assert (decision.origin, decision.question) == ("no_server", "Could you tell me more?")
            assert (decision.policy_revision, decision.stop_probability) == ("", 0.0)
            info = await client.server_info()
            assert (info.pack, info.tasks, info.policy_revision) == ("pharmacy", ("default", "refill"), "")
            async with client.converse() as conversation:
                assert (await conversation.say("hello")).origin == "no_server"
        assert samples(front, "lta_gateway_decisions_total") == {("ask", "no_server"): 2.0}
    assert [line["served"]["decisions"][0]["origin"] for line in recorded(records)] == [
        "no_server",
        "no_server",
    ]


async def test_without_a_fallback_the_caller_is_told_to_retry(pack: Path):
    async with (
        gateway(pack, "127.0.0.1:1", patience_seconds=0.05, fallback="refuse") as front,
        AsyncClient(front.address, attempts=1) as client,
    ):
        with pytest.raises(CallFailed, match="no policy server answered; retry later"):
            await client.decide([user("it hurts")])


async def test_a_server_that_comes_back_is_found_and_ends_the_fallback(pack: Path):
    async with serving(ScriptedEngine(), drain_seconds=0.1) as server:
        address = server.address
        async with (
            gateway(pack, address, patience_seconds=0.1) as front,
            AsyncClient(front.address) as client,
        ):
            assert (await client.decide([user("hi")])).origin == "model"
            await server.drain()
            assert (await client.decide([user("hi")])).origin == "no_server"
            async with serving(ScriptedEngine(), port=int(address.rpartition(":")[2])):
                await until(lambda: any(front.backends.serving()))
                assert (await client.decide([user("hi")])).origin == "model"


async def test_the_id_of_a_request_goes_from_client_to_server_to_record(pack: Path, tmp_path: Path):
    engine = ScriptedEngine()
    async with (
        serving(engine, records=tmp_path / "server") as server,
        gateway(pack, server.address, records=tmp_path / "gateway") as front,
        stub_of(front) as stub,
    ):
        response = await stub.Decide(
            request("hi", conversation_id="c"), metadata=(("x-request-id", "trace-7"),)
        )
        assert response.decision.request_id == "trace-7"
    for folder in ("server", "gateway"):
        (record,) = recorded(tmp_path / folder)
        assert record["session_id"] == "c/trace-7"
        assert record["served"]["policy_revision"] == "r1"
        assert record["messages"][1]["author"] == "policy"


async def test_the_end_of_a_streams_record_is_what_the_policy_said_last(pack: Path, tmp_path: Path):
    async with (
        serving(ScriptedEngine()) as server,
        gateway(pack, server.address, records=tmp_path / "records", redact=(r"\d+",)) as front,
        AsyncClient(front.address) as client,
    ):
        async with client.converse(conversation_id="c") as conversation:
            await conversation.say("number 12")
            await conversation.say("bye")
        await until(lambda: recorded(tmp_path / "records"))
        (record,) = recorded(tmp_path / "records")
        said = [message["content"] for message in record["messages"]]
        assert said == ["number [redacted]", "What else about number [redacted]?", "bye", STOP]


async def test_more_than_the_bounds_is_refused(pack: Path):
    engine = ScriptedEngine()
    async with (
        serving(engine) as server,
        gateway(pack, server.address, max_in_flight=1, max_messages=3) as front,
        AsyncClient(front.address) as client,
    ):
        waiting = asyncio.create_task(client.decide([user("wait")]))
        await until(lambda: engine.running)
        with pytest.raises(CallFailed, match="1 answers are waited for"):
            await client.decide([user("hi")])
        engine.release.set()
        await waiting
        async with client.converse() as conversation:
            await conversation.say("one")
            await conversation.say("two")
            with pytest.raises(CallFailed, match="5 messages, at most 3"):
                await conversation.say("three")


async def test_callers_need_the_gateways_token_and_servers_get_their_own(pack: Path, tmp_path: Path):
    (tmp_path / "token").write_text("inner\n")
    async with (
        serving(ScriptedEngine(), token="inner") as server,
        gateway(pack, server.address, token="outer", server_token_file=tmp_path / "token") as front,
    ):
        async with AsyncClient(front.address, token="inner", attempts=1) as stranger:
            with pytest.raises(CallFailed, match="bearer token missing or wrong"):
                await stranger.decide([user("hi")])
        async with AsyncClient(front.address, token="outer") as client:
            assert (await client.decide([user("hi")])).origin == "model"
            assert (await client.server_info()).policy_revision == "r1"
        async with grpc.aio.insecure_channel(front.address) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING


async def test_both_sides_speak_tls_with_certificates_of_their_own(pack: Path, certificates: Path):
    mine = {"tls_certificate": certificates / "server.pem", "tls_key": certificates / "server.key"}
    ca = certificates / "ca.pem"
    known = Tls(authority=ca, certificate=certificates / "client.pem", key=certificates / "client.key")
    to_servers = {
        "server_ca": ca,
        "server_certificate": certificates / "client.pem",
        "server_key": certificates / "client.key",
    }
    async with (
        serving(ScriptedEngine(), **mine, tls_client_ca=ca) as server,
        gateway(pack, server.address, **mine, tls_client_ca=ca, **to_servers) as front,
    ):
        async with AsyncClient(front.address, tls=known) as client:
            assert (await client.decide([user("hi")])).origin == "model"
        async with AsyncClient(front.address, tls=Tls(authority=ca), attempts=1, timeout=5) as anonymous:
            with pytest.raises(CallFailed):
                await anonymous.decide([user("hi")])


async def test_a_draining_gateway_finishes_its_answer_and_closes_streams(pack: Path):
    engine = ScriptedEngine()
    async with (
        serving(engine) as server,
        gateway(pack, server.address) as front,
        AsyncClient(front.address, attempts=1) as client,
    ):
        waiting = asyncio.create_task(client.decide([user("wait")]))
        async with client.converse() as conversation:
            await conversation.say("hello")
            await until(lambda: engine.running)
            draining = asyncio.create_task(front.drain())
            with pytest.raises(CallFailed, match="UNAVAILABLE"):
                await _talk_on(conversation)
            assert not waiting.done()
            engine.release.set()
            assert (await waiting).origin == "model"
            await draining


async def _talk_on(conversation) -> None:
    for _ in range(50):
        await conversation.say("and more")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"servers": ()}, "at least one policy server"),
        ({"servers": ("nowhere",)}, "'nowhere' is not host:port"),
        ({"records_uri": "s3://b/k"}, "records_uri needs records"),
        ({"redact": ("(",)}, "is not a regular expression"),
        ({"server_key": Path("k")}, "give both or neither"),
        ({"deadline_seconds": 0}, "greater than 0"),
    ],
)
def test_what_a_gateway_cannot_be_told(settings: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        read_config({}, {"servers": ("a:1",), "pack": Path("p"), **settings})


def test_the_environment_gives_servers_one_a_line():
    config = read_config({"LTA_GATEWAY_SERVERS": "a.b:50051\n[::1]:2", "LTA_GATEWAY_PACK": "p"}, {})
    assert config == GatewayConfig(servers=("a.b:50051", "[::1]:2"), pack=Path("p"))
    with pytest.raises(InputError, match="LTA_GATEWAY_SERVERS"):
        read_config({"LTA_GATEWAY_PACK": "p"}, {})


async def test_servers_come_and_go_as_their_name_says_and_healthy_ones_outlive_the_name(
    pack: Path, monkeypatch: pytest.MonkeyPatch
):
    engines = [ScriptedEngine() for _ in range(2)]
    async with AsyncExitStack() as running:
        one, other = [await running.enter_async_context(serving(engine)) for engine in engines]
        answers = [Resolution(frozenset({one.address}), True)]

        async def resolved(names: tuple[str, ...]) -> Resolution:
            assert names == ("policies.clinic.svc:50051",)
            return answers[-1]

        monkeypatch.setattr("learntoask.serving.gateway.backends.resolve", resolved)
        front = await running.enter_async_context(
            gateway(pack, "policies.clinic.svc:50051", resolve_seconds=0.05)
        )
        client = await running.enter_async_context(AsyncClient(front.address))

        async def asked() -> list[int]:
            before = [len(engine.contexts) for engine in engines]
            for number in range(20):
                assert (await client.decide([user("hi")], conversation_id=str(number))).origin == "model"
            return [len(engine.contexts) - count for engine, count in zip(engines, before, strict=True)]

        assert await asked() == [20, 0]
        answers.append(Resolution(frozenset({one.address, other.address}), True))
        await until(lambda: front.backends.serving() == [True, True])
        assert min(await asked()) > 0
        answers.append(Resolution(frozenset({other.address}), True))  # traffic moved to another revision
        await until(lambda: len(front.backends.serving()) == 1)
        assert await asked() == [0, 20]
        assert {server for server, _ in samples(front, "lta_gateway_attempts_total")} == {other.address}
        for nobody in (Resolution(frozenset(), False), Resolution(frozenset(), True)):
            answers.append(nobody)
            await asyncio.sleep(0.2)
            assert await asked() == [0, 20]
        await other.drain()
        await until(lambda: front.backends.serving() == [])


async def test_names_become_every_address_behind_them():
    local = await resolve(("127.0.0.1:7", "[::1]:8"))
    assert local == Resolution(frozenset({"127.0.0.1:7", "[::1]:8"}), True)
    assert not (await resolve(("no-such-name.invalid:1",))).addresses
