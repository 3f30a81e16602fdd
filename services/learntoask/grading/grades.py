"""What a grader is asked and what it answers (docs/method.md).

A grade counts the *items asked*, not question marks, and its content is the share of them that is in the
target, not "any": otherwise asking three things at once pays whenever one of them hits.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from learntoask.core.answer import decision_of, is_exact_stop
from learntoask.core.errors import TooManyMissing
from learntoask.core.records import Decision, Message

REMEDY = (
    "Where the grader is unsure, add example questions to the fields of the pack; where it did not answer, see to its "
    "service or judge; or raise spec.grader.maxMissingShare"
)
"""What to do about missing grades."""

_FORMAT_BY_ITEMS = {1: 1.0, 2: 0.5}  # three or more, or none: 0
_SHOWN_ANSWERS = 3
_SHOWN_LETTERS = 100


@dataclass(frozen=True, kw_only=True)
class GradeCase:
    """One response of the policy, or one turn of an expert, to be graded.

    `session_id` is where the context comes from: a grader that knows the logs leaves that session out.
    `target` holds the field names of the micro-goal I*, empty where the truth is a stop; `context` what was said
    before the response, for graders that read it.
    """

    session_id: str
    task: str
    response: str
    target: frozenset[str]
    context: tuple[Message, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Grade:
    content: float  # share of the asked items that are in the target, 0…1
    content_any: float  # 1 if any asked item is in the target, else 0: the published metric
    format: float  # by items asked: 1 for one, 0.5 for two, else 0
    asked: frozenset[str]  # field names the response asks for; empty is a valid finding
    is_question: bool  # whether it passed the fluency guard as a question
    reason: str = ""  # a judge's own words, or why there is nothing to grade


@dataclass(frozen=True)
class Missing:
    """The grader could not answer. Never 0 and never 1: the sample is masked out and counted."""

    reason: str


class Grader(Protocol):
    @property
    def digest(self) -> str:
        """Identifies the fitted grader; equal digests give equal grades."""

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | Missing]:
        """One answer per case, in order."""


def question_grade(asked: frozenset[str], *, target: frozenset[str]) -> Grade:
    """The grade of a fluent question that asks for the fields `asked`."""
    hits = len(asked & target)
    return Grade(
        content=hits / len(asked) if asked else 0.0,
        content_any=1.0 if hits else 0.0,
        format=_FORMAT_BY_ITEMS.get(len(asked), 0.0),
        asked=asked,
        is_question=True,
    )


def _nothing(reason: str) -> Grade:
    return Grade(
        content=0.0, content_any=0.0, format=0.0, asked=frozenset(), is_question=False, reason=reason
    )


REFUSED = _nothing("neither a stop nor a fluent question")
"""The grade of what the fluency guard refuses: a grade, not a missing one."""

UNLIKE_EXPERTS = _nothing("unlike every question of the experts")
"""The grade of babble that looks like a question: the policy's fault, so a grade, not a missing one."""


def stop_grade(response: str, *, decision: Decision) -> Grade:
    """The grade of a stop, by rule: right iff the truth stops, well formed iff it is nothing else."""
    content = 1.0 if decision == "stop" else 0.0
    return Grade(
        content=content,
        content_any=content,
        format=1.0 if is_exact_stop(response) else 0.0,
        asked=frozenset(),
        is_question=False,
    )


def grade_by_rule(case: GradeCase) -> Grade | None:
    """The grade of a response that stops, which needs no grader; None for any other."""
    if decision_of(case.response) != "stop":
        return None
    return stop_grade(case.response, decision="continue" if case.target else "stop")


def require_answers(
    grades: Sequence[Grade | Missing], answers: Sequence[str], *, max_missing_share: float, where: str
) -> float:
    """Return the share of missing grades; `answers` are the texts that were graded, in the same order.

    Raises TooManyMissing above the bound, with the commonest reason and some of the answers without a grade.
    """
    missing = [
        (grade.reason, text)
        for grade, text in zip(grades, answers, strict=True)
        if isinstance(grade, Missing)
    ]
    share = len(missing) / len(grades) if grades else 0.0
    if share > max_missing_share:
        raise TooManyMissing(
            f"{where}: {len(missing)} of {len(grades)} grades are missing ({share:.0%}, allowed "
            f"{max_missing_share:.0%}); {described(missing)}. {REMEDY}"
        )
    return share


def described(missing: Sequence[tuple[str, str]]) -> str:
    """Describe missing grades, at least one (reason, answer), by the commonest reason and its first answers."""
    reasons = [reason for reason, _ in missing]
    commonest = max(sorted(set(reasons)), key=reasons.count)
    answers = dict.fromkeys(" ".join(text.split()) for reason, text in missing if reason == commonest)
    shown = ", ".join(repr(textwrap.shorten(text, _SHOWN_LETTERS)) for text in list(answers)[:_SHOWN_ANSWERS])
    return f"most often: {commonest}, as for {shown}"
