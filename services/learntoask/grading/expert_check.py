"""What `lta data check` says of the experts' own questions: what the guard refuses, and what a grader cannot grade.

A run measures the same on its split of the sessions. Here all sessions teach the cues, and the grader compares
character n-grams (`hashing`) and is fitted on a share of the questions, because a check should take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession
from learntoask.grading.examples import expert_questions
from learntoask.grading.guard_check import FAIL_ABOVE, WARN_ABOVE, GuardCheck
from learntoask.grading.questions import QuestionCollector
from learntoask.grading.unsure_check import QUESTIONS, UnsureCheck, check_grader

_STOPS = "A run would stop before it trains. "


class ExpertCheck:
    """Give it every labelled session, then call `finish`, then read it."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._guard = GuardCheck(pack)
        self._collector = QuestionCollector(pack, at_most=QUESTIONS)
        self._cues = 0
        self._unsure: UnsureCheck | None = None

    def add(self, labelled: LabelledSession) -> None:
        """Count the questions of one session."""
        self._guard.add(expert_questions(labelled, self._pack))
        self._collector.add(labelled)

    def finish(self) -> None:
        """Learn the cues, and fit and ask a grader."""
        questions = self._collector.found()
        self._cues = len(questions.cues.cues)
        self._guard.recheck(questions.cues)
        if self._guard.refused_share <= FAIL_ABOVE:  # otherwise a grader has nothing to grade
            self._unsure = check_grader(questions, self._pack)

    def figures(self) -> dict[str, Any]:
        """Return the findings as plain values."""
        return {
            "experts": self._guard.figures(),
            "learned_cues": self._cues,
            "unsure": self._unsure.figures() if self._unsure else None,
        }

    def findings(self) -> Iterator[str]:
        """Yield one sentence for each thing that was checked."""
        if self._guard.questions:
            yield str(self._guard)
        if self._cues:
            yield (
                f"{self._cues} ways of asking without a question mark were learned from the labels; a run learns them "
                "too, from its training sessions"
            )
        if self._unsure is not None:
            yield str(self._unsure)

    def warnings(self) -> Iterator[str]:
        """Yield what to change."""
        if self._guard.refused_share > WARN_ABOVE:
            yield (_STOPS if self._guard.refused_share > FAIL_ABOVE else "") + self._guard.remedy
        warning = self._unsure.warning() if self._unsure is not None else None
        if self._unsure is not None and warning is not None:
            yield (_STOPS if self._unsure.missing_share > FAIL_ABOVE else "") + warning
