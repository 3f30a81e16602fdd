"""Converse holds a conversation in a stream: history, invalid requests, and draining servers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from learntoask.client import AsyncClient, CallFailed, assistant, user
from learntoask.core.records import STOP
from learntoask.wire import ask_pb2 as wire
from worlds.serving import ScriptedEngine, request, samples, serving, stub_of
from worlds.waiting import until


def opening(*history: wire.Message, **fields: object) -> wire.ConverseRequest:
    return wire.ConverseRequest(open=wire.ConverseRequest.Open(history=history, **fields))


def saying(text: str) -> wire.ConverseRequest:
    return wire.ConverseRequest(user_message=text)


async def test_every_user_message_is_answered_in_the_light_of_all_before():
    engine = ScriptedEngine()
    async with serving(engine) as server, AsyncClient(server.address) as client:
        async with client.converse(task="refill", goal="Refill.") as conversation:
            first = await conversation.say("pills")
            second = await conversation.say("two")
            third = await conversation.say("bye")
            fourth = await conversation.say("one more thing")
        assert samples(server, "lta_serving_conversations") == {(): 0.0}
    assert [d.question for d in (first, second, third, fourth)] == [
        "What else about pills?",
        "Since when?",
        None,
        "What else about one more thing?",
    ]
    last = engine.contexts[-1]
    assert (last.task, last.goal) == ("refill", "Refill.")
    # The context keeps what the user was shown, not what the model generated; a stop leaves an empty message.
    assert [message.content for message in last.messages] == [
        "pills",
        "What else about pills?",
        "two",
        "Since when?",
        "bye",
        "",
        "one more thing",
    ]
    assert conversation.messages[5].content == STOP


async def test_a_history_that_waits_for_an_answer_gets_it_at_once():
    async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
        stream = stub.Converse()
        await stream.write(opening(*request("a", "Why?", "b").messages))
        assert (await stream.read()).decision.ask.question == "What else about b?"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


BAD = {
    "not opened": ([saying("hi")], "event: the first request of a stream is open"),
    "opened twice": ([opening(), opening()], "event: a stream is opened once"),
    "nothing said": ([opening(), wire.ConverseRequest()], "event: a stream is opened once"),
    "unknown task": ([opening(task="x")], "task: 'x' is not in pack"),
    "bad history": ([opening(wire.Message(content="a"))], "open.history[0].role"),
    "empty message": ([opening(), saying("  ")], "open.history[0].content: the user's last message is empty"),
    "1 MB message": ([opening(), saying("a" * 1_000_000)], "user_message: 1000000 bytes"),
    "too many messages": ([opening(*request(*"a" * 9).messages)], "open.history: 9 messages, at most 8"),
}


async def test_bad_events_close_the_stream_with_the_field():
    async with serving(ScriptedEngine(), max_messages=8) as server, stub_of(server) as stub:
        for name, (events, expected) in BAD.items():
            stream = stub.Converse()
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # refused before all was sent
                for event in events:
                    await stream.write(event)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stream.read()
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, name
            assert expected in refused.value.details(), name
        async with AsyncClient(server.address) as client, client.converse() as conversation:
            assert (await conversation.say("hello")).question


async def test_a_conversation_that_grows_too_long_is_told_so():
    async with serving(ScriptedEngine(), max_messages=4) as server, AsyncClient(server.address) as client:
        async with client.converse() as conversation:
            for _ in range(2):
                await conversation.say("hello")
            with pytest.raises(CallFailed, match="begin a new conversation") as failed:
                await conversation.say("hello")
        assert failed.value.code == "INVALID_ARGUMENT"
        assert len(conversation.messages) == 4  # the refused message is not part of it


async def test_draining_finishes_answers_closes_streams_and_says_not_serving_first():
    engine = ScriptedEngine()
    async with serving(engine, drain_delay_seconds=0.2) as server, stub_of(server) as stub:
        async with grpc.aio.insecure_channel(server.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service="learntoask.v1.AskService")
            )
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            idle, busy = stub.Converse(), stub.Converse()
            for stream in (idle, busy):
                await stream.write(opening())
            await busy.write(saying("wait"))
            decide = stub.Decide(request("wait"))
            await until(lambda: engine.running == 2)

            draining = asyncio.ensure_future(server.drain())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError) as closed:
                await idle.read()
            assert closed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "another address" in closed.value.details()
            assert (await stub.GetServerInfo(wire.GetServerInfoRequest())).draining
            assert engine.running == 2

            engine.release.set()
            assert (await busy.read()).decision.ask.question == "What else about wait?"
            with pytest.raises(grpc.aio.AioRpcError) as closed:
                await busy.read()
            assert closed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert (await decide).decision.HasField("ask")
            await asyncio.wait_for(draining, 3)  # a client that watches the health does not delay it
        assert engine.closed


async def test_the_client_replays_the_conversation_at_another_server():
    first_engine, second_engine = ScriptedEngine(), ScriptedEngine()
    async with (
        serving(first_engine) as first,
        serving(second_engine) as second,
        AsyncClient([first.address, second.address], timeout=20) as client,
    ):
        before = [user("hi"), assistant("Yes?")]
        async with client.converse(task="refill", history=before) as conversation:
            await conversation.say("pills")
            await first.drain()
            moved = await conversation.say("blue ones")
        assert (await client.decide([user("still there")])).question
    assert moved.question == "What else about blue ones?"
    assert [message.content for message in second_engine.contexts[0].messages] == [
        "hi",
        "Yes?",
        "pills",
        "What else about pills?",
        "blue ones",
    ]
    assert second_engine.contexts[0].task == "refill"
    assert len(first_engine.contexts) == 1


async def test_an_answer_under_way_is_not_lost_when_its_server_dies():
    dying, living = ScriptedEngine(), ScriptedEngine()
    living.release.set()
    async with (
        serving(dying, drain_seconds=0.0) as first,
        serving(living) as second,
        AsyncClient([first.address, second.address], timeout=20) as client,
        client.converse() as conversation,
    ):
        asked = asyncio.ensure_future(conversation.say("wait"))
        await until(lambda: dying.running == 1)
        await first.drain()  # without grace, running calls are cut off
        assert (await asked).question == "What else about wait?"
    assert len(living.contexts) == 1


async def test_callers_connect_anew_now_and_then_without_losing_a_call():
    async with (
        serving(ScriptedEngine(), max_connection_seconds=0.3) as server,
        AsyncClient(server.address, attempts=1) as client,
        client.converse() as conversation,
    ):
        await conversation.say("my knee")  # a stream stays on its connection
        most = 1
        for _ in range(100):
            assert (await client.decide([user("my elbow")])).question
            most = max(most, _connections(server.port))
            await asyncio.sleep(0.01)
        assert (await conversation.say("my wrist")).question
        assert most >= 2


def _connections(port: int) -> int:
    """Return the connections of this process to a server in it, as the kernel counts them."""
    tables = (Path("/proc/self/net", name).read_text() for name in ("tcp", "tcp6"))
    rows = (line.split() for table in tables for line in table.splitlines())
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


async def test_the_client_gives_up_by_its_deadline_and_says_why():
    async with AsyncClient("127.0.0.1:1", timeout=0.5) as client:
        with pytest.raises(CallFailed) as failed:
            await client.decide([user("hello")])
        assert failed.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    engine = ScriptedEngine()
    async with serving(engine) as server, AsyncClient(server.address, timeout=2.0) as client:
        async with client.converse() as conversation:
            with pytest.raises(CallFailed) as failed:
                await conversation.say("wait")
            assert failed.value.code == "DEADLINE_EXCEEDED"
            await until(lambda: engine.cancelled == 1)
            assert (await conversation.say("hello")).question == "What else about hello?"
        assert [message.content for message in conversation.messages] == ["hello", "What else about hello?"]
