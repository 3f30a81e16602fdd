"""GraderService over real gRPC: grades, missing grades, refusals and limits."""

from __future__ import annotations

import asyncio
import threading
import urllib.request

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from learntoask.core.records import Message
from learntoask.grader_service.retry import RETRYABLE
from learntoask.wire import ask_pb2
from learntoask.wire import grader_pb2 as wire
from worlds.grader_service import AGREEMENT, DIGEST, ScriptedGrader, samples, serving, stub_of, wire_case
from worlds.waiting import until

Code = grpc.StatusCode


async def batch(stub, *responses: str, **call: object) -> dict[int, wire.GradeResult]:
    """Collect results by index and check that each comes once."""
    found: dict[int, wire.GradeResult] = {}
    request = wire.GradeBatchRequest(cases=[wire_case(response) for response in responses])
    async for response in stub.GradeBatch(request, **call):
        assert response.digest == DIGEST
        for result in response.results:
            assert result.index not in found
            found[result.index] = result.result
    return found


async def test_a_grade_carries_what_a_reward_needs():
    async with serving(ScriptedGrader()) as server, stub_of(server) as stub:
        response = await stub.Grade(wire.GradeRequest(case=wire_case("Which dish and time?")))
    grade = response.result.grade
    assert (grade.content, grade.content_any, grade.format, grade.is_question) == (0.5, 1.0, 0.5, True)
    assert (list(grade.asked), response.digest) == (["dish", "time"], DIGEST)


async def test_a_batch_answers_every_case_and_a_missing_grade_is_no_number():
    async with serving(ScriptedGrader()) as server, stub_of(server) as stub:
        found = await batch(stub, "dish?", "hmm?", "place?", "I am sorry.", "crash")
        counted = samples(server, "lta_grader_grades_total")
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert [found[index].WhichOneof("outcome") for index in range(5)] == [
        "grade",
        "missing",
        "grade",
        "grade",
        "missing",
    ]
    assert [found[index].grade.content for index in (0, 2, 3)] == [1.0, 0.0, 0.0]
    assert not found[3].grade.is_question
    assert found[1].missing.reason == "cannot tell hmm"
    assert found[4].missing.reason == "a fault of the grader (RuntimeError: words that crash)"
    assert counted == {("rewarding", "grade"): 3, ("rewarding", "missing"): 2}


async def test_results_come_as_they_are_ready():
    grader = ScriptedGrader()
    async with serving(grader, max_batch=1) as server, stub_of(server) as stub:
        call = stub.GradeBatch(wire.GradeBatchRequest(cases=[wire_case("dish?"), wire_case("wait, dish?")]))
        first = await asyncio.wait_for(call.read(), 20)
        assert [result.index for result in first.results] == [0]
        grader.release.set()
        assert [result.index for result in (await call.read()).results] == [1]
        assert await call.read() is grpc.aio.EOF


async def test_cases_of_many_callers_are_graded_together():
    grader = ScriptedGrader()
    async with serving(grader) as server, stub_of(server) as stub:
        held = asyncio.ensure_future(stub.Grade(wire.GradeRequest(case=wire_case("wait"))))
        await until(lambda: grader.batches)
        calls = [
            asyncio.ensure_future(stub.Grade(wire.GradeRequest(case=wire_case(f"dish {n}?"))))
            for n in range(20)
        ]
        await until(lambda: samples(server, "lta_grader_in_flight") == {(): 21.0})
        grader.release.set()
        await asyncio.gather(held, *calls)
        assert [len(cases) for cases in grader.batches] == [1, 20]
        assert samples(server, "lta_grader_batch_cases_sum") == {("rewarding",): 21.0}


async def test_the_context_goes_to_the_grader_with_its_authors():
    grader = ScriptedGrader()
    context = [
        ask_pb2.Message(role=ask_pb2.ROLE_USER, content="hungry"),
        ask_pb2.Message(role=ask_pb2.ROLE_ASSISTANT, content="For when?", author=ask_pb2.AUTHOR_EXPERT),
    ]
    async with serving(grader) as server, stub_of(server) as stub:
        await stub.Grade(wire.GradeRequest(case=wire_case("dish?", context=context)))
    assert grader.batches[0][0].context == (
        Message(role="user", content="hungry", author="user"),
        Message(role="assistant", content="For when?", author="expert"),
    )


