"""GraderService over gRPC: converts requests to cases, grades them within limits, and converts the results back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import grpc
from pydantic import JsonValue

from learntoask.core.pack import Pack
from learntoask.grader_service.config import GraderConfig
from learntoask.grader_service.engine import GradingEngine, ReadyResults
from learntoask.grader_service.input_checks import CaseLimits, check_count, checked_case
from learntoask.grader_service.metrics import GraderMetrics
from learntoask.grader_service.wire import case_from_wire, result_to_wire
from learntoask.grading.grades import GradeCase
from learntoask.rpc.calls import Call, Overloaded
from learntoask.rpc.requests import InvalidRequest, Unparsable, require_parsed, tolerant_parser
from learntoask.wire import grader_pb2 as wire

SERVICE = GraderMetrics.service


@dataclass(frozen=True, kw_only=True)
class OfferedGrader:
    """One grader of the service.

    `kind` is `fields` or `llm`. `context_messages` is the number of a context's last messages that it reads.
    `calibration` is its agreement with held-out labels.
    """

    engine: GradingEngine
    digest: str
    kind: str
    context_messages: int
    calibration: Mapping[str, JsonValue]


class GraderService:
    """Answers calls with the graders of a run."""

    def __init__(
        self,
        graders: Mapping[str, OfferedGrader],
        *,
        pack: Pack,
        config: GraderConfig,
        metrics: GraderMetrics,
    ) -> None:
        self.in_flight = 0  # cases
        self._graders = graders
        self._pack = pack
        self._config = config
        self._limits = CaseLimits(
            max_cases=config.max_cases,
            max_message_bytes=config.max_message_bytes,
            max_context_bytes=config.max_context_bytes,
        )
        self._metrics = metrics
        self._draining = False

    def drain(self) -> None:
        """Report `draining` to callers; cases that have arrived are still graded."""
        self._draining = True

    @property
    def busy(self) -> bool:
        return self.in_flight > 0

    async def grade(
        self, request: wire.GradeRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GradeResponse:
        async with Call("Grade", context, self._metrics) as call:
            asked = require_parsed(request)
            name = self._name(asked.grader)
            call.fields["grader"] = name
            case = self._case(asked.case, field="case")
            async with self._grading(name, [case], context) as answers:
                ((_, answer),) = await anext(answers)
            self._metrics.count(name, answer)
            return wire.GradeResponse(result=result_to_wire(answer), digest=self._graders[name].digest)

    async def grade_batch(
        self, request: wire.GradeBatchRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> None:
        async with Call("GradeBatch", context, self._metrics) as call:
            asked = require_parsed(request)
            name = self._name(asked.grader)
            check_count(len(asked.cases), self._limits)
            call.fields |= {"grader": name, "cases": len(asked.cases)}
            cases = [self._case(case, field=f"cases[{index}]") for index, case in enumerate(asked.cases)]
            async with self._grading(name, cases, context) as answers:
                async for ready in answers:
                    await context.write(self._response(name, ready))

    async def info(
        self, request: wire.GraderInfoRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GraderInfoResponse:
        async with Call("Info", context, self._metrics):
            require_parsed(request)
            config = self._config
            return wire.GraderInfoResponse(
                version=version("learntoask"),
                pack=self._pack.name,
                graders=[_info(name, offered) for name, offered in self._graders.items()],
                limits=wire.GraderLimits(
                    max_cases=config.max_cases,
                    max_queue=config.max_queue,
                    max_message_bytes=config.max_message_bytes,
                    deadline_seconds=config.deadline_seconds,
                ),
                draining=self._draining,
            )

    def _name(self, name: str) -> str:
        if name in self._graders:
            return name
        if not name and len(self._graders) == 1:
            return next(iter(self._graders))
        known = ", ".join(self._graders)
        raise InvalidRequest("grader", f"{name[:80]!r} is not served here; the graders are: {known}")

    def _case(self, case: wire.GradeCase, *, field: str) -> GradeCase:
        return checked_case(
            case_from_wire(case, field=field), field=field, pack=self._pack, limits=self._limits
        )

    def _response(self, name: str, ready: ReadyResults) -> wire.GradeBatchResponse:
        for _, answer in ready:
            self._metrics.count(name, answer)
        results = [wire.IndexedResult(index=index, result=result_to_wire(answer)) for index, answer in ready]
        return wire.GradeBatchResponse(results=results, digest=self._graders[name].digest)

    @asynccontextmanager
    async def _grading(
        self, name: str, cases: Sequence[GradeCase], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[AsyncGenerator[ReadyResults]]:
        """Give results as they become ready.

        Raises Overloaded at once if the queue is full, and TimeoutError at the caller's or the service's own deadline.
        """
        most, bound, left = self._config.max_queue, self._config.deadline_seconds, context.time_remaining()
        if self.in_flight + len(cases) > most:
            raise Overloaded(f"{self.in_flight} cases are graded or wait, the service takes {most}")
        self.in_flight += len(cases)
        try:
            async with (
                asyncio.timeout(bound if left is None else min(bound, left)),
                aclosing(self._graders[name].engine.grade(cases)) as answers,
            ):
                yield answers
        finally:
            self.in_flight -= len(cases)


def handlers(service: GraderService) -> grpc.GenericRpcHandler:
    """Register the methods with a deserializer that reports malformed bytes as INVALID_ARGUMENT.

    The generated registration would report them as INTERNAL.
    """
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Grade": grpc.unary_unary_rpc_method_handler(
                service.grade, tolerant_parser(wire.GradeRequest), wire.GradeResponse.SerializeToString
            ),
            "GradeBatch": grpc.unary_stream_rpc_method_handler(
                service.grade_batch,
                tolerant_parser(wire.GradeBatchRequest),
                wire.GradeBatchResponse.SerializeToString,
            ),
            "Info": grpc.unary_unary_rpc_method_handler(
                service.info,
                tolerant_parser(wire.GraderInfoRequest),
                wire.GraderInfoResponse.SerializeToString,
            ),
        },
    )


def _info(name: str, offered: OfferedGrader) -> wire.GraderInfo:
    info = wire.GraderInfo(
        name=name,
        digest=offered.digest,
        kind=offered.kind,
        context_messages=offered.context_messages,
    )
    info.calibration.update(offered.calibration)
    return info
