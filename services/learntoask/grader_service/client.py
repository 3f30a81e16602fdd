"""A grader that asks a grader service.

The service may be away for a while, be killed and come back: answers that arrived hold, the rest is asked for again
until `Timing.retry_for` has passed without any. What is left then is missing, with the reason.
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
from learntoask.grading.grades import Grade, GradeCase, Missing, grade_by_rule
from learntoask.rpc.channels import Tls, authorization, open_channel
from learntoask.wire import grader_pb2 as wire
from learntoask.wire.grader_pb2_grpc import GraderServiceStub

Found = dict[int, Grade | Missing]
_CASES_A_CALL = 512
_JUDGED_A_CALL = 64  # a judge takes seconds for each, and a call must end within its timeout
_BYTES_A_CALL = 2 * 2**20
_OPTIONS = (
    ("grpc.lb_policy_name", "round_robin"),  # over all addresses behind one name
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),  # a restarted service is found soon
)


class _Unanswered(Exception):
    """No answer in the time there was; the message says what was tried."""


@dataclass(frozen=True, kw_only=True)
class _Greeting:
    context_messages: int
    cases_a_call: int


class RemoteGrader:
    """`grader` is the name that the service has for it, `digest` what it must be. Not for several threads at once."""

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
        self._greeting: _Greeting | None = None  # None: the service was not heard yet
        self._away = False  # an outage is waited for once; after it a call tries once, until one is answered

    def __enter__(self) -> RemoteGrader:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._channel is not None:
            self._runner.run(self._channel.close())
            self._channel = None
        self._runner.close()

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | Missing]:
        """See Grader.

        Raises StageError where the service is another grader than `digest`, refuses the calls, or was never there.
        """
        by_rule = [grade_by_rule(case) for case in cases]
        asked = [case for case, grade in zip(cases, by_rule, strict=True) if grade is None]
        answers = iter(self._runner.run(self._graded(asked)) if asked else ())
        return [next(answers) if grade is None else grade for grade in by_rule]

    async def _graded(self, cases: Sequence[GradeCase]) -> list[Grade | Missing]:
        """Equal cases are asked once, and contexts go no further than they are read."""
        greeting = await self._greeted()
        read = greeting.context_messages
        cases = [replace(case, context=case.context[-read:] if read else ()) for case in cases]
        distinct = {case: case_to_wire(case) for case in dict.fromkeys(cases)}
        answers: list[Grade | Missing] = []
        for part in _parts(list(distinct.values()), most=greeting.cases_a_call):
            answers += await self._answers(part)
        known = dict(zip(distinct, answers, strict=True))
        return [known[case] for case in cases]

    async def _answers(self, cases: Sequence[wire.GradeCase]) -> list[Grade | Missing]:
        found: Found = {}
        try:
            await self._retried(lambda: self._attempt(cases, found), progress=lambda: len(found))
        except _Unanswered as error:
            return [found.get(index, Missing(str(error))) for index in range(len(cases))]
        return [found[index] for index in range(len(cases))]

    async def _greeted(self) -> _Greeting:
        """What the grader takes. Raises StageError where it is another, or none is there."""
        if self._greeting is None:
            heard: list[wire.GraderInfoResponse] = []

            async def ask() -> None:
                heard.append(await self._call("Info", wire.GraderInfoRequest()))

            try:
                await self._retried(ask)
            except _Unanswered as error:
                raise StageError(
                    f"{error}. Start it (`lta grader serve`), or leave spec.grader.address out to grade in the stage's "
                    "own process",
                    reason="GraderUnavailable",
                ) from error
            offered = {one.name: one for one in heard[-1].graders}
            if self._grader not in offered:
                raise StageError(
                    f"the grader service at {self._address} has no grader {self._grader!r}, only "
                    f"{', '.join(sorted(offered)) or 'none'}; serve the run's own graders",
                    reason="WrongGrader",
                )
            grader, limits = offered[self._grader], heard[-1].limits
            self._check(grader.digest)
            self._greeting = _Greeting(
                context_messages=grader.context_messages,
                cases_a_call=min(
                    _JUDGED_A_CALL if grader.kind == "llm" else _CASES_A_CALL,
                    limits.max_cases,
                    limits.max_queue,
                ),
            )
        return self._greeting

    async def _retried(
        self, attempt: Callable[[], Awaitable[None]], *, progress: Callable[[], int] = lambda: 0
    ) -> None:
        """`attempt` until it succeeds. Raises _Unanswered, and StageError where trying again is of no use."""
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
                raise StageError(self._refused(code, details), reason="GraderRefused")
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

    async def _attempt(self, cases: Sequence[wire.GradeCase], found: Found) -> None:
        """Ask for what is not found yet; with hedging, twice where the first call is slow."""
        first = asyncio.create_task(self._stream(cases, found))
        running = {first}
        try:
            await asyncio.wait(running, timeout=self._timing.hedge_after)
            if not first.done():
                running.add(asyncio.create_task(self._stream(cases, found)))
            waiting = set(running)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if any(task.exception() is None for task in done):
                    return
            first.result()
        finally:
            for task in running:
                task.cancel()

    async def _stream(self, cases: Sequence[wire.GradeCase], found: Found) -> None:
        left = [index for index in range(len(cases)) if index not in found]
        request = wire.GradeBatchRequest(grader=self._grader, cases=[cases[index] for index in left])
        async for response in self._call("GradeBatch", request):
            self._check(response.digest)
            for result in response.results:
                found[left[result.index]] = result_from_wire(result.result)
        if len(found) < len(cases):
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
                f"the grader service at {self._address} grades with {digest[:12]}, this run's {self._grader} grader is "
                f"{self.digest[:12]}: grades of two graders must not mix. Serve the graders this run has published",
                reason="WrongGrader",
            )

    def _refused(self, code: grpc.StatusCode, details: str | None) -> str:
        hint = ""
        if code is Code.UNAUTHENTICATED:
            hint = "; give the token in LTA_GRADER_TOKEN or its file in LTA_GRADER_TOKEN_FILE"
        return f"the grader service at {self._address} refuses: {code.name}: {details}{hint}"


def _parts(cases: Sequence[wire.GradeCase], *, most: int) -> Iterator[list[wire.GradeCase]]:
    """Cases for one call each: at most `most`, and no more bytes than a request may have."""
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
