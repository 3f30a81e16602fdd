"""What grades cases for many callers at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from learntoask.grading.grades import Grade, GradeCase, MissingGrade

ReadyResults = list[tuple[int, Grade | MissingGrade]]
"""Answers that became ready together, each with the place of its case."""


class GradingEngine(Protocol):
    def grade(self, cases: Sequence[GradeCase]) -> AsyncGenerator[ReadyResults]:
        """One answer per case, in any order. Closing it means that nobody waits for the rest any more."""

    async def close(self) -> None:
        """End what is at work. Never waits for a grader that hangs."""
