"""A grader that asks a grader service.

The service may be unreachable for a while or be restarted. Results that have arrived are kept, and the other cases are
sent again until no result has arrived for `Timing.retry_for` seconds. Cases without a result then are missing, with the
reason.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import grpc

from learntoask.core.errors import StageError
from learntoask.grader_service.retry import BACKOFF, REFUSALS, RETRYABLE, Code, Timing
from learntoask.grader_service.wire import case_to_wire, result_from_wire
from learntoask.grading.grades import Grade, GradeCase, MissingGrade, grade_by_rule
from learntoask.rpc.channels import Tls, authorization, open_channel
from learntoask.wire import grader_pb2 as wire
from learntoask.wire.grader_pb2_grpc import GraderServiceStub

Results = dict[int, Grade | MissingGrade]
_CASES_A_CALL = 512
_JUDGED_A_CALL = 64  # a judge takes seconds for each case, and a call must end within its timeout
_BYTES_A_CALL = 2 * 2**20
_OPTIONS = (
    ("grpc.lb_policy_name", "round_robin"),  # over all addresses of one name
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),  # a restarted service is results soon
)


class _Unanswered(Exception):
    """The service gave no answer in time; the message describes the last attempt."""


@dataclass(frozen=True, kw_only=True)
class _GraderInfo:
    """Messages of a context that the grader reads, and cases that one call may hold."""

    context_messages: int
    cases_a_call: int


class RemoteGrader:
    """A Grader behind an address; use it with `with`, from one thread.

    `grader` is its name at the service, `digest` the digest that it must have.
    """

    def __init__(
        self,
        address: str,
        *,
        grader: str,
        digest: str,
        token: str | None = None,
        tls: Tls | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.digest = digest
        self._address = address
        self._grader = grader
        self._metadata = authorization(token)
        self._tls = tls
        self._timing = timing or Timing()
        self._runner = asyncio.Runner()
        self._channel: grpc.aio.Channel | None = None
        self._info: _GraderInfo | None = None  # None before the first call
        self._away = False  # after an outage, calls try only once until one is answered

    def __enter__(self) -> RemoteGrader:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._runner.run(self._channel.close())
            self._channel = None
        self._runner.close()

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        """See Grader.

        Raises StageError if the service has another grader than `digest`, refuses the calls, or never answered.
        """
        by_rule = [grade_by_rule(case) for case in cases]
        asked = [case for case, grade in zip(cases, by_rule, strict=True) if grade is None]
        answers = iter(self._runner.run(self._grade(asked)) if asked else ())
        return [next(answers) if grade is None else grade for grade in by_rule]

    async def _grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        """Grade cases; equal ones are sent once, and only as much context as the grader reads."""
        info = await self._grader_info()
        read = info.context_messages
        cases = [replace(case, context=case.context[-read:] if read else ()) for case in cases]
        distinct = {case: case_to_wire(case) for case in dict.fromkeys(cases)}
        answers: list[Grade | MissingGrade] = []
        for part in _parts(list(distinct.values()), most=info.cases_a_call):
            answers += await self._answers(part)
        known = dict(zip(distinct, answers, strict=True))
        return [known[case] for case in cases]

    async def _answers(self, cases: Sequence[wire.GradeCase]) -> list[Grade | MissingGrade]:
        results: Results = {}
        try:
            await self._retry(lambda: self._attempt(cases, results), progress=lambda: len(results))
        except _Unanswered as error:
            return [results.get(index, MissingGrade(str(error))) for index in range(len(cases))]
        return [results[index] for index in range(len(cases))]

    async def _grader_info(self) -> _GraderInfo:
        """Ask the service about the grader, once. Raises StageError if it is another grader or there is no answer."""
        if self._info is None:
            responses: list[wire.GraderInfoResponse] = []

            async def ask() -> None:
                responses.append(await self._call("Info", wire.GraderInfoRequest()))

            try:
                await self._retry(ask)
            except _Unanswered as error:
                raise StageError(
                    f"{error}. Start it (`lta grader serve`), or leave spec.grader.address out to grade in the stage's "
                    "own process",
                    reason="GraderUnavailable",
                ) from error
            offered = {grader.name: grader for grader in responses[-1].graders}
            if self._grader not in offered:
                raise StageError(
                    f"the grader service at {self._address} has no grader {self._grader!r}, only "
                    f"{', '.join(sorted(offered)) or 'none'}; serve the run's own graders",
                    reason="WrongGrader",
                )
            grader, limits = offered[self._grader], responses[-1].limits
            self._check(grader.digest)
            self._info = _GraderInfo(
                context_messages=grader.context_messages,
                cases_a_call=min(
                    _JUDGED_A_CALL if grader.kind == "llm" else _CASES_A_CALL,
                    limits.max_cases,
                    limits.max_queue,
                ),
            )
        return self._info

    async def _retry(
        self, attempt: Callable[[], Awaitable[None]], *, progress: Callable[[], int] = lambda: 0
    ) -> None:
        """Call `attempt` until it succeeds. A failed attempt with progress starts the allowed outage again.

        Raises _Unanswered after an outage of `retry_for` seconds, StageError if repeating is useless.
        """
        now = asyncio.get_running_loop().time
        patience = 0.0 if self._away else self._timing.retry_for
        tries, before, start = 0, progress(), now()
        while True:
            try:
                await attempt()
            except grpc.aio.AioRpcError as error:
                code, details = error.code(), error.details()
            else:
                self._away = False
                return
            if code in REFUSALS:
                raise StageError(self._refusal(code, details), reason="GraderRefused")
            if progress() > before:
                tries, before, start, patience = 0, progress(), now(), self._timing.retry_for
            tries += 1
            wait = BACKOFF.delay(tries, draw=random.random())
            if code not in RETRYABLE or now() + wait > start + patience:
                self._away = code in RETRYABLE
                raise _Unanswered(
                    f"the grader service at {self._address} gave no answer ({code.name}: {details})"
                )
            await asyncio.sleep(wait)

    async def _attempt(self, cases: Sequence[wire.GradeCase], results: Results) -> None:
        """Ask for the cases without a result; with hedging, make a second call if the first is slow."""
        first = asyncio.create_task(self._stream(cases, results))
        running = {first}
        try:
            await asyncio.wait(running, timeout=self._timing.hedge_after)
            if not first.done():
                running.add(asyncio.create_task(self._stream(cases, results)))
            waiting = set(running)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if any(task.exception() is None for task in done):
                    return
            first.result()
        finally:
            for task in running:
                task.cancel()

    async def _stream(self, cases: Sequence[wire.GradeCase], results: Results) -> None:
        left = [index for index in range(len(cases)) if index not in results]
        request = wire.GradeBatchRequest(grader=self._grader, cases=[cases[index] for index in left])
        async for response in self._call("GradeBatch", request):
            self._check(response.digest)
            for result in response.results:
                results[left[result.index]] = result_from_wire(result.result)
        if len(results) < len(cases):
            raise grpc.aio.AioRpcError(
                Code.UNAVAILABLE,
                grpc.aio.Metadata(),
                grpc.aio.Metadata(),
                details="the stream ended before every case was answered",
            )

    def _call(self, method: str, request: wire.GraderInfoRequest | wire.GradeBatchRequest) -> grpc.aio.Call:
        if self._channel is None:
            self._channel = open_channel(self._address, tls=self._tls, options=_OPTIONS)
        stub = GraderServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        return getattr(stub, method)(request, timeout=self._timing.timeout, metadata=self._metadata)

    def _check(self, digest: str) -> None:
        if digest != self.digest:
            raise StageError(
                f"the grader service at {self._address} grades with {digest[:12]}, this run's {self._grader} grader "
                f"is {self.digest[:12]}: grades of two graders must not mix. Serve the graders this run has published",
                reason="WrongGrader",
            )

    def _refusal(self, code: grpc.StatusCode, details: str | None) -> str:
        hint = ""
        if code is Code.UNAUTHENTICATED:
            hint = "; give the token in LTA_GRADER_TOKEN or its file in LTA_GRADER_TOKEN_FILE"
        return f"the grader service at {self._address} refuses: {code.name}: {details}{hint}"


def _parts(cases: Sequence[wire.GradeCase], *, most: int) -> Iterator[list[wire.GradeCase]]:
    """Split cases into calls of at most `most` cases and of the bytes that a request may have."""
    part: list[wire.GradeCase] = []
    size = 0
    for case in cases:
        if part and (len(part) >= most or size + case.ByteSize() > _BYTES_A_CALL):
            yield part
            part, size = [], 0
        part.append(case)
        size += case.ByteSize()
    if part:
        yield part