BAD = {
    "unknown grader": (
        wire.GradeRequest(grader="strict", case=wire_case("dish?")),
        "grader: 'strict' is not",
    ),
    "unknown task": (wire.GradeRequest(case=wire_case("dish?", task="cook")), "case.task: 'cook' is not in"),
    "no task": (wire.GradeRequest(), "case.task"),
    "a field of another task": (
        wire.GradeRequest(case=wire_case("dish?", target=["dish", "colour"])),
        "case.target: 'colour' is not a field of task 'order'",
    ),
    "1 MB": (wire.GradeRequest(case=wire_case("d" * 1_000_000)), "case.response: 1000000 bytes"),
    "a context of 5 MB": (
        wire.GradeRequest(
            case=wire_case("d", context=[ask_pb2.Message(role=ask_pb2.ROLE_USER, content="d" * 5_000_000)])
        ),
        "case.context: 5000000 bytes",
    ),
    "a role that is none": (
        wire.GradeRequest(case=wire_case("d", context=[ask_pb2.Message(content="d")])),
        "case.context[0].role",
    ),
}
BAD_BATCHES = {
    "none": (wire.GradeBatchRequest(), "cases: none"),
    "too many": (wire.GradeBatchRequest(cases=[wire_case("d")] * 9), "cases: 9, at most 8"),
    "one of them": (
        wire.GradeBatchRequest(cases=[wire_case("d"), wire_case("d", task="cook")]),
        "cases[1].task",
    ),
}


async def test_bad_requests_are_refused_with_the_field_and_the_service_goes_on():
    async with serving(ScriptedGrader(), max_cases=8) as server, stub_of(server) as stub:
        for name, (bad, expected) in {**BAD, **BAD_BATCHES}.items():
            single = isinstance(bad, wire.GradeRequest)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await (stub.Grade(bad) if single else stub.GradeBatch(bad).read())
            assert refused.value.code() is Code.INVALID_ARGUMENT, name
            assert expected in refused.value.details(), name
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server_call(server, "Grade", b"\x0a\x02\xff\xfe")
        assert refused.value.code() is Code.INVALID_ARGUMENT
        assert (await batch(stub, "dish?"))[0].grade.content == 1
        assert samples(server, "lta_grader_calls_total")["Grade", "INVALID_ARGUMENT"] == len(BAD) + 1


async def server_call(server, method: str, data: bytes) -> bytes:
    async with grpc.aio.insecure_channel(server.address) as channel:
        return await channel.unary_unary(f"/learntoask.v1.GraderService/{method}")(data)


async def test_a_full_queue_refuses_at_once_and_recovers():
    grader = ScriptedGrader()
    async with serving(grader, max_queue=4) as server, stub_of(server) as stub:
        held = asyncio.ensure_future(batch(stub, "wait", "dish?", "dish?"))
        await until(lambda: grader.batches)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await batch(stub, "dish?", "dish?", timeout=20)
        assert refused.value.code() is Code.RESOURCE_EXHAUSTED
        assert "3 cases are graded or wait, the service takes 4" in refused.value.details()
        grader.release.set()
        assert len(await held) == 3
        assert len(await batch(stub, "dish?", "dish?", "dish?", "dish?")) == 4


