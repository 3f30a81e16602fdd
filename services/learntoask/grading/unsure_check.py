"""Count the experts' own questions for which a grader gives no grade, with the reason and examples.

A grader that cannot read the experts' questions cannot read those of a policy that learned from them either: their
rewards are missing, and nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learntoask.core.errors import TooManyMissing
from learntoask.core.pack import Pack
from learntoask.grading.agreement import share
from learntoask.grading.encoders.caching import CachingEncoder
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.grading.examples import pack_questions
from learntoask.grading.fields.fitting import fit_grader
from learntoask.grading.grades import REMEDY, Grade, MissingGrade, describe_missing, missing_examples
from learntoask.grading.guard_check import FAIL_ABOVE, WARN_ABOVE
from learntoask.grading.questions import Questions

FEWEST_SESSIONS = 4
"""Sessions with a labelled question that two graders can be fitted on."""
QUESTIONS = 300
"""Questions of the logs on which `check_grader` fits and measures."""


@dataclass(frozen=True)
class UnsureCheck:
    """The experts' questions that `grader` was asked about, and those without a grade as (reason, question)."""

    grader: str
    questions: int
    missing: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, grader: str, grades: Sequence[Grade | MissingGrade], questions: Sequence[str]) -> UnsureCheck:
        """The check of the `grades` of `questions`, in the same order."""
        missing = tuple(
            (grade.reason, text)
            for grade, text in zip(grades, questions, strict=True)
            if isinstance(grade, MissingGrade)
        )
        return cls(grader, len(grades), missing)

    @property
    def missing_share(self) -> float:
        return len(self.missing) / self.questions if self.questions else 0.0

    def require(self) -> None:
        """Raises TooManyMissing when most of the questions have no grade, whatever `maxMissingShare` allows."""
        if self.missing_share > FAIL_ABOVE:
            raise TooManyMissing(
                f"{self}. Most rewards of a policy that asks like them would be missing. {REMEDY}"
            )

    def warning(self) -> str | None:
        """Return a warning with what to change if more than a few of the questions have no grade."""
        return f"{self}. {REMEDY}" if self.missing_share > WARN_ABOVE else None

    def figures(self) -> dict[str, Any]:
        """Return the share without a grade with its interval, and for the commonest reason examples."""
        missing = [True] * len(self.missing) + [False] * (self.questions - len(self.missing))
        if not self.missing:
            return {"no_grade": share(missing)}
        reason, examples = missing_examples(self.missing)
        return {"no_grade": share(missing), "reason": reason, "examples": examples}

    def __str__(self) -> str:
        found = (
            f"the {self.grader} gives no grade for {len(self.missing)} of {self.questions} of the experts' own "
            f"labelled questions ({self.missing_share:.0%})"
        )
        return f"{found}; {describe_missing(self.missing)}" if self.missing else found


def check_grader(questions: Questions, pack: Pack) -> UnsureCheck | None:
    """Fit a grader on half of the sessions, and return the check of its grades of the other half.

    The grader is of the kind that rewards, with the fast encoder. Returns None if there are too few sessions to fit on.
    """
    fitted, measured = questions.halves()
    if len(questions.sessions) < FEWEST_SESSIONS or not measured:
        return None
    grader, _ = fit_grader(
        [*pack_questions(pack), *(example for session in fitted for example in session.asked)],
        [example for session in fitted for example in session.idle],
        pack=pack,
        kind="linear",
        encoder=CachingEncoder(HashingEncoder()),
        step=lambda done, total, what: None,
        cues=questions.cues,
    )
    asked = [example for session in measured for example in session.asked]
    grades = grader.grade([example.case() for example in asked])
    return UnsureCheck.of("quick grader", grades, [example.text for example in asked])
