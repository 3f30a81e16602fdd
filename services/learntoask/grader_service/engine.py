"""The interface between the service and what grades."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from learntoask.grading.grades import Grade, GradeCase, MissingGrade

ReadyResults = list[tuple[int, Grade | MissingGrade]]
"""Results that became ready together, each with the index of its case."""


class GradingEngine(Protocol):
    """Grades cases for many callers at once."""

    def grade(self, cases: Sequence[GradeCase]) -> AsyncGenerator[ReadyResults]:
        """Yield one result per case, in any order. Closing the generator gives up the remaining cases."""

    async def close(self) -> None:
        """Stop grading. It does not wait for a grader that hangs."""