@pytest.mark.parametrize("whose", ["caller", "service"])
async def test_a_passed_deadline_keeps_what_was_sent_and_frees_the_places(whose):
    grader = ScriptedGrader()
    bound = 2.0 if whose == "service" else 30.0
    async with (
        serving(grader, max_batch=1, deadline_seconds=bound, max_queue=3) as server,
        stub_of(server) as stub,
    ):
        request = wire.GradeBatchRequest(cases=[wire_case(one) for one in ("dish?", "wait", "time?")])
        call = stub.GradeBatch(request, timeout=2.0 if whose == "caller" else None)
        assert [result.index for result in (await call.read()).results] == [0]
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await call.read()
        assert late.value.code() is Code.DEADLINE_EXCEEDED
        await until(lambda: samples(server, "lta_grader_in_flight") == {(): 0.0})
        grader.release.set()
        assert len(await batch(stub, "dish?", "place?", "place?")) == 3
        assert [one.response for cases in grader.batches for one in cases] == [
            "dish?",
            "wait",
            "dish?",  # "time?" was not graded, because its caller had gone
            "place?",
            "place?",
        ]


async def test_a_caller_that_goes_away_frees_its_places():
    grader = ScriptedGrader()
    async with serving(grader, max_queue=1) as server, stub_of(server) as stub:
        call = stub.Grade(wire.GradeRequest(case=wire_case("wait")))
        await until(lambda: grader.batches)
        call.cancel()
        await until(lambda: samples(server, "lta_grader_in_flight") == {(): 0.0})
        grader.release.set()
        assert (await batch(stub, "dish?"))[0].grade.content == 1


async def test_info_tells_digest_limits_and_how_far_the_grader_agrees_with_people():
    async with serving(ScriptedGrader(), max_cases=7) as server, stub_of(server) as stub:
        info = await stub.Info(wire.GraderInfoRequest())
    (grader,) = info.graders
    assert (grader.name, grader.digest, grader.kind, grader.context_messages) == (
        "rewarding",
        DIGEST,
        "fields",
        0,
    )
    assert MessageToDict(grader.calibration) == AGREEMENT
    assert (info.pack, info.limits.max_cases, info.draining) == ("food", 7, False)


async def test_health_reflection_and_metrics_are_there():
    async with (
        serving(ScriptedGrader(), metrics_port=0) as server,
        stub_of(server) as stub,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        await batch(stub, "dish?", "time?")
        symbol = "learntoask.v1.GraderService"
        checked = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=symbol)
        )
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        stream = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        assert (await stream.read()).file_descriptor_response.file_descriptor_proto
        stream.cancel()
        url = f"http://127.0.0.1:{server.metrics_port}/metrics"
        page = (await asyncio.to_thread(urllib.request.urlopen, url, timeout=20)).read().decode()
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert lines['lta_grader_calls_total{code="OK",method="GradeBatch"}'] == "1.0"
    assert lines['lta_grader_content_total{content="1",grader="rewarding"}'] == "1.0"
    assert lines['lta_grader_content_total{content="0",grader="rewarding"}'] == "1.0"


async def test_draining_finishes_what_is_here_and_takes_nothing_new():
    grader = ScriptedGrader()
    async with serving(grader) as server, stub_of(server) as stub:
        held = asyncio.ensure_future(batch(stub, "wait", "dish?"))
        await until(lambda: grader.batches)
        draining = asyncio.ensure_future(server.drain())
        async with grpc.aio.insecure_channel(server.address) as channel:
            refused = []

            async def is_refused() -> bool:
                try:
                    await channel.unary_unary("/learntoask.v1.GraderService/Info")(b"", timeout=5)
                except grpc.aio.AioRpcError as error:
                    refused.append(error.code())
                return bool(refused)

            async with asyncio.timeout(20):
                while not await is_refused():
                    await asyncio.sleep(0.01)
        assert refused[0] in RETRYABLE
        grader.release.set()
        assert len(await held) == 2
        await asyncio.wait_for(draining, 20)


async def test_a_grader_that_hangs_does_not_keep_the_service_from_ending():
    grader = ScriptedGrader()
    hanging = threading.Event()
    grader.grade = lambda cases: hanging.wait(60)  # even if the calls fail
    async with serving(grader, drain_seconds=0.2) as server, stub_of(server) as stub:
        call = asyncio.ensure_future(stub.Grade(wire.GradeRequest(case=wire_case("dish?"))))
        await until(lambda: samples(server, "lta_grader_in_flight") == {(): 1.0})
        await asyncio.wait_for(server.drain(), 20)
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    hanging.set()
