"""The engine of fitted graders: grades cases of all callers in dynamic batches.

A batch costs far less than its cases one by one. One thread grades, because graders are not thread-safe; meanwhile the
next batch collects.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

from learntoask.grader_service.engine import ReadyResults
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade
from learntoask.rpc.logs import LOGGER

Answers = list[Grade | MissingGrade]


@dataclass(eq=False)
class _Caller:
    ready: asyncio.Queue[ReadyResults] = field(default_factory=asyncio.Queue)
    gone: bool = False


@dataclass(frozen=True)
class _Waiting:
    caller: _Caller
    index: int
    case: GradeCase


class BatchingEngine:
    """A GradingEngine. Construct it inside the event loop that runs it.

    A batch of fewer than `max_batch` cases waits `wait_seconds` for more. `on_batch` gets the size of every batch.
    """

    def __init__(
        self, grader: Grader, *, max_batch: int, wait_seconds: float, on_batch: Callable[[int], None]
    ) -> None:
        self._grader = grader
        self._max_batch = max_batch
        self._wait_seconds = wait_seconds
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[list[GradeCase], asyncio.Future[Answers]] | None] = SimpleQueue()
        # A daemon, so that a grader that hangs cannot keep the process from ending.
        self._thread = Thread(target=self._work, name="grader", daemon=True)
        self._thread.start()
        self._feeding = asyncio.create_task(self._feed())

    async def grade(self, cases: Sequence[GradeCase]) -> AsyncGenerator[ReadyResults]:
        """See GradingEngine."""
        caller = _Caller()
        self._waiting.extend(_Waiting(caller, index, case) for index, case in enumerate(cases))
        self._arrived.set()
        left = len(cases)
        try:
            while left:
                ready = await caller.ready.get()
                left -= len(ready)
                yield ready
        finally:
            caller.gone = True

    async def close(self) -> None:
        self._feeding.cancel()
        self._jobs.put(None)

    async def _feed(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._waiting) < self._max_batch:
                await asyncio.sleep(self._wait_seconds)
            batch = self._next_batch()
            if not batch:
                continue
            self._on_batch(len(batch))
            future: asyncio.Future[Answers] = self._loop.create_future()
            self._jobs.put(([waiting.case for waiting in batch], future))
            by_caller: dict[_Caller, ReadyResults] = defaultdict(list)
            for waiting, answer in zip(batch, await future, strict=True):
                by_caller[waiting.caller].append((waiting.index, answer))
            for caller, ready in by_caller.items():
                caller.ready.put_nowait(ready)

    def _next_batch(self) -> list[_Waiting]:
        """Take the oldest cases whose callers still wait."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._max_batch:
            waiting = self._waiting.popleft()
            if not waiting.caller.gone:
                batch.append(waiting)
        if not self._waiting:
            self._arrived.clear()
        return batch

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            cases, future = job
            answers = grade_each(self._grader, cases)
            try:
                self._loop.call_soon_threadsafe(_resolve, future, answers)
            except RuntimeError:  # the loop has ended meanwhile
                return


def grade_each(grader: Grader, cases: list[GradeCase]) -> Answers:
    """Return one result per case; a case on which the grader fails is missing.

    If a batch fails, its cases are graded one by one, so that the others of the batch still get their grades.
    """
    try:
        return grader.grade(cases)
    except Exception as error:
        if len(cases) > 1:
            return [answer for case in cases for answer in grade_each(grader, [case])]
        fault = f"{type(error).__name__}: {error}"
        LOGGER.error("a case could not be graded", exc_info=error, extra={"fields": {"task": cases[0].task}})
        return [MissingGrade(f"a fault of the grader ({fault})")]


def _resolve(future: asyncio.Future[Answers], answers: Answers) -> None:
    if not future.done():
        future.set_result(answers)
