"""A judge's cases, each on its own: its endpoint batches, and a slow answer must not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from learntoask.core.errors import LearnToAskError
from learntoask.grader_service.engine import Ready
from learntoask.grading.grades import Grade, GradeCase, Missing
from learntoask.grading.judge.judge import Judge
from learntoask.rpc.logs import LOGGER


class Asking:
    """See Engine. How many are asked at once is the judge's own setting."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def grade(self, cases: Sequence[GradeCase]) -> AsyncGenerator[Ready]:
        """See Engine. Requests under way end with whoever waited for them."""
        tasks = [asyncio.create_task(self._one(index, case)) for index, case in enumerate(cases)]
        try:
            for task in asyncio.as_completed(tasks):
                yield [await task]
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        await self._judge.aclose()

    async def _one(self, index: int, case: GradeCase) -> tuple[int, Grade | Missing]:
        try:
            return index, await self._judge.judged(case)
        except LearnToAskError as error:  # the budget is spent, the endpoint refuses or is gone
            return index, Missing(str(error))
        except Exception as error:
            LOGGER.error("a case could not be judged", exc_info=error, extra={"fields": {"task": case.task}})
            return index, Missing(f"a fault of the judge ({type(error).__name__}: {error})")
