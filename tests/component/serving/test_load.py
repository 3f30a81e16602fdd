"""Limits of the server: queue, deadlines, cancelled calls, open conversations."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from learntoask.wire import ask_pb2 as wire
from worlds.serving import ScriptedEngine, request, samples, serving, stub_of
from worlds.waiting import until


async def test_a_full_queue_refuses_at_once_and_recovers():
    engine = ScriptedEngine()
    async with serving(engine, max_concurrent=2, max_queue=3) as server, stub_of(server) as stub:
        held = [asyncio.ensure_future(stub.Decide(request("wait"))) for _ in range(5)]
        await until(lambda: engine.running == 5)
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Decide(request("hello"), timeout=5)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "retry later" in refused.value.details()
        assert engine.running == 5
        assert samples(server, "lta_serving_in_flight") == {(): 5.0}
        engine.release.set()
        await asyncio.gather(*held)
        assert (await stub.Decide(request("hello"))).decision.HasField("ask")


@pytest.mark.parametrize("whose", ["caller", "server"])
async def test_a_passed_deadline_frees_the_slot(whose):
    engine = ScriptedEngine()
    bound = 1.0 if whose == "server" else 30.0
    async with (
        serving(engine, max_concurrent=1, max_queue=0, deadline_seconds=bound) as server,
        stub_of(server) as stub,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await stub.Decide(request("wait"), timeout=1.0 if whose == "caller" else None)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: engine.cancelled == 1)
        assert (await stub.Decide(request("hello"))).decision.HasField("ask")


@pytest.mark.parametrize("kind", ["Decide", "Converse"])
async def test_cancelling_a_call_frees_the_slot(kind):
    engine = ScriptedEngine()
    async with serving(engine, max_concurrent=1, max_queue=0) as server, stub_of(server) as stub:
        if kind == "Decide":
            call = stub.Decide(request("wait"))
        else:
            call = stub.Converse()
            await call.write(wire.ConverseRequest(open=wire.ConverseRequest.Open()))
            await call.write(wire.ConverseRequest(user_message="wait"))
        await until(lambda: engine.running == 1)
        call.cancel()
        await until(lambda: engine.cancelled == 1)
        assert (await stub.Decide(request("hello"))).decision.HasField("ask")
        assert samples(server, "lta_serving_calls_total")[kind, "CANCELLED"] == 1


async def test_open_conversations_are_bounded():
    async with serving(ScriptedEngine(), max_conversations=1) as server, stub_of(server) as stub:
        first = stub.Converse()
        await first.write(wire.ConverseRequest(open=wire.ConverseRequest.Open()))
        await first.write(wire.ConverseRequest(user_message="hello"))
        await first.read()
        second = stub.Converse()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await second.read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.done_writing()
        assert await first.read() is grpc.aio.EOF
        third = stub.Converse()
        await third.write(wire.ConverseRequest(open=wire.ConverseRequest.Open()))
        await third.write(wire.ConverseRequest(user_message="hello"))
        assert (await third.read()).decision.HasField("ask")
        third.cancel()
