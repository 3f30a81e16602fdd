"""The grader protocol: grade cases in, grades out (docs/method.md).

A grade counts the *items asked*, not question marks. Its content is the share of the asked items that is in the target,
not whether any of them is, because otherwise asking for three items at once would pay whenever one of them is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from learntoask.core.answer import decision_of, is_exact_stop
from learntoask.core.errors import TooManyMissing
from learntoask.core.records import Decision, LabelledSession, Message, Sample
from learntoask.core.status.conditions import shorten

REMEDY = (
    "Where the grader is unsure, add example questions to the fields of the pack; where it did not answer, see to its "
    "service or judge; or raise spec.grader.maxMissingShare"
)
"""What a user can do about missing grades."""

_FORMAT_BY_ITEMS = {1: 1.0, 2: 0.5}  # 0 for any other number
_SHOWN_ANSWERS = 3
_SHOWN_LETTERS = 100


@dataclass(frozen=True, kw_only=True)
class GradeCase:
    """One response of the policy, or one turn of an expert, to be graded.

    `session_id` is the session of the context; a grader that was fitted on logs leaves that session out. `target` holds
    the field names of the micro-goal I*; it is empty if the truth is a stop. `context` holds the messages before the
    response, for graders that read them.
    """

    session_id: str
    task: str
    response: str
    target: frozenset[str]
    context: tuple[Message, ...] = ()

    @classmethod
    def of_sample(cls, labelled: LabelledSession, sample: Sample, response: str) -> GradeCase:
        """The case of a `response` at one of the session's decision points."""
        return cls(
            session_id=labelled.session.session_id,
            task=labelled.session.task,
            response=response,
            target=frozenset(item.field for item in sample.remaining),
            context=labelled.context(sample),
        )


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The grade of one response."""

    content: float  # share of the asked items that are in the target, 0…1
    content_any: float  # 1 if any asked item is in the target, else 0; the metric of the published figures
    format: float  # by items asked: 1 for one, 0.5 for two, else 0
    asked: frozenset[str]  # names of the fields that the response asks for; may be empty
    is_question: bool  # whether it passed the fluency guard as a question
    reason: str = ""  # the judge's reason, or why there is nothing to grade


@dataclass(frozen=True)
class MissingGrade:
    """The grader could not answer. The sample is masked out of the update and counted; it is graded neither 0 nor 1."""

    reason: str


class Grader(Protocol):
    """Grades responses. FieldGrader, Judge and the client of the grader service implement it."""

    @property
    def digest(self) -> str:
        """The digest of the grader. Graders with equal digests give equal grades."""

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        """Return one grade per case, in order."""


def question_grade(asked: frozenset[str], *, target: frozenset[str]) -> Grade:
    """Return the grade of a fluent question that asks for the fields `asked`."""
    hits = len(asked & target)
    return Grade(
        content=hits / len(asked) if asked else 0.0,
        content_any=1.0 if hits else 0.0,
        format=_FORMAT_BY_ITEMS.get(len(asked), 0.0),
        asked=asked,
        is_question=True,
    )


def _zero_grade(reason: str) -> Grade:
    return Grade(
        content=0.0, content_any=0.0, format=0.0, asked=frozenset(), is_question=False, reason=reason
    )


REFUSED = _zero_grade("neither a stop nor a fluent question")
"""The grade of a response that the fluency guard refuses. It is a grade, not a missing one."""

UNLIKE_EXPERTS = _zero_grade("unlike every question of the experts")
"""The grade of babble that passes the guard as a question. It is the policy's fault, so it is not a missing grade."""


def stop_grade(response: str, *, decision: Decision) -> Grade:
    """Return the grade of a response that stops: content 1 if the truth is a stop, format 1 if it says nothing else."""
    content = 1.0 if decision == "stop" else 0.0
    return Grade(
        content=content,
        content_any=content,
        format=1.0 if is_exact_stop(response) else 0.0,
        asked=frozenset(),
        is_question=False,
    )


def grade_by_rule(case: GradeCase) -> Grade | None:
    """Return the grade of a response that stops, which needs no grader; None for any other response."""
    if decision_of(case.response) != "stop":
        return None
    return stop_grade(case.response, decision="continue" if case.target else "stop")


def require_answers(
    grades: Sequence[Grade | MissingGrade], answers: Sequence[str], *, max_missing_share: float, where: str
) -> float:
    """Return the share of missing grades; `answers` are the texts that were graded, in the same order.

    Raises TooManyMissing above the bound, with the commonest reason and some of the answers without a grade.
    """
    missing = [
        (grade.reason, text)
        for grade, text in zip(grades, answers, strict=True)
        if isinstance(grade, MissingGrade)
    ]
    share = len(missing) / len(grades) if grades else 0.0
    if share > max_missing_share:
        raise TooManyMissing(
            f"{where}: {len(missing)} of {len(grades)} grades are missing ({share:.0%}, allowed "
            f"{max_missing_share:.0%}); {describe_missing(missing)}. {REMEDY}"
        )
    return share


def describe_missing(missing: Sequence[tuple[str, str]]) -> str:
    """Return the commonest reason among `missing` (reason, answer), at least one, and its first answers."""
    reason, answers = missing_examples(missing)
    return f"most often: {reason}, as for {', '.join(map(repr, answers))}"


def missing_examples(missing: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """Return the commonest reason among `missing` (reason, answer), at least one, and its first different answers."""
    reasons = [reason for reason, _ in missing]
    commonest = max(sorted(set(reasons)), key=reasons.count)
    answers = dict.fromkeys(" ".join(text.split()) for reason, text in missing if reason == commonest)
    return commonest, [shorten(text, _SHOWN_LETTERS) for text in list(answers)[:_SHOWN_ANSWERS]]
