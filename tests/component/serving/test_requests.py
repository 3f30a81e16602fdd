"""Requests over real gRPC: answers and refusals, after each of which the server goes on."""

from __future__ import annotations

import grpc
import pytest
from learntoask.core.records import Message
from learntoask.wire import ask_pb2 as wire
from worlds.serving import PACK, ScriptedEngine, request, samples, serving, stub_of

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def message(content: str, *, role: int = wire.ROLE_USER, author: int = 0) -> wire.Message:
    return wire.Message(role=role, content=content, author=author)


async def test_a_decision_carries_everything_the_caller_needs():
    engine = ScriptedEngine()
    async with serving(engine) as server, stub_of(server) as stub:
        asked = request("it hurts", "Since when?", "monday")
        decision = (await stub.Decide(asked, metadata=(("x-request-id", "call-7"),))).decision
    assert decision.ask.question == "What else about monday?"
    assert decision.stop_probability == pytest.approx(0.6065, abs=1e-4)
    assert (decision.policy_revision, decision.origin) == ("r1", wire.ORIGIN_MODEL)
    assert (decision.usage.prompt_tokens, decision.usage.cached_tokens, decision.usage.completion_tokens) == (
        30,
        5,
        7,
    )
    assert decision.request_id == "call-7"
    context = engine.contexts[0]
    assert (context.task, context.goal) == ("default", None)
    assert [(m.role, m.author) for m in context.messages] == [
        ("user", "user"),
        ("assistant", "policy"),
        ("user", "user"),
    ]


@pytest.mark.parametrize(
    ("said", "question", "origin"),
    [
        ("bye", None, wire.ORIGIN_MODEL),
        ("two", "Since when?", wire.ORIGIN_REPAIRED),
        ("mumble", PACK.fallback, wire.ORIGIN_FALLBACK),
    ],
)
async def test_answers_are_validated_and_counted(said, question, origin):
    async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
        decision = (await stub.Decide(request(said))).decision
        counted = samples(server, "lta_serving_decisions_total")
    assert (decision.ask.question if decision.HasField("ask") else None) == question
    assert decision.HasField("stop") == (question is None)
    assert decision.origin == origin
    action = "stop" if question is None else "ask"
    assert counted == {(action, {1: "model", 2: "repaired", 3: "fallback"}[origin]): 1.0}


async def test_the_request_names_task_goal_and_authors():
    engine = ScriptedEngine()
    asked = request("hello", "A person: what is it?", "my refill", task="refill", goal="Refill fast.")
    asked.messages[1].author = wire.AUTHOR_EXPERT
    asked.messages[1].content += " <end>"
    async with serving(engine) as server, stub_of(server) as stub:
        await stub.Decide(asked)
    context = engine.contexts[0]
    assert (context.task, context.goal) == ("refill", "Refill fast.")
    # End markers are removed from the context, as from the logs that the policy was trained on.
    assert context.messages[1] == Message(role="assistant", content="A person: what is it?", author="expert")


BAD = {
    "no messages": (wire.DecideRequest(), "messages: no messages"),
    "last from the assistant": (
        wire.DecideRequest(messages=[message("hi"), message("what?", role=wire.ROLE_ASSISTANT)]),
        "messages[1].role",
    ),
    "role unspecified": (wire.DecideRequest(messages=[message("hi", role=0)]), "messages[0].role"),
    "role unknown": (wire.DecideRequest(messages=[message("a"), message("b", role=9)]), "messages[1].role"),
    "author against role": (
        wire.DecideRequest(messages=[message("hi", author=wire.AUTHOR_POLICY)]),
        "messages[0].author",
    ),
    "empty last message": (wire.DecideRequest(messages=[message(" \n")]), "messages[0].content"),
    "only an end marker": (wire.DecideRequest(messages=[message("<end>")]), "messages[0].content"),
    "1 MB message": (
        wire.DecideRequest(messages=[message("a" * 1_000_000)]),
        "messages[0].content: 1000000 bytes",
    ),
    "too long in bytes only": (wire.DecideRequest(messages=[message("ü" * 40_000)]), "80000 bytes"),
    "too long in all": (request(*["ü" * 30_000] * 5), "messages: 300000 bytes in all, at most 262144"),
    "10,000 messages": (
        wire.DecideRequest(messages=[message("a")] * 10_000),
        "messages: 10000 messages, at most 1000",
    ),
    "unknown task": (
        request("hi", task="pharmacie"),
        "task: 'pharmacie' is not in pack 'pharmacy'; known tasks: default",
    ),
    "long goal": (request("hi", goal="g" * 70_000), "goal: 70000 bytes"),
    "long conversation id": (request("hi", conversation_id="c" * 300), "conversation_id: 300 characters"),
    "unreadable for the policy": (request("unreadable"), "the system prompt alone"),
}


async def test_bad_requests_are_refused_with_the_field_and_the_server_goes_on():
    async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
        for name, (bad, expected) in BAD.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Decide(bad)
            assert refused.value.code() is INVALID, name
            assert expected in refused.value.details(), name
            assert dict(refused.value.trailing_metadata())["x-request-id"], name
        assert (await stub.Decide(request("hello"))).decision.HasField("ask")
        assert samples(server, "lta_serving_calls_total")["Decide", "INVALID_ARGUMENT"] == len(BAD)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x12\x04\xff\xfe\xff\xfe", id="invalid UTF-8 in the task"),
        pytest.param(b"\x0a\x05\x12\x03\xff\xfea", id="invalid UTF-8 in a message"),
        pytest.param(b"\xff\xff\xff", id="no protobuf at all"),
    ],
)
async def test_bytes_that_are_no_request_are_the_callers_fault(raw):
    async with serving(ScriptedEngine()) as server, grpc.aio.insecure_channel(server.address) as channel:
        for call in (
            channel.unary_unary("/learntoask.v1.AskService/Decide")(raw),
            channel.unary_unary("/learntoask.v1.AskService/GetServerInfo")(b"\xff\xff"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is INVALID
            assert "UTF-8" in refused.value.details()
        stream = channel.stream_stream("/learntoask.v1.AskService/Converse")()
        await stream.write(b"\x12\x03\xff\xfea")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stream.read()
        assert refused.value.code() is INVALID
        answer = await channel.unary_unary("/learntoask.v1.AskService/Decide")(
            request("hi").SerializeToString()
        )
        assert wire.DecideResponse.FromString(answer).decision.HasField("ask")


async def test_a_request_over_the_size_bound_is_refused_before_it_is_parsed():
    async with serving(ScriptedEngine(), max_request_bytes=100_000) as server, stub_of(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Decide(request("a" * 200_000))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Decide(request("hello"))).decision.HasField("ask")


async def test_a_fault_of_the_engine_is_internal_and_tells_nothing_but_the_request_id():
    async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Decide(request("crash"), metadata=(("x-request-id", "call-8"),))
        assert failed.value.code() is grpc.StatusCode.INTERNAL
        assert "call-8" in failed.value.details()
        assert "secret" not in failed.value.details()
        assert (await stub.Decide(request("hello"))).decision.HasField("ask")


async def test_server_info_tells_policy_pack_and_limits():
    async with serving(ScriptedEngine(), max_messages=7) as server, stub_of(server) as stub:
        info = await stub.GetServerInfo(wire.GetServerInfoRequest())
    assert (info.policy_revision, info.pack, info.default_task) == ("r1", "pharmacy", "default")
    assert [task.name for task in info.tasks] == ["default", "refill"]
    assert info.limits.max_messages == 7
    assert len(info.pack_digest) == 64
    assert not info.draining
