"""The engine of a judge: each case is a request by itself, because the model's endpoint batches.

A slow answer thus does not delay the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from learntoask.core.errors import LearnToAskError
from learntoask.grader_service.engine import ReadyResults
from learntoask.grading.grades import Grade, GradeCase, MissingGrade
from learntoask.grading.judge.judge import Judge
from learntoask.rpc.logs import LOGGER


class JudgeEngine:
    """A GradingEngine. The judge's own settings bound the number of parallel requests."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def grade(self, cases: Sequence[GradeCase]) -> AsyncGenerator[ReadyResults]:
        """See GradingEngine. Closing the generator cancels its requests."""
        tasks = [asyncio.create_task(self._judge_case(index, case)) for index, case in enumerate(cases)]
        try:
            for task in asyncio.as_completed(tasks):
                yield [await task]
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        await self._judge.aclose()

    async def _judge_case(self, index: int, case: GradeCase) -> tuple[int, Grade | MissingGrade]:
        try:
            return index, await self._judge.grade_one(case)
        except LearnToAskError as error:  # the budget is spent, or the endpoint refuses or is unreachable
            return index, MissingGrade(str(error))
        except Exception as error:
            LOGGER.error("a case could not be judged", exc_info=error, extra={"fields": {"task": case.task}})
            return index, MissingGrade(f"a fault of the judge ({type(error).__name__}: {error})")
