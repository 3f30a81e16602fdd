"""Calls of many conversations in one stream: each is answered, refused, cancelled or late by itself."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from learntoask.wire import ask_pb2 as wire
from worlds.serving import ScriptedEngine, request, samples, serving, stub_of
from worlds.waiting import until


def call(number: int, said: str, *, seconds: float = 30.0, **fields: object) -> wire.DecideManyRequest.Call:
    return wire.DecideManyRequest.Call(
        id=number, request=request(said, **fields), seconds=seconds, request_id=f"request-{number}"
    )


async def results(stream, count: int) -> dict[int, wire.DecideManyResponse.Result]:
    """Read until `count` calls have ended."""
    found: dict[int, wire.DecideManyResponse.Result] = {}
    while len(found) < count:
        found |= {result.id: result for result in (await stream.read()).results}
    return found


async def test_each_call_ends_with_the_status_that_it_would_have_alone():
    engine = ScriptedEngine()
    async with (
        serving(engine, max_concurrent=2, max_queue=1) as server,
        stub_of(server) as stub,
    ):
        stream = stub.DecideMany()
        await stream.write(
            wire.DecideManyRequest(
                calls=[
                    call(1, "my knee"),
                    call(2, "hello", task="unknown"),
                    call(3, "crash"),
                    call(4, "wait", seconds=0.5),
                ]
            )
        )
        ended = await results(stream, 4)
        assert ended[1].decision.ask.question == "What else about my knee?"
        assert ended[1].decision.request_id == "request-1"
        codes = {number: ended[number].failure.code for number in (2, 3, 4)}
        assert codes == {
            2: grpc.StatusCode.INVALID_ARGUMENT.value[0],
            3: grpc.StatusCode.INTERNAL.value[0],
            4: grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
        }
        assert "known tasks: default, refill" in ended[2].failure.message
        assert "request-3" in ended[3].failure.message
        assert engine.cancelled == 1
        calls = samples(server, "lta_serving_calls_total")
        assert (
            calls["Decide", "OK"] == calls["Decide", "INTERNAL"] == calls["Decide", "DEADLINE_EXCEEDED"] == 1
        )

        await stream.write(wire.DecideManyRequest(calls=[call(number, "wait") for number in (5, 6, 7, 8)]))
        ended = await results(stream, 1)  # one more than run and wait
        assert ended[8].failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        await stream.write(wire.DecideManyRequest(cancelled=[5, 6, 99]))
        await until(lambda: engine.cancelled == 3)
        engine.release.set()
        assert (await results(stream, 1))[7].decision.HasField("ask")
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


async def test_a_stream_that_is_closed_or_lost_leaves_no_work_behind():
    engine = ScriptedEngine()
    async with serving(engine) as server, stub_of(server) as stub:
        lost = stub.DecideMany()
        await lost.write(wire.DecideManyRequest(calls=[call(1, "wait"), call(2, "wait")]))
        await until(lambda: engine.running == 2)
        lost.cancel()
        await until(lambda: engine.cancelled == 2)

        closed = stub.DecideMany()
        await closed.write(wire.DecideManyRequest(calls=[call(1, "wait")]))
        await closed.done_writing()
        await until(lambda: engine.running == 1)
        engine.release.set()
        assert (await results(closed, 1))[1].decision.HasField("ask")
        assert await closed.read() is grpc.aio.EOF


async def test_a_server_that_drains_says_so_and_answers_what_was_begun():
    engine = ScriptedEngine()
    async with serving(engine) as server, stub_of(server) as stub:
        stream = stub.DecideMany()
        await stream.write(wire.DecideManyRequest(calls=[call(1, "wait")]))
        await until(lambda: engine.running == 1)
        draining = asyncio.create_task(server.drain())
        assert (await stream.read()).draining
        await stream.write(wire.DecideManyRequest(calls=[call(2, "hello")]))  # sent before it was heard of
        assert (await results(stream, 1))[2].decision.HasField("ask")
        engine.release.set()
        assert (await results(stream, 1))[1].decision.HasField("ask")
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        await draining


async def test_bytes_that_are_no_request_are_refused():
    async with serving(ScriptedEngine()) as server, grpc.aio.insecure_channel(server.address) as channel:
        stream = channel.stream_stream("/learntoask.v1.AskService/DecideMany")()
        await stream.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stream.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "not a learntoask.v1.DecideManyRequest" in refused.value.details()
