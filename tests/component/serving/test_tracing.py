"""Traces of calls: one through application, gateway and policy server, received by OpenTelemetry's own protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path

import grpc
import pytest
from learntoask.client import AsyncClient, CallFailed, user
from learntoask.rpc.logs import LOGGER, structured_logs
from learntoask.rpc.tracing import is_wanted, tracing
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.sdk.trace import TracerProvider
from worlds.gateway import gateway, write_pack
from worlds.served_processes import GATEWAY, SERVER, process
from worlds.serving import ScriptedEngine, request, serving, stub_of
from worlds.traces import TraceReceiver, trace_receiver

SERVER_KIND, CLIENT_KIND = 2, 3  # of the protocol
DECIDE = "learntoask.v1.AskService/Decide"
TEXTS = ("the secret words of a user", "What else about")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[TraceReceiver]:
    """A receiver that the environment names."""
    with trace_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield receiver


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path)


async def test_a_decide_is_one_trace_through_application_gateway_and_server(
    receiver: TraceReceiver, pack: Path
) -> None:
    with process(SERVER, PORT="0") as server:
        settings = {"PACK": str(pack), "SERVERS": server.address, "PORT": "0"}
        with process(GATEWAY, **{f"LTA_GATEWAY_{name}": value for name, value in settings.items()}) as front:
            application = TracerProvider().get_tracer("application")
            async with AsyncClient(front.address) as client:
                with application.start_as_current_span("advising") as advising:
                    decision = await client.decide([user(TEXTS[0])], conversation_id="c-7")
            assert decision.origin == "model"
            (served,) = receiver.wait(1, service="learntoask-policy-server", name=DECIDE)
            (fronted,) = receiver.wait(1, service="learntoask-gateway", kind=SERVER_KIND, name=DECIDE)
            (attempt,) = receiver.wait(1, service="learntoask-gateway", kind=CLIENT_KIND)
            lines = {"gateway": front.log(), "server": server.log()}
    outer = advising.get_span_context()
    trace = f"{outer.trace_id:032x}"
    assert {span.trace for span in receiver.spans} == {trace}
    assert (fronted.parent, attempt.parent, served.parent) == (
        f"{outer.span_id:016x}",
        fronted.span,
        attempt.span,
    )
    assert attempt.attributes["server.address"] == server.address
    assert served.attributes["rpc.response.status_code"] == "OK"
    assert served.attributes["learntoask.action"] == "ask"
    assert fronted.attributes["learntoask.policy_revision"] == "r1"
    assert served.attributes["learntoask.request_id"] == decision.request_id
    for log in lines.values():
        (line,) = [line for line in log if line["message"] == "call"]
        assert (line["trace_id"], line["request_id"]) == (trace, decision.request_id)
    assert not [text for text in (*TEXTS, "c-7") if text in str(receiver.spans)]


async def test_what_fails_is_marked_and_its_message_stays_here(receiver: TraceReceiver, pack: Path) -> None:
    with tracing("tests"):
        async with (
            serving(ScriptedEngine()) as server,
            gateway(pack, server.address) as front,
            stub_of(front) as stub,
        ):
            assert (await stub.Decide(request("crash"))).decision
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Decide(request("hello", task="unknown words"))
    (crashed,) = [
        span for span in receiver.spans if span.attributes.get("error.type") == "INTERNAL" and span.kind == 2
    ]
    assert (crashed.failed, crashed.description) == (True, "RuntimeError")
    refused = [
        span for span in receiver.spans if span.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    ]
    assert [(span.kind, span.failed) for span in refused] == [(2, False), (3, True), (2, False)]
    assert "words" not in str(receiver.spans)


async def test_the_answers_of_a_stream_belong_to_its_trace(receiver: TraceReceiver) -> None:
    with tracing("tests"):
        async with (
            serving(ScriptedEngine()) as server,
            AsyncClient(server.address) as client,
            client.converse() as conversation,
        ):
            await conversation.say("monday")
            await conversation.say("bye")
    (stream,) = [span for span in receiver.spans if span.name.endswith("/Converse")]
    answers = [span for span in receiver.spans if span.name.endswith("/Converse.answer")]
    assert [(span.trace, span.parent) for span in answers] == [(stream.trace, stream.span)] * 2
    assert stream.attributes["learntoask.answers"] == 2


async def test_no_span_is_sampled_unless_the_caller_samples(
    receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    trace, span = "a" * 32, "b" * 16
    with tracing("tests"):
        async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
            await stub.Decide(request("monday"))
            await stub.Decide(request("monday"), metadata=(("traceparent", f"00-{trace}-{span}-01"),))
            await stub.Decide(request("monday"), metadata=(("traceparent", "no such thing"),))
    assert [(one.trace, one.parent) for one in receiver.spans] == [(trace, span)]


def test_calls_go_on_while_the_receiver_is_away_and_spans_come_once_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with trace_receiver() as first:
        port = int(first.endpoint.rpartition(":")[2])
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", first.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with process(SERVER, PORT="0") as server:
        with grpc.insecure_channel(server.address) as channel:
            decide = channel.unary_unary(f"/{DECIDE}")
            while not server.has_logged("traces cannot be sent, spans are lost: "):
                assert decide(request("monday").SerializeToString(), timeout=30)
        with trace_receiver(port) as second, grpc.insecure_channel(server.address) as channel:
            decide = channel.unary_unary(f"/{DECIDE}")
            while not server.has_logged("traces are sent again"):
                assert decide(request("monday").SerializeToString(), timeout=30)
            assert second.spans
        lines = server.log()  # which waits for its end, without a receiver
    told = [line["message"] for line in lines if "traces" in line["message"]]
    assert len(told) <= 3, "once for each change, and the last spans have nowhere to go"


async def test_spans_go_over_http_too_with_the_headers_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver = TraceReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            wanted = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            receiver.take(wanted, {"path": self.path, **dict(self.headers)})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        for name, value in {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{http.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=lab",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }.items():
            monkeypatch.setenv(name, value)
        with tracing("tests"):
            async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
                await stub.Decide(request("monday"))
        http.shutdown()
    assert [span.name for span in receiver.spans] == [DECIDE]
    assert (receiver.metadata[0]["path"], receiver.metadata[0]["x-team"]) == ("/v1/traces", "lab")


async def test_a_receiver_on_loopback_is_reached_without_the_proxy(
    receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "http_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20eA==")
    with tracing("tests"):
        async with serving(ScriptedEngine()) as server, AsyncClient(server.address) as client:
            await client.decide([user("monday")])
    assert [span.name for span in receiver.spans] == [DECIDE]
    assert receiver.metadata[0]["authorization"] == "Basic eA=="


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "OTEL_EXPORTER_OTLP_PROTOCOL: 'smoke' is not one of grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector"}, "collector"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "OTEL_EXPORTER_OTLP_COMPRESSION"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            "OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' is not an http",
        ),
    ],
)
async def test_variables_that_make_no_sense_are_told_and_calls_go_on(
    receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    sink = StringIO()
    with structured_logs(stream=sink), tracing("tests"):
        async with serving(ScriptedEngine()) as server, stub_of(server) as stub:
            assert (await stub.Decide(request("monday"))).decision
    warnings = [line["message"] for line in map(json.loads, sink.getvalue().splitlines())]
    assert [line for line in warnings if line.startswith("no traces: ") and message in line]
    assert not receiver.spans


def test_a_missing_package_is_told_and_nothing_else_happens() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from learntoask.rpc.tracing import tracing\n"
        "with tracing('tests'): print('works')\n"
    )
    ended = _python(program, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert ended.stdout == "works\n"
    assert "pip install 'learntoask[tracing]'" in ended.stderr


def test_nothing_of_opentelemetry_is_imported_while_traces_are_off() -> None:
    program = (
        "import asyncio, sys\n"
        "import learntoask.pod.stage, learntoask.runner.process, learntoask.local.executor\n"
        "from learntoask.client import AsyncClient, user\n"
        "from learntoask.rpc.tracing import tracing\n"
        "from worlds.serving import ScriptedEngine, serving\n"
        "async def main():\n"
        "    async with serving(ScriptedEngine()) as server, AsyncClient(server.address) as client:\n"
        "        print((await client.decide([user('monday')])).origin)\n"
        "with tracing('tests'): asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'learntoask.rpc.otlp'))])\n"
    )
    ended = _python(program)
    assert ended.stdout == "model\n[]\n", ended.stderr


def _python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    kept["PYTHONPATH"] = f"{Path(__file__).parents[2]}:{kept.get('PYTHONPATH', '')}"
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


async def test_a_caller_without_a_trace_sends_none(receiver: TraceReceiver) -> None:
    """The server begins the trace then."""
    with tracing("tests"):
        async with serving(ScriptedEngine()) as server, AsyncClient(server.address) as client:
            await client.decide([user("monday")])
            with pytest.raises(CallFailed):
                await client.decide([user("crash")])
    assert [span.parent for span in receiver.spans] == ["", ""]
    assert len({span.trace for span in receiver.spans}) == 2
    assert not LOGGER.filters


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4317"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "console,otlp"}, True),
    ],
)
def test_traces_are_on_if_the_variables_name_a_receiver(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted
