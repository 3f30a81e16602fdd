"""Health, reflection, metrics and logs."""

from __future__ import annotations

import io
import json
import logging.config
import urllib.request
from contextlib import suppress
from pathlib import Path

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from learntoask.client import AsyncClient
from learntoask.rpc.logs import LOGGER, structured_logs
from worlds.serving import ScriptedEngine, request, serving, stub_of


async def test_health_knows_the_service_and_the_server():
    async with serving(ScriptedEngine()) as server, grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "learntoask.v1.AskService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_describes_the_service_as_grpcurl_reads_it():
    async with serving(ScriptedEngine()) as server, grpc.aio.insecure_channel(server.address) as channel:
        stream = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = {service.name for service in (await stream.read()).list_services_response.service}
        symbol = "learntoask.v1.AskService"
        await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        files = (await stream.read()).file_descriptor_response.file_descriptor_proto
        stream.cancel()
    assert {symbol, "grpc.health.v1.Health"} <= listed
    described = FileDescriptorProto.FromString(files[0])
    methods = {method.name: method.client_streaming for method in described.service[0].method}
    assert methods == {
        "Decide": False,
        "Converse": True,
        "DecideMany": True,
        "ReportOutcome": False,
        "GetServerInfo": False,
    }


async def test_prometheus_reads_calls_decisions_tokens_and_memory():
    async with serving(ScriptedEngine(), metrics_port=0) as server, stub_of(server) as stub:
        await stub.Decide(request("hello"))
        await stub.Decide(request("bye"))
        page = (
            urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10)
            .read()
            .decode()
        )
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert lines['lta_serving_calls_total{code="OK",method="Decide"}'] == "2.0"
    assert lines['lta_serving_decisions_total{action="stop",origin="model"}'] == "1.0"
    assert lines['lta_serving_tokens_total{kind="prompt"}'] == "20.0"
    assert lines['lta_serving_tokens_total{kind="cached"}'] == "10.0"
    assert lines['lta_serving_answer_seconds_count{method="Decide"}'] == "2.0"
    assert lines["lta_serving_cache_bytes"] == "12345.0"
    assert lines["lta_serving_in_flight"] == "0.0"


async def logged(**settings: object) -> list[dict]:
    sink = io.StringIO()
    with structured_logs(stream=sink):
        async with serving(ScriptedEngine(), **settings) as server, stub_of(server) as stub:
            await stub.Decide(
                request("my knee", conversation_id="c1"), metadata=(("x-request-id", "call-9"),)
            )
            with suppress(grpc.aio.AioRpcError):
                await stub.Decide(request("crash"))
            async with (
                AsyncClient(server.address) as client,
                client.converse(conversation_id="c2") as conversation,
            ):
                await conversation.say("my elbow")
    return [json.loads(line) for line in sink.getvalue().splitlines()]


async def test_lines_are_written_even_when_an_engine_configures_logging_anew():
    sink = io.StringIO()
    with structured_logs(stream=sink):
        async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
            await stub.Decide(request("my knee"))
    assert [one for one in map(json.loads, sink.getvalue().splitlines()) if one["message"] == "call"]


async def test_a_line_that_utf8_cannot_hold_is_escaped_and_costs_no_other():
    sink = io.StringIO()
    with structured_logs(stream=sink):
        LOGGER.info("reading", extra={"fields": {"file": "caf\udce9"}})
        LOGGER.info("read", extra={"fields": {"file": Path("café")}})
    lines = sink.getvalue().encode().splitlines()
    assert [json.loads(line)["file"] for line in lines] == ["caf\udce9", "café"]


async def test_every_call_leaves_one_structured_line_without_what_was_said():
    lines = await logged()
    calls = {(line["method"], line["code"]): line for line in lines if line["message"] == "call"}
    assert set(calls) == {
        ("Decide", "OK"),
        ("Decide", "INTERNAL"),
        ("Converse.answer", "OK"),
        ("Converse", "OK"),
    }
    line = calls["Decide", "OK"]
    assert (line["request_id"], line["conversation_id"], line["action"]) == ("call-9", "c1", "ask")
    assert line["prompt_tokens"] == 10
    assert line["ms"] > 0
    assert "RuntimeError" in calls["Decide", "INTERNAL"]["error"]
    assert calls["Converse", "OK"]["answers"] == 1
    assert calls["Converse.answer", "OK"]["conversation_id"] == "c2"
    assert not any("knee" in json.dumps(line) or "elbow" in json.dumps(line) for line in lines)


async def test_what_was_said_is_logged_only_when_asked_for():
    line = next(line for line in await logged(log_messages=True) if line.get("request_id") == "call-9")
    assert line["said"] == "What else about my knee?"
    assert line["context"] == [["user", "my knee"]]
